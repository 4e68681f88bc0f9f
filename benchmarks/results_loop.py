"""The loop on public preference data by the commands that a user types: import, aggregate, build, train, evaluate.

`python benchmarks/results_loop.py [--quick] [--data DIR]` reads import rows from DIR (default: ../shared/data):
ukpconvarg1.jsonl.gz (Habernal and Gurevych 2016, CC BY 4.0) and llmfao.jsonl.gz (llmonitor.com and D. Ustalov, CC BY
4.0). It works in a data directory of its own and prints every command that it ran. What is measured was fixed before
the run: held-out groups (topics, prompts) are the test split of the recipe below, seed 1; the reward model's settings
are the defaults, chosen on training topics alone; the figure of merit is accuracy minus that of the length baseline.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
# Whole groups are held out, three tenths of them: issues and prompts are few, and they are what must be new.
SPLIT = {"train": 0.7, "validation": 0.0, "test": 0.3, "seed": 1}
RECIPES: dict[str, dict[str, Any]] = {
    "ukpconvarg1": {"method": "dawid-skene", "min_annotators": 3, "split": SPLIT},
    "llmfao": {"method": "dawid-skene", "min_annotators": 2, "include_judges": False, "split": SPLIT},
}


def manage(*arguments: str, env: dict[str, str]) -> dict[str, Any]:
    """Run a command with --json; print it as typed; return its object."""
    shown_ = [Path(a).name if a.startswith("/") else a for a in arguments]
    print(f"$ manage.py {' '.join(shown_)}", flush=True)
    command = [sys.executable, "manage.py", *arguments, "--json"]
    started = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(arguments)}: exit {done.returncode}\n{done.stdout}\n{done.stderr}")
    told: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    told["wall"] = time.monotonic() - started
    return told


def shown(estimate: dict[str, Any] | None) -> str:
    if not estimate or estimate.get("value") is None:
        return f"undefined ({(estimate or {}).get('reason', 'not computed')})"
    return f"{estimate['value']:.3f} [{estimate['low']:.3f}, {estimate['high']:.3f}]"


def by_issue(file: Path, scratch: Path) -> Path:
    """ukpconvarg1 with both stances of an issue in one group, so that what is held out is wholly new."""
    target = scratch / "ukpconvarg1-by-issue.jsonl"
    with gzip.open(file, "rt", encoding="utf-8") as source, target.open("w", encoding="utf-8") as out:
        for line in source:
            row = json.loads(line)
            row["group"] = row["group"].rsplit("_", 1)[0]
            out.write(json.dumps(row) + "\n")
    return target


def loop(name: str, file: Path, scratch: Path, env: dict[str, str]) -> dict[str, Any]:
    """The whole loop on one set; prints its figures."""
    print(f"\n### {name}\n")
    if name == "ukpconvarg1":
        file = by_issue(file, scratch)
    imported = manage("import_comparisons", name, str(file), "--create", env=env)
    rates = {k: imported[k] for k in ("created", "updated", "unchanged", "rejected")}
    print(f"  {rates}, {imported.get('judgements_created')} judgements, {imported['wall']:.1f} s")
    aggregated = manage("aggregate", name, "--method", "dawid-skene", env=env)
    print(f"  consensus of {aggregated['comparisons']}; alpha of people {shown(aggregated['alpha_people'])}")
    noise = manage("score_noise", name, "--method", "consensus-entropy", env=env)
    print(f"  noise: {noise['decisions']}")
    if name == "llmfao":
        simulated = manage("route", name, "--simulate", env=env)
        print(
            "  routing by the recorded judges' certainty, simulated: share of people → agreement with the other people"
        )
        for point in simulated["points"]:
            print(
                f"    {point['human_share']:.2f}  {shown(point['accuracy'])}   at random {point['random_accuracy']:.3f}"
            )
    recipe = scratch / f"{name}.json"
    recipe.write_text(json.dumps(RECIPES[name]))
    print(f"  {recipe.name}: {recipe.read_text()}")
    built = manage("build_dataset", name, "--project", name, "--recipe", str(recipe), env=env)
    print(f"  {built['version']}: {built['counts']}, dropped {built['dropped']}, rows {built['rows_sha256'][:16]}")
    trained = manage("train_reward_model", built["version"], "--seed", "1", env=env)
    test = trained["test"]
    print(f"  trained in {trained['run_seconds']} s on {built['counts']['train']} rows")
    print(f"  held-out accuracy  {shown(test['accuracy'])}  (n = {test['n']})")
    print(f"  length baseline    {shown(test['length_baseline'])}  (the longer one wins)")
    print(f"  length, learned    {shown(test['length_fitted'])}  ({test['length_direction']}, as on the training rows)")
    print(f"  paired gain        {shown(test.get('gain_over_length'))}  (over the longer one)")
    print(f"  calibration error  {test['ece']:.3f}")
    return test


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="llmfao only")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    given = parser.parse_args()
    names = ["llmfao"] if given.quick else ["ukpconvarg1", "llmfao"]
    missing = [n for n in names if not (given.data / f"{n}.jsonl.gz").exists()]
    if missing:
        raise SystemExit(f"No {', '.join(missing)} in {given.data}: say where with --data.")
    with tempfile.TemporaryDirectory(prefix="tiebreak-results-") as folder:
        env = os.environ | {"TIEBREAK_DATA": str(Path(folder) / "data"), "HF_HUB_OFFLINE": "1"}
        for variable in ("DATABASE_URL", "REDIS_URL"):
            env.pop(variable, None)
        subprocess.run([sys.executable, "manage.py", "migrate", "-v", "0"], cwd=ROOT, env=env, check=True)
        found = {n: loop(n, given.data / f"{n}.jsonl.gz", Path(folder), env) for n in names}
        subprocess.run([sys.executable, "-m", "tiebreak.embedded", "stop"], cwd=ROOT, env=env, capture_output=True)
    main_set = found[names[0]]
    gain = main_set["accuracy"]["value"] - main_set["length_baseline"]["value"]
    print(
        json.dumps(
            {
                "benchmark": "loop on public data",
                "ratio": round(main_set["accuracy"]["value"] / main_set["length_baseline"]["value"], 4),
                "target": 1.0,
                "unit": "accuracy of the reward model / of the length baseline, held-out groups",
                "n": main_set["n"],
                "reference": f"length baseline on the test split of {names[0]}, same run",
                "details": {
                    "gain": round(gain, 4),
                    **{n: {k: t[k] for k in ("accuracy", "length_baseline", "ece", "n")} for n, t in found.items()},
                },
            }
        )
    )


if __name__ == "__main__":
    main()

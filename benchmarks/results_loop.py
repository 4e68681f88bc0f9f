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
from statistics import mean
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
# Whole groups are held out, three tenths of them: issues and prompts are few, and they are what must be new.
SPLIT = {"train": 0.7, "validation": 0.0, "test": 0.3}
SEEDS = (1, 2, 3, 4, 5)  # each holds out other groups
RECIPES: dict[str, dict[str, Any]] = {
    "ukpconvarg1": {"method": "dawid-skene", "min_annotators": 3},
    "llmfao": {"method": "dawid-skene", "min_annotators": 2, "include_judges": False},
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
    splits = {seed: one_split(name, seed, scratch, env) for seed in SEEDS}
    empty = [seed for seed, figures in splits.items() if not figures["n"]]
    if empty:
        print(f"  splits {', '.join(map(str, empty))} hold no group out: there are few")
    tested = {seed: figures for seed, figures in splits.items() if figures["n"]}
    found = list(tested.values())
    gains = [f["accuracy"]["value"] - f["length_baseline"]["value"] for f in found]
    fitted = [f["accuracy"]["value"] - f["length_fitted"]["value"] for f in found]
    print("  held-out      rows groups  reward model           longer wins   length as learned   calibration error")
    for seed, f in tested.items():
        longer, learned = f["length_baseline"]["value"], f["length_fitted"]["value"]
        sizes = f"split {seed}   {f['n']:>9} {f['groups']:>6}"
        print(f"  {sizes}  {shown(f['accuracy'])}   {longer:.3f}         {learned:.3f}               {f['ece']:.3f}")
    print(
        f"  gain over the longer one, mean {mean(gains):+.3f}, above 0 in {sum(g > 0 for g in gains)} of {len(gains)}"
    )
    above = sum(g > 0 for g in fitted)
    print(f"  gain over length as learned, mean {mean(fitted):+.3f}, above 0 in {above} of {len(gains)}")
    return {
        "accuracy": mean([f["accuracy"]["value"] for f in found]),
        "length_baseline": mean([f["length_baseline"]["value"] for f in found]),
        "gains": [round(g, 4) for g in gains],
        "gains_over_length_as_learned": [round(g, 4) for g in fitted],
        "n": sum(f["n"] for f in found),
    }


def one_split(name: str, seed: int, scratch: Path, env: dict[str, str]) -> dict[str, Any]:
    """Build a version whose seed chooses the groups held out, train on it, and return the figures of its test split."""
    recipe = scratch / f"{name}-{seed}.json"
    recipe.write_text(json.dumps(RECIPES[name] | {"split": SPLIT | {"seed": seed}}))
    print(f"  {recipe.name}: {recipe.read_text()}")
    built = manage("build_dataset", name, "--project", name, "--recipe", str(recipe), env=env)
    print(f"  {built['version']}: {built['counts']}, dropped {built['dropped']}, rows {built['rows_sha256'][:16]}")
    trained = manage("train_reward_model", built["version"], "--seed", "1", env=env)
    print(f"  trained in {trained['run_seconds']} s")
    test: dict[str, Any] = trained["test"]
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
    first = found[names[0]]
    told = {
        "benchmark": "loop on public data",
        "ratio": round(first["accuracy"] / first["length_baseline"], 4),
        "target": 1.0,
        "unit": "mean accuracy of the reward model / of the length baseline, held-out groups",
        "n": first["n"],
        "reference": f"length baseline on the same test splits of {names[0]}, same run",
        "details": found,
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()

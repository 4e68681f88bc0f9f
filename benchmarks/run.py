"""Run every benchmark and write one page: `python benchmarks/run.py performance|results [--quick]`.

A benchmark is a script beside this one. It prints its own table and, last, one line of JSON with `benchmark`, `ratio`,
`target`, `unit`, `n`, `reference` and `details`. Those named `results_*.py` are scientific and go to docs/results.md,
all others to docs/performance.md, between two markers; what is written around the markers by hand stays.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
FIELDS = ("benchmark", "ratio", "target", "unit", "n", "reference", "details")
BEGIN, END = "<!-- written by benchmarks/run.py -->", "<!-- end -->"


def scripts(page: str) -> list[Path]:
    """The benchmarks of a page, by name."""
    found = sorted(path for path in HERE.glob("*.py") if path.name != Path(__file__).name and path.name[0] != "_")
    return [path for path in found if path.name.startswith("results_") == (page == "results")]


def run(script: Path, *, quick: bool) -> tuple[str, dict[str, Any]]:
    """A benchmark's output without its last line, and that line read. Raises ValueError naming what is wrong."""
    command = [sys.executable, str(script), *(["--quick"] if quick else [])]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, cwd=HERE.parent)
    if done.returncode != 0:
        raise ValueError(f"{script.name}: expected exit 0, got {done.returncode}")
    *table, last = done.stdout.rstrip().splitlines() or [""]
    try:
        figures = json.loads(last)
    except ValueError:
        raise ValueError(f"{script.name}: expected a last line of JSON, got {last[:80]!r}") from None
    if not isinstance(figures, dict) or not figures.keys() >= set(FIELDS):
        raise ValueError(f"{script.name}: expected a JSON object with {', '.join(FIELDS)}, got {last[:80]!r}")
    return "\n".join(table), figures


def page_text(results: list[tuple[Path, str, dict[str, Any]]], *, quick: bool) -> str:
    """The generated part of the page."""
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    lines = [f"Made on {machine}{', with `--quick`' if quick else ''}.", ""]
    lines += ["| benchmark | ratio | target | unit | n | reference |", "|---|---:|---:|---|---:|---|"]
    for _, _, figures in results:
        lines.append("| " + " | ".join(str(figures[field]) for field in FIELDS[:-1]) + " |")
    for script, table, _ in results:
        lines += ["", f"## `python benchmarks/{script.name}`", "", "```", table, "```"]
    return "\n".join(lines)


def write(path: Path, title: str, text: str) -> None:
    """Put the generated part between the page's markers, or make the page."""
    old = path.read_text() if path.exists() else f"# {title}\n\n{BEGIN}\n{END}\n"
    if BEGIN not in old or END not in old:
        old += f"\n{BEGIN}\n{END}\n"
    before, rest = old.split(BEGIN, 1)
    path.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.split(END, 1)[1]}")


def main() -> int:
    """Run the benchmarks of a page; 1 if one fails, after the others have run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("page", choices=("performance", "results"))
    parser.add_argument("--quick", action="store_true", help="small sizes; writes no page")
    given = parser.parse_args()
    results, failed = [], []
    for script in scripts(given.page):
        print(f"== {script.name}", flush=True)
        try:
            table, figures = run(script, quick=given.quick)
        except ValueError as error:
            failed.append(str(error))
            continue
        print(table, json.dumps(figures), sep="\n", flush=True)
        results.append((script, table, figures))
    if results and not given.quick:
        path = HERE.parent / "docs" / f"{given.page}.md"
        write(path, given.page.capitalize(), page_text(results, quick=given.quick))
        print(f"Wrote {path.relative_to(HERE.parent)}.")
    if not results and not failed:
        print(f"No benchmark for the page {given.page} yet.")
    for line in failed:
        print(line, file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

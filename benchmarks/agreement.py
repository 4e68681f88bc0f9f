"""Agreement with its interval over many judgements, beside the implementation in evalica, on the same judgements.

Both compute Krippendorff's ordinal alpha and the percentile interval of 1,000 bootstrap samples. What is resampled
differs (here whole units, there disagreements, by Krippendorff's algorithm of 2006), so the alphas must be equal and
the intervals need not be. `--quick` has 20,000 units instead of 100,000; every unit has five of 50 raters.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from curation.stats.agreement import agreement, krippendorff_alpha

RESAMPLES = 1000
TARGET = 5.0
ALONE = 1_000_000
"""Units of the largest run, ours only: five million judgements."""


def judgements(units: int, seed: int = 7) -> tuple[Any, Any, Any]:
    """Strengths from -3 to 3: what the unit deserves and each rater's own noise."""
    rng = np.random.default_rng(seed)
    unit = np.repeat(np.arange(units), 5)
    rater = (rng.integers(0, 50, units)[:, None] + np.arange(5) * 10).ravel() % 50
    value = np.clip(np.rint(rng.normal(0, 1.2, units)[unit] + rng.normal(0, 1, len(unit))), -3, 3)
    return unit, rater, value


def ours(said: tuple[Any, Any, Any]) -> tuple[float, float]:
    began = time.perf_counter()
    found = krippendorff_alpha(*said, level="ordinal", rng=np.random.default_rng(0), resamples=RESAMPLES)
    return time.perf_counter() - began, found.value or float("nan")


def theirs(said: tuple[Any, Any, Any], units: int) -> tuple[float, float] | None:
    try:
        import evalica
        import pandas as pd
    except ImportError:
        return None
    table = np.full((50, units), np.nan)
    table[said[1], said[0]] = said[2]
    frame = pd.DataFrame(table)
    began = time.perf_counter()
    found = evalica.alpha_bootstrap(frame, distance="ordinal", n_resamples=RESAMPLES, random_state=0)
    return time.perf_counter() - began, float(found.alpha)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    units = 20_000 if quick else 100_000
    said = judgements(units)
    mine, reference = ours(said), theirs(said, units)
    print(f"{'what':<34}{'judgements':>12}{'seconds':>10}{'alpha':>9}")
    print(f"{'ours, alpha with its interval':<34}{len(said[2]):>12,}{mine[0]:>10.2f}{mine[1]:>9.4f}")
    if reference:
        print(f"{'evalica, alpha with its interval':<34}{len(said[2]):>12,}{reference[0]:>10.2f}{reference[1]:>9.4f}")
    else:
        print("evalica is not installed: pip install '.[bench]'")
    large: dict[str, float] = {}
    many = judgements(200_000 if quick else ALONE)
    for name in ("alpha-ordinal", "fleiss", "ac2", "percent"):
        began = time.perf_counter()
        agreement(*many, coefficient=name, rng=np.random.default_rng(0), resamples=RESAMPLES)
        large[name] = round(time.perf_counter() - began, 2)
        print(f"{'ours, ' + name:<34}{len(many[2]):>12,}{large[name]:>10.2f}")
    same = reference is not None and abs(reference[1] - mine[1]) < 1e-9
    print(
        json.dumps(
            {
                "benchmark": "agreement",
                "ratio": round(reference[0] / mine[0], 2) if reference else None,
                "target": TARGET,
                "unit": "times as fast",
                "n": len(said[2]),
                "reference": "evalica.alpha_bootstrap" if reference else "none installed",
                "details": {"same_alpha": same, "judgements": len(many[2]), "seconds": large},
            }
        )
    )


if __name__ == "__main__":
    main()

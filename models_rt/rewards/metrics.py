"""What an evaluation reports. Margins are chosen minus rejected, so a correct one is positive."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
FEWEST_GROUPS: Final = 5
Z: Final = 1.959963984540054  # the 97.5 % point of the normal distribution


class Estimate(NamedTuple):
    """A figure with its 95 % interval; `value` is None where it does not exist, and `reason` says why."""

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int = 0
    reason: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return self._asdict()


def wilson(successes: float, n: int) -> tuple[float, float]:
    """The score interval of a proportion (Wilson 1927). `successes` may hold halves, for ties."""
    if n < 1:
        raise ValueError(f"n: expected at least 1, got {n}")
    share = successes / n
    centre = (share + Z * Z / (2 * n)) / (1 + Z * Z / n)
    half = Z / (1 + Z * Z / n) * math.sqrt(share * (1 - share) / n + Z * Z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def accuracy(margins: Array, groups: Sequence[str], rng: np.random.Generator, *, draws: int = 1000) -> Estimate:
    """Share of positive margins, a zero counting half.

    The interval resamples whole groups (cluster bootstrap, percentile), since pairs of one group are not independent;
    with fewer than five groups it is Wilson's, which treats pairs as independent.
    """
    n = len(margins)
    if n == 0:
        return Estimate(None, reason="the split has no rows")
    right = _right(margins)
    if len(set(groups)) < FEWEST_GROUPS:
        return Estimate(float(right.mean()), *wilson(float(right.sum()), n), n)
    return Estimate(float(right.mean()), *_bootstrap(right, groups, rng, draws), n)


def gain(margins: Array, baseline: Array, groups: Sequence[str], rng: np.random.Generator) -> Estimate:
    """Accuracy less the baseline's on the same rows, paired; whole groups are resampled (rows, under five groups)."""
    n = len(margins)
    if n == 0:
        return Estimate(None, reason="the split has no rows")
    difference = _right(margins) - _right(baseline)
    units = groups if len(set(groups)) >= FEWEST_GROUPS else [str(i) for i in range(n)]
    return Estimate(float(difference.mean()), *_bootstrap(difference, units, rng, 1000), n)


def _right(margins: Array) -> Array:
    return np.where(margins > 0, 1.0, np.where(margins == 0, 0.5, 0.0))


def _bootstrap(values: Array, groups: Sequence[str], rng: np.random.Generator, draws: int) -> tuple[float, float]:
    """The percentile interval of a mean under resampling of whole groups, one draw at a time to keep memory flat."""
    names, index = np.unique(np.asarray(groups), return_inverse=True)
    sums, sizes = np.bincount(index, weights=values), np.bincount(index)
    means = np.empty(draws)
    for draw in range(draws):
        chosen = rng.integers(0, len(names), len(names))
        means[draw] = sums[chosen].sum() / sizes[chosen].sum()
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def calibration_error(margins: Array, *, bins: int = 15) -> float | None:
    """Expected calibration error of the stated side: |accuracy - confidence| over equal-width bins (Guo et al. 2017).

    Confidence is σ(|d|), from 0.5 to 1. None without rows.
    """
    if len(margins) == 0:
        return None
    confidence = 1.0 / (1.0 + np.exp(-np.abs(margins)))
    right = np.where(margins == 0, 0.5, (margins > 0).astype(float))
    place = np.minimum(((confidence - 0.5) * 2 * bins).astype(int), bins - 1)
    gaps = np.abs(np.bincount(place, right, bins) - np.bincount(place, confidence, bins))
    return float(gaps.sum() / len(margins))


def brier(margins: Array, probabilities: Array) -> float | None:
    """Mean squared distance of σ(d) from the label. None without rows."""
    return float(np.mean((1.0 / (1.0 + np.exp(-margins)) - probabilities) ** 2)) if len(margins) else None


def log_loss(margins: Array, probabilities: Array) -> float | None:
    """Mean Bradley-Terry loss. None without rows."""
    if len(margins) == 0:
        return None
    return float(np.mean(np.logaddexp(0, -margins) * probabilities + np.logaddexp(0, margins) * (1 - probabilities)))

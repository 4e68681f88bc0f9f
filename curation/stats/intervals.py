"""Estimates with their intervals. Those of a share stand in the kernel, since collecting needs them too."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from curation.stats.votes import FloatArray, IntArray
from tiebreak.core.intervals import Estimate, wilson, wilson_bounds

__all__ = ["Estimate", "bootstrap_ratio", "draws", "percentile_interval", "wilson", "wilson_bounds"]


def bootstrap_ratio(
    numerator: FloatArray,
    denominator: FloatArray,
    *,
    rng: np.random.Generator,
    resamples: int = 1000,
    confidence: float = 0.95,
) -> Estimate:
    """Sum of ``numerator`` over sum of ``denominator``, of [units], with the percentile interval of resampled units.

    With a denominator of ones it is the mean; with counts per comparison it is a share resampled by comparison.
    """
    numerator, denominator = np.asarray(numerator, dtype=np.float64), np.asarray(denominator, dtype=np.float64)
    if numerator.shape != denominator.shape or numerator.ndim != 1:
        raise ValueError("denominator", f"an array of shape {numerator.shape}", denominator.shape)
    total = float(denominator.sum())
    if total == 0:
        return Estimate(None, reason="nothing to divide by")
    # Units that are alike are drawn together: the counts of a bootstrap sample are multinomial.
    kinds, counts = np.unique(np.stack([numerator, denominator], axis=1), axis=0, return_counts=True)
    ratios = np.concatenate([_ratios(draw, kinds) for draw in draws(counts, rng=rng, resamples=resamples)])
    low, high = percentile_interval(ratios, confidence=confidence)
    return Estimate(float(numerator.sum()) / total, low, high, len(numerator))


def _ratios(draw: FloatArray, kinds: FloatArray) -> FloatArray:
    sums = draw @ kinds
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios: FloatArray = np.where(sums[:, 1] == 0, np.nan, sums[:, 0] / sums[:, 1])
    return ratios


def draws(counts: IntArray, *, rng: np.random.Generator, resamples: int) -> Iterator[FloatArray]:
    """Bootstrap counts of the kinds of units, in blocks of shape [b, kinds] that stay within some 32 MB each."""
    total = int(counts.sum())
    block = max(1, 4_000_000 // max(1, len(counts)))
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        yield rng.multinomial(total, counts / total, size=size).astype(np.float64)


def percentile_interval(values: FloatArray, *, confidence: float = 0.95) -> tuple[float | None, float | None]:
    """Percentile interval of the resampled values that exist; None where none does."""
    values = values[np.isfinite(values)]
    if not values.size:
        return None, None
    low, high = np.quantile(values, [0.5 - confidence / 2, 0.5 + confidence / 2])
    return float(low), float(high)

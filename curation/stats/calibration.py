"""Whether probabilities mean what they say."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from curation.stats.votes import FloatArray, IntArray


class Calibration(NamedTuple):
    """Expected calibration error with the reliability diagram behind it, arrays of [bins]."""

    ece: float | None
    reason: str
    low_edge: FloatArray
    high_edge: FloatArray
    n: IntArray
    mean_probability: FloatArray
    """nan in an empty bin."""
    frequency: FloatArray
    """Share of outcomes that came true; nan in an empty bin."""


def ece(probability: npt.ArrayLike, outcome: npt.ArrayLike, bins: int = 10) -> Calibration:
    """Expected calibration error over equal-width bins (Naeini et al. 2015; Guo et al. 2017, eq. 3).

    ``probability`` in [0, 1] and ``outcome`` 0 or 1 have shape [n]; a bin holds its lower edge, the last both edges.
    """
    p, y = np.asarray(probability, dtype=np.float64), np.asarray(outcome, dtype=np.float64)
    if bins < 1:
        raise ValueError("bins", "1 or more", bins)
    if p.shape != y.shape or p.ndim != 1:
        raise ValueError("outcome", f"an array of shape {p.shape}", y.shape)
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError("probability", "numbers from 0 to 1", "others")
    if not np.isin(y, (0.0, 1.0)).all():
        raise ValueError("outcome", "0 or 1", "others")
    edges = np.linspace(0, 1, bins + 1)
    index = np.minimum((p * bins).astype(np.int64), bins - 1)
    n = np.bincount(index, minlength=bins)
    sums = np.stack([np.bincount(index, p, bins), np.bincount(index, y, bins)])
    means = np.where(n > 0, sums / np.maximum(n, 1), np.nan)
    error = float(np.abs(sums[0] - sums[1]).sum() / len(p)) if len(p) else None
    return Calibration(error, "" if len(p) else "no observations", edges[:-1], edges[1:], n, means[0], means[1])

"""A share with its interval: what collecting and curating both need in order to say how sure a figure is."""

from __future__ import annotations

from statistics import NormalDist
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

FloatArray: TypeAlias = npt.NDArray[np.float64]


class Estimate(NamedTuple):
    """A figure with its interval; a figure that does not exist is None, and ``reason`` says why."""

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int = 0
    reason: str = ""


def wilson(successes: float, n: float, *, confidence: float = 0.95) -> Estimate:
    """Wilson's score interval of a share (Wilson 1927, JASA 22; Brown, Cai & DasGupta 2001, eq. 4)."""
    if not 0 <= successes <= n:
        raise ValueError("successes", f"a count from 0 to n={n}", successes)
    if n == 0:
        return Estimate(None, reason="no observations")
    low, high = wilson_bounds(np.array([successes / n]), np.array([float(n)]), confidence=confidence)
    return Estimate(successes / n, float(low[0]), float(high[0]), int(n))


def wilson_bounds(share: FloatArray, n: FloatArray, *, confidence: float = 0.95) -> tuple[FloatArray, FloatArray]:
    """Bounds of Wilson's interval for shares of shape [m] of n observations each; nan where n is 0."""
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = 1 + z * z / n
        centre = (share + z * z / (2 * n)) / scale
        half = z / scale * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    empty = np.asarray(n) == 0
    low = np.where(empty, np.nan, np.where(share == 0, 0.0, centre - half))
    high = np.where(empty, np.nan, np.where(share == 1, 1.0, centre + half))
    return low, high

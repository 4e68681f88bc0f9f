"""Many concave functions of one number each, climbed at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np

from curation.stats.votes import FloatArray

_HALVINGS: Final = 30


class Curve(NamedTuple):
    """The functions at their points, all [n]."""

    value: FloatArray
    slope: FloatArray
    bend: FloatArray
    """Minus the second derivative; above 0."""


def ascend(curve: Callable[[FloatArray], Curve], start: FloatArray, *, steps: int) -> FloatArray:
    """Newton's method, each step halved for as long as it would lead down; never lower than at ``start``."""
    at = start
    for _ in range(steps):
        here = curve(at)
        step = here.slope / here.bend
        at = at + _halved(curve, at, here.value, step)
    return at


def _halved(curve: Callable[[FloatArray], Curve], at: FloatArray, value: FloatArray, step: FloatArray) -> FloatArray:
    for _ in range(_HALVINGS):
        lower = ~(curve(at + step).value >= value)
        if not lower.any():
            return step
        step = np.where(lower, step / 2, step)
    return np.where(lower, 0.0, step)

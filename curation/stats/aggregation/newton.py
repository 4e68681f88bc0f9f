"""Many concave functions of one number each, climbed at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np

from curation.stats.votes import FloatArray

_HALVINGS: Final = 60
_ROUNDING: Final = 1e-12


class Curve(NamedTuple):
    """The functions at their points, all [n]."""

    value: FloatArray
    slope: FloatArray
    bend: FloatArray
    """Minus the second derivative; above 0."""


def ascend(curve: Callable[[FloatArray], Curve], start: FloatArray, *, steps: int) -> FloatArray:
    """Newton's method, each step halved for as long as it would lead down, but for rounding."""
    here, at = curve(start), start
    for _ in range(steps):
        at, here = _stepped(curve, at, here)
    return at


def _stepped(curve: Callable[[FloatArray], Curve], at: FloatArray, here: Curve) -> tuple[FloatArray, Curve]:
    step, least = here.slope / here.bend, here.value - _ROUNDING * (1 + np.abs(here.value))
    for _ in range(_HALVINGS):
        there = curve(at + step)
        lower = ~(there.value >= least)
        if not lower.any():
            return at + step, there
        step = np.where(lower, step / 2, step)
    return at, here

"""Maximisation of smooth functions in numpy: limited-memory BFGS with a line search that never goes downhill."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np

from curation.stats.votes import FloatArray

Objective = Callable[[FloatArray], tuple[float, FloatArray]]
"""The value and its gradient at parameters of [n]."""

_RISE: Final = 1e-4  # share of the rise that the slope promises, which a step has to bring (Armijo)
_FLAT: Final = 0.9  # share of the slope that may be left along the step (Wolfe)
_TRIES: Final = 40  # of a step: 2^-40 of it is within rounding


class Maximum(NamedTuple):
    """Where a search ended."""

    at: FloatArray
    value: float
    n_iter: int
    converged: bool
    """False: ``max_iter`` came first."""


def maximise(
    objective: Objective,
    start: FloatArray,
    *,
    curvature: FloatArray | None = None,
    max_iter: int = 500,
    tol: float = 1e-6,
    memory: int = 10,
) -> Maximum:
    """A local maximum near ``start``, by L-BFGS (Nocedal and Wright 2006, algorithms 7.4 and 7.5).

    ``curvature`` of [n], above 0, is about how strongly the objective bends along each parameter: with it the search
    is as quick where one parameter rests on thousands of observations and the next on two. It has converged where the
    gradient, divided by the square root of the curvature, is below ``tol`` everywhere, or no step rises any more. The
    value never falls from one iteration to the next.
    """
    scale = np.ones_like(start) if curvature is None else 1 / np.sqrt(curvature)
    at = np.array(start, dtype=np.float64) / scale
    value, slope = _scaled(objective, at, scale)
    steps: deque[tuple[FloatArray, FloatArray]] = deque(maxlen=memory)
    for n_iter in range(max_iter):
        if np.abs(slope).max(initial=0.0) < tol:
            return Maximum(at * scale, value, n_iter, True)
        found = _search(objective, at, scale, value, slope, _direction(slope, steps))
        if found is None and not steps:
            return Maximum(
                at * scale, value, n_iter, True
            )  # no rise even straight uphill: rounding is all that is left
        if found is None:
            steps.clear()
            continue
        further, value, steeper = found
        moved, bent = further - at, slope - steeper
        if moved @ bent > 1e-10 * (bent @ bent):
            steps.append((moved, bent))
        at, slope = further, steeper
    return Maximum(at * scale, value, max_iter, bool(np.abs(slope).max(initial=0.0) < tol))


def _scaled(objective: Objective, at: FloatArray, scale: FloatArray) -> tuple[float, FloatArray]:
    value, slope = objective(at * scale)
    return value, slope * scale


def _direction(slope: FloatArray, steps: deque[tuple[FloatArray, FloatArray]]) -> FloatArray:
    """The slope times the inverse curvature that the last steps showed (the two loops of algorithm 7.4)."""
    direction, shares = slope.copy(), []
    for moved, bent in reversed(steps):
        share = float(moved @ direction) / float(moved @ bent)
        direction -= share * bent
        shares.append(share)
    if steps:
        moved, bent = steps[-1]
        direction *= float(moved @ bent) / float(bent @ bent)
    for (moved, bent), share in zip(steps, reversed(shares), strict=True):
        direction += (share - float(bent @ direction) / float(moved @ bent)) * moved
    return direction


def _search(
    objective: Objective, at: FloatArray, scale: FloatArray, value: float, slope: FloatArray, direction: FloatArray
) -> tuple[FloatArray, float, FloatArray] | None:
    """A step that rises enough and flattens the slope (Lewis and Overton 2013, algorithm 2.6); None where none rises.

    Flatter than before is what makes the curvature seen positive, so that memory is never poisoned.
    """
    promised = float(slope @ direction)
    step, low, high = 1.0, 0.0, np.inf
    best: tuple[FloatArray, float, FloatArray] | None = None
    for _ in range(_TRIES if promised > 0 else 0):
        further = at + step * direction
        reached, steeper = _scaled(objective, further, scale)
        if not reached > value + _RISE * step * promised:
            high = step
        else:
            best = (further, reached, steeper)
            if float(steeper @ direction) <= _FLAT * promised:
                return best
            low = step
        step = (low + high) / 2 if high < np.inf else 2 * low
    return best

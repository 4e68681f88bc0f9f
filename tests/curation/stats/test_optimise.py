"""The search against optima known by hand."""

from __future__ import annotations

import numpy as np
import pytest

from curation.stats.optimise import maximise
from curation.stats.votes import FloatArray


def valley(at: FloatArray) -> tuple[float, FloatArray]:
    """Minus Rosenbrock's function: a curved valley with its only optimum, 0, at (1, 1)."""
    x, y = at
    value = -((1 - x) ** 2 + 100 * (y - x * x) ** 2)
    return float(value), np.array([2 * (1 - x) + 400 * x * (y - x * x), -200 * (y - x * x)])


def test_the_end_of_a_curved_valley_is_found() -> None:
    found = maximise(valley, np.array([-1.2, 1.0]))
    assert found.converged
    assert found.at == pytest.approx([1, 1], abs=1e-5)


def test_the_value_never_falls() -> None:
    values = [maximise(valley, np.array([-1.2, 1.0]), max_iter=n).value for n in range(1, 30)]
    assert (np.diff(values) >= 0).all()


def test_a_search_that_was_cut_short_says_so() -> None:
    found = maximise(valley, np.array([-1.2, 1.0]), max_iter=3)
    assert (found.converged, found.n_iter) == (False, 3)


def test_known_curvature_makes_unlike_scales_one_step() -> None:
    # -(10^6 x² + y²)/2 with its curvature (10^6, 1) is a ball after scaling: the first step ends at the top.
    bend = np.array([1e6, 1.0])
    found = maximise(lambda x: (-float(bend @ x**2) / 2, -bend * x), np.array([3.0, -5.0]), curvature=bend)
    assert (found.n_iter, found.converged) == (1, True)
    assert found.at == pytest.approx([0, 0], abs=1e-9)


def test_nothing_to_search_ends_at_once() -> None:
    found = maximise(lambda x: (0.0, x), np.zeros(0))
    assert (found.n_iter, found.converged) == (0, True)

"""The choices of assigning and judging, as tables."""

from __future__ import annotations

import numpy as np
import pytest

from annotate import policies
from annotate.policies import OrderCounts


@pytest.mark.parametrize(
    ("comparison", "rater", "expected"),
    [
        ((1, 0), (0, 9), "ba"),  # the comparison lacks ba, whatever the rater saw
        ((0, 1), (9, 0), "ab"),
        ((2, 1), (0, 0), "ba"),
        ((0, 0), (5, 4), "ba"),  # the comparison is even: the rater's own balance decides
        ((1, 1), (4, 5), "ab"),
    ],
)
def test_the_order_that_is_lacking_is_shown(
    comparison: tuple[int, int], rater: tuple[int, int], expected: str, rng: np.random.Generator
) -> None:
    assert policies.order_to_show(OrderCounts(*comparison), OrderCounts(*rater), rng) == expected


def test_where_all_is_even_the_lot_decides_and_the_seed_fixes_it() -> None:
    even = OrderCounts(0, 0)
    first = [policies.order_to_show(even, even, np.random.default_rng(seed)) for seed in range(64)]
    again = [policies.order_to_show(even, even, np.random.default_rng(seed)) for seed in range(64)]
    assert first == again
    assert set(first) == {"ab", "ba"}


def test_start_points_lie_in_the_unit_interval_and_spread(rng: np.random.Generator) -> None:
    points = [policies.start_point(rng) for _ in range(1000)]
    assert 0 <= min(points) < 0.05
    assert 0.95 < max(points) < 1


@pytest.mark.parametrize(("taken", "overlap", "expected"), [(0, 1, False), (2, 3, False), (3, 3, True), (4, 3, True)])
def test_a_comparison_has_enough_when_every_seat_is_taken(taken: int, overlap: int, expected: bool) -> None:
    assert policies.enough(taken, overlap) is expected


@pytest.mark.parametrize(("taken", "overlap"), [(-1, 3), (0, 0)])
def test_enough_refuses_counts_that_cannot_be(taken: int, overlap: int) -> None:
    with pytest.raises(ValueError, match="seats_taken"):
        policies.enough(taken, overlap)


@pytest.mark.parametrize(
    ("levels", "allow_tie", "expected"),
    [
        (1, True, [-1, 0, 1]),
        (1, False, [-1, 1]),
        (2, True, [-2, -1, 0, 1, 2]),
        (3, False, [-3, -2, -1, 1, 2, 3]),
        (3, True, [-3, -2, -1, 0, 1, 2, 3]),
    ],
)
def test_the_scale_runs_from_left_to_right(levels: int, allow_tie: bool, expected: list[int]) -> None:
    assert policies.screen_values(levels, allow_tie=allow_tie) == expected


@pytest.mark.parametrize("levels", [0, 4])
def test_the_scale_refuses_other_numbers_of_levels(levels: int) -> None:
    with pytest.raises(ValueError, match="levels"):
        policies.screen_values(levels, allow_tie=True)


@pytest.mark.parametrize(
    ("screen", "order", "preference"),
    [
        (-2, "ab", -2),  # a stood left and left is better: a
        (-2, "ba", 2),  # b stood left and left is better: b
        (3, "ab", 3),
        (3, "ba", -3),
        (0, "ba", 0),
    ],
)
def test_a_screen_answer_means_a_or_b_by_the_order_shown(screen: int, order: str, preference: int) -> None:
    assert policies.to_identity(screen, order) == preference
    assert policies.to_screen(preference, order) == screen


def test_an_unknown_order_is_refused() -> None:
    with pytest.raises(ValueError, match="order"):
        policies.to_identity(1, "left")

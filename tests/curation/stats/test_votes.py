"""Votes as arrays: which side was shown first, what a selection keeps, which items recur."""

from __future__ import annotations

import numpy as np
import pytest

from curation.stats import Pairs, Reading, Votes, checked_pairs, combine_readings

THREE = Votes.from_rows([Reading("x", "ann", -2, 0.5, 1), Reading("x", "bob", 1, 2.0, 0), ("y", "bob", 3)])


def test_readings_bring_their_weight_and_order_and_plain_rows_have_neither() -> None:
    assert THREE.weight.tolist() == [0.5, 2, 1]
    assert THREE.a_first.tolist() == [1, 0, -1]
    assert THREE.a_first.dtype == np.int8


def test_a_judge_asked_in_both_orders_has_no_order_and_one_asked_twice_in_the_same_has_it() -> None:
    combined = combine_readings(
        [
            Reading("x", "gpt", -1, a_first=1),
            Reading("x", "gpt", 1, a_first=0),
            Reading("y", "gpt", 2, a_first=0),
            Reading("y", "gpt", None, a_first=1),  # could not be read: it brings no order
        ]
    )

    assert Votes.from_rows(combined).a_first.tolist() == [-1, 0]


def test_a_selection_keeps_every_column_and_all_numbers() -> None:
    kept = THREE.select(np.array([False, True, True]))

    assert (kept.comparison.tolist(), kept.rater.tolist()) == ([0, 1], [1, 1])
    assert (kept.strength.tolist(), kept.weight.tolist(), kept.a_first.tolist()) == ([1, 3], [2, 1], [0, -1])
    assert (kept.comparisons, kept.raters) == (THREE.comparisons, THREE.raters)


def test_shared_votes_are_those_beside_another_one_and_their_comparisons_are_numbered_anew() -> None:
    rows = [
        ("alone", "ann", 1),
        ("x", "ann", 1),
        ("x", "bob", -1),
        ("none", "bob", None),
        ("y", "bob", 1),
        ("y", "ann", 1),
    ]
    shared = Votes.from_rows(rows).shared()

    assert shared.comparison.tolist() == [0, 0, 1, 1]
    assert shared.comparisons == (1, 3)  # where they stood
    assert shared.raters == ("ann", "bob")


@pytest.mark.parametrize("orders", [np.array([1, 0]), np.array([1, 0, 2]), np.array([[1], [0], [1]])])
def test_orders_that_fit_no_votes_are_refused(orders: np.ndarray) -> None:
    with pytest.raises(ValueError, match="a_first"):
        Votes.from_arrays(np.arange(3), np.zeros(3, dtype=int), np.ones(3), a_first=orders)


def test_pairs_that_fit_are_taken_as_they_are() -> None:
    pairs = checked_pairs(Pairs(np.array([0, 4]), np.array([1, 0]), 5), THREE)

    assert (pairs.a.tolist(), pairs.b.tolist(), pairs.n) == ([0, 4], [1, 0], 5)


@pytest.mark.parametrize(
    ("pairs", "why"),
    [
        (None, "two items"),
        (Pairs(np.array([0]), np.array([1]), 2), r"shape \(2,\)"),  # two comparisons
        (Pairs(np.array([0, 2]), np.array([1, 0]), 2), "highest item, 2"),
        (Pairs(np.array([0, -1]), np.array([1, 0]), 2), "codes from 0"),
        (Pairs(np.array([0, 1]), np.array([1, 1]), 2), "1 twice in comparison 1"),
    ],
)
def test_pairs_that_do_not_fit_are_refused_with_the_reason(pairs: Pairs | None, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        checked_pairs(pairs, THREE)

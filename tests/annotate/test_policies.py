"""The choices of assigning and judging, as tables."""

from __future__ import annotations

from collections import Counter
from typing import Final, NamedTuple

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
    comparison: tuple[int, int], rater: tuple[int, int], expected: policies.Order
) -> None:
    for lot in policies.ORDERS:
        assert policies.order_to_show(OrderCounts(*comparison), OrderCounts(*rater), lot) == expected


def test_where_all_is_even_the_lot_decides() -> None:
    even = OrderCounts(0, 0)
    assert [policies.order_to_show(even, even, lot) for lot in policies.ORDERS] == ["ab", "ba"]


def test_the_same_project_rater_and_number_draw_the_same_lots() -> None:
    first = [policies.draw(policies.lots(1, 2, number)) for number in range(64)]
    assert first == [policies.draw(policies.lots(1, 2, number)) for number in range(64)]
    assert len(set(first)) == 64
    assert {d.order for d in first} == {"ab", "ba"}
    assert policies.draw(policies.lots(2, 1, 0)) != first[0]


class Rates(NamedTuple):
    gold_rate: float = 0.0
    repeat_rate: float = 0.0


@pytest.mark.parametrize(
    ("form", "lot", "expected"),
    [
        (Rates(), 0.0, "work"),  # nothing is hidden where the form asks for nothing
        (Rates(0.125, 0.25), 0.1249, "gold"),
        (Rates(0.125, 0.25), 0.125, "repeat"),
        (Rates(0.125, 0.25), 0.3749, "repeat"),
        (Rates(0.125, 0.25), 0.375, "work"),
        (Rates(0.5, 0.5), 0.999, "repeat"),  # the most that a form may ask for leaves no work
    ],
)
def test_the_lot_says_what_an_assignment_is_for(form: Rates, lot: float, expected: str) -> None:
    assert policies.purpose(form, lot) == expected


def test_the_shares_of_gold_and_repeats_come_out_as_asked() -> None:
    # 10,000 draws: the standard deviation of each share is at most sqrt(.25 * .75 / 10,000) = 0.0043; four of them.
    form = Rates(0.1, 0.25)
    drawn = Counter(policies.purpose(form, policies.draw(policies.lots(3, 9, n)).purpose) for n in range(10_000))
    assert drawn["gold"] / 10_000 == pytest.approx(0.1, abs=0.012)
    assert drawn["repeat"] / 10_000 == pytest.approx(0.25, abs=0.0175)


@pytest.mark.parametrize(
    ("language", "languages", "expected"),
    [
        ("", ["de"], True),  # a text without a language is for everybody
        ("de", [], True),  # a rater without languages judges any
        ("de", ["en", "de"], True),
        ("de-AT", ["de"], True),  # a tag covers what refines it
        ("de", ["de-AT"], True),
        ("DE-at", ["de-AT"], True),  # letter case does not matter
        ("den", ["de"], False),  # Slavey is no German
        ("zh-Hant", ["zh-Hans"], False),
        ("fr", ["de", "en"], False),
    ],
)
def test_a_language_is_judged_by_those_who_know_it(language: str, languages: list[str], expected: bool) -> None:
    assert policies.speaks(language, languages) is expected


@pytest.mark.parametrize(
    ("needed", "has", "expected"),
    [
        ([], [], True),
        (["law"], [], False),
        (["law"], ["Law", "code"], True),
        (["law", "code"], ["law"], False),  # all of them are needed
    ],
)
def test_a_lane_is_entered_with_all_its_skills(needed: list[str], has: list[str], expected: bool) -> None:
    assert policies.may_enter(policies.Place(1, needed), skills=has, languages=[]) is expected


LANES: Final = [
    policies.Place(0),
    policies.Place(1, stratum="hard"),
    policies.Place(2, ["law"], stratum="hard"),
    policies.Place(3, stratum="easy"),
]


def test_by_chance_and_in_order_all_lanes_are_one_turn(rng: np.random.Generator) -> None:
    for ordering in ("random", "sequence"):
        assert policies.turns(LANES, ordering, rng) == [[0, 1, 2, 3]]


def test_mixed_gives_every_stratum_the_first_turn_equally_often() -> None:
    first = Counter(tuple(policies.turns(LANES, "mixed", policies.lots(1, 1, number))[0]) for number in range(3000))
    # A third each, whatever the size of a stratum: sd = sqrt(1/3 * 2/3 / 3000) = 0.0086; four of them.
    assert set(first) == {(0,), (1, 2), (3,)}
    for n in first.values():
        assert n / 3000 == pytest.approx(1 / 3, abs=0.035)


def test_mixed_tries_every_lane_once(rng: np.random.Generator) -> None:
    assert sorted(lane for turn in policies.turns(LANES, "mixed", rng) for lane in turn) == [0, 1, 2, 3]


@pytest.mark.parametrize(("count", "quota", "expected"), [(0, 0, False), (99, 0, False), (4, 5, False), (5, 5, True)])
def test_a_quota_of_nothing_has_no_end(count: int, quota: int, expected: bool) -> None:
    assert policies.reached(count, quota) is expected


@pytest.mark.parametrize(
    ("sides", "overlap", "most", "expected"),
    [
        ([1, 1, 1], 3, 5, "nobody"),
        ([1, 1, -1], 3, 5, "nobody"),  # two thirds lead
        ([1, 0, -1], 3, 5, "one"),
        ([1, -1], 2, 5, "one"),
        ([1, -1], 2, 2, "expert"),  # no more may be asked
        ([1, 1, -1, -1, 0], 5, 5, "expert"),
        ([None, None, 1], 3, 5, "nobody"),  # both bad is an answer like the others
        ([1, -1], 2, None, "nobody"),  # a form without a most never asks on
        ([], 1, 3, "nobody"),
    ],
)
def test_more_people_are_asked_only_where_they_disagree(
    sides: list[int | None], overlap: int, most: int | None, expected: str
) -> None:
    assert policies.wants_more(sides, overlap=overlap, most=most) == expected


def test_start_points_lie_in_the_unit_interval_and_spread(rng: np.random.Generator) -> None:
    points = [policies.start_point(rng) for _ in range(1000)]
    assert 0 <= min(points) < 0.05
    assert 0.95 < max(points) < 1


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

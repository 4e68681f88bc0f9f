"""Plans: by hand, and of the power that they promise in simulation."""

from __future__ import annotations

import numpy as np
import pytest

from curation.stats.planning import Goal, Judge, People, by_judge, by_mix, by_people, correlation, power_of, smallest
from curation.stats.prediction_powered import prediction_powered

PAID = {"seconds": 36.0, "hourly": 20.0}  # 0.20 a judgement


def comparisons(n: int, agreement: float, difference: float, rng: np.random.Generator) -> np.ndarray:
    """[n] chances that a vote is +1: beta, so that two votes on one correlate by 2 · agreement - 1."""
    mean, spread = (1 + difference) / 2, (2 * agreement - 1 - difference**2) / 4
    size = mean * (1 - mean) / spread - 1
    return rng.beta(mean * size, (1 - mean) * size, n)


def votes(chance: np.ndarray, raters: int, rng: np.random.Generator) -> np.ndarray:
    """[n] means of the raters' votes."""
    return ((rng.random((len(chance), raters)) < chance[:, None]) * 2.0 - 1).mean(axis=1)


def test_people_who_agree_as_chance_does_need_what_a_coin_needs() -> None:
    # Two votes on one comparison are as good as two comparisons: (1.95996 + .84162)² / .2² = 196.2, halved by two.
    chance = People(agreement=0.5, **PAID)
    assert [by_people(Goal(0.2), chance, k).comparisons for k in (1, 2)] == [197, 99]  # type: ignore[union-attr]


def test_people_who_always_agree_gain_nothing_from_a_second_one() -> None:
    # Variance 1 - .2² = .96 with any number of raters: 7.849 · .96 / .04 = 188.4.
    one = People(agreement=1.0, **PAID)
    assert {by_people(Goal(0.2), one, k).comparisons for k in (1, 2, 5)} == {189}  # type: ignore[union-attr]


def test_a_plan_says_hours_and_money() -> None:
    plan = by_people(Goal(0.2), People(agreement=0.5, **PAID), 2)
    assert plan is not None
    assert (plan.judgements, plan.hours, plan.money) == (198, pytest.approx(1.98), pytest.approx(39.6))


def test_ties_make_votes_smaller_and_so_does_their_variance() -> None:
    # s² = .5: 7.849 · (.5 · (0 + 1)) / .04 = 98.1 comparisons where people agree as by chance.
    half = People(agreement=0.5, ties=0.5, **PAID)
    assert by_people(Goal(0.2), half, 1).comparisons == 99  # type: ignore[union-attr]


def test_power_and_the_smallest_difference_are_each_others_inverse() -> None:
    people = People(agreement=0.75, **PAID)
    plan = by_people(Goal(0.15), people, 3)
    assert plan is not None
    assert power_of(plan.comparisons, 3, people, 0.15) == pytest.approx(0.8, abs=0.003)
    assert smallest(plan.comparisons, 3, people) == pytest.approx(0.15, abs=0.001)
    assert smallest(2, 1, people) is None  # nothing can be seen in two
    assert smallest(100, 3, people) < smallest(50, 3, people)  # type: ignore[operator]


@pytest.mark.statistical
@pytest.mark.parametrize(("difference", "agreement", "raters"), [(0.2, 0.75, 1), (0.2, 0.75, 3), (0.15, 0.85, 2)])
def test_a_plan_of_people_has_the_power_that_it_promises(difference: float, agreement: float, raters: int) -> None:
    """Within 3 points of 80 %; the standard error over 2,000 repetitions is .9."""
    rng = np.random.default_rng(30)
    plan = by_people(Goal(difference), People(agreement=agreement, **PAID), raters)
    assert plan is not None
    seen = 0
    for _ in range(2000):
        mean = votes(comparisons(plan.comparisons, agreement, difference, rng), raters, rng)
        seen += mean.mean() > 1.959964 * mean.std(ddof=1) / len(mean) ** 0.5
    assert seen / 2000 == pytest.approx(0.8, abs=0.03)


@pytest.mark.statistical
@pytest.mark.parametrize(("agreement", "judge", "raters"), [(0.75, 0.72, 1), (0.9, 0.86, 1), (0.75, 0.70, 3)])
def test_a_mix_has_the_power_that_it_promises_with_the_estimate_that_the_product_makes(
    agreement: float, judge: float, raters: int
) -> None:
    rng = np.random.default_rng(31)
    plan = by_mix(Goal(0.2), People(agreement=agreement, **PAID), Judge(judge, 0.005), raters)
    assert plan is not None
    share, seen = plan.asked / plan.comparisons, 0
    faithful = (2 * judge - 1) / (2 * agreement - 1)
    for _ in range(1200):
        chance = comparisons(plan.comparisons, agreement, 0.2, rng)
        said = (rng.random(len(chance)) < 0.5 + faithful * (chance - 0.5)) * 2.0 - 1
        asked = np.where(rng.random(len(chance)) < share, votes(chance, raters, rng), np.nan)
        seen += (prediction_powered(said, asked, share, bounds=(-1, 1)).corrected.low or 0) > 0
    assert seen / 1200 == pytest.approx(0.8, abs=0.03)


def test_a_mix_with_a_good_and_cheap_judge_costs_less_than_people_and_asks_fewer() -> None:
    people, judge = People(agreement=0.9, **PAID), Judge(0.88, 0.002)
    mix, alone = by_mix(Goal(0.1), people, judge, 1), by_people(Goal(0.1), people, 1)
    assert mix is not None
    assert alone is not None
    assert mix.asked < 0.6 * alone.asked
    assert mix.money < 0.7 * alone.money
    assert mix.comparisons > alone.comparisons


def test_the_split_of_a_mix_is_the_cheapest_one() -> None:
    """Every other audit that reaches the same variance costs more (searched by hand)."""
    people, judge, goal = People(agreement=0.85, **PAID), Judge(0.8, 0.01), Goal(0.1)
    plan = by_mix(goal, people, judge, 1)
    assert plan is not None
    for labelled in np.linspace(plan.comparisons * 0.5, plan.comparisons * 2, 40):
        other = by_mix(goal, people, Judge(judge.agreement, 0.0), 1, available=int(labelled))
        if other is not None:
            assert other.asked * people.price + other.comparisons * judge.price >= plan.money * 0.995


def test_a_judge_below_chance_is_no_help_and_one_alone_is_no_plan() -> None:
    people, bad = People(agreement=0.8, **PAID), Judge(0.45, 0.001)
    assert by_judge(Goal(0.1), people, bad) is None
    assert by_mix(Goal(0.1), people, bad, 1) is None
    assert correlation(people, bad, 1) == 0.0


def test_a_judge_alone_sees_a_difference_shrunk_by_its_errors() -> None:
    # r = .5: it shows .1 of a difference of .2. 7.849 · (1 - .01) / .01 = 777.1.
    plan = by_judge(Goal(0.2), People(agreement=0.8, **PAID), Judge(0.75, 0.01))
    assert plan is not None
    assert (plan.comparisons, plan.judgements, plan.money) == (778, 0, pytest.approx(7.78))


def test_too_few_comparisons_make_no_mix() -> None:
    assert by_mix(Goal(0.05), People(agreement=0.8, **PAID), Judge(0.9, 0.001), 1, available=50) is None


@pytest.mark.parametrize(
    ("named", "make"),
    [
        ("difference", lambda: Goal(0.0)),
        ("difference", lambda: Goal(float("nan"))),
        ("power", lambda: Goal(0.1, power=0.01)),
        ("alpha", lambda: Goal(0.1, alpha=0.0)),
        ("agreement", lambda: People(agreement=0.4, **PAID)),
        ("seconds", lambda: People(agreement=0.8, seconds=0, hourly=1)),
        ("hourly", lambda: People(agreement=0.8, seconds=1, hourly=-1)),
        ("ties", lambda: People(agreement=0.8, ties=1.0, **PAID)),
        ("judge_agreement", lambda: Judge(1.2, 0)),
        ("judge_price", lambda: Judge(0.8, -1)),
    ],
)
def test_what_cannot_be_is_refused_by_name(named: str, make: object) -> None:
    with pytest.raises(ValueError, match=named):
        make()  # type: ignore[operator]


def test_a_difference_too_small_to_see_is_no_plan() -> None:
    assert by_people(Goal(1e-6), People(agreement=0.8, **PAID), 1) is None

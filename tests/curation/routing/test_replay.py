"""Policies replayed on comparisons that people have judged, one budget after another."""

from __future__ import annotations

import numpy as np
import pytest

from curation.routing import Item, extract, uncertainty
from curation.routing.learned import adaptive_overlap
from curation.routing.policies import at_random
from curation.routing.simulation import Recorded, Spent, agreement, curve, replay

PERSON = np.array([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]])


def recorded(n: int = 300, votes: int = 4, seed: int = 0) -> tuple[Recorded, np.ndarray]:
    """Judges know half of the comparisons well and the others not at all; people are right four times in five."""
    draw = np.random.default_rng(seed)
    truth = draw.integers(0, 2, n) * 2
    sure = np.arange(n) < n // 2
    p_b = np.where(sure, np.where(truth == 2, 0.95, 0.05), 0.5)
    flipped = sure & (draw.random(n) < 0.05)
    p_b = np.where(flipped, 1 - p_b, p_b)
    said = (PERSON.cumsum(axis=1)[truth][:, None, :] < draw.random((n, votes, 1))).sum(axis=2)
    items = [Item(i, "p", "a", "b", judge_probability=float(p)) for i, p in enumerate(p_b)]
    base = np.stack([1 - p_b, np.zeros(n), p_b], axis=1)
    return Recorded(extract(items), base, said, PERSON, judge_price=0.1), truth


def right(points: list[Spent], truth: np.ndarray) -> list[float]:
    return [float(agreement(point.posterior, truth).mean()) for point in points]


def test_nothing_bought_is_what_the_judges_say_and_everything_is_everything() -> None:
    world, _ = recorded()
    start, end = replay(world, at_random, [0, 1], rng=np.random.default_rng(0))

    assert (start.human_share, start.money) == (0, 30)  # 300 comparisons at .1 for the judges
    assert start.posterior == pytest.approx(world.base)
    assert (end.human_share, end.bought.min(), end.money) == (1, 4, 1230)


@pytest.mark.parametrize("policy", [at_random, uncertainty, adaptive_overlap])
@pytest.mark.parametrize("bundle", [1, None])
def test_no_policy_spends_more_than_the_share(policy, bundle) -> None:  # type: ignore[no-untyped-def]
    points = replay(recorded(60)[0], policy, [0.1, 0.33, 0.7], rng=np.random.default_rng(1), bundle=bundle)

    assert all(p.human_share <= share + 0.003 for p, share in zip(points, [0.1, 0.33, 0.7], strict=True))
    assert all((p.bought <= 4).all() for p in points)
    if policy is not adaptive_overlap:
        assert [p.human_share for p in points] == pytest.approx([0.1, 0.33, 0.7], abs=0.003)


def test_adaptive_overlap_beats_random_at_the_same_cost_where_the_judges_know_what_they_know() -> None:
    world, truth = recorded(600)
    shares = [0.2, 0.4]
    smart = right(replay(world, adaptive_overlap, shares, rng=np.random.default_rng(1), bundle=1), truth)
    chance = right(replay(world, at_random, shares, rng=np.random.default_rng(1), bundle=1), truth)

    assert smart[0] > chance[0] + 0.03
    assert smart[1] > chance[1] + 0.03


def test_it_stops_where_nothing_pays() -> None:
    # Everybody is sure and right: the consensus is certain after few answers, and the rest is never bought.
    world, _ = recorded()
    certain = world._replace(confusion=np.eye(3) * 0.97 + 0.01, ballots=np.tile(world.ballots[:, :1], 4))
    end = replay(certain, adaptive_overlap, [1.0], rng=np.random.default_rng(0), bundle=1, exploration=0, audit_share=0)

    assert end[0].human_share < 0.6


def test_comparisons_nobody_has_judged_stay_as_they_are() -> None:
    world, _ = recorded(20)
    empty = world._replace(ballots=np.full((20, 3), -1))
    (point,) = replay(empty, at_random, [1.0], rng=np.random.default_rng(0))
    assert (point.human_share, point.bought.sum()) == (0, 0)


def test_equally_likely_classes_each_count_their_part() -> None:
    posterior = np.array([[0.5, 0.0, 0.5], [0.2, 0.2, 0.6], [1 / 3, 1 / 3, 1 / 3], [1.0, 0, 0]])
    found = agreement(posterior, np.array([2, 2, 1, -1]))

    assert found[:3] == pytest.approx([0.5, 1, 1 / 3])
    assert np.isnan(found[3])


def test_a_curve_has_quality_share_and_money_with_intervals() -> None:
    world, truth = recorded(400)
    nobody, some, everybody = curve(
        world, truth, adaptive_overlap, [0, 0.3, 1], rng=np.random.default_rng(2), repeats=2, bundle=1
    )

    assert (nobody.human_share, nobody.money, nobody.above_random.value) == (0, 40, 0)
    assert some.above_random.low is not None
    assert some.above_random.low > 0  # see above: more than .03 better
    assert everybody.accuracy.value is not None
    assert everybody.accuracy.value > some.accuracy.value > nobody.accuracy.value  # type: ignore[operator]
    assert everybody.money <= 40 + 4 * 400


def test_what_nobody_was_held_out_of_is_left_out() -> None:
    world, truth = recorded(40)
    held = np.where(np.arange(40) < 10, truth, -1)
    (point,) = curve(world, held, at_random, [0.0], rng=np.random.default_rng(0), repeats=1)
    assert point.accuracy.n == 10
    with pytest.raises(ValueError, match="repeats"):
        curve(world, held, at_random, [0.0], rng=np.random.default_rng(0), repeats=0)


def test_falling_shares_are_refused() -> None:
    with pytest.raises(ValueError, match="shares"):
        replay(recorded(10)[0], at_random, [0.5, 0.2], rng=np.random.default_rng(0))

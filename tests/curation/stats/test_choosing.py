"""Which method suits which votes: a table of shapes, and the rules held against votes that no method has seen."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from curation.stats import METHODS, Pairs, Votes, aggregate
from curation.stats.aggregation.choosing import Facts, choose, facts_of
from tests.curation.stats.worlds import Ukp, World, item_world, ukp

SKILLS = [0.85] * 10


def unique_pairs(each: int = 3) -> tuple[Votes, Pairs]:
    votes = Votes.from_rows([(c, r, (-1) ** (c + r)) for c in range(30) for r in range(each)])
    return votes, Pairs(np.arange(30), np.arange(30, 60), 60)


def tournament(**changes: object) -> World:
    return item_world(np.random.default_rng(1), SKILLS, items=20, comparisons=200, **changes)  # type: ignore[arg-type]


def test_nothing_judged_is_counted_as_nothing() -> None:
    choice = choose(Votes.from_rows([("x", "ann", None)]))
    assert (choice.method, choice.reason) == ("majority", "Nothing has been judged yet.")


def test_one_vote_of_one_rater_is_taken_for_an_ordinary_one() -> None:
    choice = choose(Votes.from_rows([("x", "ann", -1)]))
    assert choice.method == "joint"
    assert "one vote" in choice.reason


def test_responses_that_stand_once_leave_it_to_the_raters() -> None:
    votes, pairs = unique_pairs()
    choice = choose(votes, pairs=pairs)
    assert (choice.method, choice.facts.recurrence) == ("joint", 1.0)
    assert "1.0 comparisons each" in choice.reason
    assert "3.0 on average" in choice.reason


def test_responses_that_recur_speak_for_each_other() -> None:
    world = tournament()  # 200 comparisons of 20 items: 20 each, the rarer of two somewhat less
    choice = choose(world.votes, pairs=world.pairs)
    assert choice.method == "crowd-bt"
    assert choice.facts.recurrence == pytest.approx(18, abs=2)
    assert f"{choice.facts.recurrence:.1f} comparisons each" in choice.reason


def test_everything_against_one_baseline_is_no_recurrence() -> None:
    votes, _ = unique_pairs()
    star = Pairs(np.zeros(30, dtype=np.int64), np.arange(1, 31), 31)
    assert choose(votes, pairs=star).method == "joint"


def test_only_comparisons_with_votes_count_as_recurring() -> None:
    votes, pairs = unique_pairs()
    many = 500
    padded = Votes.from_arrays(votes.comparison, votes.rater, votes.strength, comparisons=tuple(range(30 + many)))
    twice = Pairs(np.append(pairs.a, np.zeros(many, int)), np.append(pairs.b, np.ones(many, int)), pairs.n)
    assert choose(padded, pairs=twice).facts.recurrence == 1.0


def test_a_habit_of_side_is_told_apart_from_scores() -> None:
    world = tournament(each=5, left=frozenset(range(6)))
    choice = choose(world.votes, pairs=world.pairs)
    assert choice.method == "bradley-terry"
    assert "shown first" in choice.reason


@pytest.mark.parametrize(
    ("judges", "recurring", "method"),
    [
        (3, False, "joint"),  # nobody but judges
        (2, False, "joint"),  # judges beside people, nothing recurs
        (1, False, "joint"),
        (1, True, "crowd-bt"),  # two people for each comparison
        (2, True, "joint"),  # one: judges could bend the scores to their taste
        (0, True, "crowd-bt"),
    ],
)
def test_judges_are_taken_together_unless_responses_recur_and_two_people_judged_each_comparison(
    judges: int, recurring: bool, method: str
) -> None:
    votes, unique = unique_pairs()
    pairs = Pairs(np.arange(30) % 5, 5 + np.arange(30) // 5 % 5, 10) if recurring else unique
    choice = choose(votes, pairs=pairs, is_judge=np.arange(3) < judges)
    assert (choice.method, choice.facts.judges) == (method, judges)
    assert (choice.facts.of_judges, choice.facts.votes) == (30 * judges, 90)


def test_every_shape_gets_a_known_method_and_one_sentence() -> None:
    for each in (1, 2, 4):
        world = tournament(each=each)
        for pairs in (None, world.pairs):
            choice = choose(world.votes, pairs=pairs)
            assert choice.method in METHODS
            assert choice.reason.endswith(".")
            assert ". " not in choice.reason


def test_facts_count_what_there_is() -> None:
    votes = Votes.from_arrays(
        np.array([0, 0, 1, 2]),
        np.array([0, 1, 0, 1]),
        np.array([-3.0, 1.0, 0.0, 2.0]),
        a_first=np.array([1, 1, 0, -1], dtype=np.int8),
        comparisons=("x", "y", "z", "not judged"),
        raters=("ann", "gpt", "absent"),
    )
    facts = facts_of(votes, is_judge=np.array([False, True, True]))
    assert facts == Facts(
        comparisons=3,
        votes=4,
        of_judges=2,
        raters=2,
        judges=1,
        per_comparison=4 / 3,
        repeated=1 / 3,
        recurrence=None,
        levels=3,
        first=facts.first,
    )
    assert (facts.first.value, facts.first.n) == (0.5, 2)  # of two decided with a known order, one went to the first


def test_judges_of_another_number_than_raters_are_an_error_that_names_it() -> None:
    with pytest.raises(ValueError, match="is_judge"):
        choose(Votes.from_rows([("x", "ann", -1)]), is_judge=np.zeros(2, dtype=bool))


@pytest.fixture(scope="module")
def real() -> Ukp:
    return ukp(topics=6)


def unseen_losses(
    data: Ukp, each: int, kept: Callable[[np.random.Generator], np.ndarray]
) -> tuple[str, dict[str, float]]:
    """The method chosen for a part of the votes, and of joint and crowd-bt the log-loss on the others'."""
    draw = np.random.default_rng(0)
    of = kept(draw)
    order = draw.permutation(np.flatnonzero(of[data.comparison]))
    order = order[np.argsort(data.comparison[order], kind="stable")]
    rank = np.arange(len(order)) - np.searchsorted(data.comparison[order], data.comparison[order])
    votes, unseen = data.votes(order[rank < each], data.preference), order[rank >= each]
    said = np.sign(data.preference[unseen]).astype(np.int64) + 1
    losses = {}
    for method in ("joint", "crowd-bt"):
        fit = aggregate(votes, method, pairs=data.pairs)
        chances = np.einsum("nk,nkl->nl", fit.posterior[data.comparison[unseen]], fit.confusion[data.rater[unseen]])
        losses[method] = float(-np.log(chances[np.arange(len(said)), said]).mean())
    return choose(votes, pairs=data.pairs).method, losses


def of_each_item_once(data: Ukp, draw: np.random.Generator) -> np.ndarray:
    used, kept = set[int](), np.zeros(len(data.gold), dtype=bool)
    for c in draw.permutation(len(data.gold)):
        both = {int(data.pairs.a[c]), int(data.pairs.b[c])}
        kept[c] = not both & used
        used |= both if kept[c] else set()
    return kept


@pytest.mark.statistical
@pytest.mark.parametrize("each", [1, 3])
def test_where_items_recur_the_chosen_method_says_better_what_people_will_say(real: Ukp, each: int) -> None:
    # All 26 topics, 30 comparisons an item: .941 against 1.035 with one vote each, .878 against .919 with three.
    method, losses = unseen_losses(real, each, lambda draw: np.ones(len(real.gold), dtype=bool))
    assert method == "crowd-bt"
    assert losses["crowd-bt"] < losses["joint"] - 0.02


@pytest.mark.statistical
def test_where_no_item_recurs_the_chosen_method_says_better_what_people_will_say(real: Ukp) -> None:
    # All 26 topics, one comparison an item, three votes: .907 against .941.
    method, losses = unseen_losses(real, 3, lambda draw: of_each_item_once(real, draw))
    assert method == "joint"
    assert losses["joint"] < losses["crowd-bt"]

"""The next judgement where it pays: the value of answers by hand, and what is bought with a budget."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from curation.routing import PERSON, Evidence, Item, Source, extract
from curation.routing.learned import adaptive_overlap
from curation.routing.overlap import plan, value

CERTAIN = np.eye(3)
SIDES = np.array([[0.8, 0.0, 0.2], [0.1, 0.8, 0.1], [0.2, 0.0, 0.8]])


def evidence(posterior: list[list[float]], *sources: Source) -> Evidence:
    return Evidence(np.array(posterior), sources)


def person(n: int, *, price: float = 1.0, free: int = 3, confusion: np.ndarray = SIDES) -> Source:
    return Source(PERSON, price, confusion, np.full(n, free))


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_the_value_of_one_answer_by_hand() -> None:
    # q = (.6, 0, .4), a rater right with .8. Says a: joint (.48, .08), the best .48; says b: (.12, .32), the best .32.
    # Expected to be right afterwards .80, now .6: one answer takes .2 of the error away.
    assert value(np.array([[0.6, 0.0, 0.4]]), SIDES, 1)[0] == pytest.approx(0.2)


def test_an_answer_that_cannot_change_the_label_is_worth_nothing_but_three_may_be() -> None:
    # q = (.9, 0, .1). After one b: (.18, .08): a still. Three times b: .9·.008 = .0072 against .1·.512 = .0512: the
    # label changes and .0512 - .0072 is gained. Twice b, once a: .9·3·.032 = .0864 against .1·3·.128 = .0384: no.
    q = np.array([[0.9, 0.0, 0.1]])

    assert value(q, SIDES, 1)[0] == 0
    assert value(q, SIDES, 3)[0] == pytest.approx(0.044)


def test_a_rater_who_knows_takes_the_whole_error_away_and_one_who_guesses_none() -> None:
    q = np.array([[0.5, 0.2, 0.3]])

    assert value(q, CERTAIN, 1)[0] == pytest.approx(0.5)
    assert value(q, np.full((3, 3), 1 / 3), 2)[0] == 0


def test_the_value_of_a_bundle_is_that_of_every_sequence_of_answers_added_up() -> None:
    draw = np.random.default_rng(3)
    q, confusion = draw.dirichlet(np.ones(3), size=5), draw.dirichlet(np.ones(3), size=3)
    brute = np.zeros(5)
    for said in product(range(3), repeat=3):
        brute += (q * np.prod(confusion[:, list(said)], axis=1)).max(axis=1)

    assert value(q, confusion, 3) == pytest.approx(np.maximum(brute - q.max(axis=1), 0))


def test_value_does_not_depend_on_which_completion_is_called_a() -> None:
    q = np.array([[0.5, 0.3, 0.2]])
    assert value(q[:, ::-1], SIDES[::-1, ::-1], 2)[0] == pytest.approx(value(q, SIDES, 2)[0])


def test_money_goes_where_it_takes_most_error_away() -> None:
    # By hand, one answer each: an even doubt .3, (.6, .4) .2, (.7, .3) .1. Two units of money buy the first two.
    bought = plan(evidence([[0.7, 0, 0.3], [0.5, 0, 0.5], [0.6, 0, 0.4]], person(3, free=1)), budget=2, rng=rng())

    assert bought.n.tolist() == [0, 1, 1]
    assert bought.value == pytest.approx([0, 0.3, 0.2])
    assert bought.cost.sum() == 2


def test_a_cheap_judge_comes_first_and_a_person_replaces_it_when_the_money_reaches() -> None:
    # A judge right with .7 for .1: takes .2 away, 2 for each unit of money. A person who knows: .5 for 1, so .3 more
    # for .9 more. A budget of .5 reaches the judge alone, one of 1 the person instead of the judge.
    judge = Source("judge", 0.1, np.array([[0.7, 0, 0.3], [0.15, 0.7, 0.15], [0.3, 0, 0.7]]), np.array([1]))
    world = evidence([[0.5, 0, 0.5]], person(1, confusion=CERTAIN, free=1), judge)

    poor, rich = plan(world, budget=0.5, rng=rng()), plan(world, budget=1, rng=rng())

    assert (world.sources[poor.source[0]].name, poor.cost[0]) == ("judge", 0.1)
    assert (world.sources[rich.source[0]].name, rich.cost[0]) == (PERSON, 1.0)


def test_buying_stops_where_nothing_pays_with_money_left() -> None:
    sure = evidence([[1.0, 0, 0], [0.5, 0, 0.5]], person(2, free=1))

    assert plan(sure, budget=10, rng=rng()).n.tolist() == [0, 1]
    assert plan(sure, budget=10, rng=rng(), least=0.31).n.tolist() == [0, 0]


def test_nobody_is_asked_more_often_than_they_can_answer() -> None:
    bought = plan(evidence([[0.5, 0, 0.5]] * 2, Source(PERSON, 1, SIDES, np.array([0, 2]))), budget=9, rng=rng())

    assert bought.n[0] == 0
    assert bought.n[1] <= 2


def test_impossible_beliefs_are_refused() -> None:
    with pytest.raises(ValueError, match="posterior"):
        plan(evidence([[0.5, 0, 0.6]], person(1)), budget=1, rng=rng())
    with pytest.raises(ValueError, match="confusion"):
        plan(evidence([[0.5, 0, 0.5]], person(1, confusion=2 * SIDES)), budget=1, rng=rng())
    with pytest.raises(ValueError, match="free"):
        plan(evidence([[0.5, 0, 0.5]], person(2)), budget=1, rng=rng())


def features(*probabilities: float | None, settled: bool = False) -> object:
    return extract([Item(i, "p", "aa", "b", judge_probability=p, settled=settled) for i, p in enumerate(probabilities)])


def test_the_policy_says_what_it_buys_of_whom_and_for_how_much() -> None:
    votes = evidence([[0.5, 0, 0.5], [1.0, 0, 0]], person(2, free=1, price=0.5))

    doubtful, sure = adaptive_overlap(
        features(0.5, 0.1), budget=5, rng=rng(), exploration=0, audit_share=0, votes=votes
    )

    assert (doubtful.route, doubtful.buy, doubtful.n, doubtful.price) == ("human", PERSON, 1, 0.5)
    assert doubtful.gain == pytest.approx(0.3)
    assert "0.50" in doubtful.reason
    assert (sure.route, sure.buy, sure.n, sure.price) == ("settled", "", 0, 0.0)


def test_prices_replace_those_of_the_evidence() -> None:
    votes = evidence([[0.5, 0, 0.5]], person(1, free=1))
    decided = adaptive_overlap(
        features(0.5), budget=1, rng=rng(), exploration=0, audit_share=0, votes=votes, prices={PERSON: 2.0}
    )

    assert decided[0].buy == ""  # one judgement costs two and there is one


def test_a_budget_of_zero_buys_nothing_and_draws_no_audit() -> None:
    decided = adaptive_overlap(features(0.5, 0.6, None), budget=0, rng=rng())

    assert {d.buy for d in decided} == {""}
    assert not any(d.audit or d.explored for d in decided)


def test_what_people_have_settled_costs_nothing() -> None:
    decided = adaptive_overlap(features(0.5, 0.5, settled=True), budget=9, rng=rng(), exploration=0.5)

    assert {d.route for d in decided} == {"settled"}


def test_without_evidence_the_judges_probability_is_the_belief() -> None:
    decided = adaptive_overlap(features(0.5, 0.99, None), budget=2, rng=rng(), exploration=0, audit_share=0)

    assert [d.route for d in decided] == ["human", "settled", "human"]


@pytest.mark.parametrize("budget", [0.5, 3.0, 7.7, 40.0])
def test_no_purchase_exceeds_the_budget_with_its_slices(budget: float) -> None:
    posterior = np.random.default_rng(5).dirichlet(np.ones(3), size=20)
    votes = Evidence(posterior, (person(20, price=0.7), Source("judge", 0.05, SIDES, np.ones(20, int))))

    decided = adaptive_overlap(features(*[0.5] * 20), budget=budget, rng=rng(), votes=votes)

    assert sum(d.price for d in decided) <= budget
    drawn = [d for d in decided if d.audit or d.explored]
    assert all(d.buy == PERSON and d.n == 1 for d in drawn)


def test_the_probability_of_the_audit_is_that_with_which_it_draws() -> None:
    # 4 of 10 judged are expected with a budget of 8 and a share of one half; the unjudged cannot be audited.
    world = features(*[0.9] * 10, None, None)
    draw = np.random.default_rng(1)
    runs = [adaptive_overlap(world, budget=8, rng=draw, audit_share=0.5) for _ in range(500)]

    assert [d.probability for d in runs[0]] == pytest.approx([0.4] * 10 + [0, 0])
    # 500 draws of .4 have a standard error of .022; six of them.
    audited = np.mean([[d.audit for d in run] for run in runs], axis=0)
    assert np.abs(audited[:10] - 0.4).max() < 0.13


def test_the_same_seed_decides_the_same() -> None:
    world = features(*np.random.default_rng(8).random(30))
    first, second = (adaptive_overlap(world, budget=9, rng=np.random.default_rng(4)) for _ in range(2))

    assert first == second


def test_money_that_buys_no_whole_judgement_draws_no_audit() -> None:
    decided = adaptive_overlap(features(0.9, 0.9), budget=0.9, rng=rng(), audit_share=1, exploration=0)

    assert not any(d.audit for d in decided)
    assert {d.probability for d in decided} == {0.0}


@pytest.mark.parametrize("currency", [1.0, 0.01, 150.0])
def test_what_pays_does_not_depend_on_the_currency(currency: float) -> None:
    posterior = np.random.default_rng(6).dirichlet(np.ones(3), size=30)
    votes = Evidence(posterior, (person(30), Source("judge", 0.1, SIDES, np.ones(30, int))))
    prices = {PERSON: currency, "judge": 0.1 * currency}
    world = features(*[0.5] * 30)

    here, there = (
        adaptive_overlap(world, budget=8 * unit, rng=rng(), votes=votes, prices=told)
        for unit, told in ((1.0, None), (currency, prices))
    )

    assert [(d.buy, d.n, d.audit) for d in here] == [(d.buy, d.n, d.audit) for d in there]

"""Routing: people where the judge is least certain, under a budget, with a slice that is always random."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.routing import FEATURES, Item, expected_error, extract, selector, simulate, uncertainty
from curation.routing.policies import judge_error
from curation.stats import A, B


def item(id_: object, p: float | None = None, **changes: object) -> Item:
    return Item(
        **{"id": id_, "prompt": "p", "completion_a": "aa", "completion_b": "b", "judge_probability": p} | changes
    )  # type: ignore[arg-type]


def test_features_of_a_comparison_and_what_is_absent_is_nan() -> None:
    features = extract([Item("x", "why?", "because", "```py\n1\n```", turns=3)])

    values = dict(zip(features.names, features.table[0].tolist(), strict=True))
    assert (values["length_difference"], values["shorter_length"], values["longer_length"]) == (4, 7, 11)
    assert (values["prompt_length"], values["turns"], values["has_code"]) == (4, 3, 1)
    assert np.isnan([values["judge_probability"], values["judge_inconsistency"], values["margin"]]).all()
    assert features.names == tuple(feature.name for feature in FEATURES)


@pytest.mark.parametrize(
    ("p", "inconsistency", "error"),
    [
        (0.9, None, 0.1),
        (0.1, 0.0, 0.1),
        (0.9, 1.0, 0.5),  # it changed with the order: it said nothing about the text
        (0.9, 0.5, 0.3),  # half way between .1 and .5
        (None, None, 0.5),
    ],
)
def test_the_judges_expected_error(p: float | None, inconsistency: float | None, error: float) -> None:
    assert judge_error(extract([item("x", p, judge_inconsistency=inconsistency)]))[0] == pytest.approx(error)


def test_trust_by_similar_comparisons_moves_the_error_as_far_as_it_differs_from_the_usual() -> None:
    # Usual is .75, odds of distrust 1/3. Error .2 has odds 1/4. Trust .6: (.4/.6) / (1/3) = 2 times: 1/2, so 1/3.
    # Trust .9: (1/9) / (1/3) = 1/3 times: 1/12, so 1/13. Without a verdict there is nothing to trust.
    error = judge_error(extract([item("x", 0.8, trust=0.6), item("y", 0.8, trust=0.9), item("z", trust=0.1)]))

    assert error.tolist() == pytest.approx([1 / 3, 1 / 13, 0.5])


def test_trust_that_is_the_same_everywhere_or_absent_changes_nothing() -> None:
    same = judge_error(extract([item("x", 0.8, trust=0.3), item("y", 0.6, trust=0.3)]))
    assert same.tolist() == pytest.approx([0.2, 0.4])
    assert judge_error(extract([item("x", 0.8), item("y", 0.6, trust=0.3)])).tolist() == pytest.approx([0.2, 0.4])


def test_people_are_asked_where_similar_comparisons_went_against_the_judges() -> None:
    features = extract([item("trusted", 0.8, trust=0.9), item("doubted", 0.85, trust=0.2)])
    decided = uncertainty(features, budget=1, rng=np.random.default_rng(0), exploration=0, audit_share=0)

    assert [d.route for d in decided] == ["settled", "human"]
    assert "agreed with people in 20%" in decided[1].reason


def test_people_get_the_missing_verdict_first_and_then_the_least_certain() -> None:
    features = extract([item("sure", 0.98), item("doubt", 0.6), item("none"), item("flip", 0.9, judge_inconsistency=1)])

    decided = uncertainty(features, budget=2, rng=np.random.default_rng(0), exploration=0, audit_share=0)

    assert [d.route for d in decided] == ["settled", "settled", "human", "human"]
    assert decided[2].reason == "no judge verdict"
    assert "changes with the order" in decided[3].reason
    assert "verdict stands" in decided[0].reason


def test_a_budget_of_zero_asks_nobody_and_leaves_the_missing_verdict_to_a_judge() -> None:
    decided = uncertainty(extract([item("x", 0.5), item("y")]), budget=0, rng=np.random.default_rng(0))

    assert [d.route for d in decided] == ["settled", "judge"]
    assert not any(d.audit for d in decided)


def test_what_people_have_settled_is_left_alone() -> None:
    decided = uncertainty(extract([item("x", 0.5, settled=True)]), budget=1, rng=np.random.default_rng(0))

    assert (decided[0].route, decided[0].gain) == ("settled", 0.0)


def test_nothing_to_route_gives_no_decisions() -> None:
    assert uncertainty(extract([]), budget=5, rng=np.random.default_rng(0)) == []


@pytest.mark.statistical
def test_the_audit_slice_is_random_whatever_the_judge_said() -> None:
    # 10 of 100 are drawn in each of 400 runs: a comparison has 40 expected, sd 6; the mean over the 50 sure ones has
    # sd .64 at most, so 40 ± 4 is six of them.
    features = extract([item(i, 0.99 if i < 50 else 0.55) for i in range(100)])
    rng = np.random.default_rng(2)

    runs = [uncertainty(features, budget=50, rng=rng, exploration=0.1, audit_share=0.2) for _ in range(400)]

    audits = np.sum([[d.audit for d in run] for run in runs], axis=0)
    assert all(sum(d.audit for d in run) == 10 for run in runs)
    assert audits[:50].mean() == pytest.approx(40, abs=4)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.one_of(st.none(), st.floats(0, 1)), max_size=30),
    st.integers(0, 40),
    st.sampled_from(["random", "uncertainty"]),
    st.integers(0, 100),
)
def test_a_policy_over_comparisons_neither_exceeds_its_budget_nor_leaves_any_of_it_unused(
    probabilities: list[float | None], budget: int, name: str, seed: int
) -> None:
    features = extract([item(i, p) for i, p in enumerate(probabilities)])

    decided = selector(name)(features, budget=budget, rng=np.random.default_rng(seed))

    assert [d.id for d in decided] == list(range(len(probabilities)))
    assert sum(d.route == "human" for d in decided) == min(budget, len(probabilities))


def test_an_unknown_policy_and_impossible_shares_are_refused() -> None:
    with pytest.raises(ValueError, match=r"uncertainty, .*random"):
        selector("hyper")
    with pytest.raises(ValueError, match="exploration"):
        uncertainty(extract([]), budget=1, rng=np.random.default_rng(0), exploration=0.7, audit_share=0.5)
    with pytest.raises(ValueError, match="judge_probability"):
        extract([item("x", 1.5)])


def test_expected_error_falls_by_the_gain_of_each_comparison_for_people() -> None:
    # Judge errors .5 (none), .4, .1 → 1.0 in 3; people first take .5, then .4.
    features = extract([item("none"), item("doubt", 0.6), item("sure", 0.9)])
    decided = uncertainty(features, budget=2, rng=np.random.default_rng(0), exploration=0, audit_share=0)

    assert expected_error(features, decided).tolist() == pytest.approx([1 / 3, 0.5 / 3, 0.1 / 3])


def test_simulation_on_decided_comparisons_beats_random_where_the_judge_knows_what_it_does_not_know() -> None:
    # 40 comparisons: the judge is right on the 20 where it is sure, wrong on the 20 where it is not; people are right.
    # None for people: .5 right. Half by doubt: between .9 (audit and exploration spend some) and 1; at random .75.
    n = 40
    features = extract([item(i, 0.95 if i < 20 else 0.55) for i in range(n)])
    truth = np.full(n, B)
    judge = np.where(np.arange(n) < 20, B, A)

    nobody, half, everybody = simulate(
        features, judge, truth, truth, policy=uncertainty, rng=np.random.default_rng(4), shares=(0, 0.5, 1)
    )

    assert (nobody.accuracy.value, everybody.accuracy.value) == (0.5, 1.0)
    assert half.human_share == 0.5
    assert half.accuracy.value == pytest.approx(0.95, abs=0.05)
    assert half.random_accuracy == pytest.approx(0.75, abs=0.06)

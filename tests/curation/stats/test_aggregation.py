"""Consensus against hand-derived values, an independent optimum, recovery and invariances."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import log_softmax, logsumexp

from curation.stats import TIE, A, B, K, Reading, Votes, combine_readings, dawid_skene, entropy, majority, plurality
from curation.stats.simulate import SimulatedRater, simulate_judgements


def simulated(seed: int, *, comparisons: int = 60, skills: tuple[float, ...] = (0.9, 0.8, 0.6, 0.4)) -> Votes:
    rng = np.random.default_rng(seed)
    raters = [SimulatedRater(f"r{i}", skill) for i, skill in enumerate(skills)]
    truth = rng.choice([-2.0, 0.0, 2.0], comparisons, p=[0.45, 0.1, 0.45])
    judgements = simulate_judgements(truth, raters, per_comparison=3, rng=rng)
    return Votes.from_rows((j.comparison, j.rater, j.preference) for j in judgements)


def test_votes_code_ids_in_order_of_appearance_and_count_unparsed_ones() -> None:
    votes = Votes.from_rows([("x", "ann", -2), ("y", "bob", 0), ("x", "bob", None), ("y", "ann", 3)])

    assert (votes.comparisons, votes.raters, votes.n_unparsed) == (("x", "y"), ("ann", "bob"), 1)
    assert votes.value.tolist() == [A, TIE, B]
    assert votes.strength.tolist() == [-2, 0, 3]


def test_a_second_vote_of_a_rater_on_a_comparison_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="'ann' on 'x'"):
        Votes.from_rows([("x", "ann", -1), ("x", "ann", 1)])


def test_readings_in_both_orders_become_their_mean_and_inconsistency_is_recorded() -> None:
    combined = combine_readings(
        [Reading("x", "gpt", -1), Reading("x", "gpt", 1), Reading("y", "gpt", 2), Reading("y", "gpt", None)]
    )

    assert [(c.preference, c.n_readings, c.inconsistent) for c in combined] == [(0.0, 2, True), (2.0, 1, False)]


def test_readings_that_are_all_unparsed_stay_unparsed() -> None:
    (combined,) = combine_readings([Reading("x", "gpt", None), Reading("x", "gpt", None)])

    assert (combined.preference, combined.inconsistent) == (None, False)


def test_majority_is_the_share_of_votes_and_strength_is_weighted_by_it() -> None:
    # a with 3 and 1, b with 2: P(a) = 2/3 of mean strength 2, P(b) = 1/3 of 2 → 2/3 - 4/3 = -2/3.
    result = majority(Votes.from_rows([("x", "1", -3), ("x", "2", -1), ("x", "3", 2)]))

    assert result.posterior[0].tolist() == pytest.approx([2 / 3, 0, 1 / 3])
    assert result.strength[0] == pytest.approx(-2 / 3)


def test_plurality_is_none_where_two_are_equally_frequent() -> None:
    assert plurality(Votes.from_rows([("x", 1, -1), ("x", 2, 1), ("y", 1, 0), ("y", 2, 0)])).tolist() == [-1, TIE]


def test_entropy_is_zero_when_certain_and_log2_of_the_classes_when_uniform() -> None:
    assert entropy(np.array([[1.0, 0, 0], [0.5, 0.5, 0], [1 / 3] * 3])).tolist() == pytest.approx([0, 1, np.log2(3)])


def objective(parameters: np.ndarray, votes: Votes, smoothing: float) -> float:
    """Minus the penalised log-likelihood of Dawid and Skene's model, written anew from its definition."""
    raters = len(votes.raters)
    log_prior = log_softmax(parameters[:K])
    log_confusion = log_softmax(parameters[K:].reshape(raters, K, K), axis=2)
    joint = np.tile(log_prior, (len(votes.comparisons), 1))
    for comparison, rater, value in zip(votes.comparison, votes.rater, votes.value, strict=True):
        joint[comparison] += log_confusion[rater, :, value]
    pseudo = smoothing * (np.eye(K) + 1 / K) / 2
    return -float(logsumexp(joint, axis=1).sum() + (pseudo * log_confusion).sum() + smoothing / K * log_prior.sum())


def test_dawid_skene_reaches_the_optimum_that_an_independent_search_finds() -> None:
    votes, smoothing = simulated(3, comparisons=40), 1.0
    fit = dawid_skene(votes, smoothing=smoothing, tol=1e-9)
    at_fit = np.concatenate([np.log(fit.prior), np.log(fit.confusion).ravel()])

    found = minimize(objective, at_fit * 0.7, args=(votes, smoothing), method="L-BFGS-B")

    assert fit.converged
    assert objective(at_fit, votes, smoothing) == pytest.approx(found.fun, abs=1e-3)
    penalty = objective(at_fit, votes, smoothing) - objective(at_fit, votes, 0.0)
    assert fit.log_likelihood == pytest.approx(penalty - objective(at_fit, votes, smoothing), abs=1e-4)


@pytest.mark.statistical
def test_dawid_skene_recovers_skills_and_beats_majority_where_raters_differ() -> None:
    # 2,000 comparisons by 3 of 6 raters: 1,000 votes each. The standard error of a skill is at most
    # sqrt(.25/1000) = .016; 0.08 is five of them, so a false alarm is rarer than one in a million.
    skills = (0.95, 0.9, 0.85, 0.45, 0.4, 0.4)
    rng = np.random.default_rng(11)
    truth = rng.choice([-1.0, 0.0, 1.0], 2000, p=[0.4, 0.2, 0.4])
    raters = [SimulatedRater(f"r{i}", skill) for i, skill in enumerate(skills)]
    judgements = simulate_judgements(truth, raters, per_comparison=3, rng=rng)
    votes = Votes.from_rows((j.comparison, j.rater, j.preference) for j in judgements)

    fit = dawid_skene(votes)

    by_name = dict(zip(votes.raters, fit.skill, strict=True))
    assert [by_name[f"r{i}"] for i in range(6)] == pytest.approx(skills, abs=0.08)
    right = (fit.posterior.argmax(axis=1) - 1 == truth).mean()
    assert right > (majority(votes).posterior.argmax(axis=1) - 1 == truth).mean() + 0.05


def test_a_fit_that_was_cut_short_says_so() -> None:
    fit = dawid_skene(simulated(3), max_iter=2)

    assert (fit.converged, fit.n_iter) == (False, 2)


def test_no_votes_at_all_give_an_empty_consensus() -> None:
    fit = dawid_skene(Votes.from_rows([]))

    assert fit.posterior.shape == (0, K)
    assert fit.converged


def test_a_comparison_with_only_unparsed_votes_has_the_prior() -> None:
    fit = dawid_skene(Votes.from_rows([("x", "r", 1), ("x", "s", 1), ("y", "r", None)]))

    assert fit.posterior[1] == pytest.approx(fit.prior)


def test_one_rater_alone_is_believed_as_far_as_the_pseudo_votes_go_and_has_no_skill() -> None:
    fit = dawid_skene(Votes.from_rows([("x", "r", 1), ("y", "r", -1), ("z", "r", 1)]))

    # Nothing is fitted: the prior is flat and the rater right with (1/2 + 1/2·1/3) = 2/3.
    assert fit.posterior.argmax(axis=1).tolist() == [B, A, B]
    assert fit.posterior.max(axis=1) == pytest.approx(2 / 3)
    assert np.isnan(fit.skill).all()


def test_two_comparisons_that_favour_a_do_not_make_certain_that_nothing_favours_b() -> None:
    rows = [("x", "ann", -3), ("x", "bea", -3), ("y", "ann", -2), ("y", "bea", 2), ("z", "ann", 2)]
    fit = dawid_skene(Votes.from_rows(rows))

    assert fit.prior.min() > 0.05
    assert fit.posterior[1].max() < 0.95  # one against one
    assert fit.posterior[2].argmax() == B  # the only vote there is


def test_comparisons_with_one_vote_do_not_move_the_fit() -> None:
    votes = simulated(3)
    alone = [(f"alone{i}", votes.raters[0], 1.0) for i in range(200)]
    rows = [
        (int(c), votes.raters[r], float(s))
        for c, r, s in zip(votes.comparison, votes.rater, votes.strength, strict=True)
    ]

    fit, more = dawid_skene(votes), dawid_skene(Votes.from_rows([*rows, *alone]))

    np.testing.assert_allclose(more.confusion, fit.confusion, atol=1e-6)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000), st.integers(0, 1000))
def test_consensus_ignores_the_order_of_votes(seed: int, shuffle: int) -> None:
    votes = simulated(seed, comparisons=15)
    rows = [(int(c), int(r), float(s)) for c, r, s in zip(votes.comparison, votes.rater, votes.strength, strict=True)]
    np.random.default_rng(shuffle).shuffle(rows)
    shuffled = Votes.from_rows(rows)

    fit, again = dawid_skene(votes, max_iter=50), dawid_skene(shuffled, max_iter=50)

    place = [shuffled.comparisons.index(c) for c in range(15)]
    np.testing.assert_allclose(again.posterior[place], fit.posterior, atol=1e-6)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000))
def test_exchanging_a_and_b_mirrors_the_consensus(seed: int) -> None:
    votes = simulated(seed, comparisons=15)
    mirrored = Votes.from_arrays(votes.comparison, votes.rater, -votes.strength)

    fit, mirror = dawid_skene(votes, max_iter=50), dawid_skene(mirrored, max_iter=50)

    np.testing.assert_allclose(mirror.posterior[:, ::-1], fit.posterior, atol=1e-6)
    np.testing.assert_allclose(-mirror.strength, fit.strength, atol=1e-6)

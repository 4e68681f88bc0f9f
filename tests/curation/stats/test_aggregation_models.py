"""MACE, GLAD and the graded model against their definitions, an independent optimum, and what was simulated."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit, log_expit, log_softmax, logsumexp

from curation.stats import TIE, A, B, K, Votes
from curation.stats.aggregation.contract import Aggregate
from curation.stats.aggregation.counting import agreement, majority, weighted_majority
from curation.stats.aggregation.glad import LEVELS, glad
from curation.stats.aggregation.graded import POINTS, SHAPES, graded, graded_answers
from curation.stats.aggregation.graded import _Scale as Scale
from curation.stats.aggregation.latent import climb, lay_out
from curation.stats.aggregation.mace import mace

Method = Callable[..., Aggregate]


def design(rng: np.random.Generator, comparisons: int, raters: int, per: int) -> tuple[np.ndarray, np.ndarray]:
    """Comparison and rater of each vote: ``per`` different raters on every comparison."""
    return np.nonzero(rng.permuted(np.tile(np.arange(raters) < per, (comparisons, 1)), axis=1))


def few(seed: int = 5) -> Votes:
    """30 comparisons, 3 of 5 raters each, strengths from -2 to 2 that mean something."""
    rng = np.random.default_rng(seed)
    comparison, rater = design(rng, 30, 5, 3)
    preference = rng.normal(0, 1.5, 30)[comparison] + rng.normal(0, 1, 90) * (1 + rater / 2)
    return Votes.from_arrays(comparison, rater, np.clip(np.round(preference), -2, 2))


def by_comparison(votes: Votes, log_votes: np.ndarray) -> np.ndarray:
    """Log-probabilities of the votes [n, S], summed over those of each comparison."""
    joint = np.zeros((len(votes.comparisons), log_votes.shape[1]))
    np.add.at(joint, votes.comparison, log_votes)
    return joint


def mace_objective(parameters: np.ndarray, votes: Votes) -> float:
    """Minus the penalised log-likelihood, from the definition: the true class, or one by habit."""
    raters = len(votes.raters)
    log_prior, knows = log_softmax(parameters[:K]), expit(parameters[K : K + raters])
    log_habit = log_softmax(parameters[K + raters :].reshape(raters, K), axis=1)
    r, v = votes.rater, votes.value
    guess = (1 - knows[r]) * np.exp(log_habit[r, v])
    says = np.log(np.where(np.eye(K)[v] > 0, (knows[r] + guess)[:, None], guess[:, None]))
    total = logsumexp(by_comparison(votes, says) + log_prior, axis=1).sum()
    pseudo = log_prior.sum() / K + (np.log(knows) + np.log1p(-knows)).sum() / 2 + log_habit.sum() / K
    return -float(total + pseudo)


def glad_objective(parameters: np.ndarray, votes: Votes) -> float:
    """Minus the penalised log-likelihood, the easiness summed out by the same rule."""
    log_prior, ability = log_softmax(parameters[:K]), parameters[K:]
    nodes, weights = np.polynomial.hermite_e.hermegauss(LEVELS)
    x = ability[votes.rater][:, None] * np.exp(nodes)
    says = np.where((np.eye(K)[votes.value] > 0)[:, :, None], log_expit(x)[:, None], log_expit(-x)[:, None] - np.log(2))
    joint = by_comparison(votes, says.reshape(votes.n, -1)).reshape(-1, K, LEVELS)
    joint += log_prior[:, None] + np.log(weights / weights.sum())
    total = logsumexp(joint, axis=(1, 2)).sum()
    return -float(total + log_prior.sum() / K - ((ability - 1) ** 2).sum() / 2)


def graded_objective(parameters: np.ndarray, votes: Votes) -> float:
    """Minus the penalised log-likelihood of strengths -2..2; probabilities as differences of cumulative ones."""
    shape, thresholds, sharpness = np.split(parameters, [2, 4])
    t = np.cumsum(np.exp(thresholds))
    borders = np.concatenate([[-np.inf], -t[::-1], t, [np.inf]])
    base = np.exp(-(POINTS**2) / 2 + SHAPES @ shape)
    at_most = expit(borders - (sharpness[votes.rater][:, None] * POINTS)[:, :, None])
    answer = votes.strength.astype(int) + 2
    says = np.diff(at_most, axis=2)[np.arange(votes.n), :, answer]
    total = logsumexp(by_comparison(votes, np.log(says)) + np.log(base / base.sum()), axis=1).sum()
    pseudo = np.log(np.diff(expit(borders))).sum() / 5 - ((sharpness - 2) ** 2).sum() / 2 - (shape**2).sum() / 2
    return -float(total + pseudo)


def mace_found(votes: Votes, **limits: float) -> np.ndarray:
    """The parameters of the fit: a habit's share is read off where it is wrong, knowing off where it is right."""
    fit = mace(votes, **limits)
    off = fit.confusion.sum(axis=1) - np.einsum("rkk->rk", fit.confusion)  # (K - 1) · (1 - knows) · habit
    habit = off / off.sum(axis=1, keepdims=True)
    return np.concatenate([np.log(fit.prior), np.log(2 / off.sum(axis=1) - 1), np.log(habit).ravel()])


def glad_found(votes: Votes, **limits: float) -> np.ndarray:
    """Ability from the mean accuracy, which grows with it."""
    fit = glad(votes, **limits)
    nodes, weights = np.polynomial.hermite_e.hermegauss(LEVELS)
    grid = np.linspace(-6, 8, 400_001)
    accuracy = sum(w * expit(grid * np.exp(node)) for node, w in zip(nodes, weights / weights.sum(), strict=True))
    return np.concatenate([np.log(fit.prior), np.interp(fit.confusion[:, 0, 0], accuracy, grid)])


def graded_found(votes: Votes, **limits: float) -> np.ndarray:
    model = Scale(len(votes.raters), 2, 1.0)
    layout = lay_out(votes, graded_answers(votes)[1], model.answers)
    return climb(layout, model, model.start(), **({"max_iter": 2000, "tol": 1e-6} | limits)).parameters


MODELS = {
    "mace": (mace, mace_objective, mace_found),
    "glad": (glad, glad_objective, glad_found),
    "graded": (graded, graded_objective, graded_found),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_fit_is_at_least_as_good_as_what_an_independent_search_finds(name: str) -> None:
    method, objective, found = MODELS[name]
    votes = few()
    at_fit = found(votes, tol=1e-8)

    searched = minimize(objective, at_fit * 0.9, args=(votes,), method="L-BFGS-B", options={"maxfun": 100_000})

    assert method(votes, tol=1e-8).converged
    assert objective(at_fit, votes) == pytest.approx(searched.fun, abs=2e-3)


@pytest.mark.parametrize("name", MODELS)
def test_no_iteration_lets_the_objective_fall(name: str) -> None:
    _, objective, found = MODELS[name]
    votes = few()

    climbed = [-objective(found(votes, max_iter=n), votes) for n in range(1, 12)]

    assert np.diff(climbed).min() > -1e-7
    assert climbed[-1] > climbed[0] + 0.1


@pytest.mark.statistical
def test_mace_knows_who_clicks_at_random_and_who_always_says_b() -> None:
    # 1,500 comparisons by 4 of 8: 750 votes each; a share's standard error is below .02, the bound is five of it.
    rng = np.random.default_rng(7)
    truth = rng.choice(K, 1500, p=[0.45, 0.1, 0.45])
    comparison, rater = design(rng, 1500, 8, 4)
    guess = rng.integers(0, K, len(rater))
    guess[rater == 7] = B
    knows = np.array([0.9, 0.9, 0.8, 0.8, 0.7, 0.7, 0.0, 0.0])
    said = np.where(rng.random(len(rater)) < knows[rater], truth[comparison], guess)

    fit = mace(Votes.from_arrays(comparison, rater, said - 1.0))

    honest = knows[:6] + (1 - knows[:6]) / 3
    assert fit.skill[:6] == pytest.approx(honest, abs=0.1)
    assert fit.confusion[6].ravel() == pytest.approx([1 / 3] * 9, abs=0.1)
    assert fit.confusion[7, :, B] == pytest.approx([1, 1, 1], abs=0.1)


def test_mace_started_anew_keeps_the_most_probable_end() -> None:
    votes = few(9)
    once, often = mace(votes), mace(votes, restarts=5, rng=np.random.default_rng(1))
    again = mace(votes, restarts=5, rng=np.random.default_rng(1))

    assert mace_objective(mace_found(votes), votes) >= mace_objective(
        mace_found(votes, restarts=5, rng=np.random.default_rng(1)), votes
    )
    np.testing.assert_array_equal(often.posterior, again.posterior)
    assert once.converged
    with pytest.raises(ValueError, match="rng"):
        mace(votes, restarts=1)


@pytest.mark.statistical
def test_glad_recovers_abilities_an_adversarys_too_and_tells_hard_comparisons_from_easy_ones() -> None:
    # 4,000 comparisons by 5 of 10: 2,000 votes each; .2 is more than five standard errors of an ability.
    rng = np.random.default_rng(8)
    truth, easiness = rng.integers(0, K, 4000), np.exp(rng.normal(0, 1, 4000))
    ability = np.array([-0.8, 0.0, 0.5, 0.8, 1.0, 1.2, 1.5, 1.8, 2.0, 2.5])
    comparison, rater = design(rng, 4000, 10, 5)
    right = rng.random(len(rater)) < expit(ability[rater] * easiness[comparison])
    said = np.where(right, truth[comparison], (truth[comparison] + rng.integers(1, K, len(rater))) % K)
    votes = Votes.from_arrays(comparison, rater, said - 1.0)

    fit = glad(votes)

    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    expected = expit(ability[:, None] * np.exp(nodes)) @ (weights / weights.sum())
    assert fit.skill == pytest.approx(expected, abs=0.06)
    assert fit.difficulty is not None
    assert np.corrcoef(fit.difficulty, -np.log(easiness))[0, 1] > 0.4
    right_glad = (fit.posterior.argmax(axis=1) == truth).mean()
    assert right_glad > (majority(votes).posterior.argmax(axis=1) == truth).mean() + 0.02


def test_a_comparison_on_which_all_agree_is_easier_than_one_that_splits_them() -> None:
    rows = [(c, r, 1 if c < 20 else (1, -1, 0)[(c + r) % 3]) for c in range(30) for r in range(3)]
    fit = glad(Votes.from_rows(rows))

    assert fit.difficulty is not None
    assert fit.difficulty[:20].max() < fit.difficulty[20:].min()


@pytest.mark.statistical
def test_the_graded_model_recovers_sharpness_and_order_better_than_the_mean_of_the_strengths() -> None:
    rng = np.random.default_rng(9)
    preference, sharpness = rng.normal(0, 1, 2000), np.array([-2.0, 0.3, 1.0, 2.0, 2.5, 3.0, 3.5, 4.0])
    comparison, rater = design(rng, 2000, 8, 4)
    borders = np.array([-3.0, -1.5, -0.5, 0.5, 1.5, 3.0])
    at_most = expit(borders - (sharpness[rater] * preference[comparison])[:, None])
    said = (rng.random((len(rater), 1)) > at_most).sum(axis=1) - 3.0
    votes = Votes.from_arrays(comparison, rater, said)

    fit = graded(votes)

    # 1,000 votes each: the order of sharpness is that of skill, and the reverse answerer is below chance.
    assert np.argsort(fit.skill).tolist() == list(range(8))
    assert fit.skill[0] < 1 / 3
    means = np.bincount(comparison, said) / 4
    assert np.corrcoef(fit.strength, preference)[0, 1] > np.corrcoef(means, preference)[0, 1] + 0.05
    favoured = fit.posterior[:, B] > fit.posterior[:, A]
    assert (favoured == (preference > 0)).mean() > 0.85


def test_grades_are_the_strengths_that_occur_rounded_away_from_the_tie() -> None:
    votes = Votes.from_arrays(np.arange(6), np.zeros(6, dtype=int), np.array([-3, -0.5, 0, 0.5, 1, 2.5]))

    grades, said = graded_answers(votes)

    assert grades.tolist() == [1, 3]  # a judge's two orders may make 0.5 of it: a slight preference is none the less
    assert (said - 2).tolist() == [-2, -1, 0, 1, 1, 2]


def test_a_scale_without_end_is_cut_at_its_deciles() -> None:
    strength = np.arange(-500.0, 501.0)
    grades, said = graded_answers(Votes.from_arrays(np.arange(1001), np.zeros(1001, dtype=int), strength))

    assert len(grades) == 10
    assert np.bincount(said, minlength=21)[[0, 5, 10, 15, 20]].tolist() == [50, 50, 1, 50, 50]


def test_weighted_majority_follows_those_who_agree_with_the_others() -> None:
    # On 20 comparisons ann and bob say b, cal a. On the last ann says b, and cal and dan, who is new, a.
    rows = [(c, who, -1 if who == "cal" else 1) for c in range(20) for who in ("ann", "bob", "cal")]
    votes = Votes.from_rows([*rows, ("last", "ann", 1), ("last", "cal", -1)])

    # Agreement with one pseudo-vote: ann and bob (20 + .5)/21, cal .5/21; the last comparison has no majority.
    assert agreement(votes, 1.0).tolist() == pytest.approx([20.5 / 21, 20.5 / 21, 0.5 / 21])
    last = weighted_majority(votes).posterior[-1]
    assert last.tolist() == pytest.approx([0.5 / 21, 0, 20.5 / 21])
    assert majority(votes).posterior[-1].tolist() == [0.5, 0, 0.5]


def test_ties_alone_make_a_tie_in_the_graded_model() -> None:
    fit = graded(Votes.from_rows([(c, r, 0) for c in range(4) for r in range(3)]))

    assert fit.posterior.argmax(axis=1).tolist() == [TIE] * 4
    assert fit.strength == pytest.approx(np.zeros(4), abs=0.01)

"""What holds for every method: its place in the table, its answer, bad input, invariances, colluders, one vote more."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

from curation.stats import METHODS, A, B, K, Pairs, Votes, aggregate, dawid_skene, posterior_of, update_one
from curation.stats.aggregation.choosing import choose
from curation.stats.aggregation.contract import Aggregate
from curation.stats.aggregation.methods import resolve

BY_VOTES = tuple(name for name, method in METHODS.items() if not method.needs_pairs)
COUNTING = ("majority", "weighted-majority")
FITTED = tuple(name for name in BY_VOTES if name not in COUNTING)


def crowd(seed: int, *, comparisons: int = 40, raters: int = 8, per: int = 3) -> Votes:
    rng = np.random.default_rng(seed)
    comparison, rater = np.nonzero(rng.permuted(np.tile(np.arange(raters) < per, (comparisons, 1)), axis=1))
    truth = rng.choice([-2, 0, 2], comparisons, p=[0.45, 0.1, 0.45])[comparison]
    wrong = rng.choice([-2, 0, 2], len(truth))
    said = np.where(rng.random(len(truth)) < np.linspace(0.95, 0.3, raters)[rater], truth, wrong)
    return Votes.from_arrays(comparison, rater, np.clip(said + rng.integers(-1, 2, len(said)) * (said != 0), -3, 3))


def sound(votes: Votes, fit: Aggregate) -> bool:
    """The shapes of the contract, probabilities where they are promised, and no nan but where majority has no votes."""
    comparisons, raters = len(votes.comparisons), len(votes.raters)
    voted = np.bincount(votes.comparison, minlength=comparisons) > 0
    np.testing.assert_allclose(fit.posterior[voted].sum(axis=1), 1)
    np.testing.assert_allclose(fit.confusion.sum(axis=2), 1)
    assert fit.prior.sum() == pytest.approx(1)
    assert (fit.posterior.shape, fit.confusion.shape) == ((comparisons, K), (raters, K, K))
    assert fit.strength.shape == (comparisons,)
    assert np.isfinite(fit.strength[voted]).all()
    for figure in (fit.skill, fit.skill_low, fit.skill_high, fit.n_votes, fit.n_shared):
        assert figure.shape == (raters,)
    for figure, size in ((fit.difficulty, comparisons), (fit.side, raters)):
        assert figure is None or (figure.shape == (size,) and (figure >= 0).all() and (figure <= 1).all())
    return fit.converged


@pytest.mark.parametrize("name", METHODS)
def test_every_method_of_the_table_is_there_and_takes_what_the_contract_says(name: str) -> None:
    parameters = inspect.signature(resolve(name)).parameters

    assert next(iter(parameters)) == "votes"
    assert {"pairs", "is_judge"} <= {key for key, value in parameters.items() if value.kind is value.KEYWORD_ONLY}
    assert METHODS[name].facts.endswith(".")


def test_an_unknown_method_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"auto or one of majority, .*graded, .*joint"):
        aggregate(crowd(1), "guess")


def test_auto_is_the_method_that_the_data_ask_for() -> None:
    votes = crowd(1)

    fit, chosen = aggregate(votes, "auto"), choose(votes, pairs=None, is_judge=None).method

    np.testing.assert_array_equal(fit.posterior, aggregate(votes, chosen).posterior)


@pytest.mark.parametrize("name", BY_VOTES)
def test_an_answer_has_the_shapes_of_the_contract_and_says_that_it_converged(name: str) -> None:
    votes = crowd(1)
    fit = aggregate(votes, name, pairs=Pairs(np.arange(40), np.arange(40) + 1, 41), is_judge=np.arange(8) > 5)

    assert sound(votes, fit)
    assert (fit.log_likelihood is None) == (name in COUNTING)


BAD = {
    "no votes": [],
    "nothing could be read": [("x", "ann", None)],
    "one vote": [("x", "ann", 2)],
    "one comparison": [("x", "ann", 2), ("x", "bob", -1), ("x", "cal", 1)],
    "one rater": [(c, "ann", c % 3 - 1) for c in range(9)],
    "all ties": [(c, r, 0) for c in range(6) for r in "abc"],
    "all agree": [(c, r, 3) for c in range(6) for r in "abc"],
    "one always says a": [(c, r, -1 if r == "a" else c % 3 - 1) for c in range(9) for r in "abc"],
    "two crowds that never meet": [(c, r, (c % 2) * 2 - 1) for c in range(8) for r in ("ab" if c < 4 else "cd")],
    "an unread comparison among others": [(0, "a", 1), (0, "b", 1), (1, "a", None), (2, "a", -1), (2, "b", 0)],
}


@pytest.mark.parametrize("name", BY_VOTES)
@pytest.mark.parametrize("case", BAD)
def test_bad_input_gets_a_sound_answer(name: str, case: str) -> None:
    votes = Votes.from_rows(BAD[case])

    fit = aggregate(votes, name)

    assert sound(votes, fit)
    if case == "all agree":
        assert fit.posterior.argmax(axis=1).tolist() == [B] * 6
    if case == "two crowds that never meet":
        assert fit.posterior.argmax(axis=1).tolist() == [A, B] * 4


@pytest.mark.parametrize("name", BY_VOTES)
def test_an_even_split_of_raters_who_are_otherwise_alike_stays_undecided(name: str) -> None:
    agreed = [(c, r, (c % 2) * 2 - 1) for c in range(10) for r in ("ann", "bob")]
    fit = aggregate(Votes.from_rows([*agreed, ("split", "ann", 1), ("split", "bob", -1)]), name)

    assert fit.posterior[-1, A] == pytest.approx(fit.posterior[-1, B], abs=1e-4)
    assert fit.strength[-1] == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("name", BY_VOTES)
def test_exchanging_the_sides_mirrors_the_answer(name: str) -> None:
    votes = crowd(2)
    fit = aggregate(votes, name)
    mirror = aggregate(Votes.from_arrays(votes.comparison, votes.rater, -votes.strength), name)

    np.testing.assert_allclose(mirror.posterior[:, ::-1], fit.posterior, atol=1e-4)
    np.testing.assert_allclose(-mirror.strength, fit.strength, atol=1e-3)


@pytest.mark.parametrize("name", BY_VOTES)
def test_numbering_everything_anew_changes_nothing(name: str) -> None:
    votes, rng = crowd(3), np.random.default_rng(0)
    comparison, rater, order = rng.permutation(40), rng.permutation(8), rng.permutation(votes.n)
    again = Votes.from_arrays(comparison[votes.comparison[order]], rater[votes.rater[order]], votes.strength[order])

    fit, other = aggregate(votes, name), aggregate(again, name)

    np.testing.assert_allclose(other.posterior[comparison], fit.posterior, atol=1e-4)
    np.testing.assert_allclose(other.skill[rater], fit.skill, atol=1e-4)


@pytest.mark.parametrize("name", FITTED)
def test_a_fit_cut_short_says_so(name: str) -> None:
    assert not resolve(name)(crowd(4), max_iter=2).converged  # type: ignore[call-arg]


@pytest.mark.parametrize("limits", [{"max_iter": 0}, {"tol": 0.0}, {"tol": float("nan")}, {"smoothing": -1.0}])
@pytest.mark.parametrize("name", ["dawid-skene", "mace", "glad", "graded"])
def test_limits_that_mean_nothing_are_refused(name: str, limits: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(limits))):
        resolve(name)(crowd(4), **limits)  # type: ignore[arg-type]


# --- colluders -------------------------------------------------------------------------------------------------------


def colluding(share: float, seed: int = 6) -> tuple[Votes, np.ndarray]:
    """600 comparisons by 5 of 20 raters who are right with .8; a share of them reverses the answer that is true."""
    rng = np.random.default_rng(seed)
    comparison, rater = np.nonzero(rng.permuted(np.tile(np.arange(20) < 5, (600, 1)), axis=1))
    truth = rng.choice([-1.0, 1.0], 600)
    honest = np.where(rng.random(len(rater)) < 0.8, 1, -1)
    said = truth[comparison] * np.where(rater < 20 * share, -1, honest)
    return Votes.from_arrays(comparison, rater, said), truth + 1


@pytest.mark.statistical
@pytest.mark.parametrize("name", ["dawid-skene", "glad", "graded"])
@pytest.mark.parametrize("share", [0.1, 0.2, 0.3])
def test_methods_that_know_adversaries_lose_nothing_to_colluders(name: str, share: float) -> None:
    # Four honest of five at .8 are right with .9 and more; an adversary who is found out is worth as much as an honest
    # one. The standard error of an accuracy is sqrt(.06/600) = .01, the bound stands four of them below.
    votes, truth = colluding(share)

    fit = aggregate(votes, name)

    assert (fit.posterior.argmax(axis=1) == truth).mean() > 0.9
    assert fit.skill[: int(20 * share)].max() < 0.3


@pytest.mark.statistical
def test_majority_loses_to_colluders_and_what_knows_no_adversaries_wins_a_part_back() -> None:
    def right(name: str, share: float) -> float:
        votes, truth = colluding(share)
        return float((aggregate(votes, name).posterior.argmax(axis=1) == truth).mean())

    assert right("majority", 0.2) < 0.8
    assert right("weighted-majority", 0.2) > right("majority", 0.2)
    assert right("majority", 0.3) < 0.7
    assert right("mace", 0.3) > 0.8


@pytest.mark.parametrize("name", BY_VOTES)
def test_where_colluders_have_the_majority_nothing_in_the_votes_can_tell(name: str) -> None:
    # 60 % of honest votes at .8 are outnumbered, .48 to .52: every answer is as probable as its reverse. This is why
    # gold and audits exist.
    votes, truth = colluding(0.4)

    assert (aggregate(votes, name).posterior.argmax(axis=1) == truth).mean() < 0.6


# --- one judgement more ----------------------------------------------------------------------------------------------


def test_one_comparison_anew_is_what_the_fit_that_knew_it_says() -> None:
    votes = crowd(5)
    fit = dawid_skene(votes)
    its = np.flatnonzero(votes.comparison == 7)

    posterior, strength = update_one(
        votes.value[its], votes.strength[its], votes.weight[its], fit.confusion[votes.rater[its]], fit.prior
    )

    np.testing.assert_allclose(posterior, fit.posterior[7], atol=1e-9)
    assert strength == pytest.approx(fit.strength[7])
    np.testing.assert_allclose(posterior_of(votes, fit.confusion, fit.prior), fit.posterior, atol=1e-9)


def test_one_vote_by_hand() -> None:
    # Before: a .2, tie .1, b .7. The rater says a with .6 where a is true, .3 where a tie, .1 where b:
    # .12, .03, .07 of .22. Strength: the only vote for a is -2, nobody's b counts 1: 7/22 - 2 · 12/22.
    confusion = np.array([[[0.6, 0.2, 0.2], [0.3, 0.4, 0.3], [0.1, 0.1, 0.8]]])
    one = np.ones(1)

    posterior, strength = update_one(np.array([A]), -2 * one, one, confusion, np.array([0.2, 0.1, 0.7]))

    assert posterior.tolist() == pytest.approx([12 / 22, 3 / 22, 7 / 22])
    assert strength == pytest.approx(-17 / 22)


def test_a_weight_of_two_is_the_same_vote_twice() -> None:
    confusion = np.array([[[0.6, 0.2, 0.2], [0.3, 0.4, 0.3], [0.1, 0.1, 0.8]]])
    base, value, strength = np.full(K, 1 / K), np.array([A]), np.array([-1.0])

    heavy, _ = update_one(value, strength, np.array([2.0]), confusion, base)
    twice, _ = update_one(value.repeat(2), strength.repeat(2), np.ones(2), confusion.repeat(2, axis=0), base)

    assert heavy.tolist() == pytest.approx(twice.tolist())


def test_a_comparison_that_lost_its_votes_is_back_at_its_base() -> None:
    posterior, strength = update_one(
        np.empty(0, dtype=int), np.empty(0), np.empty(0), np.empty((0, K, K)), np.array([0.5, 0.2, 0.3])
    )

    assert posterior.tolist() == pytest.approx([0.5, 0.2, 0.3])
    assert strength == pytest.approx(-0.2)
    with pytest.raises(ValueError, match="confusions"):
        update_one(np.empty(0, dtype=int), np.empty(0), np.empty(0), np.empty((1, K, K)), np.ones(K))

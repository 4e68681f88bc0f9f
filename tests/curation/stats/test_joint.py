"""The joint model against its definition and an independent search, judges who err together, and people alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy.optimize import minimize
from scipy.special import expit, log_expit, log_softmax, logsumexp, softmax

from curation.stats import TIE, A, B, K, Votes, dawid_skene, majority, update_one
from curation.stats.aggregation.joint import GUESSED, HUMBLE, LEAN, LEVELS, PANEL, JointModel, fit_model, joint
from curation.stats.aggregation.latent import climb, lay_out
from tests.curation.stats.worlds import Ukp, ukp

Bools = npt.NDArray[np.bool_]


def panel_world(
    seed: int,
    *,
    comparisons: int = 400,
    people: int = 8,
    skill: float = 0.8,
    each: int = 2,
    judges: int = 4,
    panel: float = 0.35,
    follow: float = 0.9,
) -> tuple[Votes, Bools, npt.NDArray[np.int64]]:
    """People of one skill, and judges who mostly follow one opinion, which is right with probability ``panel``."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(K, comparisons, p=[0.45, 0.1, 0.45])
    said = np.where(rng.random(comparisons) < panel, truth, 2 - truth)
    said = np.where((truth == TIE) & (rng.random(comparisons) > panel), rng.choice([A, B], comparisons), said)
    rows: list[tuple[int, int, int]] = []
    for c, true in enumerate(truth):
        for r in rng.choice(people, each, replace=False):
            wrong = [k for k in range(K) if k != true]
            rows.append((c, int(r), int(true if rng.random() < skill else rng.choice(wrong))))
        for j in range(judges):
            rows.append((c, people + j, int(said[c] if rng.random() < follow else rng.integers(K))))
    table = np.array(rows)
    raters = tuple(range(people + judges))
    votes = Votes.from_arrays(
        table[:, 0], table[:, 1], table[:, 2] - 1.0, comparisons=tuple(range(comparisons)), raters=raters
    )
    return votes, np.arange(people + judges) >= people, truth


def right(posterior: npt.NDArray[np.float64], truth: npt.NDArray[np.int64]) -> float:
    return float((posterior.argmax(axis=1) == truth).mean())


def from_definition(at: np.ndarray, votes: Votes, judge: Bools, pseudo: np.ndarray, followed: float) -> float:
    """The penalised log-likelihood, vote by vote, from the formulas in the docstring; ``at`` holds log-odds."""
    raters, levels = len(votes.raters), len(GUESSED)
    ends = np.cumsum([K, levels, K * K, K * raters * K])
    prior, hard, panel, own, follow = np.split(at, ends)
    log_prior, log_hard = log_softmax(prior), log_softmax(hard)
    log_panel, own = log_softmax(panel.reshape(K, K), axis=1), softmax(own.reshape(K, raters, K), axis=2)
    guess = (np.bincount(votes.value, minlength=K) + 1 / K) / (votes.n + 1)
    states = (log_hard[:, None, None] + log_prior[:, None] + log_panel)[None].repeat(len(votes.comparisons), axis=0)
    follows = np.where(judge, expit(follow), 0.0)[votes.rater]
    for h, share in enumerate(GUESSED):
        for y in range(K):
            answer = (1 - share) * own[y, votes.rater, votes.value] + share * guess[votes.value]
            for z in range(K):
                chance = follows * (votes.value == z) + (1 - follows) * answer
                np.add.at(states[:, h, y, z], votes.comparison, np.log(chance))
    penalty = (
        log_prior.sum() / K + LEVELS @ log_hard + PANEL * (HUMBLE * log_panel).sum() + (pseudo * np.log(own)).sum()
    )
    penalty += LEAN * (followed * log_expit(follow[judge]) + (1 - followed) * log_expit(-follow[judge])).sum()
    return float(logsumexp(states.reshape(len(states), -1), axis=1).sum() + penalty)


def log_odds(model: JointModel, parameters: np.ndarray) -> np.ndarray:
    parts = model.split(parameters)
    follow = np.clip(parts.follow, 1e-12, 1 - 1e-12)
    logs = [np.log(part).ravel() for part in parts[:4]]
    return np.concatenate([*logs, np.log(follow / (1 - follow))])


def test_it_reaches_the_optimum_that_an_independent_search_finds() -> None:
    votes, judge, _ = panel_world(3, comparisons=25, people=3, judges=2)
    model, end = fit_model(votes, judge, 2000, 1e-7)
    at_fit = log_odds(model, end.parameters)
    rest = (votes, judge, model.pseudo_own, model.followed)
    held = K + len(GUESSED) + K * K  # what the first stage found of all comparisons

    def loss(free: np.ndarray) -> float:
        return -from_definition(np.concatenate([at_fit[:held], free]), *rest)

    found = minimize(loss, at_fit[held:] * 0.8, method="L-BFGS-B", options={"maxiter": 100})

    assert end.converged
    assert end.objective == pytest.approx(from_definition(at_fit, *rest), abs=1e-6)
    assert end.objective == pytest.approx(-found.fun, abs=0.02)
    assert end.objective > -found.fun - 1e-3


def test_what_a_kind_is_found_to_be_does_not_depend_on_which_is_called_a() -> None:
    votes, judge, _ = panel_world(3)
    model, _ = fit_model(votes, judge, 2000, 1e-5)
    assert model.pseudo_own == pytest.approx(model.pseudo_own[::-1, :, ::-1])


@pytest.mark.statistical
def test_raters_with_a_vote_each_do_not_bend_all_truth_into_one_class() -> None:
    # 600 comparisons by three people each who judge nothing else. On such votes of UKP, before the classes' shares were
    # held, one class came to explain 99 of 100: one row of each of thousands of matrices then fits its only vote.
    votes, _, truth = panel_world(9, comparisons=600, people=4, each=3, judges=0, skill=0.6)
    strangers = Votes.from_arrays(votes.comparison, np.arange(votes.n), votes.strength)
    fit = joint(strangers)
    assert fit.prior.max() < 0.65
    assert right(fit.posterior, truth) > right(majority(strangers).posterior, truth) - 0.03


def test_the_penalised_likelihood_never_falls() -> None:
    votes, judge, _ = panel_world(3, comparisons=60)
    model, _ = fit_model(votes, judge, 5, 1e-5)
    layout = lay_out(votes, votes.value, K)
    values = [climb(layout, model, model.start(), max_iter=n, tol=1e-9).objective for n in range(1, 20)]
    assert (np.diff(values) > -1e-9).all()


@pytest.mark.statistical
@pytest.mark.parametrize("judges", [4, 8])
def test_judges_who_are_wrong_together_do_not_outvote_two_people(judges: int) -> None:
    # Judges repeat one opinion that is right in 35 of 100: on five seeds the consensus was .047 or more better than
    # Dawid and Skene on people alone (.89 against .82), while theirs over all was .35, the judges' own rate.
    votes, judge, truth = panel_world(0, judges=judges)
    people = votes.select(~judge[votes.rater])

    fit = joint(votes, is_judge=judge)

    assert fit.converged
    assert right(fit.posterior, truth) > right(dawid_skene(people).posterior, truth)
    assert right(dawid_skene(votes).posterior, truth) < 0.45
    assert fit.skill[~judge].min() > 0.6 > 0.5 > fit.skill[judge].max()


@pytest.mark.statistical
def test_one_person_for_each_comparison_is_still_believed_rather_than_the_judges() -> None:
    votes, judge, truth = panel_world(0, each=1)
    people = votes.select(~judge[votes.rater])
    fit = joint(votes, is_judge=judge)
    assert right(fit.posterior, truth) > right(majority(people).posterior, truth) - 0.06


@pytest.mark.statistical
def test_good_judges_help_and_even_four_count_as_little_more_than_the_one_opinion_they_share() -> None:
    votes, judge, truth = panel_world(1, panel=0.8)
    people = votes.select(~judge[votes.rater])
    fit = joint(votes, is_judge=judge)
    assert right(fit.posterior, truth) > right(joint(people).posterior, truth) + 0.03

    # What all judges say moves nobody further than a rater would who is right as often as their opinion.
    alone = Votes.from_arrays(np.zeros(4, dtype=np.int64), np.arange(8, 12), np.full(4, -1.0), raters=tuple(range(12)))
    rows = [(int(c), int(r), float(s)) for c, r, s in zip(votes.comparison, votes.rater, votes.strength, strict=True)]
    new = [("new", int(r), -1.0) for r in alone.rater]
    coded = Votes.from_rows([*rows, *new])
    of = np.array([judge[int(r)] for r in coded.raters])  # type: ignore[call-overload]
    more = joint(coded, is_judge=of)
    assert more.posterior[-1, A] < 0.92
    assert dawid_skene(coded).posterior[-1, A] > 0.99


@pytest.mark.statistical
def test_on_people_alone_it_says_better_than_dawid_and_skene_what_a_person_will_say() -> None:
    # Real votes, three of twenty held out, of 4 topics. On all topics: mean log-loss .907 against .977
    # (crowd-bt, which knows the items: .861).
    data = ukp(topics=4)
    held = np.random.default_rng(0).random(len(data.comparison)) < 0.15
    votes = data.votes(~held, data.preference)

    ours, theirs = (log_loss(fit, data, held) for fit in (joint(votes), dawid_skene(votes)))

    assert ours < theirs - 0.02


def log_loss(fit: Any, data: Ukp, held: Bools) -> float:
    said = np.sign(data.preference[held]).astype(np.int64) + 1
    chances = np.einsum("nk,nkl->nl", fit.posterior[data.comparison[held]], fit.confusion[data.rater[held]])
    return float(-np.log(chances[np.arange(len(said)), said]).mean())


@pytest.mark.statistical
@pytest.mark.parametrize("share", [0.1, 0.2, 0.3])
def test_people_who_agreed_to_say_the_opposite_are_found_out(share: float) -> None:
    # 20 people of skill .85 with 60 votes each, 3 for a comparison.
    votes, judge, truth = panel_world(5, people=20, skill=0.85, each=3, judges=0)
    bad = np.arange(20) < 20 * share
    turned = Votes.from_arrays(
        votes.comparison, votes.rater, np.where(bad[votes.rater], -votes.strength, votes.strength)
    )

    fit = joint(turned, is_judge=judge)

    assert right(fit.posterior, truth) > right(majority(turned).posterior, truth) + share / 4
    assert fit.skill[bad].max() < 0.5 < fit.skill[~bad].min()


def test_difficulty_is_higher_where_people_disagree() -> None:
    votes, judge, _ = panel_world(2, people=6, each=5, judges=0, comparisons=200)
    fit = joint(votes, is_judge=judge)
    counts = np.bincount(votes.comparison * K + votes.value, minlength=200 * K).reshape(-1, K)
    assert fit.difficulty is not None
    assert ((fit.difficulty >= 0) & (fit.difficulty <= 1)).all()
    unanimous, split = counts.max(axis=1) == 5, counts.max(axis=1) <= 3
    assert fit.difficulty[unanimous].mean() + 0.02 < fit.difficulty[split].mean()


def test_exchanging_a_and_b_mirrors_the_consensus() -> None:
    votes, judge, _ = panel_world(4, comparisons=60)
    mirrored = Votes.from_arrays(votes.comparison, votes.rater, -votes.strength)
    fit, mirror = joint(votes, is_judge=judge), joint(mirrored, is_judge=judge)
    np.testing.assert_allclose(mirror.posterior[:, ::-1], fit.posterior, atol=1e-3)


def test_the_order_of_votes_does_not_matter() -> None:
    votes, judge, _ = panel_world(4, comparisons=60)
    order = np.random.default_rng(0).permutation(votes.n)
    fit, again = joint(votes, is_judge=judge), joint(votes.select(order), is_judge=judge)
    np.testing.assert_allclose(again.posterior, fit.posterior, atol=1e-3)


def test_an_even_split_of_people_stays_undecided() -> None:
    rows = [("x", "ann", -1), ("x", "bea", 1), ("y", "ann", -1), ("y", "bea", -1), ("z", "ann", 1), ("z", "bea", 1)]
    fit = joint(Votes.from_rows(rows))
    assert fit.posterior[0, A] == pytest.approx(fit.posterior[0, B], abs=1e-3)
    assert fit.posterior[0].max() < 0.6


def test_judges_alone_vouch_for_nobody() -> None:
    # Four judges agree on everything: the panel is certain, and as right as HUMBLE has it, 1/2 + 1/2 · 1/3 = 2/3.
    votes = Votes.from_rows([(c, j, -1 if c % 2 else 1) for c in range(40) for j in range(4)])
    fit = joint(votes, is_judge=np.ones(4, dtype=bool))
    assert fit.posterior.max() == pytest.approx(2 / 3, abs=0.01)
    assert fit.posterior.argmax(axis=1).tolist() == [B, A] * 20


def test_judges_who_never_met_a_person_are_taken_for_ordinary_ones() -> None:
    # People judged 0-19, two judges 20-39: nothing shows how good the judges are, so their word is
    # worth HUMBLE's 2/3 against 1/6, which is .8, and what little they say on their own.
    people = [(c, r, (-1) ** c) for c in range(20) for r in ("ann", "bea")]
    judges = [(c, r, (-1) ** c) for c in range(20, 40) for r in ("gpt", "llama")]
    votes = Votes.from_rows([*people, *judges])
    fit = joint(votes, is_judge=np.array([False, False, True, True]))
    assert fit.posterior.argmax(axis=1).tolist() == [B, A] * 20
    assert fit.posterior[:20].max(axis=1).min() > 0.9
    assert fit.posterior[20:].max() == pytest.approx(0.8, abs=0.03)


def test_a_further_vote_is_taken_at_once_with_the_posterior_as_its_base() -> None:
    votes, judge, _ = panel_world(4, comparisons=60)
    fit = joint(votes, is_judge=judge)
    one = np.ones(1)
    posterior, _ = update_one(np.array([B]), one, one, fit.confusion[:1], fit.posterior[0])
    assert posterior[B] > fit.posterior[0, B]


def test_bad_input_gives_an_answer_or_says_what_is_wrong() -> None:
    empty = joint(Votes.from_rows([]))
    assert (empty.posterior.shape, empty.converged) == ((0, K), True)

    alone = joint(Votes.from_rows([("x", "ann", -1)]))
    assert alone.posterior[0].argmax() == A
    assert np.isnan(alone.skill[0])

    tied = joint(Votes.from_rows([("x", r, 0) for r in "abc"]))
    assert tied.posterior[0].argmax() == TIE

    always = Votes.from_rows([(c, r, -1 if r == "left" else (-1) ** c) for c in range(40) for r in ("left", "p", "q")])
    assert joint(always).posterior.argmax(axis=1).tolist() == [B, A] * 20

    with pytest.raises(ValueError, match="is_judge"):
        joint(Votes.from_rows([("x", "ann", -1)]), is_judge=np.zeros(3, dtype=bool))

"""One model over people and judges: skills that lean on those of their kind, judges who err together, difficulty."""

from __future__ import annotations

from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np

from curation.stats.aggregation.contract import TINY, Aggregate, Fit, assemble, check_iteration, shares_of, sums
from curation.stats.aggregation.latent import Climb, Layout, climb, expect, lay_out
from curation.stats.votes import BoolArray, FloatArray, K, Pairs, Votes

GUESSED: Final = np.array([0.0, 0.5])
"""Share of own answers that are guesses, on easy comparisons and on hard ones."""
LEVELS: Final = np.array([2.0, 1.0])
"""Pseudo-comparisons of each difficulty: before any vote two of three are easy."""
HUMBLE: Final = (np.eye(K) + 1 / K) / 2
"""[true, said] of whom nothing is known: knows the answer half of the time and guesses otherwise."""
FOLLOW: Final = 0.9
"""Share of a judge's answers that follow the others, before any vote."""
LEAN: Final = 8.0
"""Pseudo-votes in each row of a rater's confusion matrix that say what those of their kind say. Of 2, 4, 8, 12, 16 and
32, 8 to 16 said best what held-out people would say on UKP, llmfao and pandalm."""
PANEL: Final = 6.0
"""Pseudo-comparisons in each row of what judges tend to say."""


def joint(
    votes: Votes,
    *,
    pairs: Pairs | None = None,
    is_judge: BoolArray | None = None,
    max_iter: int = 2000,
    tol: float = 1e-5,
) -> Aggregate:
    """Consensus of people and judges (``is_judge`` [R]; None: all are people), by EM with leaps (see `latent`).

    The model. A comparison has a true class y, a difficulty h, and z, what judges tend to say of it, with probability
    panel[y, z]. On a comparison of difficulty h a share GUESSED[h] of own answers is a guess, drawn from what all say.

    - A person says l with probability own[y, l], or guesses.
    - A judge says z with probability follow; otherwise, as a person, own[y, l], or a guess.

    So judges are not independent of each other: all that they say through z is worth what one rater with the confusion
    matrix ``panel`` would say, however many they are, and ten that are wrong together cannot outvote two people. Judges
    that do err on their own have a low follow, and each adds its evidence: with follow = 0 for all this is the model of
    Dawid and Skene with difficulty. One z is the simplest of what can be told from the votes: it shows in judges who
    agree with each other where they disagree with people. A correlation for each pair of judges needs far more votes.

    Each row of own[r] has a Dirichlet prior with its mean in the fitted matrix of the rater's kind, people or judges,
    which is found first, from all of the kind taken for one rater: a rater with few votes is taken for an ordinary one.
    On held-out votes of people the log-loss is .907 where Dawid and Skene's is .977 (UKP), .867 where it is .890
    (llmfao) and .312 where it is .316 (pandalm). Where completions recur, `crowd_bt` knows more.

    Fitted on comparisons with two votes or more, one of them a person's: only people tie z to y. Where judges are all
    there are, they vouch for nobody: consensus is what they tend to say, right with the probability of HUMBLE, 2/3.

    ``difficulty`` is the probability that a rater of the mean skill says something else than the true class. To add a
    vote at once take the posterior as the base of `update_one` and that vote alone: with all votes it would count
    judges as if each erred on its own. ``pairs`` are not looked at.
    """
    check_iteration(max_iter, tol)
    judge = np.zeros(len(votes.raters), dtype=bool) if is_judge is None else np.asarray(is_judge, dtype=bool)
    if judge.shape != (len(votes.raters),):
        raise ValueError("is_judge", f"an array of shape {(len(votes.raters),)}", judge.shape)
    if judge.any() and judge[votes.rater].all():
        return _of_judges_alone(votes, joint(votes, max_iter=max_iter, tol=tol))
    fitted = anchored_votes(votes, judge)
    model, end = fit_model(fitted, judge, max_iter, tol)
    every = lay_out(votes, votes.value, K)
    states, _ = expect(every, *model.logs(end.parameters))
    posterior = every.restore(states.reshape(len(GUESSED), K, model.n_panel, states.shape[1]).sum(axis=(0, 2)))
    parts = model.split(end.parameters)
    fit = Fit(parts.prior, model.confusion(parts), end.log_likelihood, end.n_iter, end.converged)
    result = assemble(votes, posterior, fit)
    return result._replace(difficulty=model.difficulty(parts, every, states, result.n_shared))


def _of_judges_alone(votes: Votes, alike: Aggregate) -> Aggregate:
    """What judges tend to say, as a fit found it that took them for people, held for HUMBLE evidence of the truth."""
    posterior = alike.posterior @ HUMBLE
    fit = Fit(
        prior=alike.prior @ HUMBLE,
        confusion=np.einsum("kz,rzl->rkl", HUMBLE, alike.confusion),
        log_likelihood=alike.log_likelihood,
        n_iter=alike.n_iter,
        converged=alike.converged,
    )
    difficulty = None if alike.difficulty is None else 1 - (1 - alike.difficulty) * HUMBLE[0, 0]
    return assemble(votes, posterior, fit)._replace(difficulty=difficulty)


def anchored_votes(votes: Votes, judge: BoolArray) -> Votes:
    """The votes on comparisons with two or more, one of them a person's."""
    people = np.bincount(votes.comparison[~judge[votes.rater]], minlength=len(votes.comparisons)) > 0
    return votes.select(people[votes.comparison]).shared()


def fit_model(votes: Votes, judge: BoolArray, max_iter: int, tol: float) -> tuple[JointModel, Climb]:
    """First each kind as one rater, then every rater, leaning on their kind.

    What is common to all comparisons is found with the kinds and then held: else thousands of raters with a vote each
    bend it to themselves (with all truth in one class, one row of each matrix explains everything).
    """
    kind = judge.astype(np.int64)
    kinds, lean = replace(votes, rater=kind[votes.rater], raters=("people", "judges")), _alone(votes, judge)
    lean_of_kinds = sums(kind, lean, 2) + LEAN
    both = JointModel(kinds, np.array([False, judge.any()]), HUMBLE[:, None].repeat(2, axis=1), FOLLOW, lean_of_kinds)
    first = climb(lay_out(kinds, kinds.value, K), both, both.start(), max_iter=max_iter, tol=tol)
    found = both.split(first.parameters)
    start = found._replace(own=found.own[:, kind], follow=found.follow[kind])
    model = JointModel(votes, judge, start.own, float(found.follow[1]), lean + LEAN, held=start)
    end = climb(lay_out(votes, votes.value, K), model, model.join(start), max_iter=max_iter, tol=tol)
    return model, end._replace(n_iter=first.n_iter + end.n_iter, converged=first.converged and end.converged)


def _alone(votes: Votes, judge: BoolArray) -> FloatArray:
    """[R] for each row of a confusion matrix, the votes of the only person on a comparison.

    One person against the judges: either may be the one who errs, the votes do not say. So for each such vote there is
    a pseudo-vote that people are as good as their kind, and their kind as HUMBLE has it.
    """
    person = ~judge[votes.rater]
    people = np.bincount(votes.comparison[person], minlength=len(votes.comparisons))
    alone = person & (people[votes.comparison] == 1)
    return sums(votes.rater, votes.weight * alone, len(votes.raters)) / K


class Parts(NamedTuple):
    """The parameters by name; Z is K, or 1 where there are no judges."""

    prior: FloatArray
    """[K]"""
    levels: FloatArray
    """[H]"""
    panel: FloatArray
    """[K, Z]"""
    own: FloatArray
    """[true, R, said]"""
    follow: FloatArray
    """[R]; 0 for people."""


class JointModel:
    """The model for `latent.climb`, with states (difficulty, true class, panel's class) and cells (rater, said).

    The parameters are square roots of probabilities, as in `dawid_skene`.
    """

    def __init__(
        self,
        votes: Votes,
        judge: BoolArray,
        kind: FloatArray,
        follow: float,
        lean: FloatArray,
        held: Parts | None = None,
    ) -> None:
        """``held``: raters are single ones, and what is common to comparisons stays; None: raters are whole kinds."""
        self.held = held
        self.raters, self.judge = len(votes.raters), judge
        self.n_panel = K if judge.any() else 1
        said = np.bincount(votes.value, votes.weight, K) + 1 / K
        self.guess = said / said.sum()
        self.pseudo_own, self.followed = lean[:, None] * kind, follow
        self.pseudo_panel = PANEL * HUMBLE if self.n_panel == K else np.ones((K, 1))

    def start(self) -> FloatArray:
        """Parameters before any vote."""
        return self.join(
            Parts(
                np.full(K, 1 / K),
                shares_of(LEVELS),
                shares_of(self.pseudo_panel),
                shares_of(self.pseudo_own),
                np.where(self.judge, self.followed, 0.0),
            )
        )

    def join(self, parts: Parts) -> FloatArray:
        flat = np.concatenate([part.ravel() for part in (*parts, 1 - parts.follow)], dtype=np.float64)
        return np.sqrt(flat)

    def split(self, parameters: FloatArray) -> Parts:
        z, r = self.n_panel, self.raters
        ends = np.cumsum([K, len(GUESSED), K * z, K * r * K])
        prior, levels, panel, own, follow = np.split(parameters**2, ends)
        pair = shares_of(follow.reshape(2, r).T)
        return Parts(
            shares_of(prior),
            shares_of(levels),
            shares_of(panel.reshape(K, z)),
            shares_of(own.reshape(K, r, K)),
            np.where(self.judge, pair[:, 0], 0.0),
        )

    def tables(self, parts: Parts) -> tuple[FloatArray, FloatArray, FloatArray]:
        """[H, K, Z, R, K] each: the probability of a vote, what own answers bring to it, what following does."""
        alone = (1 - parts.follow)[:, None]
        own = (1 - GUESSED)[:, None, None, None] * alone * parts.own
        guessed = GUESSED[:, None, None, None] * alone * self.guess
        followed = parts.follow[:, None] * np.eye(K)[: self.n_panel, None, :]
        shape = (len(GUESSED), K, self.n_panel, self.raters, K)
        own, followed = np.broadcast_to(own[:, :, None], shape), np.broadcast_to(followed, shape)
        return own + guessed[:, :, None] + followed, own, followed

    def logs(self, parameters: FloatArray) -> tuple[FloatArray, FloatArray]:
        parts = self.split(parameters)
        state = parts.levels[:, None, None] * parts.prior[:, None] * parts.panel
        table = self.tables(parts)[0]
        return np.log(np.maximum(state.ravel(), TINY)), np.log(np.maximum(table, TINY)).reshape(state.size, -1)

    def improve(self, parameters: FloatArray, mass: FloatArray, counts: FloatArray) -> FloatArray:
        table, own, followed = self.tables(self.split(parameters))
        mass = mass.reshape(len(GUESSED), K, self.n_panel)
        each = counts.reshape(table.shape) / np.maximum(table, TINY)
        copied = (each * followed).sum(axis=(0, 1, 2, 4)) + LEAN * self.followed
        alone = (each * (table - followed)).sum(axis=(0, 1, 2, 4)) + LEAN * (1 - self.followed)
        own = (each * own).sum(axis=(0, 2)) + self.pseudo_own
        follow = np.where(self.judge, copied / (copied + alone), 0.0)
        if self.held:
            return self.join(self.held._replace(own=shares_of(own), follow=follow))
        # Which of two is called a is an accident: a whole kind errs as often from a to b as from b to a.
        return self.join(
            Parts(
                shares_of(mass.sum(axis=(0, 2)) + 1 / K),
                shares_of(mass.sum(axis=(1, 2)) + LEVELS),
                shares_of(mass.sum(axis=0) + self.pseudo_panel),
                shares_of(own + own[::-1, :, ::-1]),
                follow,
            )
        )

    def penalty(self, parameters: FloatArray) -> float:
        parts = self.split(parameters)
        follow = parts.follow[self.judge]
        pseudo = (
            (np.full(K, 1 / K), parts.prior),
            (LEVELS, parts.levels),
            (self.pseudo_panel, parts.panel),
            (self.pseudo_own, parts.own),
            (LEAN * self.followed, follow),
            (LEAN * (1 - self.followed), 1 - follow),
        )
        return float(sum((count * np.log(np.maximum(chance, TINY))).sum() for count, chance in pseudo))

    def confusion(self, parts: Parts) -> FloatArray:
        """[R, K, K] of a comparison of which neither the difficulty nor what judges tend to say is known."""
        table = self.tables(parts)[0]
        confusion: FloatArray = np.einsum("h,kz,hkzrl->rkl", parts.levels, parts.panel, table)
        return confusion

    def difficulty(self, parts: Parts, layout: Layout, states: FloatArray, n_votes: FloatArray) -> FloatArray:
        """[C] expected, over the states, chance of the mean rater to say something else than the true class."""
        weight = n_votes / n_votes.sum() if n_votes.sum() > 0 else np.full(self.raters, 1 / max(1, self.raters))
        right = np.einsum("hkzrk,r->hkz", self.tables(parts)[0], weight)
        return layout.restore((1 - right).reshape(1, -1) @ states)[:, 0]

"""GLAD: raters differ in skill, and comparisons in difficulty."""

from __future__ import annotations

from typing import Final

import numpy as np

from curation.stats.aggregation.contract import TINY, Aggregate, Fit, assemble, check_iteration, shares_of
from curation.stats.aggregation.latent import climb, expect, lay_out
from curation.stats.aggregation.newton import Curve, ascend
from curation.stats.votes import BoolArray, FloatArray, K, Pairs, Votes

MAX_ITER: Final = 2000
LEVELS: Final = 7
"""Of easiness over which the model is summed: the Gauss-Hermite rule that is exact to the thirteenth degree."""


def glad(
    votes: Votes,
    *,
    pairs: Pairs | None = None,
    is_judge: BoolArray | None = None,
    max_iter: int = MAX_ITER,
    tol: float = 1e-6,
    smoothing: float = 1.0,
) -> Aggregate:
    """Consensus by the model of Whitehill, Ruvolo, Wu, Bergsma and Movellan (2009, NIPS 22, eq. 1).

    The model: rater r says the true class of comparison c with probability σ(ability[r] · easiness[c]) and otherwise
    either of the other two alike. Below 0, an ability is an adversary's. As in the paper, log easiness and ability have
    normal priors of unit variance; their means are 0 and 1. Unlike the paper's, the easiness is summed out instead of
    maximised: three votes say so little of it that its best value is mostly noise, and the sum leaves a likelihood of
    few parameters with an optimum that EM can reach. To the prior are added ``smoothing`` comparisons of no known
    class. Fitted, as `dawid_skene`, on comparisons with two votes or more.
    """
    check_iteration(max_iter, tol)
    shared = votes.shared()
    model = _Abilities(len(votes.raters), smoothing)
    layout = lay_out(shared, shared.value, K)
    end = climb(layout, model, model.start(), max_iter=max_iter, tol=tol)
    every = lay_out(votes, votes.value, K)
    posterior, _ = expect(every, *model.logs(end.parameters))
    states = every.restore(posterior).reshape(-1, K, LEVELS)
    fit = Fit(*model.confusions(end.parameters), end.log_likelihood, end.n_iter, end.converged)
    aggregate = assemble(votes, states.sum(axis=2), fit)
    return aggregate._replace(difficulty=states.sum(axis=1) @ model.misses(end.parameters, aggregate.n_votes))


class _Abilities:
    """The model; its states are classes times levels of easiness, its parameters √prior [K] and ability [R]."""

    def __init__(self, raters: int, smoothing: float) -> None:
        if not smoothing >= 0:
            raise ValueError("smoothing", "0 or more pseudo-comparisons", smoothing)
        self.raters, self.smoothing = raters, smoothing
        nodes, weights = np.polynomial.hermite_e.hermegauss(LEVELS)
        self.easiness = np.exp(nodes)
        self.share = weights / weights.sum()

    def start(self) -> FloatArray:
        return np.concatenate([np.sqrt(np.full(K, 1 / K)), np.ones(self.raters)])

    def right(self, ability: FloatArray) -> FloatArray:
        """[levels, R] probability of saying what is true."""
        return 1 / (1 + np.exp(-np.clip(self.easiness[:, None] * ability, -700, 700)))

    def misses(self, parameters: FloatArray, n_votes: FloatArray) -> FloatArray:
        """[levels] probability that the mean rater says something else than what is true."""
        mean = (parameters[K:] @ n_votes) / n_votes.sum() if n_votes.sum() > 0 else 1.0
        misses: FloatArray = 1 - self.right(np.array([mean]))[:, 0]
        return misses

    def confusions(self, parameters: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Prior [K] and confusion [R, true, said] on a comparison of which nothing is known."""
        right = (self.share @ self.right(parameters[K:]))[:, None, None]
        return shares_of(parameters[:K] ** 2), np.where(np.eye(K) > 0, right, (1 - right) / (K - 1))

    def logs(self, parameters: FloatArray) -> tuple[FloatArray, FloatArray]:
        product = self.easiness[:, None] * parameters[K:]
        right, wrong = -np.logaddexp(0, -product), -np.logaddexp(0, product) - np.log(K - 1)
        diagonal = np.eye(K)[:, None, None] > 0
        log_cells = np.where(diagonal, right[:, :, None], wrong[:, :, None])  # [true, level, R, said]
        log_prior = np.log(np.maximum(shares_of(parameters[:K] ** 2), TINY))
        return (log_prior[:, None] + np.log(self.share)).ravel(), log_cells.reshape(K * LEVELS, -1)

    def improve(self, parameters: FloatArray, mass: FloatArray, counts: FloatArray) -> FloatArray:
        table = counts.reshape(K, LEVELS, self.raters, K)
        right, total = np.einsum("klrk->lr", table), table.sum(axis=(0, 3))

        def curve(ability: FloatArray) -> Curve:
            product = self.easiness[:, None] * ability
            value = right * product - total * np.logaddexp(0, product)
            share = self.right(ability)
            slope, bend = self.easiness @ (right - total * share), self.easiness**2 @ (total * share * (1 - share))
            return Curve(value.sum(axis=0) - (ability - 1) ** 2 / 2, slope - (ability - 1), bend + 1)

        ability = ascend(curve, parameters[K:], steps=2)
        prior = shares_of(mass.reshape(K, LEVELS).sum(axis=1) + self.smoothing / K)
        return np.concatenate([np.sqrt(prior), ability])

    def penalty(self, parameters: FloatArray) -> float:
        log_prior = np.log(np.maximum(shares_of(parameters[:K] ** 2), TINY))
        return float(self.smoothing / K * log_prior.sum() - ((parameters[K:] - 1) ** 2).sum() / 2)

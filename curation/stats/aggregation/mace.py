"""MACE: raters who either know the answer or give one by habit."""

from __future__ import annotations

from typing import Final

import numpy as np

from curation.stats.aggregation.contract import TINY, Aggregate, Fit, assemble, check_iteration, shares_of
from curation.stats.aggregation.dawid_skene import shares
from curation.stats.aggregation.latent import Layout, climb, count, expect, lay_out
from curation.stats.votes import BoolArray, FloatArray, K, Pairs, Votes

MAX_ITER: Final = 2000


def mace(
    votes: Votes,
    *,
    pairs: Pairs | None = None,
    is_judge: BoolArray | None = None,
    max_iter: int = MAX_ITER,
    tol: float = 1e-6,
    smoothing: float = 1.0,
    restarts: int = 0,
    rng: np.random.Generator | None = None,
) -> Aggregate:
    """Consensus by the model of Hovy, Berg-Kirkpatrick, Vaswani and Hovy (2013, NAACL-HLT, section 3).

    The model: rater r says the true class with probability know[r], and otherwise class l with probability habit[r, l],
    whatever is true. Whoever always says the same, or clicks at random, has a habit and knows nothing; an adversary,
    who says the wrong class on purpose, is outside of the model and counts as ignorant.

    The paper's variational variant puts Beta and Dirichlet priors on both; here are the same priors with the mode
    instead, so that there is an objective which no iteration lets fall: ``smoothing`` pseudo-votes, half of them known
    and half not, and as many by even habits. The start is the majority; ``restarts`` more begin at random habits drawn
    from ``rng``, and the most probable end counts. Fitted, as `dawid_skene`, on comparisons with two votes or more.
    """
    check_iteration(max_iter, tol)
    if restarts < 0 or (restarts and rng is None):
        raise ValueError("restarts", "0, or a number above 0 and an rng to draw from", restarts)
    shared = votes.shared()
    layout, model = lay_out(shared, shared.value, K), _Habits(len(votes.raters), smoothing)
    starts = [model.measured(layout, shares(shared)), *(model.drawn(rng) for _ in range(restarts) if rng)]
    ends = [climb(layout, model, start, max_iter=max_iter, tol=tol) for start in starts]
    end = max(ends, key=lambda end: end.objective)
    every = lay_out(votes, votes.value, K)
    posterior, _ = expect(every, *model.logs(end.parameters))
    fit = Fit(*model.confusions(end.parameters), end.log_likelihood, end.n_iter, end.converged)
    return assemble(votes, every.restore(posterior), fit)


class _Habits:
    """The model; its parameters are square roots of probabilities, of the classes, of knowing or not, and of habits."""

    def __init__(self, raters: int, smoothing: float) -> None:
        if not smoothing >= 0:
            raise ValueError("smoothing", "0 or more pseudo-votes", smoothing)
        self.raters, self.smoothing = raters, smoothing

    def split(self, parameters: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Prior [K], probability of knowing and of not knowing [R, 2], habit [R, K]."""
        prior, knowing, habit = np.split(parameters**2, [K, K + 2 * self.raters])
        return shares_of(prior), shares_of(knowing.reshape(-1, 2)), shares_of(habit.reshape(-1, K))

    def measured(self, layout: Layout, posterior: FloatArray) -> FloatArray:
        """Parameters of raters of whom nothing is known, held against a posterior [C, K]."""
        by_place = posterior.T[:, layout.order]
        return self.improve(np.ones(K + self.raters * (2 + K)), by_place.sum(axis=1), count(layout, by_place))

    def drawn(self, rng: np.random.Generator) -> FloatArray:
        """Random parameters."""
        knowing, habit = rng.dirichlet(np.ones(2), self.raters), rng.dirichlet(np.ones(K), self.raters)
        drawn: FloatArray = np.sqrt(np.concatenate([np.full(K, 1 / K), knowing.ravel(), habit.ravel()]))
        return drawn

    def confusions(self, parameters: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Prior [K] and confusion [R, true, said]."""
        prior, knowing, habit = self.split(parameters)
        return prior, knowing[:, :1, None] * np.eye(K) + knowing[:, 1:, None] * habit[:, None]

    def logs(self, parameters: FloatArray) -> tuple[FloatArray, FloatArray]:
        prior, confusion = self.confusions(parameters)
        log_cells = np.log(np.maximum(confusion, TINY)).transpose(1, 0, 2).reshape(K, -1)
        return np.log(np.maximum(prior, TINY)), log_cells

    def improve(self, parameters: FloatArray, mass: FloatArray, counts: FloatArray) -> FloatArray:
        _, knowing, habit = self.split(parameters)
        said = counts.reshape(K, self.raters, K)
        by_habit = knowing[:, 1:] * habit
        known = np.einsum("krk->rk", said) * knowing[:, :1] / np.maximum(knowing[:, :1] + by_habit, TINY)
        guessed = np.maximum(said.sum(axis=0) - known, 0.0)
        both = np.stack([known.sum(axis=1), guessed.sum(axis=1)], axis=1) + self.smoothing / 2
        tables = (mass + self.smoothing / K, both, guessed + self.smoothing / K)
        improved: FloatArray = np.sqrt(np.concatenate([shares_of(table).ravel() for table in tables]))
        return improved

    def penalty(self, parameters: FloatArray) -> float:
        prior, knowing, habit = (np.log(np.maximum(share, TINY)) for share in self.split(parameters))
        return float(self.smoothing * (prior.sum() / K + knowing.sum() / 2 + habit.sum() / K))

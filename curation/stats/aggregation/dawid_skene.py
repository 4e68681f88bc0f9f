"""Dawid and Skene's model: raters who err in their own ways."""

from __future__ import annotations

from typing import Final

import numpy as np

from curation.stats.aggregation.contract import TINY, Aggregate, Fit, assemble, check_iteration, class_counts, shares_of
from curation.stats.aggregation.latent import Layout, climb, count, expect, lay_out
from curation.stats.votes import BoolArray, FloatArray, K, Pairs, Votes

MAX_ITER: Final = 5000


def dawid_skene(
    votes: Votes,
    *,
    pairs: Pairs | None = None,
    is_judge: BoolArray | None = None,
    max_iter: int = MAX_ITER,
    tol: float = 1e-6,
    smoothing: float = 1.0,
) -> Aggregate:
    """Consensus by the EM algorithm of Dawid and Skene (1979, Applied Statistics 28(1), eq. 2.3-2.5).

    The model: comparison c has the true class k with probability prior[k]; rater r then says l with probability
    confusion[r, k, l], each vote independently. EM starts from the majority and stops when no posterior moves by more
    than ``tol``. ``smoothing`` adds to each row of a confusion matrix so many pseudo-votes of a rater who knows the
    answer half of the time and guesses otherwise (the mode under a Dirichlet prior), and to the prior so many
    comparisons of no known class: a few that favour a are no proof that none favours b. 0 is the maximum likelihood.
    The result is deterministic. A weight multiplies a vote's log-likelihood.

    A comparison with one vote cannot tell an odd class from an odd rater: only prior times confusion is identified, and
    EM would run along that ridge. So the model is fitted on comparisons with two votes or more, and then judges all.
    """
    check_iteration(max_iter, tol)
    shared = votes.shared()
    layout = lay_out(shared, shared.value, K)
    model = Confusions(len(votes.raters), smoothing)
    end = climb(layout, model, model.measured(layout, shares(shared)), max_iter=max_iter, tol=tol)
    every = lay_out(votes, votes.value, K)
    posterior, _ = expect(every, *model.logs(end.parameters))
    prior, confusion = model.split(end.parameters)
    fit = Fit(prior, confusion.transpose(1, 0, 2), end.log_likelihood, end.n_iter, end.converged)
    return assemble(votes, every.restore(posterior), fit)


class Confusions:
    """The model. Its parameters are square roots of probabilities: where one is 0, nothing runs off to infinity."""

    def __init__(self, raters: int, smoothing: float) -> None:
        self.raters = raters
        self.smoothing = smoothing
        self.pseudo = pseudo_counts(smoothing)

    def measured(self, layout: Layout, posterior: FloatArray) -> FloatArray:
        """Parameters of the raters held against a posterior [C, K]."""
        by_place = posterior.T[:, layout.order]
        return self.improve(np.empty(0), by_place.sum(axis=1), count(layout, by_place))

    def split(self, parameters: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Prior [K] and confusion [true, R, said]."""
        squares = parameters**2
        return shares_of(squares[:K]), shares_of(squares[K:].reshape(K, self.raters, K))

    def logs(self, parameters: FloatArray) -> tuple[FloatArray, FloatArray]:
        prior, confusion = self.split(parameters)
        return np.log(np.maximum(prior, TINY)), np.log(np.maximum(confusion, TINY)).reshape(K, -1)

    def improve(self, parameters: FloatArray, mass: FloatArray, counts: FloatArray) -> FloatArray:
        confusion = shares_of(counts.reshape(K, self.raters, K) + self.pseudo[:, None])
        prior = shares_of(mass + self.smoothing / K)
        improved: FloatArray = np.sqrt(np.concatenate([prior, confusion.ravel()]))
        return improved

    def penalty(self, parameters: FloatArray) -> float:
        log_prior, log_cells = self.logs(parameters)
        by_cell = log_cells.reshape(K, self.raters, K).sum(axis=1)
        return float((self.pseudo * by_cell).sum() + self.smoothing / K * log_prior.sum())


def shares(votes: Votes) -> FloatArray:
    """[C, K] shares of the votes' weight; nan for a comparison without votes."""
    counts = class_counts(votes)
    with np.errstate(invalid="ignore"):
        share: FloatArray = counts / counts.sum(axis=1, keepdims=True)
    return share


def pseudo_counts(smoothing: float) -> FloatArray:
    """[true, said] pseudo-votes of a rater who knows the answer half of the time and guesses otherwise."""
    if not smoothing >= 0:
        raise ValueError("smoothing", "0 or more pseudo-votes", smoothing)
    pseudo: FloatArray = smoothing * (np.eye(K) + np.full((K, K), 1 / K)) / 2
    return pseudo

"""Dawid and Skene's model: raters who err in their own ways."""

from __future__ import annotations

import numpy as np

from curation.stats.aggregation.contract import TINY, Aggregate, Fit, assemble, check_iteration, class_counts, sums
from curation.stats.votes import BoolArray, FloatArray, K, Pairs, Votes


def dawid_skene(
    votes: Votes,
    *,
    pairs: Pairs | None = None,
    is_judge: BoolArray | None = None,
    max_iter: int = 2000,
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
    fit = _fit(shared, max_iter, tol, pseudo_counts(smoothing))
    posterior, _ = expect(votes, fit.prior, fit.confusion)
    return assemble(votes, np.ascontiguousarray(posterior.T), fit)


def _fit(votes: Votes, max_iter: int, tol: float, pseudo: FloatArray) -> Fit:
    """EM from the majority."""
    posterior = shares(votes)
    prior, confusion = maximise(votes, posterior, pseudo)
    log_likelihood, n_iter, converged = 0.0, 0, not votes.n
    while not converged and n_iter < max_iter:
        n_iter += 1
        updated, log_likelihood = expect(votes, prior, confusion)
        converged = bool(np.abs(updated - posterior).max() < tol)
        posterior = updated
        prior, confusion = maximise(votes, posterior, pseudo)
    return Fit(prior, confusion, log_likelihood, n_iter, converged)


def shares(votes: Votes) -> FloatArray:
    """[K, C] shares of the votes' weight, each comparison having some."""
    counts = class_counts(votes)
    shares: FloatArray = np.ascontiguousarray((counts / counts.sum(axis=1, keepdims=True)).T)
    return shares


def pseudo_counts(smoothing: float) -> FloatArray:
    if not smoothing >= 0:
        raise ValueError("smoothing", "0 or more pseudo-votes", smoothing)
    pseudo: FloatArray = smoothing * (np.eye(K) + np.full((K, K), 1 / K)) / 2
    return pseudo


def expect(votes: Votes, prior: FloatArray, confusion: FloatArray) -> tuple[FloatArray, float]:
    """E-step in log space: posterior [K, C] and the log-likelihood of the votes."""
    said = votes.rater * K + votes.value
    logs = np.log(np.maximum(confusion, TINY)).transpose(1, 0, 2).reshape(K, -1)  # [true, rater × said]
    joint = np.empty((K, len(votes.comparisons)))
    for k in range(K):
        joint[k] = sums(votes.comparison, logs[k].take(said) * votes.weight, joint.shape[1])
    joint += np.log(np.maximum(prior, TINY))[:, None]
    top = joint.max(axis=0)
    posterior = np.exp(joint - top)
    total = posterior.sum(axis=0)
    return posterior / total, float((np.log(total) + top).sum())


def maximise(votes: Votes, posterior: FloatArray, pseudo: FloatArray) -> tuple[FloatArray, FloatArray]:
    """M-step: prior [K] and confusion [R, K, K] from posteriors [K, C]."""
    raters = len(votes.raters)
    said = votes.rater * K + votes.value
    confusion = np.empty((K, raters, K))
    for k in range(K):
        weight = posterior[k].take(votes.comparison) * votes.weight
        confusion[k] = sums(said, weight, raters * K).reshape(raters, K) + pseudo[k]
    totals = confusion.sum(axis=2, keepdims=True)
    confusion = np.where(totals > 0, confusion / np.where(totals > 0, totals, 1.0), 1 / K)
    mass = posterior.sum(axis=1) + pseudo.sum(axis=0) / K
    prior = mass / mass.sum() if mass.sum() > 0 else np.full(K, 1 / K)
    return prior, np.ascontiguousarray(confusion.transpose(1, 0, 2))

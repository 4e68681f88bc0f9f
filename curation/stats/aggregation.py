"""From votes to a consensus: majority, and Dawid and Skene's model of raters who err in their own ways."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from curation.stats.intervals import wilson_bounds
from curation.stats.votes import TIE, A, B, FloatArray, IntArray, K, Votes

_TINY: Final = 1e-300
"""Stands for a probability of 0 so that its logarithm stays finite."""


class Aggregate(NamedTuple):
    """The consensus of C comparisons by R raters over the K = 3 classes a, tie, b."""

    posterior: FloatArray
    """[C, K]; majority has nan for a comparison without votes, Dawid-Skene its prior."""
    strength: FloatArray
    """[C] signed preference, each side's mean strength weighted by the posterior; below 0 favours a."""
    prior: FloatArray
    """[K] share of each class."""
    confusion: FloatArray
    """[R, true class, said class]."""
    skill: FloatArray
    """[R] probability that the rater says the true class, its classes weighted by the prior; nan where no other
    rater's vote can be held against any of theirs."""
    skill_low: FloatArray
    skill_high: FloatArray
    n_votes: FloatArray
    """[R] weight of the rater's votes."""
    n_shared: FloatArray
    """[R] that of the votes on comparisons which others judged too: what the skill and its Wilson interval rest on."""
    log_likelihood: float | None
    """Of the votes that were fitted, under the model; None for majority, which has none."""
    n_iter: int
    converged: bool
    """False: ``max_iter`` came first, and the figures are those of an unfinished fit."""


def entropy(posterior: FloatArray) -> FloatArray:
    """Entropy in bits of distributions of shape [..., K]; 0 is certain, log2(K) knows nothing."""
    logs = np.log2(np.where(posterior > 0, posterior, 1.0))
    bits: FloatArray = np.abs(np.sum(posterior * logs, axis=-1))  # abs: -0.0 is 0
    return bits


def plurality(votes: Votes) -> npt.NDArray[np.int64]:
    """[C] the class with most votes, or -1 where two have equally many or none has any."""
    counts = _class_counts(votes)
    ordered = np.sort(counts, axis=1)
    return np.where(ordered[:, -1] > ordered[:, -2], counts.argmax(axis=1), -1)


def majority(votes: Votes, *, smoothing: float = 1.0) -> Aggregate:
    """Each class with its share of the votes' weight; raters are measured against these shares."""
    counts = _class_counts(votes)
    totals = counts.sum(axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):
        posterior = np.where(totals > 0, counts / totals, np.nan)
    shared = _shared(votes)
    prior, confusion = _maximise(shared, _shares(shared), _pseudo_counts(smoothing))
    fit = _Fit(prior, confusion, None, 1, True)
    return _finish(votes, shared, posterior, fit)


def dawid_skene(votes: Votes, *, max_iter: int = 2000, tol: float = 1e-6, smoothing: float = 1.0) -> Aggregate:
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
    if max_iter < 1:
        raise ValueError("max_iter", "1 or more", max_iter)
    if not tol > 0:
        raise ValueError("tol", "a number above 0", tol)
    shared = _shared(votes)
    fit = _fit(shared, max_iter, tol, _pseudo_counts(smoothing))
    posterior, _ = _expect(votes, fit.prior, fit.confusion)
    return _finish(votes, shared, np.ascontiguousarray(posterior.T), fit)


class _Fit(NamedTuple):
    prior: FloatArray
    confusion: FloatArray
    log_likelihood: float | None
    n_iter: int
    converged: bool


def _fit(votes: Votes, max_iter: int, tol: float, pseudo: FloatArray) -> _Fit:
    """EM from the majority."""
    posterior = _shares(votes)
    prior, confusion = _maximise(votes, posterior, pseudo)
    log_likelihood, n_iter, converged = 0.0, 0, not votes.n
    while not converged and n_iter < max_iter:
        n_iter += 1
        updated, log_likelihood = _expect(votes, prior, confusion)
        converged = bool(np.abs(updated - posterior).max() < tol)
        posterior = updated
        prior, confusion = _maximise(votes, posterior, pseudo)
    return _Fit(prior, confusion, log_likelihood, n_iter, converged)


def _shared(votes: Votes) -> Votes:
    """The votes on comparisons with two or more, these numbered anew; raters keep their numbers."""
    several = np.bincount(votes.comparison, minlength=len(votes.comparisons)) >= 2
    kept = several[votes.comparison]
    return Votes(
        comparison=(np.cumsum(several) - 1)[votes.comparison[kept]],
        rater=votes.rater[kept],
        value=votes.value[kept],
        strength=votes.strength[kept],
        weight=votes.weight[kept],
        comparisons=tuple(np.flatnonzero(several).tolist()),
        raters=votes.raters,
    )


def _shares(votes: Votes) -> FloatArray:
    """[K, C] shares of the votes' weight, each comparison having some."""
    counts = _class_counts(votes)
    shares: FloatArray = np.ascontiguousarray((counts / counts.sum(axis=1, keepdims=True)).T)
    return shares


def _pseudo_counts(smoothing: float) -> FloatArray:
    if not smoothing >= 0:
        raise ValueError("smoothing", "0 or more pseudo-votes", smoothing)
    pseudo: FloatArray = smoothing * (np.eye(K) + np.full((K, K), 1 / K)) / 2
    return pseudo


def _sums(index: IntArray, weight: FloatArray, size: int) -> FloatArray:
    """[size] the weights summed by index."""
    return np.bincount(index, weight, size).astype(np.float64, copy=False)


def _class_counts(votes: Votes) -> FloatArray:
    """[C, K] weight of the votes for each class."""
    cells = votes.comparison * K + votes.value
    return _sums(cells, votes.weight, len(votes.comparisons) * K).reshape(-1, K)


def _expect(votes: Votes, prior: FloatArray, confusion: FloatArray) -> tuple[FloatArray, float]:
    """E-step in log space: posterior [K, C] and the log-likelihood of the votes."""
    said = votes.rater * K + votes.value
    logs = np.log(np.maximum(confusion, _TINY)).transpose(1, 0, 2).reshape(K, -1)  # [true, rater × said]
    joint = np.empty((K, len(votes.comparisons)))
    for k in range(K):
        joint[k] = _sums(votes.comparison, logs[k].take(said) * votes.weight, joint.shape[1])
    joint += np.log(np.maximum(prior, _TINY))[:, None]
    top = joint.max(axis=0)
    posterior = np.exp(joint - top)
    total = posterior.sum(axis=0)
    return posterior / total, float((np.log(total) + top).sum())


def _maximise(votes: Votes, posterior: FloatArray, pseudo: FloatArray) -> tuple[FloatArray, FloatArray]:
    """M-step: prior [K] and confusion [R, K, K] from posteriors [K, C]."""
    raters = len(votes.raters)
    said = votes.rater * K + votes.value
    confusion = np.empty((K, raters, K))
    for k in range(K):
        weight = posterior[k].take(votes.comparison) * votes.weight
        confusion[k] = _sums(said, weight, raters * K).reshape(raters, K) + pseudo[k]
    totals = confusion.sum(axis=2, keepdims=True)
    confusion = np.where(totals > 0, confusion / np.where(totals > 0, totals, 1.0), 1 / K)
    mass = posterior.sum(axis=1) + pseudo.sum(axis=0) / K
    prior = mass / mass.sum() if mass.sum() > 0 else np.full(K, 1 / K)
    return prior, np.ascontiguousarray(confusion.transpose(1, 0, 2))


def _finish(votes: Votes, shared: Votes, posterior: FloatArray, fit: _Fit) -> Aggregate:
    n_shared = _sums(shared.rater, shared.weight, len(votes.raters))
    skill = np.where(n_shared > 0, np.einsum("k,rkk->r", fit.prior, fit.confusion), np.nan)
    low, high = wilson_bounds(skill, n_shared)
    return Aggregate(
        posterior=posterior,
        strength=_strength(votes, posterior),
        prior=fit.prior,
        confusion=fit.confusion,
        skill=skill,
        skill_low=low,
        skill_high=high,
        n_votes=_sums(votes.rater, votes.weight, len(votes.raters)),
        n_shared=n_shared,
        log_likelihood=fit.log_likelihood,
        n_iter=fit.n_iter,
        converged=fit.converged,
    )


def _strength(votes: Votes, posterior: FloatArray) -> FloatArray:
    """[C] P(b) · mean strength of those who said b - P(a) · that of those who said a; 1 where nobody said it."""
    cells = votes.comparison * K + votes.value
    size = len(votes.comparisons) * K
    total = _sums(cells, votes.weight, size)
    strength = _sums(cells, votes.weight * np.abs(votes.strength), size)
    mean = np.where(total > 0, strength / np.where(total > 0, total, 1.0), 1.0).reshape(-1, K)
    mean[:, TIE] = 0.0
    signed: FloatArray = posterior[:, B] * mean[:, B] - posterior[:, A] * mean[:, A]
    return signed

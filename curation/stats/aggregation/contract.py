"""What every way of aggregating takes and gives, and the arithmetic that they share."""

from __future__ import annotations

from typing import Final, NamedTuple, Protocol

import numpy as np

from curation.stats.intervals import wilson_bounds
from curation.stats.votes import A, B, BoolArray, FloatArray, IntArray, K, Pairs, Votes

TINY: Final = 1e-300
"""Stands for a probability of 0 so that its logarithm stays finite."""


class Aggregate(NamedTuple):
    """The consensus of C comparisons by R raters over the K = 3 classes a, tie, b."""

    posterior: FloatArray
    """[C, K]; for a comparison without votes majority has nan, every other method what it expects before any vote."""
    strength: FloatArray
    """[C] signed preference, each side's mean strength weighted by the posterior; below 0 favours a."""
    prior: FloatArray
    """[K] share of each class."""
    confusion: FloatArray
    """[R, true class, said class]; what a known rater's further vote weighs (`update_one`)."""
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
    difficulty: FloatArray | None = None
    """[C] probability that a rater of the mean skill says something else than the true class; 0 is easy."""
    side: FloatArray | None = None
    """[R] probability of choosing the one shown first where the texts say nothing; 0.5 is no bias."""
    scores: FloatArray | None = None
    """[items] log-odds of being preferred."""
    base: FloatArray | None = None
    """[C, K] probability of each class before the comparison's own votes; None: ``prior`` for all."""


class Aggregator(Protocol):
    """A method: arrays in, consensus out. One that has no use for ``pairs`` or ``is_judge`` ignores them."""

    def __call__(self, votes: Votes, *, pairs: Pairs | None = None, is_judge: BoolArray | None = None) -> Aggregate: ...


class Fit(NamedTuple):
    """What a model says of its raters, on the way to an `Aggregate`."""

    prior: FloatArray
    """[K]"""
    confusion: FloatArray
    """[R, K, K]"""
    log_likelihood: float | None
    n_iter: int
    converged: bool


def assemble(votes: Votes, posterior: FloatArray, fit: Fit, *, n_shared: FloatArray | None = None) -> Aggregate:
    """Posterior [C, K] and fit as an `Aggregate` with strengths, skills and their intervals.

    ``n_shared`` [R] is the weight that skills rest on; by default, of the votes on comparisons that others judged too.
    """
    raters = len(votes.raters)
    if n_shared is None:
        shared = votes.shared()
        n_shared = sums(shared.rater, shared.weight, raters)
    skill = np.where(n_shared > 0, np.einsum("k,rkk->r", fit.prior, fit.confusion), np.nan)
    low, high = wilson_bounds(skill, n_shared)
    return Aggregate(
        posterior=posterior,
        strength=signed_strength(votes, posterior),
        prior=fit.prior,
        confusion=fit.confusion,
        skill=skill,
        skill_low=low,
        skill_high=high,
        n_votes=sums(votes.rater, votes.weight, raters),
        n_shared=n_shared,
        log_likelihood=fit.log_likelihood,
        n_iter=fit.n_iter,
        converged=fit.converged,
    )


def sums(index: IntArray, weight: FloatArray, size: int) -> FloatArray:
    """[size] the weights summed by index."""
    return np.bincount(index, weight, size).astype(np.float64, copy=False)


def class_counts(votes: Votes) -> FloatArray:
    """[C, K] weight of the votes for each class."""
    cells = votes.comparison * K + votes.value
    return sums(cells, votes.weight, len(votes.comparisons) * K).reshape(-1, K)


def signed_strength(votes: Votes, posterior: FloatArray) -> FloatArray:
    """[C] P(b) · mean strength of those who said b - P(a) · that of those who said a; 1 where nobody said it."""
    cells = votes.comparison * K + votes.value
    size = len(votes.comparisons) * K
    total = sums(cells, votes.weight, size)
    strength = sums(cells, votes.weight * np.abs(votes.strength), size)
    mean = np.where(total > 0, strength / np.where(total > 0, total, 1.0), 1.0).reshape(-1, K)
    signed: FloatArray = posterior[:, B] * mean[:, B] - posterior[:, A] * mean[:, A]
    return signed


def shares_of(counts: FloatArray) -> FloatArray:
    """Counts as shares of their last axis; even where there are none."""
    totals = counts.sum(axis=-1, keepdims=True)
    shares: FloatArray = np.where(totals > 0, counts / np.where(totals > 0, totals, 1.0), 1 / counts.shape[-1])
    return shares


def normalised(joint: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Logarithms [..., K] as probabilities that sum to 1, and the logarithm of what they summed to [...]."""
    top = joint.max(axis=-1, keepdims=True)
    shares = np.exp(joint - top)
    total = shares.sum(axis=-1, keepdims=True)
    return shares / total, (np.log(total) + top)[..., 0]


def posterior_of(votes: Votes, confusion: FloatArray, base: FloatArray) -> FloatArray:
    """[C, K] posterior of every comparison by raters of known confusion [R, K, K]: the E-step.

    ``base`` [K] or [C, K] holds the probabilities before these votes.
    """
    logs = np.log(np.maximum(confusion, TINY))
    joint = np.empty((len(votes.comparisons), K))
    for k in range(K):
        said = logs[:, k].ravel().take(votes.rater * K + votes.value)
        joint[:, k] = sums(votes.comparison, said * votes.weight, len(joint))
    return normalised(joint + np.log(np.maximum(base, TINY)))[0]


def update_one(
    values: IntArray, strength: FloatArray, weights: FloatArray, confusions: FloatArray, base: FloatArray
) -> tuple[FloatArray, float]:
    """One comparison by its m votes and what is known of their raters: what a new judgement changes at once.

    ``values``, ``strength`` and ``weights`` are [m], ``confusions`` [m, K, K], ``base`` [K] (a row of `Aggregate.base`,
    or its prior). Posterior [K] and signed strength: what the fit would say where confusions are all that it knows of
    raters (Dawid-Skene, MACE), and where it knows more, a good guess until the next one.
    """
    m = len(values)
    if confusions.shape != (m, K, K):
        raise ValueError("confusions", f"an array of shape {(m, K, K)}", confusions.shape)
    everything, each = np.zeros(m, dtype=np.int64), np.arange(m)
    unknown = np.full(m, -1, dtype=np.int8)
    votes = Votes(everything, each, values, strength, weights, unknown, (0,), tuple(range(m)))
    posterior = posterior_of(votes, confusions, base)
    return posterior[0], float(signed_strength(votes, posterior)[0])


def entropy(posterior: FloatArray) -> FloatArray:
    """Entropy in bits of distributions of shape [..., K]; 0 is certain, log2(K) knows nothing."""
    logs = np.log2(np.where(posterior > 0, posterior, 1.0))
    bits: FloatArray = np.abs(np.sum(posterior * logs, axis=-1))  # abs: -0.0 is 0
    return bits


def check_iteration(max_iter: int, tol: float) -> None:
    """Refuse limits under which no fit can end."""
    if max_iter < 1:
        raise ValueError("max_iter", "1 or more", max_iter)
    if not tol > 0:
        raise ValueError("tol", "a number above 0", tol)

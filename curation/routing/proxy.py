"""A reward model small enough to train hundreds of times: Bradley-Terry, linear in frozen features of both completions.

It stands in for the real one while mixes of labels are tried: what counts is which mix is better, not the figure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from curation.stats.votes import FloatArray, IntArray


class Proxy(NamedTuple):
    weights: FloatArray
    """[d]"""
    n_iter: int
    converged: bool


def components(x: FloatArray, n: int) -> FloatArray:
    """[N, r] the n strongest directions of differences x [N, d], unlabelled; with n >= d only rotated.

    A ridge does not mind a rotation, so with n >= the rank of x nothing is lost.
    """
    _, _, axes = np.linalg.svd(x, full_matrices=False)
    rotated: FloatArray = x @ axes[:n].T
    return rotated


def bradley_terry(
    x: FloatArray,
    target: FloatArray,
    *,
    ridge: float = 1.0,
    start: FloatArray | None = None,
    max_iter: int = 50,
    tol: float = 1e-6,
) -> Proxy:
    """Weights w that maximise Σ t log σ(xw) + (1-t) log σ(-xw) - ridge/2 |w|² by Newton's method with halved steps.

    ``x`` [N, d] features of b minus those of a, ``target`` [N] probability of b: a tie is 0.5. Strictly concave, so
    the optimum is one. Converged when no gradient component exceeds ``tol`` for each comparison.
    """
    if x.ndim != 2 or target.shape != (len(x),):
        raise ValueError("target", f"an array of shape ({len(x)},)", target.shape)
    if not ridge > 0:
        raise ValueError("ridge", "a number above 0", ridge)
    weights = np.zeros(x.shape[1]) if start is None else start
    objective = _objective(x, target, weights, ridge)
    for n_iter in range(1, max_iter + 1):
        p = sigmoid(x @ weights)
        gradient = x.T @ (target - p) - ridge * weights
        if np.abs(gradient).max(initial=0.0) <= tol * max(1, len(x)):
            return Proxy(weights, n_iter, True)
        hessian = (x.T * (p * (1 - p))) @ x + ridge * np.eye(len(weights))
        step = np.asarray(np.linalg.solve(hessian, gradient), dtype=np.float64)
        weights, objective = _climb(x, target, weights, step, objective, ridge)
    return Proxy(weights, max_iter, False)


def _climb(
    x: FloatArray, target: FloatArray, weights: FloatArray, step: FloatArray, objective: float, ridge: float
) -> tuple[FloatArray, float]:
    """The longest of the halved steps that does not lower the objective."""
    for _ in range(30):
        reached = _objective(x, target, weights + step, ridge)
        if reached >= objective:
            return weights + step, reached
        step = step / 2
    return weights, objective


def _objective(x: FloatArray, target: FloatArray, weights: FloatArray, ridge: float) -> float:
    return float(log_likelihood(x @ weights, target).sum() - ridge / 2 * weights @ weights)


def log_likelihood(margin: FloatArray, target: FloatArray) -> FloatArray:
    """[N] of a probability of b under a margin, in nats."""
    found: FloatArray = -np.logaddexp(0, -margin) - (1 - target) * margin
    return found


def sigmoid(margin: FloatArray) -> FloatArray:
    return np.exp(-np.logaddexp(0, -margin))


Measure = Callable[[FloatArray, FloatArray], FloatArray]
"""(margin [n], reference [n] probability of b) → [n] how good each margin is."""


def accuracy(margin: FloatArray, reference: FloatArray) -> FloatArray:
    """[n] 1 where the side is people's, 0.5 where the margin is none, nan where people are undecided."""
    right = (np.sign(margin) * np.sign(reference - 0.5) + 1) / 2
    return np.where(reference == 0.5, np.nan, right)


def out_of_fold(x: FloatArray, target: FloatArray, folds: IntArray, *, ridge: float = 1.0) -> FloatArray:
    """[N] the margin of each comparison by a proxy that learned from the other folds alone."""
    margin = np.zeros(len(x))
    for fold in np.unique(folds):
        held = folds == fold
        margin[held] = x[held] @ bradley_terry(x[~held], target[~held], ridge=ridge).weights
    return margin


def performance(
    x: FloatArray,
    human: FloatArray,
    judge: FloatArray,
    *,
    folds: IntArray,
    reference: FloatArray | None = None,
    ridge: float = 1.0,
    measure: Measure = log_likelihood,
) -> Callable[[npt.NDArray[np.bool_]], float]:
    """How good a proxy becomes by a mix of labels: a function of the mask [N] of comparisons labelled by people.

    ``human`` and ``judge`` [N] are probabilities of b. For each fold a proxy learns from the mixed labels of the
    others, and is measured on the fold against ``reference`` (people's labels by default), so that no label measures
    what it taught. The mean over the comparisons measured; every fit starts from the one before.
    """
    reference = human if reference is None else reference
    parts = [folds == fold for fold in np.unique(folds)]
    if len(parts) < 2:
        raise ValueError("folds", "two folds or more", len(parts))
    last: list[FloatArray | None] = [None] * len(parts)

    def measured(mask: npt.NDArray[np.bool_]) -> float:
        mixed = np.where(mask, human, judge)
        found = []
        for i, held in enumerate(parts):
            proxy = bradley_terry(x[~held], mixed[~held], ridge=ridge, start=last[i])
            last[i] = proxy.weights
            found.append(measure(x[held] @ proxy.weights, reference[held]))
        return _mean(found)

    return measured


def _mean(parts: Sequence[FloatArray]) -> float:
    values = np.concatenate(parts)
    values = values[np.isfinite(values)]
    return float(values.mean()) if values.size else float("nan")

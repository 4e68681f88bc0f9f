"""What a comparison's label is likely to be before anybody answers, learned from a pilot that people have judged.

Raykar et al. 2010, "Learning from crowds" (JMLR 11, section 2), with three classes: the label of a comparison depends
on its features by a softmax regression, and people, taken as one kind, report it through a confusion matrix; both are
found together by EM, so a lone vote is never taken for the truth. It does not care which completion is called a: sided
features (a judge's vote, the difference in length) speak for one side with one weight, the others only for a tie, and
people confuse a with b as b with a.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from curation.stats.votes import TIE, A, B, FloatArray, K

_TINY: Final = 1e-300


class Forecast(NamedTuple):
    """P(a), P(tie), P(b) are proportional to exp(-s), exp(t), exp(s)."""

    sided: FloatArray
    """[S] weights of s, on sided features."""
    plain: FloatArray
    """[P + 1] weights of t, the constant first."""
    centre: FloatArray
    """[P] of the plain features; an absent one counts as this."""
    scale: FloatArray
    """[S + P] by which features are divided."""
    confusion: FloatArray
    """[K true, K said] of a person."""
    log_likelihood: float
    """Penalised, of the votes."""
    n_iter: int
    converged: bool


def fit(
    sided: FloatArray, plain: FloatArray, counts: FloatArray, *, ridge: float = 1.0, smoothing: float = 4.0,
    max_iter: int = 500, tol: float = 1e-6,
) -> Forecast:  # fmt: skip
    """From features ``sided`` [N, S] and ``plain`` [N, P] (nan: absent) and people's votes ``counts`` [N, K].

    ``smoothing`` adds so many votes of a rater who knows the answer half of the time and guesses otherwise; ``ridge``
    penalises every weight but the constant. Converged when an iteration adds less than ``tol`` to the penalised
    log-likelihood for each comparison.
    """
    if len(sided) != len(counts) or len(plain) != len(counts) or counts.shape[1:] != (K,):
        raise ValueError("counts", f"an array of shape ({len(sided)}, {K})", counts.shape)
    centre, scale = _scales(sided, plain)
    x = _design(sided, plain, centre, scale)
    pseudo = smoothing * (np.eye(K) + np.full((K, K), 1 / K)) / 2
    weights, penalty = np.zeros(x.shape[2]), np.full(x.shape[2], ridge)
    penalty[sided.shape[1]] = 1e-6  # the constant
    posterior = (counts + 1 / K) / (counts + 1 / K).sum(axis=1, keepdims=True)
    confusion, last = _confusion(posterior, counts, pseudo), -np.inf
    for n_iter in range(1, max_iter + 1):
        weights = _regress(x, posterior, weights, penalty)
        posterior, likelihood = _expect(_softmax(x @ weights), counts, confusion)
        objective = likelihood + float((pseudo * np.log(confusion)).sum()) - float(penalty @ weights**2) / 2
        if objective - last < tol * max(1, len(counts)) and n_iter > 1:
            break
        confusion, last = _confusion(posterior, counts, pseudo), objective
    n = sided.shape[1]
    return Forecast(weights[:n], weights[n:], centre, scale, confusion, objective, n_iter, n_iter < max_iter)


def predict(forecast: Forecast, sided: FloatArray, plain: FloatArray) -> FloatArray:
    """[N, K] probability of each class before any vote."""
    x = _design(sided, plain, forecast.centre, forecast.scale)
    return _softmax(x @ np.concatenate([forecast.sided, forecast.plain]))


def posterior(base: FloatArray, counts: FloatArray, confusion: FloatArray) -> FloatArray:
    """[N, K] after people's votes: ``counts`` [N, K] of raters of one ``confusion`` [K, K]."""
    return _expect(base, counts, confusion)[0]


def _scales(sided: FloatArray, plain: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Plain features are centred; sided ones are not, since their zero means neither side."""
    known = np.where(np.isfinite(plain), plain, 0.0)
    n = np.maximum(np.isfinite(plain).sum(axis=0), 1)
    centre = known.sum(axis=0) / n
    spread = np.sqrt((np.where(np.isfinite(plain), plain - centre, 0.0) ** 2).sum(axis=0) / n)
    root = np.sqrt((np.nan_to_num(sided) ** 2).mean(axis=0)) if len(sided) else np.ones(sided.shape[1])
    scale = np.concatenate([root, spread])
    return centre, np.where(scale > 1e-12, scale, 1.0)


def _design(sided: FloatArray, plain: FloatArray, centre: FloatArray, scale: FloatArray) -> FloatArray:
    """[N, K, S + 1 + P] so that the logits of the classes are linear in one vector of weights."""
    n, s = sided.shape
    x = np.zeros((n, K, s + 1 + plain.shape[1]))
    x[:, B, :s] = np.nan_to_num(sided) / scale[:s]
    x[:, A, :s] = -x[:, B, :s]
    x[:, TIE, s] = 1
    x[:, TIE, s + 1 :] = np.nan_to_num((plain - centre) / scale[s:])
    return x


def _softmax(logits: FloatArray) -> FloatArray:
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    found: FloatArray = shares / shares.sum(axis=1, keepdims=True)
    return found


def _expect(base: FloatArray, counts: FloatArray, confusion: FloatArray) -> tuple[FloatArray, float]:
    joint = np.log(np.maximum(base, _TINY)) + counts @ np.log(np.maximum(confusion, _TINY)).T
    top = joint.max(axis=1, keepdims=True)
    shares = np.exp(joint - top)
    total = shares.sum(axis=1, keepdims=True)
    return shares / total, float((np.log(total) + top).sum())


def _confusion(posterior: FloatArray, counts: FloatArray, pseudo: FloatArray) -> FloatArray:
    """The mean over both namings of the completions: a and b swapped is the same person."""
    said = posterior.T @ counts + pseudo
    said = said + said[::-1, ::-1]
    found: FloatArray = said / said.sum(axis=1, keepdims=True)
    return found


def _regress(x: FloatArray, target: FloatArray, weights: FloatArray, penalty: FloatArray, steps: int = 3) -> FloatArray:
    """A few Newton steps of the softmax regression on soft targets [N, K], halved until they climb.

    EM needs an M-step that improves, not one that ends.
    """

    def objective(w: FloatArray) -> float:
        logits = x @ w
        top = logits.max(axis=1)
        logs = logits - (top + np.log(np.exp(logits - top[:, None]).sum(axis=1)))[:, None]
        return float((target * logs).sum() - (penalty * w * w).sum() / 2)

    for _ in range(steps):
        p = _softmax(x @ weights)
        gradient = np.einsum("nk,nkd->d", target - p, x) - penalty * weights
        mean = np.einsum("nk,nkd->nd", p, x)
        hessian = np.einsum("nk,nkd,nke->de", p, x, x, optimize=True) - mean.T @ mean + np.diag(penalty)
        step, now = np.asarray(np.linalg.solve(hessian, gradient), dtype=np.float64), objective(weights)
        while objective(weights + step) < now and np.abs(step).max() > 1e-12:
            step = step / 2
        weights = weights + step
    return weights

"""Noise scores from 0 (nothing speaks against the label) to 1 (everything does), each with its cause in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from curation.stats import CLASSES, TIE, A, B, K, Votes, entropy
from curation.stats.aggregation import posterior_of
from curation.stats.votes import FloatArray, IntArray

_CAP: Final = 0.99
"""No evidence is surer than this, so that one confident source never silences the other."""


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a label is doubted."""

    rule: str
    """A name in `methods.METHODS`."""
    score: float
    text: str


class Scores(NamedTuple):
    """One method over n comparisons."""

    score: FloatArray
    """[n]; nan where the method cannot say."""
    text: list[str]
    """n causes in words, empty where the score is nan."""
    details: Sequence[Mapping[str, Any]] | None = None
    """n records that explain the score further, in JSON's types; None: there is no more to say."""


class Suspicion(NamedTuple):
    """The doubts about one label together."""

    score: float | None
    """The largest of its causes: they overlap, so adding them up would count one doubt twice. None: nothing scored."""
    causes: tuple[Cause, ...]
    """Strongest first."""


def consensus_entropy(posterior: npt.ArrayLike) -> Scores:
    """Entropy of the consensus [n, K] over a, tie, b, divided by its largest value log2(K)."""
    table = _posterior(posterior)
    score = entropy(table) / np.log2(K)
    texts = [
        "" if np.isnan(s) else f"{_spread(row)}: a {row[A]:.0%}, tie {row[TIE]:.0%}, b {row[B]:.0%}"
        for s, row in zip(score, table, strict=True)
    ]
    return Scores(score, texts)


def _spread(row: npt.NDArray[np.float64]) -> str:
    return "raters are split" if row.max() < 0.9 else "raters agree"


def reward_model_disagreement(posterior: npt.ArrayLike, margin: npt.ArrayLike) -> Scores:
    """Probability that the consensus side is wrong once a reward model has been heard.

    ``posterior`` is [n, K], ``margin`` [n] is reward(b) - reward(a), nan where unscored. With p the label's probability
    among the decided classes and q = sigmoid(margin toward the label), Bayes' rule for two independent witnesses gives
    (1-p)(1-q) / (pq + (1-p)(1-q)). The model must not have trained on the comparison (held out or out of fold);
    in sample it agrees with whatever it was taught. A label that is a tie has no side to be wrong about: nan.
    """
    table, margins = _posterior(posterior), np.asarray(margin, dtype=np.float64)
    if margins.shape != table.shape[:1]:
        raise ValueError("margin", f"an array of shape {table.shape[:1]}", margins.shape)
    sided = np.abs(table[:, B] - table[:, A])
    decided = np.where(sided > 0, table[:, A] + table[:, B], np.nan)
    p = np.minimum(np.maximum(table[:, A], table[:, B]) / decided, _CAP)
    toward = np.where(table[:, B] > table[:, A], margins, -margins)
    q = np.clip(0.5 * (1 + np.tanh(toward / 2)), 1 - _CAP, _CAP)
    score = (1 - p) * (1 - q) / (p * q + (1 - p) * (1 - q))
    score = np.where(table[:, TIE] > np.maximum(table[:, A], table[:, B]), np.nan, score)
    texts = [_disagreement(s, row, q_label) for s, row, q_label in zip(score.tolist(), table, q.tolist(), strict=True)]
    return Scores(score, texts)


def _disagreement(score: float, posterior: FloatArray, q: float) -> str:
    if np.isnan(score):
        return ""
    label, other = ("b", "a") if posterior[B] > posterior[A] else ("a", "b")
    side, sure = (label, q) if q >= 0.5 else (other, 1 - q)
    return f"raters prefer {label} ({max(posterior[A], posterior[B]):.0%}), the reward model {side} ({sure:.0%})"


FEW: Final = 10.0
"""Votes of the crowd's mean rater that each rater is held to have given beside their own."""


def rater_quality(
    posterior: npt.ArrayLike, votes: Votes, confusion: FloatArray, n_votes: FloatArray, prior: FloatArray,
    names: Sequence[str],
) -> Scores:  # fmt: skip
    """Probability that the label, the likeliest class of ``posterior`` [n, K], is wrong given who said what.

    ``votes`` are of these n comparisons by R raters of ``confusion`` [R, K, K] over ``n_votes`` [R] votes, called by
    ``names`` [R]; ``prior`` [K] is the share of each class. Whoever gave few votes is held to be like the others:
    confusions are drawn to the crowd's mean by so many pseudo-votes (`FEW`). The score is 1 - P(label | votes) by Dawid
    and Skene (1979), eq. 2.5, whatever method made the consensus. A comparison without votes: nan.
    """
    table = _posterior(posterior)
    if len(votes.comparisons) != len(table):
        raise ValueError("votes", f"votes of {len(table)} comparisons", len(votes.comparisons))
    _check_raters(votes, confusion, names)
    drawn = _drawn(confusion, n_votes)
    label = table.argmax(axis=1)
    voted = np.bincount(votes.comparison, minlength=len(table)) > 0
    likely = posterior_of(votes, drawn, prior)
    score = np.where(voted & ~np.isnan(table).any(axis=1), 1 - likely[np.arange(len(table)), label], np.nan)
    skill = np.einsum("k,rkk->r", prior, drawn)
    return Scores(score, _voters(score, label, votes, skill, names))


def _check_raters(votes: Votes, confusion: FloatArray, names: Sequence[str]) -> None:
    raters = len(votes.raters)
    if confusion.shape != (raters, K, K) or len(names) != raters:
        raise ValueError("confusion", f"an array of shape {(raters, K, K)}, and as many names", confusion.shape)


def _drawn(confusion: FloatArray, n_votes: FloatArray) -> FloatArray:
    """[R, K, K] drawn to the crowd's mean; a rater of whom nothing is known (nan, or no votes) is that mean."""
    known = np.where(np.isnan(confusion).any(axis=(1, 2)), 0.0, n_votes)
    mean = np.einsum("r,rij->ij", known, np.nan_to_num(confusion)) / known.sum() if known.sum() else _BLUNT
    weight = (known / (known + FEW))[:, None, None]
    drawn: FloatArray = weight * np.nan_to_num(confusion) + (1 - weight) * mean
    return drawn


_BLUNT: Final = np.full((K, K), 0.2) + 0.4 * np.eye(K)
"""A crowd of which nothing is known is right more often than not."""


def _voters(score: FloatArray, label: IntArray, votes: Votes, skill: FloatArray, names: Sequence[str]) -> list[str]:
    """Who stands for the label and who against it, with how often each is right."""
    order = np.argsort(votes.comparison, kind="stable")
    starts = np.searchsorted(votes.comparison[order], np.arange(len(score) + 1))
    told = [f"{name} ({s:.0%})" for name, s in zip(names, skill.tolist(), strict=True)]
    value, rater = votes.value[order].tolist(), votes.rater[order].tolist()
    texts = []
    for i, (s, said) in enumerate(zip(score.tolist(), label.tolist(), strict=True)):
        places = range(starts[i], starts[i + 1])
        texts.append("" if np.isnan(s) else _sides(said, [(value[j], told[rater[j]]) for j in places]))
    return texts


def _sides(label: int, said: Sequence[tuple[int, str]]) -> str:
    agree = [name for value, name in said if value == label]
    other = [name for value, name in said if value != label]
    return f"for {CLASSES[label]}: {_named(agree)}; against: {_named(other)}; right so often as in brackets"


def _named(names: Sequence[str]) -> str:
    return (", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")) or "nobody"


def suspicion(causes: Iterable[Cause]) -> Suspicion:
    """All doubts about one label, strongest first; equal ones by name."""
    ordered = tuple(sorted(causes, key=lambda cause: (-cause.score, cause.rule)))
    return Suspicion(ordered[0].score if ordered else None, ordered)


def _posterior(posterior: npt.ArrayLike) -> FloatArray:
    table = np.asarray(posterior, dtype=np.float64)
    if table.ndim != 2 or table.shape[1] != K:
        raise ValueError("posterior", f"an array of shape (n, {K})", table.shape)
    if (table < 0).any() or not np.allclose(table.sum(axis=1)[~np.isnan(table).any(axis=1)], 1):
        raise ValueError("posterior", "rows of probabilities that sum to 1", "others")
    return table

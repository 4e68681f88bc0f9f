"""Scores from the margins of several reward models. Notation: m models, n labels; margins point toward the label.

A margin is the reward of the label's side less that of the other: below 0 the model contradicts the label.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from curation.noise.scores import Scores
from curation.stats.votes import FloatArray, IntArray


class Strength(NamedTuple):
    """What an ensemble thinks of n labels (Wang et al. 2024, arXiv 2401.06080, section 2.1)."""

    mean: FloatArray
    """[n] over the models that scored the label; nan where none did."""
    deviation: FloatArray
    """[n] of the population of these models; 0 for one."""
    against: IntArray
    """[n] models whose margin is below 0."""
    models: IntArray
    """[n] models that scored the label."""


def strength(margins: npt.ArrayLike) -> Strength:
    """Of margins [m, n], nan where a model did not score a label. ValueError names another shape."""
    table = np.asarray(margins, dtype=np.float64)
    if table.ndim != 2:
        raise ValueError("margins", "an array of shape (models, labels)", table.shape)
    known = ~np.isnan(table)
    models = known.sum(axis=0)
    divisor = np.where(models > 0, models, np.nan)
    filled = np.where(known, table, 0.0)
    mean = filled.sum(axis=0) / divisor
    squares = np.where(known, (filled - mean) ** 2, 0.0).sum(axis=0)
    return Strength(mean, np.sqrt(squares / divisor), (known & (table < 0)).sum(axis=0), models)


def probability_wrong(mean: FloatArray, deviation: FloatArray) -> FloatArray:
    """[n] expectation of σ(-d) for d ~ N(mean, deviation²), by MacKay's (1992) κ = 1 / sqrt(1 + π s² / 8).

    Models that contradict one another say less than the mean of their margins.
    """
    shrunk = mean / np.sqrt(1 + np.pi * deviation**2 / 8)
    wrong: FloatArray = 0.5 * (1 - np.tanh(shrunk / 2))
    return wrong


def ensemble_margin(margins: npt.ArrayLike) -> Scores:
    """Probability that each label is wrong by models [m, n] none of which trained on it: out of fold, never in sample.

    Wang et al. 2024 (2401.06080) find the lowest fifth by mean harmful to train on.
    """
    found = strength(margins)
    score = probability_wrong(found.mean, found.deviation)
    told = list(zip(*(each.tolist() for each in found), strict=True))
    return Scores(
        score,
        [_against(*each) for each in told],
        [{} if not k else {"mean": _r(m), "deviation": _r(d), "against": a, "models": k} for m, d, a, k in told],
    )


def peer_review(margins: npt.ArrayLike, kept: npt.ArrayLike | None = None) -> Scores:
    """Doubt about each label by reviewers [m, n] of one another's small-loss pairs (2505.10597; 1804.06872).

    ``margins`` are means over training; ``kept`` [n] is the share of the later rounds in which the reviewers let
    a pair teach. They did see the labels, but pairs of large loss taught neither. The score is σ(-mean).
    """
    found = strength(margins)
    share = np.full(len(found.mean), np.nan) if kept is None else np.asarray(kept, dtype=np.float64)
    if share.shape != found.mean.shape:
        raise ValueError("kept", f"an array of shape {found.mean.shape}", share.shape)
    told = list(zip(*(each.tolist() for each in (*found, share)), strict=True))
    return Scores(
        probability_wrong(found.mean, np.zeros_like(found.mean)),
        [_reviewed(*each) for each in told],
        [
            {} if not k else {"mean": _r(m), "deviation": _r(d), "against": a, "models": k, "kept": _r(s)}
            for m, d, a, k, s in told
        ],
    )


def _against(mean: float, deviation: float, against: int, models: int) -> str:
    if not models:
        return ""
    return f"{against} of {models} models that did not learn it are against it: margin {mean:+.2f} ± {deviation:.2f}"


def _reviewed(mean: float, deviation: float, against: int, models: int, kept: float) -> str:
    if not models:
        return ""
    share = "" if np.isnan(kept) else f", which let it teach in {kept:.0%} of their rounds"
    return f"{against} of {models} reviewers{share}, are against it: margin {mean:+.2f} ± {deviation:.2f}"


def _r(value: float) -> float | None:
    """Rounded for JSON, which has no nan."""
    return None if np.isnan(value) else round(value, 4)

"""Training dynamics: how a label fares while a model learns. Notation: e epochs, n labels."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from curation.noise.scores import Scores
from curation.stats.votes import FloatArray, IntArray


class Dynamics(NamedTuple):
    """A data map (Swayamdipta et al. 2020, arXiv 2009.10795) with forgetting (Toneva et al. 2019, 1812.05159)."""

    confidence: FloatArray
    """[n] mean over epochs of the label's probability."""
    variability: FloatArray
    """[n] its deviation over epochs."""
    forgotten: IntArray
    """[n] times that the model went from the label's side to the other."""
    learned: IntArray
    """[n] epoch, from 1, after which it first stood on the label's side; 0: never."""


def dynamics(margins: npt.ArrayLike) -> Dynamics:
    """Of margins [e, n] toward the label, one row an epoch; a label with a nan in any epoch is unscored (nan)."""
    table = np.asarray(margins, dtype=np.float64)
    if table.ndim != 2 or not len(table):
        raise ValueError("margins", "an array of shape (epochs, labels) with an epoch or more", table.shape)
    probability = 0.5 * (1 + np.tanh(table / 2))
    right = table > 0
    learned = np.where(right.any(axis=0), right.argmax(axis=0) + 1, 0)
    forgotten = (right[:-1] & ~right[1:]).sum(axis=0)
    return Dynamics(probability.mean(axis=0), probability.std(axis=0), forgotten, learned)


def training_dynamics(margins: npt.ArrayLike) -> Scores:
    """1 - confidence over the epochs [e, n]: what is hard to learn is what is likely wrong.

    Margins from models that did not train on the label tell more than those in sample, where each epoch learns
    some of the noise by heart.
    """
    found = dynamics(margins)
    epochs = len(np.asarray(margins))
    told = list(zip(*(each.tolist() for each in found), strict=True))
    return Scores(
        1 - found.confidence,
        [_cause(epochs, *each) for each in told],
        [
            {} if np.isnan(c) else {"confidence": round(c, 4), "variability": round(v, 4), "forgotten": f, "learned": k}
            for c, v, f, k in told
        ],
    )


def _cause(epochs: int, confidence: float, variability: float, forgotten: int, learned: int) -> str:
    if np.isnan(confidence):
        return ""
    fate = f"right from epoch {learned}" if learned else "never right"
    again = f", forgotten {forgotten} times" if forgotten else ""
    return f"over {epochs} epochs the label had {confidence:.0%} ± {variability:.0%}: {fate}{again}"

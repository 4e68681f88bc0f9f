"""Whether a rater's answers follow the screen instead of the text."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from curation.stats.intervals import wilson_bounds
from curation.stats.votes import TIE, A, FloatArray, IntArray


class SideBias(NamedTuple):
    """[R] each: how often a rater chose the completion shown first (left), among decided judgements."""

    share: FloatArray
    """nan where the rater decided nothing."""
    low: FloatArray
    high: FloatArray
    n: IntArray
    """Decided judgements."""


def side_bias(
    rater: IntArray, value: IntArray, a_first: npt.NDArray[np.bool_], *, n_raters: int, confidence: float = 0.95
) -> SideBias:
    """Side bias of raters coded 0..n_raters-1 from values A, TIE, B and whether a was shown first, arrays of [n].

    With sides shown at random an unbiased rater has a share near one half; the interval is Wilson's.
    """
    rater, value, a_first = np.asarray(rater), np.asarray(value), np.asarray(a_first, dtype=bool)
    if not rater.shape == value.shape == a_first.shape:
        raise ValueError("a_first", f"an array of shape {rater.shape}", a_first.shape)
    decided = value != TIE
    first = ((value == A) == a_first)[decided]
    n = np.bincount(rater[decided], minlength=n_raters)
    chosen = np.bincount(rater[decided], first, n_raters)
    share = np.where(n > 0, chosen / np.maximum(n, 1), np.nan)
    low, high = wilson_bounds(share, n.astype(np.float64), confidence=confidence)
    return SideBias(share, low, high, n)

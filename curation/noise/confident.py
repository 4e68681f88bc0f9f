"""Confident learning over pairs (Northcutt et al. 2021, arXiv 1911.00068), made symmetric in the two sides."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from curation.noise.scores import Scores
from curation.stats import Estimate
from curation.stats.votes import BoolArray, FloatArray


class Joint(NamedTuple):
    """The confident joint of given and true sides.

    Each pair stands for two examples, (a, b) and (b, a) with the label turned: so both classes hold the same
    probabilities, share one threshold and one noise rate, and the 2 × 2 joint is symmetric. Two numbers say it all.
    """

    threshold: float
    """Mean probability of the given side: how sure one is of a label on average; nan without labels."""
    agreeing: int
    """Labels confidently counted for their own side."""
    against: int
    """Labels confidently counted for the other side."""

    @property
    def noise_rate(self) -> Estimate:
        """Share of wrong labels among those counted."""
        counted = self.agreeing + self.against
        return Estimate(self.against / counted) if counted else Estimate(None, reason="no label is counted")


def confident_joint(probability: npt.ArrayLike) -> Joint:
    """Of out-of-fold probabilities [n] of the labels' own sides; nan ones are left out."""
    given = _probabilities(probability)
    known = given[~np.isnan(given)]
    if not len(known):
        return Joint(float("nan"), 0, 0)
    threshold = float(known.mean())
    against = int(is_against(known, threshold).sum())
    own = (known >= threshold) & ~is_against(known, threshold)
    return Joint(threshold, int(own.sum()), against)


def is_against(probability: FloatArray, threshold: float) -> BoolArray:
    """[n] whether the other side reaches the threshold; where both do, the likelier side counts (equation 1)."""
    other = 1 - probability
    found: BoolArray = (other >= threshold) & (other > probability)
    return found


def confident_learning(probability: npt.ArrayLike) -> Scores:
    """1 - the out-of-fold probability [n] of the label's own side; the cause says whether the joint counts against it.

    The probability ranks (self-confidence, cleanlab's default too); the joint decides who is confidently wrong and
    how many are, whatever the calibration.
    """
    given = _probabilities(probability)
    joint = confident_joint(given)
    against = is_against(given, joint.threshold)
    return Scores(
        1 - given,
        [_cause(p, joint.threshold, a) for p, a in zip(given.tolist(), against.tolist(), strict=True)],
        [
            {} if np.isnan(p) else {"probability": round(p, 4), "threshold": round(joint.threshold, 4), "against": a}
            for p, a in zip(given.tolist(), against.tolist(), strict=True)
        ],
    )


def _cause(probability: float, threshold: float, against: bool) -> str:
    if np.isnan(probability):
        return ""
    counted = "confidently the other side" if against else "not confidently the other side"
    return f"out of fold the label has {probability:.0%}, where labels have {threshold:.0%} on average: {counted}"


def _probabilities(probability: npt.ArrayLike) -> FloatArray:
    given = np.asarray(probability, dtype=np.float64)
    if given.ndim != 1:
        raise ValueError("probability", "an array of shape (labels,)", given.shape)
    if ((given < 0) | (given > 1)).any():
        raise ValueError("probability", "numbers from 0 to 1", "others")
    return given

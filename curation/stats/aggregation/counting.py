"""Consensus by counting: majority, and majority weighted by how often a rater agrees with it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from curation.stats.aggregation.contract import Aggregate, Fit, assemble, class_counts
from curation.stats.aggregation.dawid_skene import maximise, pseudo_counts, shares
from curation.stats.votes import BoolArray, Pairs, Votes


def plurality(votes: Votes) -> npt.NDArray[np.int64]:
    """[C] the class with most votes, or -1 where two have equally many or none has any."""
    counts = class_counts(votes)
    ordered = np.sort(counts, axis=1)
    return np.where(ordered[:, -1] > ordered[:, -2], counts.argmax(axis=1), -1)


def majority(
    votes: Votes, *, pairs: Pairs | None = None, is_judge: BoolArray | None = None, smoothing: float = 1.0
) -> Aggregate:
    """Each class with its share of the votes' weight; raters are measured against these shares."""
    counts = class_counts(votes)
    totals = counts.sum(axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):
        posterior = np.where(totals > 0, counts / totals, np.nan)
    shared = votes.shared()
    prior, confusion = maximise(shared, shares(shared), pseudo_counts(smoothing))
    return assemble(votes, posterior, Fit(prior, confusion, None, 1, True))

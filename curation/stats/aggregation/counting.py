"""Consensus by counting: majority, and majority weighted by how often a rater agrees with it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from curation.stats.aggregation.contract import Aggregate, Fit, assemble, class_counts, sums
from curation.stats.aggregation.dawid_skene import Confusions, shares
from curation.stats.aggregation.latent import lay_out
from curation.stats.votes import BoolArray, FloatArray, K, Pairs, Votes


def plurality(votes: Votes) -> npt.NDArray[np.int64]:
    """[C] the class with most votes, or -1 where two have equally many or none has any."""
    counts = class_counts(votes)
    ordered = np.sort(counts, axis=1)
    return np.where(ordered[:, -1] > ordered[:, -2], counts.argmax(axis=1), -1)


def majority(
    votes: Votes, *, pairs: Pairs | None = None, is_judge: BoolArray | None = None, smoothing: float = 1.0
) -> Aggregate:
    """Each class with its share of the votes' weight; raters are measured against these shares."""
    return _counted(votes, votes, smoothing)


def weighted_majority(
    votes: Votes, *, pairs: Pairs | None = None, is_judge: BoolArray | None = None, smoothing: float = 1.0
) -> Aggregate:
    """Majority in which a vote counts as much as its rater agrees with the plain majority.

    That is Wawa ("worker agreement with aggregate"), as in crowd-kit (Ustalov et al. 2024, JOSS 9(96), 6227) after
    Appen's measure of contributors. Only comparisons with a majority say who agrees; ``smoothing`` pseudo-votes of an
    agreement of 1/2 keep whoever has few from counting nothing or all.
    """
    if not smoothing > 0:
        raise ValueError("smoothing", "a number of pseudo-votes above 0", smoothing)
    weighed = replace(votes, weight=votes.weight * agreement(votes, smoothing)[votes.rater])
    return _counted(votes, weighed, smoothing)


def agreement(votes: Votes, smoothing: float) -> FloatArray:
    """[R] share of a rater's votes that are those of the majority, where there is one that others voted for too."""
    shared = votes.shared()
    winner = plurality(shared)[shared.comparison]
    decided, raters = winner >= 0, len(votes.raters)
    tried = sums(shared.rater[decided], shared.weight[decided], raters)
    right = decided & (winner == shared.value)
    return (sums(shared.rater[right], shared.weight[right], raters) + smoothing / 2) / (tried + smoothing)


def _counted(votes: Votes, weighed: Votes, smoothing: float) -> Aggregate:
    """The shares of the votes as weighed; raters are held against those of the comparisons that others judged too."""
    shared = votes.shared()
    model = Confusions(len(votes.raters), smoothing)
    found = model.measured(lay_out(shared, shared.value, K), shares(weighed.shared()))
    prior, confusion = model.split(found)
    return assemble(votes, shares(weighed), Fit(prior, confusion.transpose(1, 0, 2), None, 1, True))

"""CrowdBT: item scores from raters who follow them, or go against them."""

from __future__ import annotations

from typing import Final

import numpy as np

from curation.stats.aggregation.contract import Aggregate
from curation.stats.aggregation.items import PENALTY, aggregate_items, as_one_rater, beta_prior, logistic
from curation.stats.votes import TIE, A, B, BoolArray, FloatArray, K, Pairs, Votes, checked_pairs

RIGHT, WRONG = 4.0, 1.0
"""Pseudo-votes of every rater: four with the truth and one against it."""
TIES: Final = np.array([0.1, 2 / 3])
"""How often an ordinary rater says tie where the truth is decided, and where it is a tie, before any vote."""
ALONE: Final = 10.0  # pseudo-votes for each of these two, beside those for votes that stand alone


def crowd_bt(
    votes: Votes,
    *,
    pairs: Pairs | None = None,
    is_judge: BoolArray | None = None,
    max_iter: int = 1000,
    tol: float = 1e-5,
    penalty: float = PENALTY,
) -> Aggregate:
    """Consensus by the scores of items and the reliability η of raters (Chen et al. 2013, WSDM, CrowdBT).

    P(w says i ≻ j) = η_w σ(s_i - s_j) + (1 - η_w) σ(s_j - s_i): where an item recurs in several comparisons, what is
    said of it elsewhere speaks for or against a vote, even the only one. A rater with η = 1/2 guesses, and one below
    goes against the truth: their votes count the other way round. Ties (the paper has none): a rater says tie with one
    probability where the truth is decided and with another where it is a tie, both shrunk to the ordinary rater's (on
    held-out votes of llmfao worth .07 of log-loss); a tie says nothing of η. The model and its prior on scores stand in
    `items`; a Beta prior of mode .8 keeps η from 0 and 1, and raters from all being adversaries of a mirrored truth.
    By L-BFGS from equal scores and η = .8; deterministic, and the penalised log-likelihood never falls. Needs
    ``pairs``; several judges (``is_judge``) are one rater, see `items.as_one_rater`.

    Decided votes of UKP, k for a comparison, a share of the raters answering by lot (one draw; side of the gold hit):

    | k | by lot | majority | dawid-skene | crowd-bt |
    |---|---|---|---|---|
    | 1 | none | .854 | .854 | .879 |
    | 1 | 30 % | .752 | .752 | .859 |
    | 1 | 50 % | .665 | .665 | .820 |
    | 3 | none | .937 | .931 | .934 |
    | 3 | 50 % | .746 | .805 | .893 |
    | 5 | none | .955 | .976 | .953 |
    | 5 | 50 % | .767 | .853 | .906 |

    The gold was estimated from these very votes, as far as we know by MACE, which is kin to Dawid and Skene's model: of
    five votes by honest raters it says little. Of the gold that goes with one order of the items, nine in ten, five
    votes hit .994, theirs .986.

    ``posterior`` is ``base`` (the scores, less what the comparison's own votes brought into them) times the votes.
    """
    pairs = checked_pairs(pairs, votes)
    counted = as_one_rater(votes, is_judge)
    return aggregate_items(votes, pairs, Follower(counted), counted, max_iter=max_iter, tol=tol, penalty=penalty)[0]


class Follower:
    """Parameters: log-odds of η [R]; of saying tie where the truth is decided, and where it is a tie, for the ordinary
    rater [2]; and what each rater's differ by from these [2, R], normal with a standard deviation of 1.
    """

    def __init__(self, votes: Votes) -> None:
        self.raters = len(votes.raters)
        n = np.bincount(votes.rater, votes.weight, self.raters)
        # A comparison with one vote cannot tell true ties from a habit of saying tie: the prior outweighs such votes.
        alone = ALONE + float(votes.weight.sum() - votes.shared().weight.sum())
        self.yes, self.no = alone * TIES, alone * (1 - TIES)
        self.cell = votes.rater * K + votes.value
        self.start = np.concatenate(
            [np.full(self.raters, np.log(RIGHT / WRONG)), np.log(TIES / (1 - TIES)), np.zeros(2 * self.raters)]
        )
        of_each = n / 10 + 1
        self.curvature = np.concatenate([(n + RIGHT + WRONG) / 6, np.full(2, (n.sum() + alone) / 10), of_each, of_each])

    def parts(self, at: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """η [R], probability of saying tie where the truth is decided [R], and where it is a tie [R]."""
        ordinary, other = at[self.raters : self.raters + 2], at[self.raters + 2 :].reshape(2, -1)
        of_decided, of_tie = logistic(ordinary[:, None] + other)
        return logistic(at[: self.raters]), of_decided, of_tie

    def table(self, at: FloatArray) -> FloatArray:
        return np.ascontiguousarray(self.confusion(at).transpose(1, 0, 2).reshape(K, -1))

    def confusion(self, at: FloatArray) -> FloatArray:
        right, of_decided, of_tie = self.parts(at)
        confusion = np.empty((self.raters, K, K))
        confusion[:, A, TIE] = confusion[:, B, TIE] = of_decided
        confusion[:, TIE, TIE] = of_tie
        confusion[:, TIE, A] = confusion[:, TIE, B] = (1 - of_tie) / 2
        confusion[:, A, A] = confusion[:, B, B] = (1 - of_decided) * right
        confusion[:, A, B] = confusion[:, B, A] = (1 - of_decided) * (1 - right)
        return confusion

    def slope(self, at: FloatArray, table: FloatArray, counts: FloatArray) -> FloatArray:
        right, of_decided, of_tie = self.parts(at)
        said = counts.reshape(K, -1, K)
        with_truth, against = said[A, :, A] + said[B, :, B], said[A, :, B] + said[B, :, A]
        tied = said[A, :, TIE] + said[B, :, TIE]
        ties = np.stack(
            [
                tied - of_decided * (tied + with_truth + against),
                said[TIE, :, TIE] - of_tie * said[TIE].sum(axis=1),
            ]
        )
        return np.concatenate([with_truth - right * (with_truth + against), ties.sum(axis=1), ties.ravel()])

    def prior(self, at: FloatArray) -> tuple[float, FloatArray]:
        ordinary, other = at[self.raters : self.raters + 2], at[self.raters + 2 :]
        of_raters, raters_slope = beta_prior(logistic(at[: self.raters]), RIGHT, WRONG)
        of_ties, ties_slope = beta_prior(logistic(ordinary), self.yes, self.no)
        value = of_raters + of_ties - float(other @ other) / 2
        return value, np.concatenate([raters_slope, ties_slope, -other])

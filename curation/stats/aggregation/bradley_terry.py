"""Bradley-Terry with raters who sometimes guess, and who may guess the side shown first."""

from __future__ import annotations

from typing import Final

import numpy as np

from curation.stats.aggregation.contract import TINY, Aggregate
from curation.stats.aggregation.items import PENALTY, aggregate_items, as_one_rater, beta_prior, logistic, tie_share
from curation.stats.votes import TIE, A, B, BoolArray, FloatArray, K, Pairs, Votes, checked_pairs

READS, GUESSES = 3.0, 1.0
"""Pseudo-votes of every rater: three read and one guessed."""
EVEN: Final = 2.0  # pseudo-guesses of every rater for the side shown first, and as many for the other
TIES: Final = 5.0  # pseudo-guesses that are ties as often as votes are


def bradley_terry(
    votes: Votes,
    *,
    pairs: Pairs | None = None,
    is_judge: BoolArray | None = None,
    max_iter: int = 1000,
    tol: float = 1e-5,
    penalty: float = PENALTY,
) -> Aggregate:
    """Consensus by the scores of items, with each rater's share of votes read and habit of side.

    A rater w reads with probability γ_w, and says what is true; otherwise guesses: a tie with one probability for all,
    else the side shown first with probability q_w. For one vote this is P = γ σ(s_i - s_j) + (1 - γ) q, the model of
    crowd-kit's NoisyBradleyTerry (after Bugakova et al. 2019, "Aggregation of pairwise comparisons with reduction of
    biases"), whose gradients there are wrong; here they are tested against finite differences. The sides come from
    ``votes.a_first``: where they are not known (-1) a guess is even. Nobody is taken for an adversary (see `crowd_bt`).
    The model of the items, its ties and its prior stand in `items`. By L-BFGS; deterministic, and the penalised
    log-likelihood never falls. Needs ``pairs``; several judges (``is_judge``) are one rater, see `items.as_one_rater`.

    ``posterior`` weighs a vote by the order in which its two were shown; ``confusion`` is the mean over both orders.
    ``side`` holds q. A vote for the favoured side of a rater with a habit weighs less than one for the other.
    """
    pairs = checked_pairs(pairs, votes)
    counted = as_one_rater(votes, is_judge)
    channel = Reader(counted)
    result, at = aggregate_items(votes, pairs, channel, counted, max_iter=max_iter, tol=tol, penalty=penalty)
    return result._replace(side=channel.parts(at)[1][: len(votes.raters)])


class Reader:
    """Parameters: log-odds of reading [R], of guessing the first shown [R], and of guessing a tie."""

    SHOWN: Final = np.array([[0.0, 1.0], [1.0, 0.0], [0.5, 0.5]])
    """Share of the first shown in guesses of a and of b, where b was first, a was first, or it is not known."""

    def __init__(self, votes: Votes) -> None:
        self.raters = len(votes.raters)
        order = np.where(votes.a_first < 0, 2, votes.a_first).astype(np.int64)
        self.cell = (votes.rater * 3 + order) * K + votes.value
        n = np.bincount(votes.rater, votes.weight, self.raters)
        # A comparison with one vote cannot tell true ties from guessed ones: for each such vote a pseudo-guess says
        # that ties are guessed as often as they are said.
        self.pseudo = TIES + float(votes.weight.sum() - votes.shared().weight.sum())
        self.ties = tie_share(votes)
        reads, even = np.full(self.raters, np.log(READS / GUESSES)), np.zeros(self.raters)
        self.start = np.concatenate([reads, even, [np.log(self.ties / (1 - self.ties))]])
        self.curvature = np.concatenate(
            [
                (n + READS + GUESSES) / 6,
                (n / 5 + 2 * EVEN) / 4,
                [(n.sum() / 5 + self.pseudo) * self.ties * (1 - self.ties)],
            ]
        )

    def parts(self, at: FloatArray) -> tuple[FloatArray, FloatArray, float]:
        """Probability of reading [R], of guessing the first shown [R], of guessing a tie."""
        return logistic(at[: self.raters]), logistic(at[self.raters : -1]), float(logistic(at[-1:])[0])

    def guesses(self, first: FloatArray, tie: float) -> FloatArray:
        """[R, order, K] probability of each guess."""
        sided = first[:, None, None] * self.SHOWN + (1 - first)[:, None, None] * (1 - self.SHOWN)
        guess = np.full((self.raters, 3, K), tie)
        guess[..., [A, B]] = (1 - tie) * sided
        return guess

    def table(self, at: FloatArray) -> FloatArray:
        reads, first, tie = self.parts(at)
        guess = self.guesses(first, tie) * (1 - reads)[:, None, None]
        truth = np.eye(K)[:, None, None, :] * reads[None, :, None, None]
        return (truth + guess).reshape(K, -1)

    def confusion(self, at: FloatArray) -> FloatArray:
        by_order = self.table(at).reshape(K, self.raters, 3, K)
        return np.ascontiguousarray(by_order[:, :, :2].mean(axis=2).transpose(1, 0, 2))

    def slope(self, at: FloatArray, table: FloatArray, counts: FloatArray) -> FloatArray:
        reads, first, tie = self.parts(at)
        each = (counts / np.maximum(table, TINY)).reshape(K, self.raters, 3, K)  # [true, rater, order, said]
        guess, any_truth = self.guesses(first, tie), each.sum(axis=0)
        hits = np.einsum("kwok->w", each)
        read = reads * (1 - reads) * (hits - (any_truth * guess).sum(axis=(1, 2)))
        towards = np.zeros((3, K))  # how a guess changes with the habit: 2 · shown - 1
        towards[:, [A, B]] = 2 * self.SHOWN - 1
        sided = (1 - reads) * (1 - tie) * first * (1 - first) * (any_truth * towards).sum(axis=(1, 2))
        of_tie = np.where(np.arange(K) == TIE, tie * (1 - tie), -tie * guess)
        ties = ((1 - reads)[:, None, None] * any_truth * of_tie).sum()
        return np.concatenate([read, sided, [ties]])

    def prior(self, at: FloatArray) -> tuple[float, FloatArray]:
        reads, first, _ = self.parts(at)
        parts = [
            beta_prior(reads, READS, GUESSES),
            beta_prior(first, EVEN, EVEN),
            beta_prior(logistic(at[-1:]), self.pseudo * self.ties, self.pseudo * (1 - self.ties)),
        ]
        return sum(value for value, _ in parts), np.concatenate([slope for _, slope in parts])

"""Objectives: what training makes small. Notation: n pairs."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid


class BradleyTerry(nn.Module):
    """Weighted mean of -[p log σ(d) + (1 - p) log σ(-d)], d = r(chosen) - r(rejected).

    p is the probability that chosen is preferred, 1 for a hard label (Bradley and Terry 1952;
    Ouyang et al. 2022, arXiv 2203.02155, eq. 1).
    """

    def forward(self, margins: Tensor, probabilities: Tensor, weights: Tensor | None = None) -> Tensor:
        """Margins, probabilities and weights, each [n], to a scalar."""
        losses = self.each(margins, probabilities)
        weights = torch.ones_like(losses) if weights is None else weights
        return (weights * losses).sum() / weights.sum()

    @staticmethod
    def each(margins: Tensor, probabilities: Tensor) -> Tensor:
        """The loss of every pair [n]."""
        return -(probabilities * logsigmoid(margins) + (1 - probabilities) * logsigmoid(-margins))


class RaoKupper(nn.Module):
    """Bradley-Terry with ties: of d = r(chosen) - r(rejected), chosen is preferred with probability σ(d - α), rejected
    with σ(-d - α), and neither with the rest, (e^{2α} - 1) σ(d - α) σ(-d - α) (Rao and Kupper 1967, equation 2.1, with
    θ = e^α; Liu et al. 2024, arXiv 2410.05328).

    The loss is the weighted mean cross-entropy of the three. With α = 0 there are no ties: it is `BradleyTerry`.
    """

    def forward(
        self, margins: Tensor, probabilities: Tensor, weights: Tensor | None, ties: Tensor, threshold: float
    ) -> Tensor:
        """Margins, probabilities (half of a tie's in them), weights and ties' probabilities, each [n], and α."""
        losses = -(
            (probabilities + ties / 2) * logsigmoid(margins - threshold)
            + (1 - probabilities + ties / 2) * logsigmoid(-margins - threshold)
            + ties * (math.log(math.expm1(2 * threshold)) if threshold > 0 else 0.0)
        )
        weights = torch.ones_like(losses) if weights is None else weights
        return (weights * losses).sum() / weights.sum()

    @staticmethod
    def threshold(share: float) -> float:
        """α from the share of ties, below 1, were all completions equally good: there a tie has tanh(α / 2)."""
        return 2 * math.atanh(share)

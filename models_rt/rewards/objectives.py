"""Objectives: what training makes small. Notation: n pairs."""

from __future__ import annotations

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

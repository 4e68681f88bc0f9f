"""Heads: features to a scalar reward. Notation: n rows, d features."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class LinearHead(nn.Module):
    """A weighted sum of the features. Starts at zero, so untrained rewards are equal."""

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(dimension))

    def forward(self, features: Tensor) -> Tensor:
        """Features [n, d] to rewards [n]."""
        return features @ self.weight

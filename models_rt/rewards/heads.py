"""Heads: features to a scalar reward. Notation: n rows, d features."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn


class LinearHead(nn.Module):
    """A weighted sum of the features. Starts at zero, so untrained rewards are equal."""

    linear: ClassVar = True  # the difference of two rewards is the reward of the features' difference

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(dimension))

    def reset(self, generator: torch.Generator) -> None:
        """Draw a start so small that the first steps outweigh it, for two heads that must not begin alike."""
        nn.init.normal_(self.weight, std=0.1 * len(self.weight) ** -0.5, generator=generator)

    def forward(self, features: Tensor) -> Tensor:
        """Features [n, d] to rewards [n]."""
        return features @ self.weight


class MlpHead(nn.Module):
    """One hidden layer of rectified units: v · max(0, W x + b). The reward has no bias, as it cancels in a margin."""

    linear: ClassVar = False

    def __init__(self, dimension: int, hidden: int = 64) -> None:
        super().__init__()
        self.inner = nn.Parameter(torch.zeros(hidden, dimension))
        self.bias = nn.Parameter(torch.zeros(hidden))
        self.outer = nn.Parameter(torch.zeros(hidden))

    def reset(self, generator: torch.Generator) -> None:
        """Draw a start: at zero no unit would ever learn."""
        nn.init.kaiming_uniform_(self.inner, nonlinearity="relu", generator=generator)
        nn.init.normal_(self.outer, std=len(self.outer) ** -0.5, generator=generator)

    def forward(self, features: Tensor) -> Tensor:
        """Features [n, d] to rewards [n]."""
        return torch.relu(features @ self.inner.T + self.bias) @ self.outer

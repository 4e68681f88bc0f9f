"""What recurring completions say of themselves, beyond their features. Notation: n pairs, i items, s spreads.

A completion that won its other comparisons probably wins this one too. Each gets an effect on top of the head's
margin, e_chosen - e_rejected, drawn to 0 by a normal prior of some spread: a Bradley-Terry model of what the features
leave over. The spread is chosen by the loss out of fold, since the noisier the labels the less an effect may say.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models_rt.rewards.config import TrainConfig
from models_rt.rewards.fitting import Columns, margins_array, minimise

Array = NDArray[np.float64]
SPREADS: Final = (0.0, 0.1, 0.2, 0.4, 0.8)  # log-odds; 0 leaves the head alone
MORE: Final = 1.0  # standard errors by which a larger spread must be better


class ItemEffects(nn.Module):
    """One number an item; reads pairs of items [n, 2] and gives the difference [n]."""

    def __init__(self, items: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(items))

    def forward(self, pairs: Tensor) -> Tensor:
        """Effects of the first items less those of the second, [n]."""
        return self.weight[pairs[:, 0]] - self.weight[pairs[:, 1]]


def effects(
    head_margins: Array, items: Tensor, columns: Columns, config: TrainConfig, inside: Tensor, outside: Tensor
) -> Array:
    """Margins [s, outside] of pairs, with the effects that the pairs inside teach, for each of `SPREADS`."""
    known = torch.from_numpy(head_margins).float()
    taught = columns.of(inside)
    left = replace(taught, offsets=taught.offsets - known[inside])
    found = [head_margins[outside.numpy()]]
    for spread in SPREADS[1:]:
        model = ItemEffects(int(items.max()) + 1)
        minimise(model, items[inside], left, config, 1 / (float(taught.weights.sum()) * spread**2))
        found.append(found[0] + margins_array(model, items[outside]))
    return np.stack(found)


def chosen_spread(margins: Array, targets: Array) -> int:
    """The place in `SPREADS` of the smallest that is within a standard error of the best; margins [s, n].

    Caution costs little, while too wide a spread learns the noise of the other pairs.
    """
    losses = targets * np.logaddexp(0, -margins) + (1 - targets) * np.logaddexp(0, margins)
    best = int(losses.mean(axis=1).argmin())
    difference = losses - losses[best]
    error = difference.std(axis=1) / np.sqrt(max(1, margins.shape[1]))
    return int(np.flatnonzero(difference.mean(axis=1) <= MORE * error)[0])

"""Two reward models that review each other's pairs (Collaborative Reward Modeling, arXiv 2505.10597).

Notation: n pairs, e epochs, η the share of labels taken to be wrong. Of every batch each model picks the pairs of
smallest loss, and the *other* one learns from them (as in co-teaching, 1804.06872): noise that one has learned by
heart looks easy to itself, but not to its peer.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models_rt.rewards import objective as objective_kind
from models_rt.rewards.config import TrainConfig
from models_rt.rewards.fitting import Columns, Learner, batches, margins, margins_array, one_thread
from models_rt.seeds import derive

from .ensemble import Step
from .material import Material

Array = NDArray[np.float64]
WARM_EPOCHS: Final = 3  # over which the share that may teach sinks from 1 to 1 - η


class Review(NamedTuple):
    """What two peers make of n pairs."""

    heads: tuple[torch.nn.Module, torch.nn.Module]
    trajectory: Array
    """[e, 2, n] margins after each epoch."""
    kept: Array
    """[n] share of the rounds after the warm-up in which a peer let the pair teach the other; nan without any."""

    @property
    def margins(self) -> Array:
        """[2, n] means over the epochs: early on noise is not yet learned, later the weights are better."""
        found: Array = self.trajectory.mean(axis=0)
        return found


def keep_share(epoch: int, rate: float) -> float:
    """Share of a batch that teaches: 1 in the first epoch, then linearly down to 1 - η."""
    return 1 - rate * min(1.0, epoch / WARM_EPOCHS)


@one_thread()
def review(material: Material, config: TrainConfig, rate: float, *, seed: int = 0, step: Step | None = None) -> Review:
    """Train two peers over `config.epochs` on the same batches, from different starts.

    Their L2 is the smallest of `config.l2`: a larger one is what noise asks for, and here noise is set aside instead.
    """
    inputs, columns, n, l2 = material.inputs, material.columns, len(material), min(config.l2)
    generators = [torch.Generator().manual_seed(derive(config.seed, "peer", seed, name)) for name in "ab"]
    peers = tuple(Learner(inputs.shape[-1], config, l2, generator) for generator in generators)
    shuffling = torch.Generator().manual_seed(derive(config.seed, "peer", seed, "batches"))
    pairs = torch.nonzero(columns.weights > 0).flatten()
    trajectory, taught = [], np.zeros(n)
    for epoch in range(config.epochs):
        for batch in batches(pairs, config, shuffling):
            picked = [_easiest(peer, inputs, columns, batch, keep_share(epoch, rate), config) for peer in peers]
            for peer, chosen in zip(peers, reversed(picked), strict=True):
                peer.learn(inputs[chosen], columns.of(chosen))
            if epoch >= WARM_EPOCHS:
                np.add.at(taught, torch.cat(picked).numpy(), 1)
        trajectory.append(np.stack([margins_array(peer.head, inputs) for peer in peers]))
        if step is not None:
            step(epoch + 1, config.epochs)
    rounds = 2 * max(0, config.epochs - WARM_EPOCHS)
    kept = np.full(n, np.nan) if rounds == 0 else np.where(columns.weights.numpy() > 0, taught / max(1, rounds), np.nan)
    return Review((peers[0].head, peers[1].head), np.stack(trajectory), kept)


def _easiest(
    peer: Learner, inputs: Tensor, columns: Columns, batch: Tensor, share: float, config: TrainConfig
) -> Tensor:
    """The places of the share of a batch on which the peer's loss is smallest, at least one."""
    count = max(1, round(share * len(batch)))
    if count == len(batch):
        return batch
    with torch.no_grad():
        part = columns.of(batch)
        losses = objective_kind(config.objective).each(margins(peer.head, inputs[batch]) - part.offsets, part.targets)
    return batch[losses.topk(count, largest=False).indices]

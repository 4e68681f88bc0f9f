"""Fitting a head to pairs. Notation: n pairs, d features, e epochs.

What a linear head reads is the difference of a pair's features, [n, d]; any other reads both completions, [n, 2, d].
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models_rt.seeds import derive

from . import head as head_kind
from . import objective as objective_kind
from .config import TrainConfig
from .objectives import RaoKupper

FEWEST_STEPS: Final = 32  # of an epoch: with fewer, a head would hardly leave its start
SMALLEST: Final = 16  # pairs of a batch: of fewer no easy share could be picked
MOST_STEPS: Final = 1_000  # of an epoch: beyond, larger batches teach as much in less time
Watch = Callable[[torch.nn.Module], None]  # called after each epoch


@dataclass(frozen=True, slots=True)
class Columns:
    """What is to be learned from each pair."""

    targets: Tensor
    """[n] probability that chosen is preferred."""
    weights: Tensor
    """[n] what a pair counts; one of 0 teaches nothing."""
    offsets: Tensor
    """[n] margin that chosen is to exceed rejected by: the loss is that of d - offset (2401.06080, equation 8)."""
    ties: Tensor | None = None
    """[n] probability of a tie; None where a tie is half of each side's."""
    threshold: float = 0.0
    """`RaoKupper`'s α, of all pairs."""

    def of(self, pairs: Tensor) -> Columns:
        """The columns of some pairs, by place or by a mask."""
        ties = None if self.ties is None else self.ties[pairs]
        return replace(
            self, targets=self.targets[pairs], weights=self.weights[pairs], offsets=self.offsets[pairs], ties=ties
        )


def hard(n: int) -> Columns:
    """Columns of n pairs whose labels are taken at their word."""
    return Columns(torch.ones(n), torch.ones(n), torch.zeros(n))


def inputs_of(raw: NDArray[np.float32], scale: NDArray[np.float32], config: TrainConfig) -> Tensor:
    """Features [2n, d], chosen and rejected in turn, as the head reads them: [n, d] or [n, 2, d]."""
    if head_kind(config.head).linear:
        return torch.from_numpy((raw[::2] - raw[1::2]) / scale)
    return torch.from_numpy((raw / scale).reshape(-1, 2, raw.shape[1]))


def margins(head: torch.nn.Module, inputs: Tensor) -> Tensor:
    """Reward of chosen minus reward of rejected [n]."""
    if inputs.ndim == 2:
        found: Tensor = head(inputs)
        return found
    rewards: Tensor = head(inputs.flatten(0, 1)).view(-1, 2)
    return rewards[:, 0] - rewards[:, 1]


def margins_array(head: torch.nn.Module, inputs: Tensor) -> NDArray[np.float64]:
    """The same without gradients, as an array."""
    with torch.no_grad():
        found: NDArray[np.float64] = margins(head, inputs).double().numpy()
    return found


def fit(
    inputs: Tensor, columns: Columns, config: TrainConfig, l2: float, *, order: Tensor | None = None
) -> tuple[torch.nn.Module, float]:
    """A head and its final penalised loss. A linear one is convex: its optimum, whatever the order of the pairs."""
    convex = head_kind(config.head).linear
    head = fit_convex(inputs, columns, config, l2) if convex else fit_epochs(inputs, columns, config, l2, order=order)
    loss = float(_penalised(head, inputs, columns, config, l2).detach())
    if not np.isfinite(loss):
        raise ValueError(f"loss: expected a finite number, got {loss}; look for extreme weights or features")
    return head, loss


def fit_convex(inputs: Tensor, columns: Columns, config: TrainConfig, l2: float) -> torch.nn.Module:
    """From zero to the optimum."""
    return minimise(head_kind(config.head)(inputs.shape[-1]), inputs, columns, config, l2)


def minimise(
    head: torch.nn.Module, inputs: Tensor, columns: Columns, config: TrainConfig, l2: float
) -> torch.nn.Module:
    """Full-batch L-BFGS from where the head stands."""
    optimiser = torch.optim.LBFGS(
        head.parameters(), max_iter=config.max_iterations, history_size=20, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = _penalised(head, inputs, columns, config, l2)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimiser.step(closure)  # type: ignore[no-untyped-call]
    return head


@contextmanager
def one_thread() -> Iterator[None]:
    """Small batches on one thread: on more, the threads wait for each other ten times longer than they compute."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@one_thread()
def fit_epochs(
    inputs: Tensor,
    columns: Columns,
    config: TrainConfig,
    l2: float,
    *,
    seed: int = 0,
    order: Tensor | None = None,
    watch: Watch | None = None,
) -> torch.nn.Module:
    """By Adam in small batches over `config.epochs`, shuffled anew each time, or always in `order` [k]."""
    generator = torch.Generator().manual_seed(derive(config.seed, "epochs", seed))
    learner = Learner(inputs.shape[-1], config, l2, generator)
    pairs = torch.nonzero(columns.weights > 0).flatten() if order is None else order
    for _ in range(config.epochs):
        for batch in batches(pairs, config, None if order is not None else generator):
            learner.learn(inputs[batch], columns.of(batch))
        if watch is not None:
            watch(learner.head)
    return learner.head


class Learner:
    """A head that learns batch by batch."""

    def __init__(self, dimension: int, config: TrainConfig, l2: float, generator: torch.Generator) -> None:
        self.config, self.l2 = config, l2
        head = head_kind(config.head)(dimension)
        head.reset(generator)
        self.head: torch.nn.Module = head
        self._optimiser = torch.optim.Adam(self.head.parameters(), lr=config.learning_rate)

    def learn(self, inputs: Tensor, columns: Columns) -> None:
        """One step on a batch."""
        self._optimiser.zero_grad()
        _penalised(self.head, inputs, columns, self.config, self.l2).backward()  # type: ignore[no-untyped-call]
        self._optimiser.step()


def batches(pairs: Tensor, config: TrainConfig, generator: torch.Generator | None) -> Iterator[Tensor]:
    """The pairs [k] in batches, shuffled where there is a generator.

    Few pairs make small batches, not few steps; very many make large ones, so that a million take minutes.
    """
    shuffled = pairs if generator is None else pairs[torch.randperm(len(pairs), generator=generator)]
    size = min(config.pairs_a_step, max(SMALLEST, len(pairs) // FEWEST_STEPS))
    yield from torch.split(shuffled, max(size, len(pairs) // MOST_STEPS))


def _penalised(head: torch.nn.Module, inputs: Tensor, columns: Columns, config: TrainConfig, l2: float) -> Tensor:
    penalty = sum((p.square().sum() for p in head.parameters()), torch.zeros(()))
    ahead = margins(head, inputs) - columns.offsets
    loss: Tensor
    if columns.ties is None:
        loss = objective_kind(config.objective)()(ahead, columns.targets, columns.weights)
    else:
        loss = RaoKupper()(ahead, columns.targets, columns.weights, columns.ties, columns.threshold)
    return loss + 0.5 * l2 * penalty

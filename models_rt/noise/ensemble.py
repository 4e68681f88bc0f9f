"""Margins by models that never saw a label, and how many labels they find wrong. Notation: m partitions, n pairs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models_rt.rewards.config import TrainConfig
from models_rt.rewards.fitting import fit, fit_epochs, margins_array
from models_rt.rewards.folding import folds
from models_rt.seeds import derive

from .items import chosen_spread, effects
from .material import Material

Array = NDArray[np.float64]
Step = Callable[[int, int], None]  # folds done, of so many


def ensemble(material: Material, config: TrainConfig, l2: float, *, step: Step | None = None) -> Array:
    """Margins [m, n] toward the labels: each row by another partition of the units into folds, out of fold.

    Equal inputs and settings give equal margins. nan where there are fewer than two units.
    """
    rows = [
        partition(material, config, l2, k, step=_after(step, k * config.inner_folds, config))
        for k in range(config.partitions)
    ]
    return np.stack(rows)


def partition(material: Material, config: TrainConfig, l2: float, k: int, *, step: Step | None = None) -> Array:
    """Margins [n] by the k-th partition: one head a fold, taught by the other folds, and effects of recurring items."""
    seeded = partition_config(config, k)
    parts = []
    for number, (inside, outside) in enumerate(splits(material.units, seeded)):
        parts.append((outside, held_out(material, seeded, l2, inside, outside)))
        if step is not None:
            step(number + 1, config.inner_folds)
    return joined(material, parts)


def partition_config(config: TrainConfig, k: int) -> TrainConfig:
    """The settings with the seed of the k-th partition."""
    return replace(config, seed=derive(config.seed, "partition", k))


def held_out(material: Material, config: TrainConfig, l2: float, inside: Tensor, outside: Tensor) -> Array:
    """Margins [s, outside] by a head that the pairs inside teach, for each spread of the items' effects (s = 1: none).

    One fold of a partition is a piece of work of its own: what is done need not be done again.
    """
    head, _ = fit(material.inputs[inside], material.columns.of(inside), config, l2)
    if not material.recurring or material.items is None:
        return margins_array(head, material.inputs[outside])[None]
    known = margins_array(head, material.inputs)
    return effects(known, material.items, material.columns, config, inside, outside)


def joined(material: Material, parts: Sequence[tuple[Tensor, Array]]) -> Array:
    """Margins [n] of a partition's folds (outside, margins [s, outside]), by the spread that all of them choose."""
    if not parts:
        return np.full(len(material), np.nan)
    margins = np.full((len(parts[0][1]), len(material)), np.nan)
    for outside, found in parts:
        margins[:, outside.numpy()] = found
    targets = material.columns.targets.double().numpy()
    chosen: Array = margins[chosen_spread(margins, targets) if len(margins) > 1 else 0]
    return chosen


def trajectories(material: Material, config: TrainConfig, l2: float) -> Array:
    """Margins [e, n] after each epoch, of pairs that the head learning from the other folds never sees."""
    found = np.full((config.epochs, len(material)), np.nan)
    for number, (inside, outside) in enumerate(splits(material.units, config)):
        found[:, outside.numpy()] = watched(material, config, l2, inside, outside, number)
    return found


def watched(material: Material, config: TrainConfig, l2: float, inside: Tensor, outside: Tensor, number: int) -> Array:
    """Margins [e, outside] after each epoch of a head that the pairs inside teach."""
    epochs: list[Array] = []
    fit_epochs(
        material.inputs[inside],
        material.columns.of(inside),
        config,
        l2,
        seed=number,
        watch=lambda head: epochs.append(margins_array(head, material.inputs[outside])),
    )
    return np.stack(epochs)


class Rate(NamedTuple):
    """An estimate of the share of wrong labels, at most `MOST`."""

    value: float
    threshold: float


MOST: Final = 0.49  # with half of the labels wrong there is nothing to learn


def estimated_rate(margins: Array) -> Rate:
    """From out-of-fold margins [n]: the confident joint of pairs (Northcutt et al. 2021), as curation counts it.

    The share of negative margins would count the models' own errors as noise: on clean labels of which they get four
    fifths right it says .2, this about .08.
    """
    probability = 1 / (1 + np.exp(-margins[~np.isnan(margins)]))
    if not len(probability):
        return Rate(0.0, float("nan"))
    threshold = float(probability.mean())
    against = (1 - probability >= threshold) & (probability < 0.5)
    counted = int((against | (probability >= threshold)).sum())
    return Rate(min(MOST, int(against.sum()) / counted if counted else 0.0), threshold)


def rate_from_agreement(agreement: float) -> float:
    """Share of wrong labels where two independent raters of one error rate agree so often: (1 - √(2a - 1)) / 2."""
    if not 0.5 <= agreement <= 1:
        raise ValueError(f"agreement: expected from 0.5 to 1, got {agreement}")
    return float((1 - np.sqrt(2 * agreement - 1)) / 2)


def splits(units: Sequence[str], config: TrainConfig) -> list[tuple[Tensor, Tensor]]:
    """(inside, outside) of each fold as places; none where there is but one unit."""
    fold = folds(units, config) if len(units) else np.zeros(0, np.int64)
    numbers = np.unique(fold)
    if len(numbers) < 2:
        return []
    return [(torch.from_numpy(np.flatnonzero(fold != k)), torch.from_numpy(np.flatnonzero(fold == k))) for k in numbers]


def _after(step: Step | None, before: int, config: TrainConfig) -> Step | None:
    if step is None:
        return None
    total = config.partitions * config.inner_folds
    return lambda done, _: step(before + done, total)

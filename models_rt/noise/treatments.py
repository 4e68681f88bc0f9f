"""From doubt to what training reads. Notation: n pairs, d features, m partitions.

A treatment says of each pair whether it teaches, with which target and offset, and in which order. Whom to doubt is
settled over all pairs first, and only then are those that are left ordered: a share kept of each batch of an ordered
epoch would throw good pairs out of easy batches and keep noise in hard ones.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models_rt.rewards.config import TrainConfig
from models_rt.rewards.fitting import Columns

from .ensemble import Array, Step, ensemble, estimated_rate
from .material import Material
from .peers import Review, review

CONFIDENT: Final = 1.0  # log-odds against a label from which it may be flipped
WITNESSES: Final = 2  # models that must agree on that


@dataclass(frozen=True, slots=True)
class Treated:
    """What is left to learn from."""

    pairs: Tensor
    """[k] places of those that teach, easy ones first where the treatment orders them."""
    columns: Columns
    """Of these pairs."""
    ordered: bool
    facts: dict[str, Any]
    """What was done, for the model's record."""


def treat(material: Material, config: TrainConfig, l2: float, *, step: Step | None = None) -> Treated:
    """Apply `config.noise`. Labels of units that cannot be held out are believed."""
    every, columns = torch.arange(len(material)), material.columns
    if config.noise == "none" or len(set(material.units)) < 2:
        return Treated(every, columns, False, {})
    margins = ensemble(material, config, l2, step=step)
    rate = config.noise_rate or estimated_rate(margins.mean(axis=0)).value
    if config.noise == "peer-review":
        return by_review(review(material, config, rate), columns, config, rate)
    return by_margins(margins, columns, config, rate)


def doubtful(score: Array, rate: float) -> NDArray[np.bool_]:
    """The `rate` of n pairs with the lowest margins [n]."""
    chosen = np.zeros(len(score), dtype=bool)
    chosen[np.argsort(score, kind="stable")[: round(rate * len(score))]] = True
    return chosen


def by_review(reviewed: Review, columns: Columns, config: TrainConfig, rate: float) -> Treated:
    """Drop by the peers' mean margin over all pairs first, then learn from easy to hard."""
    margin = reviewed.margins.mean(axis=0)
    dropped = int(doubtful(margin, rate).sum())
    easy_first = torch.from_numpy(np.argsort(-margin, kind="stable")[: len(margin) - dropped].copy())
    return Treated(easy_first, columns.of(easy_first), True, _facts(config, rate, dropped=dropped))


def by_margins(margins: Array, columns: Columns, config: TrainConfig, rate: float) -> Treated:
    """Treat by out-of-fold margins [m, n]: Wang et al. 2024, with flips only where two models confidently agree."""
    mean, against = margins.mean(axis=0), (margins < 0).sum(axis=0)
    doubted = doubtful(mean, rate) if config.noise != "margin" else np.zeros(len(mean), dtype=bool)
    softened = doubted & config.noise.startswith("soften")
    flipped = doubted & config.noise.startswith("flip") & (mean < -CONFIDENT) & (against >= WITNESSES)
    dropped = doubted & ~softened & ~flipped
    targets = torch.where(torch.from_numpy(flipped), 1 - columns.targets, columns.targets)
    changed = replace(columns, targets=torch.where(torch.from_numpy(softened), _soft(targets, config), targets))
    if config.noise.endswith("margin"):
        changed = replace(changed, offsets=torch.from_numpy(np.where(softened, 0.0, mean)).float())
    pairs = torch.from_numpy(np.flatnonzero(~dropped))
    counts = {"dropped": int(dropped.sum()), "flipped": int(flipped.sum()), "softened": int(softened.sum())}
    return Treated(pairs, changed.of(pairs), False, _facts(config, rate, **counts))


def _soft(targets: Tensor, config: TrainConfig) -> Tensor:
    return targets * (1 - config.soften) + (1 - targets) * config.soften


def _facts(config: TrainConfig, rate: float, **counts: int) -> dict[str, Any]:
    return {"treatment": config.noise, "rate": rate, "estimated": not config.noise_rate, **counts}

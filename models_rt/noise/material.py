"""What training on doubtful labels reads. Notation: n pairs, d features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from models_rt.records import PreferenceRow
from models_rt.rewards.config import TrainConfig
from models_rt.rewards.fitting import Columns


@dataclass(frozen=True, slots=True)
class Material:
    """n pairs as a head reads them, with what to learn and what must stay together."""

    inputs: Tensor
    """[n, d] or [n, 2, d], as in `rewards.fitting`."""
    columns: Columns
    units: Sequence[str]
    """n names; pairs of one name are in one fold."""
    items: Tensor | None = None
    """[n, 2] the completions, chosen and rejected, coded from 0; None: nobody says which recur."""

    def __len__(self) -> int:
        return len(self.units)

    def of(self, pairs: Tensor) -> Material:
        """Some pairs, in the given order."""
        items = None if self.items is None else self.items[pairs]
        return Material(self.inputs[pairs], self.columns.of(pairs), [self.units[i] for i in pairs.tolist()], items)

    @property
    def recurring(self) -> bool:
        """Whether any completion stands in two pairs that are not the same two texts."""
        if self.items is None or not len(self.items):
            return False
        distinct = torch.unique(self.items.sort(dim=1).values, dim=0)
        return bool(torch.bincount(distinct.flatten()).max() > 1)


def items_of(rows: Sequence[PreferenceRow]) -> Tensor:
    """[n, 2] completions coded from 0: equal texts under one prompt are one."""
    codes: dict[tuple[str, str], int] = {}
    prompts = [repr(row.prompt) for row in rows]
    table = [
        [codes.setdefault((prompt, text), len(codes)) for text in (row.chosen, row.rejected)]
        for prompt, row in zip(prompts, rows, strict=True)
    ]
    return torch.tensor(table, dtype=torch.long).reshape(len(rows), 2)


def units_of(rows: Sequence[PreferenceRow], items: Tensor, config: TrainConfig) -> list[str]:
    """What `config.noise_folds` keeps whole: the group, or the two texts (in whichever order)."""
    if config.noise_folds == "group":
        return [row.group for row in rows]
    return [f"{min(pair)}-{max(pair)}" for pair in items.tolist()]

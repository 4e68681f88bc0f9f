"""Evaluating a reward model on held-out rows, the length baseline always beside it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from models_rt.records import Pair, PreferenceRow
from models_rt.seeds import numpy_rng

from .metrics import Array, Estimate, accuracy, brier, calibration_error, gain, log_loss
from .model import RewardModel
from .training import data_hash

CONFIDENT_LABEL: Final = 0.8
CONFIDENT_MARGIN: Final = 1.0


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Figures on one split. `length_baseline`: longer wins; `length_fitted`: the direction that train rows prefer.

    `truncated`: distinct texts that the encoder reads only in part.
    """

    split: str
    n: int
    groups: int
    ties: int
    identical: int
    truncated: int
    accuracy: Estimate
    length_baseline: Estimate
    length_fitted: Estimate
    length_direction: str
    gain_over_length: Estimate
    ece: float | None
    brier: float | None
    log_loss: float | None
    data_sha256: str
    reason: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        values = {name: getattr(self, name) for name in self.__slots__}
        return {k: v.as_dict() if isinstance(v, Estimate) else v for k, v in values.items()}


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A row whose confident label the model confidently contradicts. `margin` is chosen minus rejected: negative."""

    id: str
    margin: float
    probability: float
    reason: str


def margins_of(model: RewardModel, rows: Sequence[PreferenceRow]) -> Array:
    """Margins [n]: the reward of chosen minus the reward of rejected."""
    pairs = [Pair(row.id, row.prompt, row.rejected, row.chosen) for row in rows]
    return model.score(pairs).astype(np.float64)


def evaluate(
    model: RewardModel, rows: Sequence[PreferenceRow], *, split: str = "test", bins: int = 15, seed: int = 0
) -> Evaluation:
    """Figures on the rows of `split`; None with a reason where the split is empty. Identical completions count half."""
    held = [row for row in rows if row.split == split]
    margins = margins_of(model, held)
    lengths = length_margins(held)
    direction = _direction([row for row in rows if row.split == "train"])
    groups = [row.group for row in held]
    labels = np.array([row.probability for row in held])
    return Evaluation(
        split=split,
        n=len(held),
        groups=len(set(groups)),
        ties=int((margins == 0).sum()),
        identical=sum(row.chosen == row.rejected for row in held),
        truncated=model.truncated([(row.prompt, text) for row in held for text in (row.chosen, row.rejected)]),
        accuracy=accuracy(margins, groups, numpy_rng(seed, "accuracy")),
        length_baseline=accuracy(lengths, groups, numpy_rng(seed, "accuracy")),
        length_fitted=_fitted(lengths * direction, groups, direction, seed),
        length_direction={1: "longer wins", -1: "shorter wins", 0: "unknown"}[direction],
        gain_over_length=gain(margins, lengths, groups, numpy_rng(seed, "accuracy")),
        ece=calibration_error(margins, bins=bins),
        brier=brier(margins, labels),
        log_loss=log_loss(margins, labels),
        data_sha256=data_hash(held),
        reason="" if held else f"no rows in split {split!r}",
    )


def length_margins(rows: Sequence[PreferenceRow]) -> Array:
    """Characters of chosen minus characters of rejected [n]."""
    return np.array([len(row.chosen) - len(row.rejected) for row in rows], np.float64)


def disagreements(
    model: RewardModel,
    rows: Sequence[PreferenceRow],
    *,
    label: float = CONFIDENT_LABEL,
    margin: float = CONFIDENT_MARGIN,
) -> list[Disagreement]:
    """Rows with label probability >= `label` and margin <= -`margin`, the largest contradiction first."""
    margins = margins_of(model, rows)
    found = [
        Disagreement(row.id, float(m), row.probability, _reason(row, float(m)))
        for row, m in zip(rows, margins, strict=True)
        if row.probability >= label and m <= -margin
    ]
    return sorted(found, key=lambda d: d.margin)


def _reason(row: PreferenceRow, margin: float) -> str:
    against = 1.0 / (1.0 + math.exp(margin))
    return f"raters prefer the chosen one at {row.probability:.0%}, the model the rejected one at {against:.0%}"


def _direction(rows: Sequence[PreferenceRow]) -> int:
    """1 where the longer completion wins more training rows, -1 where the shorter does, 0 without evidence."""
    return int(np.sign(np.sign(length_margins(rows)).sum())) if rows else 0


def _fitted(margins: Array, groups: Sequence[str], direction: int, seed: int) -> Estimate:
    if direction == 0:
        return Estimate(None, n=len(margins), reason="the training rows prefer neither length")
    return accuracy(margins, groups, numpy_rng(seed, "accuracy"))

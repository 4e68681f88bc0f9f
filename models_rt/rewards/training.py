"""Training a head on frozen features: full-batch L-BFGS, seeded, with L2 chosen on groups held out inside."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models_rt import encoders
from models_rt.noise.material import Material, items_of, units_of
from models_rt.noise.treatments import treat
from models_rt.records import PreferenceRow

from .config import TrainConfig
from .features import features, truncated
from .fitting import Columns, fit, inputs_of, margins_array
from .folding import folds
from .metrics import log_loss
from .model import RewardModel, versions
from .objectives import RaoKupper

Report = Callable[[str, int, int], None]  # stage, done, total
MOST_TIES = 0.95  # of all that is learned from: where all is tied there is nothing to learn


@dataclass(frozen=True, slots=True)
class TrainResult:
    """A trained model with what there is to know about its training."""

    model: RewardModel
    loss: float
    l2: float
    validation: dict[str, float]  # inner validation loss by L2; empty where only one L2 was given or too few groups
    notes: tuple[str, ...]


def train(
    rows: Sequence[PreferenceRow],
    config: TrainConfig,
    *,
    progress: Report | None = None,
    cache: Path | None = None,
) -> TrainResult:
    """Train on the rows whose split is `train`. ValueError where no pair could teach anything."""
    used = [row for row in rows if row.split == "train" and _teaches(row)]
    if not used:
        raise ValueError(
            f"rows: expected rows to train on (positive weight, differing completions), got 0 of {len(rows)}"
        )
    report = progress or (lambda stage, done, total: None)
    encoder = encoders.load(config.encoder, allow_download=config.allow_download) if config.embed else None
    items = [(row.prompt, text) for row in used for text in (row.chosen, row.rejected)]
    raw = features(
        items,
        encoder,
        config.embed,
        config.surface,
        cache=cache,
        batch_size=config.batch_size,
        device=config.device,
        progress=lambda done, total: report("encode", done, total),
    )
    scale = scale_of(raw.std(axis=0), len(config.surface), config.embed_scale)
    inputs, columns, groups = inputs_of(raw, scale, config), _columns(used, config), [row.group for row in used]
    validation, notes = validate(inputs, columns, groups, config, report)
    l2 = best_l2(validation, config)
    completions = items_of(used)
    material = Material(inputs, columns, units_of(used, completions, config), completions)
    treated = treat(material, config, l2, step=lambda done, total: report("doubt", done, total))
    inputs, columns = inputs[treated.pairs], treated.columns
    if treated.facts:
        validation, notes = validate(inputs, columns, [groups[i] for i in treated.pairs.tolist()], config, report)
        l2 = best_l2(validation, config)
    head, loss = fit(inputs, columns, config, l2, order=torch.arange(len(inputs)) if treated.ordered else None)
    report("fit", 1, 1)
    facts = {
        "data_sha256": data_hash(used),
        "encoder_fingerprint": encoder.fingerprint if encoder else None,
        "rows": len(used),
        "skipped_rows": sum(row.split == "train" for row in rows) - len(used),
        "truncated": truncated(items, encoder, config.embed),
        "groups": len({row.group for row in used}),
        "l2": l2,
        "loss": loss,
        "validation": validation,
        "noise": treated.facts,
        "notes": notes,
        "versions": versions(),
    }
    return TrainResult(RewardModel(config, head, scale, encoder, facts, cache), loss, l2, validation, tuple(notes))


def out_of_fold(
    rows: Sequence[PreferenceRow], config: TrainConfig, *, cache: Path | None = None
) -> NDArray[np.float64]:
    """Margins [n], chosen minus rejected, each by a head that saw no row of its group; all rows are used, of any split.

    The texts are encoded once and only the head is fitted for each fold, scaled by the rows inside. nan where groups
    are fewer than two, or the other folds hold nothing to learn from. `config.l2` must be one value, the chosen one.
    """
    if len(config.l2) != 1:
        raise ValueError(f"l2: expected one value, got {len(config.l2)}")
    margins = np.full(len(rows), np.nan)
    fold = folds([row.group for row in rows], config) if rows else np.zeros(0, np.int64)
    if len(set(fold)) < 2:
        return margins
    encoder = encoders.load(config.encoder, allow_download=config.allow_download) if config.embed else None
    items = [(row.prompt, text) for row in rows for text in (row.chosen, row.rejected)]
    raw = features(
        items,
        encoder,
        config.embed,
        config.surface,
        cache=cache,
        batch_size=config.batch_size,
        device=config.device,
    )
    columns = _columns(rows, config)
    teaching = np.array([_teaches(row) for row in rows])
    for k in range(int(fold.max()) + 1):
        inside, outside = teaching & (fold != k), fold == k
        if not inside.any():
            continue
        scale = scale_of(raw[np.repeat(inside, 2)].std(axis=0), len(config.surface), config.embed_scale)
        inputs, mask = inputs_of(raw, scale, config), torch.from_numpy(inside)
        head, _ = fit(inputs[mask], columns.of(mask), config, config.l2[0])
        margins[outside] = margins_array(head, inputs[torch.from_numpy(outside)])
    return margins


def best_l2(validation: dict[str, float], config: TrainConfig) -> float:
    """The L2 of the smallest validation loss; the middle one where nothing was validated."""
    return min(config.l2, key=lambda v: validation[f"{v:g}"]) if validation else config.l2[len(config.l2) // 2]


def validate(
    inputs: torch.Tensor, columns: Columns, groups: Sequence[str], config: TrainConfig, report: Report | None = None
) -> tuple[dict[str, float], list[str]]:
    """Mean held-out loss for each L2 over folds that keep groups whole."""
    if len(config.l2) == 1:
        return {}, []
    fold = folds(groups, config)
    count = int(fold.max()) + 1
    if count < 2:
        return {}, ["one group only: the middle L2 was taken without validation"]
    losses: dict[str, float] = {}
    for step, l2 in enumerate(config.l2):
        held: list[float] = []
        for k in range(count):
            inside, outside = torch.from_numpy(fold != k), torch.from_numpy(fold == k)
            head, _ = fit(inputs[inside], columns.of(inside), config, l2)
            margins = margins_array(head, inputs[outside])
            held.append((log_loss(margins, columns.targets[outside].double().numpy()) or 0.0) * len(margins))
        losses[f"{l2:g}"] = sum(held) / len(groups)
        if report is not None:
            report("validate", step + 1, len(config.l2))
    return losses, []


def _teaches(row: PreferenceRow) -> bool:
    return row.weight > 0 and row.chosen != row.rejected


def _columns(rows: Sequence[PreferenceRow], config: TrainConfig) -> Columns:
    labels = torch.tensor([row.probability if config.soft_labels else 1.0 for row in rows])
    weights = torch.tensor([row.weight for row in rows], dtype=torch.float32)
    offsets = torch.tensor([config.margin * (row.margin or 0.0) for row in rows])
    ties = torch.tensor([row.tie for row in rows])
    if not config.ties or not ties.any():
        return Columns(labels, weights, offsets)
    share = float((weights * ties).sum() / weights.sum())
    return Columns(labels, weights, offsets, ties, RaoKupper.threshold(min(share, MOST_TIES)))


def scale_of(deviation: NDArray[np.float32], surface: int, embed_scale: float) -> NDArray[np.float32]:
    """What divides each feature [d]: its deviation [d], 1 where constant; the embedding's (all but the last `surface`)
    / embed_scale. A mean is never taken off: it cancels in every difference.
    """
    scale = np.where(deviation > 1e-8, deviation, 1.0)
    scale[: len(scale) - surface] /= embed_scale
    return scale.astype(np.float32)


def data_hash(rows: Sequence[PreferenceRow]) -> str:
    """SHA-256 over the rows in their order."""
    digest = hashlib.sha256()
    for row in rows:
        plain: dict[str, Any] = asdict(row)
        if not row.tie:
            del plain["tie"]  # rows without one have the hash that they always had
        digest.update(json.dumps(plain, sort_keys=True).encode() + b"\n")
    return digest.hexdigest()

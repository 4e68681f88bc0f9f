"""A trained reward model: scoring, saving, loading. Weights are safetensors; anything pickled is refused."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from models_rt import encoders
from models_rt.encoders.base import Encoder
from models_rt.records import Message, Pair

from . import head as head_kind
from .config import TrainConfig, from_mapping
from .features import Item, features, truncated

FORMAT: Final = 1
WEIGHTS: Final = "model.safetensors"
CONFIG: Final = "config.json"


@dataclass
class RewardModel:
    """A head on frozen features. `scale` [d] divides each feature; a mean would cancel in every difference."""

    config: TrainConfig
    head: torch.nn.Module
    scale: NDArray[np.float32]
    encoder: Encoder | None
    facts: dict[str, Any] = field(default_factory=dict)  # data hash, chosen L2, rows, truncated, versions, …
    cache: Path | None = None

    @property
    def name(self) -> str:
        """`reward-model-` and a hash of weights and scale."""
        digest = hashlib.sha256(self.scale.tobytes())
        for _, tensor in sorted(self.head.state_dict().items()):
            digest.update(tensor.detach().cpu().numpy().tobytes())
        return f"reward-model-{digest.hexdigest()[:12]}"

    def rewards(self, items: Sequence[Item]) -> NDArray[np.float32]:
        """Rewards [n] of (prompt, completion) items."""
        if not items:
            return np.zeros(0, np.float32)
        raw = features(
            items,
            self.encoder,
            self.config.embed,
            self.config.surface,
            cache=self.cache,
            batch_size=self.config.batch_size,
            device=self.config.device,
        )
        with torch.no_grad():
            values: NDArray[np.float32] = self.head(torch.from_numpy(raw / self.scale)).numpy()
        return values

    def score(self, pairs: Sequence[Pair]) -> NDArray[np.float32]:
        """Margins [n]: the reward of b minus the reward of a. A completion seen twice is scored once."""
        rewards = self.rewards([(p.prompt, text) for p in pairs for text in (p.a, p.b)])
        return rewards[1::2] - rewards[::2]

    def truncated(self, items: Sequence[Item]) -> int:
        """How many distinct texts of (prompt, completion) items the encoder reads only in part."""
        return truncated(items, self.encoder, self.config.embed)

    def reward(self, prompt: Sequence[Message], completion: str) -> float:
        """The reward of one completion. Only differences under one prompt mean anything."""
        return float(self.rewards([(tuple(prompt), completion)])[0])

    def save(self, folder: Path) -> None:
        """Write weights and config; the config comes last and by rename, so a folder with one is whole."""
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {f"head.{k}": v.detach().cpu().numpy() for k, v in self.head.state_dict().items()}
        save_file({**tensors, "scale": self.scale}, folder / WEIGHTS)
        config = {"format": FORMAT, "name": self.name, "config": self.config.as_dict(), "facts": self.facts}
        partial = folder / f"{CONFIG}.partial"
        partial.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        os.replace(partial, folder / CONFIG)


def load(folder: Path, *, device: str = "cpu", cache: Path | None = None, allow_download: bool = False) -> RewardModel:
    """A saved reward model. ValueError for another folder, pickled weights, or another encoder than trained on."""
    if not (folder / WEIGHTS).is_file() or not (folder / CONFIG).is_file():
        pickled = [p.name for p in folder.glob("*") if p.suffix in {".bin", ".pt", ".pth", ".pkl", ".ckpt"}]
        hint = f"; {', '.join(pickled)}: pickled weights are never loaded" if pickled else ""
        raise ValueError(f"model: expected a folder with {WEIGHTS} and {CONFIG}, got {folder}{hint}")
    try:
        saved = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        tensors = load_file(folder / WEIGHTS)
        if saved.get("format") != FORMAT:
            raise ValueError(f"format: expected {FORMAT}, got {saved.get('format')!r}")
        trained = from_mapping({**saved["config"], "device": device, "allow_download": allow_download})
        scale = tensors.pop("scale")
        head = head_kind(trained.head)(len(scale))
        head.load_state_dict({k.removeprefix("head."): torch.from_numpy(v) for k, v in tensors.items()})
    except (ValueError, KeyError, AttributeError, RuntimeError, SafetensorError) as error:
        raise ValueError(f"model: {folder} cannot be read: {error}") from None
    encoder = encoders.load(trained.encoder, allow_download=allow_download) if trained.embed else None
    expected = saved["facts"].get("encoder_fingerprint")
    if encoder is not None and encoder.fingerprint != expected:
        raise ValueError(f"model: trained on encoder {expected}, {trained.encoder} here is {encoder.fingerprint}")
    return RewardModel(trained, head, scale, encoder, saved["facts"], cache)


def versions() -> dict[str, str]:
    """The versions that a result depends on; a package that is not installed is left out."""
    found: dict[str, str] = {}
    for name in ("tiebreak", "torch", "transformers", "numpy", "safetensors"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found

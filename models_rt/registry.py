"""Literal tables of what can be chosen by name, imported only when chosen."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, NamedTuple


class Kind(NamedTuple):
    """One selectable thing: what people read, and where it lives (`package.module:attribute`)."""

    label: str
    path: str


def resolve(registry: Mapping[str, Kind], name: str, what: str) -> Any:
    """The object behind `name`; ValueError lists the known names."""
    if name not in registry:
        raise ValueError(f"{what}: expected one of {', '.join(sorted(registry))}, got {name!r}")
    module, attribute = registry[name].path.split(":")
    return getattr(importlib.import_module(module), attribute)

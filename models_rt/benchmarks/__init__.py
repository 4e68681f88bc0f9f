"""Readers of evaluation sets, chosen by name; each gives the pairs in their own layout as preference rows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from models_rt.records import PreferenceRow
from models_rt.registry import Kind, resolve

BENCHMARKS: Final[Mapping[str, Kind]] = {
    "pairs": Kind("JSON Lines of prompt, chosen, rejected", "models_rt.benchmarks.pairs:read"),
}


def read(name: str, path: Path) -> list[PreferenceRow]:
    """The rows of the benchmark called `name`, all in the split `test`; ValueError lists the known names."""
    rows: list[PreferenceRow] = resolve(BENCHMARKS, name, "benchmark")(path)
    return rows


__all__ = ["BENCHMARKS", "read"]

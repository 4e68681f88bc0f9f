"""The plain layout: JSON Lines of prompt, chosen and rejected, each a string or a list of messages."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from models_rt.files import rows_of
from models_rt.records import PreferenceRow


def read(path: Path) -> list[PreferenceRow]:
    """All rows, put in the split `test`. ValueError names file, line and field."""
    return [replace(row, split="test") for row in rows_of(path)]

"""Rows for a spreadsheet, to look at and not to train on: it is lossy, and JSON Lines and Parquet are not.

A spreadsheet takes a cell that begins like a formula for one, and may fetch addresses with it: such cells get an
apostrophe before them. Each cell is quoted. A cell of more than a spreadsheet holds is cut, and says so.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Any, Final, cast

from curation.exports.formats.sides import sides, verdict
from curation.exports.formats.transcripts import plain_text
from curation.exports.schema import Native

COLUMNS: Final = (
    "id", "split", "prompt", "completion_a", "completion_b", "preferred", "preference", "probability", "source",
    "n_annotators", "n_judges", "generator_a", "generator_b", "group", "metadata",
)  # fmt: skip
FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
MOST: Final = 32_767  # characters in a cell, of Excel and LibreOffice alike


def head() -> bytes:
    """The line of the columns' names, after the mark by which Excel knows UTF-8."""
    return "\ufeff".encode() + _line(COLUMNS)


def line(row: Native) -> bytes:
    """A row's cells; `preferred` is a, b, tie or both_bad; `probability` is that of the side, or of b where none is."""
    a, b = sides(row)
    kind, told = verdict(row), cast(Mapping[str, Any], row)
    cells: dict[str, Any] = {
        "prompt": plain_text(row["prompt"]),
        "completion_a": plain_text(a.messages),
        "completion_b": plain_text(b.messages),
        "preferred": told["chosen_side"] if kind == "chosen" else kind,
        "generator_a": a.generator,
        "generator_b": b.generator,
    }
    return _line([cell(cells[name] if name in cells else told[name]) for name in COLUMNS])


def cell(value: str | float | None) -> str:
    """Text made harmless and cut; numbers as they are."""
    if not isinstance(value, str):
        return "" if value is None else str(value)
    if len(value) > MOST:
        told = f"… (cut: {len(value):,} characters)"
        value = value[: MOST - len(told) - 1] + told
    return f"'{value}" if value.lstrip(" ").startswith(FORMULA) else value


def _line(cells: Any) -> bytes:
    made = io.StringIO()
    csv.writer(made, quoting=csv.QUOTE_ALL, lineterminator="\r\n").writerow(cells)
    return made.getvalue().encode()

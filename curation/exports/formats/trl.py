"""TRL's preference format with an explicit prompt, conversational or text; OpenRLHF reads the same columns.

TRL joins prompt and completion of the text style as they stand (`transcripts`). OpenRLHF is told the names of the
columns: `--data.prompt_key prompt --data.chosen_key chosen --data.rejected_key rejected --data.apply_chat_template`.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from curation.exports.formats import FormatOptions
from curation.exports.formats.transcripts import prompt_text, reply_text
from curation.exports.pieces import Pieces
from curation.exports.schema import MESSAGES, Row


def convert(row: Row, options: FormatOptions) -> list[dict[str, Any]]:
    """Columns prompt, chosen, rejected, and margin only where asked for; a margin that is asked for must exist."""
    as_text = options.style == "text"
    columns: dict[str, Any] = {
        "prompt": prompt_text(row["prompt"]) if as_text else row["prompt"],
        "chosen": reply_text(row["chosen"]) if as_text else row["chosen"],
        "rejected": reply_text(row["rejected"]) if as_text else row["rejected"],
    }
    return [columns | margin(row, options)]


def cut(told: Pieces) -> bytes:
    """The lines of `convert` with the options that are so by themselves."""
    return b'{"prompt":%b,"chosen":%b,"rejected":%b}\n' % told


def margin(row: Row, options: FormatOptions) -> dict[str, Any]:
    """The column margin where it is asked for."""
    if not options.margin:
        return {}
    if row["margin"] is None:
        raise ValueError("margin", "a number in every row, as TRL takes no null", f"none in row {row['id']}")
    return {"margin": row["margin"]}


def schema(options: FormatOptions) -> pa.Schema:
    """Messages or strings, by style."""
    return columns("prompt", "chosen", "rejected", options=options)


def columns(*names: str, options: FormatOptions) -> pa.Schema:
    """Columns of completions by style, and the margin where it is asked for."""
    kind = pa.string() if options.style == "text" else MESSAGES
    fields = [pa.field(name, kind, nullable=False) for name in names]
    return pa.schema([*fields, pa.field("margin", pa.float64(), nullable=False)] if options.margin else fields)

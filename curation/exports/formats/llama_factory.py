"""LLaMA-Factory's ShareGPT layout for ranking: reward models and DPO.

Its loader drops a conversation of an even number of turns with no more than a warning, so such rows are refused here.
The folder holds a `dataset_info.json` that names the columns (`beside`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import pyarrow as pa

from curation.exports.formats import FormatOptions
from curation.exports.formats.sides import only
from curation.exports.schema import Message, Native, Row

TURN: Final = pa.struct([pa.field(name, pa.string(), nullable=False) for name in ("from", "value")])
HEAD: Final = (
    pa.field("conversations", pa.list_(TURN), nullable=False),
    pa.field("system", pa.string(), nullable=False),
)
COLUMNS: Final = {"messages": "conversations", "system": "system"}
_NAMES: Final = {"user": "human", "assistant": "gpt"}


def convert(row: Row, options: FormatOptions) -> list[dict[str, Any]]:
    """Columns conversations (human and gpt in turn, ending on human), system, chosen and rejected."""
    return [head(row) | {"chosen": turn(only(row, "chosen")), "rejected": turn(only(row, "rejected"))}]


def schema(options: FormatOptions) -> pa.Schema:
    """Turns, a text, and two turns."""
    return pa.schema([*HEAD, *(pa.field(name, TURN, nullable=False) for name in ("chosen", "rejected"))])


def beside(files: Mapping[str, str]) -> dict[str, Any]:
    """Contents of the files that the folder needs beside the rows, given each data set's file by its name."""
    columns = {**COLUMNS, "chosen": "chosen", "rejected": "rejected"}
    told = {"formatting": "sharegpt", "ranking": True, "columns": columns}
    return {"dataset_info.json": {name: {"file_name": file, **told} for name, file in files.items()}}


def head(row: Native) -> dict[str, Any]:
    """The turns of the prompt, and its system message, empty where there is none."""
    messages: Sequence[Message] = row["prompt"]
    has_system = messages[0]["role"] == "system"
    turns = messages[1:] if has_system else messages
    expected = ["user", "assistant"] * len(turns)
    if len(turns) % 2 == 0 or [m["role"] for m in turns] != expected[: len(turns)]:
        got = ", ".join(m["role"] for m in messages)
        raise ValueError("prompt", "user and assistant in turn, ending on the user", f"{got} in row {row['id']}")
    return {"conversations": [turn(m) for m in turns], "system": messages[0]["content"] if has_system else ""}


def turn(message: Message) -> dict[str, str]:
    """A message as LLaMA-Factory writes it."""
    return {"from": _NAMES.get(message["role"], message["role"]), "value": message["content"]}

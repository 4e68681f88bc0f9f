"""Axolotl's DPO with `type: chat_template.default`: the prompt's messages and one reply of each side."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from curation.exports.formats import FormatOptions
from curation.exports.formats.sides import only
from curation.exports.schema import MESSAGES, Row


def convert(row: Row, options: FormatOptions) -> list[dict[str, Any]]:
    """Columns messages, chosen and rejected; a reply of several messages cannot be told."""
    return [{"messages": row["prompt"], "chosen": only(row, "chosen"), "rejected": only(row, "rejected")}]


def schema(options: FormatOptions) -> pa.Schema:
    """A list of messages, and two messages."""
    replies = [pa.field(name, MESSAGES.value_type, nullable=False) for name in ("chosen", "rejected")]
    return pa.schema([pa.field("messages", MESSAGES, nullable=False), *replies])

"""Axolotl's reward model with `type: bradley_terry.chat_template`: one turn, and a system prompt where there is one."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from curation.exports.formats import FormatOptions
from curation.exports.formats.sides import only
from curation.exports.schema import Row


def convert(row: Row, options: FormatOptions) -> list[dict[str, Any]]:
    """Columns system, input, chosen, rejected; a prompt of several turns cannot be told."""
    roles = [message["role"] for message in row["prompt"]]
    if roles not in (["user"], ["system", "user"]):
        got = f"{', '.join(roles)} in row {row['id']}"
        raise ValueError("prompt", "one message of the user, after the system's if there is one", got)
    system = row["prompt"][0]["content"] if roles[0] == "system" else ""
    chosen, rejected = only(row, "chosen")["content"], only(row, "rejected")["content"]
    return [{"system": system, "input": row["prompt"][-1]["content"], "chosen": chosen, "rejected": rejected}]


def schema(options: FormatOptions) -> pa.Schema:
    """Four texts."""
    return pa.schema(
        [pa.field(name, pa.string(), nullable=False) for name in ("system", "input", "chosen", "rejected")]
    )

"""TRL's preference format with an explicit prompt, conversational or text.

TRL joins prompt and completion of the text style as they stand, so the prompt ends where the reply begins: turns are
written as in Anthropic's hh-rlhf ("\\n\\nHuman: …\\n\\nAssistant:") and a completion begins with a space.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import pyarrow as pa

from curation.exports.formats import FormatOptions
from curation.exports.schema import MESSAGES, Message, Row

_SPEAKERS: Final = {"user": "Human", "assistant": "Assistant", "system": "System"}


def convert(row: Row, options: FormatOptions) -> dict[str, Any]:
    """Columns prompt, chosen, rejected, and margin only where asked for; a margin that is asked for must exist."""
    as_text = options.style == "text"
    columns: dict[str, Any] = {
        "prompt": _transcript(row["prompt"]) + "\n\nAssistant:" if as_text else row["prompt"],
        "chosen": _reply(row["chosen"]) if as_text else row["chosen"],
        "rejected": _reply(row["rejected"]) if as_text else row["rejected"],
    }
    if options.margin:
        if row["margin"] is None:
            raise ValueError("margin", "a number in every row, as TRL takes no null", f"none in row {row['id']}")
        columns["margin"] = row["margin"]
    return columns


def schema(options: FormatOptions) -> pa.Schema:
    """Messages or strings, by style."""
    kind = pa.string() if options.style == "text" else MESSAGES
    columns = [pa.field(name, kind, nullable=False) for name in ("prompt", "chosen", "rejected")]
    return pa.schema([*columns, pa.field("margin", pa.float64(), nullable=False)] if options.margin else columns)


def _transcript(messages: Sequence[Message]) -> str:
    return "".join(f"\n\n{_SPEAKERS.get(m['role'], m['role'].capitalize())}: {m['content']}" for m in messages)


def _reply(messages: Sequence[Message]) -> str:
    """The first turn continues the prompt's last line; further turns of a reply, which are rare, follow it."""
    return f" {messages[0]['content']}{_transcript(messages[1:])}"

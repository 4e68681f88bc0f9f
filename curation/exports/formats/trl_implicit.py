"""TRL's preference format with an implicit prompt: the prompt stands at the head of both chosen and rejected."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from curation.exports.formats import FormatOptions, trl
from curation.exports.formats.transcripts import prompt_text, reply_text
from curation.exports.pieces import Pieces
from curation.exports.schema import Message, Row


def convert(row: Row, options: FormatOptions) -> list[dict[str, Any]]:
    """Columns chosen and rejected, each a whole conversation; margin as in `trl`."""

    def whole(reply: list[Message]) -> Any:
        if options.style == "text":
            return prompt_text(row["prompt"]) + reply_text(reply)
        return [*row["prompt"], *reply]

    return [{"chosen": whole(row["chosen"]), "rejected": whole(row["rejected"]), **trl.margin(row, options)}]


def cut(told: Pieces) -> bytes:
    """The lines of `convert` with the options that are so by themselves."""
    head = told.prompt[:-1]
    return b'{"chosen":%b,%b,"rejected":%b,%b}\n' % (head, told.chosen[1:], head, told.rejected[1:])


def schema(options: FormatOptions) -> pa.Schema:
    """Messages or strings, by style."""
    return trl.columns("chosen", "rejected", options=options)

"""KTO's unpaired format: each completion with whether it was the preferred one. TRL's KTOTrainer, and Axolotl's
`user_defined` KTO with the text style.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from curation.exports.formats import FormatOptions, trl
from curation.exports.formats.sides import labelled
from curation.exports.formats.transcripts import prompt_text, reply_text
from curation.exports.pieces import Pieces
from curation.exports.schema import Native


def convert(row: Native, options: FormatOptions) -> list[dict[str, Any]]:
    """Two records: the chosen completion with label true, then the rejected one with false; a and b with false where
    both are bad. There is no margin.
    """
    as_text = options.style == "text"
    prompt = prompt_text(row["prompt"]) if as_text else row["prompt"]
    return [
        {"prompt": prompt, "completion": reply_text(reply) if as_text else reply, "label": label}
        for reply, label in labelled(row)
    ]


def cut(told: Pieces) -> bytes:
    """The lines of `convert` with the options that are so by themselves."""
    line = b'{"prompt":%b,"completion":%b,"label":%b}\n'
    return line % (told.prompt, told.chosen, b"true") + line % (told.prompt, told.rejected, b"false")


def schema(options: FormatOptions) -> pa.Schema:
    """Messages or strings, by style, and a label."""
    plain = FormatOptions(style=options.style)
    return trl.columns("prompt", "completion", options=plain).append(pa.field("label", pa.bool_(), nullable=False))

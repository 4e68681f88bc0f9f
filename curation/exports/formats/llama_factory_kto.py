"""LLaMA-Factory's ShareGPT layout for KTO: each completion ends its conversation, with whether it was preferred."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from curation.exports.formats import FormatOptions
from curation.exports.formats.llama_factory import COLUMNS, HEAD, head, turn
from curation.exports.formats.sides import labelled, single
from curation.exports.schema import Native


def convert(row: Native, options: FormatOptions) -> list[dict[str, Any]]:
    """Two records as in `kto`: conversations, system and kto_tag."""
    asked = head(row)
    replies = [(turn(single(row, reply)), label) for reply, label in labelled(row)]
    return [asked | {"conversations": [*asked["conversations"], reply], "kto_tag": tag} for reply, tag in replies]


def schema(options: FormatOptions) -> pa.Schema:
    """Turns, a text, and a label."""
    return pa.schema([*HEAD, pa.field("kto_tag", pa.bool_(), nullable=False)])


def beside(files: Mapping[str, str]) -> dict[str, Any]:
    """As in `llama_factory`."""
    told = {"formatting": "sharegpt", "columns": {**COLUMNS, "kto_tag": "kto_tag"}}
    return {"dataset_info.json": {name: {"file_name": file, **told} for name, file in files.items()}}

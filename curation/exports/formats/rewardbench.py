"""RewardBench's layout: texts, the models that wrote them, and a subset to score by. Ours is the row's split."""

from __future__ import annotations

from typing import Any, Final

import pyarrow as pa

from curation.exports.formats import FormatOptions
from curation.exports.formats.transcripts import plain_text
from curation.exports.schema import Row

COLUMNS: Final = ("prompt", "chosen", "rejected", "chosen_model", "rejected_model", "subset", "id")


def convert(row: Row, options: FormatOptions) -> list[dict[str, Any]]:
    """A prompt of several turns is one transcript; a generator that is not known is "unknown"."""
    texts = {name: plain_text(row[name]) for name in ("prompt", "chosen", "rejected")}
    models = {
        "chosen_model": row["generator_chosen"] or "unknown",
        "rejected_model": row["generator_rejected"] or "unknown",
    }
    return [{**texts, **models, "subset": row["split"], "id": row["id"]}]


def schema(options: FormatOptions) -> pa.Schema:
    """Seven texts."""
    return pa.schema([pa.field(name, pa.string(), nullable=False) for name in COLUMNS])

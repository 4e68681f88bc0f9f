"""A listwise layout, as NeMo RL reads it: a context and its completions by rank, 0 the best."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from curation.exports.formats import FormatOptions
from curation.exports.schema import MESSAGES, Row


def convert(row: Row, options: FormatOptions) -> list[dict[str, Any]]:
    """Columns context, completions [{rank, completion}] and task_name, the row's group."""
    ranked = [{"rank": rank, "completion": row[side]} for rank, side in enumerate(("chosen", "rejected"))]  # type: ignore[literal-required]
    return [{"context": row["prompt"], "completions": ranked, "task_name": row["group"]}]


def schema(options: FormatOptions) -> pa.Schema:
    """Messages, and a list of ranked messages."""
    one = pa.struct([pa.field("rank", pa.int32(), nullable=False), pa.field("completion", MESSAGES, nullable=False)])
    return pa.schema(
        [
            pa.field("context", MESSAGES, nullable=False),
            pa.field("completions", pa.list_(one), nullable=False),
            pa.field("task_name", pa.string(), nullable=False),
        ]
    )

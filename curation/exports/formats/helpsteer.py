"""The layout of HelpSteer3's preference subset: below 0 favours response1, above 0 response2, as our a and b.

A 0 is there only for ties that were asked for: some loaders make of it a pair of twice the same completion.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from curation.exports.formats import FormatOptions
from curation.exports.formats.sides import sides, verdict
from curation.exports.formats.transcripts import plain_text
from curation.exports.schema import MESSAGES, Native


def convert(row: Native, options: FormatOptions) -> list[dict[str, Any]]:
    """Columns context, response1, response2, overall_preference (-3 to 3) and individual_preference, people's alone.

    The consensus is rounded away from 0: 0 would take away the side that a row has.
    """
    a, b = sides(row)
    said = [v["preference"] for v in row["votes"] if v["kind"] == "annotator" and v["preference"] is not None]
    return [
        {
            "context": row["prompt"],
            "response1": plain_text(a.messages),
            "response2": plain_text(b.messages),
            "overall_preference": _overall(row),
            "individual_preference": [{"score": round(score)} for score in said],
        }
    ]


def _overall(row: Native) -> int:
    if verdict(row) == "tie":
        return 0
    strength = max(1, round(abs(row["preference"])))
    return -strength if row.get("chosen_side") == "a" else strength


def schema(options: FormatOptions) -> pa.Schema:
    """Messages, two texts, an integer and a list of scores."""
    score = pa.list_(pa.struct([pa.field("score", pa.int32(), nullable=False)]))
    return pa.schema(
        [
            pa.field("context", MESSAGES, nullable=False),
            pa.field("response1", pa.string(), nullable=False),
            pa.field("response2", pa.string(), nullable=False),
            pa.field("overall_preference", pa.int32(), nullable=False),
            pa.field("individual_preference", score, nullable=False),
        ]
    )

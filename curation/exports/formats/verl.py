"""verl's prompt format: it trains policies and has no pairs, so the chosen completion goes in as the reference."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from curation.exports.formats import FormatOptions
from curation.exports.formats.transcripts import plain_text
from curation.exports.schema import MESSAGES, Row


def convert(row: Row, options: FormatOptions) -> list[dict[str, Any]]:
    """Columns data_source, prompt, ability, reward_model and extra_info, where the rejected completion is kept."""
    told = {"id": row["id"], "rejected": plain_text(row["rejected"]), "group": row["group"], "split": row["split"]}
    return [
        {
            "data_source": "tiebreak",
            "prompt": row["prompt"],
            "ability": "preference",
            "reward_model": {"style": "model", "ground_truth": plain_text(row["chosen"])},
            "extra_info": told | {"probability": row["probability"]},
        }
    ]


def schema(options: FormatOptions) -> pa.Schema:
    """Texts, messages and two structs."""
    number = pa.field("probability", pa.float64(), nullable=False)
    return pa.schema(
        [
            *_texts("data_source"),
            pa.field("prompt", MESSAGES, nullable=False),
            *_texts("ability"),
            pa.field("reward_model", pa.struct(_texts("style", "ground_truth")), nullable=False),
            pa.field("extra_info", pa.struct([*_texts("id", "rejected", "group", "split"), number]), nullable=False),
        ]
    )


def _texts(*names: str) -> list[pa.Field]:
    return [pa.field(name, pa.string(), nullable=False) for name in names]

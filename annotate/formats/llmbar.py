"""LLMBar: `input`, `output_1`, `output_2` and the expert's `label` (1 or 2), which is gold. princeton-nlp/LLMBar."""

from __future__ import annotations

from typing import Any, Final

from .foreign import gathered, key, one_of, record_of, told
from .rows import Row

NAMES: Final = {"prompt": "input", "completion_a": "output_1", "completion_b": "output_2", "gold": "label"}


def parse(record: Any, source: str) -> list[Row]:
    """One comparison with a known answer. Raises RowError."""
    record = record_of(record, "input", "output_1", "output_2", "label")
    texts = [record[field] for field in ("input", "output_1", "output_2")]
    number = key(record, "id", "idx", of=texts)
    row = {
        "id": f"{record['subset']}/{number}" if record.get("subset") else number,
        "prompt": texts[0],
        "completion_a": texts[1],
        "completion_b": texts[2],
        "gold": one_of(record["label"], {1: -1, 2: 1, "1": -1, "2": 1}, "label"),
        "gold_because": "An expert's label of LLMBar.",
        "metadata": gathered(record, "subset"),
    }
    return told(row, NAMES, source)

"""PandaLM's test set: an instruction with an input, two responses, and three annotators (0 a tie, 1, 2).

Source: WeOpenML/PandaLM, data/testset-v1.json. `cmp_key` names both models in one word; it is kept as it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from .foreign import gathered, key, one_of, record_of, told
from .rows import Row, RowError

NAMES: Final = {"prompt": "instruction", "completion_a": "response1", "completion_b": "response2"}
SIDES: Final = {0: 0, 1: -1, 2: 1}
ANNOTATOR: Final = re.compile(r"annotator[0-9]{1,3}")


def parse(record: Any, source: str) -> list[Row]:
    """One comparison with the judgement of each annotator. Raises RowError."""
    record = record_of(record, "instruction", "response1", "response2")
    asked = record["instruction"]
    if isinstance(asked, str) and isinstance(record.get("input"), str) and record["input"]:
        asked = f"{asked}\n\n{record['input']}"
    a, b = record["response1"], record["response2"]
    row = {
        "id": key(record, "id", "idx", of=[asked, a, b]),
        "prompt": asked,
        "completion_a": a,
        "completion_b": b,
        "judgements": _said(record),
        "metadata": gathered(record, "motivation_app", "cmp_key"),
    }
    return told(row, NAMES, source)


def _said(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    who = sorted(field for field in record if ANNOTATOR.fullmatch(str(field)))
    if not who:
        raise RowError("annotator1", "expected annotator1, annotator2 …, got none")
    return [
        {"rater": field, "kind": "annotator", "preference": one_of(record[field], SIDES, field)}
        for field in who
        if record[field] is not None
    ]

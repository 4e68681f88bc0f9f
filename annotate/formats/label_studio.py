"""Label Studio's JSON export of a pairwise project: tasks with their data, and annotations that select left or right.

Left is the first of the two texts in the data. Cancelled annotations, which skip the task, are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from .foreign import key, named, one_of, record_of, told
from .rows import Row, RowError, items

PROMPTS: Final = ("prompt", "question", "instruction", "text", "input")
PAIRS: Final = (
    ("answer1", "answer2"), ("response1", "response2"), ("response_a", "response_b"), ("completion_a", "completion_b"),
    ("text1", "text2"), ("left", "right"), ("a", "b"),
)  # fmt: skip
SIDES: Final = {"left": -1, "right": 1}


def parse(record: Any, source: str) -> list[Row]:
    """One comparison with its annotations. Raises RowError."""
    record = record_of(record, "data")
    with named({"row": "data"}):
        data = record_of(record["data"])
    asked = next((name for name in PROMPTS if name in data), None)
    pair = next((pair for pair in PAIRS if all(name in data for name in pair)), None)
    if asked is None or pair is None:
        pairs = "; ".join(" and ".join(pair) for pair in PAIRS)
        raise RowError("data", f"expected one of {', '.join(PROMPTS)}, and two of {pairs}, got {', '.join(data)}"[:400])
    said = items(record.get("annotations") or [], "annotations")
    found = [_judgement(entry, f"annotations[{n}]") for n, entry in enumerate(said)]
    row = {
        "id": key(record, "id", of=[data[asked], *(data[name] for name in pair)]),
        "prompt": data[asked],
        "completion_a": data[pair[0]],
        "completion_b": data[pair[1]],
        "judgements": [judgement for judgement in found if judgement is not None],
        "metadata": {k: v for k, v in data.items() if k not in (asked, *pair)},
    }
    names = {"prompt": f"data.{asked}", "completion_a": f"data.{pair[0]}", "completion_b": f"data.{pair[1]}"}
    return told(row, names, source)


def _judgement(entry: Any, field: str) -> dict[str, Any] | None:
    """None for what was cancelled or selects nothing."""
    if not isinstance(entry, Mapping):
        raise RowError(field, f"expected an object, got {type(entry).__name__}")
    results = [r for r in items(entry.get("result") or [], f"{field}.result") if isinstance(r, Mapping)]
    selected = [r["value"].get("selected") for r in results if r.get("type") == "pairwise" and _has_value(r)]
    if entry.get("was_cancelled") or not selected:
        return None
    return {
        "rater": _who(entry.get("completed_by")),
        "kind": "annotator",
        "preference": one_of(selected[0], SIDES, f"{field}.result"),
        "justification": "\n".join(_texts(results)),
        "seconds": entry.get("lead_time"),
        "submitted_at": entry.get("created_at"),
    }


def _has_value(result: Mapping[str, Any]) -> bool:
    return isinstance(result.get("value"), Mapping)


def _texts(results: list[Mapping[str, Any]]) -> list[str]:
    """What was typed beside the choice."""
    typed = [r["value"].get("text") for r in results if r.get("type") == "textarea" and _has_value(r)]
    return [
        text for texts in typed for text in (texts if isinstance(texts, list) else [texts]) if isinstance(text, str)
    ]


def _who(value: Any) -> str:
    """A user's id, or the address that fuller exports give."""
    if isinstance(value, Mapping):
        value = value.get("email") or value.get("id")
    return str(value) if value not in (None, "") else "unknown"

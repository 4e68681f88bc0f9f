"""Chatbot Arena: two whole conversations over the same questions, and who won. lmsys/chatbot_arena_conversations.

The first question is the prompt; what follows it, further questions among it, is each model's completion.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from .foreign import gathered, key, one_of, record_of, told
from .rows import Row, RowError, items

NAMES: Final = {"completion_a": "conversation_a", "completion_b": "conversation_b", "generator_a": "model_a",
                "generator_b": "model_b", "judgements[0].rater": "judge"}  # fmt: skip
BAD: Final = "tie (bothbad)"
WINNERS: Final = {"model_a": -1, "model_b": 1, "tie": 0, BAD: None}


def parse(record: Any, source: str) -> list[Row]:
    """One comparison with the visitor's judgement; "both bad" names no side. Raises RowError."""
    record = record_of(record, "conversation_a", "conversation_b", "winner")
    (asked, a), (other, b) = (_split(record, side) for side in ("conversation_a", "conversation_b"))
    if asked != other:
        raise RowError("conversation_b", "expected the same first question in both conversations, got two")
    said = {
        "rater": str(record.get("judge") or source),
        "kind": "annotator",
        "preference": one_of(record["winner"], WINNERS, "winner"),
        "both_bad": record["winner"] == BAD,
        "submitted_at": _moment(record.get("tstamp")),
    }
    row = {
        "id": key(record, "question_id", "id", of=[asked, a, b]),
        "prompt": [asked],
        "completion_a": a,
        "completion_b": b,
        "generator_a": record.get("model_a"),
        "generator_b": record.get("model_b"),
        "judgements": [said],
        "metadata": gathered(record, "language", "turn"),
    }
    return told(row, NAMES, source)


def _split(record: Mapping[str, Any], field: str) -> tuple[Any, list[Any]]:
    messages = [_message(entry, f"{field}[{n}]") for n, entry in enumerate(items(record[field], field))]
    if len(messages) < 2:
        raise RowError(field, f"expected a question and an answer, got {len(messages)} messages")
    return messages[0], messages[1:]


def _message(value: Any, field: str) -> dict[str, Any]:
    value = record_of(value, "role", "content") if isinstance(value, Mapping) else value
    if not isinstance(value, Mapping):
        raise RowError(field, f"expected an object with role and content, got {type(value).__name__}")
    return {"role": value["role"], "content": value["content"]}


def _moment(value: Any) -> datetime | None:
    try:
        return None if value is None else datetime.fromtimestamp(float(value), UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        raise RowError("tstamp", f"expected seconds since 1970, got {value!r:.60}") from None

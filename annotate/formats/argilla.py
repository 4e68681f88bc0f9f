"""Argilla's records, as `dataset.records.to_json` writes them: fields, and each user's responses to a question.

Of the fields one is the prompt and two are the responses; a question that chooses or ranks the two is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from .foreign import key, named, record_of, told
from .rows import Row, RowError, items

PROMPTS: Final = ("prompt", "instruction", "question", "input", "context")
PAIRS: Final = (
    ("response1", "response2"), ("response-1", "response-2"), ("response_1", "response_2"),
    ("response_a", "response_b"), ("completion_a", "completion_b"), ("generation-1", "generation-2"),
)  # fmt: skip
TIES: Final = ("tie", "equal", "same", "both")


def parse(record: Any, source: str) -> list[Row]:
    """One comparison with the submitted responses of its users. Raises RowError."""
    record = record_of(record, "fields")
    with named({"row": "fields"}):
        fields = record_of(record["fields"])
    asked = next((name for name in PROMPTS if name in fields), None)
    pair = next((pair for pair in PAIRS if all(name in fields for name in pair)), None)
    if asked is None or pair is None:
        pairs = "; ".join(" and ".join(pair) for pair in PAIRS)
        raise RowError(
            "fields", f"expected one of {', '.join(PROMPTS)}, and two of {pairs}, got {', '.join(fields)}"[:400]
        )
    own = record.get("metadata")
    row = {
        "id": key(record, "id", "external_id", "_server_id", of=[fields[asked], *(fields[name] for name in pair)]),
        "prompt": fields[asked],
        "completion_a": fields[pair[0]],
        "completion_b": fields[pair[1]],
        "judgements": [said for user, value in _answers(record) if (said := _judgement(user, value, pair)) is not None],
        "metadata": own if isinstance(own, Mapping) else {},
    }
    names = {"prompt": f"fields.{asked}", "completion_a": f"fields.{pair[0]}", "completion_b": f"fields.{pair[1]}"}
    return told(row, names, source)


def _answers(record: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    """(user, value) of every submitted answer: by question (version 2), or by user (version 1)."""
    responses = record.get("responses") or {}
    if isinstance(responses, Mapping):
        for question, answers in responses.items():
            for n, answer in enumerate(items(answers, f"responses.{question}")):
                answer = _object(answer, f"responses.{question}[{n}]")
                if answer.get("status") in (None, "submitted"):
                    yield str(answer.get("user_id") or "unknown"), answer.get("value")
        return
    for n, response in enumerate(items(responses, "responses")):
        response = _object(response, f"responses[{n}]")
        if response.get("status") in (None, "submitted"):
            for answer in _object(response.get("values") or {}, f"responses[{n}].values").values():
                value = answer.get("value") if isinstance(answer, Mapping) else answer
                yield str(response.get("user_id") or "unknown"), value


def _object(value: Any, field: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise RowError(field, f"expected an object, got {type(value).__name__}")
    return value


def _judgement(user: str, value: Any, pair: tuple[str, str]) -> dict[str, Any] | None:
    """None: an answer to another question, such as a text or a rating."""
    preference = _ranked(value, pair) if isinstance(value, list) else _chosen(value, pair)
    return None if preference is None else {"rater": user, "kind": "annotator", "preference": preference}


def _chosen(value: Any, pair: tuple[str, str]) -> int | None:
    if not isinstance(value, str):
        return None
    return 0 if value.lower() in TIES else {pair[0]: -1, pair[1]: 1}.get(value)


def _ranked(value: list[Any], pair: tuple[str, str]) -> int | None:
    ranks = {str(entry.get("value")): entry.get("rank") for entry in value if isinstance(entry, Mapping)}
    first, second = (ranks.get(name) for name in pair)
    if not isinstance(first, int) or not isinstance(second, int):
        return None
    return (first > second) - (first < second)

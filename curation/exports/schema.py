"""The native row of a dataset version: its fields, their types in Parquet, and the check that a row keeps to them."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, NotRequired, TypedDict, final

import pyarrow as pa

Split = Literal["train", "validation", "test"]
SPLITS: Final[tuple[Split, ...]] = ("train", "validation", "test")
SOURCES: Final = ("human", "judge", "mixed")
KINDS: Final = ("annotator", "judge")
UNDECIDED: Final = ("tie", "both_bad")
OPTIONAL: Final = ("adjudicated_by", "noise_treatment", "tie_probability", "withdrawn_votes")


class Message(TypedDict):
    role: str
    content: str


class VoteRow(TypedDict):
    rater: str
    kind: str
    preference: float | None
    both_bad: bool
    order: str | None


@final
class Row(TypedDict):
    """One comparison kept: the completion that the consensus prefers, and the other."""

    id: str
    prompt: list[Message]
    chosen: list[Message]
    rejected: list[Message]
    chosen_side: Literal["a", "b"]
    preference: float
    """The consensus, -3..3; below 0 favours a."""
    probability: float
    """That the chosen side is preferred, a tie counting half for each side: above one half by construction."""
    margin: float | None
    """Mean strength of the votes for the chosen side; None where nobody voted for it."""
    source: Literal["human", "judge", "mixed"]
    n_annotators: int
    n_judges: int
    votes: list[VoteRow]
    generator_chosen: str | None
    generator_rejected: str | None
    group: str
    split: Split
    metadata: str
    """A JSON object as a string: Parquet's types then stay the same from version to version."""
    adjudicated_by: NotRequired[str]
    """The pseudonym of whoever decided it: preference, probability and margin are theirs then, not the votes'. Absent
    where nobody did, so that rows of versions older than this field keep their bytes."""
    noise_treatment: NotRequired[str]
    """What was decided about a doubtful label, and because of what, as in "flip: …": chosen, preference and probability
    are as they are after it. Absent where the label stands as it was given."""
    tie_probability: NotRequired[float]
    """Of neither side being preferred; half of it is in `probability`. Absent but in tie-aware recipes."""


@final
class Undecided(TypedDict):
    """One comparison kept without a chosen side. It is no pair: no format may tell it as one."""

    id: str
    prompt: list[Message]
    completion_a: list[Message]
    completion_b: list[Message]
    undecided: Literal["tie", "both_bad"]
    preference: float
    """As in `Row`."""
    probability: float
    """That b is preferred, a tie counting half for each side."""
    source: Literal["human", "judge", "mixed"]
    n_annotators: int
    n_judges: int
    votes: list[VoteRow]
    generator_a: str | None
    generator_b: str | None
    group: str
    split: Split
    metadata: str
    adjudicated_by: NotRequired[str]
    noise_treatment: NotRequired[str]
    tie_probability: NotRequired[float]
    withdrawn_votes: NotRequired[int]


Native = Row | Undecided
"""What one line of a version is."""
MESSAGES: Final = pa.list_(
    pa.struct([pa.field("role", pa.string(), nullable=False), pa.field("content", pa.string(), nullable=False)])
)
_VOTES: Final = pa.list_(
    pa.struct(
        [
            pa.field("rater", pa.string(), nullable=False),
            pa.field("kind", pa.string(), nullable=False),
            pa.field("preference", pa.float64()),
            pa.field("both_bad", pa.bool_(), nullable=False),
            pa.field("order", pa.string()),
        ]
    )
)
SCHEMA: Final = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("prompt", MESSAGES, nullable=False),
        pa.field("chosen", MESSAGES, nullable=False),
        pa.field("rejected", MESSAGES, nullable=False),
        pa.field("chosen_side", pa.string(), nullable=False),
        pa.field("preference", pa.float64(), nullable=False),
        pa.field("probability", pa.float64(), nullable=False),
        pa.field("margin", pa.float64()),
        pa.field("source", pa.string(), nullable=False),
        pa.field("n_annotators", pa.int32(), nullable=False),
        pa.field("n_judges", pa.int32(), nullable=False),
        pa.field("votes", _VOTES, nullable=False),
        pa.field("generator_chosen", pa.string()),
        pa.field("generator_rejected", pa.string()),
        pa.field("group", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("metadata", pa.string(), nullable=False),
        pa.field("adjudicated_by", pa.string()),
        pa.field("noise_treatment", pa.string()),
        pa.field("tie_probability", pa.float64()),
        pa.field("withdrawn_votes", pa.int32()),
    ]
)
UNDECIDED_SCHEMA: Final = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("prompt", MESSAGES, nullable=False),
        pa.field("completion_a", MESSAGES, nullable=False),
        pa.field("completion_b", MESSAGES, nullable=False),
        pa.field("undecided", pa.string(), nullable=False),
        pa.field("preference", pa.float64(), nullable=False),
        pa.field("probability", pa.float64(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("n_annotators", pa.int32(), nullable=False),
        pa.field("n_judges", pa.int32(), nullable=False),
        pa.field("votes", _VOTES, nullable=False),
        pa.field("generator_a", pa.string()),
        pa.field("generator_b", pa.string()),
        pa.field("group", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("metadata", pa.string(), nullable=False),
        pa.field("adjudicated_by", pa.string()),
        pa.field("noise_treatment", pa.string()),
        pa.field("tie_probability", pa.float64()),
        pa.field("withdrawn_votes", pa.int32()),
    ]
)


def normalise(row: Mapping[str, Any]) -> Row:
    """The row with every field checked, in the schema's order and in one type, so that equal rows have equal bytes.

    Raises ValueError(field, expected, got).
    """
    checked: Row = _checked(row, _FIELDS)  # type: ignore[assignment]
    return checked


def undecided(row: Mapping[str, Any]) -> Undecided:
    """`normalise` for a row without a chosen side."""
    checked: Undecided = _checked(row, _UNDECIDED_FIELDS)  # type: ignore[assignment]
    return checked


def native(row: Mapping[str, Any]) -> Native:
    """`normalise`, or `undecided` where the row is that: any line of a version."""
    return undecided(row) if "undecided" in row else normalise(row)


def _checked(row: Mapping[str, Any], fields: Mapping[str, Callable[[str, object], object]]) -> dict[str, object]:
    unknown = sorted(set(row) - set(fields))
    if unknown:
        raise ValueError(unknown[0], f"one of {', '.join(fields)}", "an unknown field")
    missing = [name for name in fields if name not in row and name not in OPTIONAL]
    if missing:
        raise ValueError(missing[0], "a value", "no such field")
    given = {name: check for name, check in fields.items() if name not in OPTIONAL or row.get(name) is not None}
    return {name: check(name, row[name]) for name, check in given.items()}


def _text(field: str, value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(field, "text", _got(value))
    return value


def _text_or_none(field: str, value: object) -> str | None:
    return None if value is None else _text(field, value)


def _number(field: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(field, "a finite number", _got(value))
    return float(value) + 0.0  # -0.0 becomes 0.0


def _number_or_none(field: str, value: object) -> float | None:
    return None if value is None else _number(field, value)


def _count(field: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(field, "an integer, 0 or more", _got(value))
    return value


def _flag(field: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(field, "true or false", _got(value))
    return value


def _one_of(*allowed: str) -> Callable[[str, object], str]:
    def check(field: str, value: object) -> str:
        if value not in allowed:
            raise ValueError(field, f"one of {', '.join(allowed)}", _got(value))
        return str(value)

    return check


def _probability(field: str, value: object) -> float:
    number = _number(field, value)
    if not 0 <= number <= 1:
        raise ValueError(field, "a number from 0 to 1", value)
    return number


def _preference(field: str, value: object) -> float:
    number = _number(field, value)
    if not -3 <= number <= 3:
        raise ValueError(field, "a number from -3 to 3", value)
    return number


def _records(field: str, value: object) -> Sequence[Mapping[str, Any]]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise ValueError(field, "a list", _got(value))
    for position, item in enumerate(value):
        if not isinstance(item, Mapping):
            raise ValueError(f"{field}[{position}]", "an object", _got(item))
    return value


def _messages(field: str, value: object) -> list[Message]:
    records = _records(field, value)
    if not records:
        raise ValueError(field, "at least one message", "none")
    return [_message(field, i, record) for i, record in enumerate(records)]


def _message(field: str, i: int, record: Mapping[str, Any]) -> Message:
    role, content = record.get("role"), record.get("content")
    if type(role) is str and type(content) is str:  # nearly all: no name is made for a field that is right
        return {"role": role, "content": content}
    return {"role": _text(f"{field}[{i}].role", role), "content": _text(f"{field}[{i}].content", content)}


def _votes(field: str, value: object) -> list[VoteRow]:
    return [_vote(field, i, record) for i, record in enumerate(_records(field, value))]


def _vote(name: str, i: int, vote: Mapping[str, Any]) -> VoteRow:
    rater, kind, preference, bad, order = map(vote.get, ("rater", "kind", "preference", "both_bad", "order"))
    known = preference is None or (type(preference) is float and math.isfinite(preference))
    if type(rater) is str and kind in KINDS and known and type(bad) is bool and (order is None or type(order) is str):
        signed = None if preference is None else preference + 0.0
        return {"rater": rater, "kind": kind, "preference": signed, "both_bad": bad, "order": order}
    field = f"{name}[{i}]"
    return {
        "rater": _text(f"{field}.rater", rater),
        "kind": _one_of(*KINDS)(f"{field}.kind", kind),
        "preference": _number_or_none(f"{field}.preference", preference),
        "both_bad": _flag(f"{field}.both_bad", vote.get("both_bad", False)),
        "order": _text_or_none(f"{field}.order", order),
    }


def _json_object(field: str, value: object) -> str:
    text = _text(field, value)
    try:
        parsed = json.loads(text)
    except ValueError:
        parsed = None
    if not isinstance(parsed, dict):
        raise ValueError(field, "a JSON object as text", text[:80])
    return text


def _got(value: object) -> str:
    return f"{type(value).__name__} {value!r}"[:100]


_FIELDS: Final[Mapping[str, Callable[[str, object], object]]] = {
    "id": _text,
    "prompt": _messages,
    "chosen": _messages,
    "rejected": _messages,
    "chosen_side": _one_of("a", "b"),
    "preference": _preference,
    "probability": _probability,
    "margin": _number_or_none,
    "source": _one_of(*SOURCES),
    "n_annotators": _count,
    "n_judges": _count,
    "votes": _votes,
    "generator_chosen": _text_or_none,
    "generator_rejected": _text_or_none,
    "group": _text,
    "split": _one_of(*SPLITS),
    "metadata": _json_object,
    "adjudicated_by": _text,
    "noise_treatment": _text,
    "tie_probability": _probability,
    "withdrawn_votes": _count,
}
_UNDECIDED_FIELDS: Final[Mapping[str, Callable[[str, object], object]]] = {
    "id": _text,
    "prompt": _messages,
    "completion_a": _messages,
    "completion_b": _messages,
    "undecided": _one_of(*UNDECIDED),
    "preference": _preference,
    "probability": _probability,
    "source": _one_of(*SOURCES),
    "n_annotators": _count,
    "n_judges": _count,
    "votes": _votes,
    "generator_a": _text_or_none,
    "generator_b": _text_or_none,
    "group": _text,
    "split": _one_of(*SPLITS),
    "metadata": _json_object,
    "adjudicated_by": _text,
    "noise_treatment": _text,
    "tie_probability": _probability,
    "withdrawn_votes": _count,
}

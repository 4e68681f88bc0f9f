"""The two completions of a native row, as formats want them."""

from __future__ import annotations

from typing import Literal, NamedTuple, cast

from curation.exports.schema import Message, Native, Row, Undecided


class Side(NamedTuple):
    messages: list[Message]
    generator: str | None


def sides(row: Native) -> tuple[Side, Side]:
    """a, then b: the comparison's own order."""
    if verdict(row) != "chosen":
        tied = cast(Undecided, row)
        return Side(tied["completion_a"], tied["generator_a"]), Side(tied["completion_b"], tied["generator_b"])
    pair = cast(Row, row)
    chosen = Side(pair["chosen"], pair["generator_chosen"])
    rejected = Side(pair["rejected"], pair["generator_rejected"])
    return (chosen, rejected) if pair["chosen_side"] == "a" else (rejected, chosen)


def verdict(row: Native) -> str:
    """Whether a side is chosen, and if not: tie or both_bad."""
    return str(row.get("undecided", "chosen"))


def labelled(row: Native) -> list[tuple[list[Message], bool]]:
    """Each completion with whether it is a good one, the chosen one first; both bad: a and b, and neither is."""
    if verdict(row) == "both_bad":
        return [(side.messages, False) for side in sides(row)]
    pair = cast(Row, row)
    return [(pair["chosen"], True), (pair["rejected"], False)]


def only(row: Row, side: Literal["chosen", "rejected"]) -> Message:
    """The one message of a completion, for a format that knows no more."""
    return single(row, row[side], side)


def single(row: Native, messages: list[Message], field: str = "completion") -> Message:
    """The one message of a reply. Raises ValueError that names the row."""
    if len(messages) != 1:
        raise ValueError(field, "one message", f"{len(messages)} in row {row['id']}")
    return messages[0]

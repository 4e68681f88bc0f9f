"""The two completions of a native row, as formats want them."""

from __future__ import annotations

from typing import Literal, NamedTuple

from curation.exports.schema import Message, Row


class Side(NamedTuple):
    messages: list[Message]
    generator: str | None


def sides(row: Row) -> tuple[Side, Side]:
    """a, then b: the comparison's own order."""
    chosen = Side(row["chosen"], row["generator_chosen"])
    rejected = Side(row["rejected"], row["generator_rejected"])
    return (chosen, rejected) if row["chosen_side"] == "a" else (rejected, chosen)


def only(row: Row, side: Literal["chosen", "rejected"]) -> Message:
    """The one message of a completion, for a format that knows no more."""
    messages = row[side]
    if len(messages) != 1:
        raise ValueError(side, "one message", f"{len(messages)} in row {row['id']}")
    return messages[0]

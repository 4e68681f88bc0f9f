"""A row of a version after somebody took back what they said: without their votes, or without the row."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from curation.exports.schema import Native, VoteRow, native


class Voice(NamedTuple):
    """Where a person is heard in a row, and how they were called there."""

    votes: Collection[int] = ()
    """Places in the row's votes."""
    decided: bool = False
    """The adjudicator's decision is theirs."""
    name: str = ""
    """As it may stand in the cause of a treatment, with how often they are right."""
    alias: str = ""
    """Instead of the name."""


def without(row: Mapping[str, Any], voice: Voice) -> Native | None:
    """The row as it is once the voice is taken out; None where nobody is left whose label it is.

    The label and its figures stay as they were published, and `withdrawn_votes` says that they rest on more than what
    is still there.
    """
    left = [vote for place, vote in enumerate(row["votes"]) if place not in voice.votes]
    taken = [vote for place, vote in enumerate(row["votes"]) if place in voice.votes]
    decided = row.get("adjudicated_by") is not None and not voice.decided
    if not decided and not any(vote["both_bad"] or vote["preference"] is not None for vote in left):
        return None
    changed = dict(row) | {
        "votes": left,
        "n_annotators": row["n_annotators"] - _readable(taken, "annotator"),
        "n_judges": row["n_judges"] - _readable(taken, "judge"),
        "withdrawn_votes": (row.get("withdrawn_votes") or 0) + len(taken) + voice.decided,
    }
    if voice.decided:
        del changed["adjudicated_by"]
    if voice.name and changed.get("noise_treatment"):
        changed["noise_treatment"] = _unsaid(_renamed(changed["noise_treatment"], voice))
    return native(changed)


def _renamed(cause: str, voice: Voice) -> str:
    """Whole names alone: Ann is no part of Joann, nor of Joe Ann."""
    return re.sub(rf"(^|: |, ){re.escape(voice.name)}(?= \()", lambda found: found[1] + voice.alias, cause)


def _unsaid(cause: str) -> str:
    """Without what is quoted of a justification: it may be theirs, and it is the last thing that is told."""
    return re.sub("(in a justification): “.*", r"\1", cause, flags=re.DOTALL)


def places_of(votes: Sequence[VoteRow], name: str) -> list[int]:
    """Where a person's votes are in a row that calls people by their names."""
    return [place for place, vote in enumerate(votes) if vote["kind"] == "annotator" and vote["rater"] == name]


def _readable(votes: Iterable[VoteRow], kind: str) -> int:
    return sum(vote["kind"] == kind and vote["preference"] is not None for vote in votes)

"""Candidates and rows in one line."""

from __future__ import annotations

from typing import Any

from curation.exports.candidates import Candidate
from curation.exports.following import apply
from curation.exports.recipe import Recipe
from curation.exports.schema import Message, Row, Undecided, VoteRow, undecided


def message(content: str, role: str = "assistant") -> Message:
    return {"role": role, "content": content}


def vote(rater: str, preference: float | None, *, kind: str = "annotator", both_bad: bool = False) -> VoteRow:
    return {"rater": rater, "kind": kind, "preference": preference, "both_bad": both_bad, "order": "ab"}


def candidate(id_: str = "c1", **changes: Any) -> Candidate:
    """Three people prefer a, with strengths 2, 1 and 3."""
    facts: dict[str, Any] = {
        "id": id_,
        "prompt": [message("What is 2 + 2?", "user")],
        "completion_a": [message("4")],
        "completion_b": [message("It is 5, I think.")],
        "posterior": (0.8, 0.15, 0.05),
        "preference": -1.6,
        "votes": [vote("ann", -2), vote("bob", -1), vote("cat", -3)],
        "group": "sums",
        "generator_a": "model-x",
        "generator_b": "model-y",
    }
    return Candidate(**(facts | changes))


def row(id_: str = "c1", **changes: Any) -> Row:
    return apply(Recipe(), [candidate(id_, **changes)]).rows[0]


def tied(id_: str, kind: str, **changes: Any) -> Undecided:
    """A row of the same texts without a chosen side."""
    facts: dict[str, Any] = {
        "id": id_,
        "prompt": [message("What is 2 + 2?", "user")],
        "completion_a": [message("4")],
        "completion_b": [message("5")],
        "undecided": kind,
        "preference": 0.0,
        "probability": 0.5,
        "source": "human",
        "n_annotators": 2,
        "n_judges": 0,
        "votes": [vote("ann", 0), vote("bob", None, both_bad=True)],
        "generator_a": "model-x",
        "generator_b": "model-y",
        "group": "sums",
        "split": "train",
        "metadata": "{}",
    }
    return undecided(facts | changes)

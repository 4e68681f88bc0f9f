"""A row without what one person said."""

from __future__ import annotations

from typing import Any

import pytest

from curation.exports.files import ndjson_line
from curation.exports.schema import VoteRow, native
from curation.exports.withdrawn import Voice, places_of, without


def vote(rater: str, preference: float | None, *, kind: str = "annotator", both_bad: bool = False) -> VoteRow:
    return {"rater": rater, "kind": kind, "preference": preference, "both_bad": both_bad, "order": None}


def row(*votes: VoteRow, **fields: Any) -> dict[str, Any]:
    said = [v for v in votes if v["preference"] is not None]
    text = [{"role": "user", "content": "q"}]
    return {
        "id": "r", "prompt": text, "chosen": text, "rejected": text, "chosen_side": "a", "preference": -1.0,
        "probability": 0.9, "margin": 1.0, "source": "mixed", "n_annotators": sum(v["kind"] != "judge" for v in said),
        "n_judges": sum(v["kind"] == "judge" for v in said), "votes": list(votes), "generator_chosen": None,
        "generator_rejected": None, "group": "g", "split": "train", "metadata": "{}",
    } | fields  # fmt: skip


ANNA, BEN, MODEL = vote("anna", -1.0), vote("ben", -2.0), vote("m v1", -1.0, kind="judge")


def test_the_vote_goes_and_the_label_stays_as_it_was_published() -> None:
    given = row(ANNA, BEN, MODEL)
    left = without(given, Voice([0]))
    assert left == native(given | {"votes": [BEN, MODEL], "n_annotators": 1, "withdrawn_votes": 1})
    assert given == row(ANNA, BEN, MODEL)  # what was given is not altered


def test_a_vote_that_was_unreadable_is_no_annotator_less() -> None:
    left = without(row(vote("anna", None), BEN), Voice([0]))
    assert left is not None
    assert (left["n_annotators"], left["withdrawn_votes"]) == (1, 1)


@pytest.mark.parametrize(
    ("votes", "stays"),
    [
        ([ANNA], False),  # nobody is left
        ([ANNA, vote("ben", None)], False),  # nobody who said anything readable
        ([ANNA, vote("ben", None, both_bad=True)], True),  # both bad is an answer
        ([ANNA, MODEL], True),  # a judge's label, with one vote less
    ],
)
def test_where_nobody_else_judged_the_row_goes(votes: list[VoteRow], stays: bool) -> None:
    assert (without(row(*votes), Voice([0])) is not None) is stays


def test_an_adjudicators_decision_carries_a_row_alone_until_it_is_taken_back() -> None:
    given = row(ANNA, adjudicated_by="adjudicator-1")
    left = without(given, Voice([0]))
    assert left is not None
    assert left["adjudicated_by"] == "adjudicator-1"
    assert without(given, Voice([0], decided=True)) is None
    undecided = without(given, Voice(decided=True))
    assert undecided is not None
    assert ("adjudicated_by" in undecided, undecided["withdrawn_votes"]) == (False, 1)


def test_two_withdrawals_add_up_and_their_order_leaves_the_same_bytes() -> None:
    carl = vote("carl", 1.0)
    given = row(ANNA, BEN, carl)
    one = without(without(given, Voice([0])) or {}, Voice([0]))
    other = without(without(given, Voice([1])) or {}, Voice([0]))
    assert one is not None
    assert other is not None
    assert ndjson_line(one) == ndjson_line(other)
    assert (one["votes"], one["withdrawn_votes"]) == ([carl], 2)


def test_the_name_goes_from_the_cause_of_a_treatment() -> None:
    given = row(ANNA, BEN, noise_treatment="flip: for a: anna (40%), joanna (50%); against: jo anna (90%)")
    left = without(given, Voice([0], name="anna", alias="withdrawn-1"))
    assert left is not None
    assert left["noise_treatment"] == "flip: for a: withdrawn-1 (40%), joanna (50%); against: jo anna (90%)"


def test_what_a_treatment_quotes_of_a_justification_goes_with_its_author() -> None:
    quoted = "flip: rules 0.90: the same words again in a justification: “I know\n”her” (on 7 comparisons)”"
    left = without(row(ANNA, BEN, noise_treatment=quoted), Voice([0], name="anna", alias="withdrawn-1"))
    assert left is not None
    assert left["noise_treatment"] == "flip: rules 0.90: the same words again in a justification"


def test_only_people_are_found_by_their_name() -> None:
    assert places_of([vote("anna", 1.0, kind="judge"), ANNA, BEN], "anna") == [1]

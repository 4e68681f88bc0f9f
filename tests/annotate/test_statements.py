"""How many statements the database is sent for what annotators do all day: each costs more than what it asks for.

The bounds are exact. Whoever needs one more raises the figure here, and says why it is worth the time of every answer.
"""

from __future__ import annotations

from uuid import uuid4

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from annotate.models import Assignment, Judgement
from annotate.services import shown
from tests.build import make_comparison, make_member, make_project, make_token
from tiebreak.accounts.models import User
from tiebreak.accounts.roles import Role

pytestmark = pytest.mark.django_db(transaction=True)  # so that no savepoint of the test's own is counted

NEXT, SUBMIT = 3, 4


@pytest.fixture
def annotator() -> User:
    project = make_project("chat", overlap=3)
    for number in range(4):
        make_comparison(project, f"c{number}", prompt="Why?", a=f"because {number}", b="never")
    return make_member(project, Role.ANNOTATOR, name="ada")


@pytest.fixture
def client(annotator: User) -> Client:
    return Client(headers={"Authorization": f"Bearer {make_token(annotator, 'annotate')}"})


def sent(captured: CaptureQueriesContext) -> list[str]:
    return [query["sql"] for query in captured.captured_queries]


def take(client: Client) -> int:
    return int(client.post("/api/v1/projects/chat/next/", {}, content_type="application/json").json()["id"])


def answer(client: Client, pk: int) -> int:
    said = {"choice": 1, "justification": f"The left one names its sources, in number {pk}."}
    key = {"Idempotency-Key": str(uuid4())}
    return client.post(
        f"/api/v1/assignments/{pk}/submit/", said, content_type="application/json", headers=key
    ).status_code


def test_a_claim_is_the_token_who_asks_and_the_claim(client: Client) -> None:
    assert answer(client, take(client)) == 201  # the rater is made, the token's last use written, and a session begun
    with CaptureQueriesContext(
        connection,
    ) as captured:
        take(client)
    assert len(captured) == NEXT, sent(captured)


def test_an_answer_is_the_token_the_assignment_its_last_words_and_the_answer(client: Client) -> None:
    assert answer(client, take(client)) == 201
    pk = take(client)
    with CaptureQueriesContext(connection) as captured:
        assert answer(client, pk) == 201
    assert len(captured) == SUBMIT, sent(captured)
    assert Judgement.objects.count() == 2


def test_a_claim_and_an_answer_read_no_more_for_a_long_history(client: Client) -> None:
    """Every statement of a rater with two answers is one of a rater with three: none is sent for each of them."""
    counts = []
    for _ in range(3):
        with CaptureQueriesContext(connection) as captured:
            answer(client, take(client))
        counts.append(len(captured))
    assert counts[1] == counts[2] == NEXT + SUBMIT


def test_what_is_shown_is_what_the_rows_say(client: Client) -> None:
    """One call tells the rows as JSON; each column comes back as the model itself would read it."""
    pk = take(client)
    found = shown.load(pk)
    assert found is not None
    row = Assignment.objects.select_related(
        "rater__project", "form", "comparison__prompt", "comparison__completion_a", "comparison__completion_b"
    ).get(pk=pk)
    pairs = (
        (found, row), (found.rater, row.rater), (found.rater.project, row.rater.project), (found.form, row.form),
        (found.comparison, row.comparison), (found.comparison.prompt, row.comparison.prompt),
        (found.comparison.completion_a, row.comparison.completion_a),
        (found.comparison.completion_b, row.comparison.completion_b),
    )  # fmt: skip
    for told, read in pairs:
        assert told is not None
        assert read is not None
        for field in read._meta.concrete_fields:
            assert getattr(told, field.attname) == getattr(read, field.attname), field
    assert shown.load(2**70) is None
    assert shown.load(pk + 1000) is None

"""REST for adjudicators: what is disputed, as blind as the page, deciding it, undoing, and flags."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from annotate.models import Adjudication, Comparison, Flag
from tests import build
from tiebreak.accounts.models import Project, User
from tiebreak.accounts.roles import Role

pytestmark = pytest.mark.django_db
BASE = "/api/v1/projects/court/"


@pytest.fixture
def project() -> Project:
    project = build.make_project("court", overlap=2)
    for role in Role.values:
        build.make_member(project, role, name=f"the-{role}")
    comparison = build.make_comparison(project, "own/id", prompt="which?")
    build.make_judgements(comparison, "AB")
    build.make_call(build.make_judge(project, "critic"), comparison, 1)
    Comparison.objects.update(status="disputed")
    return project


def call(role: str, method: str, path: str, data: Any = None, **headers: str) -> Any:
    token = build.make_token(User.objects.get(username=f"the-{role}"), "curate")
    send = getattr(Client(raise_request_exception=False), method)
    given = {} if data is None else {"data": data, "content_type": "application/json"}
    return send(BASE + path, headers={"Authorization": f"Bearer {token}", **headers}, **given)


def test_disputed_ones_come_with_all_that_was_said_and_no_names(project: Project) -> None:
    response = call("adjudicator", "get", "disputed/")
    row = response.json()["results"][0]
    assert row["comparison"] == Comparison.objects.get().pk
    assert (row["id"], row["prompt"], row["completion_b"]) == (None, "which?", "second answer")
    said = [(each["rater"], each["kind"], each["preference"]) for each in row["judgements"]]
    assert said == [("rater 1", "annotator", -1), ("rater 2", "annotator", 1), ("critic v1", "judge", 1)]
    assert "heron-1" not in response.content.decode()
    project.forms.update(blind_adjudication=False)
    row = call("curator", "get", "disputed/").json()["results"][0]
    assert (row["id"], row["judgements"][0]["rater"]) == ("own/id", "r1")


def test_a_decision_is_taken_once_by_its_key_and_listed(project: Project) -> None:
    said = {"comparison": Comparison.objects.get().pk, "preference": -2, "reason": "A is right."}
    key = {"Idempotency-Key": "k1"}
    made = call("adjudicator", "post", "adjudications/", said, **key)
    assert made.status_code == 201, made.content
    assert made.json()["by"] == "the-adjudicator"
    assert Comparison.objects.get().status == "settled"
    late = call("curator", "post", "adjudications/", said | {"preference": 1})
    assert (late.status_code, late.json()["type"]) == (409, "urn:tiebreak:decided_meanwhile")
    call("curator", "post", "adjudications/", said | {"preference": 1, "replaces": made.json()["id"]})
    listed = call("viewer", "get", "adjudications/").json()["results"]
    assert [(row["preference"], row["current"]) for row in listed] == [(1, True), (-2, False)]


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"preference": 9}, "choice"),
        ({"preference": None}, "choice"),
        ({"reason": ""}, "reason"),
        ({"reason": "x\x00"}, "reason"),
        ({"preference": "much"}, "preference"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_decision_that_cannot_be_taken_is_refused_by_its_field(
    project: Project, given: dict[str, Any], field: str
) -> None:
    said = {"comparison": Comparison.objects.get().pk, "preference": -2, "reason": "A."} | given
    response = call("adjudicator", "post", "adjudications/", said)
    assert response.status_code == 422, response.content
    assert field in response.content.decode()
    assert not Adjudication.objects.exists()


def test_a_decision_that_stands_is_undone_and_another_is_not(project: Project) -> None:
    comparison = Comparison.objects.get()
    said = {"comparison": comparison.pk, "preference": -2, "reason": "A is right."}
    first = call("adjudicator", "post", "adjudications/", said).json()["id"]
    second = call("curator", "post", "adjudications/", said | {"preference": 1, "replaces": first}).json()["id"]
    late = call("adjudicator", "post", f"adjudications/{first}/undo/")
    assert (late.status_code, late.json()["type"]) == (409, "urn:tiebreak:decided_meanwhile")
    assert call("adjudicator", "post", f"adjudications/{second}/undo/").json()["current"] is False
    assert Comparison.objects.get().status == "disputed"


def test_flags_are_listed_and_resolved(project: Project) -> None:
    flag = Flag.objects.create(
        comparison=Comparison.objects.get(), rater=build.make_rater(project), kind="unsafe", note="look"
    )
    assert [row["note"] for row in call("viewer", "get", "flags/").json()["results"]] == ["look"]
    path = f"flags/{flag.pk}/resolve/"
    assert call("curator", "post", path, {"resolution": " "}).status_code == 422
    assert call("curator", "post", path, {"resolution": "It is fine."}).json()["resolved_by"] == "the-curator"
    assert call("curator", "post", path, {"resolution": "Again."}).status_code == 409
    assert call("viewer", "get", "flags/").json()["results"] == []
    assert len(call("viewer", "get", "flags/?open=false").json()["results"]) == 1
    assert call("viewer", "get", "flags/?opne=false").status_code == 422

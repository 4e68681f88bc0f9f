"""REST for annotating clients: what they are given, what they may send, who is refused."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.utils import timezone

from annotate.models import Assignment, Judgement
from annotate.services import assigning
from tests.build import make_comparison, make_member, make_project, make_token, make_user
from tiebreak.accounts.models import Membership, Project
from tiebreak.accounts.roles import Role

pytestmark = pytest.mark.django_db


class Caller:
    """A client of the API with a token."""

    def __init__(self, token: str) -> None:
        self.client = Client(headers={"Authorization": f"Bearer {token}"})

    def post(self, path: str, body: Any = None, **headers: str) -> Any:
        return self.client.post(f"/api/v1/{path}", body or {}, content_type="application/json", headers=headers)

    def get(self, path: str) -> Any:
        return self.client.get(f"/api/v1/{path}")

    def next(self, project: Project) -> dict[str, Any]:
        response = self.post(f"projects/{project.slug}/next/")
        assert response.status_code == 200, response.content
        body: dict[str, Any] = response.json()
        return body

    def submit(self, pk: int, body: Any, key: object = None) -> Any:
        return self.post(f"assignments/{pk}/submit/", body, **{"Idempotency-Key": str(key or uuid4())})


@pytest.fixture
def project() -> Project:
    return make_project("chat", overlap=1)


@pytest.fixture
def caller(project: Project) -> Caller:
    return Caller(make_token(make_member(project, Role.ANNOTATOR, name="ada"), "annotate"))


def test_next_gives_a_comparison_without_its_generators(project: Project, caller: Caller) -> None:
    comparison = make_comparison(project, "c-1", prompt="why?", a="because", b="never")
    body = caller.next(project)
    assignment = Assignment.objects.get()
    assert body["id"] == assignment.pk
    assert body["comparison"] == "c-1"
    assert body["prompt"] == [{"role": "user", "content": "why?"}]
    expected = ("because", "never") if body["order"] == "ab" else ("never", "because")
    assert (body["left"], body["right"]) == expected
    assert datetime.fromisoformat(body["expires_at"]) == assignment.expires_at
    assert body["form"]["levels"] == 3
    said = str(body)
    assert comparison.completion_a.generator not in said
    assert comparison.completion_b.generator not in said


def test_next_again_is_the_same_lease(project: Project, caller: Caller) -> None:
    make_comparison(project)
    make_comparison(project)
    assert caller.next(project)["id"] == caller.next(project)["id"]


def test_next_without_work_is_204(project: Project, caller: Caller) -> None:
    assert caller.post("projects/chat/next/").status_code == 204


def test_an_answer_is_stored_in_terms_of_a_and_b(project: Project, caller: Caller) -> None:
    make_comparison(project)
    given = caller.next(project)
    body = {"choice": -2, "justification": "clearer", "active_ms": 1500}
    response = caller.submit(given["id"], body)
    assert response.status_code == 201, response.content
    stored = Judgement.objects.get()
    assert stored.preference == (-2 if given["order"] == "ab" else 2)
    assert (stored.justification, stored.seconds, stored.order) == ("clearer", 1.5, given["order"])
    assert response.json()["preference"] == stored.preference
    assert response.json()["id"] == stored.pk
    assert caller.get(f"assignments/{given['id']}/").json()["status"] == "submitted"


def test_the_same_key_and_body_get_the_same_judgement(project: Project, caller: Caller) -> None:
    make_comparison(project)
    pk, key = caller.next(project)["id"], uuid4()
    first, second = (caller.submit(pk, {"choice": 1}, key) for _ in range(2))
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json()
    assert second.headers["Idempotent-Replayed"] == "true"
    assert Judgement.objects.count() == 1


def test_the_same_key_with_another_body_is_refused(project: Project, caller: Caller) -> None:
    make_comparison(project)
    pk, key = caller.next(project)["id"], uuid4()
    caller.submit(pk, {"choice": 1}, key)
    assert caller.submit(pk, {"choice": -1}, key).status_code == 422
    assert caller.submit(pk, {"choice": -1}).json()["type"] == "urn:tiebreak:already_submitted"


def test_a_submit_without_a_uuid_as_key_is_refused(project: Project, caller: Caller) -> None:
    make_comparison(project)
    pk = caller.next(project)["id"]
    for response in (caller.post(f"assignments/{pk}/submit/", {"choice": 1}), caller.submit(pk, {"choice": 1}, "k1")):
        assert response.status_code == 422
        assert response.json()["field"] == "Idempotency-Key"
    assert not Judgement.objects.exists()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "Choose"),
        ({"choice": 9}, "got 9"),
        ({"choice": "left"}, "choice"),
        ({"choice": 1, "chioce": 1}, "chioce"),
        ({"choice": 1, "aspects": {"tone": 1}}, "tone"),
        ({"choice": 1, "justification": "a\u0000b"}, "justification"),
        ({"choice": 1, "active_ms": -5}, "active_ms"),
    ],
)
def test_a_bad_answer_is_refused_by_field(project: Project, caller: Caller, body: Any, words: str) -> None:
    make_comparison(project)
    response = caller.submit(caller.next(project)["id"], body)
    assert response.status_code == 422
    assert response["Content-Type"] == "application/problem+json"
    assert words in response.json()["detail"]
    assert Assignment.objects.get().status == "leased"


def test_skip_draft_and_renew(project: Project, caller: Caller) -> None:
    make_comparison(project)
    pk = caller.next(project)["id"]
    Assignment.objects.update(expires_at=timezone.now())
    renewed = caller.post(f"assignments/{pk}/renew/")
    assert datetime.fromisoformat(renewed.json()["expires_at"]) > timezone.now()
    drafted = caller.post(f"assignments/{pk}/draft/", {"choice": 1, "justification": "so far"})
    assert drafted.status_code == 200
    assert caller.get(f"assignments/{pk}/").json()["draft"]["justification"] == "so far"
    skipped = caller.post(f"assignments/{pk}/skip/", {"reason": "not my field"})
    assert skipped.json()["status"] == "skipped"
    assert Assignment.objects.get().skip_reason == "not my field"
    assert caller.post("projects/chat/next/").status_code == 204


def test_a_lost_lease_is_a_conflict_that_keeps_the_answer(project: Project, caller: Caller) -> None:
    make_comparison(project)
    pk = caller.next(project)["id"]
    Assignment.objects.update(expires_at=datetime(2000, 1, 1, tzinfo=UTC))
    assigning.reap(timezone.now())
    other = Caller(make_token(make_member(project, Role.ANNOTATOR), "annotate"))
    other.next(project)
    response = caller.submit(pk, {"choice": 1, "justification": "mine"})
    assert (response.status_code, response.json()["type"]) == (409, "urn:tiebreak:lease_lost")
    assert Assignment.objects.get(pk=pk).draft["justification"] == "mine"
    assert caller.post(f"assignments/{pk}/renew/").status_code == 409


def test_who_may_not_is_refused(project: Project, caller: Caller) -> None:
    make_comparison(project)
    pk = caller.next(project)["id"]
    assert Client().post("/api/v1/projects/chat/next/").status_code == 401
    ada = caller.get(f"assignments/{pk}/")
    assert ada.status_code == 200
    stranger = Caller(make_token(make_user(), "annotate"))
    assert stranger.post("projects/chat/next/").status_code == 404
    viewer = Caller(make_token(make_member(project, Role.VIEWER), "annotate"))
    assert viewer.post("projects/chat/next/").status_code == 403
    reader = make_member(project, Role.OWNER)
    assert Caller(make_token(reader, "export")).post("projects/chat/next/").status_code == 403
    for other in (stranger, viewer, Caller(make_token(reader, "annotate"))):
        assert other.get(f"assignments/{pk}/").status_code == 404
        assert other.submit(pk, {"choice": 1}).status_code == 404
    assert not Judgement.objects.exists()


def test_a_token_of_another_project_does_not_reach_this_one(project: Project, caller: Caller) -> None:
    make_comparison(project)
    pk = caller.next(project)["id"]
    ada = Assignment.objects.get().rater.user
    assert ada is not None
    elsewhere = make_project()
    Membership.objects.create(project=elsewhere, user=ada, role=Role.ANNOTATOR)
    bound = Caller(make_token(ada, "annotate", project=elsewhere))
    assert bound.post("projects/chat/next/").status_code == 404
    assert bound.get(f"assignments/{pk}/").status_code == 404

"""REST for annotating clients: what they are given, what they may send, who is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.utils import timezone

from annotate.models import Assignment, Comment, Flag, Form, Judgement, Lane, Review
from annotate.services import assigning
from tests.build import make_comparison, make_member, make_project, make_rubric, make_token, make_user
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
    assert body["comparison"] is None  # an id is often made of the names of generators
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
    Assignment.objects.update(created_at=timezone.now() - timedelta(minutes=1))
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


# What the screen can, a client can


def test_next_tells_all_that_is_asked(project: Project, caller: Caller) -> None:
    rubric = make_rubric(project, criteria=1, status="approved", approved_by=make_user(), approved_at=timezone.now())
    aspects = [{"key": "tone", "label": "Tone"}, {"key": "depth", "label": "Depth", "kind": "rating"}]
    Form.objects.update(aspects=aspects, rubric=rubric, checklist=True, confidence=True, show_reference=True)
    make_comparison(project, reference="as it is")
    body = caller.next(project)
    asked = body["form"]
    assert [(aspect["key"], aspect["kind"]) for aspect in asked["aspects"]] == [
        ("tone", "preference"),
        ("depth", "rating"),
    ]
    assert [criterion["id"] for criterion in asked["criteria"]] == [rubric.criteria.get().pk]
    assert (asked["rating_max"], asked["confidence"], asked["checklist"], asked["evidence"]) == (5, True, True, True)
    assert (body["reference"], body["language"]) == ("as it is", "")


def test_the_reference_stays_hidden_unless_the_form_shows_it(project: Project, caller: Caller) -> None:
    make_comparison(project, reference="as it is", metadata={"secret": 1}, gold=2, gold_because="known-because")
    body = caller.next(project)
    assert body["reference"] is None
    for hidden in ("as it is", "secret", "known-because", "purpose", "gold"):
        assert hidden not in str(body)


def test_the_language_of_the_lane_is_told(project: Project, caller: Caller) -> None:
    Lane.objects.create(project=project, number=1, language="ar")
    make_comparison(project, lane=1)
    assert caller.next(project)["language"] == "ar"


def test_every_part_of_an_answer_is_stored(project: Project, caller: Caller) -> None:
    aspects = [{"key": "depth", "label": "Depth", "kind": "rating"}]
    Form.objects.update(aspects=aspects, confidence=True)
    make_comparison(project)
    given = caller.next(project)
    span = {"side": "right", "exact": "answer", "start": 6, "end": 12}
    body = {
        "choice": 1, "ratings": {"depth": {"left": 1, "right": 5}}, "confidence": {"overall": 2}, "evidence": [span],
    }  # fmt: skip
    drafted = caller.post(f"assignments/{given['id']}/draft/", body)
    assert drafted.status_code == 200, drafted.content
    assert caller.get(f"assignments/{given['id']}/").json()["draft"]["evidence"] == [span]
    response = caller.submit(given["id"], body)
    assert response.status_code == 201, response.content
    left, right = given["order"]
    told = response.json()
    assert told["ratings"] == {"depth": {left: 1, right: 5}}
    assert told["confidence"] == {"overall": 2}
    assert told["evidence"] == [span | {"side": right}]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"choice": 1, "ratings": {"tone": {"left": 1, "right": 1}}}, "tone"),
        ({"choice": 1, "ratings": {"tone": 1}}, "ratings"),
        ({"choice": 1, "confidence": {"overall": 2}}, "overall"),
        ({"choice": 1, "checks": {"1": "left"}}, "criterion"),
        ({"choice": 1, "evidence": [{"side": "top", "exact": "x", "start": 0, "end": 1}]}, "side"),
        ({"choice": 1, "evidence": [{"side": "left", "exact": "x", "start": 5, "end": 1}]}, "end"),
        ({"choice": 1, "evidence": [{"side": "left", "exact": "x", "start": 0, "end": 1, "colour": 1}]}, "colour"),
        ({"choice": 1, "evidence": "all"}, "evidence"),
        ({"choice": 1, "aspects": {str(n): 1 for n in range(201)}}, "at most 200 entries, got 201"),
        ({"choice": 1, "reasons": ["x"] * 201}, "at most 200 entries"),
    ],
)
def test_a_part_that_is_not_asked_is_refused_by_field(project: Project, caller: Caller, body: Any, words: str) -> None:
    make_comparison(project)
    response = caller.submit(caller.next(project)["id"], body)
    assert response.status_code == 422
    assert words in str(response.json())
    assert not Judgement.objects.exists()


def test_a_repeated_justification_is_asked_about_once(project: Project, caller: Caller) -> None:
    body = {"choice": 1, "justification": "The left one names its sources."}
    for _ in range(3):
        make_comparison(project)
    for _ in range(2):
        assert caller.submit(caller.next(project)["id"], body).status_code == 201
    pk = caller.next(project)["id"]
    assert caller.submit(pk, body).json()["type"] == "urn:tiebreak:justification_repeated"
    assert caller.submit(pk, body | {"confirm_repeat": True}).status_code == 201


def test_no_more_time_is_stored_than_has_passed(project: Project, caller: Caller) -> None:
    make_comparison(project)
    told = caller.submit(caller.next(project)["id"], {"choice": 1, "active_ms": 10**9}).json()
    assert told["seconds"] < 60


def test_a_client_fetches_ahead(project: Project, caller: Caller) -> None:
    for _ in range(2):
        make_comparison(project)
    now = caller.next(project)
    ahead = caller.post("projects/chat/next/", {"ahead": True}).json()
    assert (ahead["status"], ahead["id"] != now["id"]) == ("ahead", True)
    caller.submit(now["id"], {"choice": 1})
    assert caller.next(project)["id"] == ahead["id"]
    assert caller.post("projects/chat/next/", {"ahead": True}).status_code == 204
    assert caller.post("projects/chat/next/", {"ahed": True}).status_code == 422


def test_what_comes_first_is_told(project: Project, caller: Caller) -> None:
    Form.objects.update(session_quota=1)
    for _ in range(2):
        make_comparison(project)
    caller.submit(caller.next(project)["id"], {"choice": 1})
    response = caller.post("projects/chat/next/")
    assert (response.status_code, response.json()["type"]) == (409, "urn:tiebreak:quota_reached")


def test_the_session_is_told_and_ended(project: Project, caller: Caller) -> None:
    for _ in range(2):
        make_comparison(project)
    caller.submit(caller.next(project)["id"], {"choice": 1})
    caller.next(project)
    told = caller.get("projects/chat/session/").json()
    assert (told["judged"], told["quota"], told["today"]) == (1, 0, 1)
    assert caller.client.delete("/api/v1/projects/chat/session/").status_code == 204
    assert not Assignment.objects.filter(status="leased").exists()
    assert caller.get("projects/chat/session/").json()["judged"] == 0


def test_an_answer_is_changed_in_terms_of_the_sides_that_were_seen(project: Project, caller: Caller) -> None:
    make_comparison(project)
    given = caller.next(project)
    first = caller.submit(given["id"], {"choice": -1}).json()
    response = caller.post(f"judgements/{first['id']}/revise/", {"choice": 2})
    assert response.status_code == 200, response.content
    told = response.json()
    assert (told["revision"], told["preference"]) == (2, 2 if given["order"] == "ab" else -2)
    again = caller.post(f"judgements/{first['id']}/revise/", {"choice": 2})
    assert again.json() == told  # a second click
    conflict = caller.post(f"judgements/{first['id']}/revise/", {"choice": 3})
    assert (conflict.status_code, conflict.json()["type"]) == (409, "urn:tiebreak:moved_on")


def test_previous_answers_tell_what_came_back(project: Project, caller: Caller) -> None:
    for _ in range(2):
        make_comparison(project)
    first, second = (caller.submit(caller.next(project)["id"], {"choice": 1}).json()["id"] for _ in range(2))
    carol = make_member(project, Role.ADJUDICATOR, name="carol")
    Review.objects.create(judgement_id=first, verdict="returned", reason="Sure?", by=carol)
    other = Caller(make_token(make_member(project, Role.ANNOTATOR), "annotate"))
    told = caller.get("projects/chat/previous/").json()
    assert [entry["judgement"]["id"] for entry in told] == [first, second]
    assert (told[0]["returned"]["by"], told[0]["returned"]["reason"], told[1]["returned"]) == ("carol", "Sure?", None)
    assert told[1]["may_revise"]
    assert other.get("projects/chat/previous/").json() == []


def test_a_flag_and_a_comment_are_raised(project: Project, caller: Caller) -> None:
    make_comparison(project)
    pk = caller.next(project)["id"]
    flagged = caller.post(f"assignments/{pk}/flag/", {"kind": "unsafe", "note": "a threat"})
    assert (flagged.status_code, flagged.json()["id"]) == (201, Flag.objects.get().pk)
    commented = caller.post(f"assignments/{pk}/comment/", {"text": "Both cite the same."})
    assert (commented.status_code, commented.json()["id"]) == (201, Comment.objects.get().pk)
    assert caller.post(f"assignments/{pk}/flag/", {"kind": "boring"}).status_code == 422
    assert caller.post(f"assignments/{pk}/comment/", {}).status_code == 422


def test_nobody_else_reaches_an_answer_or_an_assignment(project: Project, caller: Caller) -> None:
    make_comparison(project)
    pk = caller.next(project)["id"]
    judgement = caller.submit(pk, {"choice": 1}).json()["id"]
    ada = Assignment.objects.get().rater.user
    assert ada is not None
    elsewhere = make_project()
    Membership.objects.create(project=elsewhere, user=ada, role=Role.ANNOTATOR)
    others = (make_member(project, Role.ANNOTATOR), make_member(project, Role.OWNER), make_user())
    for other in (*(make_token(user, "annotate") for user in others), make_token(ada, "annotate", project=elsewhere)):
        stranger = Caller(other)
        assert stranger.post(f"judgements/{judgement}/revise/", {"choice": 2}).status_code == 404
        assert stranger.post(f"assignments/{pk}/flag/", {"kind": "broken"}).status_code == 404
        assert stranger.post(f"assignments/{pk}/comment/", {"text": "x"}).status_code == 404
    assert Judgement.objects.count() == 1

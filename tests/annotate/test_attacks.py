"""What somebody tried who wished the queue and its pages ill: each was a hole once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.utils import timezone

from annotate.models import Assignment, Comparison, Judgement, Rater
from annotate.services import assigning, judging, projects, reviewing
from annotate.services.answers import Answer
from tests.build import make_comparison, make_judgements, make_member, make_project, make_token
from tests.editor import posted
from tiebreak.accounts.models import Project
from tiebreak.accounts.roles import Role
from tiebreak.core.errors import Conflict

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def take(project: Project, rater: Rater, *, now: datetime = NOW) -> Assignment:
    assignment = assigning.next_assignment(rater, now=now)
    assert assignment is not None
    return assignment


def answered(rater: Rater, choice_for_a: int, *, now: datetime = NOW) -> Judgement:
    assignment = take(rater.project, rater, now=now)
    choice = choice_for_a if assignment.order == "ab" else -choice_for_a
    assert rater.user is not None
    return judging.submit(assignment, Answer(choice=choice), by=rater.user, key=uuid4(), now=now)


@pytest.mark.parametrize("path", ["submit", "draft"])
def test_a_time_beyond_all_numbers_is_refused_and_breaks_nothing(path: str) -> None:
    project = make_project(overlap=1)
    make_comparison(project)
    user = make_member(project, Role.ANNOTATOR)
    headers = {"Authorization": f"Bearer {make_token(user, 'annotate')}", "Idempotency-Key": str(uuid4())}
    assignment = take(project, assigning.rater_for(project, user), now=timezone.now())
    body: dict[str, Any] = {"choice": 1, "active_ms": 10**400}
    response = Client(headers=headers).post(
        f"/api/v1/assignments/{assignment.pk}/{path}/", body, content_type="application/json"
    )
    assert response.status_code == 422, response.content
    assert "active_ms" in response.json()["errors"]


def test_a_changed_mind_that_ends_the_agreement_asks_one_more_and_then_an_expert() -> None:
    project = make_project(overlap=2, max_overlap=3)
    comparison = make_comparison(project)
    first, second, third = (assigning.rater_for(project, make_member(project, Role.ANNOTATOR)) for _ in range(3))
    said = answered(first, -1)
    answered(second, -1)
    comparison.refresh_from_db()
    assert (comparison.overlap, comparison.status) == (2, "open")
    assert first.user is not None
    changed = Answer(choice=1 if said.order == "ab" else -1)
    judging.revise(said, changed, by=first.user, now=NOW + MINUTE)
    comparison.refresh_from_db()
    assert (comparison.overlap, comparison.status) == (3, "open")
    tie = answered(third, 0)
    assert tie.preference == 0
    comparison.refresh_from_db()
    assert comparison.status == "disputed"


def test_a_disputed_comparison_that_was_taken_out_and_brought_back_is_disputed() -> None:
    project = make_project(overlap=2)
    owner = make_member(project, Role.OWNER)
    comparison = make_comparison(project)
    make_judgements(comparison, "AB")
    Comparison.objects.filter(pk=comparison.pk).update(status="disputed")
    comparison.refresh_from_db()
    reviewing.withdraw(comparison, "It is broken.", by=owner)
    reviewing.restore(comparison, by=owner)
    comparison.refresh_from_db()
    assert comparison.status == "disputed"


def test_an_adjudicator_who_has_a_comparison_before_them_does_not_see_what_others_said_of_it() -> None:
    project = make_project(overlap=2)
    comparison = make_comparison(project)
    make_judgements(comparison, "A")
    expert = make_member(project, Role.ADJUDICATOR)
    assert take(project, assigning.rater_for(project, expert), now=timezone.now()).comparison_id == comparison.pk
    client = Client()
    client.force_login(expert)
    assert client.get(f"/p/{project.slug}/adjudicate/{comparison.pk}/").status_code == 403


@pytest.mark.parametrize("rates", [{"gold_rate": 0.5}, {"repeat_rate": 0.5}])
def test_what_is_left_does_not_tell_whether_a_comparison_measures(rates: dict[str, Any]) -> None:
    project = make_project(overlap=2, **rates)
    for _ in range(40):
        make_comparison(project)
    for _ in range(20):
        make_comparison(project, gold=1)
    rater = assigning.rater_for(project, make_member(project, Role.ANNOTATOR))
    before, steps = None, {"work": set[int](), "gold": set[int](), "repeat": set[int]()}
    for n in range(38):
        now = NOW + n * MINUTE
        assignment, left = take(project, rater, now=now), judging.progress(rater, now=now).left
        if before is not None:
            steps[assignment.purpose].add(left - before)
        before = left
        assert rater.user is not None
        judging.submit(assignment, Answer(choice=1), by=rater.user, key=uuid4(), now=now)
    assert steps["gold"] | steps["repeat"] == {0}  # as after nearly every other comparison
    assert steps["work"] <= {0, -10, -9}


def test_nobody_is_given_new_work_of_an_archived_project() -> None:
    project = make_project(overlap=1)
    make_comparison(project)
    rater = assigning.rater_for(project, make_member(project, Role.ANNOTATOR))
    Project.objects.filter(pk=project.pk).update(archived_at=NOW)
    rater.project.refresh_from_db()
    with pytest.raises(Conflict, match="archived"):
        assigning.next_assignment(rater, now=NOW)
    assert not Assignment.objects.exists()


@pytest.mark.parametrize(
    ("role", "known"), [(Role.ANNOTATOR, None), (Role.ADJUDICATOR, None), (Role.CURATOR, "gpt~llama")]
)
def test_an_id_made_of_generators_is_told_to_those_only_who_may_read_it(role: str, known: str | None) -> None:
    project = make_project(overlap=1)
    make_comparison(project, "gpt~llama")
    headers = {"Authorization": f"Bearer {make_token(make_member(project, role), 'annotate')}"}
    client, base = Client(headers=headers), "/api/v1/"
    given, again = (
        client.post(f"{base}projects/{project.slug}/next/", {}, content_type="application/json").json()
        for _ in range(2)
    )
    key = {"Idempotency-Key": str(uuid4())}
    body = {"choice": 1}
    path = f"{base}assignments/{given['id']}/"
    stored = client.post(f"{path}submit/", body, content_type="application/json", headers=key).json()
    (before,) = client.get(f"{base}projects/{project.slug}/previous/").json()
    revised = client.post(f"{base}judgements/{stored['id']}/revise/", {"choice": 2}, content_type="application/json")
    told = [given, again, client.get(path).json(), stored, before["judgement"], revised.json()]
    assert [each["comparison"] for each in told] == [known] * 6


def test_a_highlight_that_no_page_can_write_is_refused_and_the_page_comes_back() -> None:
    project = make_project(overlap=1, evidence=True)
    make_comparison(project)
    user = make_member(project, Role.ANNOTATOR)
    assignment = take(project, assigning.rater_for(project, user), now=timezone.now())
    client = Client()
    client.force_login(user)
    spans = '[{"side": "left", "exact": "\\ud800", "start": 0, "end": 1}]'
    body = {"key": str(uuid4()), "choice": "1", "evidence": spans}
    response = client.post(f"/p/{project.slug}/compare/{assignment.pk}/", body)
    assert response.status_code == 422
    assert "highlight again" in response.text


def test_an_aspect_of_no_known_kind_beside_somebody_elses_save_is_shown_as_it_was_sent() -> None:
    project = make_project(aspects=[{"key": "tone", "label": "Tone", "kind": "preference"}])
    owner = make_member(project, Role.OWNER)
    sent = posted(projects.current_form(project)) | {"aspect_kind": ["nonsense"]}
    projects.change_form(project, by=owner, aspects=[{"key": "tone", "label": "Mood", "kind": "preference"}])
    client = Client()
    client.force_login(owner)
    response = client.post(f"/p/{project.slug}/form/", sent)
    assert response.status_code == 409
    assert "nonsense" in response.text

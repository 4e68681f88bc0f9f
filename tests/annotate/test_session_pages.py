"""What annotators are told of their own work, and what they are not told."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django.asserts import assertContains, assertNotContains

from annotate.models import Assignment, Form, Judgement, Rater, Session
from annotate.services import measuring
from tests import build
from tiebreak.accounts.models import Project

pytestmark = pytest.mark.django_db
NOW = timezone.now()
LONG_AGO = NOW - timedelta(days=2)


@pytest.fixture
def project() -> Project:
    return build.make_project("p", revise_minutes=60, overlap=9)


@pytest.fixture
def me(project: Project) -> Rater:
    user = build.make_member(project, name="me")
    return build.make_rater(project, "me", user=user)


@pytest.fixture
def page(me: Rater) -> Client:
    client = Client()
    assert me.user is not None
    client.force_login(me.user)
    return client


def said(
    me: Rater, preference: int, *, others: str = "", ago: timedelta = timedelta(days=2), **fields: Any
) -> Judgement:
    comparison = build.make_comparison(me.project, gold=fields.pop("gold", None))
    build.make_judgements(comparison, others)
    return build.make_judgement(comparison, me, preference, submitted_at=NOW - ago, **fields)


def again(first: Judgement, preference: int) -> Judgement:
    given = Assignment.objects.create(
        comparison=first.comparison, rater=first.rater, status="submitted", purpose="repeat", repeat=1, order="ba"
    )
    return build.Judgement.objects.create(
        comparison=first.comparison, rater=first.rater, assignment=given, repeat=1, preference=preference, order="ba",
        submitted_at=LONG_AGO + timedelta(hours=1),
    )  # fmt: skip


# The rows and the shares


def test_readings_stand_beside_what_is_known_and_what_others_said(me: Rater) -> None:
    said(me, -3, others="AAB", gold=-1)
    said(me, 1, others="AB", order="ba")  # split: nobody's side
    said(me, 0, others="TTA")
    said(me, 2)

    found = measuring.readings(me)

    assert [(r.side, r.gold, r.others, r.others_a, r.others_b, r.left) for r in found] == [
        (-1, -1, -1, 2, 1, True),
        (1, None, None, 1, 1, True),
        (0, None, -1, 1, 0, None),  # two ties and an A: more were for a than for b
        (1, None, None, 0, 0, False),
    ]
    assert (found[0].length_a, found[0].length_b) == (len("first answer"), len("second answer"))


def test_a_judge_is_not_among_the_others_and_neither_is_what_was_revised(me: Rater, project: Project) -> None:
    first = said(me, -1)
    build.make_call(build.make_judge(project), first.comparison, 1)
    build.make_judgements(first.comparison, "B")
    Judgement.objects.filter(rater__name="r1").update(current=False)
    assert measuring.readings(me)[0].others is None


def test_shares_by_hand(me: Rater) -> None:
    first = said(me, -1, others="A", gold=-1)
    said(me, -1, others="B", gold=1)
    said(me, 0, gold=0)
    again(first, 1)

    told = measuring.shares(measuring.readings(me))

    # Left: a was left twice and chosen twice; the repeat chose b, which stood left: 3 of 3. The tie is no side.
    assert (told.left.value, told.left.n) == (1.0, 3)
    assert (told.gold.value, told.gold.n) == (pytest.approx(2 / 3), 3)
    assert (told.others.value, told.others.n) == (0.5, 2)
    assert (told.same.value, told.same.n) == (0.0, 1)


def test_a_share_of_nothing_says_why(me: Rater) -> None:
    assert all(estimate.value is None and estimate.reason for estimate in measuring.shares([]))


def test_only_the_last_ones_are_read(me: Rater) -> None:
    for hours in range(5):
        said(me, 1, ago=timedelta(hours=hours))
    assert [r.at for r in measuring.readings(me, most=2)] == [NOW - timedelta(hours=1), NOW]


# What is told to whom


def told_figures(page: Client) -> str:
    return page.get(reverse("mine", args=["p"])).content.decode()


def test_thin_evidence_is_called_so(page: Client, me: Rater) -> None:
    Session.objects.create(rater=me, judged=9)
    for _ in range(9):
        said(me, -1, gold=-1)
    assert "Not enough evidence yet (n = 9)" in told_figures(page)
    said(me, -1, gold=-1)
    assert "100 %" in told_figures(page)


def test_what_can_still_be_changed_tells_nothing_of_its_rightness(page: Client, me: Rater) -> None:
    Session.objects.create(rater=me, judged=30)
    for _ in range(10):
        said(me, -1, gold=-1, others="A")
    before = page.get(reverse("mine", args=["p"])).context
    for _ in range(5):
        said(me, 1, gold=-1, others="A", ago=timedelta(minutes=30))
    after = page.get(reverse("mine", args=["p"])).context
    assert [figure["value"] for figure in before["figures"]] == ["100 %", "100 %", None]
    assert after["figures"] == before["figures"]
    assert (before["left"]["value"], after["left"]["value"]) == ("100 %", "67 %")  # their own choices they know


def test_a_project_may_keep_the_figures_to_its_curators(page: Client, project: Project, me: Rater) -> None:
    Session.objects.create(rater=me, judged=30)
    project.forms.update(show_quality=False)
    for _ in range(12):
        said(me, -1, gold=-1)
    told = told_figures(page)
    assert "known answer" not in told
    assert "Left response" in told


def test_a_habit_is_told_with_what_helps(page: Client, me: Rater) -> None:
    Session.objects.create(rater=me, judged=40)
    for _ in range(40):
        said(me, -1)
    assert "Read B first" in told_figures(page)


def test_a_session_tells_what_was_done_in_it(page: Client, me: Rater) -> None:
    row = Session.objects.create(
        rater=me, started_at=LONG_AGO - timedelta(hours=1), last_at=LONG_AGO, ended_at=LONG_AGO, judged=3, skipped=1,
        seconds=95.0,
    )  # fmt: skip
    said(me, -1, ago=timedelta(days=2, minutes=10))
    said(me, 1, ago=timedelta(days=2, minutes=9), order="ba")
    said(me, 0, ago=timedelta(days=2, minutes=8))
    said(me, 1, ago=timedelta(hours=1))  # another session's
    response = page.get(reverse("session", args=["p", row.pk]))
    told = response.content.decode()
    assert response.context["sides"] == (2, 1, 0, 0)
    assert "1 min 35 s" in told
    assert "32 s" in told  # for each


def test_a_session_whose_share_is_done_can_be_ended_and_then_another_begun(page: Client, me: Rater) -> None:
    Form.objects.update(session_quota=2)
    now = timezone.now()
    row = Session.objects.create(rater=me, started_at=now, last_at=now, judged=2)
    address, pause = reverse("session", args=["p", row.pk]), reverse("pause", args=["p"])
    full = page.get(address)
    assertContains(full, f'action="{pause}"')
    assertNotContains(full, "Go on comparing")
    assert page.post(pause)["Location"] == address
    ended = page.get(address)
    assertContains(ended, "Go on comparing")
    assertNotContains(ended, f'action="{pause}"')


def test_a_day_whose_share_is_done_offers_no_more(page: Client, me: Rater) -> None:
    Form.objects.update(session_quota=2, daily_quota=2)
    now = timezone.now()
    row = Session.objects.create(rater=me, started_at=now, last_at=now, judged=2)
    told = page.get(reverse("session", args=["p", row.pk]))
    assertNotContains(told, "Go on comparing")
    assertNotContains(told, f'action="{reverse("pause", args=["p"])}"')


def test_nothing_yet_says_what_to_do(page: Client) -> None:
    assert "Nothing yet" in told_figures(page)


def test_nobody_sees_the_work_of_another(page: Client, project: Project) -> None:
    other = build.make_rater(project, "other", user=build.make_member(project))
    row = Session.objects.create(rater=other, judged=7)
    assert page.get(reverse("session", args=["p", row.pk])).status_code == 404
    curator = Client()
    curator.force_login(build.make_member(project, "curator"))
    assert curator.get(reverse("session", args=["p", row.pk])).status_code == 404

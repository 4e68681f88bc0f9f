"""The pages of the way in: what a newcomer meets, with and without scripts, and that nobody is stuck on them."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from annotate import policies
from annotate.models import Judgement, Rater, Trial
from annotate.services import assigning, qualifying, raters
from tests import build
from tiebreak.accounts.models import Project

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}


@pytest.fixture
def project() -> Project:
    project = build.make_project(
        "p", practice_size=2, qualification_size=2, guidelines="Right before pretty.", levels=2, reasons=["tone"]
    )
    for number in range(4):
        build.make_comparison(
            project,
            gold=-2,
            gold_because=f"Reason {number}: **it is right**." if number < 2 else "",
            prompt=f"Q{number}",
        )
    build.make_comparison(project, "work", prompt="the real one")
    return project


@pytest.fixture
def newcomer(project: Project) -> Rater:
    return assigning.rater_for(project, build.make_member(project, name="newcomer"))


@pytest.fixture
def page(newcomer: Rater) -> Client:
    client = Client()
    assert newcomer.user is not None
    client.force_login(newcomer.user)
    return client


def url(name: str, *args: Any) -> str:
    return reverse(name, args=["p", *args])


def said(trial: Trial, *, right: bool = True) -> dict[str, Any]:
    gold = trial.comparison.gold or 0
    return {"choice": policies.to_screen(gold if right else -gold, trial.order), "key": str(uuid4()), "active_ms": 900}


def test_the_queue_leads_a_newcomer_to_the_practice(page: Client) -> None:
    response = page.get(url("compare"))
    assert response["Location"] == url("practice")
    told = page.get(url("practice")).content.decode()
    assert "2 comparisons" in told
    assert "Begin the practice" in told


def test_a_practice_without_scripts_from_its_beginning_to_real_work(page: Client, newcomer: Rater) -> None:
    first = page.post(url("practice"))
    for number in (1, 2):
        trial = Trial.objects.get(kind="practice", position=number)
        assert first["Location"] == url("trial", trial.pk)
        shown = page.get(first["Location"]).content.decode()
        assert f"Practice: {number} of 2" in shown
        assert "it is right" not in shown
        answered = page.post(url("trial", trial.pk), said(trial, right=number == 2))
        assert answered["Location"] == url("trial", trial.pk)
        feedback = page.get(answered["Location"]).content.decode()
        assert ("As expected" in feedback) is (number == 2)
        assert "<strong>it is right</strong>" in feedback
        first = {"Location": url("trial", trial.pk + 1)}  # type: ignore[assignment]
        assert (f'href="{first["Location"]}"' in feedback) is (number == 1)
    end = page.get(url("practice")).content.decode()
    assert "1 of 2" in end
    assert "To the qualification" in end
    newcomer.refresh_from_db()
    assert newcomer.practised_at is not None
    assert not Judgement.objects.exists()


def test_with_scripts_the_feedback_comes_in_place(page: Client, newcomer: Rater) -> None:
    trial = qualifying.before(newcomer, "practice", now=timezone.now())
    assert trial is not None

    response = page.post(url("trial", trial.pk), said(trial), headers=HTMX)

    assert response.content.decode().lstrip().startswith('<section id="comparison"')
    assert "As expected" in response.content.decode()


def test_an_answer_that_the_form_refuses_stands_as_it_was_typed(page: Client, newcomer: Rater) -> None:
    trial = qualifying.before(newcomer, "practice", now=timezone.now())
    assert trial is not None
    response = page.post(url("trial", trial.pk), {"key": str(uuid4()), "reasons": ["tone"], "justification": "because"})
    assert response.status_code == 422
    told = response.content.decode()
    assert "Choose which response is better" in told
    assert "because" in told
    assert Trial.objects.get(pk=trial.pk).answered_at is None


def test_an_answer_sent_twice_shows_the_first(page: Client, newcomer: Rater) -> None:
    trial = qualifying.before(newcomer, "practice", now=timezone.now())
    assert trial is not None
    page.post(url("trial", trial.pk), said(trial))

    again = page.post(url("trial", trial.pk), said(trial, right=False), headers=HTMX)

    assert again.status_code == 200
    assert "As expected" in again.content.decode()


def test_a_trial_further_on_leads_to_the_one_that_is_open(page: Client, newcomer: Rater) -> None:
    first = qualifying.before(newcomer, "practice", now=timezone.now())
    assert first is not None
    second = Trial.objects.get(kind="practice", position=2)
    assert page.get(url("trial", second.pk))["Location"] == url("trial", first.pk)


def pass_practice(newcomer: Rater) -> None:
    Rater.objects.filter(pk=newcomer.pk).update(practised_at=timezone.now())
    newcomer.refresh_from_db()


def test_a_qualification_goes_on_without_feedback_and_opens_the_queue(page: Client, newcomer: Rater) -> None:
    pass_practice(newcomer)
    assert page.get(url("compare"))["Location"] == url("qualification")
    assert "70 %" in page.get(url("qualification")).content.decode()
    page.post(url("qualification"))
    first, second = Trial.objects.filter(kind="qualification").order_by("position")

    response = page.post(url("trial", first.pk), said(first), headers=HTMX)
    told = response.content.decode()
    assert response["HX-Push-Url"] == url("trial", second.pk)
    assert "Qualification: 2 of 2" in told
    assert "As expected" not in told
    assert page.get(url("trial", first.pk))["Location"] == url("qualification")

    end = page.post(url("trial", second.pk), said(second), headers=HTMX)
    assert end["HX-Redirect"] == url("qualification")
    assert "You are qualified" in page.get(url("qualification")).content.decode()
    assert page.get(url("compare")).status_code == 200


def test_who_does_not_pass_is_told_kindly_and_when_to_try_again(page: Client, newcomer: Rater) -> None:
    pass_practice(newcomer)
    qualifying.before(newcomer, "qualification", now=timezone.now())
    for trial in Trial.objects.filter(kind="qualification"):
        page.post(url("trial", trial.pk), said(trial, right=False))

    told = page.get(url("qualification")).content.decode()

    assert "Not yet" in told
    assert "0 of 2" in told
    assert "try again from" in told
    assert page.post(url("qualification"))["Location"] == url("qualification")
    assert page.get(url("compare"))["Location"] == url("qualification")


def test_without_gold_the_way_in_is_open(page: Client, project: Project, newcomer: Rater) -> None:
    project.comparisons.update(gold=None)
    assert page.post(url("practice"))["Location"] == url("practice")
    told = page.get(url("practice")).content.decode()
    assert "nothing to practise" in told
    assert page.post(url("qualification"))["Location"] == url("qualification")
    assert "You may compare without one" in page.get(url("qualification")).content.decode()
    assert page.get(url("compare")).status_code == 200


def test_a_qualification_waits_for_the_practice(page: Client) -> None:
    assert page.get(url("qualification"))["Location"] == url("practice")


def test_who_is_paused_is_told_so_instead(page: Client, newcomer: Rater) -> None:
    raters.pause(newcomer, by=None, because="We should talk first.")
    assert page.get(url("practice"))["Location"] == url("compare")
    assert "We should talk first." in page.get(url("compare")).content.decode()


def test_a_trial_of_somebody_else_does_not_exist(page: Client, project: Project) -> None:
    other = assigning.rater_for(project, build.make_member(project))
    trial = qualifying.before(other, "practice", now=timezone.now())
    assert trial is not None
    assert page.get(url("trial", trial.pk)).status_code == 404
    assert page.post(url("trial", trial.pk), said(trial)).status_code == 404
    assert Trial.objects.get(pk=trial.pk).answered_at is None

"""The way in over REST: a bot is under the same rules, and is told no more than a person."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from annotate.models import Rater, Trial
from annotate.services import assigning
from tests import build
from tiebreak.accounts.models import Project

pytestmark = pytest.mark.django_db


@pytest.fixture
def project() -> Project:
    project = build.make_project("p", practice_size=1, qualification_size=2, overlap=1)
    for number in range(3):
        build.make_comparison(project, gold=-2, gold_because="It is right." if number == 0 else "")
    build.make_comparison(project, "work")
    return project


@pytest.fixture
def bot(project: Project) -> Rater:
    return assigning.rater_for(project, build.make_member(project, name="bot"))


@pytest.fixture
def post(bot: Rater) -> Any:
    assert bot.user is not None
    headers = {"Authorization": f"Bearer {build.make_token(bot.user, 'annotate')}"}
    client = Client()

    def send(url: str, body: Any = None) -> Any:
        return client.post(f"/api/v1/{url}", body or {}, content_type="application/json", headers=headers)

    return send


def code(response: Any) -> str:
    return str(response.json()["type"]).removeprefix("urn:tiebreak:")


def choice(trial: dict[str, Any], *, right: bool = True) -> dict[str, int]:
    row = Trial.objects.get(pk=trial["id"])
    side = -1 if (row.order == "ab") is right else 1
    return {"choice": side}


def test_a_bot_goes_the_whole_way_in(post: Any, bot: Rater) -> None:
    assert code(post("projects/p/next/")) == "practice_due"
    trial = post("projects/p/trials/next/").json()
    assert (trial["kind"], trial["position"], trial["size"]) == ("practice", 1, 1)
    assert "gold" not in str(trial)
    assert "It is right" not in str(trial)
    told = post(f"trials/{trial['id']}/answer/", choice(trial)).json()
    assert (told["right"], told["because"], told["ended"], told["due"]) == (True, "It is right.", True, "qualification")
    assert (told["expected"] < 0) == (choice(trial)["choice"] < 0)

    assert code(post("projects/p/next/")) == "qualification_due"
    for ended in (False, True):
        trial = post("projects/p/trials/next/").json()
        assert trial["kind"] == "qualification"
        told = post(f"trials/{trial['id']}/answer/", choice(trial)).json()
        assert told == {
            "right": None,
            "expected": None,
            "because": "",
            "ended": ended,
            "due": None if ended else "qualification",
        }
    assert post("projects/p/trials/next/").status_code == 204
    assert post("projects/p/next/").status_code == 200


def test_an_answer_counts_once(post: Any) -> None:
    trial = post("projects/p/trials/next/").json()
    post(f"trials/{trial['id']}/answer/", choice(trial, right=False))
    again = post(f"trials/{trial['id']}/answer/", choice(trial))
    assert (again.status_code, code(again)) == (409, "answered")
    assert Trial.objects.get(pk=trial["id"]).right is False


def test_an_answer_that_the_form_refuses_names_its_field(post: Any) -> None:
    trial = post("projects/p/trials/next/").json()
    refused = post(f"trials/{trial['id']}/answer/", {"choice": 9})
    assert (refused.status_code, refused.json()["field"]) == (422, "choice")


def test_without_gold_nothing_is_due(post: Any, project: Project) -> None:
    project.comparisons.update(gold=None)
    assert post("projects/p/trials/next/").status_code == 204
    assert post("projects/p/next/").status_code == 200


def test_a_failed_qualification_says_when_to_come_back(post: Any, bot: Rater) -> None:
    Rater.objects.filter(pk=bot.pk).update(practised_at="2026-01-01T00:00Z")
    for _ in range(2):
        trial = post("projects/p/trials/next/").json()
        post(f"trials/{trial['id']}/answer/", choice(trial, right=False))
    refused = post("projects/p/trials/next/")
    assert (refused.status_code, code(refused)) == (409, "retry_later")
    assert "retry_at" in refused.json()


def test_a_trial_of_somebody_else_does_not_exist(post: Any, project: Project) -> None:
    other = assigning.rater_for(project, build.make_member(project))
    row = Trial.objects.create(
        rater=other,
        kind="practice",
        position=1,
        comparison=project.comparisons.first(),
        form=project.forms.get(),
        order="ab",
    )
    assert post(f"trials/{row.pk}/answer/", {"choice": 1}).status_code == 404

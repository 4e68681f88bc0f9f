"""Doubtful labels over REST: read, try, treat, undo."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from curation.models import NoiseDecision, NoiseTreatment
from tests import build
from tiebreak.accounts.models import Project
from tiebreak.accounts.roles import Role
from tiebreak.runs import ledger

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("storage")]
ENTROPY = "consensus-entropy"


@pytest.fixture
def project() -> Project:
    project = build.make_project("court", overlap=2)
    build.make_member(project, Role.CURATOR, name="the-curator")
    aggregation = build.make_aggregation(project)
    for number in range(10):
        comparison = build.make_comparison(project, f"c{number}")
        build.make_judgements(comparison, "AB")
        build.make_consensus(aggregation, comparison, (0.7, 0.1, 0.2))
        build.make_noise(comparison, method=ENTROPY, score=number / 10, cause=f"split over {number}")
    return project


def send(project: Project, verb: str, path: str = "", **sent: Any) -> Any:
    token = build.make_token(project.members.get().user, "curate")
    url = f"/api/v1/projects/court/noise/{path}"
    headers = {"Authorization": f"Bearer {token}"}
    if verb == "get":
        return Client(headers=headers).get(url, sent)
    return Client(headers=headers).post(url, sent, content_type="application/json")


def policy(**rule: Any) -> dict[str, Any]:
    return {"rules": [{"methods": [ENTROPY], "action": "drop", "at_least": 0.8} | rule]}


def test_scores_are_paged_by_cursor_and_filtered_by_method(project: Project) -> None:
    build.make_noise(project.comparisons.get(external_id="c1"), method="rules")
    page = send(project, "get", method=ENTROPY, page_size=6).json()

    assert len(page["results"]) == 6
    assert page["results"][0] | {"id": 0, "created_at": ""} == {
        "id": 0, "comparison": "c9", "method": ENTROPY, "score": 0.9, "decision": "ask_people", "cause": "split over 9",
        "details": {}, "run": None, "created_at": "",
    }  # fmt: skip
    assert page["next"]


def test_a_policy_is_tried_without_being_applied(project: Project) -> None:
    told = send(project, "post", "preview/", policy=policy(action="ask_people")).json()

    assert (told["labels"], told["counts"]["ask_people"], told["judgements"]) == (10, 2, 2)
    assert told["examples"]["ask_people"] == ["c9", "c8"]
    assert told["hours"] == pytest.approx(2 / 60)  # a minute each is assumed
    assert not NoiseTreatment.objects.exists()


def test_a_treatment_is_made_listed_and_undone(project: Project) -> None:
    response = send(project, "post", "treatments/", policy=policy(), note="spring")
    assert response.status_code == 202
    made = response.json()
    assert response["Location"] == f"/api/v1/runs/{made['run']}/"
    ledger.execute(made["run"])
    (listed,) = send(project, "get", "treatments/").json()["results"]
    assert (listed["counts"], listed["note"], listed["created_by"]) == ({"drop": 2}, "spring", "the-curator")
    undone = send(project, "post", f"treatments/{made['id']}/undo/").json()
    assert undone["undone_by"] == "the-curator"
    assert not NoiseDecision.objects.filter(current=True).exists()
    assert send(project, "post", f"treatments/{made['id']}/undo/").status_code == 409


def test_one_label_is_decided_by_hand(project: Project) -> None:
    assert send(project, "post", "decisions/", comparison="c9", action="keep", because="Read.").status_code == 201
    assert NoiseDecision.objects.get(current=True).cause == "Read."
    assert send(project, "post", "decisions/", comparison="c99", action="keep").status_code == 404
    assert send(project, "post", "decisions/", comparison="c9", action="burn").status_code == 422


@pytest.mark.parametrize(
    ("sent", "status", "words"),
    [
        ({"policy": policy(methods=["magic"])}, 422, "rules.0.methods"),
        ({"policy": policy(colour=1)}, 422, "rules.0.colour"),
        ({"policy": {}}, 422, "rules"),
        ({"policy": policy(at_least=0.1)}, 202, ""),  # it would drop nine of ten; limits leave it two
        ({"policy": policy(at_least=0) | {"limits": {"max_dropped": 1}}}, 409, "Confirm"),
        ({"policy": policy(methods=["rules"])}, 422, "score the noise first"),
    ],
)
def test_what_is_wrong_is_answered_with_where(project: Project, sent: dict[str, Any], status: int, words: str) -> None:
    response = send(project, "post", "treatments/", **sent)
    assert (response.status_code, words in response.content.decode()) == (status, True), response.content

"""Taking data back from a page and over REST: the plan first, managers only, and what is told afterwards."""

from __future__ import annotations

import pytest
from django.test import Client, TestCase

from annotate.models import Comparison, Rater
from annotate.services import reviewing
from curation.models import DatasetVersion, Withdrawal
from curation.services import building, withdrawing
from tests.build import make_comparison, make_judgements, make_member, make_model, make_project, make_token
from tiebreak.accounts.models import Project, User
from tiebreak.accounts.roles import Role
from tiebreak.runs import ledger

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("storage")]


@pytest.fixture
def project() -> Project:
    project = make_project("court", overlap=3)
    for number in range(4):
        make_judgements(
            make_comparison(project, f"c{number}", prompt=f"question {number}"), "AA" if number % 2 else "BB"
        )
    make_judgements(make_comparison(project, "alone", prompt="who?"), "A")
    return project


@pytest.fixture
def owner(project: Project) -> User:
    return make_member(project, Role.OWNER, name="owner")


@pytest.fixture
def client(owner: User) -> Client:
    client = Client()
    client.force_login(owner)
    return client


@pytest.fixture
def version(project: Project) -> DatasetVersion:
    recipe = {"method": "majority", "split": {"train": 1.0, "validation": 0.0, "test": 0.0}}
    version = building.start("prefs", project, recipe, by=None, wake=False)
    ledger.execute(version.run_id or 0)
    version.refresh_from_db()
    return version


def finish(withdrawal: Withdrawal) -> None:
    with TestCase.captureOnCommitCallbacks(execute=True):
        run = ledger.execute(withdrawal.run_id or 0)
    assert run is not None
    assert run.status == "succeeded"


def test_the_page_counts_what_an_adjudicator_decided(client: Client, project: Project) -> None:
    eve = make_member(project, Role.ADJUDICATOR, name="eve")
    reviewing.adjudicate(Comparison.objects.get(external_id="alone"), 1, False, "seen", by=eve)
    page = client.get(f"/p/court/raters/{Rater.objects.get(user=eve).pk}/withdraw/").content.decode()
    assert "<dt>Decisions</dt><dd>1</dd>" in page
    assert (
        "Decisions" not in client.get(f"/p/court/raters/{Rater.objects.get(name='r1').pk}/withdraw/").content.decode()
    )


def test_the_page_says_what_would_go_before_it_is_done(client: Client, version: DatasetVersion) -> None:
    model, one = make_model(version), Rater.objects.get(name="r1")
    assert "Withdraw all that they said" in client.get(f"/p/court/raters/{one.pk}/").content.decode()
    told = client.get(f"/p/court/raters/{one.pk}/withdraw/").content.decode()
    assert "5 judgements count no more, of 5 comparisons." in told
    assert model.name in told
    assert not Withdrawal.objects.exists()


def test_a_manager_withdraws_from_the_page_and_finds_what_it_did(client: Client, version: DatasetVersion) -> None:
    make_model(version, name="old-model")
    one = Rater.objects.get(name="r1")
    answer = client.post(f"/p/court/raters/{one.pk}/withdraw/", {"reason": "She asks for it.", "sure": "1"})
    withdrawal = Withdrawal.objects.get()
    assert answer["Location"] == f"/p/court/runs/{withdrawal.run_id}/"
    finish(withdrawal)
    one.refresh_from_db()
    listed = client.get("/p/court/withdrawals/").content.decode()
    assert all(words in listed for words in ("She asks for it.", one.name, "prefs@1", "old-model"))
    assert "Rows that went: 1." in client.get("/p/court/datasets/prefs/1/").content.decode()
    assert "revised since" not in client.get(f"/p/court/raters/{one.pk}/").content.decode()


def test_without_a_reason_nothing_begins_and_the_page_says_why(client: Client, version: DatasetVersion) -> None:
    comparison = Comparison.objects.get(external_id="alone")
    answer = client.post(f"/p/court/comparisons/{comparison.pk}/withdraw/", {"reason": " "})
    assert "expected 1 to 1000 characters" in answer.content.decode()
    assert not Withdrawal.objects.exists()


def test_an_old_link_to_a_withdrawn_row_is_told_as_gone(client: Client, version: DatasetVersion) -> None:
    comparison = Comparison.objects.get(external_id="alone")
    finish(withdrawing.start(comparison, "asked", by=None, wake=False))
    answer = client.get("/p/court/datasets/prefs/1/rows/alone/")
    assert answer.status_code == 410
    assert "was taken back" in answer.content.decode()
    assert client.get("/p/court/datasets/prefs/1/rows/c1/").status_code == 200
    page = client.get(f"/p/court/comparisons/{comparison.pk}/").content.decode()
    assert "Withdraw it with its texts" not in page  # it is gone already
    again = client.get(f"/p/court/comparisons/{comparison.pk}/withdraw/")
    assert (again.status_code, "This was withdrawn already." in again.content.decode()) == (409, True)


def test_rest_tells_the_plan_and_begins_the_run(project: Project, owner: User, version: DatasetVersion) -> None:
    api = Client(headers={"Authorization": f"Bearer {make_token(owner, 'curate')}"})
    plan = api.get("/api/v1/projects/court/withdrawals/preview/?rater=r1").json()
    assert (plan["judgements"], plan["versions"]) == (5, {"prefs@1": {"rows_that_lose_votes": 4, "rows_that_go": 1}})
    answer = api.post(
        "/api/v1/projects/court/withdrawals/", {"comparison": "c1", "reason": "so"}, content_type="application/json"
    )
    withdrawal = Withdrawal.objects.get()
    assert (answer.status_code, answer["Location"]) == (202, f"/api/v1/runs/{withdrawal.run_id}/")
    finish(withdrawal)
    listed = api.get("/api/v1/projects/court/withdrawals/").json()["results"]
    assert [(row["kind"], row["comparison"], row["rater"], row["status"], row["by"]) for row in listed] == [
        ("comparison", "c1", None, "succeeded", "owner")
    ]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"reason": "so"}, 422),
        ({"rater": "r1", "comparison": "c1", "reason": "so"}, 422),
        ({"rater": "nobody", "reason": "so"}, 404),
        ({"rater": "r1"}, 422),
        ({"rater": "r1", "reason": "so", "apply": True}, 422),
    ],
)
def test_what_cannot_be_taken_is_refused(project: Project, owner: User, body: dict[str, object], status: int) -> None:
    api = Client(headers={"Authorization": f"Bearer {make_token(owner, 'curate')}"})
    answer = api.post("/api/v1/projects/court/withdrawals/", body, content_type="application/json")
    assert answer.status_code == status
    assert not Withdrawal.objects.exists()


def test_the_page_of_a_withdrawn_comparison_offers_no_decision_and_no_rater(
    client: Client, owner: User, project: Project, version: DatasetVersion
) -> None:
    comparison = Comparison.objects.get(external_id="c1")
    address, decide = f"/p/court/comparisons/{comparison.pk}/", f'href="/p/court/adjudicate/{comparison.pk}/"'
    before = client.get(address).content.decode()
    assert "people judge it" in before
    assert decide in before
    finish(withdrawing.start(comparison, "its author asks", by=owner, wake=False))
    after = client.get(address).content.decode()
    assert "people judge it" not in after
    assert decide not in after
    assert ">withdrawn<" in after


def test_a_difference_counts_one_judge_as_one(client: Client, project: Project, version: DatasetVersion) -> None:
    make_comparison(project, "later", prompt="when?")
    make_judgements(Comparison.objects.get(external_id="later"), "A")
    again = building.start("prefs", project, {"method": "majority"}, by=None, wake=False)
    ledger.execute(again.run_id or 0)
    page = client.get("/p/court/datasets/prefs/2/since/1/").content.decode()
    assert "1 person, 0 judges" in page

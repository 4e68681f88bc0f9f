"""Tags move, notes stay, and whoever names a version may name it by a tag."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from curation.models import DatasetVersion, VersionNote, VersionTag
from curation.services import tagging, versions
from tests import build
from tiebreak.accounts.models import Project, User
from tiebreak.accounts.roles import Role
from tiebreak.core.errors import Conflict, Invalid, NotFound
from tiebreak.core.models import Event

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("storage")]


@pytest.fixture
def project() -> Project:
    return build.make_project("chat")


@pytest.fixture
def curator(project: Project) -> User:
    return build.make_member(project, Role.CURATOR, name="cleo")


@pytest.fixture
def two(project: Project) -> tuple[DatasetVersion, DatasetVersion]:
    comparison = build.make_comparison(project)
    first, second = (build.make_version(project, [comparison], name="prefs") for _ in range(2))
    return first, second


def told(verb: str) -> list[dict[str, Any]]:
    return [event.data for event in Event.objects.filter(verb=verb).order_by("id")]


def test_a_tag_stands_on_one_version_at_a_time_and_every_move_is_audited(
    two: tuple[DatasetVersion, DatasetVersion], curator: User
) -> None:
    tagging.tag(two[0], "prod", by=curator)
    tagging.tag(two[1], "prod", by=curator)
    assert [(t.name, t.version_id) for t in VersionTag.objects.all()] == [("prod", two[1].pk)]
    assert told("dataset.tagged") == [
        {"tag": "prod", "number": 1, "left": None},
        {"tag": "prod", "number": 2, "left": 1},
    ]


def test_setting_a_tag_where_it_stands_changes_and_tells_nothing(
    two: tuple[DatasetVersion, DatasetVersion], curator: User
) -> None:
    first = tagging.tag(two[0], "prod", by=curator)
    again = tagging.tag(two[0], "prod", by=None)
    assert (again.pk, again.by) == (first.pk, curator)
    assert len(told("dataset.tagged")) == 1


@pytest.mark.parametrize("name", ["latest", "", "Prod", "3", "-a", "a b", "a" * 41, "prod\n"])
def test_a_tag_that_could_be_taken_for_something_else_is_refused(
    two: tuple[DatasetVersion, DatasetVersion], name: str
) -> None:
    with pytest.raises(Invalid) as refused:
        tagging.tag(two[0], name, by=None)
    assert refused.value.params["field"] == "name"
    assert not VersionTag.objects.exists()


def test_a_version_that_is_not_ready_has_no_tag(two: tuple[DatasetVersion, DatasetVersion]) -> None:
    building = DatasetVersion.objects.create(dataset=two[0].dataset, number=3, recipe={}, recipe_sha256="1" * 64)
    with pytest.raises(Conflict):
        tagging.tag(building, "prod", by=None)


def test_a_tag_is_taken_away_once(two: tuple[DatasetVersion, DatasetVersion], curator: User) -> None:
    tagging.tag(two[0], "prod", by=curator)
    tagging.untag(two[0].dataset, "prod", by=curator)
    assert told("dataset.untagged") == [{"tag": "prod", "number": 1}]
    with pytest.raises(NotFound):
        tagging.untag(two[0].dataset, "prod", by=curator)


@pytest.mark.parametrize(("text", "number"), [("prefs@1", 1), ("prefs@prod", 1), ("prefs@latest", 2), ("prefs", 2)])
def test_a_version_is_named_by_number_tag_or_latest(
    two: tuple[DatasetVersion, DatasetVersion], project: Project, text: str, number: int
) -> None:
    tagging.tag(two[0], "prod", by=None)
    assert versions.named(text, project).number == number
    assert versions.named(text).number == number


def test_the_same_tag_of_another_dataset_is_another_one(
    two: tuple[DatasetVersion, DatasetVersion], project: Project
) -> None:
    other = build.make_version(project, [], name="other")
    tagging.tag(two[1], "prod", by=None)
    tagging.tag(other, "prod", by=None)
    assert versions.named("prefs@prod") == two[1]
    assert versions.named("other@prod") == other


@pytest.mark.parametrize("text", ["prefs@9", "prefs@stage", "nothing@1", "nothing"])
def test_what_names_no_version_is_not_found(two: tuple[DatasetVersion, DatasetVersion], text: str) -> None:
    with pytest.raises(NotFound):
        versions.named(text)


@pytest.mark.parametrize("text", ["prefs@", "prefs@-1", "prefs@Prod", "prefs@1@2", "prefs@1234567890"])
def test_what_cannot_name_a_version_is_refused(two: tuple[DatasetVersion, DatasetVersion], text: str) -> None:
    with pytest.raises(Invalid):
        versions.named(text)


def test_another_projects_version_is_not_found_by_its_tag(two: tuple[DatasetVersion, DatasetVersion]) -> None:
    tagging.tag(two[0], "prod", by=None)
    with pytest.raises(NotFound):
        versions.named("prefs@prod", build.make_project())


@pytest.mark.django_db(transaction=True)
def test_of_two_who_move_a_tag_at_once_both_moves_are_told_in_their_order(project: Project) -> None:
    comparison = build.make_comparison(project)
    two = [build.make_version(project, [comparison], name="prefs") for _ in range(2)]
    together = threading.Barrier(2)

    def move(version: DatasetVersion) -> None:
        together.wait()
        tagging.tag(version, "prod", by=None)
        connection.close()

    threads = [threading.Thread(target=move, args=[version]) for version in two]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    first, second = told("dataset.tagged")
    assert first["left"] is None
    assert second["left"] == first["number"]  # nobody's move was overlooked
    assert VersionTag.objects.get().version.number == second["number"]


def test_a_note_keeps_who_wrote_it(two: tuple[DatasetVersion, DatasetVersion], curator: User) -> None:
    made = tagging.note(two[0], "  The one that went to the lab.\n", by=curator)
    assert (made.text, made.by) == ("The one that went to the lab.", curator)
    assert told("dataset.noted") == [{"note": made.pk}]


@pytest.mark.parametrize("text", ["", "  \n", "a\x00b", "\ud800", "x" * 10_001])
def test_a_note_that_says_nothing_or_cannot_be_stored_is_refused(
    two: tuple[DatasetVersion, DatasetVersion], text: str
) -> None:
    with pytest.raises(Invalid):
        tagging.note(two[0], text, by=None)


def test_the_page_sets_moves_and_removes_tags_and_takes_notes(
    two: tuple[DatasetVersion, DatasetVersion], curator: User
) -> None:
    browser = Client()
    browser.force_login(curator)
    for number in (1, 2):
        page = browser.post(f"/p/chat/datasets/prefs/{number}/tag/", {"tag": "prod"}, follow=True).content.decode()
        assert f"prefs@prod is prefs@{number} now." in page
    page = browser.post("/p/chat/datasets/prefs/2/note/", {"text": "<b>ours</b>"}, follow=True).content.decode()
    assert "&lt;b&gt;ours&lt;/b&gt;" in page
    assert "cleo" in page
    assert (
        "lower-case letters"
        in browser.post("/p/chat/datasets/prefs/1/tag/", {"tag": "A"}, follow=True).content.decode()
    )
    browser.post("/p/chat/datasets/prefs/2/untag/", {"tag": "prod"})
    assert not VersionTag.objects.exists()


def test_rest_sets_reads_and_removes_tags(two: tuple[DatasetVersion, DatasetVersion], curator: User) -> None:
    client = Client(headers={"Authorization": f"Bearer {build.make_token(curator, 'curate')}"})
    put = client.put("/api/v1/datasets/prefs/tags/prod/", {"version": "latest"}, content_type="application/json")
    assert (put.status_code, put.json()["number"], put.json()["by"]) == (200, 2, "cleo")
    assert [tag["name"] for tag in client.get("/api/v1/datasets/prefs/tags/").json()] == ["prod"]
    wrong = client.put("/api/v1/datasets/prefs/tags/Prod/", {"version": "1"}, content_type="application/json")
    assert (wrong.status_code, wrong.json()["field"]) == (422, "name")
    assert client.delete("/api/v1/datasets/prefs/tags/prod/").status_code == 204
    assert client.delete("/api/v1/datasets/prefs/tags/prod/").status_code == 404
    assert client.delete("/api/v1/datasets/prefs/tags/pr%00od/").status_code == 404


def test_rest_takes_notes_once_for_one_key(two: tuple[DatasetVersion, DatasetVersion], curator: User) -> None:
    headers = {"Authorization": f"Bearer {build.make_token(curator, 'curate')}", "Idempotency-Key": "one"}
    client = Client(headers=headers)
    for _ in range(2):
        made = client.post(
            "/api/v1/datasets/prefs/versions/1/notes/", {"text": "ours"}, content_type="application/json"
        )
        assert made.status_code == 201
    assert VersionNote.objects.count() == 1
    assert client.get("/api/v1/datasets/prefs/versions/1/notes/").json()[0]["text"] == "ours"


def test_a_token_that_may_only_read_changes_nothing(two: tuple[DatasetVersion, DatasetVersion], curator: User) -> None:
    client = Client(headers={"Authorization": f"Bearer {build.make_token(curator, 'export')}"})
    put = client.put("/api/v1/datasets/prefs/tags/prod/", {"version": "1"}, content_type="application/json")
    assert put.status_code == 403
    assert not VersionTag.objects.exists()

"""What lies between two versions: each row of either is counted once, and who reads it learns why."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from annotate.models import Comparison
from curation.models import DatasetVersion
from curation.services import building
from curation.services.reading.differences import between
from tests.build import (
    make_comparison,
    make_judgement,
    make_judgements,
    make_member,
    make_project,
    make_rater,
    make_token,
)
from tiebreak.accounts.models import Project, User
from tiebreak.accounts.roles import Role
from tiebreak.runs import ledger

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("storage")]

ALL_TRAIN = {"method": "majority", "split": {"train": 1.0, "validation": 0.0, "test": 0.0}}


def build(project: Project, recipe: dict[str, Any] | None = None) -> DatasetVersion:
    started = building.start("prefs", project, recipe or ALL_TRAIN, by=None, wake=False)
    ledger.execute(started.run_id or 0)
    started.refresh_from_db()
    return started


def more_judgements(comparison: Comparison, letters: str) -> None:
    """By people who have not judged before."""
    for letter in letters:
        make_judgement(comparison, make_rater(comparison.project), {"A": -1, "B": 1}[letter])


@pytest.fixture
def project() -> Project:
    return make_project("chat", overlap=5)


@pytest.fixture
def curator(project: Project) -> User:
    return make_member(project, Role.CURATOR)


@pytest.fixture
def versions(project: Project) -> tuple[DatasetVersion, DatasetVersion]:
    """One row of every kind: kept, flipped by new judgements, changed by them, gone, dropped since, and come."""
    made = {name: make_comparison(project, name) for name in ("kept", "flipped", "changed", "gone", "tied")}
    for comparison in made.values():
        make_judgements(comparison, "AA")
    earlier = build(project)
    more_judgements(made["flipped"], "BBB")
    more_judgements(made["changed"], "A")
    more_judgements(made["tied"], "BB")
    Comparison.objects.filter(pk=made["gone"].pk).update(status="withdrawn")
    make_judgements(make_comparison(project, "come"), "BB")
    return earlier, build(project)


def test_every_row_of_either_version_is_counted_once(versions: tuple[DatasetVersion, DatasetVersion]) -> None:
    found = between(*versions)
    assert dict(found.counts) == {"added": 1, "removed": 2, "flipped": 1, "moved": 0, "changed": 1, "same": 1}
    assert found.kind == "added"  # the first that has any


def test_what_came_and_what_went_tell_why(versions: tuple[DatasetVersion, DatasetVersion]) -> None:
    (come,) = between(*versions, kind="added").rows
    assert (come.id, come.before, come.cause) == ("come", None, "it was imported after prefs@1")
    causes = {row.id: row.cause for row in between(*versions, kind="removed").rows}
    assert causes["gone"] == "it was withdrawn"
    assert causes["tied"].startswith("prefs@2 dropped it by ties: ")


def test_a_flipped_row_shows_both_states(versions: tuple[DatasetVersion, DatasetVersion]) -> None:
    (row,) = between(*versions, kind="flipped").rows
    assert row.before is not None
    assert row.after is not None
    assert (row.id, row.before.side, row.after.side) == ("flipped", "a", "b")
    assert (row.before.n_annotators, row.after.n_annotators) == (2, 5)


def test_the_same_version_twice_differs_in_nothing(versions: tuple[DatasetVersion, DatasetVersion]) -> None:
    found = between(versions[0], versions[0])
    assert (found.counts["same"], found.rows) == (5, [])


def test_another_seed_moves_rows_between_splits(project: Project) -> None:
    for i in range(12):
        make_judgements(make_comparison(project, f"c{i}"), "AA")
    half = {"train": 0.5, "validation": 0.0, "test": 0.5}
    earlier, later = (build(project, {"split": half | {"seed": seed}}) for seed in (1, 2))
    found = between(earlier, later, kind="moved")
    assert found.counts["moved"] == len(found.rows) > 0
    assert found.counts["moved"] + found.counts["same"] == 12
    assert all(row.before and row.after and row.before.split != row.after.split for row in found.rows)


def test_long_lists_are_read_by_the_page(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curation.services.reading.differences.SIZE", 4)
    make_judgements(make_comparison(project, "first"), "AA")
    earlier = build(project)
    for i in range(9):
        make_judgements(make_comparison(project, f"c{i}"), "AA")
    later, ids, after = build(project), [], 0
    while True:
        found = between(earlier, later, kind="added", after=after)
        ids += [row.id for row in found.rows]
        if found.next is None:
            break
        after = found.next
    assert sorted(ids) == [f"c{i}" for i in range(9)]


def test_the_page_and_rest_tell_the_same(
    versions: tuple[DatasetVersion, DatasetVersion], project: Project, curator: User
) -> None:
    browser = Client()
    browser.force_login(curator)
    for path in ("2/since/1/", "1/since/2/"):  # in whatever order they are named
        page = browser.get(f"/p/chat/datasets/prefs/{path}?kind=flipped").content.decode()
        assert "prefs@2 since @1" in page
        assert "flipped" in page
    told = Client(headers={"Authorization": f"Bearer {make_token(curator, 'curate')}"})
    body = told.get("/api/v1/datasets/prefs/versions/2/difference/?since=1&kind=flipped").json()
    assert body["counts"]["flipped"] == 1
    assert body["rows"][0]["after"]["side"] == "b"


@pytest.mark.parametrize(
    ("query", "field"), [("", "since"), ("since=x", "since"), ("since=1&kind=x", "kind"), ("since=1&after=-1", "after")]
)
def test_a_parameter_that_cannot_be_taken_is_named(
    versions: tuple[DatasetVersion, DatasetVersion], curator: User, query: str, field: str
) -> None:
    told = Client(headers={"Authorization": f"Bearer {make_token(curator, 'export')}"})
    answer = told.get(f"/api/v1/datasets/prefs/versions/2/difference/?{query}")
    assert (answer.status_code, answer.json()["field"]) == (422, field)


def test_a_version_that_is_not_ready_has_no_difference(
    versions: tuple[DatasetVersion, DatasetVersion], project: Project, curator: User
) -> None:
    building.start("prefs", project, ALL_TRAIN, by=None, wake=False)
    browser = Client()
    browser.force_login(curator)
    assert browser.get("/p/chat/datasets/prefs/3/since/1/").status_code == 404
    assert browser.get("/p/chat/datasets/prefs/2/since/9/").status_code == 404

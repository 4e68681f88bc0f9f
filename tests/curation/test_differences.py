"""What lies between two versions: each row of either is counted once, and who reads it learns why."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from annotate.models import Adjudication, Comparison, Judgement
from curation.models import DatasetVersion, NoiseDecision, NoiseTreatment
from curation.services import building
from curation.services.reading.differences import Between, Difference, Filters, everything
from curation.services.reading.differences import between as read
from tests.build import (
    make_call,
    make_comparison,
    make_judge,
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


def between(*versions: DatasetVersion, after: int = 0, **asked: str) -> Between:
    return read(*versions, filters=Filters(**asked), after=after)


def only(*versions: DatasetVersion, **asked: str) -> Difference:
    (row,) = between(*versions, **asked).rows
    return row


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
    assert dict(found.counts) == {
        "added": 1, "removed": 2, "flipped": 1, "undecided": 0, "moved": 0, "changed": 1, "same": 1
    }  # fmt: skip
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
    ("query", "field"),
    [("", "since"), ("since=-1", "since"), ("since=1&kind=x", "kind"), ("since=1&after=-1", "after")],
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


# Causes


def test_a_flip_and_a_change_tell_that_judgements_came(versions: tuple[DatasetVersion, DatasetVersion]) -> None:
    flipped, changed = only(*versions, kind="flipped"), only(*versions, kind="changed")
    assert (flipped.because, flipped.cause) == ("judgements", "3 judgements came")
    assert (changed.because, changed.cause) == ("judgements", "1 judgements came")


def test_a_revised_judgement_is_told_as_one_that_went(project: Project) -> None:
    comparison = make_comparison(project, "c1")
    for judgement in make_judgements(comparison, "AB"):  # both stay: one of each, and the revision decides
        last = judgement
    make_judgements(make_comparison(project, "other"), "A")
    more_judgements(comparison, "A")
    earlier = build(project)
    Judgement.objects.filter(pk=last.pk).update(current=False)
    Judgement.objects.create(comparison=comparison, rater=last.rater, preference=-1, revision=2, order="ab")
    row = only(earlier, build(project), kind="changed")
    assert (row.because, row.cause) == ("judgements", "1 judgements came, and 1 went or were revised")


def test_an_adjudication_is_the_cause_of_what_it_flipped(project: Project, curator: User) -> None:
    comparison = make_comparison(project, "c1")
    make_judgements(comparison, "AA")
    earlier = build(project)
    Adjudication.objects.create(comparison=comparison, preference=1, reason="so", by=curator)
    row = only(earlier, build(project), kind="flipped")
    assert (row.because, row.cause) == ("adjudication", "an adjudicator decided it")


def test_a_treated_label_is_told_and_so_is_its_undoing(project: Project) -> None:
    comparison = make_comparison(project, "c1")
    make_judgements(comparison, "AA")
    plain = build(project)
    treatment = NoiseTreatment.objects.create(project=project, policy={"rules": []})
    decision = {"treatment": treatment, "method": "rules", "score": 0.9, "cause": "it is empty"}
    NoiseDecision.objects.create(comparison=comparison, action="flip", **decision)
    treated = build(project)
    there, back = (
        only(plain, treated, kind="flipped"),
        only(treated, build(project, ALL_TRAIN | {"noise": {"treatment": "none"}}), kind="flipped"),
    )
    assert (there.because, there.cause) == ("doubt", "its doubtful label was treated")
    assert (back.because, back.cause) == ("doubt", "its treatment was undone")


def test_the_recipe_is_the_cause_where_nothing_else_differs(project: Project) -> None:
    judge = make_judge(project)
    comparison = make_comparison(project, "c1")
    make_judgements(comparison, "A")
    for n in (0, 1):
        make_call(judge, comparison, -1, repeat=n)
    earlier, later = build(project), build(project, ALL_TRAIN | {"target": "tie-aware"})
    row = only(earlier, later)
    assert (row.kind, row.because, row.cause) == ("changed", "recipe", "the recipes differ in target")
    assert [tuple(change) for change in between(earlier, later).recipe] == [("target", "soft", "tie-aware")]


def test_the_method_that_the_data_chose_is_named_where_it_is_another(project: Project) -> None:
    make_judgements(make_comparison(project, "c1"), "AA")
    earlier, later = build(project), build(project, ALL_TRAIN | {"target": "tie-aware"})
    later.recipe = earlier.recipe  # as if the data alone had chosen anew
    later.statistics = later.statistics | {"consensus": {"method": "dawid-skene"}}
    row = only(earlier, later)
    assert (row.because, row.cause) == ("fit", "fitted by dawid-skene, and before by majority")


def test_a_row_without_a_side_is_no_flip(project: Project) -> None:
    comparison = make_comparison(project, "c1")
    make_judgements(make_comparison(project, "kept"), "A")
    make_judgements(comparison, "A")
    recipe = ALL_TRAIN | {"ties": "keep"}
    earlier = build(project, recipe)
    for _ in range(2):
        make_judgement(comparison, make_rater(project), 0)  # two of three call it a tie
    row = only(earlier, build(project, recipe), kind="undecided")
    assert row.before is not None
    assert row.after is not None
    assert (row.before.verdict, row.after.verdict, row.after.side) == ("chosen", "tie", "")


def test_rows_moved_by_a_seed_name_the_recipe(project: Project) -> None:
    for i in range(12):
        make_judgements(make_comparison(project, f"c{i}"), "AA")
    half = {"train": 0.5, "validation": 0.0, "test": 0.5}
    earlier, later = (build(project, {"method": "majority", "split": half | {"seed": seed}}) for seed in (1, 2))
    assert {row.cause for row in between(earlier, later, kind="moved").rows} == {"the recipes differ in split.seed"}
    train = between(earlier, later, kind="moved", split="train").rows
    assert all("train" in (row.before and row.before.split, row.after and row.after.split) for row in train)


# Filters, and all of it


def test_rows_are_found_by_their_cause_and_by_their_id(versions: tuple[DatasetVersion, DatasetVersion]) -> None:
    assert [row.id for row in between(*versions, kind="removed", because="rule").rows] == ["tied"]
    assert [row.id for row in between(*versions, kind="removed", because="withdrawn").rows] == ["gone"]
    assert [row.id for row in between(*versions, kind="removed", id="gone").rows] == ["gone"]
    assert between(*versions, kind="removed", id="kept").rows == []
    found = between(*versions, kind="removed", id="come")
    assert (found.kind, [row.id for row in found.rows]) == ("added", ["come"])
    assert between(*versions, kind="removed", id="nothing").rows == []


def test_a_rare_cause_is_looked_for_in_bounded_steps(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BLOCK", "LOOKS"):
        monkeypatch.setattr(f"curation.services.reading.differences.{name}", 2)
    make_judgements(make_comparison(project, "first"), "AA")
    earlier = build(project)
    for i in range(7):
        make_judgements(make_comparison(project, f"c{i}"), "AA")
    Comparison.objects.filter(external_id="c6").update(created_at=earlier.created_at - timedelta(days=1))
    later = build(project)
    found = between(earlier, later, kind="added", because="judgements")
    assert found.rows == []
    assert found.next is not None  # four were looked at; it is among those that follow
    assert [row.id for row in between(earlier, later, kind="added", because="judgements", after=found.next).rows] == [
        "c6"
    ]


def test_all_of_it_is_read_in_blocks_each_row_once(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curation.services.reading.differences.STREAMED", 2)
    for i in range(5):
        make_judgements(make_comparison(project, f"gone{i}"), "AA")
    make_judgements(make_comparison(project, "kept"), "AA")
    earlier = build(project)
    Comparison.objects.filter(external_id__startswith="gone").update(status="withdrawn")
    for i in range(6):
        make_judgements(make_comparison(project, f"come{i}"), "AA")
    found = [(row.id, row.kind) for row in everything(earlier, build(project))]
    assert sorted(found) == [*((f"come{i}", "added") for i in range(6)), *((f"gone{i}", "removed") for i in range(5))]


def test_counts_are_kept_until_something_is_withdrawn(
    versions: tuple[DatasetVersion, DatasetVersion], django_assert_max_num_queries: Any
) -> None:
    first = between(*versions)
    with django_assert_max_num_queries(2):  # the tombstones and the page
        assert between(*versions).counts == first.counts


def test_the_download_and_rest_give_the_whole_difference(
    versions: tuple[DatasetVersion, DatasetVersion], curator: User
) -> None:
    browser = Client()
    browser.force_login(curator)
    got = browser.get("/p/chat/datasets/prefs/2/since/1/rows.jsonl").getvalue()
    rows = [json.loads(line) for line in got.splitlines()]
    assert sorted(row["id"] for row in rows) == ["changed", "come", "flipped", "gone", "tied"]
    told = Client(headers={"Authorization": f"Bearer {make_token(curator, 'export')}"})
    same = told.get("/api/v1/datasets/prefs/versions/latest/difference/rows/?since=1")
    assert same.getvalue() == got
    refused = Client(headers={"Authorization": f"Bearer {make_token(curator, 'train')}"})
    assert refused.get("/api/v1/datasets/prefs/versions/2/difference/rows/?since=1").status_code == 403


def test_versions_are_compared_from_their_dataset(
    versions: tuple[DatasetVersion, DatasetVersion], curator: User
) -> None:
    browser = Client()
    browser.force_login(curator)
    to = browser.get("/p/chat/datasets/prefs/compare/?from=2&to=1")
    assert to["Location"] == "/p/chat/datasets/prefs/2/since/1/"
    assert browser.get("/p/chat/datasets/prefs/compare/?from=x&to=1").status_code == 404
    assert "the same" in browser.get("/p/chat/datasets/prefs/versions/").content.decode()

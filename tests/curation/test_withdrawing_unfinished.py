"""What is withdrawn leaves versions that never came, counts of recipes and manifests, too."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import RequestFactory, TestCase
from django.utils import timezone

from annotate.models import Comparison, Rater
from curation.exports.recipe import Recipe
from curation.models import DatasetVersion
from curation.serializers import ManifestOut
from curation.services import building, previewing, rewriting, withdrawing
from tests.build import make_comparison, make_evaluation_set, make_judgements, make_project
from tiebreak.accounts.models import Project
from tiebreak.runs import ledger, store
from tiebreak.runs.models import Run

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("storage")]

ALL_TRAIN = {"method": "majority", "split": {"train": 1.0, "validation": 0.0, "test": 0.0}}


@pytest.fixture
def project() -> Project:
    """Six comparisons by r1, r2 and r3, who agree; "alone" by r1 only."""
    project = make_project("court", overlap=3)
    for number in range(6):
        make_judgements(make_comparison(project, f"c{number}"), "AAA" if number % 2 else "BBB")
    make_judgements(make_comparison(project, "alone", prompt="who?", a="Anna Berg", b="Ben Cole"), "A")
    return project


def build(project: Project) -> DatasetVersion:
    version = building.start("prefs", project, ALL_TRAIN, by=None, wake=False)
    ledger.execute(version.run_id or 0)
    version.refresh_from_db()
    return version


def withdraw(subject: Rater | Comparison) -> None:
    with TestCase.captureOnCommitCallbacks(execute=True):
        withdrawal = withdrawing.start(subject, "asked for it", by=None, wake=False)
        run = ledger.execute(withdrawal.run_id or 0)
    assert run is not None
    assert run.status == "succeeded", run.error


def test_of_a_version_whose_build_failed_nothing_is_left(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any) -> None:
        raise RuntimeError("no card")

    monkeypatch.setattr(building, "describe", broken)  # its rows and files are written by then
    with pytest.raises(RuntimeError):
        build(project)
    version = DatasetVersion.objects.get()
    file = version.files.get(name="train.parquet").artifact_id
    assert (version.status, version.rows.count()) == ("failed", 7)

    withdraw(Comparison.objects.get(external_id="alone"))
    assert not version.rows.exists()
    assert not version.files.exists()
    assert not store.path_of(file).exists()

    # It can be built again, of what is left.
    monkeypatch.undo()
    assert build(project).counts["train"] == 6


def test_a_build_that_is_under_way_keeps_what_it_writes(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    # It began after the judgements were silenced, else it is waited for: what it writes holds nothing of them.
    monkeypatch.setattr(building, "describe", None)
    with pytest.raises(TypeError):
        build(project)
    version = DatasetVersion.objects.get()
    lease = timezone.now() + timedelta(minutes=1)
    Run.objects.filter(pk=version.run_id).update(status=Run.Status.RUNNING, lease_expires_at=lease, finished_at=None)
    assert not rewriting.discard(version)
    assert version.rows.count() == 7

    # Unless its worker is dead, and the run out of attempts.
    late = timezone.now() - timedelta(minutes=1)
    Run.objects.filter(pk=version.run_id).update(lease_expires_at=late, attempt=9, max_attempts=9)
    withdraw(Rater.objects.get(name="r1"))
    assert not version.rows.exists()


def test_counts_of_a_recipe_forget_the_examples_that_quote_what_they_drop(project: Project) -> None:
    make_evaluation_set(project, "names", "Anna Berg")
    recipe = Recipe.from_dict(ALL_TRAIN | {"decontaminate": {"against": ["names"]}})
    run = previewing.start(project, recipe, by=None)
    ledger.execute(run.pk)
    run.refresh_from_db()
    assert "anna berg" in str(run.result)

    withdraw(Comparison.objects.get(external_id="alone"))
    run.refresh_from_db()
    assert "anna berg" not in str(run.result)
    _, counts = previewing.counted(project, recipe)
    assert counts is not None
    assert (counts.rows, counts.examples) == (6, {})


def test_a_row_that_lost_votes_and_then_went_is_counted_once(project: Project) -> None:
    version = build(project)
    withdraw(Rater.objects.get(name="r2"))  # six rows lose a vote
    withdraw(Comparison.objects.get(external_id="c0"))  # one of these goes
    version = DatasetVersion.objects.get()
    told = ManifestOut(version, context={"request": RequestFactory().get("/")}).data
    assert (told["withdrawn"], told["altered"]) == (1, 5)
    assert version.statistics["withdrawn"] == {"rows": 1, "rows_that_lost_votes": 5}

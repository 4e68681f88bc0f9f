"""A version proves itself: what was altered since it was published is found, what was withdrawn is accounted for."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import TestCase

from annotate.models import Comparison, Rater
from curation.models import DatasetRow, DatasetVersion, Tombstone, VersionFile
from curation.services import building, exporting, rewriting, verifying, withdrawing
from tests.build import make_comparison, make_judgements, make_project
from tiebreak.accounts.models import Project
from tiebreak.core.errors import Invalid
from tiebreak.runs import ledger, store

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("storage")]

HALVES = {"method": "majority", "split": {"train": 0.5, "validation": 0.5, "test": 0.0}}


@pytest.fixture
def project() -> Project:
    """Eight comparisons that r1 and r2 agree on; of "alone" r1 says all that is said."""
    project = make_project("court", overlap=3)
    for number in range(8):
        make_judgements(
            make_comparison(project, f"c{number}", prompt=f"question {number}"), "AA" if number % 2 else "BB"
        )
    make_judgements(make_comparison(project, "alone", prompt="who?"), "A")
    return project


@pytest.fixture
def version(project: Project) -> DatasetVersion:
    version = building.start("prefs", project, HALVES, by=None, wake=False)
    ledger.execute(version.run_id or 0)
    version.refresh_from_db()
    return version


def withdraw(subject: Rater | Comparison) -> None:
    with TestCase.captureOnCommitCallbacks(execute=True):
        withdrawal = withdrawing.start(subject, "asked", by=None, wake=False)
        ledger.execute(withdrawal.run_id or 0)


def broken(version: DatasetVersion) -> list[str]:
    version.refresh_from_db()
    return [check.what for check in verifying.verify(version) if not check.holds]


def test_a_version_as_it_was_published_holds_in_every_point(version: DatasetVersion) -> None:
    assert broken(version) == []
    assert [check.what for check in verifying.verify(version)] == [
        "recipe",
        "every row's hash",
        "what is kept beside the rows",
        "no position is missing",
        "tombstones",
        "digest of all rows",
        "chain over the rows' hashes",
        "counts",
        "bytes of test.parquet",
        "bytes of train.parquet",
        "bytes of validation.parquet",
        "rows of test.parquet",
        "rows of train.parquet",
        "rows of validation.parquet",
        "every row is in a file",
    ]


def test_a_version_with_withdrawals_holds_by_its_chain_and_says_nothing_of_the_digest(version: DatasetVersion) -> None:
    withdraw(Rater.objects.get(name="r1"))
    withdraw(Comparison.objects.get(external_id="c3"))  # which had lost a vote before: two tombstones in one place
    assert broken(version) == []
    assert Tombstone.objects.filter(external_id="c3").count() == 2
    assert "digest of all rows" not in [check.what for check in verifying.verify(version)]


def _line(version: DatasetVersion) -> None:
    row = version.rows.order_by("position")[0]
    DatasetRow.objects.filter(pk=row.pk).update(line=row.line.replace("second answer", "another one", 1))


def _line_and_hash(version: DatasetVersion) -> None:
    row = version.rows.order_by("position")[0]
    line = row.line.replace("first answer", "worst answer", 1)
    sha256 = hashlib.sha256(f"{line}\n".encode()).hexdigest()
    DatasetRow.objects.filter(pk=row.pk).update(line=line, sha256=sha256)


def _side(version: DatasetVersion) -> None:
    row = version.rows.order_by("position")[0]
    DatasetRow.objects.filter(pk=row.pk).update(probability=0.51)


def _gone(version: DatasetVersion) -> None:
    version.rows.filter(pk=version.rows.order_by("position")[0].pk).delete()


def _recipe(version: DatasetVersion) -> None:
    DatasetVersion.objects.filter(pk=version.pk).update(recipe=version.recipe | {"min_annotators": 9})


def _bytes(version: DatasetVersion) -> None:
    path = store.path_of(version.files.get(name="train.parquet").artifact_id)
    path.write_bytes(path.read_bytes()[:-1] + b"x")


def _lost(version: DatasetVersion) -> None:
    store.path_of(version.files.get(name="train.parquet").artifact_id).unlink()


def _swapped(version: DatasetVersion) -> None:
    other = version.files.get(name="validation.parquet").artifact_id
    VersionFile.objects.filter(version=version, name="train.parquet").update(artifact=other)


@pytest.mark.parametrize(
    ("tamper", "found"),
    [
        (_line, ["every row's hash", "digest of all rows", "rows of SPLIT.parquet"]),
        (_line_and_hash, ["digest of all rows", "chain over the rows' hashes", "rows of SPLIT.parquet"]),
        (_side, ["what is kept beside the rows"]),
        (
            _gone,
            [
                "no position is missing",
                "digest of all rows",
                "chain over the rows' hashes",
                "counts",
                "rows of SPLIT.parquet",
            ],
        ),
        (_recipe, ["recipe"]),
        (_bytes, ["bytes of train.parquet", "rows of train.parquet"]),
        (_lost, ["bytes of train.parquet", "rows of train.parquet"]),
        (_swapped, ["rows of train.parquet"]),
    ],
)
def test_whatever_was_altered_is_found(
    version: DatasetVersion, tamper: Callable[[DatasetVersion], None], found: list[str]
) -> None:
    with rewriting.door():
        tamper(version)
    split = version.rows.order_by("position")[0].split
    assert broken(version) == [what.replace("SPLIT", split) for what in found]


def test_a_tombstone_that_was_altered_or_taken_away_is_found(version: DatasetVersion) -> None:
    withdraw(Rater.objects.get(name="r1"))
    stone = Tombstone.objects.exclude(became="")[0]
    with rewriting.door():
        Tombstone.objects.filter(pk=stone.pk).update(became="0" * 64)
    assert broken(version) == ["tombstones"]
    with rewriting.door():
        Tombstone.objects.filter(pk=stone.pk).delete()
    assert broken(version) == ["chain over the rows' hashes"]
    with rewriting.door():
        Tombstone.objects.filter(external_id="alone").delete()
    assert "chain over the rows' hashes" in broken(version)


@pytest.mark.parametrize("format", ["trl", "parquet", "native"])
def test_a_folder_is_held_to_its_manifest_without_a_database(
    version: DatasetVersion, tmp_path: Path, format: str, django_db_blocker: Any
) -> None:
    exporting.export_to(version, format=format, folder=tmp_path / "out")
    moved = shutil.move(tmp_path / "out", tmp_path / "elsewhere")
    with django_db_blocker.block():
        checks = verifying.verify_folder(Path(moved))
    assert checks
    assert all(check.holds for check in checks)
    assert all(check.holds for check in verifying.verify_folder(Path(moved), version))
    (Path(moved) / "README.md").write_text("Another card")
    (Path(moved) / checks[0].what).unlink()
    assert [check.what for check in verifying.verify_folder(Path(moved)) if not check.holds] == [
        checks[0].what,
        "README.md",
    ]


def test_rows_of_another_export_in_a_folder_are_named(version: DatasetVersion, tmp_path: Path) -> None:
    exporting.export_to(version, format="native", folder=tmp_path)
    exporting.export_to(version, format="parquet", folder=tmp_path)
    wrong = [check for check in verifying.verify_folder(tmp_path, version) if not check.holds]
    assert [check.what for check in wrong] == ["test.jsonl", "train.jsonl", "validation.jsonl"]


def test_a_folder_of_another_version_is_told_as_that_first_and_as_nothing_else(
    version: DatasetVersion, tmp_path: Path
) -> None:
    other = building.start("prefs", version.dataset.project, {"min_annotators": 2}, by=None, wake=False)
    ledger.execute(other.run_id or 0)
    other.refresh_from_db()
    exporting.export_to(other, format="parquet", folder=tmp_path)
    with pytest.raises(CommandError) as failed:
        call_command("verify_dataset", "prefs@1", "--folder", str(tmp_path), stdout=StringIO())
    head, first, *rest = str(failed.value).splitlines()
    assert head == "Not everything holds."
    assert first == (
        f"BROKEN  the version: the folder's manifest is of prefs@2 (rows {other.rows_sha256[:16]}…), "
        f"not of prefs@1 (rows {version.rows_sha256[:16]}…)"
    )
    assert all(line.startswith("holds") for line in rest)


def test_a_folder_from_before_a_withdrawal_is_told_as_such(version: DatasetVersion, tmp_path: Path) -> None:
    exporting.export_to(version, format="parquet", folder=tmp_path)
    withdraw(Rater.objects.get(name="r1"))
    wrong = [check for check in verifying.verify_folder(tmp_path, version) if not check.holds]
    assert [check.what for check in wrong] == [
        "README.md is the version's card",
        *(f"{split}.parquet is the version's" for split in ("train", "validation")),
    ]
    assert all("from before" in check.told for check in wrong)


@pytest.mark.parametrize("format", ["trl", "native"])
def test_lines_from_before_a_withdrawal_are_told_by_the_card_beside_them(
    version: DatasetVersion, tmp_path: Path, format: str
) -> None:
    exporting.export_to(version, format=format, folder=tmp_path / "old")
    withdraw(Rater.objects.get(name="r1"))
    (wrong,) = [check for check in verifying.verify_folder(tmp_path / "old", version) if not check.holds]
    assert "from before a withdrawal" in wrong.told
    exporting.export_to(DatasetVersion.objects.get(pk=version.pk), format=format, folder=tmp_path / "new")
    assert all(check.holds for check in verifying.verify_folder(tmp_path / "new", version))


def test_a_manifest_reaches_no_file_outside_its_folder(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    folder = tmp_path / "out"
    folder.mkdir()
    entry = {"path": "../secret", "sha256": "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"}
    (folder / "manifest.json").write_text(json.dumps({"files": [entry]}))
    assert [check.holds for check in verifying.verify_folder(folder)] == [False]


@pytest.mark.parametrize("content", [None, "", "[]", '{"files": [{}]}', '{"files": [{"path": 1, "sha256": "x"}]}'])
def test_a_folder_without_a_manifest_is_refused(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(Invalid):
        verifying.verify_folder(tmp_path)


def test_the_command_prints_what_holds_and_fails_where_something_does_not(
    version: DatasetVersion, tmp_path: Path
) -> None:
    exporting.export_to(version, format="trl", folder=tmp_path)
    out = StringIO()
    call_command("verify_dataset", "prefs@1", "--folder", str(tmp_path), stdout=out)
    assert all(line.startswith("holds") for line in out.getvalue().splitlines())
    out = StringIO()
    call_command("verify_dataset", "prefs@1", "--json", stdout=out)
    assert json.loads(out.getvalue())["holds"] is True
    with rewriting.door():
        _side(version)
    with pytest.raises(CommandError) as failed:
        call_command("verify_dataset", "prefs@1", stdout=StringIO())
    assert failed.value.returncode == 1
    assert "BROKEN  what is kept beside the rows: row 0" in str(failed.value)
    with pytest.raises(CommandError) as misused:
        call_command("verify_dataset", stdout=StringIO())
    assert misused.value.returncode == 2


def test_the_withdraw_command_plans_first_and_does_it_when_told(version: DatasetVersion) -> None:
    out = StringIO()
    call_command("withdraw", "court", "--rater", "r1", stdout=out)
    assert out.getvalue().splitlines() == [
        "Would take back 9 judgements of 9 comparisons.",
        "prefs@1: rows that go 1, rows that lose votes 8",
        "Nothing was done: --apply does it.",
    ]
    assert Rater.objects.filter(name="r1").exists()
    with pytest.raises(CommandError, match="reason"):
        call_command("withdraw", "court", "--rater", "r1", "--apply", stdout=StringIO())
    out = StringIO()
    with TestCase.captureOnCommitCallbacks(execute=True):
        call_command("withdraw", "court", "--rater", "r1", "--reason", "asked", "--apply", stdout=out)
    assert out.getvalue().splitlines() == ["Done.", "prefs@1: rows that lost votes 8, rows that went 1"]
    assert not Rater.objects.filter(name="r1").exists()
    with pytest.raises(CommandError, match="There is no comparison 'c99'"):
        call_command("withdraw", "court", "--comparison", "c99", stdout=StringIO())

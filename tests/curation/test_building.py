"""Building a version: what each row rests on, its files, and builds that cannot end well."""

from __future__ import annotations

import errno
import io
import tempfile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from annotate.models import Adjudication, Comparison, Rater
from curation.exports.files import chain, ndjson_line, read_parquet
from curation.exports.following import RULE_NAMES
from curation.exports.recipe import Recipe
from curation.exports.schema import native
from curation.models import DatasetVersion, NoiseDecision, NoiseTreatment, VersionContribution
from curation.services import building, evaluation_sets, previewing, verifying, writing
from tests.build import (
    make_comparison,
    make_judge,
    make_judgement,
    make_judgements,
    make_project,
    make_rater,
    make_user,
)
from tiebreak.accounts.models import Project
from tiebreak.core.errors import Invalid, Unavailable
from tiebreak.core.models import Event
from tiebreak.runs import ledger, store
from tiebreak.runs.models import Run

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("storage")]
HALVES = {"train": 0.5, "validation": 0.0, "test": 0.5}


def build(project: Project, recipe: dict[str, Any] | None = None, name: str = "prefs") -> DatasetVersion:
    version = building.start(name, project, recipe or {}, by=None, wake=False)
    ledger.execute(version.run_id or 0)
    version.refresh_from_db()
    return version


def make_world(letters: tuple[str, ...]) -> Project:
    """A comparison for each word of letters: c0, c1, …"""
    project = make_project(overlap=max(map(len, letters)))
    for i, each in enumerate(letters):
        made = make_comparison(project, f"c{i}", prompt=f"question {i}", a=f"answer {i}", b=f"no answer {i}")
        make_judgements(made, each)
    return project


# --- what a row is, and what it rests on -----------------------------------------------------------------------------


def test_every_line_is_the_bytes_of_its_hash_and_the_chain_is_of_these() -> None:
    version = build(make_world(("AAB", "BBB", "TTT", "XXA")), {"ties": "keep", "both_bad": "keep"})

    rows = list(version.rows.order_by("position"))
    assert [row.verdict for row in rows] == ["chosen", "chosen", "tie", "both_bad"]
    assert all(ndjson_line(native(row.row)) == row.line.encode() + b"\n" for row in rows)
    assert version.chain_sha256 == chain(row.sha256 for row in rows)


def test_a_row_knows_the_judgements_and_decisions_that_it_rests_on() -> None:
    project = make_world(("AAB", "BBB"))
    first = Comparison.objects.get(external_id="c0")
    judge = make_judge(project).rater
    make_judgement(first, judge, -1, repeat=0)
    decided = Adjudication.objects.create(comparison=first, preference=2, reason="so", by=make_user())
    version = build(project, {"include_judges": False, "deidentify": {"metadata": False}})

    row, plain = version.rows.order_by("position")
    people = first.judgements.filter(rater__kind="annotator")
    assert sorted(row.lineage["judgements"]) == sorted(people.values_list("pk", flat=True))  # no judge's
    assert row.lineage["adjudication"] == decided.pk
    assert set(plain.lineage) == {"judgements"}


def test_a_row_does_not_rest_on_a_treatment_that_was_not_followed() -> None:
    project = make_world(("AAB", "AAB"))
    first, second = Comparison.objects.order_by("external_id")
    treatment = NoiseTreatment.objects.create(project=project, policy={})
    for each in (first, second):
        NoiseDecision.objects.create(
            treatment=treatment, comparison=each, action="flip", method="ensemble", score=0.9, cause="doubt"
        )
    Adjudication.objects.create(comparison=first, preference=-1, reason="so", by=make_user())
    followed, ignored = build(project), build(project, {"noise": {"treatment": "none"}})

    told = [["noise" in row.lineage for row in version.rows.order_by("position")] for version in (followed, ignored)]
    assert told == [[False, True], [False, False]]
    assert [row.side for row in followed.rows.order_by("position")] == ["a", "b"]


def test_a_judge_who_calls_both_bad_is_heard_though_the_other_reading_could_not_be_read() -> None:
    project = make_world(("X", "X"))
    judge = make_judge(project).rater
    first, second = (Comparison.objects.get(external_id=name) for name in ("c0", "c1"))
    make_judgement(first, judge, None, both_bad=True)
    make_judgement(first, judge, None, repeat=1, order="ba", unparsed_because="no verdict")
    make_judgement(second, judge, None, both_bad=True)
    make_judgement(second, judge, -1, repeat=1, order="ba")  # a side after all
    make_judgements(make_comparison(project, "c2"), "A")
    version = build(project, {"both_bad": "keep"})

    votes = {row.row["id"]: row.row["votes"] for row in version.rows.all()}
    assert [(vote["kind"], vote["both_bad"], vote["preference"]) for vote in votes["c0"]] == [
        ("annotator", True, None),
        ("judge", True, None),
    ]
    assert [(vote["both_bad"], vote["preference"]) for vote in votes["c1"]] == [(True, None), (False, -1.0)]


def test_contributions_count_each_raters_rows_and_judgements() -> None:
    project = make_world(("AAB", "BB", "T"))
    judge = make_judge(project).rater
    for repeat in (0, 1):
        make_judgement(Comparison.objects.get(external_id="c1"), judge, 1, repeat=repeat)
    version = build(project)  # the tie is dropped

    found = VersionContribution.objects.filter(version=version)
    told = {row.rater.name: (row.rows, row.judgements) for row in found.select_related("rater")}
    assert told == {"r1": (2, 2), "r2": (2, 2), "r3": (1, 1), judge.name: (1, 2)}


def test_altered_rows_are_counted_and_say_what_was_taken_out() -> None:
    project = make_project(overlap=1)
    make_judgements(make_comparison(project, "x", a="Ask ann@corp.org or bob@corp.org", b="No."), "A")
    make_judgements(make_comparison(project, "y"), "A")
    version = build(project, {"deidentify": {"texts": ["email"]}})

    assert version.changed == {"deidentify": 1}
    assert version.rows.get(comparison__external_id="x").lineage["changes"] == {"deidentify": {"email": 2}}


def test_an_aspect_is_a_consensus_of_its_own() -> None:
    project = make_project(overlap=1)
    for name, overall, style in (("x", -1, 2), ("y", 1, 1), ("z", 1, None)):
        rater, _ = Rater.objects.get_or_create(project=project, kind=Rater.Kind.ANNOTATOR, name="r")
        aspects = {} if style is None else {"style": style}
        make_judgement(make_comparison(project, name), rater, overall, aspects=aspects)
    version = build(project, {"aspect": "style"})

    assert {row.row["id"]: (row.side, row.row["margin"]) for row in version.rows.all()} == {
        "x": ("b", 2),
        "y": ("b", 1),
    }
    assert version.dropped == {"min_judgements": 1}
    with pytest.raises(Invalid, match="'tone'"):
        build(project, {"aspect": "tone"})


def test_a_version_says_by_which_method_its_consensus_was_made_and_why() -> None:
    told = build(make_world(("AAB", "BBB", "ABB", "AAA")), {"method": "auto"}).statistics["consensus"]

    assert told["method"] in ("majority", "dawid-skene", "joint", "crowd-bt")
    assert told["because"]


def test_a_method_that_needs_completions_that_recur_is_refused_where_none_does() -> None:
    with pytest.raises(Invalid, match="none does"):
        build(make_world(("AAB", "BBB")), {"method": "bradley-terry"})


# --- files -----------------------------------------------------------------------------------------------------------


def test_rows_without_a_side_stand_in_files_of_their_own() -> None:
    version = build(make_world(("AAB", "BBB", "TTT")), {"ties": "keep", "split": {**HALVES, "train": 1.0, "test": 0.0}})

    files = {file.name: file for file in version.files.all()}
    assert set(files) == {f"{split}{kind}.parquet" for split in version.counts for kind in ("", ".undecided")}
    assert version.counts == {"train": 2, "validation": 0, "test": 0}
    assert (files["train.parquet"].rows, files["train.undecided.parquet"].rows) == (2, 1)
    (tie,) = read_parquet(store.path_of(files["train.undecided.parquet"].artifact_id))
    assert native(tie)["undecided"] == "tie"  # type: ignore[typeddict-item]


def test_many_rows_stand_in_several_files_that_name_their_place(settings: Any) -> None:
    settings.ROWS_PER_FILE = 2
    version = build(make_world(("AAB",) * 5), {"split": {"train": 1.0, "validation": 0.0, "test": 0.0}})

    files = {file.name: file for file in version.files.filter(split="train")}
    assert {name: file.rows for name, file in files.items()} == {
        "train-00001-of-00003.parquet": 2,
        "train-00002-of-00003.parquet": 2,
        "train-00003-of-00003.parquet": 1,
    }
    rows = [row for name in sorted(files) for row in read_parquet(store.path_of(files[name].artifact_id))]
    assert [row["id"] for row in rows] == [f"c{i}" for i in range(5)]
    assert version.files.get(split="test").name == "test.parquet"


def test_a_file_is_typed_and_compressed() -> None:
    version = build(make_world(("AAB", "BBB")), {"split": {"train": 1.0, "validation": 0.0, "test": 0.0}})

    meta = pq.ParquetFile(store.path_of(version.files.get(name="train.parquet").artifact_id)).metadata
    assert meta.row_group(0).column(0).compression == "ZSTD"
    assert meta.num_rows == 2


# --- builds that cannot end well -------------------------------------------------------------------------------------


def left_behind(version: DatasetVersion) -> tuple[str, str, int]:
    version.refresh_from_db()
    return version.status, version.rows_sha256, version.files.count()


def test_long_rows_are_held_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    # Thousands of rows of a million characters each were one block of gigabytes, which Arrow does not read at all.
    project = make_world(("A", "B", "A", "B", "A"))
    recipe = {"method": "majority", "split": {"train": 1.0, "validation": 0.0, "test": 0.0}}
    whole = build(project, recipe, "whole")
    line = len(whole.rows.order_by("position")[0].line)
    monkeypatch.setattr(writing, "BLOCK_BYTES", 2 * line - 10)
    version = build(project, recipe, "parts")

    with store.open_artifact(version.files.get(name="train.parquet").artifact) as file:
        assert [pq.ParquetFile(file).metadata.row_group(n).num_rows for n in range(3)] == [2, 2, 1]
    assert version.rows_sha256 == whole.rows_sha256
    assert [check for check in verifying.verify(version) if not check.holds] == []


@pytest.mark.parametrize("where", ["spool", "file"])
def test_a_disk_that_fills_leaves_nothing_half_written_and_says_so(
    monkeypatch: pytest.MonkeyPatch, storage: Path, where: str
) -> None:
    version = building.start("prefs", make_world(("AAB", "BBB")), {}, by=None, wake=False)

    def full(*args: Any, **kwargs: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    target = (tempfile, "TemporaryFile") if where == "spool" else (store.Hashing, "write")
    monkeypatch.setattr(*target, full)
    with pytest.raises(Unavailable, match="full"):
        ledger.execute(version.run_id or 0)
    assert left_behind(version) == ("failed", "", 0)
    assert Run.objects.get(pk=version.run_id).error["code"] == "disk_full"  # type: ignore[index]
    assert not [path for path in storage.rglob("*") if path.is_file()]


def test_a_balance_that_nothing_can_have_fails_by_its_field() -> None:
    version = building.start(
        "prefs", make_world(("AAB",)), {"balance": {"by": "side", "most": 0.5}}, by=None, wake=False
    )
    with pytest.raises(Invalid, match=r"balance\.most"):
        ledger.execute(version.run_id or 0)
    assert left_behind(version) == ("failed", "", 0)


def test_an_evaluation_set_that_is_not_there_is_refused_by_name() -> None:
    with pytest.raises(Invalid, match="gsm8k"):
        build(make_world(("AAB",)), {"decontaminate": {"against": ["gsm8k"]}})
    assert not DatasetVersion.objects.exists()  # nothing was begun


def test_what_repeats_an_evaluation_set_can_be_looked_up_with_its_cause() -> None:
    project = make_world(("AAB", "BBB"))
    evaluation_sets.add(project, "bench", io.BytesIO(b"and question 1 no answer 1\n"), filename="x.txt", by=None)
    words = {"against": ["bench"], "words": 3}
    version = build(project, {"decontaminate": words})

    dropped = version.dropped_rows.select_related("comparison").get()
    assert (dropped.comparison.external_id, dropped.rule) == ("c1", "decontaminate")
    assert "bench" in dropped.cause


# --- outline ---------------------------------------------------------------------------------------------------------

RECIPE = {"ties": "keep", "min_agreement": 0.7, "balance": {"by": "side", "most": 2}, "split": HALVES}


def test_an_outline_is_what_the_build_does_and_writes_nothing() -> None:
    project = make_world(("AAB", "BBB", "BBB", "BBB", "TTT", "AAA", "XXX"))
    events = Event.objects.count()
    told = previewing.outline(project, Recipe.from_dict(RECIPE))
    assert (Event.objects.count(), DatasetVersion.objects.count()) == (events, 0)

    version = build(project, RECIPE)
    assert told.exact
    assert (told.total, told.rows, told.undecided) == (7, version.rows.filter(verdict="chosen").count(), {"tie": 1})
    assert told.splits == version.counts
    assert {rule: n for rule, n in told.dropped.items() if n} == version.dropped
    assert tuple(told.dropped) == RULE_NAMES
    assert told.method == "dawid-skene"


def test_an_outline_of_many_looks_at_the_same_few_each_time() -> None:
    project = make_world(("AAB", "BBB") * 6)
    first = previewing.outline(project, Recipe(), limit=5)

    assert (first.total, first.looked_at, first.exact) == (12, 5, False)
    assert first == previewing.outline(project, Recipe(), limit=5)
    assert first.rows + sum(first.dropped.values()) == 5


def test_an_outline_of_nothing_says_why() -> None:
    with pytest.raises(Invalid, match="no judgements"):
        previewing.outline(make_project(), Recipe())


def test_raters_without_names_are_still_people_or_judges() -> None:
    project = make_world(("AA",))
    make_rater(project, "unheard")
    version = build(project, {"deidentify": {"raters": "none"}})

    assert {vote["rater"] for vote in version.rows.get().row["votes"]} == {"annotator"}
    assert "r1" not in version.card

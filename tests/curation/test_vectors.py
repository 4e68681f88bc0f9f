"""Near-duplicates by embedding, from the vectors in the database to the rows of a version, or to a file of vectors."""

from __future__ import annotations

import hashlib
import io
import json
import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from django.core.management import call_command

from annotate.models import Comparison
from curation.exports.recipe import Recipe
from curation.models import ComparisonVector, DatasetVersion, Encoder, ProjectEncoder, PromptVector
from curation.scale import __main__ as scale
from curation.services import building, rewriting, vectors
from curation.services.vectors import vectors_of
from tests import build
from tiebreak.accounts.models import Project
from tiebreak.core.errors import Invalid, Unavailable
from tiebreak.core.models import Event
from tiebreak.runs import ledger
from tiebreak.runs.models import Run

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("storage")]
RULE: dict[str, Any] = {"near_duplicates": {"by": "embedding", "threshold": 0.95}}
DEGREES = {"c0": 0, "c1": 10, "c2": 90, "c3": 100, "c4": None}
"""The cosine of 10 degrees is 0.985; c4 was never embedded."""


def pointing(degrees: float) -> list[float]:
    return [math.cos(math.radians(degrees)), math.sin(math.radians(degrees))]


@pytest.fixture
def project() -> Project:
    project = build.make_project(overlap=1)
    for name, degrees in DEGREES.items():
        made = build.make_comparison(project, name, prompt=f"question {name}")
        build.make_judgements(made, "A")
        if degrees is not None:
            embed(made, degrees)
    return project


def embed(made: Comparison, degrees: float) -> None:
    encoder, _ = Encoder.objects.get_or_create(spec="ring", fingerprint="ring", dimension=2)
    ProjectEncoder.objects.get_or_create(project=made.project, encoder=encoder)
    vector = pointing(degrees)
    ComparisonVector.objects.create(
        comparison=made, encoder=encoder, vector=vector,
        prompt=made.prompt_id, completion_a=made.completion_a_id, completion_b=made.completion_b_id,
    )  # fmt: skip
    PromptVector.objects.get_or_create(prompt=made.prompt, encoder=encoder, defaults={"vector": vector})


@pytest.mark.parametrize("of", ["row", "prompt"])
def test_rows_that_point_where_an_earlier_one_does_are_dropped_with_their_cause(project: Project, of: str) -> None:
    recipe = {"near_duplicates": {**RULE["near_duplicates"], "of": of}}
    version = building.start("prefs", project, recipe, by=None, wake=False)
    assert ledger.execute(version.run_id or 0)
    version.refresh_from_db()
    assert version.dropped == {"near_duplicates": 2}
    kept = set(version.rows.values_list("comparison__external_id", flat=True))
    assert kept == {"c0", "c2", "c4"}
    assert version.dropped_rows.get(comparison__external_id="c3").cause == "0.98 like c2"


def test_a_comparison_whose_texts_changed_since_has_no_vector(project: Project) -> None:
    rows = {row.external_id: row for row in Comparison.objects.filter(project=project)}
    ComparisonVector.objects.filter(comparison=rows["c1"]).update(completion_a=rows["c0"].completion_a_id)
    told = vectors_of(project, Recipe.from_dict(RULE), [row.pk for row in rows.values()])
    assert set(told) == {rows[name].pk for name in ("c0", "c2", "c3")}


def test_a_recipe_that_compares_no_embeddings_asks_for_none(project: Project) -> None:
    keys = list(Comparison.objects.values_list("pk", flat=True))
    assert vectors_of(project, Recipe.from_dict({"near_duplicates": {}}), keys) == {}
    assert vectors_of(project, Recipe.from_dict({}), keys) == {}


def test_a_project_that_was_never_embedded_is_told_to_be() -> None:
    project = build.make_project(overlap=1)
    build.make_judgements(build.make_comparison(project, "c0"), "A")
    with pytest.raises(Invalid, match="run embed first"):
        vectors_of(project, Recipe.from_dict(RULE), [1])
    version = building.start("prefs", project, RULE, by=None, wake=False)
    with pytest.raises(Invalid, match="run embed first"):
        ledger.execute(version.run_id or 0)
    assert Run.objects.get(pk=version.run_id).status == Run.Status.FAILED


def test_a_cosine_that_unrelated_texts_have_is_refused() -> None:
    with pytest.raises(ValueError, match=r"near_duplicates\.threshold"):
        Recipe.from_dict({"near_duplicates": {"by": "embedding", "threshold": 0.5}})
    with pytest.raises(ValueError, match=r"near_duplicates\.by"):
        Recipe.from_dict({"near_duplicates": {"by": "magic"}})


# --- export_vectors ---------------------------------------------------------------------------------------------------


@pytest.fixture
def version(project: Project) -> DatasetVersion:
    made = building.start("prefs", project, {}, by=None, wake=False)
    assert ledger.execute(made.run_id or 0)
    made.refresh_from_db()
    return made


def exported(path: Path, *arguments: str) -> dict[str, Any]:
    """The rows of the file by their ids."""
    call_command("export_vectors", "prefs@1", "--to", str(path), *arguments, stdout=io.StringIO())
    table = pq.read_table(path)
    assert table.schema.field("vector").type == pa.list_(pa.float16(), 2)
    return dict(zip(table["id"].to_pylist(), table["vector"].to_pylist(), strict=True))


@pytest.mark.parametrize("of", ["row", "prompt"])
def test_exported_vectors_are_those_of_the_versions_rows_in_their_order(
    version: DatasetVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, of: str
) -> None:
    monkeypatch.setattr(vectors, "CHUNK", 2)  # several row groups, one without any vector
    told = exported(tmp_path / "deep" / "vectors.parquet", "--of", of)
    rows = [json.loads(line)["id"] for line in version.rows.order_by("position").values_list("line", flat=True)]
    assert list(told) == rows
    for name, degrees in DEGREES.items():
        assert told[name] == (None if degrees is None else pytest.approx(pointing(degrees), abs=1e-3))
    event = Event.objects.get(verb="dataset.vectors_exported")
    assert (event.data["rows"], event.data["of"]) == (5, of)
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["vectors.parquet"]


def test_a_row_whose_texts_changed_since_is_exported_without_a_vector(version: DatasetVersion, tmp_path: Path) -> None:
    c0, c1 = Comparison.objects.filter(external_id__in=["c0", "c1"]).order_by("external_id")
    ComparisonVector.objects.filter(comparison=c1).update(completion_a=c0.completion_a_id)
    told = exported(tmp_path / "vectors.parquet")
    assert [name for name, vector in told.items() if vector is None] == ["c1", "c4"]


def test_a_withdrawn_row_is_not_exported(version: DatasetVersion, tmp_path: Path) -> None:
    with rewriting.door():
        version.rows.get(comparison__external_id="c2").delete()
    assert sorted(exported(tmp_path / "vectors.parquet")) == ["c0", "c1", "c3", "c4"]


def test_a_cluster_finds_in_the_file_what_a_recipe_finds_in_the_database(
    version: DatasetVersion, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exported(tmp_path / "vectors.parquet")
    scale.main(["near", str(tmp_path / "vectors.parquet"), "--by", "embedding", "--out", str(tmp_path / "out")])
    assert json.loads(capsys.readouterr().out)["without a vector"] == 1
    found = pq.read_table(tmp_path / "out").to_pydict()
    repeats = dict(zip(found["id"], found["repeats"], strict=True))
    rows = [row for row in found["id"] if row != "c4"]
    kept = {frozenset((row, first)) for row, first in repeats.items() if first}
    assert kept == {frozenset(("c0", "c1")), frozenset(("c2", "c3"))}
    assert repeats["c4"] is None
    assert all(rows.index(first) < rows.index(row) for row, first in repeats.items() if first)


def test_what_has_no_vector_is_told_with_what_to_do(version: DatasetVersion, tmp_path: Path) -> None:
    out = io.StringIO()
    call_command("export_vectors", "prefs", "--to", str(tmp_path / "vectors.parquet"), stdout=out)
    assert "1 rows have no vector and will repeat nothing: embed makes them" in out.getvalue()
    out = io.StringIO()
    call_command("export_vectors", "prefs", "--to", str(tmp_path / "vectors.parquet"), "--json", stdout=out)
    told = json.loads(out.getvalue())
    assert (told["rows"], told["without_vector"], told["dimension"], told["encoder"]) == (5, 1, 2, "ring")
    assert told["sha256"] == hashlib.sha256((tmp_path / "vectors.parquet").read_bytes()).hexdigest()


def test_a_project_without_vectors_and_a_file_that_cannot_be_are_refused(
    version: DatasetVersion, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(Unavailable, match="nothing is half-written"):
        vectors.write(version, tmp_path / "file" / "vectors.parquet")
    ProjectEncoder.objects.all().delete()
    with pytest.raises(Invalid, match="run embed first"):
        vectors.write(version, tmp_path / "vectors.parquet")
    assert not list(tmp_path.rglob("*vectors.parquet*"))

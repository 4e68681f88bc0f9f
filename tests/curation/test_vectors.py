"""Near-duplicates by embedding, from the vectors in the database to the rows of a version."""

from __future__ import annotations

import math
from typing import Any

import pytest

from annotate.models import Comparison
from curation.exports.recipe import Recipe
from curation.models import ComparisonVector, Encoder, ProjectEncoder, PromptVector
from curation.services import building
from curation.services.vectors import vectors_of
from tests import build
from tiebreak.accounts.models import Project
from tiebreak.core.errors import Invalid
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

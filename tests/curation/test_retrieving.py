"""What resembles a comparison is found among what people stand behind, and what resembles a mistake is asked next."""

from __future__ import annotations

import math
from typing import Any

import pytest
from django.test import Client

from annotate.models import Adjudication, Comparison
from curation.models import ComparisonVector, Encoder, ProjectEncoder, RewardMargin, RoutingDecision
from curation.services import overriding, retrieving, verbs
from tests.build import (
    make_aggregation,
    make_comparison,
    make_consensus,
    make_member,
    make_model,
    make_project,
    make_user,
    make_version,
)
from tiebreak.accounts.models import Project

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("storage")]


@pytest.fixture
def encoder() -> Encoder:
    return Encoder.objects.create(spec="circle", fingerprint="circle/1", dimension=2)


@pytest.fixture
def project(encoder: Encoder) -> Project:
    project = make_project("ring", overlap=2)
    ProjectEncoder.objects.create(project=project, encoder=encoder)
    return project


def put(project: Project, name: str, degrees: float, **fields: Any) -> Comparison:
    """A comparison at an angle on the circle: two of them are as similar as the cosine between them."""
    comparison = make_comparison(project, name, **fields)
    angle = math.radians(degrees)
    ComparisonVector.objects.create(
        comparison=comparison,
        encoder=Encoder.objects.get(),
        prompt=comparison.prompt_id,
        completion_a=comparison.completion_a_id,
        completion_b=comparison.completion_b_id,
        vector=[math.cos(angle), math.sin(angle)],
    )
    return comparison


def names(found: list[retrieving.Similar]) -> list[str]:
    return [Comparison.objects.get(pk=each.comparison).external_id for each in found]


def test_the_nearest_come_first_and_none_is_its_own_neighbour(project: Project) -> None:
    here = put(project, "here", 0)
    for degrees in (50, 10, 30):
        put(project, f"at {degrees}", degrees)
    found = retrieving.similar(project, [here.pk], 2)
    assert names(found) == ["at 10", "at 30"]
    assert [each.similarity for each in found] == pytest.approx([0.9848, 0.8660], abs=2e-3)  # cosines of 10° and 30°


@pytest.mark.parametrize("few", [0, 20_000])
def test_verified_is_gold_or_decided_or_settled_by_two_people(
    project: Project, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retrieving, "FEW", few)  # by either way of searching
    here = put(project, "here", 0)
    aggregation = make_aggregation(project)
    put(project, "gold", 5, gold=1)
    decided = put(project, "decided", 10)
    Adjudication.objects.create(comparison=decided, preference=1, both_bad=False, reason="r", by=make_user())
    for degrees, (name, status, people) in enumerate(
        [("by two", "settled", 2), ("by one", "settled", 1), ("unsettled", "open", 2), ("out", "withdrawn", 2)], 15
    ):
        row = make_consensus(aggregation, put(project, name, degrees, status=status), (1, 0, 0))
        row.n_annotators = people
        row.save()
    assert names(retrieving.similar_verified(project, [here.pk], 9)) == ["gold", "decided", "by two"]


def test_what_measures_is_never_retrieved(project: Project) -> None:
    here, near = put(project, "here", 0), put(project, "near", 5, gold=1)
    put(project, "far", 40, gold=-1)
    assert names(retrieving.similar_verified(project, [here.pk], 1, evaluation=[near.pk])) == ["far"]


def test_other_projects_and_other_encoders_are_not_looked_at(project: Project, encoder: Encoder) -> None:
    here = put(project, "here", 0)
    put(make_project(), "elsewhere", 1)
    other = Encoder.objects.create(spec="square", fingerprint="square/1", dimension=2)
    ComparisonVector.objects.create(
        comparison=make_comparison(project, "another's"), encoder=other, prompt=0, completion_a=0, completion_b=0,
        vector=[1, 0],
    )  # fmt: skip
    assert retrieving.similar(project, [here.pk], 3) == []


def test_without_embeddings_there_are_no_neighbours() -> None:
    project = make_project()
    one = make_comparison(project)
    assert retrieving.similar(project, [one.pk], 3) == []
    assert retrieving.missing(project) == 1


def test_a_comparison_without_a_vector_has_no_neighbours_and_is_nobodys(project: Project) -> None:
    here, bare = put(project, "here", 0), make_comparison(project, "bare")
    assert retrieving.similar(project, [here.pk, bare.pk], 3) == []
    assert retrieving.missing(project) == 1


# --- error-driven -----------------------------------------------------------------------------------------------------


def wrong_at(project: Project, *, margin_at_0: float = 2.0) -> Any:
    """Gold at 0° and 180° prefers a; the model favours b at 0° by the given margin, and a, surely, at 180°."""
    gold = [put(project, "mistaken", 0, gold=-1), put(project, "right", 180, gold=-1)]
    model = make_model(make_version(project, []))
    for comparison, margin in zip(gold, (margin_at_0, -6.0), strict=True):
        RewardMargin.objects.create(reward_model=model, comparison=comparison, margin=margin, held_out=True)
    return model


def test_a_mistake_brings_its_neighbours_and_a_sure_hit_but_one(project: Project) -> None:
    model = wrong_at(project)
    for degrees in (10, 20, 30, 150, 160, 170):
        put(project, f"at {degrees}", degrees)
    found = retrieving.error_driven(model, k_max=2)
    told = [(Comparison.objects.get(pk=c).external_id, Comparison.objects.get(pk=w).external_id) for c, w, _ in found]
    # Wrong: all k_max. Right with p = σ(6) = .9975: ceil(2 · .0025) = 1.
    assert told == [("at 10", "mistaken"), ("at 20", "mistaken"), ("at 170", "right")]


def test_what_the_model_was_trained_on_is_no_mistake_of_it(project: Project) -> None:
    model = wrong_at(project)
    RewardMargin.objects.update(held_out=False)
    put(project, "at 10", 10)
    assert retrieving.error_driven(model) == []


def test_what_measures_the_model_brings_nothing(project: Project) -> None:
    model = wrong_at(project)
    put(project, "at 10", 10)
    gold = Comparison.objects.get(external_id="mistaken").pk
    assert [why for _, why, _ in retrieving.error_driven(model, evaluation=[gold])] != [gold]


def test_a_return_with_neighbours_brings_open_comparisons_forward_with_the_reason(project: Project) -> None:
    model = wrong_at(project)
    alike = put(project, "at 10", 10, route="judge")
    put(project, "at 90", 90)
    result = verbs.run_here("return", project, {"model": model.name, "neighbours": 1}).result
    assert (result["returned"], result["brought_forward"]) == (0, 2)
    alike.refresh_from_db()
    assert (alike.route, alike.priority, alike.status, alike.full) == ("human", 2, "open", False)
    assert alike.returned_because == f"like mistaken (similarity 0.98), which {model.name} gets wrong"
    decision = RoutingDecision.objects.get(comparison=alike, current=True)
    assert (decision.policy, decision.route) == ("error-driven", "human")


def test_what_a_person_gave_to_a_judge_is_not_brought_forward(project: Project) -> None:
    model = wrong_at(project)
    alike = put(project, "at 10", 10)
    decision = overriding.override(project, alike.pk, "judge", "nobody has time", by=make_user())
    assert verbs.run_here("return", project, {"model": model.name, "neighbours": 1}).result["brought_forward"] == 0
    alike.refresh_from_db()
    decision.refresh_from_db()
    assert (alike.route, decision.current) == ("judge", True)


def test_a_return_without_neighbours_is_as_it_was(project: Project) -> None:
    model = wrong_at(project)
    put(project, "at 10", 10)
    assert "brought_forward" not in verbs.run_here("return", project, {"model": model.name}).result
    assert not RoutingDecision.objects.exists()


# --- on a comparison's page -------------------------------------------------------------------------------------------


def test_a_comparisons_page_lists_what_resembles_it(project: Project, client: Client) -> None:
    here = put(project, "here", 0)
    aggregation = make_aggregation(project)
    for degrees in (10, 20, 30, 40, 50, 60):
        make_consensus(aggregation, put(project, f"at {degrees}", degrees), (0.1, 0.0, 0.9))
    bare = make_comparison(project, "bare")
    client.force_login(make_member(project, "curator"), backend="django.contrib.auth.backends.ModelBackend")
    page = client.get(f"/p/ring/comparisons/{here.pk}/")
    assert [each.line.external_id for each in page.context["life"].alike] == [f"at {d}" for d in (10, 20, 30, 40, 50)]
    assert 'id="alike"' in page.content.decode()
    assert 'id="alike"' not in client.get(f"/p/ring/comparisons/{bare.pk}/").content.decode()

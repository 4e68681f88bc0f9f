"""Scores of a project in the database: by every method, in blocks, again, and after a worker died."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from annotate.models import Adjudication, Comparison, Judgement
from curation import noise
from curation.models import NoiseScore
from curation.services import noise as service
from curation.services import verbs
from tests import build
from tiebreak.accounts.models import Project
from tiebreak.core.errors import Invalid
from tiebreak.runs import ledger

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("storage")]
LONG = " ".join(f"word{i}" for i in range(60))


@pytest.fixture
def project() -> Project:
    """Twelve comparisons; in c0 two of three people say b, elsewhere all say a."""
    project = build.make_project("court", overlap=4)
    for number in range(12):
        comparison = build.make_comparison(project, f"c{number}", prompt="Which?", a=f"one {number}", b=f"two {number}")
        build.make_judgements(comparison, "BBA" if number == 0 else "AAA")
    verbs.run_here("aggregate", project, {"method": "majority"})
    return project


def score(project: Project, method: str = "all") -> dict[str, Any]:
    return dict(verbs.run_here("noise", project, {"method": method}).result)


def by(method: str) -> dict[str, float]:
    rows = NoiseScore.objects.filter(method=method)
    return dict(rows.values_list("comparison__external_id", "score"))


def one(name: str) -> Comparison:
    return Comparison.objects.get(external_id=name)


def test_all_methods_that_need_no_training_are_scored_and_told(project: Project) -> None:
    told = score(project)

    assert tuple(told["methods"]) == service.HERE == tuple(service.SCORERS)
    assert told["scored"] == NoiseScore.objects.count()
    assert set(NoiseScore.objects.values_list("method", flat=True)) == {"consensus-entropy", "rater-quality", "rules"}
    assert set(service.HERE) < set(noise.METHODS)


def test_the_label_of_raters_who_err_is_doubted_with_their_names(project: Project) -> None:
    skills = project.aggregations.get(current=True).skills
    skills.filter(rater__name__in=["r1", "r2"]).update(confusion=[[0.4, 0.3, 0.3]] * 3, n=500)
    skills.filter(rater__name="r3").update(
        confusion=[[0.98, 0.01, 0.01], [0.01, 0.98, 0.01], [0.01, 0.01, 0.98]], n=500
    )
    score(project, "rater-quality")

    found = by("rater-quality")
    assert found["c0"] > 0.9 > found["c1"]
    assert "against: r3 (97%)" in NoiseScore.objects.get(comparison=one("c0"), method="rater-quality").cause


def test_a_rater_who_came_after_the_aggregation_is_like_the_others(project: Project) -> None:
    build.make_judgement(one("c1"), build.make_rater(project, "new"), 1)
    score(project, "rater-quality")

    assert "new" in NoiseScore.objects.get(comparison=one("c1")).cause


def test_the_rules_read_the_texts_and_keep_the_places(project: Project) -> None:
    leaky = build.make_comparison(project, "leak", a="I am ChatGPT and I say one", b="two")
    build.make_judgements(leaky, "AAA")
    verbs.run_here("aggregate", project, {"method": "majority"})
    score(project, "rules")

    found = NoiseScore.objects.get(comparison=leaky)
    assert found.score == 0.4  # it was chosen
    assert found.details["hits"][0] | {"quote": ""} == {
        "rule": "identity-leak", "place": "a", "score": 0.4, "quote": "",
    }  # fmt: skip


def test_a_justification_pasted_again_and_again_is_found_and_one_of_several_people_is_not(project: Project) -> None:
    Judgement.objects.filter(rater__name="r1").update(justification="A is better in every way.")
    Judgement.objects.filter(rater__name="r2", comparison=one("c2")).update(
        justification="B has nothing to say at all."
    )
    score(project, "rules")

    causes = dict(NoiseScore.objects.values_list("comparison__external_id", "cause"))
    assert "“A is better in every way. (on 12 comparisons)”" in causes["c1"]
    assert "nothing to say" not in causes["c2"]


def test_the_same_texts_labelled_the_other_way_are_found_whichever_side_they_stand_on(project: Project) -> None:
    for name, a, b in (("first", LONG, "two"), ("again", "TWO", LONG.replace("word30", "other"))):
        build.make_judgements(build.make_comparison(project, name, prompt="Which one?", a=a, b=b), "AAA")
    verbs.run_here("aggregate", project, {"method": "majority"})
    score(project, "conflicts")

    assert by("conflicts") == {"first": 0.5, "again": 0.5}
    assert NoiseScore.objects.get(comparison=one("again")).cause.startswith("first has the same two texts")


def test_a_cycle_within_one_prompt_is_found_and_across_prompts_it_is_none(project: Project) -> None:
    for prompt in ("p", "q"):
        edges = (("x", "y"), ("y", "z"), ("z", "x")) if prompt == "p" else (("x", "y"), ("y", "z"), ("x", "z"))
        for a, b in edges:
            made = build.make_comparison(project, f"{prompt}{a}{b}", prompt=prompt, a=f"text {a}", b=f"text {b}")
            build.make_judgements(made, "AAA")
    verbs.run_here("aggregate", project, {"method": "majority"})
    score(project, "conflicts")

    assert {name: round(s, 3) for name, s in by("conflicts").items()} == {
        "pxy": 0.5, "pyz": 0.5, "pzx": 0.5, "qxy": 0, "qyz": 0, "qxz": 0,
    }  # fmt: skip


def test_scoring_again_replaces_and_forgets_what_is_no_label_any_more(project: Project) -> None:
    score(project, "consensus-entropy")
    first = NoiseScore.objects.get(comparison=one("c0"))
    Comparison.objects.filter(external_id="c1").update(status="withdrawn")
    Adjudication.objects.create(comparison=one("c2"), preference=-1, reason="so", by=build.make_user())
    score(project, "consensus-entropy")

    assert NoiseScore.objects.count() == 10
    again = NoiseScore.objects.get(comparison=one("c0"))
    assert (again.pk, again.score) == (first.pk, first.score)
    assert again.run_id != first.run_id


def test_scores_of_a_later_run_are_not_taken_back_by_an_earlier_one(project: Project) -> None:
    early = ledger.start("noise", project=project, params={"method": "consensus-entropy"}, wake=False)
    score(project, "consensus-entropy")
    ledger.execute(early.pk)

    assert NoiseScore.objects.count() == 12
    assert not NoiseScore.objects.filter(run=early).exists()


def test_a_run_goes_on_behind_the_last_block_that_it_stored(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "BLOCK", 5)
    run = ledger.start("noise", project=project, params={"method": "consensus-entropy"}, wake=False)
    execution = ledger.claim(run.pk)
    assert execution is not None
    labels = service.labelled(project)
    block = labels.block(0)
    service._store(execution, "consensus-entropy", block, noise.consensus_entropy(block.posterior))
    assert service._done(execution, "consensus-entropy", labels) == 0  # the first attempt begins at the beginning
    execution.run.attempt = 2
    assert service._done(execution, "consensus-entropy", labels) == 5
    assert [len(labels.block(start).id) for start in (0, 5, 10)] == [5, 5, 2]


def test_blocks_give_what_one_block_gives(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def everything() -> set[tuple[Any, ...]]:
        score(project)
        return set(NoiseScore.objects.values_list("comparison", "method", "score", "decision", "cause"))

    whole = everything()
    monkeypatch.setattr(service, "BLOCK", 5)
    assert everything() == whole


def test_a_method_that_trains_is_refused_with_those_that_are_scored_here(project: Project) -> None:
    with pytest.raises(Invalid, match="consensus-entropy"):
        verbs.run_here("noise", project, {"method": "ensemble-margin"})


def test_values_are_found_by_their_ids_and_unknown_ones_are_left_aside() -> None:
    found = service.at(np.array([2, 5, 9]), np.array([9, 1, 5, 12]), np.array([0.9, 0.1, 0.5, 1.2]), np.nan)
    assert np.isnan(found[0])
    assert found[1:].tolist() == [0.5, 0.9]

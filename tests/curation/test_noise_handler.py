"""Noise scores by training, as a run: from consensus and texts to scores with their causes, resumed and repeated."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.management import call_command

from annotate.models import Comparison
from curation.handlers import noise as handler
from curation.models import NoiseScore
from curation.services import verbs
from tests import build
from tiebreak.accounts.models import Project
from tiebreak.core.errors import Invalid
from tiebreak.runs import ledger
from tiebreak.runs.models import Run

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("storage")]

CONFIG = {
    "embed": [],
    "l2": [0.01, 0.1],
    "inner_folds": 3,
    "partitions": 2,
    "epochs": 8,
    "learning_rate": 0.03,
}  # no encoder: seconds
WRONG = {"c003", "c014", "c025"}


@pytest.fixture
def project() -> Project:
    """Forty comparisons in which both people prefer the longer answer, but in three, and one tie."""
    project = build.make_project(overlap=2)
    for i in range(40):
        long, short = f"answer {i} " + "with every reason spelled out, " * (3 + i % 4), f"answer {i}."
        a, b = (long, short) if i % 2 else (short, long)
        comparison = build.make_comparison(project, f"c{i:03d}", prompt=f"question {i}", a=a, b=b)
        longer, shorter = ("A", "B") if i % 2 else ("B", "A")
        said = "T" if i == 39 else shorter if comparison.external_id in WRONG else longer
        build.make_judgements(comparison, said * 2)
    verbs.run_here("aggregate", project, {"method": "majority"})
    return project


def score(project: Project, method: str = "all", **given: Any) -> dict[str, Any]:
    params = {"method": method, "config": CONFIG} | given
    return dict(verbs.run_here("noise-training", project, params).result)


def by(method: str) -> dict[str, float]:
    return dict(NoiseScore.objects.filter(method=method).values_list("comparison__external_id", "score"))


def test_every_method_puts_the_labels_against_the_pattern_first(project: Project) -> None:
    told = score(project)

    assert tuple(told["methods"]) == handler.METHODS
    assert told["scored"] == 39
    assert 0 < told["noise_rate"] < 0.3
    for method in handler.METHODS:
        found = by(method)
        assert len(found) == 39, method  # a tie has no side to be wrong about
        assert set(sorted(found, key=lambda name: -found[name])[:3]) == WRONG, method
        assert all(0 <= value <= 1 for value in found.values())


def test_each_score_tells_its_cause_and_what_the_models_said(project: Project) -> None:
    score(project)
    doubted = NoiseScore.objects.filter(comparison__external_id="c014")

    margin = doubted.get(method="ensemble-margin")
    assert margin.cause.startswith("2 of 2 models that did not learn it are against it: margin -")
    assert margin.details["mean"] < 0
    assert margin.details["models"] == 2
    review = doubted.get(method="peer-review")
    assert review.details["kept"] < 1
    assert "reviewers, which let it teach in" in review.cause
    assert doubted.get(method="confident-learning").details["against"] is True
    assert doubted.get(method="training-dynamics").details["confidence"] < 0.5


def test_the_same_seed_gives_the_same_scores_and_replaces_the_earlier_ones(project: Project) -> None:
    score(project, "peer-review", seed=3)
    first = by("peer-review")
    score(project, "peer-review", seed=3)

    assert by("peer-review") == first
    score(project, "peer-review", seed=4)
    assert by("peer-review") != first
    assert NoiseScore.objects.filter(method="peer-review").count() == 39


def test_which_completion_is_called_a_does_not_matter(project: Project) -> None:
    score(project, "ensemble-margin")
    before = by("ensemble-margin")
    for comparison in Comparison.objects.filter(external_id__in=["c001", "c014"]):
        consensus = comparison.consensus
        comparison.completion_a, comparison.completion_b = comparison.completion_b, comparison.completion_a
        consensus.p_a, consensus.p_b = consensus.p_b, consensus.p_a
        comparison.save()
        consensus.save()
    score(project, "ensemble-margin")

    assert by("ensemble-margin") == pytest.approx(before, abs=1e-5)


def test_a_run_whose_worker_died_goes_on_with_the_folds_that_it_has(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, taught = handler.held_out, []

    def dying(*arguments: Any) -> Any:
        taught.append(1)
        if len(taught) == 4:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(handler, "held_out", dying)
    params = verbs.prepare("noise-training", project, {"method": "ensemble-margin", "config": CONFIG})
    run = ledger.start("noise-training", project=project, params=params, wake=False)
    with pytest.raises(KeyboardInterrupt):
        ledger.execute(run.pk)
    assert not NoiseScore.objects.exists()
    assert run.artifacts.count() == 4  # the penalty and three folds
    assert not any("/" in name for name in run.artifacts.values_list("name", flat=True))  # the run's page links them
    Run.objects.filter(pk=run.pk).update(status=Run.Status.QUEUED)  # as the reaper does once the lease has run out
    taught.clear()
    taught.extend([0] * 10)
    done = ledger.execute(run.pk)

    assert done is not None
    assert done.status == Run.Status.SUCCEEDED
    assert not run.artifacts.exists()
    assert len(taught) - 10 == 3  # of two partitions in three folds, three were kept
    resumed = by("ensemble-margin")
    score(project, "ensemble-margin")
    assert by("ensemble-margin") == resumed


def test_pieces_of_other_labels_are_not_taken_for_ones_own(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    # The first attempt dies when all is computed; a judgement changes before the second one.
    params = verbs.prepare("noise-training", project, {"method": "ensemble-margin", "config": CONFIG})
    run = ledger.start("noise-training", project=project, params=params, wake=False)
    with monkeypatch.context() as patched:
        patched.setattr(handler, "_scores", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            ledger.execute(run.pk)
    assert run.artifacts.count() == 7
    consensus = Comparison.objects.get(external_id="c020").consensus
    consensus.p_a, consensus.p_b = consensus.p_b, consensus.p_a
    consensus.save()
    Run.objects.filter(pk=run.pk).update(status=Run.Status.QUEUED)
    ledger.execute(run.pk)

    assert by("ensemble-margin")["c020"] > 0.5 > by("ensemble-margin")["c021"]


def test_few_labels_are_refused_with_how_many_it_takes() -> None:
    project = build.make_project(overlap=2)
    for i in range(3):
        build.make_judgements(build.make_comparison(project, f"c{i}", a="long answer", b="no"), "AA")
    verbs.run_here("aggregate", project, {"method": "majority"})

    with pytest.raises(Invalid, match="10 with a side; there are 3"):
        score(project)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"method": "votes"}, "method"),
        ({"config": {"head": "mlp"}}, "config"),
        ({"config": {"noise": "magic"}}, "noise"),
        ({"config": {"depth": 3}}, "depth"),
    ],
)
def test_settings_that_it_cannot_take_are_refused_by_name(project: Project, given: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid, match=field):
        verbs.run_here("noise-training", project, given)


def test_only_a_command_reads_encoders_from_folders_of_the_machine(project: Project) -> None:
    with pytest.raises(Invalid, match="hub id"):
        verbs.start("noise-training", project, {"config": {"encoder": "hf:/etc"}}, by=None)


def test_recurring_completions_are_told(project: Project) -> None:
    assert score(project, "confident-learning")["recurring_completions"] is False
    first = Comparison.objects.get(external_id="c001")
    third = build.make_comparison(
        project, "c100", prompt="question 1", a=first.completion_a.text, b="a third answer of middling length"
    )
    build.make_judgements(third, "AA")
    verbs.run_here("aggregate", project, {"method": "majority"})

    assert score(project, "confident-learning")["recurring_completions"] is (third.completion_a == first.completion_a)


def test_the_command_trains_on_request(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    # The packaged encoder on forty short texts: seconds.
    call_command("score_noise", project.slug, "--method", "ensemble-margin", "--json")

    assert '"methods": ["ensemble-margin"]' in capsys.readouterr().out
    assert set(NoiseScore.objects.values_list("method", flat=True)) == {"ensemble-margin"}

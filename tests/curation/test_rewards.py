"""From a version to a registered reward model, its figures, its margins, and what it sends back to people."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file

from annotate.models import Comparison, Judgement
from curation.models import Evaluation, NoiseScore, RewardMargin, RewardModel, RoutingDecision
from curation.services import building, verbs
from tests.build import make_comparison, make_judge, make_judgements, make_project
from tiebreak.accounts.models import Project
from tiebreak.core.errors import Invalid, NotFound
from tiebreak.runs import ledger, store

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("storage")]

SURFACE = {"embed": [], "l2": [0.01]}  # no encoder: these tests are about what happens around a model
RECIPE = {"method": "majority", "split": {"train": 0.6, "validation": 0.1, "test": 0.3, "seed": 3}}


def make_world(n: int = 60, *, wrong: int = 0) -> Project:
    """n comparisons in which two people prefer the longer answer; in the first `wrong` of them the shorter one."""
    project = make_project(overlap=2)
    for i in range(n):
        long, short = f"answer {i} " + "with every reason spelled out, " * (3 + i % 4), f"answer {i}."
        a, b = (long, short) if i % 2 else (short, long)
        better = "A" if i % 2 else "B"
        other = {"A": "B", "B": "A"}[better]
        comparison = make_comparison(project, f"c{i:03d}", prompt=f"question {i}", a=a, b=b)
        make_judgements(comparison, (other if i < wrong else better) * 2)
    verbs.run_here("aggregate", project, {"method": "majority"})
    version = building.start("prefs", project, RECIPE, by=None, wake=False)
    ledger.execute(version.run_id or 0)
    return project


def train(project: Project, **given: Any) -> dict[str, Any]:
    params = {"version": "prefs@1", "name": "rm", "config": SURFACE} | given
    result: dict[str, Any] = verbs.run_here("train", project, params).result
    return result


def test_training_registers_a_model_with_weights_config_and_figures() -> None:
    result = train(make_world())
    model = RewardModel.objects.get(name="rm")
    assert result["test"]["accuracy"]["value"] == 1.0  # length is all there is to learn
    assert result["test"]["length_baseline"]["value"] == 1.0
    assert 0 <= result["test"]["ece"] <= 1
    assert sum(b["n"] for b in result["test"]["bins"]) == 2 * result["test"]["n"]
    assert "scale" in load_file(store.path_of(model.weights_id))
    config = json.loads(store.path_of(model.model_config_id).read_text())
    assert config["config"]["seed"] == 0
    assert Evaluation.objects.get(reward_model=model).benchmark == "prefs@1/test"


def test_kept_ties_are_learned_from_where_the_target_knows_ties() -> None:
    from curation.handlers.rewards import _config, _rows
    from tiebreak.runs.ledger import claim

    project = make_world(8)
    for i in range(6):
        make_judgements(make_comparison(project, f"t{i}", a=f"one {i}", b=f"two {i}"), "TT")
    told = {}
    for name, target in (("soft", "soft"), ("tied", "tie-aware"), ("margin", "margin")):
        recipe = RECIPE | {"ties": "keep", "both_bad": "keep", "target": target}
        version = building.start(name, project, recipe, by=None, wake=False)
        ledger.execute(version.run_id or 0)
        version.refresh_from_db()
        run = ledger.start("train", project=project, params={"config": {}}, wake=False)
        execution = claim(run.pk)
        assert execution is not None
        told[name] = list(_rows(version)), _config(version, execution)

    (soft, plain), (tied, config), (_, margin) = told.values()
    assert (plain.ties, config.ties, margin.ties) == (False, True, False)
    assert (plain.margin, config.margin, margin.margin) == (0.0, 0.0, pytest.approx(1 / 3))
    assert all(row.tie == 0 for row in soft)
    ties = [row for row in tied if row.id.startswith("t")]
    assert ties
    assert all((row.split, row.probability) == ("train", 0.5) and row.tie > 0.9 for row in ties)
    assert len(tied) - len(ties) == len(soft)


def test_the_same_version_config_and_seed_give_the_same_weights() -> None:
    project = make_world()
    train(project, name="one")
    train(project, name="two")
    one, two = RewardModel.objects.order_by("id")
    assert one.weights_id == two.weights_id


def test_every_comparison_gets_a_margin_from_a_model_that_did_not_learn_it() -> None:
    project = make_world()
    result = train(project)
    assert result["margins"] == RewardMargin.objects.filter(held_out=True).count() == 60
    # b is longer in the even ones: the margin, reward of b minus reward of a, lies above 0 there
    assert all(m.margin > 0 for m in RewardMargin.objects.filter(comparison__external_id__in=["c000", "c010", "c058"]))
    assert all(m.margin < 0 for m in RewardMargin.objects.filter(comparison__external_id__in=["c001", "c031"]))


def test_confident_disagreements_go_back_to_people_with_their_reason_once() -> None:
    project = make_world(wrong=3)
    train(project)
    result = verbs.run_here("return", project, {"model": "rm", "limit": 2}).result
    assert (result["considered"], result["returned"]) == (3, 2)
    back = Comparison.objects.exclude(returned_because="")
    assert {c.external_id for c in back} < {"c000", "c001", "c002"}
    assert all((c.status, c.priority, c.overlap) == ("open", 2, 3) for c in back)
    decision = RoutingDecision.objects.filter(current=True).first()
    assert decision is not None
    assert "rm prefers" in decision.reason
    again = verbs.run_here("return", project, {"model": "rm", "limit": 2}).result
    assert again["returned"] == 0  # the worst two wait already


def test_the_model_finds_the_wrong_labels_as_noise() -> None:
    project = make_world(wrong=3)
    train(project)
    verbs.run_here("noise", project, {"method": "reward-model-disagreement"})
    scores = NoiseScore.objects.filter(method="reward-model-disagreement").order_by("-score")
    worst = list(scores.values_list("comparison__external_id", flat=True)[:3])
    assert set(worst) == {"c000", "c001", "c002"}


def test_a_reward_model_judges_comparisons_once_in_no_order() -> None:
    project = make_world()
    train(project)
    judge = make_judge(project, "by-model", kind="reward-model", backend="", config={"reward_model": "rm"})
    result = verbs.run_here("judge", project, {"judge": "by-model"}).result
    assert (result["comparisons"], result["parsed"]) == (60, 60)
    said = Judgement.objects.get(rater__judge=judge, comparison__external_id="c000")
    assert said.preference is not None
    assert said.preference > 0
    assert said.probability_b is not None
    assert said.probability_b > 0.5


def test_scoring_by_run_gives_rewards_in_order() -> None:
    from curation.services import rewards

    project = make_world()
    train(project)
    texts = ("answer 1.", "answer 1 " + "with every reason spelled out, " * 5)  # such as it was trained on
    rows = [{"prompt": "question 1", "completion": text} for text in texts]
    run = rewards.start_scoring(RewardModel.objects.get(), rows, by=None)
    done = ledger.execute(run.pk)
    assert done is not None
    low, high = done.result["rewards"]
    assert low < high


def test_a_benchmark_file_is_measured_by_its_own_name(tmp_path: Path) -> None:
    project = make_world()
    train(project)
    path = tmp_path / "mine.jsonl"
    rows = [{"prompt": f"q{i}", "chosen": "a full answer, spelled out", "rejected": "no."} for i in range(12)]
    path.write_text("\n".join(json.dumps(row) for row in rows))
    result = verbs.run_here("evaluate", project, {"model": "rm", "benchmark": "pairs", "path": str(path)}).result
    assert (result["benchmark"], result["n"]) == ("pairs: mine.jsonl", 12)


def test_a_setting_that_does_not_exist_is_refused_by_name() -> None:
    project = make_world()
    with pytest.raises(Invalid, match="learning_rate"):
        train(project, config={"learning_rate": 1})


def test_a_version_that_does_not_exist_is_refused() -> None:
    with pytest.raises(NotFound, match="prefs@9"):
        train(make_world(), version="prefs@9")


def test_a_taken_name_is_refused_before_any_training() -> None:
    project = make_world()
    train(project)
    with pytest.raises(Invalid, match="already"):
        train(project)

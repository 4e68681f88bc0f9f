"""From judgements to consensus, routes, noise and a frozen version, each by its run."""

from __future__ import annotations

import errno
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from django.db import DatabaseError, OperationalError, transaction
from django.utils import timezone

from annotate.models import Comparison, Rater
from curation.exports.files import rows_digest
from curation.models import Aggregation, Consensus, DatasetVersion, NoiseScore, RaterSkill, RoutingDecision
from curation.services import aggregating, building, exporting, routing, verbs
from curation.stats import METHODS
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
from tiebreak.core.errors import Invalid, NotFound, Unavailable
from tiebreak.core.models import Event
from tiebreak.runs import ledger, store

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("storage")]


def make_world(n: int = 30) -> Project:
    """n comparisons: two thirds unanimous for a side, one third split; every tenth is called a tie by all."""
    project = make_project(overlap=3)
    for i in range(n):
        letters = "TTT" if i % 10 == 9 else ("AAB" if i % 3 == 0 else "AAA" if i % 2 else "BBB")
        comparison = make_comparison(project, f"c{i:03d}", prompt=f"question {i}", a=f"answer {i}", b=f"no answer {i}")
        make_judgements(comparison, letters)
    return project


def build(project: Project, name: str = "prefs", **recipe: Any) -> DatasetVersion:
    version = building.start(name, project, recipe, by=None, wake=False)
    ledger.execute(version.run_id or 0)
    version.refresh_from_db()
    return version


# --- aggregation -----------------------------------------------------------------------------------------------------


def test_aggregation_stores_consensus_skill_and_agreement() -> None:
    project = make_world()
    run = verbs.run_here("aggregate", project, {"method": "majority"})
    assert run.result["comparisons"] == 30
    row = Consensus.objects.get(comparison__external_id="c000")  # AAB
    assert (row.side, row.n_annotators, row.n_judges) == ("a", 3, 0)
    assert row.p_a == pytest.approx(2 / 3)
    assert RaterSkill.objects.filter(aggregation__project=project).count() == 3
    alpha = Aggregation.objects.get(project=project, current=True).agreement["people"]
    assert alpha["low"] < alpha["value"] < alpha["high"]


def test_aggregating_again_replaces_and_gives_the_same_figures() -> None:
    project = make_world()
    first = verbs.run_here("aggregate", project, {}).result
    second = verbs.run_here("aggregate", project, {}).result
    assert first | {"settled": 0, "disputed": 0} == second | {"settled": 0, "disputed": 0}
    assert Aggregation.objects.filter(project=project, current=True).count() == 1
    assert Consensus.objects.filter(comparison__project=project).count() == 30


def test_aggregation_settles_the_agreed_and_marks_the_disputed() -> None:
    project = make_world()
    verbs.run_here("aggregate", project, {"method": "majority"})
    assert Comparison.objects.get(external_id="c000").status == "disputed"  # 2 to 1
    assert Comparison.objects.get(external_id="c001").status == "settled"


def test_what_all_call_bad_and_no_more_is_settled_without_a_side() -> None:
    project = make_project(overlap=2)
    make_judgements(make_comparison(project, "bad"), "XX")
    make_judgements(make_comparison(project, "good"), "AA")
    verbs.run_here("aggregate", project, {"method": "majority"})
    assert Comparison.objects.get(external_id="bad").status == "settled"
    assert not Consensus.objects.filter(comparison__external_id="bad").exists()


def test_both_orders_of_a_judge_are_one_vote() -> None:
    project = make_project()
    comparison = make_comparison(project)
    judge = make_judge(project).rater
    make_judgement(comparison, judge, -2, repeat=0, order="ab")
    make_judgement(comparison, judge, 2, repeat=1, order="ba")  # always the first: no preference of its own
    verbs.run_here("aggregate", project, {"method": "majority"})
    row = Consensus.objects.get(comparison=comparison)
    assert (row.side, row.n_judges, row.n_annotators) == ("tie", 1, 0)


def test_nothing_to_aggregate_is_said() -> None:
    with pytest.raises(Invalid, match="no judgements"):
        verbs.run_here("aggregate", make_project(), {})


def test_random_labels_show_no_reliability() -> None:
    project, rng = make_project(overlap=3), np.random.default_rng(1)
    for _ in range(60):
        make_judgements(make_comparison(project), "".join(rng.choice(list("AB"), 3)))
    alpha = verbs.run_here("aggregate", project, {}).result["alpha_people"]
    assert alpha["low"] < 0 < alpha["high"] or abs(alpha["value"]) < 0.2


def test_gold_answers_measure_raters() -> None:
    project = make_project(overlap=3)
    for i in range(10):
        make_judgements(make_comparison(project, gold=-2), "AAB" if i else "AAA")
    verbs.run_here("aggregate", project, {"method": "majority"})
    skill = RaterSkill.objects.get(rater__name="r3")
    assert (skill.gold, skill.gold_n) == (0.1, 10)  # right on the first of ten


# --- routing ---------------------------------------------------------------------------------------------------------


def make_judged(project: Project, *, probabilities: list[float]) -> list[Comparison]:
    rater = make_judge(project).rater
    made = []
    for i, p in enumerate(probabilities):
        comparison = make_comparison(project, f"j{i:03d}")
        make_judgement(comparison, rater, 1 if p > 0.5 else -1, probability_b=p)
        made.append(comparison)
    return made


def test_people_get_what_the_judge_is_least_certain_of_under_the_budget() -> None:
    project = make_project(overlap=2)
    made = make_judged(project, probabilities=[0.99, 0.52, 0.95, 0.45, 0.9, 0.97])
    given = {"budget": 4, "exploration": 0.0, "audit": 0.0}  # four judgements are two comparisons of overlap 2
    result = verbs.run_here("route", project, given).result
    assert (result["human"], result["judge"]) == (2, 4)
    human = set(Comparison.objects.filter(route="human").values_list("external_id", flat=True))
    assert human == {"j001", "j003"}
    decision = RoutingDecision.objects.get(comparison=made[1])
    assert "0.52" in decision.reason
    assert decision.features["judge_probability"] == 0.52


def test_a_budget_of_nothing_sends_nothing_to_people() -> None:
    project = make_project(overlap=2)
    make_judged(project, probabilities=[0.5, 0.6])
    assert verbs.run_here("route", project, {"budget": 0}).result["human"] == 0


def test_routing_again_writes_only_what_differs_and_keeps_the_old_decision() -> None:
    project = make_project(overlap=2)
    (comparison,) = make_judged(project, probabilities=[0.5])
    written = [verbs.run_here("route", project, {"budget": n}).result["written"] for n in (2, 2, 0)]
    assert written == [1, 0, 1]
    assert RoutingDecision.objects.filter(comparison=comparison).count() == 2
    assert RoutingDecision.objects.get(comparison=comparison, current=True).route == "judge"


def test_an_unknown_policy_is_refused_with_the_known_ones() -> None:
    project = make_project()
    make_comparison(project)
    with pytest.raises(Invalid, match="uncertainty"):
        verbs.run_here("route", project, {"policy": "astrology"})


def test_what_is_sent_back_is_open_again_first_in_line_with_one_more_seat() -> None:
    project = make_world(10)
    verbs.run_here("aggregate", project, {"method": "majority"})
    comparison = Comparison.objects.get(external_id="c001")
    with transaction.atomic():
        back = routing.send_back(project, {comparison.pk: ("model says b", 0.4)}, policy="rm", run=None, by=None)
        again = routing.send_back(project, {comparison.pk: ("model says b", 0.4)}, policy="rm", run=None, by=None)
    assert (back, again) == ([comparison.pk], [])  # it waits already: a second call changes nothing
    comparison.refresh_from_db()
    assert (comparison.status, comparison.overlap, comparison.priority) == ("open", 4, 2)
    assert comparison.returned_because == "model says b"
    assert Event.objects.filter(verb="comparison.returned").count() == 1


# --- noise -----------------------------------------------------------------------------------------------------------


def test_split_comparisons_are_noisier_than_agreed_ones_and_say_why() -> None:
    project = make_world()
    verbs.run_here("aggregate", project, {"method": "majority"})
    verbs.run_here("noise", project, {"method": "consensus-entropy"})
    split = NoiseScore.objects.get(comparison__external_id="c000")
    agreed = NoiseScore.objects.get(comparison__external_id="c001")
    assert split.score > agreed.score == 0
    assert "raters are split" in split.cause


def test_noise_without_consensus_says_to_aggregate_first() -> None:
    with pytest.raises(Invalid, match="aggregate first"):
        verbs.run_here("noise", make_project(), {})


# --- building --------------------------------------------------------------------------------------------------------


def test_a_version_holds_rows_files_counts_causes_and_a_card() -> None:
    version = build(make_world(), method="majority")
    assert version.status == "ready"
    assert sum(version.counts.values()) == version.rows.count() == 27
    assert version.dropped == {"ties": 3}
    assert version.dropped_rows.filter(rule="ties").count() == 3
    assert {f.name for f in version.files.all()} == {"train.parquet", "validation.parquet", "test.parquet"}
    assert version.card.startswith("---")
    rows = [row for f in version.files.all() for row in pq.read_table(store.path_of(f.artifact_id)).to_pylist()]
    ordered = sorted(rows, key=lambda row: row["id"])
    assert rows_digest(ordered) == version.rows_sha256


def test_the_same_recipe_over_the_same_judgements_gives_the_same_bytes() -> None:
    project = make_world()
    first, second = build(project), build(project)
    assert (first.number, second.number) == (1, 2)
    assert first.rows_sha256 == second.rows_sha256
    assert first.recipe_sha256 == second.recipe_sha256
    files = [list(v.files.values_list("artifact_id", flat=True)) for v in (first, second)]
    assert files[0] == files[1]


def test_another_database_gives_the_same_bytes() -> None:
    one, two = make_world(), make_world()  # other ids everywhere, in another project
    assert build(one, "one").rows_sha256 == build(two, "two").rows_sha256


def test_a_group_is_never_in_two_splits() -> None:
    project = make_project(overlap=3)
    for i in range(40):
        make_judgements(make_comparison(project, a=f"{i}", b=f"not {i}", group=f"g{i % 8}"), "AAA")
    version = build(project)
    splits: dict[str, set[str]] = {}
    for row in version.rows.all():
        splits.setdefault(row.row["group"], set()).add(row.split)
    assert all(len(found) == 1 for found in splits.values())


def test_a_ready_version_cannot_be_changed_by_anyone() -> None:
    version = build(make_world())
    changes = (
        lambda: version.rows.update(split="test"),
        lambda: version.rows.all().delete(),
        lambda: version.files.all().delete(),
        lambda: DatasetVersion.objects.filter(pk=version.pk).update(recipe={}),
        lambda: DatasetVersion.objects.filter(pk=version.pk).update(status="building"),
    )
    for change in changes:
        with pytest.raises(DatabaseError, match="immutable"), transaction.atomic():
            change()


def test_a_recipe_with_an_unknown_field_is_refused_by_name() -> None:
    with pytest.raises(Invalid, match="min_raters"):
        building.start("prefs", make_world(3), {"min_raters": 2}, by=None)


def test_a_recipe_that_drops_everything_says_what_dropped_it() -> None:
    project = make_world(6)
    with pytest.raises(Invalid, match="min_annotators"):
        build(project, min_annotators=9)
    assert DatasetVersion.objects.get().status == "failed"


def test_a_full_disk_leaves_no_half_version_and_the_build_can_be_tried_again(
    monkeypatch: pytest.MonkeyPatch, storage: Path
) -> None:
    project = make_world()

    def full(*args: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(store.os, "fsync", full)
        with pytest.raises(Unavailable, match="full"):
            build(project)
    version = DatasetVersion.objects.get()
    assert (version.status, version.rows_sha256) == ("failed", "")
    assert not [p for p in storage.rglob("*") if p.is_file()]
    run = ledger.retry(version.run, by=make_user())  # type: ignore[arg-type]
    ledger.execute(run.pk)
    version.refresh_from_db()
    assert version.status == "ready"


def test_a_dataset_name_belongs_to_one_project() -> None:
    build(make_world(6), "prefs")
    with pytest.raises(NotFound, match="another project"):
        build(make_world(6), "prefs")


def test_people_are_pseudonyms_and_imported_raters_keep_their_names() -> None:
    project = make_project()
    user = make_user("jane.doe")
    comparison = make_comparison(project)
    make_judgement(comparison, make_rater(project, "jane.doe", user=user), -1)
    make_judgement(comparison, make_rater(project, "w17", kind=Rater.Kind.ANNOTATOR), -1)
    (row,) = build(project).rows.all()
    names = {vote["rater"] for vote in row.row["votes"]}
    assert "w17" in names
    assert "jane.doe" not in json.dumps(row.row)


# --- exporting -------------------------------------------------------------------------------------------------------


def test_export_writes_files_card_and_manifest_with_hashes(tmp_path: Path) -> None:
    version = build(make_world())
    told = exporting.export_to(version, format="trl", folder=tmp_path / "out")
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["rows_sha256"] == version.rows_sha256
    assert {Path(f["path"]).name for f in told["files"]} >= {"train.jsonl", "README.md", "manifest.json"}
    first = json.loads((tmp_path / "out" / "train.jsonl").read_text().splitlines()[0])
    assert set(first) == {"prompt", "chosen", "rejected"}  # no margin unasked: it would change the loss


def test_a_full_disk_at_export_says_so_and_leaves_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = build(make_world())

    def full(*args: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(exporting.os, "fsync", full)
    with pytest.raises(Unavailable, match="No space left"):
        exporting.export_to(version, format="trl", folder=tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def test_an_unknown_format_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="trl-text"):
        exporting.export_to(build(make_world()), format="yaml", folder=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_lines_go_on_after_a_cursor() -> None:
    version = build(make_world())
    every = list(exporting.lines(version, format="native", split="train"))
    assert list(exporting.lines(version, format="native", split="train", skip=5)) == every[5:]


def test_aggregation_methods_and_verbs_agree() -> None:
    offered = verbs.AggregateParams.model_fields["method"].annotation.__args__
    assert set(offered) == {aggregating.AUTO, *METHODS}


# --- builds that stop ------------------------------------------------------------------------------------------------


def test_a_build_that_is_cancelled_in_the_queue_is_no_longer_building() -> None:
    version = building.start("prefs", make_world(6), {}, by=None, wake=False)
    assert version.run is not None
    ledger.cancel(version.run, by=make_user())
    version.refresh_from_db()
    assert version.status == "failed"
    assert Event.objects.filter(verb="dataset.failed", target_id=str(version.pk)).count() == 1


def test_a_build_whose_workers_all_die_is_no_longer_building() -> None:
    version = building.start("prefs", make_world(6), {}, by=None, wake=False)
    assert version.run is not None
    later = timezone.now()
    for _ in range(version.run.max_attempts):
        assert ledger.claim(version.run.pk) is not None
        version.refresh_from_db()
        assert version.status == "building"  # it may still come
        later += timedelta(hours=1)
        ledger.reap(later)
    version.refresh_from_db()
    assert version.status == "failed"


def test_a_build_that_waits_for_the_database_is_still_building(monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(*args: Any) -> None:
        raise OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(building, "_build", lost)
    with pytest.raises(OperationalError):
        build(make_world(6))
    assert DatasetVersion.objects.get().status == "building"

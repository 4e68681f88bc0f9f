"""What once went wrong in curation, and must not again."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.db import DatabaseError, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from annotate.models import Assignment, Comparison, Judge, JudgeCall, Judgement
from annotate.services import importing, projects
from curation.handlers import backends, judging, rubrics
from curation.models import Aggregation, Consensus, Dataset, DatasetRow, DatasetVersion, NoiseScore, RoutingDecision
from curation.services import building, routing, verbs
from models_rt.records import Usage, Verdict
from tests.annotate.test_races import together
from tests.build import (
    make_aggregation,
    make_call,
    make_comparison,
    make_consensus,
    make_judge,
    make_judgement,
    make_judgements,
    make_member,
    make_model,
    make_project,
    make_rater,
)
from tests.build import (
    make_version as make_ready,
)
from tiebreak.accounts.models import Project
from tiebreak.accounts.roles import Role
from tiebreak.core.errors import Conflict, Invalid, NotFound
from tiebreak.runs import ledger
from tiebreak.runs.ledger import Execution
from tiebreak.runs.models import Run

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("storage")]


def make_judged(n: int = 4, letters: str = "AA", **form: Any) -> Project:
    project = make_project(**({"overlap": 2} | form))
    for i in range(n):
        make_judgements(make_comparison(project, f"c{i}", a=f"answer {i}", b=f"no answer {i}"), letters)
    return project


def claimed(run: Run) -> Execution:
    """The run in the hands of a worker; whoever held it before has lost it."""
    Run.objects.filter(pk=run.pk).update(status="queued", lease_expires_at=None)
    execution = ledger.claim(run.pk)
    assert execution is not None
    return execution


# --- two workers, one run --------------------------------------------------------------------------------------------


def test_a_builder_that_lost_its_lease_leaves_the_version_to_the_one_that_has_it() -> None:
    version = building.start("prefs", make_judged(), {}, by=None, wake=False)
    assert version.run is not None
    late, current = claimed(version.run), claimed(version.run)
    with pytest.raises(ledger.LeaseLost):
        building.run(late)
    version.refresh_from_db()
    assert version.status == "building"
    building.run(current)
    version.refresh_from_db()
    assert version.status == "ready"


def test_a_builder_that_loses_its_lease_writes_no_row_more(monkeypatch: pytest.MonkeyPatch) -> None:
    version = building.start("prefs", make_judged(), {}, by=None, wake=False)
    assert version.run is not None
    late = claimed(version.run)
    monkeypatch.setattr(late, "progress", lambda *_, **__: None)  # it slept between two looks at its lease
    claimed(version.run)
    with pytest.raises(ledger.LeaseLost):
        building.run(late)
    assert not DatasetRow.objects.exists()
    version.refresh_from_db()
    assert version.status == "building"


# --- two runs of one kind at once ------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("verb", "given"), [("aggregate", {"method": "majority"}), ("noise", {"method": "all"})])
def test_runs_of_one_kind_take_turns(verb: str, given: dict[str, Any]) -> None:
    project = make_judged(40, "AAB", overlap=4)
    verbs.run_here("aggregate", project, {"method": "majority"})
    runs = together([lambda: verbs.run_here(verb, project, given)] * 4)
    assert {run.status for run in runs} == {"succeeded"}
    assert Aggregation.objects.filter(project=project, current=True).count() == 1
    assert Consensus.objects.count() == 40
    assert NoiseScore.objects.filter(method="consensus-entropy").count() in (0, 40)


@pytest.mark.django_db(transaction=True)
def test_of_routes_at_once_those_that_come_second_are_refused_and_spend_nothing() -> None:
    project = make_judged(40, "", overlap=4)

    def route() -> str:
        try:
            return verbs.run_here("route", project, {"policy": "random"}).status
        except Conflict as refused:
            return str(refused.code)

    ended = together([route] * 4)
    assert "succeeded" in ended
    assert set(ended) <= {"succeeded", "routing_at_work"}
    assert RoutingDecision.objects.filter(current=True).count() == 40


def test_a_route_leaves_alone_what_was_sent_back_while_it_thought(monkeypatch: pytest.MonkeyPatch) -> None:
    project = make_project(overlap=1)
    comparison = make_comparison(project)

    def send_back_meanwhile(*_: object) -> int:
        routing.send_back(project, {comparison.pk: ("a curator doubts it", 0.5)}, policy="curator", run=None, by=None)
        return 0  # people have no budget: the route means it for the judge

    Comparison.objects.update(route="judge")
    monkeypatch.setattr(routing, "_budget", send_back_meanwhile)
    verbs.run_here("route", project, {"policy": "uncertainty", "audit": 0, "exploration": 0})
    comparison.refresh_from_db()
    assert (comparison.route, comparison.priority) == ("human", Comparison.Priority.FIRST)
    assert RoutingDecision.objects.get(current=True).policy == "curator"


# --- settling --------------------------------------------------------------------------------------------------------


def test_a_comparison_that_somebody_is_reading_is_not_settled_over_their_head() -> None:
    project = make_project(overlap=1)
    comparison = make_comparison(project)
    judge = make_judge(project)
    for repeat in (0, 1):
        make_judgement(comparison, judge.rater, 2, repeat=repeat, order="ba" if repeat else "ab")
    lease = Assignment.objects.create(
        comparison=comparison, rater=make_rater(project), order="ab", expires_at=timezone.now()
    )
    verbs.run_here("aggregate", project, {"method": "majority"})
    Assignment.objects.filter(pk=lease.pk).update(status="released", expires_at=None)
    assert list(Comparison.objects.filter(project=project).open()) == [comparison]  # the seat is free for the next


def test_a_changed_overlap_takes_no_seat_from_what_was_sent_back() -> None:
    project = make_judged(1, "AA", overlap=2)
    comparison = Comparison.objects.get()
    routing.send_back(project, {comparison.pk: ("doubtful", 0.5)}, policy="curator", run=None, by=None)
    projects.change_form(project, by=None, overlap=1)
    assert list(Comparison.objects.filter(project=project).open()) == [comparison]


# --- judges ----------------------------------------------------------------------------------------------------------


def scripted(project: Project) -> Judge:
    return make_judge(project, model="scripted", config={"backend": {"qualities": {}, "skill": 0.9, "seed": 1}})


def test_a_judge_run_that_was_killed_between_two_orders_asks_for_the_other_one() -> None:
    project = make_project()
    first, second = make_comparison(project), make_comparison(project)
    judge = scripted(project)
    run = ledger.start("judge", project=project, params={"judge": judge.pk, "limit": 2}, wake=False)
    for comparison in (first, second):  # one order of each is stored, and the worker dies
        make_call(judge, comparison, 1, run=run)
    ledger.execute(run.pk)
    run.refresh_from_db()
    assert run.result["comparisons"] == 2
    assert JudgeCall.objects.filter(judge=judge).count() == 4
    assert (run.done, run.total) == (2, 2)


def test_a_verdict_on_a_text_that_an_import_replaced_meanwhile_is_not_kept() -> None:
    project = make_project()
    comparison = make_comparison(project, "c1", prompt="question", a="old answer", b="other answer")
    judge = scripted(project)
    execution = claimed(ledger.start("judge", project=project, params={"judge": judge.pk}, wake=False))
    (ask, *_) = judging.asks(judge, [comparison.pk])
    row = {"id": "c1", "prompt": "question", "completion_a": "new answer", "completion_b": "other answer"}
    report = importing.import_stream(project, io.BytesIO(json.dumps(row).encode()))
    assert report.updated == 1
    verdict = Verdict(ask.pair.id, "ab", 0, "parsed", -1, False, None, "", "", "", "0" * 64, "scripted", Usage())
    assert judging.store(execution, judge, [verdict], {ask.pair.id: ask.pair}) == 0
    assert not Judgement.objects.exists()
    assert list(judging.unjudged(judge)) == [comparison]  # asked again, about the new text


def test_a_rubric_is_drawn_from_known_preferences_alone() -> None:
    project = make_project()
    aggregation = make_aggregation(project)
    for i in range(8):  # the author says a tie, the raters say a
        make_consensus(aggregation, make_comparison(project, gold=0, group=f"tie{i}"), (0.9, 0.05, 0.05))
    for i in range(8):
        make_comparison(project, gold=1, group=f"out{i}", status=Comparison.Status.WITHDRAWN)
    wanted = [make_comparison(project, gold=-1, group=f"g{i}") for i in range(4)]
    drawn, tried = rubrics._examples(scripted(project), 10, 0)
    assert {k.comparison.pk: k.preference for k in drawn + tried} == {c.pk: -1 for c in wanted}


# --- immutable versions ----------------------------------------------------------------------------------------------


def make_version(status: str = "ready") -> DatasetVersion:
    version = building.start("prefs", make_judged(), {}, by=None, wake=False)
    if status == "ready":
        ledger.execute(version.run_id or 0)
    version.refresh_from_db()
    return version


@pytest.mark.parametrize("field", ["statistics", "code_version", "recipe_sha256"])
def test_no_column_of_a_ready_version_changes_under_cover_of_a_lost_link(field: str) -> None:
    version = make_version()
    value: Any = {} if field == "statistics" else "another"
    with pytest.raises(DatabaseError, match="immutable"), transaction.atomic():
        DatasetVersion.objects.filter(pk=version.pk).update(run=None, **{field: value})


def test_a_ready_version_loses_a_deleted_run_and_gets_no_other() -> None:
    version = make_version()
    other = ledger.start("build", project=version.dataset.project, wake=False)
    with pytest.raises(DatabaseError, match="immutable"), transaction.atomic():
        DatasetVersion.objects.filter(pk=version.pk).update(run=other)
    assert version.run is not None
    version.run.delete()
    version.refresh_from_db()
    assert version.run is None


def test_no_row_moves_into_or_out_of_a_ready_version() -> None:
    ready = make_version()
    unfinished = DatasetVersion.objects.create(dataset=ready.dataset, number=2, recipe={}, recipe_sha256="0" * 64)
    row = DatasetRow.objects.create(
        version=unfinished, position=99, split="train", side="a", line="{}", sha256="0" * 64
    )
    with pytest.raises(DatabaseError, match="immutable"), transaction.atomic():
        DatasetRow.objects.filter(pk=row.pk).update(version=ready)
    with pytest.raises(DatabaseError, match="immutable"), transaction.atomic():
        DatasetRow.objects.filter(version=ready, position=0).update(version=unfinished)
    row.delete()


# --- what comes back to people ---------------------------------------------------------------------------------------


def test_a_model_does_not_ask_again_what_people_have_confirmed_nor_what_was_withdrawn() -> None:
    project = make_judged(3, "AA")
    first, gone, next_ = Comparison.objects.order_by("id")
    aggregation = make_aggregation(project)
    for comparison in (first, gone, next_):
        make_consensus(aggregation, comparison, (0.9, 0.05, 0.05))
    model = make_model(make_ready(project, []), [first, gone, next_])
    assert verbs.run_here("return", project, {"model": model.name, "limit": 1}).result["comparisons"] == [first.pk]
    make_judgement(first, make_rater(project), -1)  # the label stands
    Comparison.objects.filter(pk=gone.pk).update(status="withdrawn")
    assert verbs.run_here("return", project, {"model": model.name, "limit": 1}).result["comparisons"] == [next_.pk]


# --- odd material ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["majority", "dawid-skene"])
@pytest.mark.parametrize("letters", ["T", "A", "TT", "X", "AX"])
def test_few_and_even_judgements_go_through_the_whole_loop(letters: str, method: str) -> None:
    project = make_judged(3, letters, overlap=max(2, len(letters)))
    make_comparison(project)  # nobody said anything
    if letters == "X":
        with pytest.raises(Invalid):
            verbs.run_here("aggregate", project, {"method": method})
        return
    verbs.run_here("aggregate", project, {"method": method})
    verbs.run_here("noise", project, {"method": "all"})
    verbs.run_here("route", project, {"budget": 3})
    version = building.start("prefs", project, {"method": method, "min_probability": 0}, by=None, wake=False)
    if "T" in letters:  # a tie is no pair
        with pytest.raises(Invalid, match="no row"):
            ledger.execute(version.run_id or 0)
        return
    ledger.execute(version.run_id or 0)
    version.refresh_from_db()
    assert version.status == "ready"
    assert version.run is not None
    json.dumps([version.statistics, version.run.result], allow_nan=False)
    assert "nan" not in version.card


@pytest.mark.django_db(transaction=True)
def test_two_first_versions_of_one_dataset_are_two_versions() -> None:
    project = make_judged()
    made = together([lambda: building.start("prefs", project, {}, by=None, wake=False)] * 4)
    assert sorted(version.number for version in made) == [1, 2, 3, 4]
    assert Dataset.objects.count() == 1


def test_a_project_cannot_judge_by_the_reward_model_of_another() -> None:
    model = make_model(make_ready(make_judged(), []))
    judge = make_judge(make_project(), kind="reward-model", config={"reward_model": model.name})
    with pytest.raises(NotFound, match=model.name):
        backends.judge_of(judge)


def test_a_version_whose_build_was_cancelled_in_the_queue_does_not_say_that_it_is_being_written(client: Client) -> None:
    project = make_judged()
    owner = make_member(project, Role.OWNER)
    version = building.start("prefs", project, {}, by=owner, wake=False)
    assert version.run is not None
    ledger.cancel(version.run, by=owner)
    client.force_login(owner)
    page = client.get(reverse("version", args=[project.slug, "prefs", version.number])).content.decode()
    assert "The build stopped:" in page
    assert "cancelled" in page

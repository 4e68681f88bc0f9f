"""A noise policy in the database: previewed without a trace, applied once, undone as if it had not been."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from annotate.models import Adjudication, Comparison, Judgement
from curation import noise
from curation.models import DatasetVersion, NoiseDecision, NoiseScore, NoiseTreatment, RoutingDecision
from curation.services import building, overriding, treating
from tests import build
from tiebreak.accounts.models import Project, User
from tiebreak.core.errors import Conflict, Invalid
from tiebreak.core.models import Event
from tiebreak.runs import ledger
from tiebreak.runs.models import Run

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("storage")]
ENTROPY, MODEL, RATERS = "consensus-entropy", "reward-model-disagreement", "rater-quality"


@pytest.fixture
def curator() -> User:
    return build.make_user("curie")


@pytest.fixture
def project() -> Project:
    """Ten comparisons, c0 to c9, that two people judged AB; label a; the entropy's score is 0.0 to 0.9."""
    project = build.make_project("court", overlap=2)
    aggregation = build.make_aggregation(project)
    for number in range(10):
        comparison = build.make_comparison(project, f"c{number}", prompt=f"which, of {number}?")
        build.make_judgements(comparison, "AB")
        build.make_consensus(aggregation, comparison, (0.7, 0.1, 0.2))
        build.make_noise(comparison, method=ENTROPY, score=number / 10, cause=f"split over {number}")
    return project


def policy(*rules: dict[str, Any], **limits: Any) -> noise.Policy:
    told = [{"methods": [ENTROPY]} | rule for rule in rules]
    return noise.Policy.from_dict({"rules": told, "limits": {"max_dropped": 1} | limits})


DROP = policy({"action": "drop", "at_least": 0.8})
ASK = policy({"action": "ask_people", "at_least": 0.8})


def treat(project: Project, rules: noise.Policy, by: User, **given: Any) -> NoiseTreatment:
    made = treating.apply(project, rules, by=by, wake=False, **given)
    ledger.execute(made.run_id or 0)
    made.refresh_from_db()
    return made


def stopped(made: NoiseTreatment) -> NoiseTreatment:
    """As a run that failed leaves it."""
    Run.objects.filter(pk=made.run_id).update(status="failed", finished_at=timezone.now())
    return made


def standing(project: Project) -> dict[str, str]:
    rows = NoiseDecision.objects.filter(comparison__project=project, current=True)
    return dict(rows.values_list("comparison__external_id", "action"))


def one(name: str) -> Comparison:
    return Comparison.objects.get(external_id=name)


def version(project: Project, **recipe: Any) -> DatasetVersion:
    made = building.start("prefs", project, {"method": "majority", "ties": "drop"} | recipe, by=None, wake=False)
    ledger.execute(made.run_id or 0)
    made.refresh_from_db()
    return made


# --- preview ---------------------------------------------------------------------------------------------------------


def test_a_preview_counts_and_writes_nothing(project: Project) -> None:
    events = Event.objects.count()
    counted, labels = treating.preview(project, DROP)

    assert (counted.n, counted.counts["drop"], counted.by_rule[0]["drop"]) == (10, 2, 2)
    assert [int(labels.id[i]) for i in counted.examples["drop"]] == [one("c9").pk, one("c8").pk]
    assert not NoiseTreatment.objects.exists()
    assert Event.objects.count() == events


def test_a_preview_is_what_applying_does(project: Project, curator: User) -> None:
    rules = policy({"action": "drop", "at_least": 0.8}, {"action": "soften", "at_least": 0.5, "weight": 0.5})
    counted, _ = treating.preview(project, rules)

    assert treat(project, rules, curator).counts == {"drop": counted.counts["drop"], "soften": counted.counts["soften"]}


def test_what_an_adjudicator_decided_is_no_label_to_treat(project: Project, curator: User) -> None:
    Adjudication.objects.create(comparison=one("c9"), preference=-1, reason="It is right.", by=curator)

    assert treating.preview(project, DROP)[0].counts["drop"] == 1


def test_unanimity_is_that_of_people_and_of_all_of_them(project: Project) -> None:
    comparison = one("c9")
    Judgement.objects.filter(comparison=comparison).update(preference=-1)
    build.make_call(build.make_judge(project), comparison, 1)  # a judge is no person
    labels = treating.evidence(project, DROP).labels
    place = labels.id.tolist().index(comparison.pk)
    assert (labels.unanimous[place], labels.people[place], labels.side[place]) == (True, 2, -1)
    assert labels.unanimous.sum() == 1
    said = Judgement.objects.filter(comparison=comparison, rater__kind="annotator").first()
    Judgement.objects.filter(pk=said.pk if said else 0).update(preference=None, both_bad=True)
    assert not treating.evidence(project, DROP).labels.unanimous.any()


# --- applying --------------------------------------------------------------------------------------------------------


def test_applying_writes_a_decision_with_its_cause_for_each_label_that_changes(project: Project, curator: User) -> None:
    made = treat(project, DROP, curator, note="before the summer")

    assert standing(project) == {"c8": "drop", "c9": "drop"}
    decision = NoiseDecision.objects.get(comparison=one("c9"))
    assert (decision.method, decision.score, decision.cause) == (ENTROPY, 0.9, "split over 9")
    assert (made.counts, made.note, made.policy) == ({"drop": 2}, "before the summer", DROP.to_dict())
    assert [event.verb for event in Event.objects.filter(target_type="curation.noisetreatment").order_by("pk")] == [
        "noise.treatment_started", "noise.treated",
    ]  # fmt: skip


def test_a_run_that_is_done_again_decides_nothing_twice(project: Project, curator: User) -> None:
    made = treating.apply(project, ASK, by=curator, wake=False)
    execution = ledger.claim(made.run_id or 0)
    assert execution is not None
    treating.run(execution)
    overlaps = list(Comparison.objects.order_by("pk").values_list("overlap", flat=True))
    treating.run(execution)

    assert made.decisions.count() == 2
    assert list(Comparison.objects.order_by("pk").values_list("overlap", flat=True)) == overlaps


def test_a_treatment_goes_on_where_it_was_stopped(
    project: Project, curator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(treating, "BATCH", 1)
    made = treating.apply(project, ASK, by=curator, wake=False)
    execution = ledger.claim(made.run_id or 0)
    assert execution is not None
    with monkeypatch.context() as patch:
        patch.setattr(execution, "progress", lambda done, *_, **__: done and pytest.fail("killed"))
        with pytest.raises(pytest.fail.Exception):
            treating.run(execution)
    assert made.decisions.count() == 1
    treating.run(execution)
    assert made.decisions.count() == 2


def test_a_later_policy_replaces_an_earlier_one_also_where_it_keeps(project: Project, curator: User) -> None:
    treat(project, DROP, curator)
    treat(project, policy({"action": "soften", "at_least": 0.9}), curator)

    assert standing(project) == {"c8": "keep", "c9": "soften"}
    assert NoiseDecision.objects.filter(comparison=one("c9")).count() == 2


def test_what_a_limit_saved_is_told(project: Project, curator: User) -> None:
    treat(project, policy({"action": "drop", "at_least": 0.8}, max_dropped=0.1), curator)

    saved = NoiseDecision.objects.get(comparison=one("c8"))
    assert (saved.action, saved.details["weight"]) == ("soften", 0.5)
    assert saved.cause == "as many are dropped as may be; split over 8"


def test_asking_people_sends_comparisons_back_to_the_queue(project: Project, curator: User) -> None:
    Comparison.objects.update(status="settled")
    treat(project, ASK, curator)

    back = Comparison.objects.filter(status="open")
    assert {(row.external_id, row.overlap, row.route) for row in back} == {("c8", 3, "human"), ("c9", 3, "human")}
    assert one("c9").returned_because == "split over 9"
    assert RoutingDecision.objects.filter(current=True, policy="noise").count() == 2


@pytest.mark.parametrize(
    ("rules", "code"),
    [
        (policy({"methods": [RATERS], "action": "drop", "at_least": 0.5}), "unscored"),
        (policy({"action": "drop", "at_least": 0}), "confirm_treatment"),
        (policy({"action": "drop", "at_least": 0.3}), "confirm_treatment"),  # seven of ten
    ],
)
def test_a_policy_without_scores_or_that_loses_much_is_refused(
    project: Project, curator: User, rules: noise.Policy, code: str
) -> None:
    with pytest.raises((Invalid, Conflict)) as refused:
        treating.apply(project, rules, by=curator)
    assert refused.value.code == code
    assert not NoiseTreatment.objects.exists()


def test_a_policy_that_drops_everything_is_applied_once_it_is_confirmed(project: Project, curator: User) -> None:
    Judgement.objects.filter(rater__name="r2").update(preference=-2)  # all say a
    made = treat(project, policy({"action": "drop", "at_least": 0}, unanimous=3), curator, confirmed=True)

    assert made.counts == {"drop": 10}
    with pytest.raises(Invalid, match="noise 10"):
        version(project)


def test_a_project_without_consensus_is_told_to_aggregate(curator: User) -> None:
    with pytest.raises(Invalid, match="aggregate first"):
        treating.apply(build.make_project(), DROP, by=curator)


def test_a_policy_that_is_wrong_is_refused_with_its_rule_and_field() -> None:
    with pytest.raises(Invalid, match=r"rules\.0\.methods: expected some of .*, got 'magic'"):
        treating.parse({"rules": [{"methods": ["magic"], "action": "drop", "at_least": 1}]})


def test_treatments_take_turns(project: Project, curator: User) -> None:
    waiting = treating.apply(project, DROP, by=curator, wake=False)

    for act in (lambda: treating.apply(project, ASK, by=curator), lambda: treating.undo(waiting, by=curator)):
        with pytest.raises(Conflict, match="still at work"):
            act()


def test_a_treatment_that_failed_and_was_undone_is_not_applied_by_a_retry(project: Project, curator: User) -> None:
    made = stopped(treating.apply(project, DROP, by=curator, wake=False))
    treating.undo(made, by=curator)
    ledger.retry(Run.objects.get(pk=made.run_id), by=curator)

    with pytest.raises(Conflict, match="is undone"):
        ledger.execute(made.run_id or 0)
    assert standing(project) == {}


def test_a_treatment_that_is_undone_between_two_batches_writes_no_more(
    project: Project, curator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(treating, "BATCH", 1)
    made = treating.apply(project, DROP, by=curator, wake=False)
    execution = ledger.claim(made.run_id or 0)
    assert execution is not None
    undone = NoiseTreatment.objects.filter(pk=made.pk)
    monkeypatch.setattr(execution, "progress", lambda done, *_, **__: done and undone.update(undone_at=timezone.now()))

    with pytest.raises(Conflict, match="is undone"):
        treating.run(execution)
    assert made.decisions.count() == 1


def test_a_retried_treatment_gives_way_to_the_one_at_work(project: Project, curator: User) -> None:
    first = stopped(treating.apply(project, DROP, by=curator, wake=False))
    second = treating.apply(project, ASK, by=curator, wake=False)
    ledger.retry(Run.objects.get(pk=first.run_id), by=curator)

    with pytest.raises(Conflict, match="Another treatment"):
        ledger.execute(first.run_id or 0)
    ledger.execute(second.run_id or 0)
    assert set(standing(project).values()) == {"ask_people"}


# --- undoing ---------------------------------------------------------------------------------------------------------


def test_undoing_brings_back_what_was_replaced(project: Project, curator: User) -> None:
    first = treat(project, DROP, curator)
    second = treat(project, policy({"action": "soften", "at_least": 0.7}), curator)
    treating.undo(second, by=curator)

    assert standing(project) == {"c8": "drop", "c9": "drop"}
    treating.undo(first, by=curator)
    assert standing(project) == {}
    assert Event.objects.filter(verb="noise.treatment_undone").count() == 2


def test_undoing_in_another_order_never_brings_back_what_is_undone(project: Project, curator: User) -> None:
    first = treat(project, DROP, curator)
    second = treat(project, policy({"action": "soften", "at_least": 0.8}), curator)
    third = treat(project, policy({"action": "ask_people", "at_least": 0.8}), curator)
    treating.undo(second, by=curator)
    assert standing(project) == {"c8": "ask_people", "c9": "ask_people"}  # what is later stands
    treating.undo(third, by=curator)
    assert standing(project) == {"c8": "drop", "c9": "drop"}
    assert first.undone_at is None


def test_undoing_twice_is_refused(project: Project, curator: User) -> None:
    made = treat(project, DROP, curator)
    treating.undo(made, by=curator)

    with pytest.raises(Conflict, match="undone already"):
        treating.undo(made, by=curator)


def test_undoing_closes_the_seats_that_nobody_took_and_leaves_the_others(project: Project, curator: User) -> None:
    Comparison.objects.update(status="settled")
    earlier = build.make_routing(one("c9"), policy="uncertainty")
    made = treat(project, ASK, curator)
    build.make_judgement(one("c8"), build.make_rater(project), 1)  # somebody was quick
    treating.undo(made, by=curator)

    nine, eight = one("c9"), one("c8")
    assert (nine.status, nine.overlap, nine.returned_because, nine.priority) == ("settled", 2, "", 0)
    assert (eight.status, eight.overlap, eight.seats_taken) == ("open", 3, 3)
    earlier.refresh_from_db()
    assert earlier.current


def test_what_waited_already_keeps_its_seat_when_asking_is_undone(project: Project, curator: User) -> None:
    Comparison.objects.update(overlap=3)  # a seat is free
    treating.undo(treat(project, ASK, curator), by=curator)

    assert set(Comparison.objects.values_list("overlap", "status")) == {(3, "open")}


def test_what_a_person_sent_to_people_meanwhile_stays_open_when_asking_is_undone(
    project: Project, curator: User
) -> None:
    Comparison.objects.update(status="settled")
    made = treat(project, ASK, curator)
    decision = overriding.override(project, one("c9").pk, "people", "I want to know.", by=curator)
    treating.undo(made, by=curator)

    assert (one("c9").status, one("c9").overlap, one("c8").status) == ("open", 3, "settled")
    decision.refresh_from_db()
    assert decision.current


def test_what_a_person_settled_no_policy_sends_back_to_people(project: Project, curator: User) -> None:
    decision = overriding.override(project, one("c9").pk, "settled", "It is clear.", by=curator)
    treat(project, ASK, curator)

    assert (one("c9").status, one("c8").overlap) == ("settled", 3)
    decision.refresh_from_db()
    assert decision.current
    with pytest.raises(Conflict, match="lift that first"):
        treating.decide_one(one("c9"), "ask_people", by=curator)
    again = overriding.override(project, one("c9").pk, "people", "It is not.", by=curator)  # a person may
    assert (one("c9").status, again.current) == ("open", True)


# --- one label, by hand ----------------------------------------------------------------------------------------------


def test_what_a_person_decided_stands_against_every_policy(project: Project, curator: User) -> None:
    made = treating.decide_one(one("c9"), "keep", by=curator, because="I read both.")
    treat(project, DROP, curator)

    assert standing(project) == {"c8": "drop", "c9": "keep"}
    treating.undo(made, by=curator)
    treat(project, DROP, curator)
    assert standing(project) == {"c8": "drop", "c9": "drop"}


def test_a_person_replaces_what_a_policy_decided_and_it_comes_back(project: Project, curator: User) -> None:
    treat(project, DROP, curator)
    made = treating.decide_one(one("c9"), "ask_people", by=curator)

    assert standing(project)["c9"] == "ask_people"
    assert one("c9").overlap == 3
    assert Event.objects.filter(verb="noise.decided", target_id=str(one("c9").pk)).exists()
    treating.undo(made, by=curator)
    assert standing(project)["c9"] == "drop"
    assert one("c9").overlap == 2


@pytest.mark.parametrize("action", ["flip", "soften", "burn", ""])
def test_by_hand_a_label_is_kept_asked_about_or_dropped(project: Project, curator: User, action: str) -> None:
    with pytest.raises(Invalid, match="action"):
        treating.decide_one(one("c9"), action, by=curator)


@pytest.mark.parametrize("text", ["\x00", "\ud800", "x" * 501])
def test_words_that_cannot_be_stored_are_refused(project: Project, curator: User, text: str) -> None:
    with pytest.raises(Invalid, match="because"):
        treating.decide_one(one("c9"), "keep", by=curator, because=text)
    with pytest.raises(Invalid, match="note"):
        treating.apply(project, DROP, by=curator, note=text)


def test_what_is_decided_or_withdrawn_needs_no_treatment(project: Project, curator: User) -> None:
    Adjudication.objects.create(comparison=one("c9"), preference=-1, reason="It is right.", by=curator)
    Comparison.objects.filter(external_id="c8").update(status="withdrawn")

    for name in ("c8", "c9"):
        with pytest.raises(Conflict):
            treating.decide_one(one(name), "drop", by=curator)


@pytest.mark.django_db(transaction=True)
def test_of_two_who_decide_one_label_at_once_one_decision_is_current(project: Project, curator: User) -> None:
    barrier = threading.Barrier(2)

    def decide(action: str) -> None:
        barrier.wait()
        try:
            treating.decide_one(one("c9"), action, by=curator)
        finally:
            connection.close()

    threads = [threading.Thread(target=decide, args=(action,)) for action in ("keep", "drop")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert NoiseDecision.objects.filter(comparison=one("c9"), current=True).count() == 1
    assert NoiseDecision.objects.filter(comparison=one("c9")).count() == 2


# --- versions --------------------------------------------------------------------------------------------------------


def test_a_version_follows_what_stands_decided_and_an_old_one_never_changes(project: Project, curator: User) -> None:
    Judgement.objects.filter(rater__name="r2").update(preference=-2)  # all say a
    NoiseScore.objects.create(comparison=one("c7"), method=RATERS, score=0.9, decision="keep", cause="r2 errs")
    before = version(project)
    rules = policy({"action": "drop", "at_least": 0.8}, {"action": "soften", "at_least": 0.7, "weight": 0.5})
    made = treat(project, rules, curator)
    after = version(project)

    assert (sum(before.counts.values()), sum(after.counts.values())) == (10, 8)
    assert set(after.dropped_rows.values_list("comparison__external_id", "rule", "cause")) == {
        ("c8", "noise", "consensus-entropy 0.80: split over 8"),
        ("c9", "noise", "consensus-entropy 0.90: split over 9"),
    }
    row = after.rows.get(comparison=one("c7")).row
    assert row["noise_treatment"] == "soften: consensus-entropy 0.70: split over 7"
    assert row["probability"] < before.rows.get(comparison=one("c7")).row["probability"]
    assert version(project, noise={"treatment": "none"}).rows_sha256 == before.rows_sha256
    treating.undo(made, by=curator)
    assert version(project).rows_sha256 == before.rows_sha256
    after.refresh_from_db()
    assert after.rows.count() == 8


@pytest.mark.parametrize(
    ("method", "cause"),
    [
        (RATERS, "for a: curie (90%); against: bob (40%); right so often as in brackets"),
        ("rules", "a model names itself or its maker in A: “curie@lab.fr”; the same words in a justification: “bob”"),
    ],
)
def test_a_row_tells_whose_score_treated_it_and_names_and_quotes_nobody(
    project: Project, curator: User, method: str, cause: str
) -> None:
    """Members' names are pseudonyms in a row, and texts are de-identified: a cause must not bring them in again."""
    Judgement.objects.filter(rater__name="r2").update(preference=-2)  # all say a
    build.make_noise(one("c3"), method=method, score=0.9, cause=cause)
    treat(project, policy({"methods": [method], "action": "soften", "at_least": 0.8, "weight": 0.5}), curator)
    made = version(project).rows.get(comparison=one("c3"))

    assert made.row["noise_treatment"] == f"soften: {method} 0.90"
    assert not any(name in made.line for name in ("curie", "bob"))
    assert NoiseDecision.objects.get(comparison=one("c3"), current=True).cause == cause  # who curates reads it all
    treat(project, policy({"methods": [method], "action": "drop", "at_least": 0.8}), curator)
    assert version(project).dropped_rows.get(comparison=one("c3")).cause == f"{method} 0.90"


def test_a_flipped_label_is_flipped_in_the_version(project: Project, curator: User) -> None:
    Judgement.objects.filter(rater__name="r2").update(preference=-2)
    model = build.make_model(build.make_version(project, []), [one("c9")])  # it favours b by 2
    for method in (MODEL, RATERS):
        build.make_noise(one("c9"), method=method, score=0.9, cause="it is b")
    flip = policy({"methods": [MODEL, RATERS], "action": "flip", "at_least": 0.8, "agree": True})
    treat(project, flip, curator)
    row = version(project).rows.get(comparison=one("c9")).row

    assert model.margins.count() == 1
    assert (row["chosen_side"], row["chosen"][0]["content"]) == ("b", "second answer")
    assert row["noise_treatment"].startswith("flip: ")


def test_the_margins_of_an_ensemble_go_before_those_of_a_model(project: Project) -> None:
    """The model is 2 against c8 and c9; the ensemble, which did not see them either, is for c8."""
    build.make_model(build.make_version(project, []), [one("c8"), one("c9")])
    build.make_noise(one("c8"), method="ensemble-margin", score=0.1, details={"mean": 0.7})
    build.make_noise(one("c7"), method="ensemble-margin", score=0.1, details={})
    for name in ("c7", "c8", "c9"):
        for method in (MODEL, RATERS):
            build.make_noise(one(name), method=method, score=0.9)
    flip = policy({"methods": [MODEL, RATERS], "action": "flip", "at_least": 0.8, "agree": True})
    counted, labels = treating.preview(project, flip)

    assert counted.counts["flip"] == 1
    assert [int(labels.id[i]) for i in counted.examples["flip"]] == [one("c9").pk]

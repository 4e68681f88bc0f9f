"""Routing as it is lived: policies by version, a ledger that ends, what people say, news, and judges on trial."""

from __future__ import annotations

import math
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from django.db.models import ProtectedError
from django.utils import timezone

from annotate.models import Comparison, Judge, Judgement
from curation.models import (
    BudgetGrant,
    CompletionVector,
    Encoder,
    ProjectEncoder,
    PromptVector,
    RoutingDecision,
    RoutingPolicy,
    RoutingSettings,
)
from curation.routing import Item, extract
from curation.services import admitting, budgeting, buying, evidence, overriding, policies, rerouting, routing, verbs
from tests.build import (
    make_aggregation,
    make_comparison,
    make_consensus,
    make_judge,
    make_judgement,
    make_judgements,
    make_policy,
    make_project,
    make_rater,
    make_user,
)
from tiebreak.accounts.models import Project, User
from tiebreak.core.errors import Conflict, Invalid
from tiebreak.core.models import Event, record
from tiebreak.runs import ledger
from tiebreak.runs.models import Run

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("storage")]


@pytest.fixture
def by() -> User:
    return make_user()


def make_judged(probabilities: list[float], overlap: int = 2, **fields: Any) -> Project:
    """A project of open comparisons j000, j001, … with one judge's probability of b each."""
    project = make_project(overlap=overlap)
    judge = make_judge(project).rater
    for i, p in enumerate(probabilities):
        comparison = make_comparison(project, f"j{i:03d}", **fields)
        make_judgement(comparison, judge, 1 if p > 0.5 else -1, probability_b=p)
    return project


def route(project: Project, **given: Any) -> dict[str, Any]:
    """Without chance, unless asked for."""
    found: dict[str, Any] = verbs.run_here("route", project, {"exploration": 0, "audit": 0} | given).result
    return found


def to_people() -> set[str]:
    return set(Comparison.objects.filter(route="human").values_list("external_id", flat=True))


# --- policies ---------------------------------------------------------------------------------------------------------


def test_an_edit_is_a_new_version_and_the_old_one_stays_as_it_was(by: User) -> None:
    project = make_project()
    first = policies.create(project, "careful", "uncertainty", {"audit": 0.2}, by=by)
    second = policies.create(project, "careful", "uncertainty", {"audit": 0.3}, by=by)
    first.refresh_from_db()
    assert (first.version, first.params["audit"], second.version, second.params["audit"]) == (1, 0.2, 2, 0.3)
    assert Event.objects.filter(verb="routing.policy_created", actor=by).count() == 2


@pytest.mark.parametrize(
    ("kind", "params", "field"),
    [
        ("astrology", {}, "policy"),
        ("uncertainty", {"audit": 1.5}, "audit"),
        ("uncertainty", {"auditt": 0.1}, "auditt"),
        ("uncertainty", {"audit": 0.6, "exploration": 0.6}, "exploration"),
        ("uncertainty", {"max_overlap": 3}, "max_overlap"),
        ("uncertainty", {"budget": -1}, "budget"),
        ("adaptive-overlap", {"max_overlap": 0}, "max_overlap"),
    ],
)
def test_what_a_policy_cannot_be_told_is_refused_by_its_field(kind: str, params: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid, match=f"^{field}:") as refused:
        policies.create(make_project(), "p", kind, params, by=None)
    assert refused.value.params["field"] == field


@pytest.mark.parametrize("name", ["", "Upper", "a b", "uncertainty", "active", "x" * 65])
def test_a_name_that_means_something_else_is_refused(name: str) -> None:
    with pytest.raises(Invalid, match="name:"):
        policies.create(make_project(), name, "uncertainty", {}, by=None)


def test_a_policy_that_nobody_simulated_is_switched_on_only_on_purpose(by: User) -> None:
    policy = policies.create(make_project(), "p", "uncertainty", {}, by=by)
    with pytest.raises(Conflict, match="never simulated"):
        policies.activate(policy, 1.0, by=by)
    assert policies.activate(policy, 1.0, by=by, unsimulated=True).status == "active"


def test_active_policies_never_decide_more_than_everything(by: User) -> None:
    project = make_project()
    one, two = (policies.create(project, name, "random", {}, by=by) for name in ("one", "two"))
    policies.activate(one, 0.7, by=by, unsimulated=True)
    with pytest.raises(Invalid, match="30%") as refused:
        policies.activate(two, 0.4, by=by, unsimulated=True)
    assert refused.value.params["field"] == "share"
    policies.activate(one, 0.6, by=by, unsimulated=True)  # its own share is no hindrance to itself
    policies.activate(two, 0.4, by=by, unsimulated=True)
    assert [arm.share for arm in policies.arms(project, "active", {})] == [0.6, 0.4]


@pytest.mark.parametrize("share", [0.0, -0.1, 1.1])
def test_a_share_is_more_than_nothing_and_at_most_everything(share: float, by: User) -> None:
    policy = policies.create(make_project(), "p", "random", {}, by=by)
    with pytest.raises(Invalid, match="share:"):
        policies.activate(policy, share, by=by, unsimulated=True)


def test_a_gain_policy_without_a_model_that_predicts_is_not_switched_on(by: User) -> None:
    policy = policies.create(make_project(), "p", "expected-gain", {}, by=by)
    with pytest.raises(Invalid, match="not been fitted"):
        policies.activate(policy, 1.0, by=by, unsimulated=True)


def test_a_kind_that_this_release_does_not_know_is_not_switched_on(by: User) -> None:
    policy = make_policy(make_project(), kind="of-tomorrow")
    with pytest.raises(Invalid, match="of-tomorrow"):
        policies.activate(policy, 1.0, by=by)


def test_what_was_retired_decides_nothing_and_its_share_falls_to_the_default(by: User) -> None:
    project = make_judged([0.5, 0.9])
    policy = policies.create(project, "p", "random", {}, by=by)
    policies.activate(policy, 1.0, by=by, unsimulated=True)
    assert route(project)["policy"] == "p@1"
    policies.retire(policy, by=by)
    assert route(project, budget=2)["policy"] == "uncertainty"
    assert to_people() == {"j000"}


def test_a_policy_that_has_decided_something_cannot_be_deleted(by: User) -> None:
    project = make_judged([0.5])
    policy = policies.create(project, "p", "random", {}, by=by)
    policies.activate(policy, 1.0, by=by, unsimulated=True)
    route(project)
    with pytest.raises(ProtectedError):
        policy.delete()


def test_a_policy_that_goes_while_a_run_waits_leaves_its_share_to_the_default(by: User) -> None:
    project = make_judged([0.5])
    policy = policies.create(project, "p", "random", {}, by=by)
    policies.activate(policy, 1.0, by=by, unsimulated=True)
    run = verbs.start("route", project, {}, by=by)
    RoutingPolicy.objects.all().delete()
    done = ledger.execute(run.pk)
    assert done is not None
    assert (done.status, done.result["policy"]) == ("succeeded", "uncertainty")


def test_a_policy_is_routed_by_its_name_and_version(by: User) -> None:
    project = make_judged([0.5, 0.9])
    for _ in range(2):
        policies.create(project, "p", "uncertainty", {"exploration": 0, "audit": 0}, by=by)
    assert route(project, policy="p@1")["policy"] == "p@1"
    assert route(project, policy="p")["policy"] == "p@2"
    assert RoutingDecision.objects.filter(current=True, policy_version__version=2).count() == 2
    with pytest.raises(Invalid, match=r"uncertainty.*p"):
        route(project, policy="p@3")


# --- shares by lot ----------------------------------------------------------------------------------------------------


def test_a_comparison_stays_with_its_arm_and_the_default_has_the_rest() -> None:
    params = policies.PolicyParams()
    versions = [RoutingPolicy(name=name, version=1) for name in ("one", "two")]
    arms = [policies.Arm(str(v), "random", params, s, v) for v, s in zip(versions, (0.2, 0.5), strict=True)]
    arms.append(policies.Arm("uncertainty", "uncertainty", params, 0.3))
    ids = np.arange(1, 20_001)
    arm = buying.assigned(Project(pk=7), ids, arms)
    # The share of 20,000 draws of p has a standard deviation of at most sqrt(.25 / 20000) = .0035.
    assert np.bincount(arm) / len(ids) == pytest.approx([0.2, 0.5, 0.3], abs=0.015)
    assert (buying.assigned(Project(pk=7), ids[500:900], arms) == arm[500:900]).all()
    assert (buying.assigned(Project(pk=8), ids, arms) != arm).any()


def test_two_active_policies_share_the_comparisons(by: User) -> None:
    project = make_judged([0.9] * 60, overlap=1)
    for name, kind in (("one", "uncertainty"), ("two", "random")):
        made = policies.create(project, name, kind, {"exploration": 0, "audit": 0}, by=by)
        policies.activate(made, 0.5, by=by, unsimulated=True)
    route(project, budget=20)
    decided = RoutingDecision.objects.filter(current=True)
    counts = [decided.filter(policy=f"{name}@1").count() for name in ("one", "two")]
    assert sum(counts) == 60
    assert min(counts) > 15
    people = [decided.filter(policy=f"{name}@1", route="human").count() for name in ("one", "two")]
    assert 18 <= sum(people) <= 20  # each arm rounds its part of the budget down


def test_a_change_of_arms_decides_everything_anew_once(by: User) -> None:
    # Only so is it known which comparisons were there to fall to one arm or the other, the default's own among them.
    project = make_judged([0.9] * 10)
    route(project, budget=0)
    policy = policies.create(project, "p", "random", {"exploration": 0, "audit": 0}, by=by)
    policies.activate(policy, 0.5, by=by, unsimulated=True)
    assert [route(project, budget=0)["written"] for _ in range(2)] == [10, 0]


# --- what stands is left alone ----------------------------------------------------------------------------------------


def test_what_was_drawn_at_random_stays_drawn_and_is_not_drawn_on_and_on() -> None:
    project = make_judged([0.99] * 40, overlap=1)
    first = route(project, budget=20, audit=0.25, exploration=0.25, seed=1)
    drawn = set(RoutingDecision.objects.filter(audit=True).values_list("comparison_id", flat=True))
    assert (first["audit"], first["exploration"]) == (5, 5)
    again = route(project, budget=20, audit=0.25, exploration=0.25, seed=2)
    assert (again["audit"], again["exploration"], again["written"]) == (5, 5, 0)
    assert set(RoutingDecision.objects.filter(audit=True).values_list("comparison_id", flat=True)) == drawn


def test_equals_do_not_change_places_when_another_comparison_comes() -> None:
    project = make_judged([0.7] * 30, overlap=1)
    route(project, budget=10, seed=1)
    before = to_people()
    make_comparison(project, "new", overlap=1, gold=None)
    route(project, budget=11, seed=2)
    assert before < to_people()
    assert to_people() - before == {"new"}  # it has no verdict, so it comes before all others


def test_what_gains_clearly_more_takes_the_place_of_what_gains_less() -> None:
    project = make_judged([0.6, 0.9], overlap=1)
    route(project, budget=1)
    assert to_people() == {"j000"}
    Judgement.objects.filter(comparison__external_id="j001").update(probability_b=0.5)
    assert route(project, budget=1)["written"] == 2
    assert to_people() == {"j001"}


def test_what_people_have_begun_stays_with_them() -> None:
    project = make_judged([0.99, 0.98])
    make_judgement(Comparison.objects.get(external_id="j000"), make_rater(project), 1)
    assert route(project, budget=0)["comparisons"] == 1
    assert to_people() == {"j000"}
    assert not RoutingDecision.objects.filter(comparison__external_id="j000").exists()


def test_what_is_read_of_a_text_once_is_not_read_again_until_the_text_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    project = make_judged([0.6, 0.9])
    route(project, budget=2)
    before = RoutingDecision.objects.get(comparison__external_id="j000").features
    read = list[int]()
    original = evidence.extract

    def counted(items: Any) -> Any:
        listed = list(items)
        read.append(len(listed))
        return original(listed)

    monkeypatch.setattr(evidence, "extract", counted)
    Judgement.objects.filter(comparison__external_id="j000").update(probability_b=0.95)
    route(project, budget=2)
    assert read == [0]
    after = RoutingDecision.objects.get(comparison__external_id="j000", current=True).features
    assert after["judge_probability"] == 0.95
    assert {k: v for k, v in after.items() if k not in evidence.LIVE} == {
        k: v for k, v in before.items() if k not in evidence.LIVE
    }
    Comparison.objects.filter(external_id="j001").update(updated_at=timezone.now())
    route(project, budget=2)
    assert read == [0, 1]


def test_only_what_is_named_live_depends_on_more_than_the_texts() -> None:
    texts = {
        "id": 1,
        "prompt": "Why is it so? List two reasons.",
        "completion_a": "It is.",
        "completion_b": "It is so.",
    }
    plain = extract([Item(**texts)])
    known = extract(
        [
            Item(
                **texts, judge_probability=0.7, judge_inconsistency=0.5, judge_disagreement=0.3, margin=1.0,
                margin_deviation=0.2, embedding_similarity=0.9, novelty=0.4, difficulty=0.2, trust=0.8,
            )
        ]
    )  # fmt: skip
    same = np.isclose(plain.table[0], known.table[0], equal_nan=True)
    assert {name for name, one in zip(plain.names, same, strict=True) if not one} == evidence.LIVE


# --- judges on trial --------------------------------------------------------------------------------------------------


def on_gold(project: Project, right: list[bool]) -> int:
    """A judge that judged gold comparisons, one after another; returns its rater's id."""
    judge = make_judge(project, f"judge-{project.judges.count()}").rater
    for said in right:
        make_judgement(make_comparison(project, gold=2, status="settled"), judge, 1 if said else -1)
    return judge.pk


@pytest.mark.parametrize(
    ("right", "n", "admission"),
    [
        (9, 9, "too little gold"),  # however good
        (10, 10, "admitted"),
        (8, 10, "refused"),  # its lower end is .490
        (13, 25, "refused"),  # 52 %: Wilson's interval reaches far below one half
        (18, 25, "admitted"),  # 72 %: its lower end is .524
        (17, 25, "refused"),  # 68 %: its lower end is .484
        (0, 25, "refused"),
    ],
)
def test_gold_admits_a_judge_whose_lower_bound_is_above_chance(right: int, n: int, admission: str) -> None:
    standing = admitting.stand([True] * right + [False] * (n - right), [])
    assert standing.admission == admission
    assert str(n) in standing.reason


def test_a_judge_that_turns_random_half_way_is_refused_though_it_is_above_chance_in_all() -> None:
    latest_first = [i % 2 == 0 for i in range(100)] + [True] * 100
    standing = admitting.stand(latest_first, [])
    assert standing.gold.value == 0.75
    assert standing.admission == "refused"
    assert "changed" in standing.reason


def test_the_latest_gold_is_what_was_judged_last() -> None:
    project = make_project()
    fell = on_gold(project, [True] * 60 + [i % 2 == 0 for i in range(60)])
    rose = on_gold(project, [i % 2 == 0 for i in range(60)] + [True] * 60)
    held = {rater.pk: standing for rater, standing in admitting.standings(project).items()}
    assert (held[fell].admission, held[rose].admission) == ("refused", "admitted")


def test_without_gold_the_audit_slice_admits() -> None:
    assert admitting.stand([], [True] * 10).by == "audit"
    assert admitting.stand([], [True] * 9).admission == "too little gold"
    assert admitting.stand([False] * 25, [True] * 90).admission == "refused"  # gold is the better witness


def test_the_audit_slice_is_what_was_drawn_for_it_and_people_judged() -> None:
    project = make_project(overlap=1)
    judge = make_judge(project).rater
    for i in range(30):
        comparison = make_comparison(project)
        make_judgement(comparison, judge, 1)
        make_judgements(comparison, "B")
        RoutingDecision.objects.create(
            comparison=comparison, policy="p", route="human", reason="r", audit=i < 26, current=True
        )
    standing = admitting.standings(project)[judge]
    assert (standing.audit.n, standing.admission, standing.by) == (26, "admitted", "audit")


def test_nothing_is_settled_by_a_judge_that_nobody_checked() -> None:
    project = make_judged([0.99, 0.5])
    result = route(project, budget=2)
    assert (result["human"], result["judge"], result["held"]) == (1, 1, 1)
    reason = RoutingDecision.objects.get(comparison__external_id="j000").reason
    assert reason.startswith("held back: no admitted judge")


def test_an_admitted_judge_settles_and_routing_says_so_anew() -> None:
    project = make_judged([0.99, 0.5])
    route(project, budget=2)
    judge = project.judges.get().rater
    for _ in range(30):
        make_judgement(make_comparison(project, gold=1, status="settled"), judge, 1)
    assert route(project, budget=2)["held"] == 0
    decision = RoutingDecision.objects.get(comparison__external_id="j000", current=True)
    assert decision.reason.startswith("the judge's verdict stands: probability of b 0.9")


def test_a_refused_judge_does_not_even_order_the_work() -> None:
    project = make_judged([0.99, 0.5], overlap=1)
    judge = project.judges.get().rater
    for _ in range(30):
        make_judgement(make_comparison(project, gold=1, status="settled"), judge, -1)
    route(project, budget=2)
    assert set(RoutingDecision.objects.values_list("reason", flat=True)) == {"no judge verdict"}


def test_trust_without_gold_is_a_decision_with_a_reason_that_can_be_taken_back(by: User) -> None:
    project = make_judged([0.99])
    with pytest.raises(Invalid, match="because"):
        admitting.trust(project, "  ", by=by)
    admitting.trust(project, "a rehearsal", by=by)
    assert route(project, budget=0)["held"] == 0
    row = RoutingSettings.objects.get(project=project)
    assert (row.trusted_by, row.trusted_because) == (by, "a rehearsal")
    admitting.distrust(project, by=by)
    assert route(project, budget=0)["held"] == 1
    told = Event.objects.filter(verb__in=["routing.judges_trusted", "routing.trust_withdrawn"], actor=by)
    assert told.count() == 2


def test_enough_gold_weighs_judges_against_each_other() -> None:
    # One judge is right on all gold, another on two thirds of it: where they differ, the mean is a half and the better
    # one is believed. Where there is too little gold to weigh them, the mean stands.
    project = make_project(overlap=1)
    good, poor = (make_judge(project, name).rater for name in ("good", "poor"))
    for i in range(120):
        comparison = make_comparison(project, gold=1 if i % 2 else -1, status="settled")
        truth = comparison.gold or 0
        make_judgement(comparison, good, truth)
        make_judgement(comparison, poor, truth if i % 3 else -truth)
    torn = make_comparison(project, "torn")
    make_judgement(torn, good, 1, probability_b=0.9)
    make_judgement(torn, poor, -1, probability_b=0.1)
    route(project, budget=0)
    features = RoutingDecision.objects.get(comparison=torn).features
    assert features["judge_probability"] > 0.9
    assert features["judge_disagreement"] == 1


# --- embeddings -------------------------------------------------------------------------------------------------------


def test_vectors_tell_what_is_new_and_how_far_judges_are_to_be_trusted_there() -> None:
    project = make_project(overlap=2)
    encoder = Encoder.objects.create(spec="circle", fingerprint="circle/1", dimension=2)
    ProjectEncoder.objects.create(project=project, encoder=encoder)
    judge = make_judge(project).rater

    def put(name: str, angle: float, **fields: Any) -> Comparison:
        comparison = make_comparison(project, name, prompt=name, **fields)
        vector = [math.cos(angle), math.sin(angle)]
        PromptVector.objects.create(prompt=comparison.prompt, encoder=encoder, vector=vector)
        for completion in (comparison.completion_a, comparison.completion_b):
            CompletionVector.objects.create(completion=completion, encoder=encoder, vector=vector)
        return comparison

    right, wrong = put("right", 0.0, gold=1, status="settled"), put("wrong", math.pi / 2, gold=1, status="settled")
    make_judgement(right, judge, 1)
    make_judgement(wrong, judge, -1)
    put("near right", 0.05)
    put("near wrong", math.pi / 2 - 0.05)
    make_comparison(project, "without a vector")
    route(project, budget=0)
    told = dict(RoutingDecision.objects.values_list("comparison__external_id", "features"))
    assert told["near right"]["trust"] > 0.5 > told["near wrong"]["trust"]
    assert told["near right"]["novelty"] == pytest.approx(1 - math.cos(0.05), abs=2e-3)
    assert told["near right"]["embedding_similarity"] == pytest.approx(1, abs=1e-3)
    assert "trust" not in told["without a vector"]


def test_a_project_with_an_encoder_and_nothing_verified_is_routed() -> None:
    project = make_judged([0.6])
    ProjectEncoder.objects.create(
        project=project, encoder=Encoder.objects.create(spec="c", fingerprint="c/1", dimension=2)
    )
    assert route(project)["comparisons"] == 1


# --- the ledger -------------------------------------------------------------------------------------------------------


def test_without_grants_there_is_no_limit() -> None:
    project = make_judged([0.5, 0.6])
    told = budgeting.ledger(project)
    assert (told.money, told.hours, told.judgements, told.money_left) == (None, None, None, None)
    assert route(project)["human"] == 2


def test_a_budget_of_zero_buys_nothing() -> None:
    project = make_judged([0.5, 0.6])
    Project.objects.filter(pk=project.pk).update(budget=0)
    assert route(Project.objects.get(pk=project.pk))["human"] == 0


def test_money_and_hours_end_where_the_smaller_one_does(by: User) -> None:
    # A judgement of 90 s at 40 an hour is 1.00; 6 of money buy 6, 0.1 h = 360 s buy 4 judgements: 2 comparisons of 2.
    project = make_judged([0.5] * 9)
    budgeting.configure(project, by=by, hourly_rate=Decimal(40), seconds=90.0)
    budgeting.grant(project, money=Decimal(6), hours=0, note="", by=by)
    assert budgeting.ledger(project).judgements == 6
    budgeting.grant(project, money=Decimal(0), hours=0.1, note="", by=by)
    assert budgeting.ledger(project).judgements == 4
    assert route(project)["human"] == 2
    assert RoutingDecision.objects.filter(route="human").first().price == Decimal(2)  # type: ignore[union-attr]


def test_what_was_spent_and_what_is_begun_cannot_be_spent_again(by: User) -> None:
    project = make_judged([0.5] * 9)
    form = project.forms.get()
    budgeting.configure(project, by=by, hourly_rate=Decimal(60), seconds=60.0)
    budgeting.grant(project, money=Decimal(10), hours=0, note="", by=by)
    begun = Comparison.objects.get(external_id="j000")
    make_judgement(begun, make_rater(project), 1, form=form, seconds=120.0)  # 2 spent, one seat of it still open
    Comparison.objects.exclude(pk=begun.pk).update(route="judge")
    told = budgeting.ledger(project)
    assert (told.people_spent, told.promised, told.fixed, told.judgements) == (Decimal(2), 1, 1, 7)
    assert told.money_left == Decimal(7)
    make_judgement(begun, make_rater(project), 1, seconds=9000.0)  # imported: it was paid for elsewhere
    assert budgeting.ledger(project).people_spent == Decimal(2)


def test_the_median_of_peoples_time_prices_a_judgement_until_somebody_sets_it(by: User) -> None:
    project = make_project(overlap=3)
    assert budgeting.ledger(project).seconds_from == "assumed"
    comparison = make_comparison(project)
    for seconds in (10.0, 30.0, 80.0):
        make_judgement(comparison, make_rater(project), 1, form=project.forms.get(), seconds=seconds)
    assert (budgeting.ledger(project).seconds, budgeting.ledger(project).seconds_from) == (30.0, "measured")
    budgeting.configure(project, by=by, seconds=45.0)
    assert (budgeting.ledger(project).seconds, budgeting.ledger(project).seconds_from) == (45.0, "set")


def test_a_grant_of_nothing_is_refused(by: User) -> None:
    with pytest.raises(Invalid, match="money"):
        budgeting.grant(make_project(), money=Decimal(0), hours=0, note="", by=by)
    assert not BudgetGrant.objects.exists()


# --- a person's word --------------------------------------------------------------------------------------------------


def test_routing_respects_what_a_person_decided_until_it_is_lifted(by: User) -> None:
    project = make_judged([0.5, 0.99])
    sure = Comparison.objects.get(external_id="j001")
    decision = overriding.override(project, sure.pk, "people", "it is about us", by=by)
    route(project, budget=0)
    sure.refresh_from_db()
    assert (sure.route, sure.priority) == ("human", Comparison.Priority.FIRST)
    overriding.lift(decision, by=by)
    route(project, budget=0)
    sure.refresh_from_db()
    assert sure.route == "judge"
    with pytest.raises(Conflict):
        overriding.lift(decision, by=by)
    verbs_told = set(Event.objects.filter(actor=by, target_id=str(sure.pk)).values_list("verb", flat=True))
    assert verbs_told == {"routing.overridden", "routing.override_lifted"}


def test_a_full_comparison_sent_to_people_gets_one_more_seat(by: User) -> None:
    project = make_project(overlap=2)
    comparison = make_comparison(project, status="settled")
    make_judgements(comparison, "AB")
    overriding.override(project, comparison.pk, "people", "look again", by=by)
    comparison.refresh_from_db()
    assert (comparison.status, comparison.overlap) == ("open", 3)
    assert RoutingDecision.objects.get(current=True).overridden_by == by


def test_a_person_settles_only_what_has_a_consensus(by: User) -> None:
    project = make_judged([0.9])
    comparison = Comparison.objects.get()
    with pytest.raises(Invalid, match="no consensus"):
        overriding.override(project, comparison.pk, "settled", "clear", by=by)
    make_consensus(make_aggregation(project), comparison, (0.1, 0.0, 0.9))
    overriding.override(project, comparison.pk, "settled", "clear", by=by)
    comparison.refresh_from_db()
    assert comparison.status == "settled"


def test_a_person_takes_nothing_from_people_who_have_begun(by: User) -> None:
    project = make_judged([0.9])
    make_judgement(Comparison.objects.get(), make_rater(project), 1)
    with pytest.raises(Conflict, match="begun"):
        overriding.override(project, Comparison.objects.get().pk, "judge", "cheap", by=by)
    with pytest.raises(Invalid, match="because"):
        overriding.override(project, Comparison.objects.get().pk, "people", " ", by=by)


# --- live -------------------------------------------------------------------------------------------------------------


def make_live(by: User) -> Project:
    project = make_judged([0.5, 0.9])
    RoutingSettings.objects.create(project=project, automatic=True)
    return project


LATER = timedelta(seconds=30)


def test_news_start_one_run_and_no_second_while_it_waits(by: User) -> None:
    project, now = make_live(by), timezone.now()
    record("import.finished", project, project=project)
    assert rerouting.reroute(now + LATER) == 1
    record("judgement.submitted", project, project=project)
    assert rerouting.reroute(now + 2 * LATER) == 0  # one waits
    ledger.execute(Run.objects.get().pk)
    assert rerouting.reroute(now + 2 * LATER) == 1  # for what came after the first was started
    ledger.execute(Run.objects.order_by("pk").last().pk)  # type: ignore[union-attr]
    assert rerouting.reroute(now + 3 * LATER) == 0
    assert RoutingDecision.objects.filter(comparison__project=project).count() == 2  # the second run wrote nothing


def test_news_settle_before_they_are_routed_but_not_for_ever(by: User) -> None:
    project, now = make_live(by), timezone.now()
    record("judgement.submitted", project, project=project)
    assert rerouting.reroute(now) == 0
    assert rerouting.reroute(now + timedelta(seconds=11)) == 1


def test_what_is_no_news_starts_nothing(by: User) -> None:
    project, now = make_live(by), timezone.now()
    for verb in ("session.ended", "comparisons.routed", "run.queued", "run.succeeded", "dataset.read"):
        record(verb, project, project=project)
    assert rerouting.reroute(now + LATER) == 0


def test_the_end_of_a_judges_run_is_news_where_it_has_answered_and_that_of_a_build_is_not(by: User) -> None:
    project, now = make_live(by), timezone.now()
    judge = make_judge(project, "asked")
    for kind, answered, started in (("build", False, 0), ("judge", False, 0), ("judge", True, 1)):
        run = Run.objects.create(kind=kind, queue="judge", project=project)
        if answered:
            said = make_judgement(make_comparison(project), judge.rater, 1)
            call = {"comparison": said.comparison, "repeat": 0, "order": "ab", "status": "parsed", "judgement": said}
            judge.calls.create(run=run, **call)
        record("run.succeeded", run, project=project)
        assert rerouting.reroute(now + LATER) == started


def test_a_project_that_does_not_route_by_itself_is_left_alone(by: User) -> None:
    project = make_judged([0.5])
    record("import.finished", project, project=project)
    assert rerouting.reroute(timezone.now() + LATER) == 0


def test_a_live_run_without_anything_open_succeeds_and_says_so(by: User) -> None:
    project = make_project()
    RoutingSettings.objects.create(project=project, automatic=True)
    record("import.finished", project, project=project)
    rerouting.reroute(timezone.now() + LATER)
    done = ledger.execute(Run.objects.get().pk)
    assert done is not None
    assert (done.status, done.result["comparisons"]) == ("succeeded", 0)
    assert not Event.objects.filter(verb="comparisons.routed").exists()


def test_a_run_that_failed_has_taken_no_news_into_account_and_is_made_up_for_after_a_while(by: User) -> None:
    project, now = make_live(by), timezone.now()
    record("import.finished", project, project=project)
    assert rerouting.reroute(now + LATER) == 1
    Run.objects.update(status="failed", finished_at=now)
    assert rerouting.reroute(now + 2 * LATER) == 0
    assert rerouting.reroute(now + rerouting.AGAIN_AFTER + LATER) == 1


def test_a_project_that_cannot_be_routed_stops_no_other(by: User, caplog: pytest.LogCaptureFixture) -> None:
    for project in (make_live(by), make_live(by)):
        record("import.finished", project, project=project)
    broken = RoutingSettings.objects.order_by("pk")[0].project
    make_policy(broken, params={"gone": 1}, status="active", share=1.0)
    assert rerouting.reroute(timezone.now() + LATER) == 1
    assert Run.objects.get().project != broken
    assert f"rerouting {broken.slug}" in caplog.text


def test_two_runs_at_once_do_not_spend_one_ledger_twice(by: User, monkeypatch: pytest.MonkeyPatch) -> None:
    project = make_judged([0.7] * 6, overlap=1)
    budgeting.configure(project, by=by, seconds=3600.0)
    budgeting.grant(project, money=Decimal(0), hours=3.0, note="", by=by)
    params = verbs.prepare("route", project, {"policy": "random"})
    other = ledger.start("route", project=project, params=params, wake=False)
    real, refused = routing._store_all, []

    def meanwhile(*args: Any) -> int:
        with pytest.raises(Conflict) as error:
            ledger.execute(other.pk)
        refused.append(error.value.code)
        return real(*args)

    monkeypatch.setattr(routing, "_store_all", meanwhile)
    assert route(project, policy="random")["human"] == 3
    assert refused == ["routing_at_work"]
    monkeypatch.setattr(routing, "_store_all", real)
    ledger.retry(other, by=by)
    done = ledger.execute(other.pk)
    assert done is not None
    assert done.status == "succeeded"


# --- buying one judgement after another -------------------------------------------------------------------------------


def test_adaptive_overlap_opens_as_many_seats_as_it_buys_and_closes_the_others() -> None:
    project = make_project(overlap=3)
    unsure, sure = make_comparison(project, "unsure"), make_comparison(project, "sure")
    aggregation = make_aggregation(project)
    make_consensus(aggregation, unsure, (0.5, 0.0, 0.5))
    make_consensus(aggregation, sure, (0.999, 0.0, 0.001))
    for comparison in (unsure, sure):
        make_judgement(comparison, make_rater(project), -1)
    result = route(project, policy="adaptive-overlap", budget=1)
    for comparison in (unsure, sure):
        comparison.refresh_from_db()
    assert result["human"] == 1
    assert (unsure.seats_taken, unsure.overlap) == (1, 2)
    assert (sure.seats_taken, sure.overlap) == (1, 1)  # nothing that can be bought pays: no seat stays open
    decision = RoutingDecision.objects.get(comparison=unsure, current=True)
    assert (decision.buys, decision.n) == ("person", 1)


def test_what_is_begun_is_part_of_the_budget_that_adaptive_overlap_spreads(by: User) -> None:
    # 4 hours at an hour each buy one more judgement for each of four equals that somebody has begun; again, the same.
    project = make_project(overlap=3)
    aggregation = make_aggregation(project)
    for _ in range(4):
        comparison = make_comparison(project)
        make_consensus(aggregation, comparison, (0.5, 0.0, 0.5))
        make_judgement(comparison, make_rater(project), -1)
    budgeting.configure(project, by=by, hourly_rate=Decimal(60), seconds=3600.0)
    budgeting.grant(project, money=Decimal(0), hours=4.0, note="", by=by)
    runs = [route(project, policy="adaptive-overlap") for _ in range(3)]
    assert [(run["human"], run["written"]) for run in runs] == [(4, 4), (4, 0), (4, 0)]
    assert list(Comparison.objects.values_list("seats_taken", "overlap")) == [(1, 2)] * 4
    assert budgeting.ledger(project).hours_left == 0


def make_bought(by: User) -> tuple[Project, Judge]:
    """A project that buys a judge's verdict: nobody's judgement may wait, the judge costs nothing, gold admits it."""
    project = make_project(overlap=3)
    judge = make_judge(project, model="scripted", config={"backend": {"qualities": {}, "skill": 0.9, "seed": 1}})
    for _ in range(30):
        make_judgement(make_comparison(project, gold=1, status="settled"), judge.rater, 1)
    unsure, sure = make_comparison(project, "unsure"), make_comparison(project, "sure")
    aggregation = make_aggregation(project)
    make_consensus(aggregation, unsure, (0.5, 0.0, 0.5))
    make_consensus(aggregation, sure, (0.9999, 0.0, 0.0001))
    budgeting.configure(project, by=by, hourly_rate=Decimal(60), seconds=60.0, automatic=True)
    policy = policies.create(project, "p", "adaptive-overlap", {"exploration": 0, "audit": 0, "budget": 0}, by=by)
    policies.activate(policy, 1.0, by=by, unsimulated=True)
    return project, judge


def rounds(project: Project, n: int) -> list[str]:
    """Rounds of beat, one after another, with all that they start: the kinds of the runs that there are then."""
    for i in range(n):
        rerouting.reroute(timezone.now() + LATER * (i + 1))
        while run := Run.objects.filter(project=project, status="queued").order_by("pk").first():
            with suppress(Invalid):
                ledger.execute(run.pk)
    return list(Run.objects.filter(project=project).order_by("pk").values_list("kind", flat=True))


def test_no_judge_is_started_where_its_money_is_spent(by: User) -> None:
    project, judge = make_bought(by)
    Project.objects.filter(pk=project.pk).update(budget=0)
    assert rounds(project, 3) == ["route"]
    assert judge.calls.count() == 0


def test_a_judge_that_fails_is_not_started_on_and_on(by: User, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(judge: Judge) -> None:
        raise Invalid(f"{judge} cannot be asked.")

    project, _ = make_bought(by)
    monkeypatch.setattr("curation.handlers.judging.judge_of", broken)
    assert rounds(project, 1) == ["route", "judge"]
    assert Run.objects.get(kind="judge").status == "failed"
    record("import.finished", project, project=project)
    assert rounds(project, 2) == ["route", "judge", "route"]


def test_a_judge_that_has_read_all_that_was_bought_is_not_started_again(by: User) -> None:
    project, _ = make_bought(by)
    assert rounds(project, 1) == ["route", "judge"]
    record("import.finished", project, project=project)
    assert rounds(project, 2).count("judge") == 1


def test_a_judge_is_bought_where_it_is_cheap_and_good_and_asked_about_those_alone(by: User) -> None:
    _, judge = make_bought(by)
    rerouting.reroute(timezone.now() + LATER)
    ledger.execute(Run.objects.get(kind="route").pk)
    decision = RoutingDecision.objects.get(comparison__external_id="unsure", current=True)
    assert (decision.buys, decision.route) == ("judge", "judge")
    run = Run.objects.get(kind="judge")
    assert run.params["routed"] is True
    ledger.execute(run.pk)
    assert set(judge.calls.values_list("comparison__external_id", flat=True)) == {"unsure"}


# --- simulating -------------------------------------------------------------------------------------------------------


def make_decided(n: int = 60) -> Project:
    """Comparisons that a judge and three people have decided; the judge is unsure of each third and wrong there."""
    project = make_project(overlap=3)
    judge = make_judge(project).rater
    for i in range(n):
        comparison = make_comparison(project, prompt=f"question {i}", a=f"yes {i}", b=f"no {i} " * (i % 7 + 1))
        make_judgements(comparison, "BBB" if i % 2 else "AAA")
        wrong = i % 3 == 0
        p = (0.45 if i % 2 else 0.55) if wrong else (0.97 if i % 2 else 0.03)
        make_judgement(comparison, judge, 1 if p > 0.5 else -1, probability_b=p)
    return project


def test_a_simulation_is_kept_with_its_version_and_beats_chance_where_doubt_is_honest(by: User) -> None:
    project = make_decided()
    policy = policies.create(project, "p", "uncertainty", {"audit": 0, "exploration": 0}, by=by)
    told = route(project, policy="p", simulate=True)
    policy.refresh_from_db()
    assert policy.simulation is not None
    assert policy.simulation["points"] == told["points"]
    third = next(p for p in told["points"] if 0.2 < p["human_share"] < 0.3)
    assert third["accuracy"]["value"] > third["random_accuracy"] + 0.1
    assert policies.activate(policy, 1.0, by=by).status == "active"  # somebody has seen what it does


def test_a_gain_model_that_does_not_predict_refuses_and_says_why(by: User) -> None:
    project = make_decided(40)
    policy = policies.create(project, "p", "expected-gain", {}, by=by)
    with pytest.raises(Invalid, match="does not predict"):
        route(project, policy="p", simulate=True)
    policy.refresh_from_db()
    assert policy.learned is not None
    assert "takes 50" in policy.learned["gain_model"]["reason"]
    with pytest.raises(Invalid, match="takes 50"):
        policies.activate(policy, 1.0, by=by, unsimulated=True)


def test_a_version_at_work_keeps_its_gain_model_where_a_new_one_does_not_predict() -> None:
    project = make_decided(40)
    learned = {"gain_model": {"reason": ""}, "fitted_on": 99}
    policy = make_policy(project, kind="expected-gain", status="active", share=1.0, learned=learned)
    with pytest.raises(Invalid, match="does not predict"):
        route(project, policy=policy.name, simulate=True)
    policy.refresh_from_db()
    assert policy.learned == learned


def test_an_arm_that_cannot_choose_leaves_its_share_to_the_default_and_the_run_says_so() -> None:
    project = make_judged([0.5, 0.9])
    learned = {"gain_model": {"reason": "it does not predict"}}
    policy = make_policy(project, kind="expected-gain", status="active", share=0.5, learned=learned)
    result = route(project)
    assert (result["policy"], result["comparisons"]) == ("uncertainty", 2)
    assert result["left_to_default"] == [str(policy)]


def test_the_policy_that_buys_one_by_one_is_simulated_one_by_one(by: User) -> None:
    project = make_decided()
    policies.create(project, "p", "adaptive-overlap", {"audit": 0, "exploration": 0}, by=by)
    points = route(project, policy="p", simulate=True)["points"]
    # A third of the judge's labels are wrong, and it doubts those: people's answers bought there mend them.
    assert points[0]["accuracy"]["value"] == pytest.approx(2 / 3, abs=0.01)
    assert points[2]["accuracy"]["value"] > points[2]["random_accuracy"] + 0.1
    assert max(p["accuracy"]["value"] for p in points) > 0.95


def test_too_little_to_simulate_on_is_said() -> None:
    with pytest.raises(Invalid, match="it takes 20"):
        route(make_judged([0.5]), policy="random", simulate=True)


def test_a_judge_stops_where_the_projects_budget_does() -> None:
    project = make_project()
    for _ in range(3):
        make_comparison(project)
    judge = make_judge(project, model="scripted", config={"backend": {"qualities": {}, "skill": 0.9, "seed": 1}})
    Project.objects.filter(pk=project.pk).update(budget=0)
    run = verbs.run_here("judge", Project.objects.get(pk=project.pk), {"judge": judge.name, "budget": "5"})
    assert (run.result["comparisons"], run.result["stopped_by"]) == (0, "budget")

"""Routing: for each open comparison, people or a judge, under a budget, with the reason and the features stored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np
from django.db import transaction
from django.db.models import F

from annotate.models import Adjudication, Comparison, Judgement, Rater
from curation.models import RewardMargin, RoutingDecision
from curation.routing import Decision, Features, Item, expected_error, extract, selector, simulate
from curation.stats import CLASSES
from tiebreak.accounts.models import Project
from tiebreak.core.errors import Invalid
from tiebreak.core.models import record
from tiebreak.runs.ledger import Execution

from .words import told

BATCH: Final = 2_000
LOGIT_A_LEVEL: Final = 1.5  # a judge that gives no probability: each level of its verdict counts so much log-odds


def run(execution: Execution) -> Mapping[str, Any]:
    """Params of verbs.RouteParams. `budget` counts people's judgements; none: as many as there are free seats."""
    project, params = execution.run.project, execution.params
    if project is None:
        raise Invalid("Routing needs a project.", field="project")
    items = list(_items(project))
    if not items:
        raise Invalid("There is no open comparison to route.", code="empty")
    features = extract(items)
    with told():
        choose = selector(params["policy"])
        if params["simulate"]:
            return _simulate(project, features, choose, params["seed"])
        decisions = choose(
            features,
            budget=_budget(project, params["budget"]),
            rng=np.random.default_rng(params["seed"]),
            exploration=params["exploration"],
            audit_share=params["audit"],
        )
    execution.progress(0, len(decisions), note=f"routing by {params['policy']}")
    for start in range(0, len(decisions), BATCH):
        _store(execution, params["policy"], features, decisions[start : start + BATCH], start)
        execution.progress(min(start + BATCH, len(decisions)), len(decisions))
    routes = Counter("human" if d.route == "human" else "judge" for d in decisions)
    record("comparisons.routed", execution.run, by=execution.run.created_by, project=project, **routes)
    errors = expected_error(features, decisions)
    return {
        "policy": params["policy"],
        "comparisons": len(decisions),
        "human": routes["human"],
        "judge": routes["judge"],
        "audit": sum(d.audit for d in decisions),
        "exploration": sum(d.reason.startswith("exploration") for d in decisions),
        "expected_error_without_people": round(float(errors[0]), 4),
        "expected_error": round(float(errors[-1]), 4),
    }


def _budget(project: Project, judgements: int | None) -> int:
    """People's judgements as comparisons of the current overlap, rounded down."""
    overlap = project.forms.get(current=True).overlap
    return Comparison.objects.filter(project=project).count() if judgements is None else judgements // overlap


def _items(project: Project) -> Iterator[Item]:
    """What a router knows of each open comparison with a free seat, in the order of their ids."""
    opinions = _judges(project)
    margins = dict(
        RewardMargin.objects.filter(comparison__project=project, held_out=True)
        .order_by("reward_model_id")
        .values_list("comparison_id", "margin")
    )
    rows = (
        Comparison.objects.filter(project=project, status=Comparison.Status.OPEN, returned_because="")
        .select_related("prompt", "completion_a", "completion_b")
        .order_by("id")
    )
    for row in rows.iterator(chunk_size=BATCH):
        yield replace(
            _item(row, *opinions.get(row.pk, (None, None))),
            margin=margins.get(row.pk),
            settled=row.seats_taken >= row.overlap,
        )


def _item(row: Comparison, probability: float | None, inconsistency: float | None) -> Item:
    """A comparison with what the judges say of it. Needs prompt and completions selected."""
    return Item(
        id=row.pk,
        prompt="\n".join(m["content"] for m in row.prompt.messages),
        completion_a=row.completion_a.text,
        completion_b=row.completion_b.text,
        turns=len(row.prompt.messages),
        judge_probability=probability,
        judge_inconsistency=inconsistency,
    )


def _judges(project: Project) -> dict[int, tuple[float, float]]:
    """For each comparison the judges' mean probability of b, and the share of judges that changed with the order."""
    rows = (
        Judgement.objects.current()
        .filter(comparison__project=project, rater__kind=Rater.Kind.JUDGE, preference__isnull=False)
        .values_list("comparison_id", "rater_id", "preference", "probability_b")
    )
    readings: dict[int, dict[int, list[tuple[int, float]]]] = {}
    for comparison, rater, said, probability in rows.iterator(chunk_size=20_000):
        preference = said or 0
        p = probability if probability is not None else 1 / (1 + np.exp(-LOGIT_A_LEVEL * preference))
        readings.setdefault(comparison, {}).setdefault(rater, []).append((int(np.sign(preference)), float(p)))
    return {
        comparison: (
            float(np.mean([np.mean([p for _, p in said]) for said in by_rater.values()])),
            float(np.mean([len({side for side, _ in said}) > 1 for said in by_rater.values()])),
        )
        for comparison, by_rater in readings.items()
    }


def _store(execution: Execution, policy: str, features: Features, decisions: list[Decision], start: int) -> None:
    """Write one batch: earlier decisions stop being current, and the comparisons take their routes.

    Locks the comparisons; those that were settled, withdrawn or sent back to people meanwhile are left alone.
    """
    decided = {int(str(decision.id)): (position, decision) for position, decision in enumerate(decisions, start)}
    with transaction.atomic():
        execution.fence()
        waiting = Comparison.objects.filter(pk__in=decided, status=Comparison.Status.OPEN, returned_because="")
        left = set(waiting.select_for_update(no_key=True).order_by("id").values_list("pk", flat=True))
        RoutingDecision.objects.filter(comparison__in=left, current=True).update(current=False)
        RoutingDecision.objects.bulk_create(
            RoutingDecision(
                comparison_id=pk,
                policy=policy,
                route="human" if decision.route == "human" else "judge",
                reason=decision.reason[:500],
                gain=decision.gain,
                audit=decision.audit,
                features=_told(features, position),
                run=execution.run,
            )
            for pk, (position, decision) in decided.items()
            if pk in left
        )
        human = {pk for pk in left if decided[pk][1].route == "human"}
        Comparison.objects.filter(pk__in=human).update(route="human", priority=Comparison.Priority.SOON)
        # A comparison on which a person is at work stays with people until it is done.
        free = Comparison.objects.filter(pk__in=left - human, seats_taken=0)
        free.update(route="judge", priority=Comparison.Priority.NORMAL)


def _told(features: Features, position: int) -> dict[str, float]:
    values = zip(features.names, features.table[position].tolist(), strict=True)
    return {name: round(value, 4) for name, value in values if not np.isnan(value)}


def _simulate(project: Project, features: Features, choose: Any, seed: int) -> Mapping[str, Any]:
    """What the policy would have done with comparisons that both people and judges have decided already."""
    rows = list(_decided(project))
    if len(rows) < 20:
        raise Invalid(
            f"{len(rows)} comparisons have a judge's verdict and two people's judgements; it takes 20 to simulate.",
            code="too_few",
        )
    items, judge, human, reference = zip(*rows, strict=True)
    points = simulate(
        extract(items), judge, human, reference, policy=choose, rng=np.random.default_rng(seed), repeats=10
    )
    return {
        "simulated_on": len(rows),
        "points": [
            {
                "human_share": round(p.human_share, 3),
                "accuracy": p.accuracy._asdict(),
                "random_accuracy": round(p.random_accuracy, 4),
            }
            for p in points
        ],
    }


def _decided(project: Project) -> Iterator[tuple[Item, int, int, int]]:
    """(item, judge's side, one person's side, side of the other people) where all three exist; sides as 0, 1, 2."""
    opinions = _judges(project)
    said: dict[int, list[int]] = {}
    people = Judgement.objects.current().filter(
        comparison__project=project, comparison__in=list(opinions), rater__kind="annotator", preference__isnull=False
    )
    people = people.exclude(assignment__purpose="repeat")  # a hidden repeat is no second person
    for comparison, preference in people.order_by("id").values_list("comparison_id", "preference"):
        said.setdefault(comparison, []).append(int(np.sign(preference or 0)) + 1)
    rows = Comparison.objects.filter(pk__in=[c for c, sides in said.items() if len(sides) > 1])
    for row in rows.select_related("prompt", "completion_a", "completion_b").order_by("id"):
        first, *others = said[row.pk]
        counts = np.bincount(others, minlength=len(CLASSES))
        if (counts == counts.max()).sum() > 1:
            continue  # the others do not agree on anything to be measured against
        p, changed = opinions[row.pk]
        side = 2 if p > 0.5 else 0 if p < 0.5 else 1
        yield _item(row, p, changed), side, first, int(counts.argmax())


def send_back(
    project: Project, reasons: Mapping[int, tuple[str, float]], *, policy: str, run: Any, by: Any
) -> list[int]:
    """Open comparisons (id → reason, gain) again for one more person each, first in line, marked for curators.

    Those that wait for people already, and those that an adjudicator decided, are left alone. Returns the ids that came
    back. Call within a transaction.
    """
    waiting = Comparison.objects.filter(project=project).open().values("pk")
    rows = Comparison.objects.select_for_update(no_key=True).filter(project=project, pk__in=list(reasons))
    decided = Adjudication.objects.filter(comparison__in=list(reasons), current=True).values("comparison")
    rows = rows.exclude(status=Comparison.Status.WITHDRAWN).exclude(pk__in=waiting).exclude(pk__in=decided)
    rows = rows.order_by("id")
    ids = list(rows.values_list("pk", flat=True))
    RoutingDecision.objects.filter(comparison__in=ids, current=True).update(current=False)
    for pk in ids:
        reason, gain = reasons[pk]
        Comparison.objects.filter(pk=pk).update(
            status=Comparison.Status.OPEN,
            route=Comparison.Route.HUMAN,
            priority=Comparison.Priority.FIRST,
            overlap=F("seats_taken") + 1,
            returned_because=reason[:300],
        )
        RoutingDecision.objects.create(
            comparison_id=pk, policy=policy, route="human", reason=reason[:500], gain=gain, run=run
        )
        record("comparison.returned", Comparison(pk=pk), by=by, project=project, reason=reason)
    return ids


def judge_accuracy(project: Project) -> tuple[int, int]:
    """(right, tried) of the judges' mean verdict against people's consensus side, on the audit slice alone."""
    audited = RoutingDecision.objects.filter(comparison__project=project, audit=True).values("comparison")
    opinions = _judges(project)
    right = tried = 0
    people: dict[int, list[float]] = {}
    for comparison, preference in (
        Judgement.objects.current()
        .filter(comparison__in=audited, rater__kind="annotator", preference__isnull=False)
        .exclude(assignment__purpose="repeat")
        .values_list("comparison_id", "preference")
    ):
        people.setdefault(comparison, []).append(float(np.sign(preference or 0)))
    for comparison, signs in people.items():
        side = float(np.sign(sum(signs)))
        if comparison in opinions and side:
            tried += 1
            right += side == float(np.sign(opinions[comparison][0] - 0.5))
    return right, tried

"""Routing: for each open comparison, people or a judge, under a budget, with the reason and the features stored.

A run decides everything that may still be decided, and writes what differs from what stands decided: routing again
without news writes nothing. What people have begun, what was sent back and what a person decided otherwise is left
alone; what was drawn at random stays drawn.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q
from django.utils import timezone

from annotate.models import Adjudication, Comparison, Judge, JudgeCall
from annotate.services import copying
from curation.models import RoutingDecision
from curation.routing import PERSON, Decision, Features, expected_error
from tiebreak.accounts.models import Project
from tiebreak.core.errors import Conflict, Invalid
from tiebreak.core.models import record
from tiebreak.runs import ledger
from tiebreak.runs.ledger import Execution
from tiebreak.runs.models import Run

from . import admitting, budgeting, buying, evidence, lots, policies, simulating
from .evidence import HELD, Known, Pool
from .policies import Arm

BATCH: Final = 2_000
AT_WORK: Final = "routing_at_work"
AGAIN_AFTER: Final = timedelta(hours=1)  # a judge whose run failed, or had no answer to any call, is asked again


class Outcome(NamedTuple):
    """What one arm decided: rows of the pool, and a decision for each."""

    arm: Arm
    rows: npt.NDArray[np.int64]
    decisions: list[Decision]


def run(execution: Execution) -> Mapping[str, Any]:
    """Params of verbs.RouteParams, and of `rerouting`. `budget` counts people's judgements; none: what the ledger has
    left, or as many as there are free seats.
    """
    project, params = execution.run.project, execution.params
    if project is None:
        raise Invalid("Routing needs a project.", field="project")
    arms = policies.arms(project, params["policy"], {key: params.get(key) for key in ("exploration", "audit")})
    if params["simulate"]:
        return simulating.run(execution, project, arms[0])
    _hold(execution, project)
    execution.progress(0, note="reading what is known of the comparisons")
    pool = evidence.pool(
        project,
        admitting.judges(project),
        begun=any(map(buying.is_adaptive, arms)),
        since=policies.since(project) if len(arms) > 1 else None,
        tell=execution.progress,
    )
    if not (pool.known or params.get("automatic") or project.comparisons.filter(status="open").exists()):
        raise Invalid("There is no open comparison to route.", code="empty")
    purse = budgeting.ledger(project)
    budget = _budget(purse, params["budget"], buying.open_seats(project, arms, pool))
    rng = np.random.default_rng(params["seed"])
    outcomes = [
        Outcome(arm, rows, buying.decide(project, arm, pool, rows, budget=part, ledger=purse, rng=rng))
        for arm, rows, part in buying.parts(project, arms, pool, budget)
    ]
    written = _store_all(execution, pool, outcomes)
    if params.get("automatic"):
        _ask_judges(project, outcomes)
    return _result(execution, pool, outcomes, written) | _unable(project, params["policy"])


def _unable(project: Project, wanted: str) -> dict[str, list[str]]:
    """The active versions that could not decide, so that the default did, where there are any."""
    rows = policies.active(project) if wanted == policies.ACTIVE else []
    names = [str(row) for row in rows if not policies.able(row)]
    return {"left_to_default": names} if names else {}


def _hold(execution: Execution, project: Project) -> None:
    """Take the project until the run ends: two runs that read one ledger would spend it twice.

    A run holds while it is running the attempt that it wrote down. Raises Conflict `routing_at_work` where another one
    does. Locks the project's row.
    """
    with transaction.atomic():
        Project.objects.select_for_update(no_key=True).get(pk=project.pk)
        execution.fence()
        running = Run.objects.filter(project=project, kind="route", status="running").exclude(pk=execution.run.pk)
        for other in running:
            if other.params.get("holds") == other.attempt:
                raise Conflict(f"Run {other.pk} is routing this project: route again once it has ended.", code=AT_WORK)
        execution.params["holds"] = execution.run.attempt
        Run.objects.filter(pk=execution.run.pk).update(params=execution.params)


def _budget(purse: budgeting.Ledger, asked: int | None, open_seats: int) -> int | None:
    """People's judgements that may be spread over the pool; None: no limit."""
    limits = [limit for limit in (asked, purse.judgements_with(open_seats)) if limit is not None]
    return min(limits, default=None)


def _ask_judges(project: Project, outcomes: Sequence[Outcome]) -> None:
    """Run the judges whose verdicts were bought and are still owed, one run at a time each, while there is money."""
    bought = {d.buy for o in outcomes for d in o.decisions if d.route == "judge" and d.buy}
    judges = Judge.objects.filter(project=project, name__in=bought, retired_at=None).order_by("name", "-version")
    if not bought or budgeting.for_judges(project) == 0:
        return
    asked = Run.objects.filter(project=project, kind="judge", status__in=["queued", "running"], params__routed=True)
    busy = set(asked.values_list("params__judge", flat=True))
    for judge in judges.distinct("name"):
        if judge.pk not in busy and not _in_vain(judge) and _owes(judge):
            params = {"judge": judge.pk, "limit": None, "budget": None, "routed": True}
            ledger.start("judge", project=project, params=params)


def _owes(judge: Judge) -> bool:
    """Whether a reading is missing that the router buys of it."""
    from curation.handlers.judging import unjudged  # what a reading is, the handler says; only workers come here

    return unjudged(judge, routed=True).exists()


def _in_vain(judge: Judge) -> bool:
    """Whether a run of the judge ended lately without success, or without an answer to any of its calls."""
    calls = JudgeCall.objects.filter(run=OuterRef("pk"))
    failed = calls.filter(status=JudgeCall.Status.FAILED)
    silent = Exists(failed) & ~Exists(calls.exclude(status=JudgeCall.Status.FAILED))
    ended = Run.objects.filter(kind="judge", params__judge=judge.pk, finished_at__gt=timezone.now() - AGAIN_AFTER)
    return ended.filter(~Q(status="succeeded") | silent, project=judge.project_id).exists()


def _result(execution: Execution, pool: Pool, outcomes: Sequence[Outcome], written: int) -> dict[str, Any]:
    decisions = [decision for outcome in outcomes for decision in outcome.decisions]
    routes = Counter("human" if d.route == "human" else "judge" for d in decisions)
    if written or not execution.params.get("automatic"):
        record(
            "comparisons.routed", execution.run, by=execution.run.created_by, project=execution.run.project,
            written=written, **routes,
        )  # fmt: skip
    before, after = _errors(pool, outcomes)
    return {
        "policy": ", ".join(outcome.arm.name for outcome in outcomes),
        "comparisons": len(decisions),
        "human": routes["human"],
        "judge": routes["judge"],
        "held": sum(d.reason.startswith(HELD) for d in decisions),
        "audit": sum(d.audit for d in decisions),
        "exploration": sum(d.explored for d in decisions),
        "written": written,
        "expected_error_without_people": round(before, 4),
        "expected_error": round(after, 4),
    }


def _errors(pool: Pool, outcomes: Sequence[Outcome]) -> tuple[float, float]:
    """The expected share of wrong labels without anybody's help, and after what was decided."""
    parts = [(expected_error(pool.part(o.rows), o.decisions), len(o.rows)) for o in outcomes]
    total = max(1, sum(n for _, n in parts))
    return sum(float(e[0]) * n for e, n in parts) / total, sum(float(e[-1]) * n for e, n in parts) / total


def _store_all(execution: Execution, pool: Pool, outcomes: Sequence[Outcome]) -> int:
    """Write the decisions that differ from those that stand; returns how many."""
    done = written = 0
    total = sum(len(outcome.rows) for outcome in outcomes)
    for outcome in outcomes:
        changed = [i for i, decision in enumerate(outcome.decisions) if _differs(pool, outcome, i, decision)]
        for start in range(0, len(changed), BATCH):
            written += _store(execution, pool, outcome, changed[start : start + BATCH])
            execution.progress(done + start, total, note=f"routing by {outcome.arm.name}")
        _carry(execution, pool, outcome, changed)
        done += len(outcome.rows)
    execution.progress(total, total)
    return written


def _carry(execution: Execution, pool: Pool, outcome: Outcome, changed: Sequence[int]) -> None:
    """What a round of the audit means to those whose decisions stay as they were."""
    probability = np.array([decision.probability for decision in outcome.decisions], dtype=np.float64)
    written = np.isin(np.arange(len(outcome.rows)), changed)
    lots.carry(execution, outcome.arm.name[:64], pool.ids[outcome.rows], probability, written)


def _differs(pool: Pool, outcome: Outcome, i: int, decision: Decision) -> bool:
    row = int(outcome.rows[i])
    wanted, known = _known(pool, outcome, row, decision), pool.known[row]
    is_there = bool(pool.routed[row]) == (wanted.route == "human") or pool.seats[row] > 0
    return wanted != known or not is_there


def _known(pool: Pool, outcome: Outcome, row: int, decision: Decision) -> Known:
    """A decision as it would stand."""
    human = decision.route == "human"
    free = int(pool.overlap[row] - pool.seats[row])
    return Known(
        route="human" if human else "judge",
        policy=outcome.arm.name[:64],
        version=outcome.arm.version.pk if outcome.arm.version else None,
        audit=decision.audit,
        explored=decision.explored,
        buys=decision.buy,
        n=(free if human else 0) if decision.n is None else decision.n,
        held=decision.reason.startswith(HELD),
    )


def _store(execution: Execution, pool: Pool, outcome: Outcome, chosen: Sequence[int]) -> int:
    """Write one batch: earlier decisions stop being current, and the comparisons take their routes.

    Locks the comparisons; those that were settled, withdrawn, begun, sent back to people or decided by a person
    meanwhile are left alone. Returns how many were written.
    """
    assert execution.run.project is not None  # noqa: S101 - for mypy
    decided = {int(pool.ids[outcome.rows[i]]): (int(outcome.rows[i]), outcome.decisions[i]) for i in chosen}
    with transaction.atomic():
        execution.fence()
        waiting = evidence.open_to_routing(execution.run.project).filter(pk__in=decided)
        if not buying.is_adaptive(outcome.arm):
            waiting = waiting.filter(seats_taken=0)
        left = list(waiting.select_for_update(no_key=True, of=("self",)).order_by("id").values_list("pk", flat=True))
        RoutingDecision.objects.filter(comparison__in=left, current=True).update(current=False)
        copying.insert(RoutingDecision, [_row(execution, pool, outcome, *decided[pk]) for pk in left if pk in decided])
        _take_routes(outcome.arm, {pk: decided[pk][1] for pk in left})
    return len(left)


def _row(execution: Execution, pool: Pool, outcome: Outcome, row: int, decision: Decision) -> dict[str, Any]:
    known = _known(pool, outcome, row, decision)
    price = decision.price * (known.n if decision.n is None else 1)
    return {
        "comparison_id": int(pool.ids[row]),
        "policy": known.policy,
        "policy_version_id": known.version,
        "route": known.route,
        "reason": decision.reason[:500],
        "gain": decision.gain,
        "audit": decision.audit,
        "explored": decision.explored,
        "probability": decision.probability,
        "buys": decision.buy[:100],
        "n": known.n,
        "price": round(Decimal(price), 8) if price else None,
        "features": told(pool.features, row),
        "run_id": execution.run.pk,
        "current": True,
    }


def _take_routes(arm: Arm, decided: Mapping[int, Decision]) -> None:
    """Send comparisons where they were decided to go. Where judgements are bought one by one, so are the seats."""
    human = [pk for pk, decision in decided.items() if decision.route == "human"]
    others = Comparison.objects.filter(pk__in=decided.keys() - set(human))
    Comparison.objects.filter(pk__in=human).update(route="human", priority=Comparison.Priority.SOON)
    others.filter(seats_taken=0).update(route="judge", priority=Comparison.Priority.NORMAL)
    if not buying.is_adaptive(arm):
        return
    others.filter(seats_taken__gt=0).update(overlap=F("seats_taken"))
    for n in {decided[pk].n for pk in human}:
        same = [pk for pk in human if decided[pk].n == n]
        Comparison.objects.filter(pk__in=same).update(overlap=F("seats_taken") + (n or 1))


def told(features: Features, row: int) -> dict[str, float]:
    """The features that are there, as they are kept with a decision."""
    values = zip(features.names, features.table[row].tolist(), strict=True)
    return {name: round(value, 4) for name, value in values if not np.isnan(value)}


def send_back(
    project: Project, reasons: Mapping[int, tuple[str, float]], *, policy: str, run: Any, by: Any
) -> list[int]:
    """Open comparisons (id → reason, gain) again for one more person each, first in line, marked for curators.

    Those that wait for people already, those that an adjudicator decided, and those that a person settled or gave to a
    judge by hand, are left alone. Returns the ids that came back. Call within a transaction.
    """
    waiting = Comparison.objects.filter(project=project).open().values("pk")
    rows = Comparison.objects.select_for_update(no_key=True).filter(project=project, pk__in=list(reasons))
    decided = Adjudication.objects.filter(comparison__in=list(reasons), current=True).values("comparison")
    rows = rows.exclude(status=Comparison.Status.WITHDRAWN).exclude(pk__in=waiting).exclude(pk__in=decided)
    locked = list(rows.order_by("id").values_list("pk", flat=True))
    by_hand = RoutingDecision.objects.filter(comparison__in=locked, current=True, overridden_by__isnull=False)
    kept = set(by_hand.exclude(buys=PERSON).values_list("comparison", flat=True))
    ids = [pk for pk in locked if pk not in kept]
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
            comparison_id=pk, policy=policy, route="human", reason=reason[:500], gain=gain, buys=PERSON, run=run
        )
        record("comparison.returned", Comparison(pk=pk), by=by, project=project, reason=reason)
    return ids

"""A person's word against the router's: a comparison to people, to a judge, or settled, with a reason, until lifted."""

from __future__ import annotations

from typing import Any, Final

from django.db import transaction

from annotate.models import Adjudication, Comparison
from curation.models import Consensus, RoutingDecision
from curation.routing import PERSON
from tiebreak.accounts.models import Project
from tiebreak.core.errors import Conflict, Invalid, NotFound
from tiebreak.core.models import record
from tiebreak.core.transitions import move

from . import admitting, consensus, routing

POLICY: Final = "by hand"
WAYS: Final = ("people", "judge", "settled")
MOST_SEATS: Final = 32_767  # a smallint counts them


def override(project: Project, comparison_id: int, to: str, because: str, *, by: Any) -> RoutingDecision:
    """Decide for the router. It leaves the comparison alone until `lift`.

    `people`: asked first, one more of them where it was full. `judge`: nobody else is asked. `settled`: the consensus
    stands as it is, without which there is nothing to settle. Locks the comparison.
    """
    if to not in WAYS:
        raise Invalid(f"to: expected one of {', '.join(WAYS)}, got {to!r}.", field="to")
    reason = admitting.reason(because)
    with transaction.atomic():
        rows = Comparison.objects.select_for_update(no_key=True).select_related("project")
        comparison = rows.filter(project=project, pk=comparison_id).first()
        if comparison is None:
            raise NotFound("There is no such comparison in this project.", code="no_comparison")
        # First: a person's new word replaces an old one, which nothing else may.
        RoutingDecision.objects.filter(comparison=comparison, current=True).update(current=False)
        {"people": _to_people, "judge": _to_judge, "settled": _settle}[to](comparison, reason, by)
        RoutingDecision.objects.filter(comparison=comparison, current=True).update(current=False)
        decision = RoutingDecision.objects.create(
            comparison=comparison,
            policy=POLICY,
            route={"people": "human", "judge": "judge", "settled": comparison.route}[to],
            reason=reason,
            buys=PERSON if to == "people" else "",
            n=1 if to == "people" else 0,
            overridden_by=by,
        )
        record("routing.overridden", comparison, by=by, project=project, to=to, because=reason)
    decision.refresh_from_db()
    return decision


def _to_people(comparison: Comparison, reason: str, by: Any) -> None:
    waits = comparison.status == Comparison.Status.OPEN and comparison.seats_taken < comparison.overlap
    if waits:
        Comparison.objects.filter(pk=comparison.pk).update(route="human", priority=Comparison.Priority.FIRST)
        return
    if comparison.seats_taken >= MOST_SEATS:
        raise Conflict("As many people as can be have judged this comparison.", code="no_seat")
    back = routing.send_back(comparison.project, {comparison.pk: (reason, 0.0)}, policy=POLICY, run=None, by=by)
    if not back:
        raise Conflict("This comparison was withdrawn, or an adjudicator decided it: reopen it first.", code="not_open")


def _to_judge(comparison: Comparison, reason: str, by: Any) -> None:
    if comparison.status != Comparison.Status.OPEN:
        raise Conflict(f"This comparison is {comparison.status}: nobody is asked about it.", code="not_open")
    if comparison.seats_taken and comparison.route == Comparison.Route.HUMAN:
        raise Conflict("People have begun to answer this comparison: let them finish.", code="begun")
    Comparison.objects.filter(pk=comparison.pk).update(
        route="judge", priority=Comparison.Priority.NORMAL, returned_because=""
    )


def _settle(comparison: Comparison, reason: str, by: Any) -> None:
    if not Consensus.objects.filter(comparison=comparison).exists():
        raise Invalid("to: there is no consensus to settle on: aggregate first, or decide it yourself.", field="to")
    move(comparison, Comparison.Status.SETTLED)


def lift(decision: RoutingDecision, *, by: Any) -> None:
    """Give the comparison back to the router, which decides it anew when it next routes.

    What a person's word alone had settled is open again. Locks the comparison.
    """
    project = Project.objects.get(comparisons=decision.comparison_id)
    mine: Any = RoutingDecision.objects.filter(pk=decision.pk, current=True, overridden_by__isnull=False)
    with transaction.atomic():
        comparison = Comparison.objects.select_for_update(no_key=True).get(pk=decision.comparison_id)
        if not mine.update(current=False):
            raise Conflict("This decision is no longer a person's, or no longer stands.", code="moved_on")
        Comparison.objects.filter(pk=comparison.pk).update(returned_because="")
        if decision.buys != PERSON:
            _unsettle(comparison)
        record("routing.override_lifted", comparison, by=by, project=project)


def _unsettle(comparison: Comparison) -> None:
    """Open again, unless an adjudicator decided it or everyone who was asked answered and the consensus is sure."""
    decided = Adjudication.objects.filter(comparison=comparison, current=True).exists()
    if comparison.status == Comparison.Status.SETTLED and not decided:
        move(comparison, Comparison.Status.OPEN)
        consensus.settle(comparison.project_id, [comparison.pk])

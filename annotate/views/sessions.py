"""What annotators see of their own work: after a session, and over all of it. Nobody sees another's."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, NamedTuple

from django.db.models import Count, Q, Sum
from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from annotate import policies
from annotate.models import Judgement, Rater, Session
from annotate.services import assigning, measuring, projects, sessions
from tiebreak.accounts.models import Project
from tiebreak.core.intervals import Estimate

from .base import Request, page, signed_in

SESSIONS: Final = 20
PLAUSIBLE: Final = (0.4, 0.6)  # a share of left that says nothing of a habit


class Sides(NamedTuple):
    """What was said, by where it stood on the screen."""

    left: int
    tie: int
    right: int
    both_bad: int


@signed_in
@require_GET
def session(request: Request, slug: str, pk: int) -> HttpResponse:
    """One session of one's own: what was done, in what time, and how one's figures stand."""
    project = _project(request, slug)
    row = get_object_or_404(
        Session.objects.select_related("rater__project"), rater__project=project, rater__user=request.user, pk=pk
    )
    until = row.ended_at or timezone.now()
    at = sessions.current(row.rater, now=timezone.now())
    told = {
        "session": row,
        "full": at.session_id == row.pk and policies.reached(at.judged, at.quota),
        "day_full": policies.reached(at.today, at.daily_quota),
        "sides": _sides(row.rater, row.started_at, until),
        **_figures(row.rater),
    }
    return page(request, "annotate/session.html", told, project)


@signed_in
@require_GET
def mine(request: Request, slug: str) -> HttpResponse:
    """All of one's own work in a project."""
    rater = assigning.rater_for(_project(request, slug), request.user)
    done = Session.objects.filter(rater=rater)
    told = {
        "rater": rater,
        "total": done.order_by().aggregate(judged=Sum("judged"), skipped=Sum("skipped"), seconds=Sum("seconds")),
        "sessions": list(done.order_by("-started_at")[:SESSIONS]),
        "sides": _sides(rater, None, timezone.now()),
        **_figures(rater),
    }
    return page(request, "annotate/mine.html", told, rater.project)


def _sides(rater: Rater, since: datetime | None, until: datetime) -> Sides:
    mine = Judgement.objects.current().filter(rater=rater, submitted_at__lte=until)
    if since is not None:
        mine = mine.filter(submitted_at__gte=since)
    a_left, b_left = Q(order="ab"), Q(order="ba")
    found = mine.order_by().aggregate(
        left=Count("pk", filter=a_left & Q(preference__lt=0) | b_left & Q(preference__gt=0)),
        tie=Count("pk", filter=Q(preference=0)),
        right=Count("pk", filter=a_left & Q(preference__gt=0) | b_left & Q(preference__lt=0)),
        both_bad=Count("pk", filter=Q(both_bad=True)),
    )
    return Sides(**found)


def _figures(rater: Rater) -> dict[str, Any]:
    """One's figures so far in words, where the project tells them."""
    form = projects.current_form(rater.project)
    own = measuring.own(rater, form, now=timezone.now())
    if own is None:
        return {"figures": None}
    figures = [
        (
            _("With the known answer"),
            own.gold,
            _("of the comparisons whose answer is known, mixed in with the rest"),
        ),
        (_("With most others"), own.others, _("of the comparisons on which the other people were mostly of one mind")),
        (_("With yourself"), own.same, _("of the comparisons that you were asked twice, with the sides swapped")),
    ]
    return {
        "figures": [_figure(label, estimate, note) for label, estimate, note in figures],
        "left": _figure(_("Left response chosen"), own.left, _("of your answers that chose a side")),
        "left_hint": _left_hint(own.left),
        "revise_minutes": form.revise_minutes,
    }


def _figure(label: str, estimate: Estimate, note: str) -> dict[str, Any]:
    if estimate.value is None or estimate.low is None or estimate.high is None:
        why = _("Not enough evidence yet (n = %(n)s).") % {"n": estimate.n}
        return {"label": label, "value": None, "note": why}
    low, high = f"{estimate.low * 100:.0f}", f"{estimate.high * 100:.0f}"
    words = _("%(note)s; surely between %(low)s and %(high)s %%, n = %(n)s") % {
        "note": note,
        "low": low,
        "high": high,
        "n": estimate.n,
    }
    return {"label": label, "value": f"{estimate.value * 100:.0f} %", "note": words}


def _left_hint(left: Estimate) -> str:
    """What helps, where the interval shows a habit."""
    if left.low is None or left.high is None:
        return ""
    if left.low > PLAUSIBLE[1]:
        return _("You choose the left response more often than chance puts the better one there. Read B first.")
    if left.high < PLAUSIBLE[0]:
        return _(
            "You choose the right response more often than chance puts the better one there. Try reading A again last."
        )
    return ""


def _project(request: Request, slug: str) -> Project:
    return get_object_or_404(Project.objects.visible_to(request.user), slug=slug)

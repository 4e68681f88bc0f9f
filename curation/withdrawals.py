"""Pages for taking data back: what it would do, the doing of it, and what was taken back so far."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _

from annotate.models import Comparison, Rater
from tiebreak.accounts.roles import Can

from .desk import Desk, page
from .services import withdrawing
from .services.reading import withdrawals as reading
from .views import cursor_of


@page()
def withdrawals(desk: Desk) -> HttpResponse:
    return desk.render("withdrawals.html", page=reading.withdrawals(desk.project, cursor_of(desk.request.GET)))


@page(Can.MANAGE, methods="GET POST")
def rater(desk: Desk, pk: int) -> HttpResponse:
    raters = Rater.objects.select_related("project", "user").filter(kind=Rater.Kind.ANNOTATOR)
    return _withdraw(desk, get_object_or_404(raters, project=desk.project, pk=pk))


@page(Can.MANAGE, methods="GET POST")
def comparison(desk: Desk, pk: int) -> HttpResponse:
    comparisons = Comparison.objects.select_related("project")
    return _withdraw(desk, get_object_or_404(comparisons, project=desk.project, pk=pk))


def _withdraw(desk: Desk, subject: withdrawing.Subject) -> HttpResponse:
    """What it would do and the form that does it; posted, it begins, and its run is shown."""
    reason = desk.request.POST.get("reason", "")
    if desk.request.method == "POST":
        with desk.refusals():
            withdrawal = withdrawing.start(subject, reason, by=desk.user)
            desk.say(_("It counts no more in a moment; versions follow one by one."))
            return desk.go("run", withdrawal.run_id)
    person = isinstance(subject, Rater)
    return desk.render(
        "withdraw.html", plan=withdrawing.preview(subject), subject=subject, person=person, reason=reason
    )

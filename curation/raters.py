"""The curator's pages about people and judges as raters: the table, one of them, and what may be done about them."""

from __future__ import annotations

from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.utils.translation import gettext as _

from annotate.models import Rater
from annotate.services import commenting, qualifying
from annotate.services import raters as rater_services
from annotate.services.projects import current_form
from tiebreak.accounts.roles import Can

from .desk import Desk, beside_fields, page
from .forms import EquipForm
from .services.reading import rater as rater_page
from .services.reading import raters as rater_pages


@page()
def raters(desk: Desk) -> HttpResponse:
    asked = desk.request.GET.get("sort", "")
    sort, reverse = asked.removeprefix("-"), asked.startswith("-")
    return desk.render(
        "raters.html",
        raters=rater_pages.raters(desk.project, sort=sort, reverse=reverse),
        sort=sort,
        reverse=reverse,
        short=qualifying.shortage(desk.project, current_form(desk.project)),
    )


def _rater(desk: Desk, pk: int, form: EquipForm | None = None, status: int = 200) -> HttpResponse:
    found = rater_page.page(desk.project, pk)
    if found is None:
        raise Http404
    form = form or EquipForm.of(found.rater)
    return desk.render("rater.html", page=found, rater=found.rater, form=form, status=status)


@page()
def rater(desk: Desk, pk: int) -> HttpResponse:
    return _rater(desk, pk)


def _one(desk: Desk, pk: int) -> Rater:
    return get_object_or_404(Rater.objects.select_related("project", "user"), project=desk.project, pk=pk)


@page(Can.CURATE, methods="POST")
def pause(desk: Desk, pk: int) -> HttpResponse:
    row = _one(desk, pk)
    with desk.refusals():
        rater_services.pause(row, by=desk.user, because=desk.request.POST.get("because", ""))
        desk.say(_("%(name)s is paused.") % {"name": row.name})
    return desk.back("raters")


@page(Can.CURATE, methods="POST")
def resume(desk: Desk, pk: int) -> HttpResponse:
    row = _one(desk, pk)
    with desk.refusals():
        rater_services.resume(row, by=desk.user, new_start=bool(desk.request.POST.get("new_start")))
        desk.say(_("%(name)s may go on.") % {"name": row.name})
    return desk.back("raters")


@page(Can.CURATE, methods="POST")
def message(desk: Desk, pk: int) -> HttpResponse:
    row = _one(desk, pk)
    with desk.refusals():
        commenting.message(row, desk.request.POST.get("text", ""), by=desk.user)
        desk.say(_("Sent to %(name)s.") % {"name": row.name})
    return desk.go("rater", pk)


@page(Can.CURATE, methods="POST")
def requalify(desk: Desk, pk: int) -> HttpResponse:
    row = _one(desk, pk)
    with desk.refusals():
        qualifying.requalify(row, by=desk.user)
        desk.say(_("%(name)s qualifies before the next comparison.") % {"name": row.name})
    return desk.go("rater", pk)


@page(Can.CURATE, methods="POST")
def excuse(desk: Desk, pk: int) -> HttpResponse:
    row = _one(desk, pk)
    with desk.refusals():
        qualifying.excuse(row, by=desk.user)
        desk.say(_("%(name)s may compare without a qualification.") % {"name": row.name})
    return desk.go("rater", pk)


@page(Can.CURATE, methods="POST")
def measure(desk: Desk, pk: int) -> HttpResponse:
    """A new start for hidden gold, or its end: all of it counts again."""
    row, all_of_it = _one(desk, pk), desk.request.POST.get("since") == "ever"
    with desk.refusals():
        qualifying.measure_from(row, None if all_of_it else timezone.now(), by=desk.user)
        desk.say(_("All hidden gold counts again.") if all_of_it else _("Hidden gold counts from now on."))
    return desk.go("rater", pk)


@page(Can.CURATE, methods="POST")
def equip(desk: Desk, pk: int) -> HttpResponse:
    row, form = _one(desk, pk), EquipForm(desk.request.POST)
    if form.is_valid():
        with beside_fields(form):
            rater_services.equip(row, by=desk.user, **form.cleaned_data)
            desk.say(_("Stored. It counts from the next comparison on."))
            return desk.go("rater", pk)
    return _rater(desk, pk, form, status=422)

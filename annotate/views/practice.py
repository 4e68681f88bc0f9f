"""The way in: practice with feedback, then the qualification, each trial on the comparing screen."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from annotate import policies
from annotate.forms import AnswerForm, posted_as
from annotate.models import Rater, Trial
from annotate.services import assigning, projects, qualifying
from tiebreak.accounts.models import Project
from tiebreak.core.errors import Conflict, Invalid

from .base import Request, lead_to, page, signed_in
from .compare import checked
from .screen import label, screen_of


@signed_in
@require_http_methods(["GET", "POST"])
def practice(request: Request, slug: str) -> HttpResponse:
    """What the practice is, how far it is, and its beginning."""
    return _gate(request, slug, "practice")


@signed_in
@require_http_methods(["GET", "POST"])
def qualification(request: Request, slug: str) -> HttpResponse:
    """What the qualification is, how far it is, its beginning, and its result."""
    return _gate(request, slug, "qualification")


@signed_in
@require_http_methods(["GET", "POST"])
def trial(request: Request, slug: str, pk: int) -> HttpResponse:
    """One trial: its screen, and in a practice the feedback once it is answered."""
    project = _project(request, slug)
    mine = Trial.objects.filter(rater__user=request.user, rater__project=project)
    row = get_object_or_404(mine.select_related(*qualifying.SHOWN), pk=pk)
    if request.method == "POST":
        return _answer(request, row)
    if row.answered_at is None:
        return _ask(request, row)
    return _told(request, row)


def _gate(request: Request, slug: str, kind: qualifying.Kind) -> HttpResponse:
    rater, now = assigning.rater_for(_project(request, slug), request.user), timezone.now()
    if rater.paused_at is not None:
        return redirect("compare", slug)  # which says why, and whom to ask
    if request.method == "POST":
        try:
            before = qualifying.before(rater, kind, now=now)
        except Conflict:  # too early: the page says when
            before = None
        return redirect("trial", slug, before.pk) if before else redirect(kind, slug)
    form = projects.current_form(rater.project)
    due, last = qualifying.due(rater, form), qualifying.attempt(rater, kind)
    if kind == "qualification" and due == "practice":
        return redirect("practice", slug)
    waits = bool(last and last.retry_at and last.retry_at > now and due == kind)
    told = {
        "form": form,
        "due": due,
        "attempt": last,
        "going": bool(due == kind and last and last.ended_at is None),
        "waits": waits,
        "size": form.practice_size if kind == "practice" else form.qualification_size,
    }
    return page(request, f"annotate/{kind}.html", told, rater.project)


def _ask(request: Request, row: Trial, errors: dict[str, str] | None = None, typed: Any = None) -> HttpResponse:
    """The trial's screen; of an attempt the first open one, so that two tabs are at the same."""
    kind = qualifying.kind_of(row)
    before = qualifying.before(row.rater, kind, now=timezone.now())
    if before is None:
        return redirect(kind, row.rater.project.slug)
    if before.pk != row.pk:
        return _go(request, before)
    told = _screen(row, errors, typed, request.user.keys)
    status = HTTPStatus.UNPROCESSABLE_ENTITY if errors else HTTPStatus.OK
    if request.htmx:
        return render(request, "annotate/_comparison.html", told, status=status)
    return page(request, "annotate/compare.html", told, row.rater.project, status)


def _answer(request: Request, row: Trial) -> HttpResponse:
    form = AnswerForm(request.POST)
    try:
        row = qualifying.answer(row, checked(form), by=request.user, now=timezone.now())
    except Invalid as error:
        named = error.params.get("errors") or {str(error.params.get("field", "")): error.message}
        errors = {posted_as(str(name)): str(text) for name, text in named.items()}
        return _ask(request, row, errors, form.answer().as_draft())
    except Conflict:  # it was answered in another tab, or taken back
        row.refresh_from_db()
        if row.answered_at is None:
            return _on(request, row.rater, qualifying.kind_of(row))
    if row.kind == Trial.Kind.QUALIFICATION:
        return _on(request, row.rater, "qualification")
    return _told(request, row) if request.htmx else redirect("trial", row.rater.project.slug, row.pk)


def _on(request: Request, rater: Rater, kind: qualifying.Kind) -> HttpResponse:
    """To the next trial of an attempt, or to what the attempt came to."""
    going = qualifying.attempt(rater, kind)
    before = None if going is None or going.ended_at else qualifying.before(rater, kind, now=timezone.now())
    return _go(request, before) if before else lead_to(request, reverse(kind, args=[rater.project.slug]))


def _go(request: Request, row: Trial) -> HttpResponse:
    url = reverse("trial", args=[row.rater.project.slug, row.pk])
    if not request.htmx:
        return redirect(url)
    response = render(request, "annotate/_comparison.html", _screen(row, None, None, request.user.keys))
    response["HX-Push-Url"] = url
    return response


def _told(request: Request, row: Trial) -> HttpResponse:
    """What is known of a comparison that was practised on, beside what was said of it."""
    project = row.rater.project
    if row.kind != Trial.Kind.PRACTICE:
        return redirect("qualification", project.slug)
    going = qualifying.attempt(row.rater, "practice")
    open_ = going is not None and going.ended_at is None
    before = qualifying.before(row.rater, "practice", now=timezone.now()) if open_ else None
    comparison, levels = row.comparison, row.form.levels
    left, right = policies.sides(comparison.completion_a.text, comparison.completion_b.text, row.order)
    gold = 0 if comparison.gold is None else policies.to_screen(comparison.gold, row.order)
    said = None if row.preference is None else label(policies.to_screen(row.preference, row.order), levels)
    told = {
        "trial": row,
        "attempt": going,
        "said": said,
        "known": label((gold > 0) - (gold < 0), 1),
        "better": {-1: "left", 1: "right"}.get((gold > 0) - (gold < 0), ""),
        "prompt": comparison.prompt.messages,
        "left": left,
        "right": right,
        "next_url": reverse("trial", args=[project.slug, before.pk]) if before else "",
        "end_url": reverse("practice", args=[project.slug]),
    }
    if request.htmx:
        return render(request, "annotate/_feedback.html", {"project": project} | told)
    return page(request, "annotate/feedback.html", told, project)


def _screen(row: Trial, errors: dict[str, str] | None, typed: Any, chosen_keys: dict[str, str]) -> dict[str, Any]:
    comparison, project = row.comparison, row.rater.project
    left, right = policies.sides(comparison.completion_a.text, comparison.completion_b.text, row.order)
    told = screen_of(
        row.form,
        prompt=comparison.prompt.messages,
        left=left,
        right=right,
        context=comparison.context,
        reference=comparison.reference,
        draft=typed,
        errors=errors,
        chosen_keys=chosen_keys,
    )
    going = qualifying.attempt(row.rater, qualifying.kind_of(row))
    return told | {
        "project": project,
        "trial": row,
        "attempt": going,
        "submit_url": reverse("trial", args=[project.slug, row.pk]),
        "guidelines_url": reverse("guidelines", args=[project.slug]),
    }


def _project(request: Request, slug: str) -> Project:
    return get_object_or_404(Project.objects.visible_to(request.user), slug=slug)

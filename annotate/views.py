"""The annotator's pages: my projects, and the comparing screen."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final
from uuid import uuid4

import numpy as np
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_http_methods, require_POST
from django_htmx.middleware import HtmxDetails

from tiebreak.accounts.models import Membership, Project, User
from tiebreak.accounts.roles import MAY, Can
from tiebreak.core.errors import Conflict, DomainError, Invalid
from tiebreak.core.text import TextError, loads_strict

from . import policies
from .forms import ASPECT, AnswerForm
from .models import Assignment, Form, Rubric
from .services import assigning, judging

# What a strength is called, by the number of levels of the form; "A" is the response on the left.
STRENGTHS: Final = {
    1: [gettext_lazy("%(side)s is better")],
    2: [gettext_lazy("%(side)s is slightly better"), gettext_lazy("%(side)s is much better")],
    3: [
        gettext_lazy("%(side)s is slightly better"),
        gettext_lazy("%(side)s is better"),
        gettext_lazy("%(side)s is much better"),
    ],
}


class Request(HttpRequest):
    """A request of somebody who is signed in."""

    htmx: HtmxDetails
    user: User


@login_required
@require_GET
def home(request: Request) -> HttpResponse:
    """My projects, with what I can do in each and how far I am."""
    memberships = request.user.memberships.filter(project__archived_at=None).select_related("project")
    entries = [_entry(membership, request.user) for membership in memberships.order_by("project__name")]
    return render(request, "annotate/home.html", {"projects": entries})


@login_required
@require_GET
def compare(request: Request, slug: str) -> HttpResponse:
    """Lease the next comparison and show it, or say that there is none."""
    return _show_next(request, get_object_or_404(Project.objects.visible_to(request.user), slug=slug))


@login_required
@require_http_methods(["GET", "POST"])
def answer(request: Request, slug: str, pk: int) -> HttpResponse:
    """Take the answer and show the next comparison; or the same one again, with what was typed and what is wrong."""
    if request.method == "GET":  # an answer that was refused, reloaded
        return redirect("compare", slug)
    assignment = _assignment(request, slug, pk)
    form = AnswerForm(request.POST)
    if not form.is_valid():
        return _refused(request, assignment, form, list(form.complaints().values()), HTTPStatus.UNPROCESSABLE_ENTITY)
    said, key = form.answer(), form.cleaned_data["key"]
    try:
        judging.submit(assignment, said, by=request.user, key=key, now=timezone.now())
    except (Invalid, Conflict) as error:
        lost = isinstance(error, Conflict)
        return _refused(request, assignment, form, [_worded(error, assignment)], error.status, lost=lost)
    return _next(request, assignment.rater.project)


@login_required
@require_POST
def skip(request: Request, slug: str, pk: int) -> HttpResponse:
    """Pass on a comparison, and show the next."""
    assignment = _assignment(request, slug, pk)
    try:
        assigning.skip(assignment, request.POST.get("skip_reason", ""), by=request.user, now=timezone.now())
    except Invalid as error:
        return _screen(request, assignment, errors=[error.message], status=error.status)
    except Conflict:  # it was closed in another tab, or its lease was lost: there is nothing left to pass on
        pass
    return _next(request, assignment.rater.project)


@login_required
@require_POST
def draft(request: Request, slug: str, pk: int) -> HttpResponse:
    """Keep what was typed so far (form fields, or one JSON object), and renew the lease."""
    assignment = _assignment(request, slug, pk)
    form = (
        AnswerForm.of_json(_json(request)) if request.content_type == "application/json" else AnswerForm(request.POST)
    )
    form.full_clean()  # a half-typed form is no error: what can be read is kept
    assigning.save_draft(assignment, form.answer().as_draft(), by=request.user, now=timezone.now())
    return HttpResponse(status=HTTPStatus.NO_CONTENT)


def _entry(membership: Membership, user: User) -> dict[str, Any]:
    """A project on the home page."""
    project, may = membership.project, MAY[membership.role]
    figures = judging.progress_in(project, user, now=timezone.now())._asdict() if Can.ANNOTATE in may else None
    return {
        "slug": project.slug,
        "name": project.name,
        "description": project.description,
        "role": membership.role,
        "may": {can.value: can in may for can in Can},
        "progress": figures,
    }


def _assignment(request: Request, slug: str, pk: int) -> Assignment:
    """One of the person's own assignments in a project that they are still a member of."""
    project = get_object_or_404(Project.objects.visible_to(request.user), slug=slug)
    held = Assignment.objects.held_by(request.user).filter(rater__project=project)
    return get_object_or_404(held.select_related("rater__project", "comparison__project", "form"), pk=pk)


def _json(request: Request) -> Mapping[str, Any]:
    try:
        values = loads_strict(request.body, field="draft", max_depth=4)
    except TextError as error:
        raise Invalid(str(error), field="draft") from error
    if not isinstance(values, dict):
        raise Invalid("draft: expected an object.", field="draft")
    return values


def _next(request: Request, project: Project) -> HttpResponse:
    """The next screen: at once for htmx, by way of a redirect for a page, so that a reload sends nothing again."""
    return _show_next(request, project) if request.htmx else redirect("compare", project.slug)


def _show_next(request: Request, project: Project) -> HttpResponse:
    rater = assigning.rater_for(project, request.user)
    now = timezone.now()
    assignment = assigning.next_assignment(rater, now=now, rng=np.random.default_rng())
    if assignment is not None:
        return _screen(request, assignment)
    figures = judging.progress(rater, now=now)._asdict()
    told = {"project": project, "progress": figures, "next_url": reverse("compare", args=[project.slug])}
    return _show(request, "done", told)


def _refused(
    request: Request, assignment: Assignment, form: AnswerForm, errors: list[str], status: int, *, lost: bool = False
) -> HttpResponse:
    typed, key = form.answer().as_draft(), form.cleaned_data.get("key")
    return _screen(request, assignment, draft=typed, errors=errors, key=key, lost=lost, status=status)


def _worded(error: DomainError, assignment: Assignment) -> str:
    """The message, with the label of the aspect that it is about."""
    field = str(error.params.get("field", ""))
    aspects = assignment.form.aspects if assignment.form else []
    labels = {f"aspects.{aspect['key']}": aspect["label"] for aspect in aspects}
    return f"{labels[field]}: {error.message}" if field in labels else error.message


def _screen(request: Request, assignment: Assignment, *, status: int = HTTPStatus.OK, **given: Any) -> HttpResponse:
    return _show(request, "comparison", screen(assignment, **given), status)


def _show(request: Request, name: str, told: dict[str, Any], status: int = HTTPStatus.OK) -> HttpResponse:
    """The fragment for htmx, the page around it for everybody else."""
    if request.htmx:
        return render(request, f"annotate/_{name}.html", told, status=status)
    page = {"comparison": "compare"}.get(name, name)
    role = told["project"].role_of(request.user)
    may = {can.value: can in MAY[role] for can in Can}
    return render(request, f"annotate/{page}.html", told | {"may": may}, status=status)


def screen(
    assignment: Assignment,
    *,
    draft: Mapping[str, Any] | None = None,
    errors: list[str] | None = None,
    key: object = None,
    lost: bool = False,
) -> dict[str, Any]:
    """Everything that the comparing screen shows. Never who wrote a response, nor what others said of it."""
    comparison, form, project = assignment.comparison, assignment.form, assignment.rater.project
    left, right = policies.sides(comparison.completion_a.text, comparison.completion_b.text, assignment.order)
    here = [project.slug, assignment.pk]
    return {
        "project": project,
        "form": form,
        "assignment": assignment,
        "prompt": comparison.prompt.messages,
        "context": comparison.context,
        "left": left,
        "right": right,
        "rubric": criteria(form),
        "choices": choices(form) if form else [],
        "draft": as_typed(assignment.draft if draft is None else draft),
        "errors": errors or [],
        "lost": lost,
        "progress": judging.progress(assignment.rater, now=timezone.now())._asdict(),
        "submit_url": reverse("answer", args=here),
        "skip_url": reverse("skip", args=here),
        "draft_url": reverse("draft", args=here),
        "next_url": reverse("compare", args=[project.slug]),
        "idempotency_key": key or uuid4(),
    }


def as_typed(draft: Mapping[str, Any]) -> dict[str, Any]:
    """A draft by the names of the form's fields."""
    aspects = draft.get("aspects") or {}
    return {**draft, **{f"{ASPECT}{key}": value for key, value in aspects.items()}}


def choices(form: Form) -> list[dict[str, Any]]:
    """The scale from left to right, each with its words and the digit that chooses it."""
    values = policies.screen_values(form.levels, allow_tie=form.allow_tie)
    return [
        {"value": value, "label": _label(value, form.levels), "key": str(number)}
        for number, value in enumerate(values, 1)
    ]


def criteria(form: Form | None) -> list[Any] | None:
    """The criteria of the form's rubric, once it is approved."""
    rubric = form.rubric if form else None
    if rubric is None or rubric.status != Rubric.Status.APPROVED:
        return None
    return list(rubric.criteria.all())


def _label(value: int, levels: int) -> str:
    if value == 0:
        return _("Tie")
    return str(STRENGTHS[levels][abs(value) - 1]) % {"side": "A" if value < 0 else "B"}

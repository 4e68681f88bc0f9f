"""The comparing screen: the next comparison, its answer, and what else may be done with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from http import HTTPStatus
from typing import Any, Final

from django.contrib import messages
from django.http import Http404, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from annotate.forms import AnswerForm, posted_as
from annotate.models import Assignment, Judgement, Rater, Session
from annotate.services import assigning, commenting, flagging, judging, sessions, shown
from annotate.services.answers import Answer, timed
from tiebreak.accounts.models import Project, User
from tiebreak.accounts.roles import Can, roles_that
from tiebreak.core.errors import Conflict, DomainError, Invalid, NotAllowed, TooLarge
from tiebreak.core.text import TextError, loads_strict

from .base import Request, lead_to, page, refusal, signed_in, wants_json
from .screen import UNDO_SECONDS, screen

# What must be passed before the next comparison, and the page where it is.
GATES: Final = {"practice_due": "practice", "qualification_due": "qualification"}
MAX_DRAFT_DEPTH: Final = 6
MAX_DRAFT_FIELDS: Final = 1_000
MAX_DRAFT_BYTES: Final = 1_000_000


@signed_in
@require_GET
def compare(request: Request, slug: str) -> HttpResponse:
    """Lease the next comparison and show it, or say that there is none."""
    return _show_next(request, slug)


@signed_in
@require_http_methods(["GET", "POST"])
def answer(request: Request, slug: str, pk: int) -> HttpResponse:
    """Take the answer and show the next comparison; or the same one again, with what was typed and what is wrong."""
    if request.method == "GET":  # an answer that was refused, reloaded
        return redirect("compare", slug)
    assignment = _assignment(request, slug, pk)
    form = AnswerForm(request.POST)

    def take() -> Judgement:
        said, key, now = checked(form), form.cleaned_data["key"], timezone.now()
        return judging.submit(assignment, timed(said, assignment, now=now), by=request.user, key=key, now=now)

    return taken(request, assignment.rater, form, take, lambda **why: screen(assignment, user=request.user, **why))


@signed_in
@require_POST
def skip(request: Request, slug: str, pk: int) -> HttpResponse:
    """Pass on a comparison, and show the next."""
    assignment = _assignment(request, slug, pk)
    try:
        assigning.skip(assignment, request.POST.get("skip_reason", ""), by=request.user, now=timezone.now())
    except Invalid as error:
        if wants_json(request):
            return refusal(error, {"skip_reason": error.message})
        return _screen(request, assignment, errors={"skip_reason": error.message}, status=error.status)
    except Conflict:  # it was closed in another tab, or its lease was lost: there is nothing left to pass on
        pass
    if wants_json(request):
        return JsonResponse({"skipped": assignment.pk, "next": _leased(assignment.rater)})
    return next_screen(request, assignment.rater.project)


@signed_in
@require_POST
def draft(request: Request, slug: str, pk: int) -> HttpResponse:
    """Keep what was typed so far (form fields, or one JSON object), and renew the lease."""
    assignment = _assignment(request, slug, pk)
    form = (
        AnswerForm.of_json(_json(request)) if request.content_type == "application/json" else AnswerForm(request.POST)
    )
    form.full_clean()  # a half-typed form is no error: what can be read is kept
    try:
        assigning.save_draft(assignment, form.answer().as_draft(), by=request.user, now=timezone.now())
    except DomainError as error:
        if wants_json(request):
            return refusal(error)
        raise
    return HttpResponse(status=HTTPStatus.NO_CONTENT)


@signed_in
@require_POST
def ahead(request: Request, slug: str) -> HttpResponse:
    """The fragment of the comparison that comes after this one, leased ahead; 204 where there is none to be had."""
    now = timezone.now()
    rater, desk = arrived(request, slug, now)
    try:
        assignment = assigning.fetch_ahead(rater, now=now, desk=desk)
    except (Conflict, NotAllowed):  # a pause or a quota: it is told when this comparison is done
        assignment = None
    if assignment is None:
        return HttpResponse(status=HTTPStatus.NO_CONTENT)
    assignment.rater = rater
    return render(request, "annotate/_comparison.html", screen(assignment, user=request.user, ahead=True))


@signed_in
@require_POST
def pause(request: Request, slug: str) -> HttpResponse:
    """Give back what is held, with its draft kept, end the session, and show what it was."""
    now = timezone.now()
    rater, _desk = arrived(request, slug, now)
    assigning.release_held(rater, now=now)
    sessions.end(rater, now=now)
    return lead_to(request, _session_url(rater) or reverse("home"))


@signed_in
@require_POST
def flag(request: Request, slug: str, pk: int) -> HttpResponse:
    """Say that something is wrong with a comparison."""
    assignment = _assignment(request, slug, pk)
    kind, note = request.POST.get("kind", ""), request.POST.get("note", "")

    def raise_it() -> dict[str, int]:
        return {"flag": flagging.flag(assignment.comparison, assignment.rater, kind, note, by=request.user).pk}

    return _noted(request, assignment, raise_it, _("Flagged: a curator will look at it. You can still answer or skip."))


@signed_in
@require_POST
def comment(request: Request, slug: str, pk: int) -> HttpResponse:
    """Say something of a comparison to the curators."""
    assignment, text = _assignment(request, slug, pk), request.POST.get("text", "")

    def say_it() -> dict[str, int]:
        return {"comment": commenting.comment(assignment.comparison, text, by=request.user).pk}

    return _noted(request, assignment, say_it, _("Your comment is with the curators."))


# What answering and answering again share


def checked(form: AnswerForm) -> Answer:
    """The answer as posted; raises Invalid where a field cannot be read."""
    if not form.is_valid():
        errors = form.complaints()
        field, message = next(iter(errors.items()))
        raise Invalid(message, field=field, errors=errors)
    return form.answer()


def taken(
    request: Request,
    rater: Rater,
    form: AnswerForm,
    take: Callable[[], Judgement],
    shown: Callable[..., dict[str, Any]],
) -> HttpResponse:
    """Take an answer: the next screen, or what a script is told; refused, the same screen as it was typed, and why."""
    try:
        judgement = take()
    except DomainError as error:
        errors = _by_field(error)
        if wants_json(request):
            return refusal(error, {name: text for name, text in errors.items() if name})
        if not isinstance(error, Invalid | Conflict):
            raise
        told = shown(
            draft=form.answer().as_draft(),
            errors=errors,
            key=form.cleaned_data.get("key"),
            lost=isinstance(error, Conflict),
            confirm_repeat=error.code == "justification_repeated",
        )
        return _show(request, "comparison", told, error.status)
    if not wants_json(request):
        return next_screen(request, rater.project)
    return JsonResponse(
        {
            "judgement": judgement.pk,
            "revise_url": reverse("revise", args=[rater.project.slug, judgement.pk]),
            "undo_seconds": UNDO_SECONDS,
            "next": _leased(rater),
        }
    )


def next_screen(request: Request, project: Project) -> HttpResponse:
    """The next screen: at once for htmx, by way of a redirect for a page, so that a reload sends nothing again."""
    if not request.htmx:
        return redirect("compare", project.slug)
    response = _show_next(request, project.slug)
    if (
        request.resolver_match
        and request.resolver_match.url_name == "revise"
        and not response.has_header("HX-Redirect")
    ):
        response["HX-Push-Url"] = reverse("compare", args=[project.slug])
    return response


def arrived(request: Request, slug: str, now: datetime) -> tuple[Rater, assigning.Desk | None]:
    """The person's rater in a project, with what is before them where one call has read both."""
    at = assigning.arrive(slug, request.user, now=now)
    if at is not None:
        return at
    project = get_object_or_404(Project.objects.visible_to(request.user), slug=slug)
    return assigning.rater_for(project, request.user), None


def _assignment(request: Request, slug: str, pk: int) -> Assignment:
    """One of the person's own assignments in a project that they are still a member of."""
    found = shown.load(pk, texts=False, user=request.user)
    project = found.rater.project if found else None
    if found is None or project is None or project.slug != slug or project.role_of(request.user) is None:
        raise Http404
    return found


def _json(request: Request) -> Mapping[str, Any]:
    if len(request.body) > MAX_DRAFT_BYTES:
        raise TooLarge(f"A draft may have {MAX_DRAFT_BYTES:,} bytes; this one has {len(request.body):,}.")
    try:
        values = loads_strict(request.body, field="draft", max_depth=MAX_DRAFT_DEPTH)
    except TextError as error:
        raise Invalid(str(error), field="draft") from error
    if not isinstance(values, dict) or len(values) > MAX_DRAFT_FIELDS:
        raise Invalid(f"draft: expected an object of at most {MAX_DRAFT_FIELDS:,} fields.", field="draft")
    return values


def _leased(rater: Rater) -> int | None:
    """The assignment that the rater has before them."""
    held = Assignment.objects.filter(rater=rater, status=Assignment.Status.LEASED)
    return held.values_list("pk", flat=True).first()


def _show_next(request: Request, slug: str) -> HttpResponse:
    now = timezone.now()
    rater, desk = arrived(request, slug, now)
    project = rater.project
    try:
        assignment = assigning.next_assignment(rater, now=now, desk=desk)
    except NotAllowed as error:
        if error.code != "paused":
            raise
        return _paused(request, rater, error)
    except Conflict as error:
        if (led := _led(request, rater, error)) is None:
            raise
        return led
    if assignment is not None:
        assignment.rater = rater  # the same one, of a project that knows the person's role
        return _screen(request, assignment)
    told = {
        "project": project,
        "progress": judging.progress(rater, now=now)._asdict(),
        "why": assigning.why_nothing(rater, now=now),
        "next_url": reverse("compare", args=[project.slug]),
        "previous_url": reverse("previous", args=[project.slug]),
        "pause_url": reverse("pause", args=[project.slug]),
    }
    return _show(request, "done", told)


def _led(request: Request, rater: Rater, error: Conflict) -> HttpResponse | None:
    """To the page of what is due, or of the session whose quota is reached; None where another conflict is told."""
    if gate := GATES.get(error.code):
        return lead_to(request, reverse(gate, args=[rater.project.slug]))
    if error.code != "quota_reached":
        return None
    url = _session_url(rater)
    if url is not None:
        messages.info(request, error.message)
    return lead_to(request, url) if url else None


def _session_url(rater: Rater) -> str | None:
    """Where the rater's last session is told."""
    last = Session.objects.filter(rater=rater).order_by("-started_at").values_list("pk", flat=True).first()
    return reverse("session", args=[rater.project.slug, last]) if last else None


def _paused(request: Request, rater: Rater, error: NotAllowed) -> HttpResponse:
    """Why no comparison is given, and who can change that."""
    project = rater.project
    asked = User.objects.filter(memberships__project=project, memberships__role__in=roles_that(Can.CURATE))
    told = {
        "project": project,
        "because": error.message,
        "since": rater.paused_at,
        "ask": list(asked.order_by("username").values_list("username", flat=True)),
        "previous_url": reverse("previous", args=[project.slug]),
    }
    return _show(request, "paused", told, error.status)


def _noted(request: Request, assignment: Assignment, act: Callable[[], dict[str, int]], words: str) -> HttpResponse:
    """Do it and say so beside the comparison, which stays. What was typed on a page without scripts is kept."""
    try:
        done = act()
    except DomainError as error:
        if wants_json(request):
            return refusal(error, {str(error.params.get("field", "")): error.message})
        if request.htmx:
            told = {"words": error.message, "level": "error"}
            return render(request, "annotate/_noted.html", told, status=error.status)
        if not isinstance(error, Invalid):
            raise
        messages.error(request, error.message)
    else:
        if wants_json(request):
            return JsonResponse(done)
        if request.htmx:
            return render(request, "annotate/_noted.html", {"words": words, "level": "success"})
        messages.success(request, words)
    _keep_typed(request, assignment)
    return redirect("compare", assignment.rater.project.slug)


def _keep_typed(request: Request, assignment: Assignment) -> None:
    if "key" not in request.POST:  # a form of its own, without the answer around it
        return
    form = AnswerForm(request.POST)
    form.full_clean()
    with suppress(Conflict):  # answered or lost meanwhile: the screen tells
        assigning.save_draft(assignment, form.answer().as_draft(), by=request.user, now=timezone.now())


def _by_field(error: DomainError) -> dict[str, str]:
    """The words of a refusal by posted field; under "" those that are about none."""
    errors = error.params.get("errors")
    if isinstance(errors, Mapping):
        return {posted_as(str(name)): str(text) for name, text in errors.items()}
    field = str(error.params.get("field", ""))
    return {posted_as(field): error.message}


def _screen(request: Request, assignment: Assignment, *, status: int = HTTPStatus.OK, **given: Any) -> HttpResponse:
    return _show(request, "comparison", screen(assignment, user=request.user, **given), status)


def _show(request: Request, name: str, told: dict[str, Any], status: int = HTTPStatus.OK) -> HttpResponse:
    """The fragment for htmx, the page around it for everybody else."""
    if request.htmx:
        return render(request, f"annotate/_{name}.html", told, status=status)
    template = {"comparison": "compare"}.get(name, name)
    return page(request, f"annotate/{template}.html", told, told["project"], status)

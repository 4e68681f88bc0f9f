"""The adjudicator's page: one comparison at a time with all that was said of it, decided with one key and a reason."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from typing import Any, Final

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from annotate.models import Adjudication, Comparison, Flag, Form, Judgement, Rubric
from annotate.models.forms import MAX_LEVELS
from annotate.services import commenting, disputes, flagging, reviewing
from annotate.services.disputes import Case, Said
from tiebreak.accounts.models import Project
from tiebreak.accounts.roles import Can
from tiebreak.core.errors import Conflict, Invalid, NotAllowed

from .base import Request, page, signed_in
from .screen import FLAG_KINDS, SURE, choices, label

PASSED: Final = "adjudicate_passed"  # in the session: what this person wants to decide later, by project
MAX_PASSED: Final = 200
MET_BY: Final = {
    "a": gettext_lazy("A meets it"),
    "b": gettext_lazy("B meets it"),
    "both": gettext_lazy("both meet it"),
    "neither": gettext_lazy("neither meets it"),
}
VERDICTS: Final[Mapping[str, Callable[..., Any]]] = {
    "accepted": reviewing.accept,
    "returned": reviewing.return_judgement,
}


@signed_in
@require_GET
def adjudicate(request: Request, slug: str) -> HttpResponse:
    """The next comparison that waits for a decision, or word that there is none."""
    return _next(request, _project(request, slug))


@signed_in
@require_http_methods(["GET", "POST"])
def adjudicate_one(request: Request, slug: str, pk: int) -> HttpResponse:
    """One comparison; a POST decides it and shows the next."""
    project = _project(request, slug)
    comparison = _comparison(project, pk)
    if request.method == "GET":
        return _show(request, comparison)
    try:
        corrects = Judgement.objects.filter(comparison=comparison, pk__in=_numbers(request.POST.getlist("correct")))
        reviewing.adjudicate(
            comparison,
            _number(request.POST.get("choice", "")),
            bool(request.POST.get("both_bad")),
            request.POST.get("reason", ""),
            by=request.user,
            replacing=_number(request.POST.get("replacing", "")),
            corrects=list(corrects),
        )
    except (Invalid, Conflict) as error:
        return _show(request, comparison, errors=[error.message], typed=request.POST.dict(), status=error.status)
    if request.htmx:
        return _next(request, project, decided=comparison)
    return redirect(f"{_address(project)}?decided={comparison.pk}")


@signed_in
@require_POST
def adjudicate_pass(request: Request, slug: str, pk: int) -> HttpResponse:
    """Leave a comparison for later, and show the next."""
    project = _project(request, slug)
    later, key = _comparison(project, pk).pk, str(project.pk)
    kept = dict(request.session.get(PASSED, {}))
    kept[key] = [*(n for n in kept.get(key, []) if n != later), later][-MAX_PASSED:]
    request.session[PASSED] = kept
    return _next(request, project) if request.htmx else redirect(_address(project))


@signed_in
@require_POST
def adjudicate_reopen(request: Request, slug: str, pk: int) -> HttpResponse:
    """Undo the decision of a comparison, and show it again."""
    return _act(request, _comparison(_project(request, slug), pk), lambda c: reviewing.reopen(c, by=request.user))


@signed_in
@require_POST
def adjudicate_comment(request: Request, slug: str, pk: int) -> HttpResponse:
    """Say something about a comparison."""
    comparison, text = _comparison(_project(request, slug), pk), request.POST.get("text", "")
    return _act(request, comparison, lambda c: commenting.comment(c, text, by=request.user))


@signed_in
@require_POST
def adjudicate_withdraw(request: Request, slug: str, pk: int) -> HttpResponse:
    """Take a comparison out of the project's work, or bring it back."""
    comparison, reason = _comparison(_project(request, slug, Can.CURATE), pk), request.POST.get("reason", "")
    if comparison.status == Comparison.Status.WITHDRAWN:
        return _act(request, comparison, lambda c: reviewing.restore(c, by=request.user))
    return _act(request, comparison, lambda c: reviewing.withdraw(c, reason, by=request.user))


@signed_in
@require_POST
def review_judgement(request: Request, slug: str, pk: int) -> HttpResponse:
    """Accept a judgement or return it to its annotator, and show its comparison again."""
    project = _project(request, slug)
    rows = Judgement.objects.select_related("rater", "comparison__project")
    judgement = get_object_or_404(rows, pk=pk, comparison__project=project)
    review = VERDICTS.get(request.POST.get("verdict", ""))
    if review is None:
        raise Http404
    reason = request.POST.get("reason", "")
    return _act(request, judgement.comparison, lambda c: review(judgement, reason, by=request.user))


@signed_in
@require_POST
def flag_resolve(request: Request, slug: str, pk: int) -> HttpResponse:
    """Close a flag with what was done about it."""
    project = _project(request, slug)
    flag = get_object_or_404(Flag.objects.select_related("comparison__project"), pk=pk, comparison__project=project)
    words = request.POST.get("resolution", "")
    return _act(request, flag.comparison, lambda c: flagging.resolve(flag, words, by=request.user))


def _project(request: Request, slug: str, can: Can = Can.ADJUDICATE) -> Project:
    project = get_object_or_404(Project.objects.visible_to(request.user), slug=slug)
    if not project.allows(request.user, can):
        raise NotAllowed(_("Your role in this project does not allow deciding."), code="role_too_small")
    return project


def _comparison(project: Project, pk: int) -> Comparison:
    found = disputes.one(project, pk)
    if found is None:
        raise Http404
    return found


def _address(project: Project) -> str:
    return reverse("adjudicate", args=[project.slug])


def _act(request: Request, comparison: Comparison, act: Callable[[Comparison], object]) -> HttpResponse:
    """Do it, and show the comparison as it stands then; without htmx, the page that was asked for by `back`."""
    errors: list[str] = []
    status = HTTPStatus.OK
    try:
        act(comparison)
    except (Invalid, Conflict) as error:
        errors, status = [error.message], HTTPStatus(error.status)
    if request.htmx:
        return _show(request, _comparison(comparison.project, comparison.pk), errors=errors, status=status)
    if errors:
        messages.error(request, errors[0])
    back = request.POST.get("back", "")
    ours = back.startswith("/") and url_has_allowed_host_and_scheme(back, allowed_hosts=None)
    return redirect(back) if ours else redirect("adjudicate-one", comparison.project.slug, comparison.pk)


def _next(request: Request, project: Project, *, decided: Comparison | None = None) -> HttpResponse:
    passed = request.session.get(PASSED, {}).get(str(project.pk), [])
    found = disputes.pick(project, request.user, passed=passed)
    if found is None and passed:  # all that is left was put off: begin again with it
        request.session[PASSED] = {**request.session[PASSED], str(project.pk): []}
        found = disputes.pick(project, request.user)
    done = _decided(request, project, decided)
    if found is None:
        told = {"project": project, "done": done}
        return _render(request, "none", told, project)
    return _show(request, found, done=done)


def _decided(request: Request, project: Project, comparison: Comparison | None) -> dict[str, Any] | None:
    """The decision that this person took just now, so that they can undo it."""
    pk = comparison.pk if comparison else _number(request.GET.get("decided", ""))
    mine = Adjudication.objects.filter(comparison__project=project, by=request.user, current=True)
    row = mine.filter(comparison=pk).first() if pk else None
    return {"pk": pk, "said": _words(row.preference, row.both_bad, MAX_LEVELS)} if row else None


def _show(
    request: Request,
    comparison: Comparison,
    *,
    errors: list[str] | None = None,
    typed: Mapping[str, Any] | None = None,
    done: Mapping[str, Any] | None = None,
    status: int = HTTPStatus.OK,
) -> HttpResponse:
    project = comparison.project
    case = disputes.case(comparison, request.user)
    if case.own and not project.allows(request.user, Can.CURATE):
        raise NotAllowed(
            _("You judged this comparison yourself: what others said of it is not for you to see."),
            code="own_judgement",
        )
    if case.before_me and not project.allows(request.user, Can.CURATE):
        raise NotAllowed(_("You have this comparison before you: judge it first, or pass on it."), code="before_you")
    told = _told(case) | {
        "project": project,
        "waiting": disputes.waiting(project, request.user),
        "errors": errors or [],
        "typed": typed or {},
        "done": done,
    }
    return _render(request, "case", told, project, status)


def _render(
    request: Request, name: str, told: dict[str, Any], project: Project, status: int = HTTPStatus.OK
) -> HttpResponse:
    """The fragment for htmx, the page around it for everybody else."""
    if request.htmx:
        may = {can.value: project.allows(request.user, can) for can in (Can.READ, Can.CURATE)}
        told = told | {"may": may, "fragment": f"annotate/_adjudicate_{name}.html"}
        return render(request, told["fragment"], told, status=status)
    return page(
        request, "annotate/adjudicate.html", told | {"fragment": f"annotate/_adjudicate_{name}.html"}, project, status
    )


def _told(case: Case) -> dict[str, Any]:
    """A case in words."""
    comparison, form = case.comparison, case.form
    return {
        "case": case,
        "comparison": comparison,
        "form": form,
        "choices": choices(form) if form else [],
        "rubric": _criteria(form),
        "people": [_judgement(said) for said in case.people],
        "judges": [_judgement(said) for said in case.judges],
        "flags": [
            {"remark": remark, "kind": FLAG_KINDS[Flag.Kind(remark.row.kind)]}
            for remark in case.flags
            if isinstance(remark.row, Flag)
        ],
        "decision": case.decision,
        "decision_words": _decision(case.decision),
        "earlier": [{"row": row, "words": _decision(row)} for row in case.earlier],
        "withdrawn": comparison.status == Comparison.Status.WITHDRAWN,
    }


def _criteria(form: Form | None) -> list[Any]:
    rubric = form.rubric if form else None
    return list(rubric.criteria.all()) if rubric and rubric.status == Rubric.Status.APPROVED else []


def _judgement(said: Said) -> dict[str, Any]:
    """A judgement in words: what is absent is left out."""
    row = said.judgement
    levels = row.form.levels if row.form else MAX_LEVELS
    return {
        "said": said,
        "row": row,
        "words": _("unreadable") if row.unparsed_because else _words(row.preference, row.both_bad, levels),
        "details": list(_details(row, levels)),
        "evidence": [(str(span["side"]).upper(), span["exact"]) for span in row.evidence],
        "checks": [(words, MET_BY[by]) for words, by in _checks(row) if by in MET_BY],
        "order": (row.order or "")[:1].upper(),
        "before": [
            {"row": old, "words": _words(old.preference, old.both_bad, old.form.levels if old.form else MAX_LEVELS)}
            for old in said.before
        ],
    }


def _checks(row: Judgement) -> list[tuple[str, str]]:
    """Criteria in words, in their rubric's order, and who meets them. Imported checks have the words alone."""
    if row.rubric is None:
        return list(row.checks.items())
    return [(c.text, row.checks[str(c.pk)]) for c in row.rubric.criteria.all() if str(c.pk) in row.checks]


def _details(row: Judgement, levels: int) -> Iterator[tuple[str, str]]:
    """Aspects, ratings and confidence by the names that the form gave them."""
    names = {aspect["key"]: aspect["label"] for aspect in (row.form.aspects if row.form else [])}
    for key, value in row.aspects.items():
        yield names.get(key, key), label(value, levels, _("equal"))
    for key, rated in row.ratings.items():
        yield names.get(key, key), f"A {rated.get('a', '–')}, B {rated.get('b', '–')}"
    for key, sure in row.confidence.items():
        if 1 <= sure <= len(SURE):
            yield names.get(key, _("Sure")), str(SURE[sure - 1])


def _words(preference: int | None, both_bad: bool, levels: int) -> str:
    side = "" if preference is None else label(preference, levels)
    bad = _("both bad") if both_bad else ""
    return ", ".join(part for part in (bad, side) if part)


def _decision(row: Adjudication | None) -> str:
    return _words(row.preference, row.both_bad, MAX_LEVELS) if row else ""


def _number(text: str) -> int | None:
    """A posted number; what is none says nothing, and the service asks for it."""
    try:
        return int(text) if len(text) < 19 else None
    except ValueError:
        return None


def _numbers(texts: list[str]) -> list[int]:
    return [number for text in texts if (number := _number(text)) is not None]

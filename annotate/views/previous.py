"""My previous answers: what I said last in a project, what came back to me, and changing it."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods

from annotate.forms import AnswerForm
from annotate.models import Judgement
from annotate.models.forms import MAX_LEVELS
from annotate.services import answering, assigning, judging
from annotate.services.answers import as_seen
from tiebreak.accounts.models import Project

from .base import Request, page, signed_in
from .compare import _show, checked, taken
from .screen import label, screen_again

EXCERPT: Final = 200


@signed_in
@require_GET
def previous(request: Request, slug: str) -> HttpResponse:
    """What was returned to me and my last answers, with what I said and whether it may still be changed."""
    project = get_object_or_404(Project.objects.visible_to(request.user), slug=slug)
    back, last = answering.previous(assigning.rater_for(project, request.user))
    told = {
        "returned": [_entry(judgement) for judgement in back],
        "entries": [_entry(judgement) for judgement in last],
    }
    return page(request, "annotate/previous.html", told, project)


@signed_in
@require_http_methods(["GET", "POST"])
def revise(request: Request, slug: str, pk: int) -> HttpResponse:
    """Open an answer of mine again, as I gave it and in the order that I saw; a POST stores a new revision."""
    judgement = _judgement(request, slug, pk)
    if request.method == "GET":
        current = answering.current(judgement)
        if current.pk != judgement.pk:
            return redirect("revise", slug, current.pk)
        if not judging.may_revise(judgement, now=timezone.now()):
            return _closed(request, judgement)
        return _show(request, "comparison", screen_again(judgement, user=request.user))
    form = AnswerForm(request.POST)

    def take() -> Judgement:
        return answering.revise(judgement, checked(form), by=request.user, now=timezone.now())

    return taken(request, judgement.rater, form, take, lambda **why: screen_again(judgement, user=request.user, **why))


def _judgement(request: Request, slug: str, pk: int) -> Judgement:
    """One of the person's own answers, in a project that they are still a member of."""
    project = get_object_or_404(Project.objects.visible_to(request.user), slug=slug)
    return get_object_or_404(answering.of_user(request.user).filter(rater__project=project), pk=pk)


def _entry(judgement: Judgement) -> dict[str, Any]:
    may = judging.may_revise(judgement, now=timezone.now())
    project = judgement.rater.project
    return {
        "excerpt": judgement.comparison.prompt.messages[-1]["content"][:EXCERPT],
        "said": in_words(judgement),
        "justification": judgement.justification[:EXCERPT],
        "submitted_at": judgement.submitted_at,
        "revision": judgement.revision,
        "returned": answering.returned(judgement),
        "url": reverse("revise", args=[project.slug, judgement.pk]) if may else "",
    }


def in_words(judgement: Judgement) -> str:
    """What was said, as its rater saw the sides: "A is much better", "Both bad"."""
    seen = as_seen(judgement)
    if seen.choice is None:
        return _("Both bad")
    words = label(seen.choice, judgement.form.levels if judgement.form else MAX_LEVELS)
    return _("%(words)s, both bad") % {"words": words} if seen.both_bad else words


def _closed(request: Request, judgement: Judgement) -> HttpResponse:
    """An answer that may no longer be changed is told on the list."""
    messages.info(request, _("This answer can no longer be changed. If it is wrong, tell the curators in a comment."))
    return redirect("previous", judgement.rater.project.slug)

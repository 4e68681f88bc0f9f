"""The inbox: where I was named, what was written to me, and judgements that came back, in all my projects."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from annotate.models import Mention, Review
from annotate.services import commenting, disputes, reviewing
from tiebreak.accounts.roles import MAY, Can
from tiebreak.core.errors import Conflict, Invalid

from .base import Request, signed_in

LISTED: Final = 100
EXCERPT: Final = 160


@signed_in
@require_http_methods(["GET", "POST"])
def inbox(request: Request) -> HttpResponse:
    """What is unread comes first; a POST marks what it names as read, or all of it."""
    if request.method == "POST":
        commenting.mark_seen(request.user, _named(request))
        return redirect("inbox")
    roles = dict(request.user.memberships.values_list("project_id", "role"))
    returned = list(disputes.returned_to(request.user))
    shown = [review.judgement_id for review in returned]  # with their reason, and unread until they are answered
    rows = commenting.mentions_of(request.user).exclude(comment__judgement__in=shown)
    unread, read = list(rows.filter(seen_at=None)[:LISTED]), list(rows.exclude(seen_at=None)[:LISTED])
    hidden = disputes.hidden_authors(request.user, [row.comment for row in (*unread, *read)])
    told = {
        "returned": [_returned(review) for review in returned],
        "unread": [_entry(row, roles, hidden) for row in unread],
        "read": [_entry(row, roles, hidden) for row in read],
    }
    return render(request, "annotate/inbox.html", told)


@signed_in
@require_POST
def explain(request: Request, pk: int) -> HttpResponse:
    """Answer a returned judgement of mine with words."""
    mine = Review.objects.select_related("judgement__comparison__project", "judgement__rater")
    review = get_object_or_404(mine, pk=pk, judgement__rater__user=request.user)
    try:
        reviewing.explain(review, request.POST.get("text", ""), by=request.user)
        messages.success(request, _("Your explanation was sent."))
    except (Invalid, Conflict) as error:
        messages.error(request, error.message)
    return redirect("inbox")


def _named(request: Request) -> list[int]:
    if request.POST.get("all"):
        unseen = commenting.mentions_of(request.user).filter(seen_at=None)
        return list(unseen.values_list("comment_id", flat=True))
    return [int(text) for text in request.POST.getlist("comment") if text.isdecimal() and len(text) < 19]


def _entry(mention: Mention, roles: dict[int, str], hidden: Collection[int]) -> dict[str, Any]:
    comment = mention.comment
    return {
        "comment": comment,
        "author": _("A rater") if comment.pk in hidden else comment.author.get_username(),
        "project": comment.project,
        "unread": mention.seen_at is None,
        "message": comment.rater_id is not None,
        "url": _place(mention, MAY[roles[comment.project_id]]),
    }


def _place(mention: Mention, may: frozenset[Can]) -> str:
    """Where its reader can see what it is about; empty where they may not."""
    comment, judgement = mention.comment, mention.comment.judgement
    slug = comment.project.slug
    if comment.comparison_id is None:
        return reverse("compare", args=[slug]) if Can.ANNOTATE in may else ""
    if judgement is not None and judgement.rater.user_id == mention.user_id and Can.ANNOTATE in may:
        return reverse("revise", args=[slug, judgement.pk])
    if Can.ADJUDICATE in may:
        return reverse("adjudicate-one", args=[slug, comment.comparison_id])
    return reverse("comparison", args=[slug, comment.comparison_id]) if Can.READ in may else ""


def _returned(review: Review) -> dict[str, Any]:
    judgement = review.judgement
    project, prompt = judgement.comparison.project, judgement.comparison.prompt.messages
    return {
        "review": review,
        "project": project,
        "excerpt": str(prompt[-1]["content"])[:EXCERPT] if prompt else "",
        "revise_url": reverse("revise", args=[project.slug, judgement.pk]),
    }

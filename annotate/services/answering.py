"""What a rater answered before: their last judgements, what came back to them, and changing one."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from django.db.models import Q, QuerySet

from annotate.models import Comparison, Judgement, Lane, Rater, Review
from tiebreak.accounts.models import User
from tiebreak.core.errors import Conflict

from . import judging
from .answers import Answer, said, timed

LISTED: Final = 20
RELATED: Final = (
    *("form__rubric", "rater__project", "assignment", "review__by", "comparison__project", "comparison__prompt"),
    *("comparison__completion_a", "comparison__completion_b"),
)


def of_user(user: User) -> QuerySet[Judgement]:
    """The answers that a person gave here, in every project: nobody else's can be seen, let alone changed."""
    return Judgement.objects.filter(rater__user=user, assignment__isnull=False).select_related(*RELATED)


def previous(rater: Rater) -> tuple[list[Judgement], list[Judgement]]:
    """(What was returned to the rater and waits, the oldest first; their last answers besides, the newest first)."""
    waiting = Q(review__verdict=Review.Verdict.RETURNED, review__answered_at=None)
    back = list(_mine(rater).filter(waiting).order_by("review__created_at"))
    known = {judgement.pk for judgement in back}
    last = _mine(rater).order_by("-submitted_at")[:LISTED]
    return back, [judgement for judgement in last if judgement.pk not in known]


def current(judgement: Judgement) -> Judgement:
    """What the rater says now of the same reading of the same comparison."""
    if judgement.current:
        return judgement
    same = _mine(judgement.rater).filter(comparison=judgement.comparison_id, repeat=judgement.repeat)
    return same.first() or judgement


def returned(judgement: Judgement) -> dict[str, Any] | None:
    """Who returned a judgement to its rater, and why, while it is not answered."""
    review = getattr(judgement, "review", None)
    if review is None or review.verdict != Review.Verdict.RETURNED or review.answered_at is not None:
        return None
    return {"by": review.by.get_username(), "reason": review.reason, "at": review.created_at}


def revise(judgement: Judgement, answer: Answer, *, by: User, now: datetime) -> Judgement:
    """The new revision; or the current one, where it says the same: a second click, or nothing was changed."""
    if judgement.assignment:
        answer = timed(answer, judgement.assignment, now=now)
    stands = current(judgement)
    if same(answer, stands) and returned(stands) is None:
        return stands
    try:
        return judging.revise(judgement, answer, by=by, now=now)
    except Conflict:
        judgement.refresh_from_db(fields=["current"])
        stands = current(judgement)
        if stands.pk != judgement.pk and same(answer, stands):  # a twin of this request was first
            return stands
        raise


def language_of(comparison: Comparison) -> str:
    """The language that a comparison's lane asks for, as a BCP 47 tag; empty where it asks for none."""
    if not comparison.lane:
        return ""
    lanes = Lane.objects.filter(project=comparison.project_id, number=comparison.lane)
    return lanes.values_list("language", flat=True).first() or ""


def _mine(rater: Rater) -> QuerySet[Judgement]:
    return Judgement.objects.current().filter(rater=rater, assignment__isnull=False).select_related(*RELATED)


def same(answer: Answer, judgement: Judgement) -> bool:
    """Whether an answer says what a judgement says; how long it took is no part of it."""
    new = said(answer, judgement.order or "ab")
    del new["seconds"]
    return all(getattr(judgement, column) == value for column, value in new.items())

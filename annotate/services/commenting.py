"""Remarks on comparisons and messages to raters: who is named in one finds it in their inbox."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Any, Final

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext

from annotate.models import Assignment, Comment, Comparison, Judgement, Mention, Rater
from tiebreak.accounts.models import Project, User
from tiebreak.accounts.roles import MAY, Can, roles_that
from tiebreak.core.errors import Invalid, NotAllowed, NotFound
from tiebreak.core.models import record
from tiebreak.core.text import TextError, clean_text

MAX_COMMENT_CHARS: Final = 5_000
NAMED: Final = re.compile(r"(?<![\w.@+-])@([\w.@+-]{1,150})")
TRAILING: Final = ".+-@"  # may stand in a username, and at the end of a sentence


def comment(comparison: Comparison, text: str, *, by: User, judgement: Judgement | None = None) -> Comment:
    """A remark on a comparison, or on one judgement of it.

    Members named as @username find it in their inbox. An annotator, who must not sway another, names only those who
    curate or adjudicate; one who names nobody tells the curators. An annotator speaks of no judgement but their own.
    """
    speaks = may_speak_of(comparison, by)
    clean = _said(text)
    if judgement is not None and not _in_sight(judgement, comparison, by, Can.ADJUDICATE in speaks):
        raise NotFound(gettext("There is no such judgement of this comparison."), code="no_judgement")
    with transaction.atomic():
        made = Comment.objects.create(
            project_id=comparison.project_id, comparison=comparison, judgement=judgement, author=by, text=clean
        )
        told = _told(comparison.project, clean, by, everyone=Can.ADJUDICATE in speaks)
        _mention(made, told)
        record(
            "comment.made", made, by=by, project=comparison.project_id, comparison=comparison.pk, mentions=sorted(told)
        )
    return made


def message(rater: Rater, text: str, *, by: User) -> Comment:
    """A message of a curator to a person who annotates; it is in their inbox until they have read it."""
    if not rater.project.allows(by, Can.CURATE):
        raise NotAllowed(gettext("Only a curator can write to a rater."), code="role_too_small")
    clean = _said(text)
    user = rater.user_id
    if user is None or not rater.project.members.filter(user=user).exists():
        raise Invalid(gettext("This rater has no account in the project that a message could go to."), field="rater")
    with transaction.atomic():
        made = Comment.objects.create(project_id=rater.project_id, rater=rater, author=by, text=clean)
        _mention(made, {user})
        record("comment.made", made, by=by, project=rater.project_id, rater=rater.pk, mentions=[user])
    return made


def unseen(user: User) -> int:
    """How many mentions and messages a person has not read, in projects that they are still in (one query)."""
    return _mine(user).filter(seen_at=None).count()


def mark_seen(user: User, comment_ids: Iterable[int]) -> int:
    """Take comments out of a person's unread ones; returns how many were. Once more changes nothing."""
    return _mine(user).filter(seen_at=None, comment__in=list(comment_ids)).update(seen_at=timezone.now())


def mark_seen_of(judgement: Judgement, user: User) -> None:
    """What was written to a person about a judgement is read once they have answered it."""
    Mention.objects.filter(comment__judgement=judgement, user=user, seen_at=None).update(seen_at=timezone.now())


def mentions_of(user: User) -> QuerySet[Mention]:
    """A person's mentions and messages, the newest first, with what a page shows of them."""
    related = ("comment__author", "comment__project", "comment__comparison", "comment__judgement__rater")
    return _mine(user).select_related(*related).order_by("-comment_id")


def may_speak_of(comparison: Comparison, by: User) -> frozenset[Can]:
    """What `by` may do in the project, if they may speak of this comparison; raises NotFound or NotAllowed if not.

    Whoever adjudicates speaks of any; an annotator, of those that they were given.
    """
    role = comparison.project.role_of(by)
    if role is None:
        raise NotFound(gettext("There is no such comparison."), code="no_comparison")
    may = MAY[role]
    if Can.ADJUDICATE in may:
        return may
    if Can.ANNOTATE not in may:
        raise NotAllowed(gettext("Your role in this project does not allow this."), code="role_too_small")
    if not Assignment.objects.filter(comparison=comparison, rater__user=by).exists():
        raise NotFound(gettext("There is no such comparison."), code="no_comparison")
    return may


def _mine(user: User) -> QuerySet[Mention]:
    return Mention.objects.filter(user=user, comment__project__members__user=user)


def _in_sight(judgement: Judgement, comparison: Comparison, by: User, adjudicates: bool) -> bool:
    if judgement.comparison_id != comparison.pk:
        return False
    return adjudicates or judgement.rater.user_id == by.pk


def _said(text: str) -> str:
    try:
        clean = clean_text(text, field="text", max_chars=MAX_COMMENT_CHARS)
    except TextError as error:
        raise Invalid(str(error), field="text") from error
    if not clean.strip():
        raise Invalid(gettext("Write something first."), field="text")
    return clean


def _told(project: Project, text: str, by: User, *, everyone: bool) -> set[int]:
    """Ids of the members whom a comment is for: those it names, else, from an annotator, the curators."""
    members = project.members.filter(user__is_active=True).exclude(user=by)
    may_be_named = members if everyone else members.filter(role__in=roles_that(Can.ADJUDICATE))
    spelt = [_spellings(name) for name in NAMED.findall(text)]
    found = may_be_named.filter(user__username__in={name for names in spelt for name in names})
    known = dict(found.values_list("user__username", "user_id"))
    told = {known[name] for names in spelt if (name := next((n for n in names if n in known), None))}
    if told or everyone:
        return told
    return set(members.filter(role__in=roles_that(Can.CURATE)).values_list("user_id", flat=True))


def _spellings(name: str) -> tuple[str, str]:
    """A name as it was written, and without the punctuation after it."""
    return name, name.rstrip(TRAILING)


def _mention(made: Comment, users: Collection[Any]) -> None:
    Mention.objects.bulk_create((Mention(comment=made, user_id=user) for user in users), ignore_conflicts=True)

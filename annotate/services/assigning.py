"""Who compares what: leases of comparisons to annotators.

A lease is a row. It takes a seat of its comparison until it is submitted (the seat stays taken) or skipped, released
or reaped (the seat goes back). The seats are counted by a trigger and bounded by a CHECK, so nothing here ever counts
before it inserts; it claims with `FOR NO KEY UPDATE SKIP LOCKED` and inserts once. A lease that has lapsed but was not
reaped yet still has its seat, and therefore still counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import numpy as np
from django.db import IntegrityError, connection, transaction
from django.db.models import Count, Exists, Max, OuterRef, Q

from annotate import policies
from annotate.models import Assignment, Comparison, Form, Rater
from annotate.models.comparisons import ComparisonQuerySet
from tiebreak.accounts.models import Project, User
from tiebreak.accounts.roles import Can
from tiebreak.core.errors import Conflict, Invalid, NotAllowed, NotFound, Unavailable
from tiebreak.core.models import Event
from tiebreak.core.text import TextError, clean_json, clean_text
from tiebreak.core.transitions import move

Status = Assignment.Status
HAD: Final = (Status.LEASED, Status.SUBMITTED, Status.SKIPPED)
CLAIM_ATTEMPTS: Final = 100  # each in vain means that somebody else's claim went through
REAP_BATCH: Final = 500
MAX_DRAFT_CHARS: Final = 100_000
MAX_REASON_CHARS: Final = 300
SHOWN: Final = ("project", "prompt", "completion_a", "completion_b")  # what a screen reads of a comparison


def rater_for(project: Project, user: User) -> Rater:
    """The user's rater in a project, made on the first visit. Refuses whoever may not annotate there."""
    if not project.allows(user, Can.ANNOTATE):
        raise NotAllowed(f"Your role in {project.slug!r} does not allow comparing.", code="role_too_small")
    mine = Rater.objects.filter(project=project, user=user).select_related("project")
    if rater := mine.first():
        return rater
    # An imported annotator may bear the user's name; they are somebody else. "#" cannot stand in a username.
    for name in (user.username, f"{user.username}#{user.pk}"):
        try:
            with transaction.atomic():
                return Rater.objects.create(project=project, user=user, kind=Rater.Kind.ANNOTATOR, name=name)
        except IntegrityError:
            if rater := mine.first():  # another tab made it
                return rater
    raise Conflict(f"The name {user.username!r} is taken by another rater of {project.slug!r}.", code="rater_name")


def queue_of(rater: Rater) -> ComparisonQuerySet:
    """Comparisons that the rater could be given: a free seat, and never leased, answered or skipped by them."""
    had = Assignment.objects.filter(comparison=OuterRef("pk"), rater=rater, status__in=HAD)
    return Comparison.objects.filter(~Exists(had), project_id=rater.project_id).open()


def next_assignment(rater: Rater, *, now: datetime, rng: np.random.Generator) -> Assignment | None:
    """The comparison that the rater has before them, else a new lease of one, else None: no work.

    Locks the claimed comparison (`FOR NO KEY UPDATE`) until the lease is inserted. Never waits for a lock while it
    holds one: PostgreSQL keeps the lock of a row that it waited for in vain, and two such claims would deadlock.
    """
    if rater.paused_at is not None:
        raise NotAllowed(rater.paused_because or "You are paused in this project.", code="paused")
    for _ in range(CLAIM_ATTEMPTS):
        if held := _held(rater, now):
            return held
        try:
            if claimed := _claim_free(rater, now, rng):
                return claimed
            # Nothing, or all of it locked by other claims. What is locked may come free: wait for one such row.
            locked = queue_of(rater).values_list("pk", flat=True).first()
            if locked is None:
                return None
            if claimed := _claim_locked(rater, locked, now, rng):
                return claimed
        except IntegrityError:  # another tab of this rater was first: take what it got
            continue
    raise Unavailable("The queue is busy. Try again in a moment.", code="queue_busy")


def renew(assignment: Assignment, *, by: User, now: datetime) -> Assignment:
    """Push the end of the lease away, since the annotator is active."""
    _only_holder(assignment, by)
    expires_at = lease_end(assignment.form, now)
    if not Assignment.objects.filter(pk=assignment.pk, status=Status.LEASED).update(expires_at=expires_at):
        raise lease_lost()
    assignment.expires_at = expires_at
    return assignment


def save_draft(assignment: Assignment, draft: Mapping[str, Any], *, by: User, now: datetime) -> Assignment:
    """Keep what was typed so far, and renew the lease. Where the lease was lost, the draft is kept all the same."""
    _only_holder(assignment, by)
    clean = _clean_draft(draft)
    rows, expires_at = Assignment.objects.filter(pk=assignment.pk), lease_end(assignment.form, now)
    if rows.filter(status=Status.LEASED).update(draft=clean, expires_at=expires_at):
        assignment.draft, assignment.expires_at = clean, expires_at
        return assignment
    if not rows.exclude(status=Status.SUBMITTED).update(draft=clean):
        raise already_submitted()
    raise lease_lost()


def skip(assignment: Assignment, reason: str, *, by: User, now: datetime) -> Assignment:
    """Pass on a comparison with a reason; it is not offered to this rater again."""
    _only_holder(assignment, by)
    try:
        reason = clean_text(reason, field="reason", max_chars=MAX_REASON_CHARS).strip()
    except TextError as error:
        raise Invalid(str(error), field="reason") from error
    if not reason:
        raise Invalid("Say why you skip this comparison.", field="reason")
    return _close(assignment, Status.SKIPPED, by=by, now=now, skip_reason=reason)


def release(assignment: Assignment, *, by: User | None, now: datetime) -> Assignment:
    """Give a seat back: the holder, a curator, or (`by` None) the system."""
    if by is not None and assignment.rater.user_id != by.pk:
        project = assignment.comparison.project
        if not project.allows(by, Can.CURATE):
            raise NotFound("There is no such assignment.", code="no_assignment")
    return _close(assignment, Status.RELEASED, by=by, now=now)


def reap(now: datetime) -> int:
    """Expire every lease that has lapsed, and give their seats back; returns how many. Drafts stay on the rows.

    One UPDATE a batch; rows that another transaction is at work on are left for the next round, and never waited for.
    """
    total = 0
    while True:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(REAP, {"now": now, "batch": REAP_BATCH})
            expired = cursor.fetchall()
            Event.objects.bulk_create(
                Event(
                    verb="assignment.expired",
                    project_id=project,
                    target_type="annotate.assignment",
                    target_id=str(pk),
                    data={"before": Status.LEASED, "after": Status.EXPIRED},
                )
                for pk, project in expired
            )
        total += len(expired)
        if len(expired) < REAP_BATCH:
            return total


# Both rows are locked without waiting, so that the trigger's count of seats never waits either.
REAP: Final = """
WITH lapsed AS MATERIALIZED (
    SELECT a.id, c.project_id FROM annotate_assignment AS a JOIN annotate_comparison AS c ON c.id = a.comparison_id
    WHERE a.status = 'leased' AND a.expires_at <= %(now)s
    ORDER BY a.expires_at LIMIT %(batch)s FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE annotate_assignment AS a SET status = 'expired', expires_at = NULL, closed_at = %(now)s
FROM lapsed WHERE lapsed.id = a.id
RETURNING a.id, lapsed.project_id
"""


def lease_end(form: Form | None, now: datetime) -> datetime:
    """When a lease made or renewed now ends."""
    seconds = form.lease_seconds if form else Form._meta.get_field("lease_seconds").get_default()
    return now + timedelta(seconds=seconds)


def lease_lost() -> Conflict:
    return Conflict(
        "Your time with this comparison ran out, and others have taken its seats. What you wrote is kept.",
        code="lease_lost",
    )


def already_submitted() -> Conflict:
    return Conflict("You have already answered this comparison.", code="already_submitted")


def _only_holder(assignment: Assignment, by: User) -> None:
    if assignment.rater.user_id != by.pk:
        raise NotFound("There is no such assignment.", code="no_assignment")
    project = assignment.rater.project
    if not project.allows(by, Can.ANNOTATE):  # or somebody who left could hold a seat for ever
        raise NotAllowed(f"Your role in {project.slug!r} does not allow comparing.", code="role_too_small")


def _held(rater: Rater, now: datetime) -> Assignment | None:
    """The rater's live lease, renewed where it had lapsed; one of a withdrawn comparison is given back."""
    leased = Assignment.objects.filter(rater=rater, status=Status.LEASED)
    if not leased.exists():  # the usual case after a submit, and far cheaper than all that a screen reads
        return None
    held = leased.select_related("form__rubric", "rater__project", *(f"comparison__{name}" for name in SHOWN)).first()
    if held is None:
        return None
    if held.comparison.status == Comparison.Status.WITHDRAWN:
        release(held, by=None, now=now)
        return None
    if held.expires_at is not None and held.expires_at <= now:
        held.expires_at = lease_end(held.form, now)
        if not leased.filter(pk=held.pk).update(expires_at=held.expires_at):
            return None  # reaped just now
    return held


@transaction.atomic
def _claim_free(rater: Rater, now: datetime, rng: np.random.Generator) -> Assignment | None:
    """Lease the first comparison that nobody has locked, from a random point of the most urgent level onwards."""
    urgency = _most_urgent(rater)
    if urgency is None:
        return None
    start = policies.start_point(rng)
    queue = queue_of(rater).order_by("shuffle").select_related(*SHOWN)  # as the index comparison_queue stands
    free = queue.select_for_update(of=("self",), no_key=True, skip_locked=True)
    for level in range(urgency, -1, -1):
        for part in (Q(shuffle__gte=start), Q(shuffle__lt=start)):  # and round again
            if found := free.filter(part, priority=level).first():
                return _lease(rater, found, now, rng)
    return None


@transaction.atomic
def _claim_locked(rater: Rater, pk: int, now: datetime, rng: np.random.Generator) -> Assignment | None:
    """Wait for one comparison, and lease it if it still wants somebody."""
    waited = queue_of(rater).filter(pk=pk).select_related(*SHOWN)
    comparison = waited.select_for_update(of=("self",), no_key=True).first()
    return None if comparison is None else _lease(rater, comparison, now, rng)


def _lease(rater: Rater, comparison: Comparison, now: datetime, rng: np.random.Generator) -> Assignment:
    """The caller holds the comparison's lock."""
    form = Form.objects.filter(project_id=rater.project_id, current=True).select_related("rubric").first()
    before = _draft_of(rater, comparison)
    return Assignment.objects.create(
        comparison=comparison,
        rater=rater,
        form=form,
        # A comparison taken up again stands as it was left: the draft is in terms of its screen.
        order=before.order if before else _order(rater, comparison, rng),
        draft=before.draft if before else {},
        expires_at=lease_end(form, now),
    )


def _most_urgent(rater: Rater) -> int | None:
    """The highest level that anything open has (an index lookup), so that the usual claim tries one level only."""
    waiting = Comparison.objects.filter(project_id=rater.project_id).open()
    top: int | None = waiting.aggregate(top=Max("priority"))["top"]
    return top


def _order(rater: Rater, comparison: Comparison, rng: np.random.Generator) -> policies.Order:
    """The caller holds the comparison's lock, so its own counts are exact."""
    return policies.order_to_show(_order_counts(comparison=comparison), _order_counts(rater=rater), rng)


def _order_counts(**of: Comparison | Rater) -> policies.OrderCounts:
    seated = Assignment.objects.filter(status__in=Assignment.SEATED, **of)
    counts = seated.aggregate(ab=Count("id", filter=Q(order="ab")), ba=Count("id", filter=Q(order="ba")))
    return policies.OrderCounts(**counts)


def _draft_of(rater: Rater, comparison: Comparison) -> Assignment | None:
    """The rater's last given-back reading of this comparison, where something was typed."""
    given_back = Assignment.objects.filter(comparison=comparison, rater=rater).exclude(status__in=HAD)
    return given_back.exclude(draft={}).order_by("-id").first()


def _close(assignment: Assignment, to: Status, *, by: User | None, now: datetime, **changes: Any) -> Assignment:
    return move(
        assignment,
        to,
        by=by,
        project=assignment.comparison.project_id,
        event=f"assignment.{to.value}",
        expires_at=None,
        closed_at=now,
        **changes,
    )


def _clean_draft(draft: Mapping[str, Any]) -> dict[str, Any]:
    try:
        clean: dict[str, Any] = clean_json(dict(draft), "draft", max_depth=4, max_chars=MAX_DRAFT_CHARS)
    except TextError as error:
        raise Invalid(str(error), field=error.field) from error
    return clean

"""What an annotator says of a comparison: once for each assignment, revised as often as they change their mind."""

from __future__ import annotations

import json
from contextlib import nullcontext
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

from django.db import IntegrityError, connection, transaction
from django.db.models import F, Sum
from django.utils.translation import gettext

from annotate import policies
from annotate.models import Assignment, Comparison, Form, Judgement, Lane, Rater, Review, Session
from tiebreak.accounts.models import Project, User
from tiebreak.accounts.roles import Can
from tiebreak.core.errors import Conflict, Invalid, NotAllowed, NotFound
from tiebreak.core.models import record
from tiebreak.core.transitions import move

from . import assigning, commenting, qualifying, sessions
from .answers import Answer, check, check_fresh, said

LEFT_CAP: Final = 100
STEP: Final = 10
Status, Purpose = Assignment.Status, Assignment.Purpose


class Progress(NamedTuple):
    """`left` is what the rater has before them or could still be given, among LEFT_CAP that wait; `more`: more than it.

    What measures a rater leaves the count as it was, so a count told to one would tell what measures. Where a form
    hides any, it is told in steps of STEP.
    """

    done_today: int
    done_total: int
    left: int
    more: bool


def submit(assignment: Assignment, answer: Answer, *, by: User, key: UUID, now: datetime) -> Judgement:
    """Store the answer to an assignment, once: the same `key` again returns the same judgement.

    The conditional UPDATE of the assignment from leased to submitted is the fence: of two submits one wins. With it,
    what was fetched ahead comes before the rater, and the session is counted. A lease that was reaped is taken up again
    where a seat is still free; where none is, the answer is kept as the draft and Conflict `lease_lost` is raised.
    """
    _may(by, assignment.rater, "assignment")
    try:
        check(answer, _form_of(assignment))
        check_fresh(answer, assignment.rater, besides=assignment.comparison_id)
    except Invalid:
        if done := _submitted_before(assignment, key):
            return done
        raise
    if assignment.status == Status.AHEAD:  # the one before it was answered by a request that is still on its way here
        assigning.promote(assignment, now)
    judgement = _judgement(assignment, answer, key=key, now=now)
    # The call is one transaction by itself; only what follows it, or a transaction around it, needs one more.
    alone = _form_of(assignment).max_overlap is None and not connection.in_atomic_block
    stored: Judgement | None = None
    try:
        with nullcontext() if alone else transaction.atomic():
            stored = _taken(assignment, judgement, answer, by=by, now=now)
            if stored is not None:
                _ask_more(assignment)
        if stored is None:
            with transaction.atomic():
                stored = _seat_again(assignment, judgement, answer, by=by, now=now)
    except IntegrityError:  # the key, or the one judgement of this rater, was written by a twin of this request
        stored = None
    if stored is None:
        if done := _submitted_before(assignment, key):
            return done
        keep(assignment, answer)
        raise assigning.lease_lost()
    if assignment.purpose == Purpose.GOLD:
        qualifying.measure(assignment.rater, now=now)
    return stored


def keep(assignment: Assignment, answer: Answer) -> None:
    """Keep an answer that could not be taken as the draft. A caller that rolls `submit` back calls it once more."""
    Assignment.objects.filter(pk=assignment.pk).exclude(status=Status.SUBMITTED).update(draft=answer.as_draft())


def may_revise(judgement: Judgement, *, now: datetime) -> bool:
    """Whether its annotator may change it: for the form's time after the first answer, or since it was sent back."""
    if not judgement.current or judgement.form is None or judgement.order is None:
        return False
    first = judgement.assignment.closed_at if judgement.assignment else None
    until = (first or judgement.submitted_at) + timedelta(minutes=judgement.form.revise_minutes)
    return now <= until or _returned(judgement) is not None


def revise(judgement: Judgement, answer: Answer, *, by: User, now: datetime) -> Judgement:
    """A changed mind: a new revision in the order that was shown; the old row stays, no longer current.

    Raises Conflict `too_late` after the form's time, unless an adjudicator sent it back: that is answered herewith.
    Where people agreed only until now, one more is asked, as after a last answer; the comparison is locked then.
    """
    _may(by, judgement.rater, "judgement")
    form = judgement.form
    if form is None or judgement.order is None:
        raise Conflict(gettext("An imported judgement cannot be revised here."), code="not_ours")
    if not judgement.current:
        raise _revised_meanwhile()
    if not may_revise(judgement, now=now):
        raise Conflict(gettext("The time in which this answer could be changed is over."), code="too_late")
    check(answer, form)
    check_fresh(answer, judgement.rater, besides=judgement.comparison_id)
    with transaction.atomic():
        if form.max_overlap is not None:  # first, as whoever decides it does: they lock what was said of it next
            Comparison.objects.select_for_update(no_key=True).get(pk=judgement.comparison_id)
        if not Judgement.objects.filter(pk=judgement.pk, current=True).update(current=False):
            raise _revised_meanwhile()
        revised = Judgement.objects.create(
            comparison_id=judgement.comparison_id,
            rater_id=judgement.rater_id,
            assignment_id=judgement.assignment_id,
            repeat=judgement.repeat,
            revision=judgement.revision + 1,
            order=judgement.order,
            form_id=judgement.form_id,
            rubric_id=judgement.rubric_id,
            submitted_at=now,
            **said(answer, judgement.order),
        )
        if returned := _returned(judgement):
            Review.objects.filter(pk=returned.pk, answered_at=None).update(answered_at=now)
            commenting.mark_seen_of(judgement, by)
        record(
            "judgement.revised",
            revised,
            by=by,
            project=judgement.rater.project_id,
            revision=revised.revision,
            before=judgement.preference,
            after=revised.preference,
        )
        if judgement.assignment is not None and judgement.assignment.form is not None:
            _ask_more(judgement.assignment)
    return revised


def progress(rater: Rater, *, now: datetime, desk: assigning.Desk | None = None) -> Progress:
    """The figures beside the screen, by the UTC day; from sessions and a bounded look at the queue."""
    desk = desk or assigning.desk_of(rater, now=now)
    total = Session.objects.filter(rater=rater).aggregate(n=Sum("judged"))["n"] or 0
    left, more = _left(rater.project_id, [p.number for p in desk.lanes], rater.pk, no_gold=desk.form.gold_rate > 0)
    left += (desk.leased is not None) + (desk.ahead is not None)
    hides = desk.form.gold_rate > 0 or desk.form.repeat_rate > 0
    return Progress(desk.today, total, *(_in_steps(left, more) if hides else (left, more)))


def progress_in(project: Project, user: User, *, now: datetime) -> Progress:
    """The same for a project that the user may not have begun yet; makes no rater."""
    rater = Rater.objects.filter(project=project, user=user).first()
    if rater is not None:
        return progress(rater, now=now)
    places = Lane.objects.filter(project=project).values_list("number", "skills", "language", "stratum")
    lanes = [p.number for p in map(policies.Place._make, places) if policies.may_enter(p, skills=(), languages=())]
    no_gold = Form.objects.filter(project=project, current=True, gold_rate__gt=0).exists()
    return Progress(0, 0, *_left(project.pk, [0, *lanes], None, no_gold=no_gold))


def _in_steps(left: int, more: bool) -> tuple[int, bool]:
    """As "more than so many", without the last digit."""
    return (max((left - 1) // STEP * STEP, 1), True) if left > 1 else (left, more)


def _left(project: int, lanes: list[int], rater: int | None, *, no_gold: bool) -> tuple[int, bool]:
    """How many of the first LEFT_CAP that wait the rater never had: it is a hint, and the queue may be long."""
    with connection.cursor() as cursor:
        told: dict[str, Any] = {
            "project": project,
            "lanes": lanes,
            "rater": rater,
            "most": LEFT_CAP + 1,
            "no_gold": no_gold,
        }
        cursor.execute(LEFT, told)
        ((waiting, left),) = cursor.fetchall()
    return min(left, LEFT_CAP), waiting > LEFT_CAP


LEFT: Final = """
SELECT count(*), count(*) FILTER (WHERE NOT EXISTS (
    SELECT FROM annotate_assignment AS h WHERE h.rater_id = %(rater)s AND h.comparison_id = c.id
        AND h.status IN ('ahead', 'leased', 'submitted', 'skipped')
)) FROM (
    SELECT id FROM annotate_comparison
    WHERE project_id = %(project)s AND lane = ANY (%(lanes)s) AND status = 'open' AND route = 'human' AND NOT "full"
        AND (NOT %(no_gold)s OR gold IS NULL OR priority > 0)
    LIMIT %(most)s
) AS c
"""


def _may(by: User, rater: Rater, what: str) -> None:
    if rater.user_id != by.pk:
        raise NotFound(f"There is no such {what}.", code=f"no_{what}")
    if not rater.project.allows(by, Can.ANNOTATE):
        raise NotAllowed(
            gettext("Your role in “%(project)s” does not allow comparing.") % {"project": rater.project.slug},
            code="role_too_small",
        )


def _revised_meanwhile() -> Conflict:
    return Conflict(gettext("This judgement was revised meanwhile."), code="moved_on")


def _returned(judgement: Judgement) -> Review | None:
    """The review that sent this judgement back and was not answered yet."""
    return Review.objects.filter(judgement=judgement, verdict=Review.Verdict.RETURNED, answered_at=None).first()


def _form_of(assignment: Assignment) -> Form:
    if assignment.form is None:
        raise Conflict(gettext("This assignment was not made for a form."), code="no_form")
    return assignment.form


def _submitted_before(assignment: Assignment, key: UUID) -> Judgement | None:
    """The judgement that this key wrote, or None. Refuses a key used elsewhere, and a second answer under a new key."""
    # The state is read before the key: they are written together, so whoever sees the one sees the other.
    answered = Assignment.objects.filter(pk=assignment.pk, status=Status.SUBMITTED).exists()
    done = Judgement.objects.filter(key=key).select_related("comparison", "rater").first()
    if done is not None:
        if (done.comparison_id, done.rater_id) != (assignment.comparison_id, assignment.rater_id):
            raise Conflict(gettext("This key was used for another comparison."), code="key_used")
        return done
    if answered:
        raise assigning.already_submitted()
    return None


def _judgement(assignment: Assignment, answer: Answer, *, key: UUID, now: datetime) -> Judgement:
    form = _form_of(assignment)
    return Judgement(
        comparison=assignment.comparison,
        rater=assignment.rater,
        assignment=assignment,
        repeat=assignment.repeat,
        order=assignment.order,
        form=form,
        rubric_id=form.rubric_id,
        key=key,
        submitted_at=now,
        **said(answer, assignment.order),
    )


def _taken(
    assignment: Assignment, judgement: Judgement, answer: Answer, *, by: User, now: datetime
) -> Judgement | None:
    """Leased to submitted with its judgement, if it is still leased. Locks what the rater holds, and their session."""
    row = {str(f.column): getattr(judgement, f.attname) for f in Judgement._meta.concrete_fields if not f.primary_key}
    told: list[Any] = [
        assignment.pk,
        now,
        assigning.lease_end(assignment.form, now),
        now - sessions.PAUSE,
        sessions.day_of(now),
        answer.seconds or 0.0,
        json.dumps(row, default=str),
        by.pk,
        json.dumps(_of_event(assignment, judgement, answer)),
    ]
    with connection.cursor() as cursor:
        cursor.execute("SELECT annotate_submit(%s, %s, %s, %s, %s, %s, %s, %s, %s)", told)
        ((made,),) = cursor.fetchall()
    if not made:
        return None
    assignment.status, assignment.expires_at, assignment.closed_at, assignment.draft = Status.SUBMITTED, None, now, {}
    judgement.pk, judgement._state.adding, judgement._state.db = made, False, connection.alias
    return judgement


def _of_event(seat: Assignment, judgement: Judgement, answer: Answer) -> dict[str, Any]:
    confirmed = {"confirmed_repeat": True} if answer.confirm_repeat else {}
    return {"assignment": seat.pk, "preference": judgement.preference, **confirmed}


def _seat_again(lost: Assignment, judgement: Judgement, answer: Answer, *, by: User, now: datetime) -> Judgement | None:
    """The judgement in a new seat in place of a lease that was reaped, as it was shown; None if all are taken.

    Locks the comparison. What measures the rater takes no seat.
    """
    if not Assignment.objects.filter(pk=lost.pk, status=Status.EXPIRED).exists():
        return None
    kept = Comparison.objects.filter(pk=lost.comparison_id)
    if lost.purpose == Purpose.WORK:
        kept = kept.filter(status=Comparison.Status.OPEN, full=False)
    comparison = kept.exclude(status=Comparison.Status.WITHDRAWN).select_for_update(no_key=True).first()
    if comparison is None:
        return None
    seat = Assignment.objects.create(
        comparison=comparison,
        rater=lost.rater,
        purpose=lost.purpose,
        repeat=lost.repeat,
        status=Status.SUBMITTED,
        order=lost.order,
        form=lost.form,
        closed_at=now,
    )
    sessions.count(lost.rater_id, now=now, began=lost.created_at, judged=1, seconds=answer.seconds or 0.0)
    judgement.assignment = seat
    judgement.save(force_insert=True)
    told = _of_event(seat, judgement, answer)
    record("judgement.submitted", judgement, by=by, project=seat.rater.project_id, **told)
    _ask_more(seat)
    return judgement


def _ask_more(seat: Assignment) -> None:
    """After the last answer, and where people disagree: one more seat, or an adjudicator when there may be no more.

    Locks the comparison, so that of two last answers at once the second sees both.
    """
    most = _form_of(seat).max_overlap
    if most is None or seat.purpose != Purpose.WORK:
        return
    comparison = Comparison.objects.select_for_update(no_key=True).get(pk=seat.comparison_id)
    held = Assignment.objects.filter(comparison=comparison, purpose=Purpose.WORK, status__in=Assignment.HELD)
    if comparison.status != Comparison.Status.OPEN or not comparison.full or held.exists():
        return
    people = Judgement.objects.current().filter(comparison=comparison, assignment__purpose=Purpose.WORK)
    sides = [None if p is None else (p > 0) - (p < 0) for p in people.values_list("preference", flat=True)]
    match policies.wants_more(sides, overlap=comparison.overlap, most=most):
        case "one":
            Comparison.objects.filter(pk=comparison.pk).update(overlap=F("overlap") + 1)
            record("comparison.widened", comparison, project=comparison.project_id, overlap=comparison.overlap + 1)
        case "expert":
            move(comparison, Comparison.Status.DISPUTED, project=comparison.project_id, event="comparison.disputed")

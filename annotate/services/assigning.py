"""Who compares what: leases of comparisons to annotators.

A lease is a row. Of a comparison that wants judgements it takes a seat until it is submitted (the seat stays taken) or
skipped, released or reaped (the seat goes back). The seats are counted by a trigger and bounded by a CHECK, so nothing
here ever counts before it inserts: `annotate_claim` (migration 0005) locks the rater's row, then one comparison
(`FOR NO KEY UPDATE SKIP LOCKED`), and inserts once. A lease that has lapsed but was not reaped yet still has its seat,
and therefore still counts.

What is looked for is decided by policies.py from the rater's lots. They are drawn for the number of assignments made
for this rater, which the claim checks under its lock: the same rater at the same number draws the same lots.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import nullcontext
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, Final, Literal, NamedTuple

from django.db import IntegrityError, connection, transaction
from django.db.models import Case, Q, Value, When
from django.utils.translation import gettext, gettext_noop

from annotate import policies
from annotate.models import Assignment, Comparison, Form, Rater
from annotate.models.comparisons import ComparisonQuerySet
from tiebreak.accounts.models import Project, User
from tiebreak.accounts.roles import Can, roles_that
from tiebreak.core.errors import Conflict, Invalid, NotAllowed, NotFound, Unavailable
from tiebreak.core.models import Event
from tiebreak.core.rows import row
from tiebreak.core.text import TextError, clean_json, clean_text
from tiebreak.core.transitions import move

from . import sessions, shown

Status = Assignment.Status
CLAIM_ATTEMPTS: Final = 100  # each in vain means that somebody else's claim went through
REACH: Final = 64  # comparisons of a lane that a claim reads from one point on
REAP_BATCH: Final = 500
MAX_DRAFT_CHARS: Final = 100_000
MAX_REASON_CHARS: Final = 300
DUE: Final = {
    "practice": gettext_noop("A few comparisons with their known answers come first, to practise on."),
    "qualification": gettext_noop("A short qualification comes first."),
}


class Answered(Enum):
    """What a claim may answer beside an assignment or nothing."""

    MOVED_ON = -1  # the rater's row is not as it was read


MOVED_ON: Final = Answered.MOVED_ON


class Held(NamedTuple):
    """An assignment before a rater, as far as a claim must know it."""

    id: int
    lapsed: bool
    withdrawn: bool
    wanted: bool


class Asked(NamedTuple):
    """The rules of the current form by which work is given."""

    id: int
    ordering: str
    gold_rate: float
    repeat_rate: float
    session_quota: int
    daily_quota: int
    practice_size: int
    qualification_size: int
    lease_seconds: int


class Desk(NamedTuple):
    """All that decides over a rater's next assignment."""

    served: int
    shown_ab: int
    paused: bool
    paused_because: str
    practised: bool
    qualified: bool
    form: Asked
    leased: Held | None
    ahead: Held | None
    judged: int
    today: int
    daily_quota: int
    lanes: list[policies.Place]
    """Those that the rater may enter."""


def rater_for(project: Project, user: User) -> Rater:
    """The user's rater in a project, made on the first visit. Refuses whoever may not annotate there."""
    if not project.allows(user, Can.ANNOTATE):
        raise NotAllowed(
            gettext("Your role in “%(project)s” does not allow comparing.") % {"project": project.slug},
            code="role_too_small",
        )
    mine = Rater.objects.filter(project=project, user=user)
    if rater := mine.first():
        rater.project, rater.user = project, user
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


def waiting(project_id: int, *, gold_is_hidden: bool) -> ComparisonQuerySet:
    """What waits for people in a project. Gold that is to be hidden is no work, but where somebody made it urgent."""
    queue = Comparison.objects.filter(project_id=project_id).open()
    return queue.filter(Q(gold=None) | Q(priority__gt=0)) if gold_is_hidden else queue


def names_of(rater: Rater) -> list[str]:
    """The names under which a generator is this rater: nobody judges a text of their own."""
    names = {rater.name.lower(), rater.user.username.lower() if rater.user else ""}
    return sorted(names - {""})


def arrive(slug: str, user: User, *, now: datetime) -> tuple[Rater, Desk] | None:
    """A user's rater in a project, and what is before them, by one call; None for who has no rater there yet, or may
    not annotate: `rater_for` makes the one and refuses the other."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT annotate_ask(%s, %s, %s, %s)::text", [slug, user.pk, now, sessions.day_of(now)])
        ((text,),) = cursor.fetchall()
    asked = json.loads(text or "{}")
    if not asked.get("rater"):
        return None
    project, rater = row(Project, asked["project"]), row(Rater, asked["rater"])
    project.known_role(user.pk, asked["role"])
    rater.project, rater.user = project, user
    return (rater, _desk(asked["desk"])) if project.allows(user, Can.ANNOTATE) else None


def next_assignment(rater: Rater, *, now: datetime, desk: Desk | None = None) -> Assignment | None:
    """The comparison that the rater has before them, else the one fetched ahead, else a new lease, else None: no work.

    `desk` is the rater's, where it was just read. Raises NotAllowed `paused`; Conflict `practice_due`,
    `qualification_due` or `quota_reached` where something else comes first, `archived` where nothing does.
    Locks the rater's row, then one comparison, until the lease is inserted.
    """
    for _ in range(CLAIM_ATTEMPTS):
        desk = desk or desk_of(rater, now=now)
        if desk.paused:
            raise NotAllowed(desk.paused_because or gettext("You are paused in this project."), code="paused")
        if desk.leased:
            if desk.leased.withdrawn:
                _give_back(desk.leased.id, now)
            elif held := _held(desk.leased, desk.form, now):
                return held
            desk = None
            continue
        if desk.ahead:
            if held := _taken_up(desk.ahead, now):
                return held
            desk = None
            continue
        if rater.project.archived_at is not None:  # what is held may be finished
            raise Conflict(
                gettext("%(project)s is archived: nobody is given work there.") % {"project": rater.project},
                code="archived",
            )
        code, words = why_not(desk)
        if code:
            raise Conflict(words, code=code)
        claimed = _claim(rater, desk, Status.LEASED, now)
        if claimed is not MOVED_ON:
            return claimed
        desk = None
    raise Unavailable("The queue is busy. Try again in a moment.", code="queue_busy")


def fetch_ahead(rater: Rater, *, now: datetime, desk: Desk | None = None) -> Assignment | None:
    """The comparison after the one before the rater, leased ahead so that it shows at once; None where there is none.

    One at a time: a submit or a skip makes it the one before them. Raises NotAllowed `paused`.
    """
    for _ in range(CLAIM_ATTEMPTS):
        desk = desk or desk_of(rater, now=now)
        if desk.paused:
            raise NotAllowed(desk.paused_because or gettext("You are paused in this project."), code="paused")
        if desk.ahead:
            if desk.ahead.wanted:
                return _load(desk.ahead.id)
            _give_back(desk.ahead.id, now)
            desk = None
            continue
        if rater.project.archived_at is not None or why_not(desk, besides=int(desk.leased is not None))[0]:
            return None
        claimed = _claim(rater, desk, Status.AHEAD, now)
        if claimed is not MOVED_ON:
            return claimed
        desk = None
    raise Unavailable("The queue is busy. Try again in a moment.", code="queue_busy")


def why_not(desk: Desk, *, besides: int = 0) -> tuple[str, str]:
    """(code, words) of what comes before new work, empty where nothing does; `besides` are held, not yet judged."""
    if due := policies.due(desk.form, practised=desk.practised, qualified=desk.qualified):
        return f"{due}_due", gettext(DUE[due])
    if policies.reached(desk.judged + besides, desk.form.session_quota):
        return "quota_reached", gettext("This session's share is done. Take a break; then begin another session.")
    if policies.reached(desk.today + besides, desk.daily_quota):
        return "quota_reached", gettext("Today's share is done. There is more tomorrow.")
    return ("", "")


def why_nothing(rater: Rater, *, now: datetime) -> str:
    """Why there is no work: `no_skill` (what waits asks for other skills or languages), `waiting_for_others` (the rater
    has done all that waits, others have not) or `nothing_left`."""
    desk = desk_of(rater, now=now)
    left = waiting(rater.project_id, gold_is_hidden=desk.form.gold_rate > 0)
    if left.filter(lane__in=[place.number for place in desk.lanes]).exists():
        return "waiting_for_others"
    return "no_skill" if left.exists() else "nothing_left"


def renew(assignment: Assignment, *, by: User, now: datetime) -> Assignment:
    """Push the end of the lease away, and of what is leased ahead, since the annotator is active."""
    _only_holder(assignment, by)
    expires_at = lease_end(assignment.form, now)
    if not _prolong(assignment, expires_at):
        raise lease_lost()
    assignment.expires_at = expires_at
    return assignment


def save_draft(assignment: Assignment, draft: Mapping[str, Any], *, by: User, now: datetime) -> Assignment:
    """Keep what was typed so far, and renew the lease. Where the lease was lost, the draft is kept all the same."""
    _only_holder(assignment, by)
    clean, expires_at = _clean_draft(draft), lease_end(assignment.form, now)
    draft_too = {
        "draft": Case(When(pk=assignment.pk, then=Value(clean, Assignment._meta.get_field("draft"))), default="draft")
    }
    if _prolong(assignment, expires_at, **draft_too):
        assignment.draft, assignment.expires_at = clean, expires_at
        return assignment
    if not Assignment.objects.filter(pk=assignment.pk).exclude(status=Status.SUBMITTED).update(draft=clean):
        raise already_submitted()
    raise lease_lost()


def skip(assignment: Assignment, reason: str, *, by: User, now: datetime) -> Assignment:
    """Pass on a comparison with a reason; it is not offered to this rater again. What is ahead takes its place."""
    _only_holder(assignment, by)
    try:
        reason = clean_text(reason, field="reason", max_chars=MAX_REASON_CHARS).strip()
    except TextError as error:
        raise Invalid(str(error), field="reason") from error
    if not reason:
        raise Invalid(gettext("Say why you skip this comparison."), field="reason")
    with transaction.atomic():
        if assignment.status == Status.AHEAD:
            promote(assignment, now)
        skipped = _close(assignment, Status.SKIPPED, by=by, now=now, skip_reason=reason)
        sessions.count(assignment.rater_id, now=now, began=assignment.created_at, skipped=1)
        next_in_place(assignment, now)
    return skipped


def promote(ahead: Assignment, now: datetime) -> bool:
    """What was fetched ahead becomes what is before its rater, unless something else still is."""
    expires_at = lease_end(ahead.form, now)
    try:
        with transaction.atomic():
            waiting = Assignment.objects.filter(pk=ahead.pk, status=Status.AHEAD)
            promoted = waiting.update(status=Status.LEASED, expires_at=expires_at)
    except IntegrityError:
        raise Conflict(gettext("Answer the comparison before this one first."), code="out_of_turn") from None
    if promoted:
        ahead.status, ahead.expires_at = Status.LEASED, expires_at
    return bool(promoted)


def next_in_place(done: Assignment, now: datetime) -> None:
    """What the rater has ahead takes the place of what is done, if it is still wanted."""
    wanted = Q(comparison__status=Comparison.Status.OPEN) | (
        ~Q(purpose=Assignment.Purpose.WORK) & ~Q(comparison__status=Comparison.Status.WITHDRAWN)
    )
    ahead = Assignment.objects.filter(wanted, rater_id=done.rater_id, status=Status.AHEAD)
    ahead.update(status=Status.LEASED, expires_at=lease_end(done.form, now))


def release(assignment: Assignment, *, by: User | None, now: datetime) -> Assignment:
    """Give a seat back: the holder, a curator, or (`by` None) the system."""
    if by is not None and assignment.rater.user_id != by.pk:
        project = assignment.comparison.project
        if not project.allows(by, Can.CURATE):
            raise NotFound(gettext("There is no such assignment."), code="no_assignment")
    return _close(assignment, Status.RELEASED, by=by, now=now)


def release_held(rater: Rater, *, now: datetime) -> int:
    """Give back all that a rater holds as they leave, drafts kept; returns how many."""
    return _given_back(HELD_BY, {"rater": rater.pk, "now": now}, Status.RELEASED)


def reap(now: datetime) -> int:
    """Expire every lease that has lapsed, and take back what is held by people who left; returns how many.

    The seats go back, drafts stay on the rows. One UPDATE a batch; rows that another transaction is at work on are left
    for the next round, and never waited for.
    """
    _given_back(LEFT_BEHIND, {"now": now, "batch": REAP_BATCH, "roles": roles_that(Can.ANNOTATE)}, Status.RELEASED)
    total = 0
    while True:
        expired = _given_back(LAPSED, {"now": now, "batch": REAP_BATCH}, Status.EXPIRED)
        total += expired
        if expired < REAP_BATCH:
            return total


def _given_back(held: str, params: dict[str, Any], to: Status) -> int:
    """Close the held assignments that a query selects, with an event each; returns how many."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"WITH held AS MATERIALIZED ({held}) {GIVE_BACK}", {**params, "to": to})
        closed = cursor.fetchall()
        Event.objects.bulk_create(
            Event(
                verb=f"assignment.{to}",
                project_id=project,
                target_type="annotate.assignment",
                target_id=str(pk),
                data={"before": before, "after": to},
            )
            for pk, project, before in closed
        )
    return len(closed)


# Both rows are locked without waiting, so that the trigger's count of seats never waits either.
LAPSED: Final = """
    SELECT a.id, a.status, c.project_id FROM annotate_assignment AS a
    JOIN annotate_comparison AS c ON c.id = a.comparison_id
    WHERE a.status IN ('ahead', 'leased') AND a.expires_at <= %(now)s
    ORDER BY a.expires_at LIMIT %(batch)s FOR NO KEY UPDATE SKIP LOCKED
"""
# Held by somebody who may annotate no more: removed, in another role, or switched off.
LEFT_BEHIND: Final = """
    SELECT a.id, a.status, c.project_id FROM annotate_assignment AS a
    JOIN annotate_comparison AS c ON c.id = a.comparison_id
    JOIN annotate_rater AS r ON r.id = a.rater_id
    WHERE a.status IN ('ahead', 'leased') AND r.user_id IS NOT NULL AND NOT EXISTS (
        SELECT FROM accounts_membership AS m JOIN accounts_user AS u ON u.id = m.user_id
        WHERE m.project_id = c.project_id AND m.user_id = r.user_id AND u.is_active AND m.role = ANY (%(roles)s)
    )
    LIMIT %(batch)s FOR NO KEY UPDATE OF a, c SKIP LOCKED
"""
# What is before the rater is locked before what is ahead, as a submit does, and then the comparisons.
HELD_BY: Final = """
    SELECT a.id, a.status, c.project_id FROM (
        SELECT id, status, comparison_id FROM annotate_assignment
        WHERE status IN ('ahead', 'leased') AND rater_id = %(rater)s
        ORDER BY status DESC FOR NO KEY UPDATE
    ) AS a JOIN annotate_comparison AS c ON c.id = a.comparison_id
    ORDER BY c.id FOR NO KEY UPDATE OF c
"""
GIVE_BACK: Final = """
UPDATE annotate_assignment AS a SET status = %(to)s, expires_at = NULL, closed_at = %(now)s
FROM held WHERE held.id = a.id AND a.status IN ('ahead', 'leased')
RETURNING a.id, held.project_id, held.status
"""


def lease_end(form: Form | Asked | None, now: datetime) -> datetime:
    """When a lease made or renewed now ends."""
    seconds = form.lease_seconds if form else Form._meta.get_field("lease_seconds").get_default()
    return now + timedelta(seconds=seconds)


def lease_lost() -> Conflict:
    return Conflict(
        gettext("Your time with this comparison ran out, and others have taken its seats. What you wrote is kept."),
        code="lease_lost",
    )


def already_submitted() -> Conflict:
    return Conflict(gettext("You have already answered this comparison."), code="already_submitted")


def desk_of(rater: Rater, *, now: datetime) -> Desk:
    """What is before a rater and decides over what comes next, read by one call and no lock."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT annotate_desk(%s, %s, %s)", [rater.pk, now, sessions.day_of(now)])
        ((text,),) = cursor.fetchall()
    return _desk(json.loads(text))


def _desk(told: Mapping[str, Any]) -> Desk:
    if told["form"] is None:
        raise Conflict(gettext("This project has no form yet."), code="no_form")
    form, held, session = Asked(**told["form"]), told["held"] or {}, told["session"] or {}
    places = [policies.Place(0), *(policies.Place(*lane) for lane in told["lanes"] or ())]
    return Desk(
        served=told["served"],
        shown_ab=told["shown_ab"],
        paused=told["paused"],
        paused_because=told["paused_because"],
        practised=told["practised"],
        qualified=told["qualified"],
        form=form,
        leased=Held(**held[Status.LEASED]) if Status.LEASED in held else None,
        ahead=Held(**held[Status.AHEAD]) if Status.AHEAD in held else None,
        judged=session.get("judged", 0),
        today=told["today"],
        daily_quota=form.daily_quota if told["quota"] is None else told["quota"],
        lanes=[p for p in places if policies.may_enter(p, skills=told["skills"], languages=told["languages"])],
    )


def _claim(rater: Rater, desk: Desk, status: Status, now: datetime) -> Assignment | Literal[Answered.MOVED_ON] | None:
    """A new assignment with what a screen shows of it, None where there is no work, or MOVED_ON."""
    rng = policies.lots(rater.project_id, rater.pk, desk.served)
    draw = policies.draw(rng)
    turns = policies.turns(desk.lanes, desk.form.ordering, rng)
    purpose = policies.purpose(desk.form, draw.purpose)
    seen = policies.OrderCounts(desk.shown_ab, desk.served - desk.shown_ab)
    arguments: dict[str, Any] = {
        "rater": rater.pk,
        "served": desk.served,
        "status": status,
        "aims": [purpose] if purpose != "work" else [],
        "lanes": [lane for group in turns for lane in group],
        "turns": [turn for turn, group in enumerate(turns, 1) for _ in group],
        "start": draw.start,
        "in_order": desk.form.ordering == Form.Ordering.SEQUENCE,
        "order": policies.order_to_show(policies.OrderCounts(0, 0), seen, draw.order),
        "form": desk.form.id,
        "until": lease_end(desk.form, now),
        "now": now,
        "names": names_of(rater),
        "no_gold": desk.form.gold_rate > 0,  # gold that is to be hidden must not be met in the open
        "reach": REACH,
    }
    savepoint = transaction.atomic() if connection.in_atomic_block else nullcontext()
    try:
        with savepoint, connection.cursor() as cursor:  # one statement is one transaction
            cursor.execute(CLAIM, arguments)
            ((made, text),) = cursor.fetchall()
    except IntegrityError:  # a submit in another tab promoted what was ahead
        return MOVED_ON
    if made < 0:
        return MOVED_ON
    return shown.unpacked(text, rater) if made else None


CLAIM: Final = """SELECT made, CASE WHEN made > 0 THEN annotate_shown(made, true) END::text FROM annotate_claim(
    %(rater)s, %(served)s, %(status)s, %(aims)s::text[], %(lanes)s::int[], %(turns)s::int[], %(start)s, %(in_order)s,
    %(order)s, %(form)s, %(until)s, %(now)s, %(names)s::text[], %(no_gold)s, %(reach)s) AS made"""


def _load(pk: int) -> Assignment:
    """An assignment with all that a screen shows of it."""
    found = shown.load(pk)
    if found is None:
        raise NotFound(gettext("There is no such assignment."), code="no_assignment")
    return found


def _held(held: Held, form: Asked, now: datetime) -> Assignment | None:
    """What is before the rater, renewed where it had lapsed; None where it was reaped just now."""
    if held.lapsed:
        leased = Assignment.objects.filter(pk=held.id, status=Status.LEASED)
        if not leased.update(expires_at=lease_end(form, now)):
            return None
    return _load(held.id)


def _taken_up(held: Held, now: datetime) -> Assignment | None:
    """What was fetched ahead, now before the rater; None where it has gone, is not wanted, or another tab was first."""
    if not held.wanted:
        _give_back(held.id, now)
        return None
    ahead = _load(held.id)
    try:
        return ahead if promote(ahead, now) else None
    except Conflict:
        return None


def _give_back(pk: int, now: datetime) -> None:
    held = Assignment.objects.select_related("comparison").filter(pk=pk, status__in=Assignment.HELD).first()
    if held is not None:
        release(held, by=None, now=now)


def _prolong(assignment: Assignment, expires_at: datetime, **changes: Any) -> bool:
    """Renew all that the rater holds; False where this assignment is not among it.

    Locks what is before the rater, then what is ahead, as `annotate_submit` does: the other way round they would wait
    for each other.
    """
    mine = Assignment.objects.filter(rater_id=assignment.rater_id, status__in=Assignment.HELD)
    with transaction.atomic():
        held = list(mine.order_by("-status").select_for_update(no_key=True).values_list("pk", flat=True))
        if assignment.pk not in held:
            return False
        Assignment.objects.filter(pk__in=held).update(expires_at=expires_at, **changes)
    return True


def _only_holder(assignment: Assignment, by: User) -> None:
    if assignment.rater.user_id != by.pk:
        raise NotFound(gettext("There is no such assignment."), code="no_assignment")
    project = assignment.rater.project
    if not project.allows(by, Can.ANNOTATE):  # or somebody who left could hold a seat for ever
        raise NotAllowed(
            gettext("Your role in “%(project)s” does not allow comparing.") % {"project": project.slug},
            code="role_too_small",
        )


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

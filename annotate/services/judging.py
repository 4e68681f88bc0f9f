"""What an annotator says of a comparison: once for each assignment, revised as often as they change their mind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from django.db import IntegrityError, transaction

from annotate import policies
from annotate.models import Assignment, Comparison, Form, Judgement, Rater
from annotate.models.comparisons import ComparisonQuerySet
from tiebreak.accounts.models import Project, User
from tiebreak.accounts.roles import Can
from tiebreak.core.errors import Conflict, Invalid, NotAllowed, NotFound
from tiebreak.core.models import record
from tiebreak.core.text import TextError, clean_text

from . import assigning

MAX_JUSTIFICATION_CHARS: Final = 20_000
MAX_SECONDS: Final = 24 * 3600.0
LEFT_CAP: Final = 1000
Status = Assignment.Status


@dataclass(frozen=True)
class Answer:
    """One answered form, as the screen stood: below 0 the left response is better, above 0 the right one."""

    choice: int | None
    both_bad: bool = False
    aspects: Mapping[str, int] = field(default_factory=dict)
    justification: str = ""
    reasons: tuple[str, ...] = ()
    seconds: float | None = None

    def as_draft(self) -> dict[str, Any]:
        """The shape of `Assignment.draft`, which the form is filled from again."""
        return {
            "choice": self.choice,
            "both_bad": self.both_bad,
            "aspects": dict(self.aspects),
            "justification": self.justification,
            "reasons": list(self.reasons),
            "active_ms": None if self.seconds is None else round(self.seconds * 1000),
        }


class Progress(NamedTuple):
    done_today: int
    done_total: int
    left: int  # comparisons that this rater has before them or could still be given, the latter counted up to LEFT_CAP
    more: bool  # there are more than `left`


def submit(assignment: Assignment, answer: Answer, *, by: User, key: UUID, now: datetime) -> Judgement:
    """Store the answer to an assignment, once: the same `key` again returns the same judgement.

    The conditional UPDATE of the assignment from leased to submitted is the fence: of two submits one wins. A lease
    that was reaped is taken up again where a seat is still free; where none is, the answer is kept as the assignment's
    draft and Conflict `lease_lost` is raised.
    """
    _may(by, assignment.rater, "assignment")
    if done := _submitted_before(assignment, key):
        return done
    check(answer, _form_of(assignment))
    try:
        with transaction.atomic():
            seat = _fence(assignment, now) or _seat_again(assignment, now)
            if seat is not None:
                return _store(seat, answer, by=by, key=key, now=now)
    except IntegrityError:  # the key, or the one judgement of this rater, was written by a twin of this request
        pass
    if done := _submitted_before(assignment, key):
        return done
    keep(assignment, answer)
    raise assigning.lease_lost()


def keep(assignment: Assignment, answer: Answer) -> None:
    """Keep an answer that could not be taken as the draft. A caller that rolls `submit` back calls it once more."""
    Assignment.objects.filter(pk=assignment.pk).exclude(status=Status.SUBMITTED).update(draft=answer.as_draft())


def revise(judgement: Judgement, answer: Answer, *, by: User, now: datetime) -> Judgement:
    """A changed mind: a new revision in the order that was shown; the old row stays, no longer current."""
    _may(by, judgement.rater, "judgement")
    form = judgement.form
    if form is None or judgement.order is None:
        raise Conflict("An imported judgement cannot be revised here.", code="not_ours")
    check(answer, form)
    with transaction.atomic():
        if not Judgement.objects.filter(pk=judgement.pk, current=True).update(current=False):
            raise Conflict("This judgement was revised meanwhile.", code="moved_on")
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
            **_said(answer, judgement.order),
        )
        record(
            "judgement.revised",
            revised,
            by=by,
            project=judgement.rater.project_id,
            revision=revised.revision,
            before=judgement.preference,
            after=revised.preference,
        )
    return revised


def progress(rater: Rater, *, now: datetime) -> Progress:
    """The figures beside the screen, by the UTC day."""
    mine = Judgement.objects.current().filter(rater=rater)
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    left, more = _left(assigning.queue_of(rater))
    held = Assignment.objects.filter(rater=rater, status=Status.LEASED).count()
    return Progress(mine.filter(submitted_at__gte=today).count(), mine.count(), left + held, more)


def progress_in(project: Project, user: User, *, now: datetime) -> Progress:
    """The same for a project that the user may not have begun yet; makes no rater."""
    rater = Rater.objects.filter(project=project, user=user).first()
    if rater is not None:
        return progress(rater, now=now)
    return Progress(0, 0, *_left(Comparison.objects.filter(project=project).open()))


def _left(queue: ComparisonQuerySet) -> tuple[int, bool]:
    """Counted up to the cap: it is a hint, and the queue may be long."""
    count = queue[: LEFT_CAP + 1].count()
    return min(count, LEFT_CAP), count > LEFT_CAP


def check(answer: Answer, form: Form) -> None:
    """Raise Invalid, naming the field, where an answer is not one that the form allows."""
    _check_choice(answer, form)
    values = policies.screen_values(form.levels, allow_tie=True)  # an aspect may be even where a side must be chosen
    known = {aspect["key"] for aspect in form.aspects}
    for key, value in answer.aspects.items():
        if key not in known:
            raise Invalid(f"There is no aspect {key[:60]!r} in this form.", field="aspects")
        if value not in values:
            raise Invalid(f"Expected one of {_listed(values)}, got {value}.", field=f"aspects.{key}")
    _check_justification(answer, form)
    for reason in answer.reasons:
        if reason not in form.reasons:
            raise Invalid(f"There is no reason {reason[:60]!r} in this form.", field="reasons")
    if answer.seconds is not None and not 0 <= answer.seconds <= MAX_SECONDS:
        raise Invalid(f"Expected 0 to {MAX_SECONDS:.0f} seconds, got {answer.seconds}.", field="seconds")


def _check_choice(answer: Answer, form: Form) -> None:
    if answer.both_bad and not form.allow_both_bad:
        raise Invalid("This form does not offer “both bad”.", field="both_bad")
    if answer.choice is None:
        if not answer.both_bad:
            raise Invalid("Choose which response is better, and by how much.", field="choice")
        return
    values = policies.screen_values(form.levels, allow_tie=form.allow_tie)
    if answer.choice == 0 and not form.allow_tie:
        raise Invalid("This form does not allow a tie: choose a side.", field="choice")
    if answer.choice not in values:
        raise Invalid(f"Expected one of {_listed(values)}, got {answer.choice}.", field="choice")


def _check_justification(answer: Answer, form: Form) -> None:
    try:
        clean_text(answer.justification, field="justification", max_chars=MAX_JUSTIFICATION_CHARS)
    except TextError as error:
        raise Invalid(str(error), field="justification") from error
    length = len(answer.justification.strip())
    if form.justification == Form.Justification.OFF and length:
        raise Invalid("This form asks for no justification.", field="justification")
    wanted = form.justification == Form.Justification.REQUIRED
    if wanted and not length:
        raise Invalid("Say why: this project asks for a justification.", field="justification")
    if (wanted or length) and length < form.min_justification:
        raise Invalid(
            f"At least {form.min_justification} characters are wanted; there are {length}.", field="justification"
        )


def _listed(values: list[int]) -> str:
    return ", ".join(map(str, values))


def _may(by: User, rater: Rater, what: str) -> None:
    if rater.user_id != by.pk:
        raise NotFound(f"There is no such {what}.", code=f"no_{what}")
    if not rater.project.allows(by, Can.ANNOTATE):
        raise NotAllowed(f"Your role in {rater.project.slug!r} does not allow comparing.", code="role_too_small")


def _form_of(assignment: Assignment) -> Form:
    if assignment.form is None:
        raise Conflict("This assignment was not made for a form.", code="no_form")
    return assignment.form


def _submitted_before(assignment: Assignment, key: UUID) -> Judgement | None:
    """The judgement that this key wrote, or None. Refuses a key used elsewhere, and a second answer under a new key."""
    # The state is read before the key: they are written together, so whoever sees the one sees the other.
    answered = Assignment.objects.filter(pk=assignment.pk, status=Status.SUBMITTED).exists()
    done = Judgement.objects.filter(key=key).select_related("comparison", "rater").first()
    if done is not None:
        if (done.comparison_id, done.rater_id) != (assignment.comparison_id, assignment.rater_id):
            raise Conflict("This key was used for another comparison.", code="key_used")
        return done
    if answered:
        raise assigning.already_submitted()
    return None


def _fence(assignment: Assignment, now: datetime) -> Assignment | None:
    """Leased to submitted, if it is still leased. Locks the assignment's row."""
    leased = Assignment.objects.filter(pk=assignment.pk, status=Status.LEASED)
    if not leased.update(status=Status.SUBMITTED, expires_at=None, closed_at=now, draft={}):
        return None
    assignment.status, assignment.expires_at, assignment.closed_at, assignment.draft = Status.SUBMITTED, None, now, {}
    return assignment


def _seat_again(lost: Assignment, now: datetime) -> Assignment | None:
    """A new, answered seat in place of a lease that was reaped, in the order that was shown; None if all are taken.

    Locks the comparison.
    """
    if not Assignment.objects.filter(pk=lost.pk, status=Status.EXPIRED).exists():
        return None
    waiting = Comparison.objects.filter(pk=lost.comparison_id, status=Comparison.Status.OPEN)
    comparison = waiting.select_for_update(no_key=True).first()
    if comparison is None or policies.enough(comparison.seats_taken, comparison.overlap):
        return None
    return Assignment.objects.create(
        comparison=comparison,
        rater=lost.rater,
        repeat=lost.repeat,
        status=Status.SUBMITTED,
        order=lost.order,
        form=lost.form,
        closed_at=now,
    )


def _store(seat: Assignment, answer: Answer, *, by: User, key: UUID, now: datetime) -> Judgement:
    form = _form_of(seat)
    judgement = Judgement.objects.create(
        comparison=seat.comparison,
        rater=seat.rater,
        assignment=seat,
        repeat=seat.repeat,
        order=seat.order,
        form=form,
        rubric_id=form.rubric_id,
        key=key,
        submitted_at=now,
        **_said(answer, seat.order),
    )
    record(
        "judgement.submitted",
        judgement,
        by=by,
        project=seat.rater.project_id,
        assignment=seat.pk,
        preference=judgement.preference,
    )
    return judgement


def _said(answer: Answer, order: str) -> dict[str, Any]:
    """An answer in terms of a and b."""
    return {
        "preference": None if answer.choice is None else policies.to_identity(answer.choice, order),
        "both_bad": answer.both_bad,
        "aspects": {key: policies.to_identity(value, order) for key, value in answer.aspects.items()},
        "reasons": list(dict.fromkeys(answer.reasons)),
        "justification": answer.justification,
        "seconds": answer.seconds,
    }

"""How annotators come in, and what hidden gold says of them later: practice, qualification, measuring.

Practice and qualification are trials on comparisons whose answer is known. What is said there never becomes a
judgement, and a comparison that somebody practised on is never hidden gold for them. Both can be left and taken up
again, in any tab: an attempt is rows that a unique constraint keeps apart.

- Practice: up to `practice_size` trials, those that say why first, each followed by the known answer.
- Qualification: exactly `qualification_size` trials without feedback. Who reaches the pass mark is qualified; who does
  not may try again after a day, on other gold as far as there is any, or at once where a curator allows it.
- Where a project has too little gold, nobody is stuck: practice takes what there is, a qualification that cannot be
  asked is waived with an event that says so, and `shortage` tells the curators.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final, Literal, NamedTuple, TypeAlias

import numpy as np
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext

from annotate import policies
from annotate.models import Assignment, Comparison, Form, Judgement, Lane, Rater, Trial
from annotate.models.comparisons import ComparisonQuerySet
from tiebreak.accounts.models import Project, User
from tiebreak.accounts.roles import Can
from tiebreak.core.errors import Conflict, Invalid, NotAllowed, NotFound
from tiebreak.core.intervals import Estimate, wilson
from tiebreak.core.models import record

from . import raters
from .answers import Answer, check, said

Kind: TypeAlias = Literal["practice", "qualification"]
RETRY_AFTER: Final = timedelta(hours=24)
WINDOW: Final = 50  # answers to hidden gold that are looked at: the last ones
SHOWN: Final = (
    "form__rubric", "rater__project", "comparison__prompt", "comparison__completion_a", "comparison__completion_b",
)  # fmt: skip


class Attempt(NamedTuple):
    """How far a rater is in a practice or a qualification."""

    number: int
    size: int
    answered: int
    right: int
    ended_at: datetime | None
    """None while a trial is open."""
    pass_mark: float

    @property
    def passed(self) -> bool:
        return self.ended_at is not None and policies.passes(self.right, self.size, self.pass_mark)

    @property
    def retry_at(self) -> datetime | None:
        """When a failed qualification may be tried again."""
        return None if self.ended_at is None or self.passed else self.ended_at + RETRY_AFTER


class Shortage(NamedTuple):
    needed: int
    there: int


def due(rater: Rater, form: Form) -> Kind | None:
    """What the rater has to pass through before real work."""
    return policies.due(form, practised=rater.practised_at is not None, qualified=rater.qualified_at is not None)


def kind_of(trial: Trial) -> Kind:
    return "practice" if trial.kind == Trial.Kind.PRACTICE else "qualification"


def attempt(rater: Rater, kind: Kind) -> Attempt | None:
    """The latest attempt, or None before the first."""
    trials = list(Trial.objects.filter(rater=rater, kind=kind).select_related("form").order_by("-attempt"))
    latest = [trial for trial in trials if trial.attempt == trials[0].attempt]
    if not latest:
        return None
    times = [trial.answered_at for trial in latest if trial.answered_at is not None]
    return Attempt(
        number=latest[0].attempt,
        size=len(latest),
        answered=len(times),
        right=sum(trial.right is True for trial in latest),
        ended_at=max(times) if len(times) == len(latest) else None,
        pass_mark=latest[0].form.pass_mark,
    )


def before(rater: Rater, kind: Kind, *, now: datetime) -> Trial | None:
    """The trial that the rater has before them; begins an attempt where none is open. None: it is not due any more.

    Raises Conflict `retry_later` within a day of a failed qualification. Locks the rater's row while it begins.
    """
    _may_try(rater)
    if trial := _open(rater, kind).first():
        return trial
    with transaction.atomic():
        rater = Rater.objects.select_for_update(no_key=True, of=("self",)).select_related("project").get(pk=rater.pk)
        form = _form(rater.project_id)
        if due(rater, form) != kind:
            return None
        if trial := _open(rater, kind).first():  # another tab began it
            return trial
        last = attempt(rater, kind)
        if last is not None and (kind == "practice" or last.passed):
            _end(rater, kind, last, now)  # its open trials were taken back
            return None
        if last is not None and last.retry_at is not None and last.retry_at > now:
            raise Conflict(
                gettext(
                    "This attempt did not reach the mark. You can try again later; a curator can let you try at once."
                ),
                code="retry_later",
                retry_at=last.retry_at.isoformat(),
            )
        if not _begin(rater, kind, form, 1 if last is None else last.number + 1):
            _waive(rater, kind, now)
            return None
    return _open(rater, kind).first()


def answer(trial: Trial, answer: Answer, *, by: User, now: datetime) -> Trial:
    """Mark the answer to a trial; the last one ends the attempt. Locks the rater's row.

    Raises Conflict `answered` where it was answered before, `moved_on` where its known answer was taken back.
    """
    if trial.rater.user_id != by.pk:
        raise NotFound(gettext("There is no such trial."), code="no_trial")
    _may_try(trial.rater)
    check(answer, trial.form)
    gold = trial.comparison.gold
    if gold is None:
        raise Conflict(gettext("This one was taken back meanwhile: go on to the next."), code="moved_on")
    told = said(answer, trial.order)
    marked = {
        "preference": told["preference"],
        "both_bad": told["both_bad"],
        "right": policies.right(told["preference"], gold),
        "seconds": None if answer.seconds is None else min(answer.seconds, max(0.0, _age(trial, now))),
        "answered_at": now,
    }
    with transaction.atomic():
        rater = Rater.objects.select_for_update(no_key=True).get(pk=trial.rater_id)
        if not Trial.objects.filter(pk=trial.pk, answered_at=None).update(**marked):
            raise Conflict(gettext("You have already answered this one."), code="answered")
        kind = kind_of(trial)
        last = attempt(rater, kind)
        if last is not None and last.ended_at is not None:
            _end(rater, kind, last, now)
    for field, value in marked.items():
        setattr(trial, field, value)
    return trial


def requalify(rater: Rater, *, by: User | None) -> Rater:
    """Ask an annotator to qualify again, or once more at once: a new attempt begins. `excuse` is the way back."""
    _may_curate(rater, by)
    form = _form(rater.project_id)
    if not form.qualification_size:
        raise Invalid(gettext("The form of this project asks for no qualification."), field="qualification_size")
    with transaction.atomic():
        row = Rater.objects.select_for_update(no_key=True, of=("self",)).select_related("project").get(pk=rater.pk)
        if _open(row, "qualification").exists():
            raise Conflict(gettext("They are in the middle of a qualification."), code="qualifying")
        last = attempt(row, "qualification")
        if not _begin(row, "qualification", form, 1 if last is None else last.number + 1):
            raise Conflict(
                gettext("There is too little gold that they have not practised on: import some first."),
                code="too_few_gold",
            )
        held = row.qualified_at
        Rater.objects.filter(pk=row.pk).update(qualified_at=None)
        was = None if held is None else held.isoformat()
        record("rater.asked_to_qualify", row, by=by, project=row.project_id, qualified_at=was)
    rater.refresh_from_db()
    return rater


def excuse(rater: Rater, *, by: User | None) -> Rater:
    """Let an annotator work without a qualification, or without the one that is open."""
    _may_curate(rater, by)
    with transaction.atomic():
        Rater.objects.select_for_update(no_key=True).get(pk=rater.pk)
        if not Rater.objects.filter(pk=rater.pk, qualified_at=None).update(qualified_at=timezone.now()):
            raise Conflict(gettext("They are qualified already."), code="qualified")
        Trial.objects.filter(rater=rater, kind=Trial.Kind.QUALIFICATION, answered_at=None).delete()
        record("rater.excused", rater, by=by, project=rater.project_id)
    rater.refresh_from_db()
    return rater


def measure_from(rater: Rater, since: datetime | None, *, by: User | None) -> Rater:
    """Count hidden gold against an annotator only from `since`: a new start. None counts all of it again."""
    _may_curate(rater, by)
    with transaction.atomic():
        row = Rater.objects.select_for_update(no_key=True).get(pk=rater.pk)
        Rater.objects.filter(pk=row.pk).update(measured_since=since)
        before, after = (None if at is None else at.isoformat() for at in (row.measured_since, since))
        record("rater.measured_anew", row, by=by, project=row.project_id, before=before, after=after)
    rater.refresh_from_db()
    return rater


def hidden_gold(rater: Rater) -> Estimate:
    """Share right of the last WINDOW answers to hidden gold, since the rater's new start if they had one."""
    measured = Q() if rater.measured_since is None else Q(assignment__closed_at__gt=rater.measured_since)
    answers = Judgement.objects.current().filter(
        measured,
        assignment__rater=rater,
        assignment__purpose=Assignment.Purpose.GOLD,
        assignment__status=Assignment.Status.SUBMITTED,
        comparison__gold__isnull=False,
    )
    last = answers.order_by("-assignment_id").values_list("preference", "comparison__gold")[:WINDOW]
    right = [policies.right(preference, gold) for preference, gold in last if gold is not None]
    return wilson(sum(right), len(right))


def measure(rater: Rater, *, now: datetime) -> bool:
    """Pause an annotator whose hidden gold is surely below the form's line; True if it did.

    Call it after an answer to hidden gold. A curator can let them go on, with a new start or without.
    """
    line = _form(rater.project_id).pause_below
    if line is None or rater.paused_at is not None:
        return False
    gold = hidden_gold(rater)
    right = round((gold.value or 0.0) * gold.n)
    if not policies.surely_below(right, gold.n, line):
        return False
    because = (
        f"{right} of your last {gold.n} answers to comparisons with a known answer were right; this project asks for "
        f"{line:.0%}. A curator will look at it with you."
    )
    try:
        raters.pause(rater, by=None, because=because)
    except Conflict:  # paused by somebody else in this moment
        return False
    return True


def shortage(project: Project, form: Form) -> Shortage | None:
    """What the form asks of gold that the project does not have: for practice, qualification and hidden gold."""
    hidden = policies.LEAST_MEASURED if form.gold_rate else 0
    needed = form.practice_size + form.qualification_size + hidden
    there = _gold_of(project.pk)[:needed].count()
    return Shortage(needed, there) if there < needed else None


def _may_try(rater: Rater) -> None:
    if rater.user is None or not rater.project.allows(rater.user, Can.ANNOTATE):
        raise NotAllowed(
            gettext("Your role in “%(project)s” does not allow comparing.") % {"project": rater.project.slug},
            code="role_too_small",
        )
    if rater.paused_at is not None:
        raise NotAllowed(rater.paused_because or "You are paused in this project.", code="paused")


def _may_curate(rater: Rater, by: User | None) -> None:
    if by is not None and not rater.project.allows(by, Can.CURATE):
        raise NotAllowed(gettext("Your role does not allow you to change raters."), code="role_too_small")
    if rater.kind != Rater.Kind.ANNOTATOR:
        raise Invalid(gettext("Only a person qualifies: a judge judges when it is run."), field="rater")


def _form(project: int) -> Form:
    return Form.objects.get(project=project, current=True)


def _age(trial: Trial, now: datetime) -> float:
    return (now - trial.created_at).total_seconds()


def _open(rater: Rater, kind: Kind) -> QuerySet[Trial]:
    """Unanswered trials in their order; one whose known answer was taken back is not asked."""
    asked = Trial.objects.filter(rater=rater, kind=kind, answered_at=None)
    stale = asked.filter(Q(comparison__gold=None) | Q(comparison__status=Comparison.Status.WITHDRAWN))
    if stale.exists():
        stale.delete()
    return asked.select_related(*SHOWN).order_by("attempt", "position")


def _begin(rater: Rater, kind: Kind, form: Form, number: int) -> bool:
    """The trials of a new attempt, drawn by the rater's lots; False where there is too little gold for it.

    The caller holds the rater's lock.
    """
    size = form.practice_size if kind == "practice" else form.qualification_size
    rng = np.random.default_rng([rater.project_id, rater.pk, number, 0 if kind == "practice" else 1])
    start = float(rng.random())
    drawn: list[int] = []
    for gold in _preferred(rater, kind):
        for part in (Q(shuffle__gte=start), Q(shuffle__lt=start)):  # and round again
            if len(drawn) < size:
                found = gold.filter(part).exclude(pk__in=drawn).order_by("shuffle")
                drawn += found.values_list("pk", flat=True)[: size - len(drawn)]
    if not drawn or (kind == "qualification" and len(drawn) < size):
        return False
    orders = policies.trial_orders(len(drawn), rng)
    Trial.objects.bulk_create(
        Trial(rater=rater, kind=kind, attempt=number, position=position, comparison_id=pk, form=form, order=order)
        for position, (pk, order) in enumerate(zip(drawn, orders, strict=True), 1)
    )
    return True


def _preferred(rater: Rater, kind: Kind) -> Iterator[ComparisonQuerySet]:
    """Where the gold of an attempt comes from, the best first. Never what they practised on or were assigned."""
    assigned = Assignment.objects.filter(comparison=OuterRef("pk"), rater=rater)
    tried = Trial.objects.filter(comparison=OuterRef("pk"), rater=rater)
    gold = _gold_of(rater.project_id).filter(~Exists(assigned)).exclude(lane__in=_closed_lanes(rater))
    if rater.user is not None:
        name = rater.user.username
        gold = gold.exclude(completion_a__generator=name).exclude(completion_b__generator=name)
    fresh = gold.filter(~Exists(tried))
    if kind == "practice":
        yield fresh.exclude(gold_because="")
        yield fresh
    else:
        yield fresh
        yield gold.filter(~Exists(tried.filter(kind=Trial.Kind.PRACTICE)))  # its answer was never told


def _gold_of(project: int) -> ComparisonQuerySet:
    return Comparison.objects.filter(project=project, gold__isnull=False).exclude(status=Comparison.Status.WITHDRAWN)


def _closed_lanes(rater: Rater) -> list[int]:
    """Lanes that ask for what the rater does not have."""
    lanes = Lane.objects.filter(project=rater.project_id)
    return [
        lane.number
        for lane in lanes
        if not policies.may_enter(
            policies.Place(lane.number, lane.skills, lane.language), skills=rater.skills, languages=rater.languages
        )
    ]


def _waive(rater: Rater, kind: Kind, now: datetime) -> None:
    """There is no gold for it: they go on without, and the event says so. The caller holds the rater's lock."""
    _let_on(rater, kind, now)
    record(f"{kind}.waived", rater, project=rater.project_id, because="too little gold")


def _end(rater: Rater, kind: Kind, last: Attempt, now: datetime) -> None:
    """What an attempt whose trials are all answered comes to. The caller holds the rater's lock."""
    verb = "practice.ended"
    if kind == "qualification":
        verb = "qualification.passed" if last.passed else "qualification.failed"
    if verb != "qualification.failed":
        _let_on(rater, kind, now)
    record(verb, rater, by=rater.user, project=rater.project_id, attempt=last.number, right=last.right, of=last.size)


def _let_on(rater: Rater, kind: Kind, now: datetime) -> None:
    field = "practised_at" if kind == "practice" else "qualified_at"
    Rater.objects.filter(pk=rater.pk, **{field: None}).update(**{field: now})

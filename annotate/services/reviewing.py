"""Decisions of experts: a disputed comparison is decided, a judgement is accepted, corrected or returned.

A decision is not a vote: it is a row of its own, aggregation takes it as the consensus, and no judgement is rewritten.
Nobody reviews a judgement of their own. Nobody decides a comparison that they judged, but for curators, who may be the
only ones there: theirs is marked in the audit log.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext

from annotate import policies
from annotate.models import Adjudication, Comment, Comparison, Form, Judgement, Mention, Review
from tiebreak.accounts.models import User
from tiebreak.accounts.roles import MAY, Can
from tiebreak.core.errors import Conflict, Invalid, NotAllowed, NotFound
from tiebreak.core.models import Event, record
from tiebreak.core.text import TextError, clean_text
from tiebreak.core.transitions import move

from . import assigning, commenting, following

MAX_REASON_CHARS: Final = 2_000
Status, Verdict = Comparison.Status, Review.Verdict


def adjudicate(
    comparison: Comparison,
    preference: int | None,
    both_bad: bool,
    reason: str,
    *,
    by: User,
    replacing: int | None = None,
    corrects: Sequence[Judgement] = (),
) -> Adjudication:
    """Decide a comparison: it is settled, and its consensus is this. `corrects` are overruled by name, with the reason.

    `replacing` is the id of the decision that was seen to be current: where another stands by now, Conflict
    `decided_meanwhile` is raised. The same decision again is one decision. Locks the comparison.
    """
    own = _may_decide(comparison, by)
    because = _reason(reason)
    _check_decision(preference, both_bad, comparison)
    with transaction.atomic():
        row = Comparison.objects.select_for_update(no_key=True).get(pk=comparison.pk)
        before = Adjudication.objects.filter(comparison=row, current=True).first()
        if before and (before.by_id, before.preference, before.both_bad, before.reason) == (
            by.pk, preference, both_bad, because,
        ):  # fmt: skip
            return before
        if (before.pk if before else None) != replacing:
            raise Conflict(gettext("Somebody else has decided this comparison meanwhile."), code="decided_meanwhile")
        if row.status == Status.WITHDRAWN:
            raise Conflict(gettext("This comparison was withdrawn."), code="withdrawn")
        Adjudication.objects.filter(comparison=row, current=True).update(current=False)
        made = Adjudication.objects.create(
            comparison=row, preference=preference, both_bad=both_bad, reason=because, by=by
        )
        assigning.rater_for(row.project, by)  # followed into versions, and able to take back what they said
        for judgement in corrects:
            _review(judgement, Verdict.CORRECTED, because, by=by, comparison=row)
        was = row.status
        if was != Status.SETTLED:
            move(row, Status.SETTLED)
        record(
            "comparison.adjudicated",
            row,
            by=by,
            project=row.project_id,
            adjudication=made.pk,
            preference=preference,
            both_bad=both_bad,
            was=was,
            replaced=before.pk if before else None,
            own=own,
        )
        following.decided(row.pk)
    comparison.status = row.status
    return made


def reopen(comparison: Comparison, *, by: User, decided: Adjudication | None = None) -> Comparison:
    """Undo the decision: it stays on record, and the comparison waits again, for people where it has a free seat.

    `decided` is the decision that was seen to stand; Conflict `decided_meanwhile` where it is another by now.
    """
    _role(comparison, by)
    with transaction.atomic():
        row = Comparison.objects.select_for_update(no_key=True).get(pk=comparison.pk)
        standing = Adjudication.objects.filter(comparison=row, current=True).first()
        if standing is None:
            raise Conflict(gettext("No decision of this comparison stands."), code="not_adjudicated")
        if decided is not None and decided.pk != standing.pk:
            raise Conflict(gettext("Somebody else has decided this comparison meanwhile."), code="decided_meanwhile")
        Adjudication.objects.filter(pk=standing.pk).update(current=False)
        if row.status == Status.SETTLED:
            move(row, Status.DISPUTED if row.full else Status.OPEN)
        record("comparison.reopened", row, by=by, project=row.project_id, adjudication=standing.pk, status=row.status)
        following.decided(row.pk)
    return row


def accept(judgement: Judgement, reason: str = "", *, by: User) -> Review:
    """The judgement stands as it is."""
    return _reviewed(judgement, Verdict.ACCEPTED, reason, by=by)


def correct(
    judgement: Judgement,
    preference: int | None,
    both_bad: bool,
    reason: str,
    *,
    by: User,
    replacing: int | None = None,
) -> Adjudication:
    """Decide the comparison otherwise; the judgement stays for the record."""
    return adjudicate(
        judgement.comparison, preference, both_bad, reason, by=by, replacing=replacing, corrects=[judgement]
    )


def return_judgement(judgement: Judgement, reason: str, *, by: User) -> Review:
    """Give a judgement back to its annotator, who finds it in the inbox and revises it or explains."""
    user = judgement.rater.user_id
    if user is None or not judgement.comparison.project.members.filter(user=user).exists():
        raise Invalid(
            gettext("Nobody with an account here made this judgement: it can be corrected instead."), field="verdict"
        )
    return _reviewed(judgement, Verdict.RETURNED, reason, by=by)


def explain(review: Review, text: str, *, by: User) -> Review:
    """Answer a returned judgement with words instead of a revision; its reviewer is told."""
    judgement = review.judgement
    if judgement.rater.user_id != by.pk:
        raise NotFound(gettext("There is no such judgement of yours."), code="no_judgement")
    if not judgement.comparison.project.allows(by, Can.ANNOTATE):
        raise NotAllowed(gettext("Your role in this project does not allow this."), code="role_too_small")
    because = _reason(text, "text")
    with transaction.atomic():
        waiting = Review.objects.filter(pk=review.pk, verdict=Verdict.RETURNED, answered_at=None)
        if not waiting.update(answered_at=timezone.now()):
            raise Conflict(gettext("This judgement does not wait for an answer any more."), code="moved_on")
        _tell(judgement, because, by=by, to=review.by_id)
        commenting.mark_seen_of(judgement, by)
        record("judgement.explained", judgement, by=by, project=judgement.comparison.project_id, review=review.pk)
    review.refresh_from_db()
    return review


def withdraw(comparison: Comparison, reason: str, *, by: User) -> Comparison:
    """Take a comparison out: nobody is given it any more, and no version takes it in. Kept, and can be restored."""
    _may_curate(comparison, by)
    because = _reason(reason)
    with transaction.atomic():
        was = comparison.status
        move(comparison, Status.WITHDRAWN)
        record("comparison.withdrawn", comparison, by=by, project=comparison.project_id, was=was, reason=because)
    return comparison


def restore(comparison: Comparison, *, by: User) -> Comparison:
    """Bring a withdrawn comparison back: settled where it was decided, disputed where it was so, otherwise open."""
    _may_curate(comparison, by)
    with transaction.atomic():
        if comparison.status != Status.WITHDRAWN:
            raise Conflict(gettext("This comparison is not withdrawn."), code="not_withdrawn")
        if not comparison.content_sha256:
            raise Conflict(gettext("Its texts were erased: it cannot come back."), code="texts_erased")
        move(comparison, Status.OPEN)
        if Adjudication.objects.filter(comparison=comparison, current=True).exists():
            move(comparison, Status.SETTLED)
        elif _last_withdrawal(comparison).get("was") == Status.DISPUTED:
            move(comparison, Status.DISPUTED)
        record("comparison.restored", comparison, by=by, project=comparison.project_id, status=comparison.status)
    return comparison


def _last_withdrawal(comparison: Comparison) -> dict[str, Any]:
    """What the audit log has of it."""
    told = Event.objects.filter(
        verb="comparison.withdrawn", target_type="annotate.comparison", target_id=str(comparison.pk)
    )
    return told.order_by("-id").values_list("data", flat=True).first() or {}


def _reviewed(judgement: Judgement, verdict: str, reason: str, *, by: User) -> Review:
    comparison = judgement.comparison
    _role(comparison, by)
    because = _clean(reason) if verdict == Verdict.ACCEPTED else _reason(reason)
    with transaction.atomic():
        return _review(judgement, verdict, because, by=by, comparison=comparison)


def _review(judgement: Judgement, verdict: str, reason: str, *, by: User, comparison: Comparison) -> Review:
    """The one review of this revision; another verdict takes the place of the last, which the audit log keeps.

    Locks the judgement.
    """
    row = Judgement.objects.select_for_update(of=("self",)).select_related("rater").filter(pk=judgement.pk).first()
    if row is None or row.comparison_id != comparison.pk:
        raise NotFound(gettext("There is no such judgement of this comparison."), code="no_judgement")
    if row.rater.user_id == by.pk:
        raise NotAllowed(gettext("This judgement is your own: somebody else has to review it."), code="own_judgement")
    if not row.current:
        raise Conflict(gettext("This judgement was revised meanwhile."), code="moved_on")
    before = Review.objects.filter(judgement=row).first()
    if before and (before.verdict, before.reason, before.answered_at) == (verdict, reason, None):
        return before
    review, _ = Review.objects.update_or_create(
        judgement=row, defaults={"verdict": verdict, "reason": reason, "by": by, "answered_at": None}
    )
    if verdict == Verdict.RETURNED:
        _tell(row, reason, by=by, to=row.rater.user_id)
    record(
        "judgement.reviewed",
        row,
        by=by,
        project=comparison.project_id,
        before=before.verdict if before else None,
        after=verdict,
        reason=reason,
    )
    return review


def _tell(judgement: Judgement, text: str, *, by: User, to: Any) -> None:
    """Words about a judgement, in the inbox of the one whom they are for."""
    comparison = judgement.comparison
    said = Comment.objects.create(
        project_id=comparison.project_id, comparison=comparison, judgement=judgement, author=by, text=text
    )
    Mention.objects.create(comment=said, user_id=to)


def _role(comparison: Comparison, by: User) -> frozenset[Can]:
    role = comparison.project.role_of(by)
    if role is None:
        raise NotFound(gettext("There is no such comparison."), code="no_comparison")
    if Can.ADJUDICATE not in MAY[role]:
        raise NotAllowed(gettext("Your role in this project does not allow deciding."), code="role_too_small")
    return MAY[role]


def _may_decide(comparison: Comparison, by: User) -> bool:
    """Whether they judged it themselves, which is refused to all but curators."""
    may = _role(comparison, by)
    own = Judgement.objects.filter(comparison=comparison, rater__user=by).exists()
    if own and Can.CURATE not in may:
        raise NotAllowed(
            gettext("You judged this comparison yourself: somebody else has to decide it."), code="own_judgement"
        )
    return own


def _may_curate(comparison: Comparison, by: User) -> None:
    if Can.CURATE not in _role(comparison, by):
        raise NotAllowed(gettext("Only a curator can take a comparison out or bring it back."), code="role_too_small")


def _check_decision(preference: int | None, both_bad: bool, comparison: Comparison) -> None:
    """What can be decided is what annotators are asked now."""
    form = Form.objects.filter(project=comparison.project_id, current=True).first()
    if form is None:
        raise Conflict(gettext("This project has no form."), code="no_form")
    if both_bad and not form.allow_both_bad:
        raise Invalid(gettext("This form does not offer “both bad”."), field="both_bad")
    if preference is None:
        if not both_bad:
            raise Invalid(gettext("Choose which response is better, and by how much."), field="choice")
        return
    values = policies.screen_values(form.levels, allow_tie=form.allow_tie)
    if preference not in values:
        raise Invalid(f"Expected one of {', '.join(map(str, values))}, got {preference}.", field="choice")


def _reason(text: str, field: str = "reason") -> str:
    clean = _clean(text, field)
    if not clean:
        raise Invalid(gettext("Say why: the reason is kept with the decision."), field=field)
    return clean


def _clean(text: str, field: str = "reason") -> str:
    try:
        return clean_text(text, field=field, max_chars=MAX_REASON_CHARS).strip()
    except TextError as error:
        raise Invalid(str(error), field=field) from error

"""Flags: an annotator says that something is wrong with a comparison; whoever adjudicates or curates resolves it."""

from __future__ import annotations

from typing import Final

from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext

from annotate.models import Comparison, Flag, Rater
from tiebreak.accounts.models import User
from tiebreak.accounts.roles import Can
from tiebreak.core.errors import Conflict, Invalid, NotAllowed, NotFound
from tiebreak.core.models import record
from tiebreak.core.text import TextError, clean_text

from .commenting import may_speak_of

MAX_NOTE_CHARS: Final = 2_000
MAX_RESOLUTION_CHARS: Final = 300


def flag(comparison: Comparison, rater: Rater, kind: str, note: str, *, by: User) -> Flag:
    """An open flag of this rater; the same kind again is the same flag, and what is newly noted is added to it."""
    if (rater.user_id, rater.project_id) != (by.pk, comparison.project_id):
        raise NotFound(gettext("There is no such comparison."), code="no_comparison")
    may_speak_of(comparison, by)
    if kind not in Flag.Kind.values:
        raise Invalid(f"kind: expected one of {', '.join(Flag.Kind.values)}, got {kind[:60]!r}.", field="kind")
    clean = _clean(note, "note", MAX_NOTE_CHARS)
    try:
        with transaction.atomic():
            made = Flag.objects.create(comparison=comparison, rater=rater, kind=kind, note=clean)
            record("flag.raised", made, by=by, project=comparison.project_id, comparison=comparison.pk, kind=kind)
            return made
    except IntegrityError:  # it is open already, or a twin of this request was faster
        return _again(comparison, rater, kind, clean)


def resolve(flag: Flag, resolution: str, *, by: User) -> Flag:
    """Close a flag with what was done about it. Raises Conflict where somebody else has."""
    if not flag.comparison.project.allows(by, Can.ADJUDICATE):
        raise NotAllowed(gettext("Your role does not allow you to resolve flags."), code="role_too_small")
    clean = _clean(resolution, "resolution", MAX_RESOLUTION_CHARS)
    if not clean:
        raise Invalid(gettext("Say what was done about it."), field="resolution")
    with transaction.atomic():
        now = timezone.now()
        waiting = Flag.objects.filter(pk=flag.pk, resolved_at=None)
        if not waiting.update(resolved_at=now, resolved_by=by, resolution=clean):
            raise Conflict(gettext("This flag is resolved already."), code="already_resolved")
        project, comparison = flag.comparison.project_id, flag.comparison_id
        record("flag.resolved", flag, by=by, project=project, comparison=comparison, resolution=clean)
    flag.refresh_from_db()
    return flag


def _again(comparison: Comparison, rater: Rater, kind: str, note: str) -> Flag:
    with transaction.atomic():
        known = Flag.objects.select_for_update().filter(comparison=comparison, rater=rater, kind=kind, resolved_at=None)
        flag = known.first()
        if flag is None:
            raise Conflict(
                gettext("This flag was resolved meanwhile: flag it again if it still holds."), code="moved_on"
            )
        if note and note not in flag.note:
            flag.note = f"{flag.note}\n{note}".strip()
            flag.save(update_fields=["note"])
    return flag


def _clean(text: str, field: str, most: int) -> str:
    try:
        return clean_text(text, field=field, max_chars=most).strip()
    except TextError as error:
        raise Invalid(str(error), field=field) from error

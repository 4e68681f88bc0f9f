"""Active time as people say it."""

from __future__ import annotations

from typing import Final

from django import template
from django.utils.translation import gettext as _

from annotate.models import Session

register = template.Library()
NOTHING: Final = "–"


@register.filter
def spent(seconds: float | None) -> str:
    """A stretch of time, such as 1 h 12 min."""
    if seconds is None:
        return NOTHING
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return _("%(hours)s h %(minutes)s min") % {"hours": hours, "minutes": minutes}
    if minutes:
        return _("%(minutes)s min %(seconds)s s") % {"minutes": minutes, "seconds": rest}
    return _("%(seconds)s s") % {"seconds": rest}


@register.filter
def pace(session: Session) -> str:
    """Mean active time for each judgement of a session."""
    return spent(session.seconds / session.judged) if session.judged and session.seconds else NOTHING

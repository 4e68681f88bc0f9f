"""Work on many projects in one round, of which none may stop the others."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from tiebreak.accounts.models import Project

T = TypeVar("T")
log = logging.getLogger("tiebreak.curation")


def apart(what: str, work: Callable[[], T], project_id: int) -> T | None:
    """What the work on one project came to; None where it raised, which is logged with the project's slug.

    What one project's data or settings make fail is not to be foretold, and the next round, seconds later, would fail
    there again: caught narrowly, what was not thought of would stop every project for good. ``work`` holds its own
    transaction. Where the database is gone the slug cannot be read: that is everybody's, and raises.
    """
    try:
        return work()
    except Exception:
        slug = Project.objects.filter(pk=project_id).values_list("slug", flat=True).first()
        log.exception("%s %s failed; the other projects go on", what, slug or project_id)
        return None

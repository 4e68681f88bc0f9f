"""Sessions of work: counted as they go, so that no page ever counts a history.

A session ends after half an hour without a sign, as the UTC day turns (the day's quota is counted by sessions), or when
its rater says so. It is counted in the transaction of the submit or skip that it counts.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from django.db import connection, transaction
from django.db.models import Sum

from annotate.models import Form, Rater, Session
from tiebreak.core.models import record

PAUSE: Final = timedelta(minutes=30)


class Position(NamedTuple):
    """How far a rater is in the session that they are in, and today. A quota of 0 has no end."""

    session_id: int | None
    judged: int
    quota: int
    seconds: float
    today: int
    daily_quota: int


def day_of(now: datetime) -> datetime:
    """The beginning of the UTC day."""
    return now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def current(rater: Rater, *, now: datetime) -> Position:
    """Where the rater is now; without a session where none goes on."""
    session = Session.objects.filter(
        rater=rater, ended_at=None, last_at__gt=now - PAUSE, started_at__gte=day_of(now)
    ).first()
    form = Form.objects.filter(project_id=rater.project_id, current=True).only("session_quota", "daily_quota").first()
    daily = Rater.objects.values_list("daily_quota", flat=True).get(pk=rater.pk)
    asked = (form.session_quota, form.daily_quota) if form else (0, 0)
    return Position(
        session_id=session.pk if session else None,
        judged=session.judged if session else 0,
        quota=asked[0],
        seconds=session.seconds if session else 0.0,
        today=today(rater, now=now),
        daily_quota=asked[1] if daily is None else daily,
    )


def today(rater: Rater, *, now: datetime) -> int:
    """Judgements of the UTC day."""
    mine = Session.objects.filter(rater=rater, started_at__gte=day_of(now))
    return mine.aggregate(n=Sum("judged"))["n"] or 0


def count(
    rater_id: int, *, now: datetime, began: datetime, judged: int = 0, skipped: int = 0, seconds: float = 0.0
) -> None:
    """Count a judgement or a skip in the session that goes on, or in a new one that began when its work was leased."""
    with connection.cursor() as cursor:
        told: list[Any] = [rater_id, now, now - PAUSE, day_of(now), began, judged, skipped, seconds]
        cursor.execute("SELECT annotate_count(%s, %s, %s, %s, %s, %s, %s, %s)", told)


def end(rater: Rater, *, now: datetime) -> Session | None:
    """End the session that goes on; None where none does."""
    with transaction.atomic():
        open_ = Session.objects.filter(rater=rater, ended_at=None).select_for_update(no_key=True).first()
        if open_ is None:
            return None
        # One that has lapsed ended with its last sign; a clock that went back ends nothing before it began.
        open_.ended_at = open_.last_at if open_.last_at <= now - PAUSE else max(now, open_.last_at)
        open_.save(update_fields=["ended_at"])
        record("session.ended", open_, by=rater.user, project=rater.project_id, judged=open_.judged)
    return open_

"""Sessions: when one begins, goes on and ends, and what is counted in it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from annotate.models import Rater, Session
from annotate.services import assigning, judging, sessions
from annotate.services.answers import Answer
from tests.build import make_comparison, make_member, make_project
from tiebreak.accounts.models import User
from tiebreak.accounts.roles import Role
from tiebreak.core.models import Event

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def rater() -> Rater:
    project = make_project(session_quota=20, daily_quota=30)
    for _ in range(9):
        make_comparison(project)
    return assigning.rater_for(project, make_member(project, Role.ANNOTATOR))


def user_of(rater: Rater) -> User:
    assert rater.user is not None
    return rater.user


def judge(rater: Rater, now: datetime, *, after: timedelta = MINUTE, seconds: float | None = 30.0) -> None:
    """Take a comparison, and answer it at `now`."""
    assignment = assigning.next_assignment(rater, now=now - after)
    assert assignment is not None
    judging.submit(assignment, Answer(1, seconds=seconds), by=user_of(rater), key=uuid4(), now=now)


def test_a_session_begins_with_the_lease_of_its_first_answer(rater: Rater) -> None:
    assert sessions.current(rater, now=NOW) == (None, 0, 20, 0.0, 0, 30)
    judge(rater, NOW, after=5 * MINUTE)
    session = Session.objects.get()
    assert (session.started_at, session.last_at, session.ended_at) == (NOW - 5 * MINUTE, NOW, None)
    assert sessions.current(rater, now=NOW) == (session.pk, 1, 20, 30.0, 1, 30)


def test_answers_and_skips_count_in_the_session_that_goes_on(rater: Rater) -> None:
    judge(rater, NOW)
    judge(rater, NOW + 29 * MINUTE, seconds=None)
    assignment = assigning.next_assignment(rater, now=NOW + 30 * MINUTE)
    assert assignment is not None
    assigning.skip(assignment, "no", by=user_of(rater), now=NOW + 31 * MINUTE)
    session = Session.objects.get()
    assert (session.judged, session.skipped, session.seconds) == (2, 1, 30.0)


def test_half_an_hour_without_a_sign_ends_it_at_its_last_sign(rater: Rater) -> None:
    judge(rater, NOW)
    assert sessions.current(rater, now=NOW + 30 * MINUTE).session_id is None
    judge(rater, NOW + 40 * MINUTE)
    first, second = Session.objects.order_by("id")
    assert (first.ended_at, second.ended_at, second.judged) == (NOW, None, 1)
    assert sessions.current(rater, now=NOW + 40 * MINUTE).today == 2


def test_the_day_ends_it_too_since_the_quota_of_a_day_is_counted_by_sessions(rater: Rater) -> None:
    late = NOW.replace(hour=23, minute=50)
    judge(rater, late)
    judge(rater, late + 15 * MINUTE, after=12 * MINUTE)  # leased before midnight, answered after
    first, second = Session.objects.order_by("id")
    assert first.ended_at == late
    assert second.started_at == (late + 10 * MINUTE)  # midnight: no session lies in two days
    assert sessions.today(rater, now=late + 15 * MINUTE) == 1
    assert judging.progress(rater, now=late + 15 * MINUTE)[:2] == (1, 2)


def test_ending_a_session_is_told_and_done_once(rater: Rater) -> None:
    judge(rater, NOW)
    ended = sessions.end(rater, now=NOW + 3 * MINUTE)
    assert ended is not None
    assert ended.ended_at == NOW + 3 * MINUTE
    assert Event.objects.get(verb="session.ended").data == {"judged": 1}
    assert sessions.end(rater, now=NOW + 4 * MINUTE) is None


def test_ending_one_that_had_lapsed_ends_it_at_its_last_sign(rater: Rater) -> None:
    judge(rater, NOW)
    ended = sessions.end(rater, now=NOW + timedelta(hours=2))
    assert ended is not None
    assert ended.ended_at == NOW


def test_a_refused_answer_counts_nothing(rater: Rater) -> None:
    assignment = assigning.next_assignment(rater, now=NOW)
    assert assignment is not None
    key = uuid4()
    for _ in range(2):  # the same answer twice is one
        judging.submit(assignment, Answer(1), by=user_of(rater), key=key, now=NOW)
    assert Session.objects.get().judged == 1


def test_a_rater_of_their_own_quota_has_it_beside_the_forms(rater: Rater) -> None:
    Rater.objects.filter(pk=rater.pk).update(daily_quota=5)
    assert sessions.current(rater, now=NOW).daily_quota == 5

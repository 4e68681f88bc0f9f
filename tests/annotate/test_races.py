"""Many annotators at once, on PostgreSQL: threads that start together at a barrier, and processes that are killed."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlencode
from uuid import uuid4

import numpy as np
import pytest
from django.db import connection
from django.db.models import Count, F, Q, Sum
from django.utils import timezone

from annotate.models import Assignment, Comparison, Judgement, Rater, Session
from annotate.services import assigning, judging
from annotate.services.answers import Answer
from tests.build import make_comparison, make_member, make_project
from tiebreak.accounts.roles import Role
from tiebreak.core.errors import DomainError
from tiebreak.core.models import Event

pytestmark = pytest.mark.django_db(transaction=True)

T = TypeVar("T")
ROOT = Path(__file__).parents[2]
ANNOTATORS, OVERLAP, COMPARISONS = 32, 3, 120


def together(jobs: list[Callable[[], T]]) -> list[T]:
    """Run the jobs in as many threads, started at once; re-raises the first error."""
    barrier = threading.Barrier(len(jobs))

    def run(job: Callable[[], T]) -> T:
        try:
            barrier.wait(30)
            return job()
        finally:
            connection.close()

    with ThreadPoolExecutor(len(jobs)) as pool:
        return [done.result() for done in [pool.submit(run, job) for job in jobs]]


def work_until_nothing_is_left(rater: Rater, seed: int) -> int:
    """Claim and answer until there is no work; returns how many were answered."""
    rng = np.random.default_rng(seed)
    assert rater.user is not None
    done = 0
    while assignment := assigning.next_assignment(rater, now=timezone.now()):
        answer = Answer(choice=int(rng.integers(-3, 4)))
        judging.submit(assignment, answer, by=rater.user, key=uuid4(), now=timezone.now())
        done += 1
    return done


def test_32_annotators_fill_every_seat_once() -> None:
    project = make_project(overlap=OVERLAP)
    for _ in range(COMPARISONS):
        make_comparison(project)
    raters = [assigning.rater_for(project, make_member(project, Role.ANNOTATOR)) for _ in range(ANNOTATORS)]

    done = together([lambda r=r, s=s: work_until_nothing_is_left(r, s) for s, r in enumerate(raters)])

    assert sum(done) == COMPARISONS * OVERLAP
    assert set(Assignment.objects.values_list("status", flat=True)) == {"submitted"}
    # No comparison has one too many or too few, by the rows themselves and by the trigger's count.
    assert not Comparison.objects.annotate(n=Count("assignments")).exclude(n=OVERLAP).exists()
    assert not Comparison.objects.exclude(seats_taken=F("overlap")).exists()
    assert not Comparison.objects.annotate(n=Count("judgements")).exclude(n=OVERLAP).exists()
    # None was served twice to one rater.
    pairs = Assignment.objects.values("rater", "comparison").annotate(n=Count("id"))
    assert not pairs.filter(n__gt=1).exists()
    # And no comparison was seen by all three in one order.
    for comparison in Comparison.objects.prefetch_related("assignments"):
        assert {assignment.order for assignment in comparison.assignments.all()} == {"ab", "ba"}


def test_two_tabs_of_one_annotator_get_one_lease() -> None:
    project = make_project()
    for _ in range(10):
        make_comparison(project)
    rater = assigning.rater_for(project, make_member(project, Role.ANNOTATOR))
    now = timezone.now()
    got = together([lambda: assigning.next_assignment(rater, now=now)] * 8)
    assert len({assignment.pk for assignment in got if assignment}) == 1
    assert None not in got
    assert Assignment.objects.count() == 1


def test_the_last_seat_goes_to_one_of_many() -> None:
    project = make_project(overlap=1)
    make_comparison(project)
    raters = [assigning.rater_for(project, make_member(project, Role.ANNOTATOR)) for _ in range(12)]
    now = timezone.now()
    got = together([lambda r=r: assigning.next_assignment(r, now=now) for r in raters])
    assert sum(assignment is not None for assignment in got) == 1
    assert Comparison.objects.get().seats_taken == 1


@pytest.mark.parametrize("reaped", [False, True])
def test_five_submits_with_one_key_are_one_judgement(reaped: bool) -> None:
    project = make_project(overlap=3)
    make_comparison(project)
    user = make_member(project, Role.ANNOTATOR)
    now = timezone.now()
    rater = assigning.rater_for(project, user)
    assignment = assigning.next_assignment(rater, now=now)
    assert assignment is not None
    if reaped:  # the lease was lost with a free seat: taking it up again is once, too
        assert assigning.reap(now + timedelta(days=1)) == 1
    key = uuid4()

    def once() -> int:
        mine = Assignment.objects.select_related("rater__project", "comparison", "form").get(pk=assignment.pk)
        return judging.submit(mine, Answer(choice=1), by=user, key=key, now=timezone.now()).pk

    assert len(set(together([once] * 5))) == 1
    assert Judgement.objects.count() == 1
    assert Comparison.objects.get().seats_taken == 1


def test_a_lease_is_either_answered_or_reaped() -> None:
    project = make_project(overlap=1, lease_seconds=30)
    for _ in range(20):
        make_comparison(project)
    now = timezone.now()
    held = []
    for _ in range(20):
        rater = assigning.rater_for(project, make_member(project, Role.ANNOTATOR))
        assignment = assigning.next_assignment(rater, now=now)
        assert assignment is not None
        held.append(assignment)

    def answer(assignment: Assignment) -> int:
        assert assignment.rater.user is not None
        by = assignment.rater.user
        return judging.submit(assignment, Answer(choice=1), by=by, key=uuid4(), now=timezone.now()).pk

    def reap() -> int:
        return assigning.reap(now + timedelta(hours=1))

    together([*(lambda a=a: answer(a) for a in held), *[reap] * 4])
    # A lease that was reaped first found its seat still free; either way each comparison has one answer and one seat.
    assert Judgement.objects.count() == 20
    assert not Comparison.objects.exclude(seats_taken=1).exists()


@pytest.mark.slow
@pytest.mark.parametrize("seed", [20260504, 7])
def test_a_crowd_of_processes_of_which_some_are_killed_does_all_work_once(tmp_path: Path, seed: int) -> None:
    project = make_project(overlap=OVERLAP, gold_rate=0.1, repeat_rate=0.1)
    for number in range(60):
        make_comparison(project, gold=1 if number % 10 == 0 else None)
    for _ in range(10):
        assigning.rater_for(project, make_member(project, Role.ANNOTATOR))
    log = tmp_path / "acknowledged"

    crowd(project.pk, seed, 8, 50, log)

    work = Comparison.objects.filter(project=project, gold=None)
    seated = Q(assignments__purpose="work", assignments__status="submitted")
    assert work.count() == 54
    assert not work.annotate(n=Count("assignments", filter=seated)).exclude(n=OVERLAP, seats_taken=OVERLAP).exists()
    assert not Assignment.objects.filter(status__in=Assignment.HELD).exists()
    # Nobody answered one reading of a comparison twice, and each answered assignment has its one judgement.
    answers = Assignment.objects.filter(status="submitted")
    readings = answers.values("rater", "comparison", "repeat").annotate(n=Count("id"))
    assert not readings.filter(n__gt=1).exists()
    assert not answers.annotate(n=Count("judgements")).exclude(n=1).exists()
    assert Judgement.objects.count() == answers.count()
    # Nothing that was acknowledged is lost, and a repeated send got the same judgement.
    told = {tuple(line.split()) for line in log.read_text().splitlines()}
    stored = {(str(key), str(pk)) for key, pk in Judgement.objects.values_list("key", "pk")}
    assert told <= stored
    assert len({key for key, _ in told}) == len(told) > 100
    # What was killed in the middle of an answer is there whole or not at all: sessions and events say the same.
    assert Session.objects.aggregate(n=Sum("judged"))["n"] == Judgement.objects.count()
    assert Event.objects.filter(verb="judgement.submitted").count() == Judgement.objects.count()


def crowd(project: int, seed: int, kills: int, seconds: int, log: Path) -> None:
    """Run tests.annotate.crowd on the database of this test."""
    at = connection.settings_dict
    where = {"host": at["HOST"], "port": at["PORT"], "user": at["USER"], "password": at["PASSWORD"]}
    query = urlencode({name: value for name, value in where.items() if value})
    env = {**os.environ, "TIEBREAK_TEST_DATABASE_URL": f"postgresql:///{at['NAME']}?{query}"}
    env |= {"DJANGO_SETTINGS_MODULE": "tests.settings", "PYTHONPATH": "platform:."}
    arguments = [str(value) for value in (project, seed, kills, seconds, log)]
    done = subprocess.run(
        [sys.executable, "-m", "tests.annotate.crowd", *arguments], env=env, cwd=ROOT, capture_output=True, text=True
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr


def test_drafts_and_pauses_of_a_rater_never_wait_for_their_answers_in_a_circle() -> None:
    project = make_project(overlap=3)
    for _ in range(100):
        make_comparison(project)
    raters = [assigning.rater_for(project, make_member(project, Role.ANNOTATOR)) for _ in range(3)]
    done = threading.Event()

    def answering(rater: Rater) -> None:
        assert rater.user is not None
        for _ in range(60):
            with suppress(DomainError):  # given back by the other tab
                if assignment := assigning.next_assignment(rater, now=timezone.now()):
                    assigning.fetch_ahead(rater, now=timezone.now())
                    judging.submit(assignment, Answer(choice=1), by=rater.user, key=uuid4(), now=timezone.now())
        done.set()

    def disturbing(rater: Rater, pauses: bool) -> None:
        assert rater.user is not None
        while not done.wait(0.005):
            held = Assignment.objects.select_related("rater__project", "form").filter(rater=rater, status="leased")
            with suppress(DomainError):
                if pauses:
                    assigning.release_held(rater, now=timezone.now())
                elif assignment := held.first():
                    assigning.save_draft(assignment, {"choice": 1}, by=rater.user, now=timezone.now())

    jobs: list[Callable[[], None]] = [lambda r=r: answering(r) for r in raters]  # type: ignore[misc]
    jobs += [lambda r=r, n=n: disturbing(r, n == 0) for n, r in enumerate(raters)]  # type: ignore[misc]
    jobs += [lambda r=r: disturbing(r, False) for r in raters]  # type: ignore[misc]
    together(jobs)  # a deadlock would be an OperationalError
    assert Assignment.objects.filter(status="submitted").count() >= 60
    assert not Assignment.objects.exclude(status="submitted").filter(judgements__isnull=False).exists()

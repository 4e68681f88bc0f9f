"""Many annotators at once, on PostgreSQL: threads that start together at a barrier."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TypeVar
from uuid import uuid4

import numpy as np
import pytest
from django.db import connection
from django.db.models import Count, F
from django.utils import timezone

from annotate.models import Assignment, Comparison, Judgement, Rater
from annotate.services import assigning, judging
from annotate.services.judging import Answer
from tests.build import make_comparison, make_member, make_project
from tiebreak.accounts.roles import Role

pytestmark = pytest.mark.django_db(transaction=True)

T = TypeVar("T")
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
    while assignment := assigning.next_assignment(rater, now=timezone.now(), rng=rng):
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
    got = together(
        [lambda s=s: assigning.next_assignment(rater, now=now, rng=np.random.default_rng(s)) for s in range(8)]
    )
    assert len({assignment.pk for assignment in got if assignment}) == 1
    assert None not in got
    assert Assignment.objects.count() == 1


def test_the_last_seat_goes_to_one_of_many() -> None:
    project = make_project(overlap=1)
    make_comparison(project)
    raters = [assigning.rater_for(project, make_member(project, Role.ANNOTATOR)) for _ in range(12)]
    now = timezone.now()
    got = together([lambda r=r: assigning.next_assignment(r, now=now, rng=np.random.default_rng(r.pk)) for r in raters])
    assert sum(assignment is not None for assignment in got) == 1
    assert Comparison.objects.get().seats_taken == 1


@pytest.mark.parametrize("reaped", [False, True])
def test_five_submits_with_one_key_are_one_judgement(reaped: bool) -> None:
    project = make_project(overlap=3)
    make_comparison(project)
    user = make_member(project, Role.ANNOTATOR)
    now = timezone.now()
    rater = assigning.rater_for(project, user)
    assignment = assigning.next_assignment(rater, now=now, rng=np.random.default_rng(1))
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
    for seed in range(20):
        rater = assigning.rater_for(project, make_member(project, Role.ANNOTATOR))
        assignment = assigning.next_assignment(rater, now=now, rng=np.random.default_rng(seed))
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

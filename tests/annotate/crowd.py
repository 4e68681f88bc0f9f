"""A crowd of annotators, each a process of the operating system; run by test_races.py.

`python -m tests.annotate.crowd PROJECT SEED KILLS SECONDS LOG` forks one process for each of the project's annotators,
kills some at random moments and lets others come back in their place, moves the clock on so that what the dead held is
reaped, and ends when every comparison is full. Each answer that was acknowledged is a line of LOG: key and assignment.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from datetime import timedelta
from typing import Any, cast
from uuid import UUID

import django

GONE = 0.25  # of those who are killed do not come back


def main(project_id: int, seed: int, kills: int, seconds: float, log: str) -> int:
    """0 where all work was done in time; 1 where it was not, or a process failed by itself."""
    chance = random.Random(seed)
    print(f"seed {seed}")
    from annotate.models import Rater

    raters = list(Rater.objects.filter(project=project_id, user__isnull=False).values_list("pk", flat=True))
    _forget_connections()
    alive = {_fork(rater, seed + n, log): rater for n, rater in enumerate(raters)}
    returns: list[int] = []
    deadline, killed, failed = time.monotonic() + seconds, 0, 0
    while alive and time.monotonic() < deadline:
        time.sleep(chance.uniform(0.05, 0.25))
        if killed < kills and len(alive) > len(raters) // 2:
            victim = chance.choice(sorted(alive))
            os.kill(victim, signal.SIGKILL)
            killed += 1
            if chance.random() > GONE:
                returns.append(alive[victim])
        failed += _bury(alive)
        if chance.random() < 0.3:
            _reap()
        while returns:
            seed += 1000
            back = returns.pop()
            alive[_fork(back, seed, log)] = back
    late = len(alive)
    for pid in alive:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    print(f"killed {killed}, failed {failed}, late {late}")
    return int(bool(failed or late or killed < kills))


def _bury(alive: dict[int, int]) -> int:
    """Forget the processes that have ended; how many ended with an error of their own."""
    failed = 0
    for pid in list(alive):
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            del alive[pid]
            failed += os.WIFEXITED(status) and os.WEXITSTATUS(status) != 0
    return failed


def _reap() -> None:
    """As if an hour had passed: the dead's leases lapse, and those of the living with them."""
    from django.utils import timezone

    from annotate.services import assigning

    assigning.reap(timezone.now() + timedelta(hours=1))
    _forget_connections()


def _forget_connections() -> None:
    from django.db import connection

    connection.close()
    cast(Any, connection).close_pool()


def _fork(rater: int, seed: int, log: str) -> int:
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        _annotate(rater, random.Random(seed), log)
        status = 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        os._exit(status)


def _annotate(rater_id: int, chance: random.Random, log: str) -> None:
    """Take, draft, skip and answer until every comparison of the project is full."""
    from django.utils import timezone

    from annotate.models import Comparison, Rater
    from annotate.services import assigning
    from tiebreak.core.errors import Conflict

    rater = Rater.objects.select_related("project", "user").get(pk=rater_id)
    assert rater.user is not None
    acknowledged = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    waiting = Comparison.objects.filter(project=rater.project, gold=None, full=False)
    held = Comparison.objects.filter(project=rater.project, assignments__status__in=("leased", "ahead"))
    while waiting.exists() or held.exists():
        assignment = assigning.next_assignment(rater, now=timezone.now())
        if assignment is None:
            time.sleep(0.05)
            continue
        try:
            if chance.random() < 0.7:
                assigning.fetch_ahead(rater, now=timezone.now())
            if chance.random() < 0.3:
                assigning.save_draft(assignment, {"choice": 1}, by=rater.user, now=timezone.now())
            if chance.random() < 0.05:
                assigning.skip(assignment, "not mine", by=rater.user, now=timezone.now())
            else:
                _answer(assignment, rater.user, chance, acknowledged)
        except Conflict:  # reaped under their hands, and the seat is taken: on to the next
            continue


def _answer(assignment: object, user: object, chance: random.Random, acknowledged: int) -> None:
    """Answer, and once in a while send the same answer again, as a page does whose connection broke."""
    from django.utils import timezone

    from annotate.services import judging
    from annotate.services.answers import Answer

    key = UUID(int=chance.getrandbits(128), version=4)
    for _ in range(1 + (chance.random() < 0.2)):
        answer = Answer(choice=chance.randint(-3, 3), seconds=5.0)
        done = judging.submit(assignment, answer, by=user, key=key, now=timezone.now())  # type: ignore[arg-type]
        os.write(acknowledged, f"{key} {done.pk}\n".encode())


if __name__ == "__main__":
    django.setup()
    project, seed, kills, seconds, log = sys.argv[1:]
    sys.exit(main(int(project), int(seed), int(kills), float(seconds), log))

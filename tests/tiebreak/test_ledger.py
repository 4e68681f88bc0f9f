"""The ledger of runs: claims have one winner, a lost lease writes nothing, what a dead worker held comes back."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection, transaction
from django.utils import timezone

from tests.build import make_project, make_user
from tiebreak.core.errors import BackendError, Conflict, Invalid
from tiebreak.core.models import Event
from tiebreak.runs import kinds, ledger
from tiebreak.runs.ledger import Execution, LeaseLost
from tiebreak.runs.models import Run

pytestmark = pytest.mark.django_db


def finishes(execution: Execution) -> Mapping[str, Any]:
    execution.progress(3, 3, note="counting")
    return {"counted": 3}


def breaks(execution: Execution) -> Mapping[str, Any]:
    raise ValueError("row 7: expected a number, got 'x'")


def cannot_reach(execution: Execution) -> Mapping[str, Any]:
    raise BackendError("the judge does not answer", permanent=False)


@pytest.fixture
def kind(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Register a handler of this module as a kind."""

    def register(handler: Any) -> str:
        table = dict(kinds.KINDS) | {"probe": kinds.Kind("Probe", "default", f"{__name__}.{handler.__name__}")}
        monkeypatch.setattr(kinds, "KINDS", table)
        monkeypatch.setattr(kinds, "handler_of", lambda name: handler)
        monkeypatch.setattr(ledger, "handler_of", lambda name: handler)
        return "probe"

    return register


def test_a_run_done_here_stores_its_result_progress_and_events(kind: Any) -> None:
    run = ledger.run_here(kind(finishes), project=make_project())
    assert (run.status, run.result, run.done, run.total, run.attempt) == ("succeeded", {"counted": 3}, 3, 3, 1)
    assert run.lease_expires_at is None
    assert run.finished_at is not None
    verbs = list(Event.objects.filter(target_id=str(run.pk)).order_by("id").values_list("verb", flat=True))
    assert verbs == ["run.queued", "run.succeeded"]


def test_a_run_that_breaks_says_why_and_is_not_tried_again(kind: Any) -> None:
    with pytest.raises(ValueError, match="row 7"):
        ledger.run_here(kind(breaks))
    run = Run.objects.get()
    assert (run.status, run.error["type"]) == ("failed", "ValueError")
    assert "row 7" in run.error["message"]


def test_a_transient_failure_of_the_outside_world_goes_back_to_the_queue_with_a_wait(kind: Any) -> None:
    with pytest.raises(BackendError):
        ledger.run_here(kind(cannot_reach))
    run = Run.objects.get()
    assert run.status == "queued"
    assert run.not_before > timezone.now()
    assert run.error["message"] == "the judge does not answer"


def test_an_unknown_kind_is_refused_with_the_known_ones() -> None:
    with pytest.raises(Invalid, match="aggregate"):
        ledger.start("no-such-thing")


def test_a_run_is_claimed_once(kind: Any) -> None:
    run = ledger.start(kind(finishes), wake=False)
    assert ledger.claim(run.pk) is not None
    assert ledger.claim(run.pk) is None


def test_a_worker_that_lost_its_lease_can_write_nothing(kind: Any) -> None:
    run = ledger.start(kind(finishes), wake=False)
    slow = ledger.claim(run.pk)
    assert slow is not None
    later = timezone.now() + timedelta(hours=1)
    assert ledger.reap(later)["returned"] == 1
    quick = ledger.claim(run.pk)
    assert quick is not None
    assert quick.run.attempt == 2
    with pytest.raises(LeaseLost):
        slow.progress(1, 3)
    with pytest.raises(LeaseLost), transaction.atomic():
        slow.fence()
    slow._end(Run.Status.SUCCEEDED, result={"by": "the slow one"})
    run.refresh_from_db()
    assert (run.status, run.result) == ("running", {})


def test_the_reaper_gives_up_on_a_run_that_kills_its_workers(kind: Any) -> None:
    run = ledger.start(kind(finishes), wake=False)
    later = timezone.now()
    for _ in range(run.max_attempts):
        assert ledger.claim(run.pk) is not None
        later += timedelta(hours=1)
        ledger.reap(later)
    run.refresh_from_db()
    assert (run.status, run.error["type"]) == ("failed", "WorkerLost")


def test_the_reaper_leaves_a_live_run_alone(kind: Any) -> None:
    run = ledger.start(kind(finishes), wake=False)
    assert ledger.claim(run.pk) is not None
    assert ledger.reap()["returned"] == 0


def test_the_reaper_wakes_workers_ever_more_rarely(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run = ledger.start(kind(finishes), wake=False)
    sent: list[int] = []

    def send(run: Run) -> bool:
        sent.append(run.pk)
        Run.objects.filter(pk=run.pk).update(woken_at=clock, wakes=run.wakes + 1)
        return True

    monkeypatch.setattr(ledger, "send", send)
    clock = timezone.now()
    for _ in range(40):  # ten minutes of reaping every 15 s: after 0, 30, 90, 210, 450 s
        ledger.reap(clock)
        clock += timedelta(seconds=15)
    assert len(sent) == 5
    assert set(sent) == {run.pk}


def test_a_queued_run_is_cancelled_at_once_and_an_ended_one_not_at_all(kind: Any) -> None:
    user = make_user()
    run = ledger.cancel(ledger.start(kind(finishes), wake=False), by=user)
    assert run.status == "cancelled"
    with pytest.raises(Conflict):
        ledger.cancel(run, by=user)


def test_a_running_run_is_cancelled_at_its_next_check(kind: Any) -> None:
    run = ledger.start(kind(finishes), wake=False)
    execution = ledger.claim(run.pk)
    assert execution is not None
    ledger.cancel(run, by=make_user())
    assert execution.execute().status == "cancelled"


def test_a_failed_run_can_be_queued_again(kind: Any) -> None:
    with pytest.raises(ValueError):
        ledger.run_here(kind(breaks))
    run = ledger.retry(Run.objects.get(), by=make_user())
    assert (run.status, run.finished_at) == ("queued", None)


def test_a_run_that_died_while_it_was_being_cancelled_runs_when_it_is_tried_again(kind: Any) -> None:
    user = make_user()
    run = ledger.start(kind(finishes), wake=False)
    Run.objects.filter(pk=run.pk).update(max_attempts=1)
    assert ledger.claim(run.pk) is not None
    ledger.cancel(run, by=user)
    assert ledger.reap(timezone.now() + timedelta(hours=1))["failed"] == 1  # its worker is dead
    ledger.retry(run, by=user)
    done = ledger.execute(run.pk)
    assert done is not None
    assert done.status == "succeeded"


@pytest.mark.django_db(transaction=True)
def test_of_many_workers_one_wins_the_claim(kind: Any) -> None:
    run = ledger.start(kind(finishes), wake=False)
    barrier, won = threading.Barrier(12), []

    def race() -> None:
        try:
            barrier.wait()
            if ledger.claim(run.pk) is not None:
                won.append(1)
        finally:
            connection.close()

    threads = [threading.Thread(target=race) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1


def test_events_cannot_be_changed_or_deleted() -> None:
    from django.db import DatabaseError

    ledger.start("aggregate", wake=False)
    for attempt in (lambda: Event.objects.update(verb="x"), lambda: Event.objects.all().delete()):
        with pytest.raises(DatabaseError, match="immutable"), transaction.atomic():
            attempt()


def deadlocks(execution: Execution) -> Mapping[str, Any]:
    raise OperationalError("deadlock detected")


def test_a_deadlock_is_no_failure_the_run_is_tried_again(kind: Any) -> None:
    with pytest.raises(OperationalError):
        ledger.run_here(kind(deadlocks))
    assert Run.objects.get().status == "queued"

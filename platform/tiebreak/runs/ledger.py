"""The ledger of runs: start, claim, keep alive, finish, reap.

The row is the truth. A worker claims it by one conditional UPDATE that counts `attempt` up; every later write of
that worker is pinned to this number, so that one which lost its lease can change nothing any more. Losing every
message of the broker loses no run: the reaper sends due ones again, ever more rarely.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from django.db import OperationalError, connection, transaction
from django.db.models import F, Q
from django.utils import timezone
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from tiebreak.core.errors import BackendError, Conflict, DomainError, Invalid
from tiebreak.core.models import record

from .kinds import handler_of, kind_of, stopped
from .models import Artifact, Run, RunArtifact

log = logging.getLogger("tiebreak.runs")
WAKE_SECONDS: Final = 15
WAKE_MOST: Final = 600


class LeaseLost(Exception):
    """Another worker holds this run now, or the reaper took it back: stop, write nothing."""


class Cancelled(Exception):
    """A person asked for the run to stop; what is stored stays."""


def start(
    kind: str,
    *,
    project: Any = None,
    params: Mapping[str, Any] | None = None,
    by: Any = None,
    seed: int = 0,
    wake: bool = True,
) -> Run:
    """A new queued run. After the commit a worker is woken, unless the caller means to `execute` it here."""
    try:
        queue = kind_of(kind).queue
    except ValueError as error:
        raise Invalid(str(error), field="kind") from None
    with transaction.atomic():
        run = Run.objects.create(
            kind=kind,
            queue=queue,
            project=project,
            params=dict(params or {}),
            seed=seed,
            created_by=by if getattr(by, "pk", None) else None,
        )
        record("run.queued", run, by=by, project=project, kind=kind)
        if wake:
            transaction.on_commit(lambda: send(run))
    run.refresh_from_db()
    return run


def send(run: Run) -> bool:
    """Publish the wake-up message. A broker that does not answer loses nothing: the reaper tries again."""
    from .tasks import execute_run

    Run.objects.filter(pk=run.pk).update(woken_at=timezone.now(), wakes=F("wakes") + 1)
    try:
        execute_run.apply_async(args=(run.pk,), queue=run.queue)
    except (KombuError, RedisError, OSError) as error:
        log.warning("run %s waits: the broker did not take its message (%s)", run.pk, error)
        return False
    return True


def claim(run_id: int, *, worker: str = "") -> Execution | None:
    """Take the lease, or None where the run is not queued (any more): being woken twice is normal."""
    now = timezone.now()
    run = Run.objects.filter(pk=run_id, status=Run.Status.QUEUED, not_before__lte=now).first()
    if run is None:
        return None
    lease = kind_of(run.kind).lease_seconds
    won = Run.objects.filter(pk=run_id, status=Run.Status.QUEUED, attempt=run.attempt).update(
        status=Run.Status.RUNNING,
        attempt=F("attempt") + 1,
        worker=worker or f"{socket.gethostname()}:{os.getpid()}",
        lease_expires_at=now + timedelta(seconds=lease),
        heartbeat_at=now,
        started_at=now,
        error=None,
    )
    if not won:
        return None
    run.refresh_from_db()
    return Execution(run, lease)


class Execution:
    """A claimed run in the hands of its worker: what a handler reports to, and what tells it to stop."""

    def __init__(self, run: Run, lease_seconds: int) -> None:
        self.run = run
        self.lease_seconds = lease_seconds
        self.say: Callable[[str], None] = lambda text: None
        self._stop = threading.Event()
        self._lost = threading.Event()

    @property
    def params(self) -> dict[str, Any]:
        params: dict[str, Any] = self.run.params
        return params

    def _mine(self) -> Any:
        return Run.objects.filter(pk=self.run.pk, status=Run.Status.RUNNING, attempt=self.run.attempt)

    def beat(self) -> None:
        """Renew the lease; raises LeaseLost or Cancelled."""
        now = timezone.now()
        alive = self._mine().update(heartbeat_at=now, lease_expires_at=now + timedelta(seconds=self.lease_seconds))
        if not alive:
            self._lost.set()
        self.check()

    def check(self) -> None:
        """Cheap enough for every batch: raises LeaseLost or Cancelled."""
        if self._lost.is_set():
            raise LeaseLost(f"run {self.run.pk}, attempt {self.run.attempt}")
        if self._mine().filter(cancel_requested_at__isnull=False).exists():
            raise Cancelled(f"run {self.run.pk}")

    def progress(self, done: int, total: int | None = None, *, note: str = "", cost: Decimal | None = None) -> None:
        """Say how far it is, absolutely: a resumed run counts what its predecessors finished. Renews the lease."""
        changes: dict[str, Any] = {"done": done}
        if total is not None:
            changes["total"] = total
        if note:
            changes["note"] = note[:200]
        if cost is not None:
            changes["cost"] = cost
        now = timezone.now()
        lease = now + timedelta(seconds=self.lease_seconds)
        if not self._mine().update(heartbeat_at=now, lease_expires_at=lease, **changes):
            self._lost.set()
        for field, value in changes.items():
            setattr(self.run, field, value)
        self.say(f"{note or self.run.kind}: {done}{f' of {total}' if total else ''}")
        self.check()

    def fence(self) -> None:
        """Inside a transaction: hold the run's row until commit, so that results land only under a live lease."""
        if not self._mine().select_for_update().exists():
            self._lost.set()
            raise LeaseLost(f"run {self.run.pk}, attempt {self.run.attempt}")

    def keep(self, artifact: Artifact, name: str) -> None:
        """Attach a stored file to the run under a name."""
        RunArtifact.objects.update_or_create(run=self.run, name=name, defaults={"artifact": artifact})

    def _keep_alive(self) -> None:
        """Renew the lease from a thread of its own, so that a long step in C does not look like a dead worker."""
        try:
            while not self._stop.wait(self.lease_seconds / 3):
                now = timezone.now()
                lease = now + timedelta(seconds=self.lease_seconds)
                if not self._mine().update(heartbeat_at=now, lease_expires_at=lease):
                    self._lost.set()
                    return
        finally:
            connection.close()

    def execute(self) -> Run:
        """Run the handler and store its end. The one place that catches everything: records it, and re-raises."""
        thread = threading.Thread(target=self._keep_alive, daemon=True, name=f"lease of run {self.run.pk}")
        if not connection.in_atomic_block:  # nobody else sees, or can take, a run that is not committed yet
            thread.start()
        try:
            result = handler_of(self.run.kind)(self)
            self._end(Run.Status.SUCCEEDED, result=dict(result))
        except LeaseLost:
            log.warning("run %s: the lease was lost; another worker has it", self.run.pk)
        except Cancelled:
            self._end(Run.Status.CANCELLED)
        except Exception as error:
            self._fail(error)
            raise
        finally:
            self._stop.set()
            if thread.is_alive():
                thread.join(timeout=5)
        self.run.refresh_from_db()
        return self.run

    def _end(self, status: Run.Status, **changes: Any) -> None:
        with transaction.atomic():
            if self._mine().update(
                status=status, finished_at=timezone.now(), lease_expires_at=None, note="", **changes
            ):
                record(f"run.{status}", self.run, project=self.run.project_id, attempt=self.run.attempt)
                if status != Run.Status.SUCCEEDED:
                    stopped(self.run)

    def _fail(self, error: Exception) -> None:
        """Transient errors of the outside world and of the database (deadlock, lost connection) go back to the queue;
        the rest ends the run with its reason."""
        told = {"type": type(error).__name__, "message": str(error)[:2000]}
        if isinstance(error, DomainError):
            told |= {"code": error.code, **{k: str(v)[:500] for k, v in error.params.items()}}
        transient = isinstance(error, OperationalError) or (isinstance(error, BackendError) and not error.permanent)
        if transient and self.run.attempt < self.run.max_attempts:
            wait = timezone.now() + timedelta(seconds=min(WAKE_MOST, WAKE_SECONDS * 2**self.run.attempt))
            self._mine().update(status=Run.Status.QUEUED, lease_expires_at=None, not_before=wait, error=told)
        else:
            self._end(Run.Status.FAILED, error=told)


def execute(run_id: int, *, say: Callable[[str], None] | None = None) -> Run | None:
    """Claim and run to the end in this process; None where somebody else has it."""
    execution = claim(run_id)
    if execution is None:
        return None
    if say is not None:
        execution.say = say
    return execution.execute()


def run_here(
    kind: str,
    *,
    project: Any = None,
    params: Mapping[str, Any] | None = None,
    by: Any = None,
    seed: int = 0,
    say: Callable[[str], None] | None = None,
) -> Run:
    """Start and execute at once: what a command does. The ledger, the lease and the events are the same."""
    run = start(kind, project=project, params=params, by=by, seed=seed, wake=False)
    done = execute(run.pk, say=say)
    if done is None:
        raise Conflict(f"Run {run.pk} was taken by another worker.", code="run_taken")
    return done


def reap(now: datetime | None = None) -> dict[str, int]:
    """Return to the queue what a dead worker held, and wake workers for what waits. Safe anywhere, at any time."""
    now = now or timezone.now()
    returned = failed = 0
    for run in Run.objects.lapsed(now):
        out = run.attempt >= run.max_attempts
        error = {
            "type": "WorkerLost",
            "message": f"{run.worker} was not heard of since {run.heartbeat_at:%H:%M:%S} UTC",
        }
        changes: dict[str, Any] = (
            {"status": Run.Status.FAILED, "finished_at": now}
            if out
            else {"status": Run.Status.QUEUED, "wakes": 0, "woken_at": None}
        )
        held = Run.objects.filter(pk=run.pk, status=Run.Status.RUNNING, attempt=run.attempt, lease_expires_at__lt=now)
        with transaction.atomic():
            if not held.update(lease_expires_at=None, error=error, **changes):
                continue
            record("run.reaped", run, project=run.project_id, worker=run.worker, attempt=run.attempt)
            if out:
                stopped(run)
        returned, failed = returned + (not out), failed + out
    woken = 0
    for run in Run.objects.due(now).filter(Q(woken_at=None) | Q(woken_at__lt=now - timedelta(seconds=WAKE_SECONDS))):
        quiet = timedelta(seconds=min(WAKE_MOST, WAKE_SECONDS * 2 ** min(run.wakes, 10)))
        if run.woken_at is None or run.woken_at + quiet <= now:
            woken += send(run)
    return {"returned": returned, "failed": failed, "woken": woken}


def cancel(run: Run, *, by: Any) -> Run:
    """Ask a run to stop: at once where it is queued, at its next check where it runs."""
    with transaction.atomic():
        now = timezone.now()
        if Run.objects.filter(pk=run.pk, status=Run.Status.QUEUED).update(
            status=Run.Status.CANCELLED, finished_at=now, cancel_requested_at=now
        ):
            record("run.cancelled", run, by=by, project=run.project_id)
            stopped(run)
        elif Run.objects.filter(pk=run.pk, status=Run.Status.RUNNING).update(cancel_requested_at=now):
            record("run.cancel_requested", run, by=by, project=run.project_id)
        else:
            raise Conflict(f"Run {run.pk} has already ended.", code="run_ended")
    run.refresh_from_db()
    return run


def retry(run: Run, *, by: Any) -> Run:
    """Queue a failed run again; its handler goes on from what is stored."""
    with transaction.atomic():
        if not Run.objects.filter(pk=run.pk, status=Run.Status.FAILED).update(
            status=Run.Status.QUEUED,
            finished_at=None,
            not_before=timezone.now(),
            max_attempts=F("attempt") + 5,
            cancel_requested_at=None,
        ):
            raise Conflict(f"Run {run.pk} has not failed.", code="run_not_failed")
        record("run.retried", run, by=by, project=run.project_id)
        transaction.on_commit(lambda: send(run))
    run.refresh_from_db()
    return run

"""Celery's two doors to the ledger. A task carries an id and calls one service."""

from __future__ import annotations

from celery import shared_task

from . import ledger


@shared_task(name="runs.execute")
def execute_run(run_id: int) -> None:
    ledger.execute(run_id)


@shared_task(name="runs.reap")
def reap_runs() -> dict[str, int]:
    return ledger.reap()

"""Celery's two doors to the ledger. A task carries an id and calls one service."""

from __future__ import annotations

from celery import shared_task
from django.core.cache import cache
from django.utils import timezone

from . import health, ledger, store


@shared_task(name="runs.execute")
def execute_run(run_id: int) -> None:
    ledger.execute(run_id)


@shared_task(name="runs.reap")
def reap_runs() -> dict[str, int]:
    cache.set(health.WORKER_KEY, timezone.now(), 3600)
    store.sweep(timezone.now().timestamp())
    return ledger.reap()

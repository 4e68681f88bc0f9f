"""Celery's doors to annotate's services."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from .services import assigning


@shared_task(name="annotate.reap")
def reap_assignments() -> dict[str, int]:
    """Give back the seats of leases that have lapsed; every few seconds, from beat."""
    return {"expired": assigning.reap(timezone.now())}

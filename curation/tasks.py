"""Celery's doors to curation's services."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from .services import live, rerouting


@shared_task(name="curation.follow")
def follow() -> dict[str, int]:
    """Bring consensus up to date with what was said and decided since; every other second, from beat."""
    return live.follow(timezone.now())


@shared_task(name="curation.reroute")
def reroute() -> dict[str, int]:
    """Route again the projects that route by themselves and have news; every few seconds, from beat."""
    return {"started": rerouting.reroute(timezone.now())}

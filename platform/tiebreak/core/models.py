"""Audit events: who did what to which row, written in the transaction that did it, never changed afterwards."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models.functions import Now


class Event(models.Model):
    """One audited fact. Append-only: a trigger in the database refuses UPDATE and DELETE (migration 0002)."""

    verb = models.CharField(max_length=64, help_text="namespaced past participle, such as judgement.submitted")
    project = models.ForeignKey(
        "accounts.Project", null=True, on_delete=models.DO_NOTHING, db_constraint=False, related_name="events"
    )
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+"
    )
    target_type = models.CharField(max_length=64)
    target_id = models.CharField(max_length=64)
    data = models.JSONField(default=dict)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["target_type", "target_id", "id"], name="event_target"),
            models.Index(fields=["project", "id"], name="event_project"),
        ]

    def __str__(self) -> str:
        return f"{self.verb} {self.target_type} {self.target_id}"


def record(
    verb: str,
    target: models.Model,
    *,
    by: Any = None,
    project: Any = None,
    **data: Any,
) -> Event:
    """Write one audit event; call it inside the transaction that makes it true.

    `by` is a User or None (the system itself); `project` a Project or its id; `data` must be JSON.
    """
    return Event.objects.create(
        verb=verb,
        target_type=target._meta.label_lower,
        target_id=str(target.pk),
        actor_id=getattr(by, "pk", None),
        project_id=getattr(project, "pk", project),
        data=data,
    )

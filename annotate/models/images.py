"""Images of prompts and completions: fetched or uploaded once, re-encoded, and served from our own storage."""

from __future__ import annotations

from typing import Final

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now


class Image(models.Model):
    """What a text names in Markdown, `![words](source)`, is shown once this row is ready; nothing else ever is."""

    class Status(models.TextChoices):
        WAITING = "waiting", "named in a text, not fetched yet"
        READY = "ready", "re-encoded and kept"
        FAILED = "failed", "could not be had; the reason says why"

    TRANSITIONS: Final = {
        Status.WAITING: frozenset({Status.READY, Status.FAILED}),
        Status.READY: frozenset(),
        Status.FAILED: frozenset({Status.WAITING}),
    }

    project = models.ForeignKey("accounts.Project", on_delete=models.CASCADE, related_name="images")
    source = models.CharField(max_length=2000, help_text="the URL in the text, or upload:<sha256 of what was uploaded>")
    status = models.CharField(max_length=8, choices=Status.choices, default=Status.WAITING)
    artifact = models.ForeignKey("runs.Artifact", null=True, on_delete=models.PROTECT, related_name="+")
    media_type = models.CharField(max_length=40, blank=True, default="")
    width = models.PositiveIntegerField(null=True)
    height = models.PositiveIntegerField(null=True)
    error = models.CharField(max_length=300, blank=True, default="")
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "source"], name="image_source"),
            models.CheckConstraint(condition=Q(status__in=["waiting", "ready", "failed"]), name="image_status_known"),
            models.CheckConstraint(
                condition=Q(status="ready", artifact__isnull=False, width__isnull=False, height__isnull=False)
                | (~Q(status="ready") & Q(artifact=None)),
                name="image_ready_is_kept",
            ),
        ]

    def __str__(self) -> str:
        return self.source

"""Run: one background execution that outlives its worker. Artifact: a file named by what is in it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now


class RunQuerySet(models.QuerySet["Run"]):
    def visible_to(self, user: Any) -> Self:
        """Runs of the projects that the user reads, and their own runs outside any project."""
        from tiebreak.accounts.models import Project
        from tiebreak.accounts.roles import Can

        # Who has left a project sees no more of it, their own runs there included.
        readable = Project.objects.where(user, Can.READ)
        return self.filter(Q(project__in=readable) | Q(project=None, created_by_id=user.pk))

    def lapsed(self, now: datetime) -> Self:
        """Running, but its worker has not been heard of since the lease ran out."""
        return self.filter(status=Run.Status.RUNNING, lease_expires_at__lt=now)

    def due(self, now: datetime) -> Self:
        """Queued, and its wait is over."""
        return self.filter(status=Run.Status.QUEUED, not_before__lte=now)


class Run(models.Model):
    """A row is the truth about a piece of background work; the broker only wakes a worker to look at it."""

    class Status(models.TextChoices):
        QUEUED = "queued", "waits for a worker"
        RUNNING = "running", "a worker holds its lease"
        SUCCEEDED = "succeeded", "done; the result is stored"
        FAILED = "failed", "stopped with an error that trying again would not mend, or tried too often"
        CANCELLED = "cancelled", "stopped because a person said so; what was finished is kept"

    TRANSITIONS: Final = {
        Status.QUEUED: frozenset({Status.RUNNING, Status.CANCELLED}),
        Status.RUNNING: frozenset({Status.SUCCEEDED, Status.FAILED, Status.QUEUED, Status.CANCELLED}),
        Status.SUCCEEDED: frozenset(),
        Status.FAILED: frozenset({Status.QUEUED}),
        Status.CANCELLED: frozenset(),
    }

    kind = models.CharField(max_length=64, help_text="a name in tiebreak.runs.kinds")
    project = models.ForeignKey("accounts.Project", null=True, on_delete=models.CASCADE, related_name="runs")
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.QUEUED)
    queue = models.CharField(max_length=16)
    params = models.JSONField(default=dict)
    seed = models.BigIntegerField(default=0)

    # The lease. `attempt` is the fencing number: a worker that lost its lease writes with an old one, and is refused.
    attempt = models.PositiveIntegerField(default=0)
    max_attempts = models.PositiveSmallIntegerField(default=5)
    worker = models.CharField(max_length=200, blank=True, default="")
    lease_expires_at = models.DateTimeField(null=True)
    heartbeat_at = models.DateTimeField(null=True)
    not_before = models.DateTimeField(db_default=Now())
    woken_at = models.DateTimeField(null=True, help_text="when a message was last sent; re-sends back off")
    wakes = models.PositiveIntegerField(default=0)
    cancel_requested_at = models.DateTimeField(null=True)

    done = models.BigIntegerField(default=0)
    total = models.BigIntegerField(null=True)
    note = models.CharField(max_length=200, blank=True, default="", help_text="what it is doing now")
    cost = models.DecimalField(max_digits=14, decimal_places=6, default=0)
    result = models.JSONField(default=dict)
    error = models.JSONField(null=True)

    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(db_default=Now())
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    objects = RunQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(status__in=["queued", "running", "succeeded", "failed", "cancelled"]),
                name="run_status_known",
            ),
            # A running run has a lease, so that the reaper can always tell a slow worker from a dead one.
            models.CheckConstraint(
                condition=~Q(status="running") | Q(lease_expires_at__isnull=False), name="run_running_has_lease"
            ),
            models.CheckConstraint(
                condition=Q(status__in=["queued", "running"]) | Q(finished_at__isnull=False), name="run_ended_has_time"
            ),
        ]
        indexes = [
            models.Index(fields=["not_before"], name="run_due", condition=Q(status="queued")),
            models.Index(fields=["lease_expires_at"], name="run_lapsed", condition=Q(status="running")),
            models.Index(fields=["project", "-id"], name="run_project"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} #{self.pk}"

    @property
    def ended(self) -> bool:
        return not self.TRANSITIONS[self.Status(self.status)] or self.status == self.Status.FAILED

    def fraction(self) -> float | None:
        """Share done, between 0 and 1; None while the total is not known."""
        return min(1.0, self.done / self.total) if self.total else None


class Artifact(models.Model):
    """A file in the store, named by the SHA-256 of its bytes: the same bytes are the same artifact."""

    sha256 = models.CharField(max_length=64, primary_key=True)
    size = models.BigIntegerField()
    media_type = models.CharField(max_length=100)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(size__gte=0), name="artifact_size")]

    def __str__(self) -> str:
        return self.sha256[:12]


class RunArtifact(models.Model):
    """A file that a run left behind, by the name that the run gave it."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="artifacts")
    artifact = models.ForeignKey(Artifact, on_delete=models.PROTECT, related_name="+")
    name = models.CharField(max_length=200)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "name"], name="run_artifact_once")]

    def __str__(self) -> str:
        return self.name

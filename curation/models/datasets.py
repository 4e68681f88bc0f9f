"""Datasets and their versions: immutable rows, named by hash, with an answer for every row that is not in."""

from __future__ import annotations

from typing import Any, Final, Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from tiebreak.accounts.models import slug_validator


class Dataset(models.Model):
    project = models.ForeignKey("accounts.Project", on_delete=models.CASCADE, related_name="datasets")
    name = models.CharField(max_length=64, unique=True, validators=[slug_validator])
    description = models.TextField(blank=True, default="")
    licence = models.CharField(max_length=64, blank=True, default="")
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class DatasetVersionQuerySet(models.QuerySet["DatasetVersion"]):
    def visible_to(self, user: Any) -> Self:
        from tiebreak.accounts.models import Project
        from tiebreak.accounts.roles import Can

        return self.filter(dataset__project__in=Project.objects.where(user, Can.READ))


class DatasetVersion(models.Model):
    """A recipe applied to the judgements of one moment. Once ready, a trigger refuses any change (migration 0002)."""

    class Status(models.TextChoices):
        BUILDING = "building", "rows are being written; nobody can read it yet"
        READY = "ready", "complete and immutable"
        FAILED = "failed", "the build stopped; the reason is in its run"

    TRANSITIONS: Final = {
        Status.BUILDING: frozenset({Status.READY, Status.FAILED}),
        Status.READY: frozenset(),
        Status.FAILED: frozenset({Status.BUILDING}),
    }

    dataset = models.ForeignKey(Dataset, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.BUILDING)
    recipe = models.JSONField()
    recipe_sha256 = models.CharField(max_length=64)
    rows_sha256 = models.CharField(max_length=64, blank=True, default="")
    counts = models.JSONField(default=dict, help_text="{split: rows}")
    dropped = models.JSONField(default=dict, help_text="{rule: rows}")
    statistics = models.JSONField(default=dict)
    card = models.TextField(blank=True, default="")
    code_version = models.CharField(max_length=64, blank=True, default="")
    aggregation = models.ForeignKey("curation.Aggregation", null=True, on_delete=models.SET_NULL, related_name="+")
    run = models.ForeignKey("runs.Run", null=True, on_delete=models.SET_NULL, related_name="+")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(db_default=Now())

    objects = DatasetVersionQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["dataset", "number"], name="version_number"),
            models.CheckConstraint(
                condition=Q(status__in=["building", "ready", "failed"]), name="version_status_known"
            ),
            models.CheckConstraint(condition=~Q(status="ready") | ~Q(rows_sha256=""), name="version_ready_has_hash"),
        ]

    def __str__(self) -> str:
        return f"{self.dataset.name}@{self.number}"


class DatasetRow(models.Model):
    """One row of a version, as training reads it."""

    version = models.ForeignKey(DatasetVersion, on_delete=models.PROTECT, related_name="rows")
    position = models.PositiveIntegerField()
    comparison = models.ForeignKey("annotate.Comparison", null=True, on_delete=models.SET_NULL, related_name="rows")
    split = models.CharField(max_length=16)
    row = models.JSONField()
    sha256 = models.CharField(max_length=64)

    class Meta:
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(fields=["version", "position"], name="row_position"),
            models.UniqueConstraint(fields=["version", "comparison"], name="row_comparison_once"),
        ]
        indexes = [models.Index(fields=["version", "split", "position"], name="row_split")]

    def __str__(self) -> str:
        return f"{self.version_id}#{self.position}"


class DroppedRow(models.Model):
    """A comparison that a version leaves out, by which rule, and because of what."""

    version = models.ForeignKey(DatasetVersion, on_delete=models.PROTECT, related_name="dropped_rows")
    comparison = models.ForeignKey("annotate.Comparison", on_delete=models.CASCADE, related_name="dropped_rows")
    rule = models.CharField(max_length=64)
    cause = models.CharField(max_length=300)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["version", "comparison"], name="dropped_once")]
        indexes = [models.Index(fields=["version", "rule"], name="dropped_rule")]

    def __str__(self) -> str:
        return f"{self.rule}: {self.cause}"


class VersionFile(models.Model):
    """A file of a version, such as train.parquet, in the content-addressed store."""

    version = models.ForeignKey(DatasetVersion, on_delete=models.PROTECT, related_name="files")
    name = models.CharField(max_length=100)
    split = models.CharField(max_length=16)
    rows = models.PositiveIntegerField()
    artifact = models.ForeignKey("runs.Artifact", on_delete=models.PROTECT, related_name="+")

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["version", "name"], name="version_file_once")]

    def __str__(self) -> str:
        return self.name

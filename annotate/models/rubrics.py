"""Rubrics: versioned criteria, written or generated, approved by a person before anyone judges by them."""

from __future__ import annotations

from typing import Final

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now


class Rubric(models.Model):
    class Status(models.TextChoices):
        DRAFT = "draft", "proposed; nobody judges by it"
        APPROVED = "approved", "a curator approved it; judges and annotators may use it"
        RETIRED = "retired", "no longer used; judgements made under it keep pointing here"

    TRANSITIONS: Final = {
        Status.DRAFT: frozenset({Status.APPROVED, Status.RETIRED}),
        Status.APPROVED: frozenset({Status.RETIRED}),
        Status.RETIRED: frozenset(),
    }

    project = models.ForeignKey("accounts.Project", on_delete=models.CASCADE, related_name="rubrics")
    name = models.CharField(max_length=100)
    version = models.PositiveIntegerField()
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.DRAFT)
    generated_by = models.ForeignKey("annotate.Judge", null=True, on_delete=models.PROTECT, related_name="+")
    evidence = models.JSONField(
        default=dict, help_text="how often a judge using it reproduced known preferences: tried, reproduced, threshold"
    )
    run = models.ForeignKey("runs.Run", null=True, on_delete=models.SET_NULL, related_name="+")
    approved_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    approved_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["project", "name", "version"], name="rubric_version"),
            models.CheckConstraint(
                condition=Q(status__in=["draft", "approved", "retired"]), name="rubric_status_known"
            ),
            # Approval has a name on it.
            models.CheckConstraint(
                condition=~Q(status="approved") | Q(approved_by__isnull=False, approved_at__isnull=False),
                name="rubric_approved_by_someone",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} v{self.version}"


class Criterion(models.Model):
    class Kind(models.TextChoices):
        HARD_RULE = "hard_rule", "can be checked; failing it decides"
        PRINCIPLE = "principle", "a quality to weigh"

    rubric = models.ForeignKey(Rubric, on_delete=models.CASCADE, related_name="criteria")
    position = models.PositiveSmallIntegerField()
    kind = models.CharField(max_length=16, choices=Kind.choices)
    text = models.CharField(max_length=1000)
    weight = models.FloatField(default=1.0)
    evidence = models.JSONField(
        default=list, help_text="comparisons it was drawn from: [{comparison, preferred, reproduced}]"
    )

    class Meta:
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(fields=["rubric", "position"], name="criterion_position"),
            models.CheckConstraint(condition=Q(kind__in=["hard_rule", "principle"]), name="criterion_kind_known"),
        ]

    def __str__(self) -> str:
        return self.text[:80]

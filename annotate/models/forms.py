"""The form of a project: what an annotator is asked. Numbered and never rewritten: a judgement keeps the one it saw."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

MAX_LEVELS = 3


class Form(models.Model):
    class Justification(models.TextChoices):
        OFF = "off", "not asked"
        OPTIONAL = "optional", "asked, may stay empty"
        REQUIRED = "required", "must be given"

    project = models.ForeignKey("accounts.Project", on_delete=models.CASCADE, related_name="forms")
    number = models.PositiveIntegerField()
    current = models.BooleanField(default=True)

    levels = models.PositiveSmallIntegerField(default=3, help_text="strengths on each side of the tie")
    allow_tie = models.BooleanField(default=True)
    allow_both_bad = models.BooleanField(default=True)
    aspects = models.JSONField(default=list, help_text="[{key, label}], each answered on the same scale")
    reasons = models.JSONField(default=list, help_text="tags that may be ticked")
    justification = models.CharField(max_length=8, choices=Justification.choices, default=Justification.OPTIONAL)
    min_justification = models.PositiveIntegerField(default=0, help_text="characters")
    guidelines = models.TextField(blank=True, default="", help_text="Markdown")
    rubric = models.ForeignKey("annotate.Rubric", null=True, blank=True, on_delete=models.PROTECT, related_name="+")

    overlap = models.PositiveSmallIntegerField(default=3, help_text="annotators per comparison")
    lease_seconds = models.PositiveIntegerField(default=900)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "number"], name="form_number"),
            # What is asked now is one form; two would make the queue ask different people different things.
            models.UniqueConstraint(fields=["project"], condition=Q(current=True), name="form_one_current"),
            models.CheckConstraint(condition=Q(levels__gte=1, levels__lte=MAX_LEVELS), name="form_levels"),
            models.CheckConstraint(condition=Q(overlap__gte=1), name="form_overlap"),
            models.CheckConstraint(condition=Q(lease_seconds__gte=30), name="form_lease"),
        ]

    def __str__(self) -> str:
        return f"form {self.number}"

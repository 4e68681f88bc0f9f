"""How annotators come in and go: a session of work, and the trials on gold before the first one."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from .assignments import Order


class Session(models.Model):
    """A stretch of work of one rater, counted as it goes; a long pause ends it."""

    rater = models.ForeignKey("annotate.Rater", on_delete=models.CASCADE, related_name="sessions")
    started_at = models.DateTimeField(db_default=Now())
    last_at = models.DateTimeField(db_default=Now())
    ended_at = models.DateTimeField(null=True)
    judged = models.PositiveIntegerField(default=0, db_default=0)
    skipped = models.PositiveIntegerField(default=0, db_default=0)
    seconds = models.FloatField(default=0.0, db_default=0.0, help_text="active time")

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["rater"], condition=Q(ended_at=None), name="session_one_open"),
            models.CheckConstraint(condition=Q(seconds__gte=0), name="session_seconds"),
        ]
        indexes = [models.Index(fields=["rater", "-started_at"], name="session_rater")]

    def __str__(self) -> str:
        return f"session {self.pk}"


class Trial(models.Model):
    """One gold comparison of a practice or a qualification. What is said here never becomes a judgement."""

    class Kind(models.TextChoices):
        PRACTICE = "practice", "with feedback after each"
        QUALIFICATION = "qualification", "without; the share of right ones decides"

    rater = models.ForeignKey("annotate.Rater", on_delete=models.CASCADE, related_name="trials")
    kind = models.CharField(max_length=16, choices=Kind.choices)
    attempt = models.PositiveSmallIntegerField(default=1)
    position = models.PositiveSmallIntegerField()
    comparison = models.ForeignKey("annotate.Comparison", on_delete=models.CASCADE, related_name="trials")
    form = models.ForeignKey("annotate.Form", on_delete=models.PROTECT, related_name="+")
    order = models.CharField(max_length=2, choices=Order.choices)
    preference = models.SmallIntegerField(null=True, help_text="in terms of a and b")
    both_bad = models.BooleanField(default=False)
    right = models.BooleanField(null=True, help_text="empty until answered")
    seconds = models.FloatField(null=True)
    answered_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["kind", "attempt", "position"]
        constraints = [
            # Two tabs that begin at once begin the same attempt.
            models.UniqueConstraint(fields=["rater", "kind", "attempt", "position"], name="trial_place"),
            models.UniqueConstraint(fields=["rater", "kind", "attempt", "comparison"], name="trial_once"),
            models.CheckConstraint(condition=Q(kind__in=["practice", "qualification"]), name="trial_kind_known"),
            models.CheckConstraint(condition=Q(order__in=["ab", "ba"]), name="trial_order_known"),
            models.CheckConstraint(
                condition=Q(answered_at=None, right=None) | Q(answered_at__isnull=False, right__isnull=False),
                name="trial_answered_is_marked",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.attempt}.{self.position}"

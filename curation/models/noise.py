"""Noise scores: how probable it is that a label is wrong, by which method, and because of what."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now


class NoiseScore(models.Model):
    comparison = models.ForeignKey("annotate.Comparison", on_delete=models.CASCADE, related_name="noise_scores")
    method = models.CharField(max_length=64)
    score = models.FloatField(help_text="between 0 (clean) and 1 (surely noise)")
    decision = models.CharField(max_length=16, help_text="keep, soften, ask_people or drop: what the policy proposes")
    cause = models.CharField(max_length=500)
    details = models.JSONField(default=dict)
    run = models.ForeignKey("runs.Run", null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["comparison", "method"], name="noise_once"),
            models.CheckConstraint(condition=Q(score__gte=0, score__lte=1), name="noise_score"),
        ]
        indexes = [models.Index(fields=["method", "-score"], name="noise_worst")]

    def __str__(self) -> str:
        return f"{self.method} {self.score:.2f}"

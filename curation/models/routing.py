"""Routing decisions: people or a judge, why, and with what expected gain. Kept for ever; the last one is current."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now


class RoutingDecision(models.Model):
    comparison = models.ForeignKey("annotate.Comparison", on_delete=models.CASCADE, related_name="routing_decisions")
    policy = models.CharField(max_length=64)
    route = models.CharField(max_length=8)
    reason = models.CharField(max_length=500)
    gain = models.FloatField(null=True, help_text="expected error of the consensus that a person's judgement removes")
    audit = models.BooleanField(default=False, help_text="drawn at random so that the judge can be checked honestly")
    features = models.JSONField(default=dict)
    run = models.ForeignKey("runs.Run", null=True, on_delete=models.SET_NULL, related_name="+")
    current = models.BooleanField(default=True)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["comparison"], condition=Q(current=True), name="routing_one_current"),
            models.CheckConstraint(condition=Q(route__in=["human", "judge"]), name="routing_route_known"),
        ]

    def __str__(self) -> str:
        return f"{self.route}: {self.reason}"

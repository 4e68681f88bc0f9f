"""Routing: versioned policies, the decisions they made, and the budget that they spend.

Decisions are kept for ever; the last one of a comparison is current.
"""

from __future__ import annotations

from typing import Final

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now


class RoutingPolicy(models.Model):
    """One version of a policy. Its parameters never change: an edit is a new version."""

    class Status(models.TextChoices):
        DRAFT = "draft", "can be simulated; decides nothing"
        ACTIVE = "active", "decides its share of the comparisons as they arrive"
        RETIRED = "retired", "decides nothing any more; kept for the decisions that it made"

    TRANSITIONS: Final = {
        Status.DRAFT: frozenset({Status.ACTIVE, Status.RETIRED}),
        Status.ACTIVE: frozenset({Status.RETIRED}),
        Status.RETIRED: frozenset({Status.ACTIVE}),
    }

    project = models.ForeignKey("accounts.Project", on_delete=models.CASCADE, related_name="routing_policies")
    name = models.CharField(max_length=64)
    version = models.PositiveIntegerField()
    kind = models.CharField(max_length=64, help_text="one of curation.routing.POLICIES")
    params = models.JSONField(default=dict)
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.DRAFT)
    share = models.FloatField(
        default=0, help_text="of the comparisons, drawn by their ids: two active policies are compared online"
    )
    learned = models.JSONField(null=True, help_text="what was fitted, such as the gain model, with its health")
    simulation = models.JSONField(null=True, help_text="what it would have done with collected data")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["name", "-version"]
        verbose_name_plural = "routing policies"
        constraints = [
            models.UniqueConstraint(fields=["project", "name", "version"], name="routing_policy_version"),
            models.CheckConstraint(
                condition=Q(status__in=["draft", "active", "retired"]), name="routing_policy_status_known"
            ),
            models.CheckConstraint(condition=Q(share__gte=0, share__lte=1), name="routing_policy_share"),
        ]

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"


class RoutingSettings(models.Model):
    """Whether a project routes by itself, and what its people cost."""

    project = models.OneToOneField("accounts.Project", on_delete=models.CASCADE, related_name="routing_settings")
    automatic = models.BooleanField(default=False, help_text="route as comparisons arrive and as evidence does")
    hourly_rate = models.DecimalField(max_digits=10, decimal_places=4, default=0, help_text="of a person's active hour")
    currency = models.CharField(max_length=3, default="USD")
    seconds = models.FloatField(null=True, help_text="a judgement takes so long; null: the median measured")
    trusted_because = models.CharField(
        max_length=300, blank=True, default="", help_text="why judges may settle comparisons that no gold vouches for"
    )
    trusted_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    trusted_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name_plural = "routing settings"
        constraints = [
            models.CheckConstraint(condition=Q(hourly_rate__gte=0), name="routing_hourly_rate"),
            models.CheckConstraint(condition=Q(seconds=None) | Q(seconds__gt=0), name="routing_seconds"),
            # Nobody trusts a judge without saying why.
            models.CheckConstraint(
                condition=Q(trusted_at=None) | ~Q(trusted_because=""), name="routing_trust_has_reason"
            ),
        ]

    def __str__(self) -> str:
        return f"routing of {self.project_id}"


class BudgetGrant(models.Model):
    """So much more, or less, may be spent, beside the project's own budget for judges.

    What was spent is read from the judgements and the judges' calls.
    """

    project = models.ForeignKey("accounts.Project", on_delete=models.CASCADE, related_name="budget_grants")
    money = models.DecimalField(max_digits=14, decimal_places=4, default=0)
    hours = models.FloatField(default=0)
    note = models.CharField(max_length=300, blank=True, default="")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["-id"]
        constraints = [models.CheckConstraint(condition=~Q(money=0) | ~Q(hours=0), name="budget_grant_of_something")]

    def __str__(self) -> str:
        return f"{self.money} and {self.hours} h"


class RoutingDecision(models.Model):
    comparison = models.ForeignKey("annotate.Comparison", on_delete=models.CASCADE, related_name="routing_decisions")
    policy = models.CharField(max_length=64)
    policy_version = models.ForeignKey(RoutingPolicy, null=True, on_delete=models.PROTECT, related_name="decisions")
    route = models.CharField(max_length=8)
    reason = models.CharField(max_length=500)
    gain = models.FloatField(null=True, help_text="expected error of the consensus that a person's judgement removes")
    audit = models.BooleanField(default=False, help_text="drawn at random so that the judge can be checked honestly")
    explored = models.BooleanField(default=False, help_text="drawn at random to learn where people help")
    probability = models.FloatField(null=True, help_text="of being drawn for the audit, whether it was or not")
    buys = models.CharField(
        max_length=100, blank=True, default="", help_text="whose judgement: a person's, or a judge's name"
    )
    n = models.PositiveSmallIntegerField(default=1, help_text="judgements that it buys")
    price = models.DecimalField(max_digits=20, decimal_places=8, null=True, help_text="expected, of all of them")
    features = models.JSONField(default=dict)
    overridden_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+",
        help_text="the person who decided otherwise",
    )  # fmt: skip
    run = models.ForeignKey("runs.Run", null=True, on_delete=models.SET_NULL, related_name="+")
    current = models.BooleanField(default=True)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["comparison"], condition=Q(current=True), name="routing_one_current"),
            models.CheckConstraint(condition=Q(route__in=["human", "judge"]), name="routing_route_known"),
        ]
        indexes = [models.Index(fields=["-gain"], name="routing_gain", condition=Q(current=True))]

    def __str__(self) -> str:
        return f"{self.route}: {self.reason}"

"""Reward models, what they scored, and how good they are."""

from __future__ import annotations

from typing import Any, Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now


class RewardModelQuerySet(models.QuerySet["RewardModel"]):
    def visible_to(self, user: Any) -> Self:
        from tiebreak.accounts.models import Project
        from tiebreak.accounts.roles import Can

        return self.filter(project__in=Project.objects.where(user, Can.READ))


class RewardModel(models.Model):
    """A trained model: made of one dataset version, one configuration and one seed; kept as safetensors."""

    class Stage(models.TextChoices):
        CANDIDATE = "candidate", "trained and evaluated; nothing depends on it"
        JUDGE = "judge", "judges comparisons in the loop"
        RETIRED = "retired", "kept for the record"

    project = models.ForeignKey("accounts.Project", on_delete=models.CASCADE, related_name="reward_models")
    name = models.CharField(max_length=100, unique=True)
    stage = models.CharField(max_length=16, choices=Stage.choices, default=Stage.CANDIDATE)
    version = models.ForeignKey("curation.DatasetVersion", on_delete=models.PROTECT, related_name="reward_models")
    config = models.JSONField()
    seed = models.BigIntegerField()
    weights = models.ForeignKey("runs.Artifact", on_delete=models.PROTECT, related_name="+", help_text="safetensors")
    model_config = models.ForeignKey("runs.Artifact", on_delete=models.PROTECT, related_name="+", help_text="JSON")
    training = models.JSONField(default=dict, help_text="loss, iterations, rows, seconds")
    run = models.ForeignKey("runs.Run", null=True, on_delete=models.SET_NULL, related_name="+")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(db_default=Now())

    objects = RewardModelQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(condition=Q(stage__in=["candidate", "judge", "retired"]), name="model_stage_known")
        ]

    def __str__(self) -> str:
        return self.name


class Evaluation(models.Model):
    """A reward model measured on one set, with intervals, and with the length baseline beside it."""

    reward_model = models.ForeignKey(RewardModel, on_delete=models.CASCADE, related_name="evaluations")
    benchmark = models.CharField(max_length=64, help_text="a benchmark's name, or dataset@version/split")
    data_sha256 = models.CharField(max_length=64)
    metrics = models.JSONField()
    run = models.ForeignKey("runs.Run", null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["reward_model", "benchmark", "data_sha256"], name="evaluation_once")
        ]

    def __str__(self) -> str:
        return f"{self.reward_model} on {self.benchmark}"


class RewardMargin(models.Model):
    """reward(b) - reward(a) by one model for one comparison: above 0 favours b, as a preference does."""

    reward_model = models.ForeignKey(RewardModel, on_delete=models.CASCADE, related_name="margins")
    comparison = models.ForeignKey("annotate.Comparison", on_delete=models.CASCADE, related_name="reward_margins")
    margin = models.FloatField()
    held_out = models.BooleanField(help_text="the model was not trained on this comparison")
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [models.UniqueConstraint(fields=["reward_model", "comparison"], name="margin_once")]

    def __str__(self) -> str:
        return f"{self.margin:+.2f}"

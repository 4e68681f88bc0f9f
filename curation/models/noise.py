"""Noise: how probable it is that a label is wrong, by which method and because of what, and what was done about it."""

from __future__ import annotations

from typing import Final

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

PERSON: Final = "person"
"""In the place of a method: a curator looked and decided."""
TELLING: Final = ("rater-quality", "rules")
"""Methods whose causes call people by their names, or quote texts and what people wrote."""


class NoiseScore(models.Model):
    comparison = models.ForeignKey("annotate.Comparison", on_delete=models.CASCADE, related_name="noise_scores")
    method = models.CharField(max_length=64)
    score = models.FloatField(help_text="between 0 (clean) and 1 (surely noise)")
    decision = models.CharField(
        max_length=16, help_text="keep, soften, flip, ask_people or drop: what the policy proposes"
    )
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


class NoiseTreatment(models.Model):
    """One policy applied to a project's noise scores at one moment. It can be undone as a whole."""

    project = models.ForeignKey("accounts.Project", on_delete=models.CASCADE, related_name="noise_treatments")
    policy = models.JSONField(help_text="the rules as they were applied")
    counts = models.JSONField(default=dict, help_text="{action: comparisons}")
    note = models.CharField(max_length=500, blank=True, default="")
    run = models.ForeignKey("runs.Run", null=True, on_delete=models.SET_NULL, related_name="+")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(db_default=Now())
    undone_at = models.DateTimeField(null=True)
    undone_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"treatment {self.pk} of {self.project_id}"


class NoiseDecision(models.Model):
    """What a treatment does with the label of one comparison. Kept for ever; dataset versions read the current one."""

    class Action(models.TextChoices):
        KEEP = "keep", "the label stands"
        SOFTEN = "soften", "its probability is drawn towards one half"
        FLIP = "flip", "the other side is taken"
        ASK_PEOPLE = "ask_people", "one more person is asked; the label stands until then"
        DROP = "drop", "no dataset version takes it"

    treatment = models.ForeignKey(NoiseTreatment, on_delete=models.CASCADE, related_name="decisions")
    comparison = models.ForeignKey("annotate.Comparison", on_delete=models.CASCADE, related_name="noise_decisions")
    action = models.CharField(max_length=16, choices=Action.choices)
    method = models.CharField(max_length=64, help_text="whose score decided")
    score = models.FloatField()
    cause = models.CharField(max_length=500)
    details = models.JSONField(default=dict, help_text="such as {weight}: how far a softened label is drawn")
    replaces = models.ForeignKey("self", null=True, on_delete=models.SET_NULL, related_name="+")
    current = models.BooleanField(default=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["comparison"], condition=Q(current=True), name="noise_decision_one_current"
            ),
            models.UniqueConstraint(fields=["treatment", "comparison"], name="noise_decision_once"),
            models.CheckConstraint(
                condition=Q(action__in=["keep", "soften", "flip", "ask_people", "drop"]), name="noise_action_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.action}: {self.cause}"

    def told(self) -> str:
        """Whose score, how high, and because of what; a person's word stands for itself."""
        return self.cause if self.method == PERSON else f"{self.method} {self.score:.2f}: {self.cause}"

    def published(self) -> str:
        """`told` to those who read a row, wherever it goes: it names nobody, and quotes nothing."""
        return f"{self.method} {self.score:.2f}" if self.method in TELLING else self.told()

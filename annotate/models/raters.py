"""Raters: annotators (people) and judges (models) in one table, so that every statistic treats them alike."""

from __future__ import annotations

import re
from typing import Final

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.crypto import salted_hmac

WITHDRAWN_NAME: Final = re.compile(r"withdrawn-[0-9a-f]{12}")


def withdrawn_name(project: int, name: str) -> str:
    """How an annotator is called who took back what they said.

    Keyed by the installation's secret, so that nobody finds the name by trying names, and an import still knows whom
    it must not bring back.
    """
    if WITHDRAWN_NAME.fullmatch(name):
        return name
    key = salted_hmac("tiebreak.withdrawn", f"{project}/{name}", algorithm="sha256")
    return f"withdrawn-{key.hexdigest()[:12]}"


class Judge(models.Model):
    """A model that judges: a kind, where it is reached, how it is asked, what it costs. A change is a new version."""

    project = models.ForeignKey("accounts.Project", on_delete=models.CASCADE, related_name="judges")
    name = models.CharField(max_length=100)
    version = models.PositiveIntegerField(default=1)
    kind = models.CharField(max_length=32, help_text="a name in models_rt.judges: pairwise, rubric, reward-model, …")
    backend = models.CharField(max_length=32, blank=True, default="", help_text="openai, scripted; empty for scorers")
    model = models.CharField(max_length=200, blank=True, default="")
    base_url = models.CharField(max_length=500, blank=True, default="")
    api_key_env = models.CharField(
        max_length=100, blank=True, default="", help_text="name of the environment variable with the key; never the key"
    )
    config = models.JSONField(default=dict)
    rubric = models.ForeignKey("annotate.Rubric", null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    price_prompt = models.DecimalField(max_digits=10, decimal_places=4, default=0, help_text="per million tokens")
    price_completion = models.DecimalField(max_digits=10, decimal_places=4, default=0)
    retired_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "name", "version"], name="judge_version")]

    def __str__(self) -> str:
        return f"{self.name} v{self.version}"


class Rater(models.Model):
    """Whoever judges, in one project. An imported annotator has no user; a judge of another tool has no `judge`."""

    class Kind(models.TextChoices):
        ANNOTATOR = "annotator", "a person"
        JUDGE = "judge", "a model"

    project = models.ForeignKey("accounts.Project", on_delete=models.CASCADE, related_name="raters")
    kind = models.CharField(max_length=16, choices=Kind.choices)
    name = models.CharField(max_length=200, help_text="the imported id, the user's name, or the judge's")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="raters")
    judge = models.OneToOneField(Judge, null=True, on_delete=models.PROTECT, related_name="rater")
    simulated = models.BooleanField(default=False, help_text="a simulated person, as in the demo; always said")
    paused_at = models.DateTimeField(null=True, blank=True)
    paused_because = models.CharField(max_length=300, blank=True, default="")

    skills = ArrayField(models.CharField(max_length=60), default=list, blank=True, help_text="what they may be asked")
    languages = ArrayField(
        models.CharField(max_length=35), default=list, blank=True, help_text="BCP 47 tags; empty: any language"
    )
    daily_quota = models.PositiveIntegerField(null=True, blank=True, help_text="instead of the form's")
    read_guidelines = models.PositiveIntegerField(default=0, help_text="the version that they last read")
    practised_at = models.DateTimeField(null=True, blank=True)
    qualified_at = models.DateTimeField(null=True, blank=True)
    measured_since = models.DateTimeField(
        null=True, blank=True, help_text="hidden gold counts against them from here: a curator gave them a new start"
    )
    served = models.PositiveIntegerField(
        default=0, db_default=0, help_text="assignments made; numbers their draws of lots"
    )
    shown_ab = models.PositiveIntegerField(default=0, db_default=0, help_text="of those, how many with a on the left")
    former = ArrayField(
        models.CharField(max_length=60),
        default=list,
        db_default=[],
        blank=True,
        help_text="of a member who took back what they said: how their pseudonyms are called since",
    )
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "kind", "name"], name="rater_name"),
            models.CheckConstraint(condition=Q(shown_ab__lte=F("served")), name="rater_shown_of_served"),
            models.UniqueConstraint(fields=["project", "user"], condition=Q(user__isnull=False), name="rater_user"),
            models.CheckConstraint(condition=Q(kind__in=["annotator", "judge"]), name="rater_kind_known"),
            models.CheckConstraint(condition=Q(user=None) | Q(kind="annotator"), name="rater_user_is_annotator"),
            models.CheckConstraint(condition=Q(judge=None) | Q(kind="judge"), name="rater_judge_is_judge"),
        ]

    def __str__(self) -> str:
        return self.name

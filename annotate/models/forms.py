"""The form of a project: what an annotator is asked, and by which rules they are given work.

Numbered and never rewritten: a judgement keeps the one it saw.
"""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

MAX_LEVELS = 3
MAX_RATING = 10


class Form(models.Model):
    class Justification(models.TextChoices):
        OFF = "off", "not asked"
        OPTIONAL = "optional", "asked, may stay empty"
        REQUIRED = "required", "must be given"

    class Ordering(models.TextChoices):
        RANDOM = "random", "by chance"
        SEQUENCE = "sequence", "in the order of import"
        MIXED = "mixed", "every stratum of `mix_by` equally often, by chance within it"

    project = models.ForeignKey("accounts.Project", on_delete=models.CASCADE, related_name="forms")
    number = models.PositiveIntegerField()
    current = models.BooleanField(default=True)

    levels = models.PositiveSmallIntegerField(default=3, help_text="strengths on each side of the tie")
    allow_tie = models.BooleanField(default=True)
    allow_both_bad = models.BooleanField(default=True)
    aspects = models.JSONField(
        default=list,
        help_text="[{key, label, kind}]: kind `preference` asks which is better (the default), `rating` rates each",
    )
    rating_max = models.PositiveSmallIntegerField(default=5, db_default=5, help_text="ratings go from 1 to this")
    confidence = models.BooleanField(default=False, db_default=False, help_text="ask how sure they are, 1 to 3")
    evidence = models.BooleanField(default=True, db_default=True, help_text="spans may be highlighted")
    checklist = models.BooleanField(
        default=False, db_default=False, help_text="the rubric is ticked: each criterion met by a, b, both, neither"
    )
    reasons = models.JSONField(default=list, help_text="tags that may be ticked")
    justification = models.CharField(max_length=8, choices=Justification.choices, default=Justification.OPTIONAL)
    min_justification = models.PositiveIntegerField(default=0, help_text="characters")
    guidelines = models.TextField(blank=True, default="", help_text="Markdown")
    guidelines_version = models.PositiveIntegerField(default=1, db_default=1, help_text="rises when their text changes")
    rubric = models.ForeignKey("annotate.Rubric", null=True, blank=True, on_delete=models.PROTECT, related_name="+")

    overlap = models.PositiveSmallIntegerField(default=3, help_text="annotators per comparison")
    max_overlap = models.PositiveSmallIntegerField(
        null=True, blank=True, help_text="where they disagree, more are asked, up to this; empty: never"
    )
    lease_seconds = models.PositiveIntegerField(default=900)
    ordering = models.CharField(max_length=8, choices=Ordering.choices, default=Ordering.RANDOM, db_default="random")
    mix_by = models.JSONField(default=list, db_default=[], help_text="metadata keys whose values are the strata")
    gold_rate = models.FloatField(default=0.0, db_default=0.0, help_text="share of hidden gold, 0 to 0.5")
    repeat_rate = models.FloatField(default=0.0, db_default=0.0, help_text="share of hidden repeats, 0 to 0.5")
    session_quota = models.PositiveIntegerField(default=0, db_default=0, help_text="judgements a session; 0: no end")
    daily_quota = models.PositiveIntegerField(default=0, db_default=0, help_text="judgements a day; 0: no end")
    practice_size = models.PositiveSmallIntegerField(default=0, db_default=0, help_text="gold with feedback, at first")
    qualification_size = models.PositiveSmallIntegerField(default=0, db_default=0, help_text="gold to pass; 0: none")
    pass_mark = models.FloatField(default=0.7, db_default=0.7, help_text="share of the qualification to get right")
    pause_below = models.FloatField(
        null=True, blank=True, help_text="pause who is surely (95 %) below this share of gold; empty: nobody"
    )
    revise_minutes = models.PositiveIntegerField(
        default=60, db_default=60, help_text="how long an answer may be changed"
    )
    show_reference = models.BooleanField(default=False, db_default=False, help_text="annotators see the reference")
    show_quality = models.BooleanField(default=True, db_default=True, help_text="annotators see their own figures")
    blind_adjudication = models.BooleanField(
        default=True, db_default=True, help_text="adjudicators see no names beside the judgements"
    )
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "number"], name="form_number"),
            # What is asked now is one form; two would make the queue ask different people different things.
            models.UniqueConstraint(fields=["project"], condition=Q(current=True), name="form_one_current"),
            models.CheckConstraint(condition=Q(levels__gte=1, levels__lte=MAX_LEVELS), name="form_levels"),
            models.CheckConstraint(condition=Q(overlap__gte=1), name="form_overlap"),
            models.CheckConstraint(condition=Q(max_overlap=None) | Q(max_overlap__gte=F("overlap")), name="form_most"),
            models.CheckConstraint(condition=Q(lease_seconds__gte=30), name="form_lease"),
            models.CheckConstraint(condition=Q(rating_max__gte=2, rating_max__lte=MAX_RATING), name="form_rating"),
            models.CheckConstraint(
                condition=Q(ordering__in=["random", "sequence", "mixed"]), name="form_ordering_known"
            ),
            models.CheckConstraint(
                condition=Q(gold_rate__gte=0, gold_rate__lte=0.5, repeat_rate__gte=0, repeat_rate__lte=0.5),
                name="form_rates",
            ),
            models.CheckConstraint(condition=Q(pass_mark__gte=0, pass_mark__lte=1), name="form_pass_mark"),
            models.CheckConstraint(
                condition=Q(pause_below=None) | Q(pause_below__gte=0, pause_below__lte=1), name="form_pause_below"
            ),
        ]

    def __str__(self) -> str:
        return f"form {self.number}"

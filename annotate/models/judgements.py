"""Judgements: what one rater said of one comparison, and, for a judge, the call that said it."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from .assignments import Order


class JudgementQuerySet(models.QuerySet["Judgement"]):
    def current(self) -> JudgementQuerySet:
        """What raters say now; revised judgements are kept, but count no more."""
        return self.filter(current=True)


class Judgement(models.Model):
    """One reading of a comparison by one rater. A judge's two orders are readings 0 (ab) and 1 (ba).

    A changed mind is a new revision; the old row stays, no longer current.
    """

    # Both begin an index below: one of their own each would cost every answer, and serve none.
    comparison = models.ForeignKey(
        "annotate.Comparison", on_delete=models.CASCADE, related_name="judgements", db_index=False
    )
    rater = models.ForeignKey("annotate.Rater", on_delete=models.PROTECT, related_name="judgements", db_index=False)
    assignment = models.ForeignKey(
        "annotate.Assignment", null=True, on_delete=models.PROTECT, related_name="judgements"
    )
    repeat = models.PositiveSmallIntegerField(default=0)
    revision = models.PositiveSmallIntegerField(default=1)
    current = models.BooleanField(default=True)

    preference = models.SmallIntegerField(null=True, help_text="below 0 favours a, above 0 favours b, 0 a tie")
    both_bad = models.BooleanField(default=False)
    unparsed_because = models.CharField(
        max_length=300, blank=True, default="", help_text="the rater answered unreadably"
    )
    probability_b = models.FloatField(null=True, help_text="where the rater gives one")
    aspects = models.JSONField(default=dict, help_text="{key: preference}, in terms of a and b")
    ratings = models.JSONField(
        default=dict, db_default={}, help_text="{aspect key: {a: n, b: n}}, each response by itself"
    )
    confidence = models.JSONField(default=dict, db_default={}, help_text='{aspect key, or "overall": 1 to 3}')
    checks = models.JSONField(
        default=dict,
        db_default={},
        help_text="{criterion id, or its words where imported: a, b, both, neither}",
    )
    evidence = models.JSONField(
        default=list,
        db_default=[],
        help_text="spans as [{side: a or b, exact, start, end}], in characters of the text as shown",
    )
    reasons = ArrayField(models.CharField(max_length=100), default=list)
    justification = models.TextField(blank=True, default="")
    order = models.CharField(max_length=2, choices=Order.choices, null=True, help_text="null: not known (imported)")
    seconds = models.FloatField(null=True, help_text="active time")
    form = models.ForeignKey("annotate.Form", null=True, on_delete=models.PROTECT, related_name="+")
    rubric = models.ForeignKey("annotate.Rubric", null=True, on_delete=models.PROTECT, related_name="+")
    key = models.UUIDField(null=True, unique=True, help_text="the page's own key: a double submit is one judgement")
    submitted_at = models.DateTimeField(db_default=Now())

    objects = JudgementQuerySet.as_manager()

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["comparison", "rater", "repeat"], condition=Q(current=True), name="judgement_one_current"
            ),
            models.UniqueConstraint(
                fields=["comparison", "rater", "repeat", "revision"], name="judgement_revision_once"
            ),
            models.CheckConstraint(
                condition=Q(preference=None) | Q(preference__gte=-3, preference__lte=3), name="judgement_preference"
            ),
            # Nothing is silently a tie: without a preference it is both-bad or says why it could not be read.
            models.CheckConstraint(
                condition=Q(preference__isnull=False) | Q(both_bad=True) | ~Q(unparsed_because=""),
                name="judgement_says_something",
            ),
            models.CheckConstraint(
                condition=Q(unparsed_because="") | Q(preference=None), name="judgement_unparsed_is_null"
            ),
            models.CheckConstraint(
                condition=Q(probability_b=None) | Q(probability_b__gte=0, probability_b__lte=1),
                name="judgement_probability",
            ),
        ]
        indexes = [models.Index(fields=["rater", "-submitted_at"], name="judgement_rater")]

    def __str__(self) -> str:
        return f"{self.rater}: {self.preference}"


class JudgeCall(models.Model):
    """One call to a judge, paid for once: what was asked (by hash), what came back, what it cost."""

    class Status(models.TextChoices):
        PARSED = "parsed", "a verdict was read"
        UNPARSED = "unparsed", "it answered, but no verdict could be read"
        FAILED = "failed", "no answer could be had; it is asked again by the next run"

    judge = models.ForeignKey("annotate.Judge", on_delete=models.PROTECT, related_name="calls")
    comparison = models.ForeignKey("annotate.Comparison", on_delete=models.CASCADE, related_name="judge_calls")
    repeat = models.PositiveSmallIntegerField()
    order = models.CharField(max_length=2, choices=Order.choices)
    status = models.CharField(max_length=16, choices=Status.choices)
    judgement = models.OneToOneField(Judgement, null=True, on_delete=models.PROTECT, related_name="call")
    run = models.ForeignKey("runs.Run", null=True, on_delete=models.SET_NULL, related_name="+")
    model = models.CharField(max_length=200, blank=True, default="", help_text="as the server named it")
    prompt_sha256 = models.CharField(max_length=64)
    prompt_version = models.CharField(
        max_length=60, blank=True, default="", db_default="", help_text="the template; empty: none, or not kept then"
    )
    raw = models.TextField(blank=True, default="")
    reason = models.CharField(max_length=500, blank=True, default="")
    prompt_tokens = models.PositiveIntegerField(null=True)
    completion_tokens = models.PositiveIntegerField(null=True)
    price = models.DecimalField(max_digits=14, decimal_places=8, default=0)
    latency_ms = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            # A run that is started again, or twice, stores and pays each reading once.
            models.UniqueConstraint(fields=["judge", "comparison", "repeat"], name="judge_call_once"),
            models.CheckConstraint(
                condition=Q(status="failed", judgement=None) | (~Q(status="failed") & Q(judgement__isnull=False)),
                name="judge_call_has_judgement",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.judge} on {self.comparison_id}"

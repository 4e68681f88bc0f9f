"""Consensus: the aggregated preference of each comparison with its probability, and what was learned of the raters."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now


class Aggregation(models.Model):
    """One fit of one method to all current judgements of a project. The current one is what pages and recipes read."""

    project = models.ForeignKey("accounts.Project", on_delete=models.CASCADE, related_name="aggregations")
    run = models.ForeignKey("runs.Run", null=True, on_delete=models.SET_NULL, related_name="+")
    method = models.CharField(max_length=32)
    current = models.BooleanField(default=True)
    converged = models.BooleanField()
    n_iter = models.PositiveIntegerField()
    log_likelihood = models.FloatField(null=True)
    n_comparisons = models.PositiveIntegerField()
    n_judgements = models.PositiveIntegerField()
    agreement = models.JSONField(
        default=dict, help_text="{people, people_and_judges}: {value, low, high, n, reason}, Krippendorff's alpha"
    )
    inputs_sha256 = models.CharField(max_length=64, help_text="of the judgements that it read")
    because = models.CharField(
        max_length=500, blank=True, default="", help_text="why this method, where it was chosen by the data's shape"
    )
    prior = models.JSONField(default=list, help_text="[3]: share of a, tie and b before any vote")
    details = models.JSONField(default=dict, help_text="what the method alone knows, such as the choice's figures")
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["project"], condition=Q(current=True), name="aggregation_one_current")
        ]

    def __str__(self) -> str:
        return f"{self.method} of {self.project_id}"


class Consensus(models.Model):
    """The aggregated preference of one comparison; p_a + p_tie + p_b = 1."""

    comparison = models.OneToOneField("annotate.Comparison", on_delete=models.CASCADE, related_name="consensus")
    aggregation = models.ForeignKey(Aggregation, on_delete=models.CASCADE, related_name="rows")
    p_a = models.FloatField()
    p_tie = models.FloatField()
    p_b = models.FloatField()
    preference = models.FloatField(help_text="mean signed strength under the posterior, between -3 and 3")
    entropy = models.FloatField(help_text="of the posterior, in bits")
    n_annotators = models.PositiveIntegerField()
    n_judges = models.PositiveIntegerField()
    n_both_bad = models.PositiveIntegerField(default=0)
    difficulty = models.FloatField(
        null=True, help_text="probability that a rater of the mean skill errs here; null where the method has none"
    )
    # Of a method that cannot hear those votes anew, what it made of them: later votes are added to it (services.live).
    base = models.JSONField(
        null=True, help_text="[3]: what the method expects before the comparison's own votes; null: the prior"
    )
    provisional = models.BooleanField(
        default=False, help_text="a judgement came after the fit: updated by itself, the raters' skills as they were"
    )
    n_readings = models.PositiveIntegerField(default=0, help_text="current judgements when it was made, unreadable too")
    last_judgement = models.BigIntegerField(default=0, help_text="the newest of them: tells whether others came since")
    updated_at = models.DateTimeField(db_default=Now())

    class Meta:
        verbose_name_plural = "consensus"
        constraints = [
            models.CheckConstraint(condition=Q(p_a__gte=0, p_tie__gte=0, p_b__gte=0), name="consensus_probability")
        ]
        indexes = [
            models.Index(fields=["-entropy"], name="consensus_entropy"),
            models.Index(fields=["aggregation", "updated_at"], name="consensus_news", condition=Q(provisional=True)),
        ]

    def __str__(self) -> str:
        return f"{self.side} {self.probability:.2f}"

    @property
    def side(self) -> str:
        """The most probable of a, tie, b."""
        return max((("a", self.p_a), ("tie", self.p_tie), ("b", self.p_b)), key=lambda pair: pair[1])[0]

    @property
    def probability(self) -> float:
        return max(self.p_a, self.p_tie, self.p_b)


class RaterSkill(models.Model):
    """What one fit says of one rater."""

    aggregation = models.ForeignKey(Aggregation, on_delete=models.CASCADE, related_name="skills")
    rater = models.ForeignKey("annotate.Rater", on_delete=models.CASCADE, related_name="+")
    n = models.PositiveIntegerField()
    skill = models.FloatField(null=True, help_text="probability of saying what the consensus says")
    skill_low = models.FloatField(null=True)
    skill_high = models.FloatField(null=True)
    confusion = models.JSONField(default=list, help_text="rows: consensus a, tie, b; columns: what the rater said")
    left = models.FloatField(null=True, help_text="share of left, or first, among its decided judgements")
    left_low = models.FloatField(null=True)
    left_high = models.FloatField(null=True)
    gold = models.FloatField(null=True, help_text="share of gold comparisons answered right")
    gold_low = models.FloatField(null=True)
    gold_high = models.FloatField(null=True)
    gold_n = models.PositiveIntegerField(default=0)
    biases = models.JSONField(
        default=dict, help_text="{side, length, format, self: {value, low, high, n, reason}}; a share, .5 is none"
    )

    class Meta:
        constraints = [models.UniqueConstraint(fields=["aggregation", "rater"], name="rater_skill_once")]

    def __str__(self) -> str:
        return f"{self.rater_id}: {self.skill}"


class Followed(models.Model):
    """How far the judgements and the audit log were followed to keep consensus up to date: one row."""

    judgement = models.BigIntegerField(default=0)
    event = models.BigIntegerField(default=0)
    owed = models.JSONField(
        default=dict, help_text="{project: judgement}: from where to look again, since another held the project"
    )
    reconciled_at = models.DateTimeField(null=True, help_text="when all was last compared with all")

    class Meta:
        verbose_name_plural = "followed"
        constraints = [models.CheckConstraint(condition=Q(id=1), name="followed_one_row")]

    def __str__(self) -> str:
        return f"judgement {self.judgement}, event {self.event}"

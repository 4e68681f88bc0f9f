"""Datasets and their versions: immutable rows, named by hash, with an answer for every row that is not in."""

from __future__ import annotations

import json
from typing import Any, Final, Self

from django.conf import settings
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from tiebreak.accounts.models import slug_validator


class Dataset(models.Model):
    project = models.ForeignKey("accounts.Project", on_delete=models.CASCADE, related_name="datasets")
    name = models.CharField(max_length=64, unique=True, validators=[slug_validator])
    description = models.TextField(blank=True, default="")
    licence = models.CharField(max_length=64, blank=True, default="")
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class DatasetVersionQuerySet(models.QuerySet["DatasetVersion"]):
    def visible_to(self, user: Any) -> Self:
        from tiebreak.accounts.models import Project
        from tiebreak.accounts.roles import Can

        return self.filter(dataset__project__in=Project.objects.where(user, Can.READ))


class DatasetVersion(models.Model):
    """A recipe applied to the judgements of one moment. Once ready, a trigger refuses any change (migration 0002)."""

    class Status(models.TextChoices):
        BUILDING = "building", "rows are being written; nobody can read it yet"
        READY = "ready", "complete and immutable"
        FAILED = "failed", "the build stopped; the reason is in its run"

    TRANSITIONS: Final = {
        Status.BUILDING: frozenset({Status.READY, Status.FAILED}),
        Status.READY: frozenset(),
        Status.FAILED: frozenset({Status.BUILDING}),
    }

    dataset = models.ForeignKey(Dataset, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.BUILDING)
    recipe = models.JSONField()
    recipe_sha256 = models.CharField(max_length=64)
    rows_sha256 = models.CharField(max_length=64, blank=True, default="")
    chain_sha256 = models.CharField(
        max_length=64, blank=True, default="", help_text="of the rows' own hashes in order: still provable once rows go"
    )
    counts = models.JSONField(default=dict, help_text="{split: rows with a chosen side}")
    dropped = models.JSONField(default=dict, help_text="{rule: comparisons left out}")
    changed = models.JSONField(default=dict, help_text="{rule: rows that it altered}")
    statistics = models.JSONField(default=dict)
    card = models.TextField(blank=True, default="")
    code_version = models.CharField(max_length=64, blank=True, default="")
    aggregation = models.ForeignKey("curation.Aggregation", null=True, on_delete=models.SET_NULL, related_name="+")
    run = models.ForeignKey("runs.Run", null=True, on_delete=models.SET_NULL, related_name="+")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(db_default=Now())

    objects = DatasetVersionQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["dataset", "number"], name="version_number"),
            models.CheckConstraint(
                condition=Q(status__in=["building", "ready", "failed"]), name="version_status_known"
            ),
            models.CheckConstraint(condition=~Q(status="ready") | ~Q(rows_sha256=""), name="version_ready_has_hash"),
        ]

    def __str__(self) -> str:
        return f"{self.dataset.name}@{self.number}"


class DatasetRow(models.Model):
    """One row of a version, as training reads it, and what it was made of."""

    class Verdict(models.TextChoices):
        CHOSEN = "chosen", "one side is preferred: a pair"
        TIE = "tie", "neither side is: kept by the recipe, never told as a pair"
        BOTH_BAD = "both_bad", "neither is any good: kept by the recipe, never told as a pair"

    # No index of its own: `row_position` begins with it, and a planner without statistics would take the shorter one.
    version = models.ForeignKey(DatasetVersion, on_delete=models.PROTECT, related_name="rows", db_index=False)
    position = models.PositiveIntegerField()
    comparison = models.ForeignKey("annotate.Comparison", null=True, on_delete=models.SET_NULL, related_name="rows")
    split = models.CharField(max_length=16)
    verdict = models.CharField(max_length=8, choices=Verdict.choices, default=Verdict.CHOSEN)
    side = models.CharField(max_length=1, blank=True, default="", help_text="a or b; empty where none is chosen")
    probability = models.FloatField(default=0.5)
    n_annotators = models.PositiveIntegerField(default=0)
    n_judges = models.PositiveIntegerField(default=0)
    line = models.TextField(
        help_text="the native row as JSON, byte by byte what its hash is of, without the line's end"
    )
    sha256 = models.CharField(max_length=64)
    lineage = models.JSONField(
        default=dict, help_text="ids at the time of the build: judgements, adjudication, noise, routing; and `changes`"
    )

    class Meta:
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(fields=["version", "position"], name="row_position"),
            # With what tells two versions apart, so that a million rows are compared without being read.
            models.UniqueConstraint(
                fields=["version", "comparison"],
                include=["sha256", "split", "verdict", "side"],
                name="row_comparison_once",
            ),
            models.CheckConstraint(
                condition=Q(verdict="chosen", side__in=["a", "b"]) | Q(verdict__in=["tie", "both_bad"], side=""),
                name="row_side_goes_with_verdict",
            ),
        ]
        indexes = [
            models.Index(fields=["version", "split", "position"], name="row_split"),
            # Rare ones are found among a million without reading them all.
            models.Index(
                fields=["version", "verdict", "position"], name="row_undecided", condition=~Q(verdict="chosen")
            ),
            models.Index(fields=["version", "position"], name="row_changed", condition=Q(lineage__has_key="changes")),
        ]

    def __str__(self) -> str:
        return f"{self.version_id}#{self.position}"

    @property
    def row(self) -> dict[str, Any]:
        """The native row: `curation.exports.schema.Row`, or `Undecided` where no side is chosen."""
        read: dict[str, Any] = json.loads(self.line)
        return read


class DroppedRow(models.Model):
    """A comparison that a version leaves out, by which rule, and because of what."""

    version = models.ForeignKey(DatasetVersion, on_delete=models.PROTECT, related_name="dropped_rows")
    comparison = models.ForeignKey("annotate.Comparison", on_delete=models.CASCADE, related_name="dropped_rows")
    rule = models.CharField(max_length=64)
    cause = models.CharField(max_length=300)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["version", "comparison"], name="dropped_once")]
        indexes = [models.Index(fields=["version", "rule"], name="dropped_rule")]

    def __str__(self) -> str:
        return f"{self.rule}: {self.cause}"


class VersionFile(models.Model):
    """A file of a version, such as train.parquet, in the content-addressed store."""

    version = models.ForeignKey(DatasetVersion, on_delete=models.PROTECT, related_name="files")
    name = models.CharField(max_length=100)
    split = models.CharField(max_length=16)
    undecided = models.BooleanField(default=False, help_text="holds the rows without a chosen side, and no other")
    rows = models.PositiveIntegerField()
    artifact = models.ForeignKey("runs.Artifact", on_delete=models.PROTECT, related_name="+")
    former = models.JSONField(
        default=list, help_text="[{sha256, rows, withdrawal, at}]: what it was before withdrawals"
    )

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["version", "name"], name="version_file_once")]

    def __str__(self) -> str:
        return self.name


class VersionContribution(models.Model):
    """How much of a version is one rater's: so that from a person or a judge every version is found."""

    version = models.ForeignKey(DatasetVersion, on_delete=models.CASCADE, related_name="contributions")
    rater = models.ForeignKey("annotate.Rater", on_delete=models.CASCADE, related_name="contributions")
    rows = models.PositiveIntegerField()
    judgements = models.PositiveIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["version", "rater"], name="contribution_once")]

    def __str__(self) -> str:
        return f"{self.rater_id} in {self.version_id}: {self.rows}"


class VersionWork(models.Model):
    """The judgements that a version's rows rest on, by what their raters saw: from guidelines, a form or a rubric every
    version is found that holds what was said under it. With what they cost; as it was built, whatever goes later."""

    version = models.ForeignKey(DatasetVersion, on_delete=models.CASCADE, related_name="work")
    kind = models.CharField(max_length=16, help_text="annotator or judge")
    form = models.ForeignKey("annotate.Form", null=True, on_delete=models.CASCADE, related_name="+")
    rubric = models.ForeignKey("annotate.Rubric", null=True, on_delete=models.CASCADE, related_name="+")
    rows = models.PositiveIntegerField()
    judgements = models.PositiveIntegerField()
    seconds = models.FloatField(help_text="active time, of those judgements where it is known")
    timed = models.PositiveIntegerField(help_text="judgements whose active time is known")
    price = models.DecimalField(max_digits=20, decimal_places=8, help_text="of the calls that are known")
    priced = models.PositiveIntegerField(help_text="judgements whose call is known")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["version", "kind", "form", "rubric"], nulls_distinct=False, name="version_work_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.version_id}: {self.judgements}"


class VersionTag(models.Model):
    """A name for a version, such as `prod`, that may move to another; every move is in the audit log."""

    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="tags")
    name = models.CharField(
        max_length=40,
        validators=[
            RegexValidator(r"^(?!latest$)[a-z][a-z0-9-]*$", "lower-case letters, digits and hyphens; a letter first")
        ],
    )
    version = models.ForeignKey(DatasetVersion, on_delete=models.CASCADE, related_name="tags")
    by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(fields=["dataset", "name"], name="tag_once"),
            models.CheckConstraint(condition=Q(name__regex=r"^[a-z][a-z0-9-]*$") & ~Q(name="latest"), name="tag_name"),
        ]

    def __str__(self) -> str:
        return self.name


class VersionNote(models.Model):
    """What somebody wrote about a version; never altered."""

    version = models.ForeignKey(DatasetVersion, on_delete=models.CASCADE, related_name="notes")
    text = models.TextField()
    by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return self.text[:60]


class Withdrawal(models.Model):
    """A person's data, or a comparison, taken back: out of the project, and out of every version that holds it."""

    class Kind(models.TextChoices):
        RATER = "rater", "all that one rater said"
        COMPARISON = "comparison", "one comparison with its texts"

    project = models.ForeignKey("accounts.Project", on_delete=models.CASCADE, related_name="withdrawals")
    kind = models.CharField(max_length=16, choices=Kind.choices)
    rater = models.ForeignKey("annotate.Rater", null=True, on_delete=models.CASCADE, related_name="withdrawals")
    comparison = models.ForeignKey(
        "annotate.Comparison", null=True, on_delete=models.CASCADE, related_name="withdrawals"
    )
    reason = models.TextField()
    by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    at = models.DateTimeField(db_default=Now())
    run = models.ForeignKey("runs.Run", null=True, on_delete=models.SET_NULL, related_name="+")

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["rater"], name="withdrawal_rater_once"),
            models.UniqueConstraint(fields=["comparison"], name="withdrawal_comparison_once"),
            models.CheckConstraint(
                condition=Q(kind="rater", rater__isnull=False, comparison__isnull=True)
                | Q(kind="comparison", comparison__isnull=False, rater__isnull=True),
                name="withdrawal_of_one_thing",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.rater_id or self.comparison_id}"


class Tombstone(models.Model):
    """What stands where a version's row was taken out or lost a vote: its hash, so that the chain is still provable."""

    withdrawal = models.ForeignKey(Withdrawal, on_delete=models.PROTECT, related_name="tombstones")
    version = models.ForeignKey(DatasetVersion, on_delete=models.PROTECT, related_name="tombstones")
    position = models.PositiveIntegerField()
    external_id = models.CharField(max_length=200)
    split = models.CharField(max_length=16)
    verdict = models.CharField(max_length=8, choices=DatasetRow.Verdict.choices)
    sha256 = models.CharField(max_length=64, help_text="of the row as it was")
    became = models.CharField(
        max_length=64, blank=True, default="", help_text="hash of what is left; empty: nothing is"
    )
    at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["version", "position", "id"]
        constraints = [
            models.UniqueConstraint(fields=["version", "position", "withdrawal"], name="tombstone_once"),
        ]

    def __str__(self) -> str:
        return f"{self.version_id}#{self.position}"


class EvaluationSet(models.Model):
    """Texts that no training row may repeat: a benchmark that recipes are decontaminated against, by its name."""

    project = models.ForeignKey("accounts.Project", on_delete=models.CASCADE, related_name="evaluation_sets")
    name = models.CharField(max_length=64, validators=[slug_validator])
    texts = models.PositiveIntegerField()
    sha256 = models.CharField(max_length=64)
    artifact = models.ForeignKey("runs.Artifact", on_delete=models.PROTECT, related_name="+")
    by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["project", "name"], name="evaluation_set_once")]

    def __str__(self) -> str:
        return self.name

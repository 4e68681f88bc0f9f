"""Comparison: a prompt and two completions, a and b, where it stands on its way to a consensus, and in which lane."""

from __future__ import annotations

from typing import Any, Final, Self

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _


class ComparisonQuerySet(models.QuerySet["Comparison"]):
    def visible_to(self, user: Any) -> Self:
        """Comparisons of projects whose curator pages the user may read. Annotators see theirs by assignment only."""
        from tiebreak.accounts.models import Project
        from tiebreak.accounts.roles import Can

        return self.filter(project__in=Project.objects.where(user, Can.READ))

    def open(self) -> Self:
        """Waits for people: routed to them, and with a free seat."""
        return self.filter(status=Comparison.Status.OPEN, route=Comparison.Route.HUMAN, full=False)


class Lane(models.Model):
    """Comparisons of a project that ask the same of a rater and come from the same part of it.

    A claim chooses among the lanes that its rater may enter, so what a rater cannot judge is never read past, and no
    source or difficulty crowds out another. Lane 0 has no row: it asks nothing, and everybody may enter it.
    """

    project = models.ForeignKey("accounts.Project", on_delete=models.CASCADE, related_name="lanes")
    number = models.PositiveSmallIntegerField()
    skills = ArrayField(models.CharField(max_length=60), default=list, help_text="all of them are needed")
    language = models.CharField(max_length=35, blank=True, default="", help_text="a BCP 47 tag, such as de")
    stratum = models.CharField(max_length=200, blank=True, default="", help_text="the values of the form's `mix_by`")

    class Meta:
        ordering = ["number"]
        constraints = [
            models.UniqueConstraint(fields=["project", "number"], name="lane_number"),
            models.UniqueConstraint(fields=["project", "skills", "language", "stratum"], name="lane_once"),
            models.CheckConstraint(condition=Q(number__gte=1), name="lane_number_positive"),
        ]

    def __str__(self) -> str:
        return f"lane {self.number}"


class Comparison(models.Model):
    """`seats_taken` counts the assignments that take a seat (`Assignment.SEATED`, of purpose "work"). A trigger on
    assignments keeps it, and a CHECK forbids more than `overlap`: the database itself cannot hold one annotator too
    many. `full` stands in the queue's index instead of the count, so that a claim rewrites no index but at the last
    seat."""

    class Status(models.TextChoices):
        OPEN = "open", "judgements are wanted"
        DISPUTED = "disputed", "raters disagree; an adjudicator decides"
        SETTLED = "settled", "decided: enough agreement, or adjudicated"
        WITHDRAWN = "withdrawn", "taken out by a curator; kept for the record"

    TRANSITIONS: Final = {
        Status.OPEN: frozenset({Status.DISPUTED, Status.SETTLED, Status.WITHDRAWN}),
        Status.DISPUTED: frozenset({Status.OPEN, Status.SETTLED, Status.WITHDRAWN}),
        Status.SETTLED: frozenset({Status.OPEN, Status.DISPUTED, Status.WITHDRAWN}),
        Status.WITHDRAWN: frozenset({Status.OPEN}),
    }

    class Route(models.TextChoices):
        HUMAN = "human", "people judge it"
        JUDGE = "judge", "a judge's verdict stands in for people"

    class Priority(models.IntegerChoices):
        NORMAL = 0, _("in its turn")
        SOON = 1, _("before the others: the router wants it")
        FIRST = 2, _("first: sent back by a reward model or a curator")

    project = models.ForeignKey(
        "accounts.Project", on_delete=models.CASCADE, related_name="comparisons", db_index=False
    )  # comparison_external_id begins with it
    external_id = models.CharField(max_length=200, help_text="the user's own id")
    prompt = models.ForeignKey("annotate.Prompt", on_delete=models.PROTECT, related_name="comparisons")
    completion_a = models.ForeignKey("annotate.Completion", on_delete=models.PROTECT, related_name="+")
    completion_b = models.ForeignKey("annotate.Completion", on_delete=models.PROTECT, related_name="+")

    group = models.CharField(max_length=200, help_text="comparisons of one group never stand in different splits")
    reference = models.TextField(null=True)
    context = models.TextField(null=True)
    metadata = models.JSONField(default=dict)
    gold = models.SmallIntegerField(null=True, help_text="the known preference")
    gold_because = models.TextField(blank=True, default="", help_text="why; told to those who practise on it")
    content_sha256 = models.CharField(max_length=64, help_text="of everything imported: unchanged rows are not written")

    status = models.CharField(max_length=16, choices=Status.choices, default=Status.OPEN)
    route = models.CharField(max_length=8, choices=Route.choices, default=Route.HUMAN)
    priority = models.SmallIntegerField(choices=Priority.choices, default=Priority.NORMAL)
    overlap = models.PositiveSmallIntegerField(help_text="seats for annotators")
    seats_taken = models.PositiveSmallIntegerField(default=0, db_default=0)
    full = models.GeneratedField(
        expression=Q(seats_taken__gte=F("overlap")),  # type: ignore[arg-type]  # it is one; the stubs do not say so
        output_field=models.BooleanField(),
        db_persist=True,
    )
    lane = models.PositiveSmallIntegerField(default=0, db_default=0)
    shuffle = models.FloatField(
        help_text="place in its lane, in [0, 1): uniform by chance, so that claims start at random points and not at "
        "one hot row; or rising, where the form asks for the order of import"
    )
    returned_because = models.CharField(
        max_length=300, blank=True, default="", help_text="why it came back to people; for curators only"
    )
    import_run = models.ForeignKey("runs.Run", null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(db_default=Now())
    updated_at = models.DateTimeField(db_default=Now())

    objects = ComparisonQuerySet.as_manager()

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["project", "external_id"], name="comparison_external_id"),
            # Overlap is never exceeded, whoever inserts and however many at once.
            models.CheckConstraint(condition=Q(seats_taken__lte=F("overlap")), name="comparison_overlap"),
            models.CheckConstraint(condition=~Q(completion_a=F("completion_b")), name="comparison_of_two"),
            models.CheckConstraint(condition=Q(gold__gte=-3, gold__lte=3) | Q(gold=None), name="comparison_gold"),
            models.CheckConstraint(
                condition=Q(status__in=["open", "disputed", "settled", "withdrawn"]), name="comparison_status_known"
            ),
            models.CheckConstraint(condition=Q(route__in=["human", "judge"]), name="comparison_route_known"),
        ]
        indexes = [
            # The queue of people: only rows with a free seat are in it.
            models.Index(
                fields=["project", "lane", "-priority", "shuffle"],
                name="comparison_queue",
                condition=Q(status="open", route="human", full=False),
            ),
            models.Index(fields=["project", "shuffle"], name="comparison_gold", condition=Q(gold__isnull=False)),
            models.Index(fields=["project", "status", "id"], name="comparison_status"),
            models.Index(fields=["project", "group"], name="comparison_group"),
            GinIndex(fields=["metadata"], name="comparison_metadata", opclasses=["jsonb_path_ops"]),
        ]

    def __str__(self) -> str:
        return self.external_id

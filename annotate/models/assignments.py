"""Assignment: a lease of one comparison to one annotator, with the order shown and a fence against late answers."""

from __future__ import annotations

from typing import Any, Final, Self

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now


class Order(models.TextChoices):
    AB = "ab", "a stood left, or first"
    BA = "ba", "b stood left, or first"


class AssignmentQuerySet(models.QuerySet["Assignment"]):
    def held_by(self, user: Any) -> Self:
        """The user's own assignments: nobody else's can be seen, let alone answered."""
        return self.filter(rater__user_id=user.pk) if user.is_authenticated else self.none()


class Assignment(models.Model):
    """Work that is ahead, leased or submitted takes a seat of its comparison; the rest has given it back.

    Hidden gold and hidden repeats take none: they measure the rater, and everybody may be given them.
    """

    class Status(models.TextChoices):
        AHEAD = "ahead", "fetched ahead: it becomes leased when the one before it is done"
        LEASED = "leased", "the annotator has it before them"
        SUBMITTED = "submitted", "answered; the judgement holds the answer"
        SKIPPED = "skipped", "the annotator passed, with a reason; it is not offered to them again"
        EXPIRED = "expired", "the lease ran out and the seat went back"
        RELEASED = "released", "given back by the annotator or a curator"

    class Purpose(models.TextChoices):
        WORK = "work", "the comparison wants judgements; takes a seat"
        GOLD = "gold", "its answer is known, and the annotator is measured; takes no seat"
        REPEAT = "repeat", "asked again with the sides swapped, to measure self-consistency; takes no seat"

    TRANSITIONS: Final = {
        Status.AHEAD: frozenset({Status.LEASED, Status.EXPIRED, Status.RELEASED}),
        Status.LEASED: frozenset({Status.SUBMITTED, Status.SKIPPED, Status.EXPIRED, Status.RELEASED}),
        Status.SUBMITTED: frozenset(),
        Status.SKIPPED: frozenset(),
        Status.EXPIRED: frozenset(),
        Status.RELEASED: frozenset(),
    }
    INITIAL: Final = (Status.LEASED, Status.AHEAD, Status.SUBMITTED)  # imported answers begin submitted
    SEATED: Final = (Status.AHEAD, Status.LEASED, Status.SUBMITTED)
    HELD: Final = (Status.AHEAD, Status.LEASED)

    comparison = models.ForeignKey("annotate.Comparison", on_delete=models.CASCADE, related_name="assignments")
    # assignment_rater begins with it: an index of its own would cost every claim, and serve none.
    rater = models.ForeignKey("annotate.Rater", on_delete=models.PROTECT, related_name="assignments", db_index=False)
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.LEASED)
    purpose = models.CharField(max_length=8, choices=Purpose.choices, default=Purpose.WORK, db_default=Purpose.WORK)
    repeat = models.PositiveSmallIntegerField(default=0, help_text="0; above, a hidden repeat for self-consistency")
    order = models.CharField(max_length=2, choices=Order.choices)
    form = models.ForeignKey("annotate.Form", null=True, on_delete=models.PROTECT, related_name="+")
    expires_at = models.DateTimeField(null=True, help_text="empty once it is no longer held")
    draft = models.JSONField(default=dict)
    skip_reason = models.CharField(max_length=300, blank=True, default="")
    created_at = models.DateTimeField(db_default=Now())
    closed_at = models.DateTimeField(null=True)

    objects = AssignmentQuerySet.as_manager()

    class Meta:
        constraints = [
            # One rater holds or has answered one reading of a comparison once.
            models.UniqueConstraint(
                fields=["comparison", "rater", "repeat"],
                condition=Q(status__in=["ahead", "leased", "submitted"]),
                name="assignment_once",
            ),
            # A person looks at one comparison at a time: a second tab gets the same one.
            models.UniqueConstraint(fields=["rater"], condition=Q(status="leased"), name="assignment_one_live"),
            # And one is fetched ahead of it.
            models.UniqueConstraint(fields=["rater"], condition=Q(status="ahead"), name="assignment_one_ahead"),
            models.CheckConstraint(
                condition=Q(status__in=["ahead", "leased"], expires_at__isnull=False)
                | (~Q(status__in=["ahead", "leased"]) & Q(expires_at=None)),
                name="assignment_lease_has_end",
            ),
            models.CheckConstraint(
                condition=Q(purpose__in=["work", "gold", "repeat"]), name="assignment_purpose_known"
            ),
            models.CheckConstraint(condition=~Q(purpose="repeat") | Q(repeat__gte=1), name="assignment_repeat_is_one"),
            models.CheckConstraint(condition=Q(order__in=["ab", "ba"]), name="assignment_order_known"),
            models.CheckConstraint(
                condition=Q(status__in=["ahead", "leased", "submitted", "skipped", "expired", "released"]),
                name="assignment_status_known",
            ),
        ]
        indexes = [
            models.Index(fields=["expires_at"], name="assignment_lapsing", condition=Q(status__in=["ahead", "leased"])),
            models.Index(fields=["rater", "-id"], name="assignment_hidden", condition=~Q(purpose="work")),
            models.Index(fields=["rater", "comparison"], name="assignment_rater"),
        ]

    def __str__(self) -> str:
        return f"assignment {self.pk}"

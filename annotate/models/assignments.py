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
    """Leased and submitted assignments take a seat of the comparison; the others have given it back."""

    class Status(models.TextChoices):
        LEASED = "leased", "the annotator has it before them"
        SUBMITTED = "submitted", "answered; the judgement holds the answer"
        SKIPPED = "skipped", "the annotator passed, with a reason; it is not offered to them again"
        EXPIRED = "expired", "the lease ran out and the seat went back"
        RELEASED = "released", "given back by the annotator or a curator"

    TRANSITIONS: Final = {
        Status.LEASED: frozenset({Status.SUBMITTED, Status.SKIPPED, Status.EXPIRED, Status.RELEASED}),
        Status.SUBMITTED: frozenset(),
        Status.SKIPPED: frozenset(),
        Status.EXPIRED: frozenset(),
        Status.RELEASED: frozenset(),
    }
    SEATED: Final = (Status.LEASED, Status.SUBMITTED)

    comparison = models.ForeignKey("annotate.Comparison", on_delete=models.CASCADE, related_name="assignments")
    rater = models.ForeignKey("annotate.Rater", on_delete=models.PROTECT, related_name="assignments")
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.LEASED)
    repeat = models.PositiveSmallIntegerField(default=0, help_text="0; above, a hidden repeat for self-consistency")
    order = models.CharField(max_length=2, choices=Order.choices)
    form = models.ForeignKey("annotate.Form", null=True, on_delete=models.PROTECT, related_name="+")
    expires_at = models.DateTimeField(null=True, help_text="empty once it is no longer leased")
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
                condition=Q(status__in=["leased", "submitted"]),
                name="assignment_once",
            ),
            # A person looks at one comparison at a time: a second tab gets the same one.
            models.UniqueConstraint(fields=["rater"], condition=Q(status="leased"), name="assignment_one_live"),
            models.CheckConstraint(
                condition=Q(status="leased", expires_at__isnull=False) | (~Q(status="leased") & Q(expires_at=None)),
                name="assignment_lease_has_end",
            ),
            models.CheckConstraint(condition=Q(order__in=["ab", "ba"]), name="assignment_order_known"),
            models.CheckConstraint(
                condition=Q(status__in=["leased", "submitted", "skipped", "expired", "released"]),
                name="assignment_status_known",
            ),
        ]
        indexes = [
            models.Index(fields=["expires_at"], name="assignment_lapsing", condition=Q(status="leased")),
            models.Index(fields=["rater", "comparison"], name="assignment_rater"),
        ]

    def __str__(self) -> str:
        return f"assignment {self.pk}"

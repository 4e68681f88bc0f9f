"""What is said about comparisons and judgements: flags, comments, reviews, and the decision of a dispute."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from .raters import Rater


class Flag(models.Model):
    """An annotator says that something is wrong with a comparison; a curator resolves it."""

    class Kind(models.TextChoices):
        UNSAFE = "unsafe", _("unsafe or disturbing")
        PERSONAL_DATA = "personal_data", _("holds personal data")
        BROKEN = "broken", _("broken or cut off")
        BOTH_SAME = "both_same", _("both responses are the same")
        OTHER = "other", _("something else")

    comparison = models.ForeignKey("annotate.Comparison", on_delete=models.CASCADE, related_name="flags")
    rater = models.ForeignKey("annotate.Rater", on_delete=models.CASCADE, related_name="flags")
    kind = models.CharField(max_length=16, choices=Kind.choices)
    note = models.TextField(blank=True, default="")
    created_at = models.DateTimeField(db_default=Now())
    resolved_at = models.DateTimeField(null=True)
    resolved_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    resolution = models.CharField(max_length=300, blank=True, default="")

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["comparison", "rater", "kind"], condition=Q(resolved_at=None), name="flag_open_once"
            ),
            models.CheckConstraint(
                condition=Q(kind__in=["unsafe", "personal_data", "broken", "both_same", "other"]),
                name="flag_kind_known",
            ),
            models.CheckConstraint(
                condition=Q(resolved_at=None, resolved_by=None)
                | Q(resolved_at__isnull=False, resolved_by__isnull=False),
                name="flag_resolved_by_someone",
            ),
        ]
        indexes = [models.Index(fields=["comparison"], name="flag_open", condition=Q(resolved_at=None))]

    def __str__(self) -> str:
        return self.kind


class Comment(models.Model):
    """A remark on a comparison (and, where given, on one judgement of it), or a message to a rater."""

    project = models.ForeignKey("accounts.Project", on_delete=models.CASCADE, related_name="comments")
    comparison = models.ForeignKey("annotate.Comparison", null=True, on_delete=models.CASCADE, related_name="comments")
    judgement = models.ForeignKey("annotate.Judgement", null=True, on_delete=models.CASCADE, related_name="comments")
    rater = models.ForeignKey(
        "annotate.Rater",
        null=True,
        on_delete=models.CASCADE,
        related_name="messages",
        help_text="whom it is a message to",
    )
    author = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="comments")
    text = models.TextField()
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(comparison__isnull=False) | Q(rater__isnull=False), name="comment_is_about_something"
            ),
            models.CheckConstraint(
                condition=Q(judgement=None) | Q(comparison__isnull=False), name="comment_judgement_has_comparison"
            ),
            models.CheckConstraint(condition=~Q(text=""), name="comment_says_something"),
        ]

    def __str__(self) -> str:
        return self.text[:80]


class Mention(models.Model):
    """Somebody was named in a comment, or is the receiver of a message; unread until `seen_at`."""

    comment = models.ForeignKey(Comment, on_delete=models.CASCADE, related_name="mentions")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="mentions")
    seen_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["comment", "user"], name="mention_once")]
        indexes = [models.Index(fields=["user"], name="mention_unseen", condition=Q(seen_at=None))]

    def __str__(self) -> str:
        return f"{self.user_id} in {self.comment_id}"


class Review(models.Model):
    """What an adjudicator says of one judgement (one revision of it). A corrected one has an adjudication beside it."""

    class Verdict(models.TextChoices):
        ACCEPTED = "accepted", "stands as it is"
        CORRECTED = "corrected", "stays for the record; the adjudication decides"
        RETURNED = "returned", "goes back to its annotator, who revises it or explains"

    judgement = models.OneToOneField("annotate.Judgement", on_delete=models.CASCADE, related_name="review")
    verdict = models.CharField(max_length=16, choices=Verdict.choices)
    reason = models.TextField(blank=True, default="")
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(db_default=Now())
    answered_at = models.DateTimeField(null=True, help_text="a returned one: when its annotator answered")

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(verdict__in=["accepted", "corrected", "returned"]), name="review_verdict_known"
            ),
            # Whoever is told to do it again, or is overruled, is told why.
            models.CheckConstraint(condition=Q(verdict="accepted") | ~Q(reason=""), name="review_has_reason"),
            models.CheckConstraint(
                condition=Q(answered_at=None) | Q(verdict="returned"), name="review_answered_was_returned"
            ),
        ]

    def __str__(self) -> str:
        return self.verdict


class AdjudicationQuerySet(models.QuerySet["Adjudication"]):
    def of(self, rater: Rater) -> AdjudicationQuerySet:
        """What the person decided in the rater's project, here or where it was imported from."""
        theirs = Q(rater=rater)
        if rater.user_id:
            theirs |= Q(by=rater.user_id, comparison__project=rater.project_id)
        return self.filter(theirs)


class Adjudication(models.Model):
    """An expert's decision on a comparison, with its reason. The current one is its consensus."""

    comparison = models.ForeignKey("annotate.Comparison", on_delete=models.CASCADE, related_name="adjudications")
    current = models.BooleanField(default=True)
    preference = models.SmallIntegerField(null=True)
    both_bad = models.BooleanField(default=False)
    reason = models.TextField()
    by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    rater = models.ForeignKey(
        "annotate.Rater", null=True, on_delete=models.PROTECT, related_name="+", help_text="whose it is where imported"
    )
    created_at = models.DateTimeField(db_default=Now())

    objects = AdjudicationQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["comparison"], condition=Q(current=True), name="adjudication_one_current"),
            models.CheckConstraint(
                condition=Q(by=None, rater__isnull=False) | Q(by__isnull=False, rater=None), name="adjudication_by_one"
            ),
            models.CheckConstraint(
                condition=Q(preference=None) | Q(preference__gte=-3, preference__lte=3), name="adjudication_preference"
            ),
            models.CheckConstraint(
                condition=Q(preference__isnull=False) | Q(both_bad=True), name="adjudication_decides"
            ),
            models.CheckConstraint(condition=~Q(reason=""), name="adjudication_has_reason"),
        ]

    def __str__(self) -> str:
        return f"{self.preference}"

    @property
    def adjudicator(self) -> str:
        """Whose it is, as members of the project read it."""
        return str(self.by or self.rater)

"""Users, projects (the boundary of what anyone may see), members and API tokens."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from datetime import datetime
from typing import Any, ClassVar, Final, Self

from django.contrib.auth.models import AbstractUser
from django.contrib.postgres.fields import ArrayField
from django.core.validators import RegexValidator
from django.db import connection, models
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from tiebreak.core.rows import row

from .roles import MAY, Can, Role, roles_that

slug_validator = RegexValidator(r"\A[a-z0-9][a-z0-9-]*\Z", "lower-case letters, digits and hyphens, such as chat-2026")


class User(AbstractUser):
    """A person who signs in. What they may do is said by their memberships, never by this row."""

    theme = models.CharField(max_length=8, default="auto", choices=[(t, t) for t in ("auto", "light", "dark")])
    language = models.CharField(max_length=16, blank=True, default="", help_text="of the pages; empty: the browser's")
    keys = models.JSONField(default=dict, blank=True, help_text="{action: key}: keys that they chose for themselves")


class ProjectQuerySet(models.QuerySet["Project"]):
    def visible_to(self, user: Any) -> Self:
        """Projects that the user is a member of, in any role; each knows that role without a further query."""
        if not user.is_authenticated:
            return self.none()
        mine = self.filter(members__user_id=user.pk)
        return mine.annotate(member_id=F("members__user_id"), member_role=F("members__role"))

    def where(self, user: Any, can: Can) -> Self:
        """Projects in which the user holds a permission."""
        if not user.is_authenticated:
            return self.none()
        return self.filter(members__user_id=user.pk, members__role__in=roles_that(can))


class Project(models.Model):
    """A body of comparisons with its own members, forms, raters and datasets. Nothing crosses its border."""

    slug = models.CharField(max_length=64, unique=True, validators=[slug_validator])
    name = models.CharField(max_length=200)
    description = models.TextField(blank=True, default="")
    created_at = models.DateTimeField(db_default=Now())
    archived_at = models.DateTimeField(null=True, blank=True)
    budget = models.DecimalField(max_digits=12, decimal_places=4, null=True, blank=True, help_text="money for judges")

    objects = ProjectQuerySet.as_manager()

    class Meta:
        ordering = ["slug"]

    def __str__(self) -> str:
        return self.name

    def known_role(self, user_id: int | None, role: str | None) -> None:
        """Take over what a query has read with this project: a user's role here."""
        self.member_id, self.member_role = user_id if role else None, role

    def role_of(self, user: Any) -> str | None:
        """The user's role here, or None (one query, or none where `visible_to` this user found the project)."""
        if getattr(self, "member_id", None) == user.pk is not None:
            return self.member_role
        return self.members.filter(user_id=user.pk).values_list("role", flat=True).first()

    def allows(self, user: Any, can: Can) -> bool:
        role = self.role_of(user)
        return role is not None and can in MAY[role]


class Membership(models.Model):
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="members")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=16, choices=Role.choices)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            # A person has one role in a project; two rows would make "may they?" a matter of luck.
            models.UniqueConstraint(fields=["project", "user"], name="member_once"),
            models.CheckConstraint(condition=models.Q(role__in=Role.values), name="member_role_known"),
        ]

    def __str__(self) -> str:
        return f"{self.user} is {self.role} of {self.project}"


class Scope(models.TextChoices):
    ANNOTATE = "annotate", _("take comparisons and submit judgements")
    IMPORT = "import", _("send rows in")
    CURATE = "curate", _("everything a curator does")
    EXPORT = "export", _("read dataset versions, the protected test split included")
    JUDGE = "judge", _("send judges' judgements")
    TRAIN = "train", _("read dataset versions for training: never the test split")


class ApiToken(models.Model):
    """A bearer token: 256 random bits shown once, kept as SHA-256, scoped, expiring, revocable.

    The bits are random, so a fast hash is right: there is no dictionary to try.
    """

    PREFIX: ClassVar[str] = "tbk"

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="api_tokens")
    project = models.ForeignKey(
        Project,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        help_text="only this project; empty: all of the user's",
    )
    name = models.CharField(max_length=100)
    prefix = models.CharField(max_length=8, unique=True)
    digest = models.CharField(max_length=64)
    scopes = ArrayField(models.CharField(max_length=16, choices=Scope.choices))
    created_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(scopes__contained_by=Scope.values) & ~models.Q(scopes=[]), name="token_scopes_known"
            )
        ]

    def __str__(self) -> str:
        return f"{self.PREFIX}_{self.prefix}_…"

    @classmethod
    def issue(
        cls, user: User, name: str, scopes: list[str], *, expires_at: datetime, project: Project | None = None
    ) -> tuple[ApiToken, str]:
        """A new token and its secret text, which exists nowhere else."""
        prefix, secret = secrets.token_hex(4), secrets.token_urlsafe(32)
        token = cls.objects.create(
            user=user,
            project=project,
            name=name,
            prefix=prefix,
            digest=hashlib.sha256(secret.encode()).hexdigest(),
            scopes=sorted(scopes),
            expires_at=expires_at,
        )
        return token, f"{cls.PREFIX}_{prefix}_{secret}"

    @classmethod
    def find(cls, text: str) -> ApiToken | None:
        """The live token with this text, or None. Compares digests in constant time."""
        parts = text.split("_", 2)
        if len(parts) != 3 or parts[0] != cls.PREFIX or not (parts[1].isascii() and parts[1].isalnum()):
            return None
        token = cls._by_prefix(parts[1])
        digest = hashlib.sha256(parts[2].encode("utf-8", "replace")).hexdigest()
        if not hmac.compare_digest(digest, token.digest if token else "0" * 64) or token is None:
            return None
        return token if token.is_live(timezone.now()) and token.user.is_active else None

    @classmethod
    def _by_prefix(cls, prefix: str) -> ApiToken | None:
        """The token with its user and project. Every request of the API begins here, so it is not left to the ORM."""
        with connection.cursor() as cursor:
            cursor.execute(BY_PREFIX, [prefix])
            found = cursor.fetchone()
        if found is None:
            return None
        told = json.loads(found[0])
        token = row(cls, told["token"])
        token.user = row(User, told["user"])
        token.project = None if token.project_id is None else row(Project, told["project"])
        return token

    def is_live(self, now: datetime) -> bool:
        return self.revoked_at is None and self.expires_at > now


BY_PREFIX: Final = """
SELECT json_build_object('token', to_json(t), 'user', to_json(u), 'project', to_json(p))::text
FROM accounts_apitoken AS t JOIN accounts_user AS u ON u.id = t.user_id
LEFT JOIN accounts_project AS p ON p.id = t.project_id WHERE t.prefix = %s
"""

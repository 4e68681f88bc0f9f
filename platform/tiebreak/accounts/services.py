"""What is done to members and tokens: each change checks who asks, and leaves an audit event."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext

from tiebreak.core.errors import Conflict, Invalid, NotAllowed, NotFound
from tiebreak.core.models import record

from .models import ApiToken, Membership, Project, Scope, User
from .roles import Can, Role

MAX_TOKEN_DAYS: Final = 366


def create_token(
    user: User, name: str, scopes: Sequence[str], *, days: int, project: Project | None = None
) -> tuple[ApiToken, str]:
    """A token of the user's own, and its secret text, which can be read here and never again.

    Raises Invalid naming the field, NotFound where the user is no member of the project.
    """
    name = name.strip()
    if not 1 <= len(name) <= 100:
        raise Invalid(f"name: expected 1 to 100 characters, got {len(name)}.", field="name")
    unknown = sorted(set(scopes) - set(Scope.values))
    if unknown or not scopes:
        expected = f"at least one of {', '.join(Scope.values)}"
        raise Invalid(f"scopes: expected {expected}, got {', '.join(unknown) or 'none'}.", field="scopes")
    if not 1 <= days <= MAX_TOKEN_DAYS:
        raise Invalid(f"days: expected 1 to {MAX_TOKEN_DAYS}, got {days}.", field="days")
    if project is not None and project.role_of(user) is None:
        raise NotFound(gettext("There is no such project that you are a member of."), code="no_project")
    with transaction.atomic():
        expires_at = timezone.now() + timedelta(days=days)
        token, secret = ApiToken.issue(user, name, sorted(set(scopes)), expires_at=expires_at, project=project)
        record("token.created", token, by=user, project=project, scopes=token.scopes, days=days)
    return token, secret


def revoke_token(token: ApiToken, *, by: User) -> ApiToken:
    """End a token now. Only its owner can; revoking twice is one revocation."""
    if token.user_id != by.pk:
        raise NotFound(gettext("There is no such token of yours."), code="no_token")
    with transaction.atomic():
        now = timezone.now()
        if ApiToken.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=now):
            record("token.revoked", token, by=by, project=token.project_id)
            token.revoked_at = now
    return token


def set_role(project: Project, username: str, role: str, *, by: User) -> Membership:
    """Make a person a member with a role, or give a member another one. Locks the project's row."""
    _may_manage(project, by)
    if role not in Role.values:
        raise Invalid(f"role: expected one of {', '.join(Role.values)}, got {role!r}.", field="role")
    user = User.objects.filter(username=username.strip(), is_active=True).first()
    if user is None:
        raise Invalid(f"username: nobody here is called {username.strip()!r}.", field="username")
    with transaction.atomic():
        _hold(project)
        member = Membership.objects.filter(project=project, user=user).first()
        before = member.role if member else None
        if member and before == Role.OWNER and role != Role.OWNER:
            _keep_an_owner(project, member)
        member, _ = Membership.objects.update_or_create(project=project, user=user, defaults={"role": role})
        if before != role:
            record("member.role_set", member, by=by, project=project, user=user.pk, before=before, after=role)
    return member


def remove_member(member: Membership, *, by: User) -> None:
    """End a membership; what the person did stays. Locks the project's row."""
    project = member.project
    _may_manage(project, by)
    with transaction.atomic():
        _hold(project)
        if member.role == Role.OWNER:
            _keep_an_owner(project, member)
        record("member.removed", member, by=by, project=project, user=member.user_id, role=member.role)
        member.delete()


def _may_manage(project: Project, by: Any) -> None:
    if not project.allows(by, Can.MANAGE):
        raise NotAllowed(gettext("Only an owner of the project can change its members."), code="role_too_small")


def _hold(project: Project) -> None:
    Project.objects.select_for_update(no_key=True).get(pk=project.pk)


def _keep_an_owner(project: Project, leaving: Membership) -> None:
    """A project without an owner could never be managed again."""
    if not project.members.filter(role=Role.OWNER).exclude(pk=leaving.pk).exists():
        raise Conflict(
            gettext("This is the last owner: make somebody else an owner first."), code="last_owner", field="role"
        )

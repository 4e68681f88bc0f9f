"""What a caller may do: the token's scope first, then the role in the project."""

from __future__ import annotations

from typing import Any, ClassVar

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from tiebreak.accounts.models import ApiToken, Project
from tiebreak.accounts.roles import Can
from tiebreak.core.errors import NotAllowed, NotFound


class HasScope(BasePermission):
    """The view names `scopes`: any one of them opens it. A session needs none; its roles decide."""

    message = "This token lacks the scope that is needed."

    def has_permission(self, request: Request, view: Any) -> bool:
        if not request.user.is_authenticated:
            return False
        token = request.auth
        if not isinstance(token, ApiToken):
            return True
        wanted: set[str] = set(view.scopes)
        if not wanted & set(token.scopes):
            held, needed = ", ".join(token.scopes), ", ".join(sorted(wanted))
            self.message = f"This token has the scopes {held}; one of {needed} is needed."
            return False
        return True


class Scoped:
    """Mix-in of views: `scopes`, and the project of the URL as this caller may see it."""

    scopes: ClassVar[tuple[str, ...]] = ()

    def project(self, request: Request, slug: str, can: Can) -> Project:
        """The project, 404 where the caller is not a member or the token is bound to another, 403 where the role is too
        small.
        """
        return project_for(request, slug, can)


def visible_projects(request: Request) -> Any:
    """Projects that this caller may know of: the user's own, narrowed to the token's one where it is bound."""
    projects = Project.objects.visible_to(request.user)
    token = request.auth
    if isinstance(token, ApiToken) and token.project_id:
        projects = projects.filter(pk=token.project_id)
    return projects


def may_see(request: Request, project: Project) -> bool:
    """Whether a project is among `visible_projects`."""
    token = request.auth
    bound = token.project_id if isinstance(token, ApiToken) else None
    return bound in (None, project.pk) and project.role_of(request.user) is not None


def project_for(request: Request, slug: str, can: Can) -> Project:
    project: Project | None = visible_projects(request).filter(slug=slug).first()
    if project is None:
        raise NotFound(f"There is no project {slug!r} that you are a member of.", code="no_project")
    if not project.allows(request.user, can):
        raise NotAllowed(f"Your role in {slug!r} does not allow this ({can}).", code="role_too_small")
    return project

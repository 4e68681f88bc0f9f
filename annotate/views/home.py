"""My projects."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from annotate.services import judging, projects
from tiebreak.accounts.models import Membership, User
from tiebreak.accounts.roles import MAY, Can

from .base import Request


@login_required
@require_GET
def home(request: Request) -> HttpResponse:
    """My projects, with what I can do in each and how far I am."""
    memberships = request.user.memberships.filter(project__archived_at=None).select_related("project")
    entries = [_entry(membership, request.user) for membership in memberships.order_by("project__name")]
    told = {"projects": entries, "may_create": projects.may_create(request.user)}
    return render(request, "annotate/home.html", told)


def _entry(membership: Membership, user: User) -> dict[str, Any]:
    """A project on the home page."""
    project, may = membership.project, MAY[membership.role]
    figures = judging.progress_in(project, user, now=timezone.now())._asdict() if Can.ANNOTATE in may else None
    return {
        "slug": project.slug,
        "name": project.name,
        "description": project.description,
        "role": membership.role,
        "may": {can.value: can in may for can in Can},
        "progress": figures,
    }

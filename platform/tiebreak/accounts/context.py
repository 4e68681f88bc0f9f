"""What every page's frame needs: the projects that the person may open, and the release."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db.models import BooleanField, Case, Value, When
from django.http import HttpRequest

from .models import Project
from .roles import Can, roles_that


def shell(request: HttpRequest) -> dict[str, Any]:
    user = getattr(request, "user", None)
    projects = Project.objects.visible_to(user).order_by("name") if user is not None else Project.objects.none()
    reads = When(members__role__in=roles_that(Can.READ), then=Value(True))
    projects = projects.annotate(reads=Case(reads, default=Value(False), output_field=BooleanField()))
    return {"shell_projects": projects, "release": settings.VERSION}

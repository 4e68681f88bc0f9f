"""What every page's frame needs: the projects that the person may open, and the release."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest

from .models import Project


def shell(request: HttpRequest) -> dict[str, Any]:
    user = getattr(request, "user", None)
    projects = Project.objects.visible_to(user).order_by("name") if user is not None else Project.objects.none()
    return {"shell_projects": projects, "release": settings.VERSION}

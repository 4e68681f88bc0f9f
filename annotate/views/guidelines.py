"""The guidelines of a project: the current ones, what changed since I read them, and earlier versions."""

from __future__ import annotations

from http import HTTPStatus

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from annotate.differences import differences
from annotate.models import Rater
from annotate.services import assigning
from annotate.services import guidelines as service
from tiebreak.accounts.models import Project
from tiebreak.core.errors import Invalid

from .base import Request, page, signed_in, wants_json


@signed_in
@require_http_methods(["GET", "POST"])
def guidelines(request: Request, slug: str) -> HttpResponse:
    """Read them; a POST says that the version shown was read."""
    project = get_object_or_404(Project.objects.visible_to(request.user), slug=slug)
    if request.method == "POST":
        return _read(request, project)
    versions = service.versions(project)
    rater = Rater.objects.filter(project=project, user=request.user).first()
    read = rater.read_guidelines if rater else 0
    current = versions[0] if versions else None
    last_read = next((version for version in versions if version.number == read), None)
    new = current is not None and current.text.strip() and read < current.number
    told = {
        "current": current,
        "earlier": versions[1:],
        "read": read,
        "unread": bool(new),
        "differences": differences(last_read.text, current.text) if new and current and last_read else [],
    }
    return page(request, "annotate/guidelines.html", told, project)


def _read(request: Request, project: Project) -> HttpResponse:
    rater = assigning.rater_for(project, request.user)
    version = request.POST.get("version", "")
    if not (version.isascii() and version.isdigit() and len(version) < 9):
        raise Invalid(_("Say which version of the guidelines you have read."), field="version")
    service.mark_read(rater, int(version), by=request.user)
    if request.htmx or wants_json(request):
        return HttpResponse(status=HTTPStatus.NO_CONTENT)
    messages.success(request, _("Noted: you have read the guidelines."))
    return redirect("compare", project.slug)

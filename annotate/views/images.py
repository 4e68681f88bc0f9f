"""The images of a project: one of them, for whoever may compare or read there, and how all of them stand."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final, NamedTuple

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Count
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from annotate.models import Image
from annotate.services import images as service
from tiebreak.accounts.models import Project
from tiebreak.accounts.roles import Can
from tiebreak.api.ranges import serve
from tiebreak.core.errors import DomainError, Invalid
from tiebreak.runs import store
from tiebreak.runs.models import Run

from .base import Request, page, signed_in
from .gate import project_for

SIZE: Final = 50
AT_ONCE: Final = 20
STATES: Final = (Image.Status.FAILED, Image.Status.WAITING, Image.Status.READY)
# Whatever an image might be taken for, it can do nothing: not even as a page of its own.
HEADERS: Final = {
    "Content-Disposition": "inline",
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; sandbox",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


@signed_in
@require_GET
def image(request: Request, slug: str, pk: int) -> HttpResponseBase:
    """The pixels, for every member of the project: its texts name them."""
    project = get_object_or_404(Project.objects.visible_to(request.user), slug=slug)
    ready = Image.objects.filter(project=project, status=Image.Status.READY).select_related("artifact")
    found = get_object_or_404(ready, pk=pk)
    return pixels(request, found)


def pixels(request: HttpRequest, image: Image) -> HttpResponseBase:
    """A ready image over HTTP."""
    artifact: Any = image.artifact
    name = f"{artifact.sha256[:16]}.{image.media_type.rpartition('/')[2]}"
    response = serve(
        request,
        store.open_artifact(artifact),
        size=artifact.size,
        sha256=artifact.sha256,
        name=name,
        media_type=image.media_type,
        immutable=True,
    )
    for header, value in HEADERS.items():
        response[header] = value
    return response


class Line(NamedTuple):
    """An image as the list shows it."""

    image: Image
    url: str
    markdown: str
    uploaded: bool


@signed_in
@require_http_methods(["GET", "POST"])
def images(request: Request, slug: str) -> HttpResponse:
    """How the images stand, those in trouble first where asked; a POST sends some."""
    project = project_for(request, slug, Can.CURATE if request.method == "POST" else Can.READ)
    if request.method != "POST":
        return _list(request, project)
    try:
        _take(request, project)
    except DomainError as error:
        return _list(request, project, error.message, error.status)
    return redirect("images", slug)


@signed_in
@require_POST
def fetch(request: Request, slug: str) -> HttpResponse:
    """Look for images that texts name, and try again those that failed."""
    project = project_for(request, slug, Can.CURATE)
    run = service.look_again(project, by=request.user)
    messages.success(request, _("Images are looked for and fetched: run %(number)s.") % {"number": run.pk})
    return redirect("images", slug)


def _take(request: Request, project: Project) -> None:
    sent = request.FILES.getlist("image")
    if not 0 < len(sent) <= AT_ONCE:
        raise Invalid(_("Choose 1 to %(most)s images.") % {"most": AT_ONCE}, field="image")
    for number, file in enumerate(sent):
        try:
            service.upload(project, file.read(service.MOST_BYTES + 1), by=request.user)
        except Invalid as error:
            before = ngettext("%(n)s image before it is kept.", "%(n)s images before it are kept.", number)
            kept = before % {"n": number}
            raise Invalid(f"{file.name}: {error.message} {kept if number else ''}".strip(), field="image") from error
    said = ngettext("%(n)s image is kept.", "%(n)s images are kept.", len(sent)) % {"n": len(sent)}
    messages.success(request, said)


def _list(request: Request, project: Project, error: str = "", status: int = HTTPStatus.OK) -> HttpResponse:
    of_project = Image.objects.filter(project=project)
    counts = dict(of_project.order_by().values_list("status").annotate(Count("pk")))
    state = request.GET.get("status", "")
    found = of_project.filter(status=state) if state in Image.Status.values else of_project
    part = Paginator(found.order_by("-pk"), SIZE).get_page(request.GET.get("page"))
    fetching = Run.objects.filter(
        project=project, kind=service.KIND, status__in=[Run.Status.QUEUED, Run.Status.RUNNING]
    ).first()
    kept = f"&status={state}" if state in Image.Status.values else ""
    told = {
        "images": [_line(one, project) for one in part],
        "counts": [(one, one.label, counts.get(one, 0)) for one in STATES],
        "state": state,
        "total": sum(counts.values()),
        "error": error,
        "fetching": fetching,
        "previous_url": f"?page={part.previous_page_number()}{kept}" if part.has_previous() else "",
        "next_url": f"?page={part.next_page_number()}{kept}" if part.has_next() else "",
    }
    return page(request, "annotate/images.html", told, project, status)


def _line(image: Image, project: Project) -> Line:
    url = service.address_of(image, project) if image.status == Image.Status.READY else ""
    return Line(image, url, service.markdown_of(image), image.source.startswith(service.UPLOAD))

"""What the pages share."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from http import HTTPStatus
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django_htmx.http import HttpResponseClientRedirect
from django_htmx.middleware import HtmxDetails

from tiebreak.accounts.models import Project, User
from tiebreak.accounts.roles import MAY, Can
from tiebreak.core.errors import DomainError


class Request(HttpRequest):
    """A request of somebody who is signed in."""

    htmx: HtmxDetails
    user: User


def wants_json(request: HttpRequest) -> bool:
    """Whether a script asks, such as the page's outbox, and not a person's browser."""
    return request.headers.get("Accept", "").partition(";")[0].strip() == "application/json"


def signed_in(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """`login_required`, which tells a script with a 401 what it tells a browser by leading it to the sign-in page."""
    guarded = login_required(view)

    @wraps(view)
    def asked(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if wants_json(request) and not request.user.is_authenticated:
            told = {"code": "signed_out", "message": _("You are signed out: sign in, and it is sent."), "errors": {}}
            return JsonResponse(told, status=HTTPStatus.UNAUTHORIZED)
        return guarded(request, *args, **kwargs)

    return asked


def refusal(error: DomainError, errors: dict[str, str] | None = None, **more: Any) -> JsonResponse:
    """A refusal for a script."""
    told = {"code": error.code, "message": error.message, "errors": errors or {}, **more}
    return JsonResponse(told, status=error.status)


def lead_to(request: Request, url: str) -> HttpResponse:
    """Another page instead of this one; htmx goes there as a whole."""
    return HttpResponseClientRedirect(url) if request.htmx else redirect(url)


def page(
    request: Request, template: str, told: dict[str, Any], project: Project, status: int = HTTPStatus.OK
) -> HttpResponse:
    """A page of a project, with what the person may do there (for the navigation)."""
    role = project.role_of(request.user)
    may = {can.value: role is not None and can in MAY[role] for can in Can}
    return render(request, template, {"project": project, "may": may} | told, status=status)

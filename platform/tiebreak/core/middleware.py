"""What a page's request is told instead of what Django would answer (the API has its own handler)."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render, resolve_url

from .errors import DomainError


class DomainErrorMiddleware:
    """Turns a DomainError raised under a page into that page's words and status."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        if not isinstance(error, DomainError):
            return None
        template = "_components/_error.html" if getattr(request, "htmx", False) else "error.html"
        return render(request, template, {"error": error}, status=error.status)


class SignedOutMiddleware:
    """Tells who was signed out under an open page: htmx would follow to the sign-in page and put it into that one."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        sign_in = resolve_url(settings.LOGIN_URL)
        htmx = getattr(request, "htmx", None)
        if not htmx or response.get("Location", "").partition("?")[0] != sign_in:
            return response
        context = {"sign_in": sign_in, "next": htmx.current_url_abs_path or "/"}
        return render(request, "_components/_signed_out.html", context, status=HTTPStatus.UNAUTHORIZED)

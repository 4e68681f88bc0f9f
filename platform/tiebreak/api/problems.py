"""Errors of the API as RFC 9457 problem+json, whoever raised them."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404
from rest_framework import exceptions, status
from rest_framework.response import Response
from rest_framework.views import set_rollback

from tiebreak.core.errors import DomainError

TITLES = {
    400: "The request cannot be read",
    401: "Who are you?",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    406: "Not acceptable",
    409: "Conflict with what is there",
    413: "Too large",
    415: "Unknown content type",
    416: "No such range",
    422: "The input cannot be taken",
    429: "Too many requests",
    503: "Not available now",
}


def problem(code: int, detail: str, *, kind: str, headers: dict[str, str] | None = None, **extra: Any) -> Response:
    body = {"type": f"urn:tiebreak:{kind}", "title": TITLES.get(code, "Error"), "status": code, "detail": detail}
    return Response(body | extra, status=code, headers=headers, content_type="application/problem+json")


def handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's exception handler: our errors, DRF's and Django's in one shape; anything else stays a 500."""
    if isinstance(error, DomainError):
        set_rollback()
        params = {key: value for key, value in error.params.items() if value is not None}
        headers = {"Retry-After": "30"} if error.status == status.HTTP_503_SERVICE_UNAVAILABLE else None
        return problem(error.status, error.message, kind=error.code, headers=headers, **params)
    if isinstance(error, Http404):
        error = exceptions.NotFound()
    elif isinstance(error, PermissionDenied):
        error = exceptions.PermissionDenied()
    if not isinstance(error, exceptions.APIException):
        return None
    set_rollback()
    headers = {}
    if header := getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = header
    if wait := getattr(error, "wait", None):
        headers["Retry-After"] = str(int(wait) + 1)
    if isinstance(error, exceptions.ValidationError):
        fields = error.get_full_details()
        return problem(
            422, _first(error.detail), kind="invalid", headers=headers, errors=fields
        )
    return problem(error.status_code, str(error.detail), kind=str(error.get_codes()), headers=headers)


def _first(detail: Any, path: str = "") -> str:
    """The first complaint, with the path of the field that it is about."""
    if isinstance(detail, dict) and detail:
        key, value = next(iter(detail.items()))
        return _first(value, f"{path}.{key}" if path else str(key))
    if isinstance(detail, list) and detail:
        return _first(next((d for d in detail if d), detail[0]), path)
    return f"{path}: {detail}" if path else str(detail)

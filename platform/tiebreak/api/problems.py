"""Errors of the API as RFC 9457 problem+json, whoever raised them."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import BadRequest, PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.http import Http404, HttpRequest, HttpResponseBase, JsonResponse
from django.views.defaults import server_error as page_of_server_error
from rest_framework import exceptions, status
from rest_framework.response import Response
from rest_framework.views import set_rollback

from tiebreak.core.errors import DomainError, TooLarge

TITLES = {
    400: "The request cannot be read",
    401: "Who are you?",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    406: "Not acceptable",
    409: "Conflict with what is there",
    410: "Taken back",
    412: "Not as it was",
    413: "Too large",
    415: "Unknown content type",
    416: "No such range",
    422: "The input cannot be taken",
    429: "Too many requests",
    500: "Something broke here",
    503: "Not available now",
}
MEDIA_TYPE = "application/problem+json"


def problem(code: int, detail: str, *, kind: str, headers: dict[str, str] | None = None, **extra: Any) -> Response:
    """The standard members always win over `extra` of the same name."""
    told = _writable(extra | _members(code, detail, kind))
    return Response(told, status=code, headers=headers, content_type=MEDIA_TYPE)


def _members(code: int, detail: str, kind: str) -> dict[str, Any]:
    return {"type": f"urn:tiebreak:{kind}", "title": TITLES.get(code, "Error"), "status": code, "detail": detail}


def server_error(request: HttpRequest) -> HttpResponseBase:
    """For an error that nobody foresaw: a problem under /api/, a page elsewhere; the log has the rest."""
    if not request.path_info.startswith("/api/"):
        return page_of_server_error(request)
    told = "The server met an error that it did not expect, and has logged it."
    return JsonResponse(_members(500, told, "server_error"), status=500, content_type=MEDIA_TYPE)


def handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's exception handler: our errors, DRF's and Django's in one shape; anything else stays a 500."""
    if isinstance(error, RequestDataTooBig):
        error = TooLarge("The request is too large: send rows in pages.")
    if isinstance(error, DomainError):
        set_rollback()
        params = {key: _jsonable(value) for key, value in error.params.items() if value is not None}
        wait = params.get("retry_after", 30 if error.status == status.HTTP_503_SERVICE_UNAVAILABLE else None)
        headers = {} if wait is None else {"Retry-After": str(wait)}
        return problem(error.status, error.message, kind=error.code, headers=headers, **params)
    if isinstance(error, Http404):
        error = exceptions.NotFound()
    elif isinstance(error, PermissionDenied):
        error = exceptions.PermissionDenied()
    elif isinstance(error, SuspiciousOperation | BadRequest):
        error = exceptions.ParseError()
    if not isinstance(error, exceptions.APIException):
        return None
    set_rollback()
    headers = {}
    if header := getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = header
    if wait := getattr(error, "wait", None):
        headers["Retry-After"] = str(int(wait) + 1)
    if isinstance(error, exceptions.ValidationError):
        path, complaint = _first(error.detail)
        detail = f"{path}: {complaint}" if path else complaint
        field = {"field": path} if path else {}
        return problem(422, detail, kind="invalid", headers=headers, errors=error.get_full_details(), **field)
    return problem(error.status_code, str(error.detail), kind=str(error.get_codes()), headers=headers)


def _first(detail: Any, path: str = "") -> tuple[str, str]:
    """The path of the first field that there is a complaint about, and the complaint."""
    if isinstance(detail, dict) and detail:
        key, value = next(iter(detail.items()))
        inner = "" if key == "non_field_errors" else str(key)
        return _first(value, f"{path}.{inner}".strip("."))
    if isinstance(detail, list) and detail:
        return _first(next((d for d in detail if d), detail[0]), path)
    return path, str(detail)


def _writable(value: Any) -> Any:
    """What a complaint quotes of the input may hold lone surrogates, which no UTF-8 can: they are written out."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_writable(key): _writable(inner) for key, inner in value.items()}
    return [_writable(inner) for inner in value] if isinstance(value, list | tuple) else value


def _jsonable(value: Any) -> Any:
    return value if isinstance(value, str | int | float | list | tuple | dict) else str(value)

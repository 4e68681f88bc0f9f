"""`Idempotency-Key`: the same key with the same request gets the stored answer; with another request, a 422.

The row is made before the work and filled after it, in the work's own transaction where there is one; a second request
that comes while the first is at work is told 409 and to try again.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from tiebreak.core.errors import Conflict, Invalid

from .models import IdempotentResponse

STALE = timedelta(minutes=5)


def _fingerprint(request: Request, body: bytes) -> str:
    head = f"{request.method} {request.get_full_path()}\n".encode()
    return hashlib.sha256(head + body).hexdigest()


def idempotent(method: Callable[..., Response]) -> Callable[..., Response]:
    """Decorate a view's method that writes. Without the header nothing changes."""

    @functools.wraps(method)
    def wrapper(view: Any, request: Request, *args: Any, **kwargs: Any) -> Response:
        key = request.headers.get("Idempotency-Key", "")
        if not key:
            return method(view, request, *args, **kwargs)
        if len(key) > 100:
            raise Invalid("Idempotency-Key: at most 100 characters.", field="Idempotency-Key")
        digest = _fingerprint(request, request._request.body)
        stored, mine = _open(request.user, key, digest)
        if not mine:
            return _again(stored, digest)
        try:
            response = method(view, request, *args, **kwargs)
        except BaseException:
            stored.delete()  # nothing was done: the same key may try again
            raise
        IdempotentResponse.objects.filter(pk=stored.pk).update(status=response.status_code, body=response.data)
        return response

    return wrapper


def _open(user: Any, key: str, digest: str) -> tuple[IdempotentResponse, bool]:
    IdempotentResponse.objects.filter(user=user, key=key, status=None, created_at__lt=timezone.now() - STALE).delete()
    try:
        with transaction.atomic():
            return IdempotentResponse.objects.create(user=user, key=key, request_sha256=digest), True
    except IntegrityError:
        return IdempotentResponse.objects.get(user=user, key=key), False


def _again(stored: IdempotentResponse, digest: str) -> Response:
    if stored.request_sha256 != digest:
        raise Invalid("This Idempotency-Key was used for another request.", code="idempotency_mismatch")
    if stored.status is None:
        raise Conflict("The first request with this Idempotency-Key is still at work.", code="in_progress")
    return Response(stored.body, status=stored.status, headers={"Idempotent-Replayed": "true"})

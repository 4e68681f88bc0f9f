"""`Idempotency-Key`: the same key with the same request gets the stored answer; with another request, a 422.

The row is made, and committed, before the work: a second request that comes while the first is at work is told 409 and
to try again. Work and answer are then one transaction: a server that dies between them has done neither.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from tiebreak.accounts.models import ApiToken
from tiebreak.core.errors import Conflict, Invalid

from .models import IdempotentResponse

STALE = timedelta(minutes=5)
KEPT = timedelta(days=7)


def _fingerprint(request: Request, body: bytes) -> str:
    """Of the request and of what its caller may see: a narrower token never reads the answer that a wider one got."""
    token = request.auth
    caller = f"{','.join(token.scopes)} {token.project_id}" if isinstance(token, ApiToken) else "session"
    head = f"{request.method} {request.get_full_path()}\n{caller}\n".encode()
    return hashlib.sha256(head + body).hexdigest()


def idempotent(method: Callable[..., Response]) -> Callable[..., Response]:
    """Decorate a view's method that writes. Without the header nothing changes."""

    @functools.wraps(method)
    def wrapper(view: Any, request: Request, *args: Any, **kwargs: Any) -> Response:
        key = request.headers.get("Idempotency-Key", "")
        if not key:
            return method(view, request, *args, **kwargs)
        if len(key) > 100 or not key.isprintable():
            raise Invalid("Idempotency-Key: at most 100 printable characters.", field="Idempotency-Key")
        digest = _fingerprint(request, request._request.body)
        stored, mine = _open(request.user, key, digest)
        if not mine:
            return _again(stored, digest)
        try:
            with transaction.atomic():
                response = method(view, request, *args, **kwargs)
                _keep(stored, response)
        except BaseException:
            stored.delete()  # nothing was done: the same key may try again
            raise
        return response

    return wrapper


def _open(user: Any, key: str, digest: str) -> tuple[IdempotentResponse, bool]:
    now = timezone.now()
    abandoned = Q(user=user, key=key, status=None, created_at__lt=now - STALE)
    IdempotentResponse.objects.filter(abandoned | Q(created_at__lt=now - KEPT)).delete()
    try:
        with transaction.atomic():
            return IdempotentResponse.objects.create(user=user, key=key, request_sha256=digest), True
    except IntegrityError:
        stored = IdempotentResponse.objects.filter(user=user, key=key).first()
        if stored is None:  # the first has just failed, and taken its row away
            raise _at_work() from None
        return stored, False


def _keep(stored: IdempotentResponse, response: Response) -> None:
    """Store the answer as the client reads it; gives way where the row was taken for stale and removed meanwhile."""
    body = None if response.data is None else json.loads(JSONRenderer().render(response.data))
    kept = IdempotentResponse.objects.filter(pk=stored.pk).update(
        status=response.status_code, body=body, location=response.headers.get("Location", "")
    )
    if not kept:
        raise _at_work()


def _again(stored: IdempotentResponse, digest: str) -> Response:
    if stored.request_sha256 != digest:
        raise Invalid("This Idempotency-Key was used for another request.", code="idempotency_mismatch")
    if stored.status is None:
        raise _at_work()
    headers = {"Idempotent-Replayed": "true"} | ({"Location": stored.location} if stored.location else {})
    return Response(stored.body, status=stored.status, headers=headers)


def _at_work() -> Conflict:
    return Conflict("The first request with this Idempotency-Key is still at work.", code="in_progress")

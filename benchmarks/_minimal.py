"""The reference of `collect.py`: the least that a Django view could do. One lease, one insert; two requests.

A lease is one UPDATE of a table of its own at a random start point, past locked rows, and answers with the texts; an
answer is one INSERT: both in plain SQL. The token is looked up with its user by one query of the ORM, as any Django
view would, and nothing else is asked: no role, no overlap of raters, no order, no form, no fence, no key, no audit.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import random
from typing import Any

from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt

from tiebreak.accounts.models import ApiToken
from tiebreak.urls import handler500
from tiebreak.urls import urlpatterns as product

__all__ = ["handler500", "urlpatterns"]

TABLES = """
CREATE TABLE IF NOT EXISTS bench_item (
    id bigserial PRIMARY KEY, batch int NOT NULL, place float8 NOT NULL, free int NOT NULL, leased_until timestamptz,
    prompt text NOT NULL, a text NOT NULL, b text NOT NULL
);
CREATE INDEX IF NOT EXISTS bench_free ON bench_item (batch, place) WHERE free > 0;
CREATE TABLE IF NOT EXISTS bench_answer (
    id bigserial PRIMARY KEY, item_id bigint NOT NULL, user_id bigint NOT NULL, choice int NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
"""
LEASE = """
UPDATE bench_item SET free = free - 1, leased_until = now() + interval '15 minutes' WHERE id = (
    SELECT id FROM bench_item WHERE batch = %s AND free > 0 AND place >= %s ORDER BY place LIMIT 1
    FOR NO KEY UPDATE SKIP LOCKED
) RETURNING id, prompt, a, b
"""
ANSWER = "INSERT INTO bench_answer (item_id, user_id, choice) VALUES (%s, %s, %s) RETURNING id"


def _user(request: HttpRequest) -> Any:
    text = request.headers.get("Authorization", "").partition(" ")[2]
    _, prefix, secret = text.split("_", 2)
    token = ApiToken.objects.select_related("user").filter(prefix=prefix).first()
    if token is None or not hmac.compare_digest(token.digest, hashlib.sha256(secret.encode()).hexdigest()):
        return None
    return token.user if token.is_live(timezone.now()) else None


@csrf_exempt
def lease(request: HttpRequest, batch: int) -> HttpResponse:
    if _user(request) is None:
        return HttpResponse(status=401)
    with connection.cursor() as cursor:
        for start in (random.random(), 0.0):
            cursor.execute(LEASE, [batch, start])
            if row := cursor.fetchone():
                return JsonResponse(dict(zip(("id", "prompt", "left", "right"), row, strict=True)))
    return HttpResponse(status=204)


@csrf_exempt
def answer(request: HttpRequest, pk: int) -> HttpResponse:
    user = _user(request)
    if user is None:
        return HttpResponse(status=401)
    with connection.cursor() as cursor:
        cursor.execute(ANSWER, [pk, user.pk, json.loads(request.body)["choice"]])
        return JsonResponse({"id": cursor.fetchone()[0]}, status=201)


urlpatterns = [path("minimal/<int:batch>/", lease), path("minimal/answers/<int:pk>/", answer), *product]

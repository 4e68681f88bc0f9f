"""/healthz, /readyz and /metrics, for whoever keeps the machine running."""

from __future__ import annotations

from collections.abc import Iterable

from django.db.models import Count, Min
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from tiebreak.accounts.models import ApiToken

from . import health
from .models import Run


def healthz(request: HttpRequest) -> HttpResponse:
    """The process answers."""
    return HttpResponse("ok", content_type="text/plain")


def readyz(request: HttpRequest) -> JsonResponse:
    """The process can work: database, migrations and Redis are there. 503 and the reason where not."""
    checks = list(health.run_checks(health.NEEDED))
    ok = all(check.ok for check in checks)
    told = {check.name: "ok" if check.ok else check.do for check in checks}
    return JsonResponse({"ready": ok, "checks": told}, status=200 if ok else 503)


class Ledger:
    """What Prometheus sees of the ledger: counts without names, so nothing of a project leaks."""

    def collect(self) -> Iterable[GaugeMetricFamily]:
        runs = GaugeMetricFamily("tiebreak_runs", "Runs by kind and status", labels=["kind", "status"])
        for kind, status, n in Run.objects.order_by().values_list("kind", "status").annotate(Count("pk")):
            runs.add_metric([kind, status], n)
        yield runs
        oldest = Run.objects.due(timezone.now()).aggregate(first=Min("created_at"))["first"]
        wait = (timezone.now() - oldest).total_seconds() if oldest else 0.0
        yield GaugeMetricFamily(
            "tiebreak_oldest_queued_run_seconds", "How long the oldest queued run waits", value=wait
        )
        seen = health.worker_seen()
        age = (timezone.now() - seen).total_seconds() if seen else float("inf")
        yield GaugeMetricFamily("tiebreak_worker_seen_seconds", "Seconds since a worker was seen", value=age)


def metrics(request: HttpRequest) -> HttpResponse:
    """For staff: a session, or the token of a staff user in the scraper's configuration."""
    token = ApiToken.find(request.headers.get("Authorization", "").removeprefix("Bearer ").strip())
    user = token.user if token else request.user
    if not (user.is_authenticated and user.is_staff):
        told = HttpResponse("A token of a staff user is needed.", status=401, content_type="text/plain")
        told.headers["WWW-Authenticate"] = 'Bearer realm="tiebreak"'
        return told
    registry = CollectorRegistry()
    registry.register(Ledger())
    return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)

"""Live routing: as comparisons and evidence arrive, a project that routes by itself is routed again.

Nothing is signalled. Every change that routing must know of writes its event in the transaction that makes it, so the
audit log is the watermark: `reroute`, which beat has a worker call every few seconds, starts a run for each project
whose log has news since its last one. Losing Redis delays a round and loses nothing.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial
from typing import Final

from django.db import transaction
from django.db.models import CharField, Exists, Max, OuterRef, Q, QuerySet
from django.db.models.functions import Cast

from annotate.models import JudgeCall
from curation.models import RoutingSettings
from tiebreak.accounts.models import Project
from tiebreak.core.models import Event
from tiebreak.runs import ledger
from tiebreak.runs.models import Run

from . import verbs
from .apart import apart
from .routing import AT_WORK

QUIET: Final = timedelta(seconds=10)  # routing waits until nothing came for so long,
PATIENCE: Final = timedelta(minutes=1)  # but no longer than this
AGAIN_AFTER: Final = timedelta(hours=1)  # a run that failed is made up for
NEWS: Final = (
    "import.finished", "comparisons.duplicated", "comparison.restored", "comparison.reopened", "comparison.adjudicated",
    "judgement.submitted", "judgement.revised", "aggregation.made", "model.trained", "form.changed",
    "routing.policy_activated", "routing.policy_retired", "routing.budget_granted", "routing.settings_changed",
    "routing.override_lifted", "routing.judges_trusted", "routing.trust_withdrawn",
)  # fmt: skip
# Work that brings evidence without an event of its own, also where it was stopped: embedding, and judging if it stored.
BY_RUN: Final = ("run.succeeded", "run.cancelled", "run.failed")


def reroute(now: datetime) -> int:
    """Start a run for each project that is due; returns how many."""
    live = RoutingSettings.objects.filter(automatic=True, project__archived_at=None).select_related("project")
    return sum(bool(apart("rerouting", partial(_start, row.project, now), row.project_id)) for row in live)


def _start(project: Project, now: datetime) -> bool:
    """Start a run where there is news that has settled, and none waits or works. Locks the project's row."""
    if _failed_lately(project, now) or unseen(project, now) is None:
        return False
    with transaction.atomic():
        Project.objects.select_for_update(no_key=True).get(pk=project.pk)
        seen = unseen(project, now)
        if seen is None or _runs(project).filter(status__in=["queued", "running"]).exists():
            return False
        params = verbs.prepare("route", project, {}) | {"automatic": True, "seen": seen}
        ledger.start("route", project=project, params=params)
    return True


def unseen(project: Project, now: datetime) -> int | None:
    """The last event to route after, where one came since the last run that was started, and it is time; else None.

    Ids are given before their rows can be seen, so what is younger than QUIET counts as news once more.
    """
    news = _news(project).filter(pk__gt=_seen(project))
    young = news.filter(created_at__gt=now - QUIET)
    if not news.exists():
        return None
    if young.exists() and not news.filter(created_at__lt=now - PATIENCE).exists():
        return None
    settled = news.filter(created_at__lte=now - QUIET).aggregate(last=Max("pk"))["last"]
    return int(settled) if settled is not None else None


def _seen(project: Project) -> int:
    """The last event that a run of its own accord has taken into account; one that failed has taken nothing."""
    last = _runs(project).filter(params__automatic=True).exclude(status="failed").order_by("-pk").first()
    return int(last.params["seen"]) if last else 0


def _failed_lately(project: Project, now: datetime) -> bool:
    """Whether the last run of its own accord failed; one that stood back for another is made up for at once."""
    last = _runs(project).filter(params__automatic=True).order_by("-pk").first()
    if last is None or last.status != Run.Status.FAILED or (last.error or {}).get("code") == AT_WORK:
        return False
    return last.finished_at is not None and now - last.finished_at < AGAIN_AFTER


def _runs(project: Project) -> QuerySet[Run]:
    return Run.objects.filter(project=project, kind="route")


def _news(project: Project) -> QuerySet[Event]:
    """Events of the project that may change where comparisons go."""
    answers = JudgeCall.objects.filter(run=OuterRef("pk")).exclude(status=JudgeCall.Status.FAILED)
    brought = Run.objects.filter(Q(kind="embed") | Q(kind="judge") & Exists(answers), project=project)
    ids = brought.order_by().annotate(key=Cast("pk", CharField())).values("key")
    return Event.objects.filter(
        Q(verb__in=NEWS) | Q(verb__in=BY_RUN, target_type="runs.run", target_id__in=ids), project=project
    )

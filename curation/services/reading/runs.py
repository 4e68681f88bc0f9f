"""The ledger of background work as people read it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext

from curation.models import DatasetVersion
from tiebreak.accounts.models import Project
from tiebreak.runs.kinds import KINDS
from tiebreak.runs.models import Run, RunArtifact

from .paging import Cursor, Page, page_of
from .projects import WAIT, WOKEN


@dataclass(frozen=True, slots=True)
class RunLine:
    run: Run
    label: str
    percent: int | None
    """Done, of 100; None while the total is not known."""
    unreachable: bool
    """Waits although workers were woken for it: none listens."""
    seconds: float | None
    """From its start to its end, or until now."""

    @property
    def live(self) -> bool:
        return not self.run.ended

    @property
    def trouble(self) -> str:
        """The error in plain words, or nothing."""
        error = self.run.error or {}
        return str(error.get("message") or error.get("type") or "")


@dataclass(frozen=True, slots=True)
class RunPage:
    line: RunLine
    params: Mapping[str, Any]
    result: Sequence[tuple[str, Any]]
    artifacts: Sequence[RunArtifact]
    version: DatasetVersion | None
    """That it builds."""


def runs(project: Project, cursor: Cursor) -> Page[RunLine]:
    """The newest first (two queries)."""
    found = Run.objects.filter(project=project).select_related("created_by")
    return page_of(found, cursor, make=run_line, newest_first=True, size=30)


def run(project: Project, pk: int) -> Run | None:
    """One query."""
    return Run.objects.select_related("created_by").filter(project=project, pk=pk).first()


def run_page(run: Run) -> RunPage:
    """Two queries."""
    result = [(key.replace("_", " "), value) for key, value in run.result.items()]
    artifacts = list(run.artifacts.select_related("artifact").order_by("name"))
    built = DatasetVersion.objects.filter(run=run).select_related("dataset").defer("card", "statistics").first()
    return RunPage(run_line(run), run.params, result, artifacts, built)


def run_line(run: Run, now: datetime | None = None) -> RunLine:
    now = now or timezone.now()
    fraction = run.fraction()
    waits = run.status == Run.Status.QUEUED and run.created_at < now - WAIT and run.not_before <= now
    return RunLine(
        run=run,
        label=gettext(KINDS[run.kind].label) if run.kind in KINDS else run.kind,
        percent=None if fraction is None else int(fraction * 100),
        unreachable=waits and run.wakes >= WOKEN,
        seconds=((run.finished_at or now) - run.started_at).total_seconds() if run.started_at else None,
    )

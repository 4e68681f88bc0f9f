"""A project's home: how far it is, how good it is, what it cost, and what needs a person now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

from django.db.models import Count, Q, Sum
from django.db.models.functions import TruncDate
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext_noop, pgettext

from annotate.models import Comparison, JudgeCall, Judgement, Rater, Rubric
from annotate.services import qualifying
from annotate.services.projects import current_form
from curation.models import Aggregation
from curation.stats import Estimate
from tiebreak.accounts.models import Project
from tiebreak.core.words import in_words
from tiebreak.runs.models import Run

from . import reviews, sides

DAYS: Final = 14
WAIT: Final = timedelta(minutes=1)
WOKEN: Final = 2  # sent so often without an answer: nobody listens
RECENT: Final = timedelta(days=7)
FEW: Final = 5


@dataclass(frozen=True, slots=True)
class Bar:
    label: str
    value: int
    text: str


def bars(counts: Mapping[str, int]) -> list[Bar]:
    return [Bar(label, n, f"{n:,}") for label, n in counts.items()]


@dataclass(frozen=True, slots=True)
class Progress:
    """Comparisons by state, and by route within each state."""

    total: int
    states: Mapping[str, int]
    routes: Mapping[str, int]
    returned: int
    settled: float | None
    """Share settled of all that are not withdrawn; None where there are none."""

    @property
    def state_bars(self) -> list[Bar]:
        return bars({in_words(state): n for state, n in self.states.items()})

    @property
    def route_bars(self) -> list[Bar]:
        return bars({in_words({"human": "people"}.get(route, route)): n for route, n in self.routes.items()})


@dataclass(frozen=True, slots=True)
class Spend:
    spent: Decimal
    budget: Decimal | None
    share: float | None

    @property
    def percent(self) -> int:
        return round((self.share or 0) * 100)


@dataclass(frozen=True, slots=True)
class Day:
    label: str
    people: int
    judges: int

    @property
    def total(self) -> int:
        return self.people + self.judges


@dataclass(frozen=True, slots=True)
class Home:
    progress: Progress
    aggregation: Aggregation | None
    people: Estimate
    everybody: Estimate
    judges: Estimate
    """Judges' accuracy against people on the audit slice."""
    spend: Spend
    days: Sequence[Day]
    disputed: int
    flags: int
    returned: int
    unparsed: int
    failed_calls: int
    failed_runs: Sequence[Run]
    stuck_runs: Sequence[Run]
    drafts: Sequence[Rubric]
    paused: Sequence[Rater]
    """People who were paused, the last ones."""
    short: qualifying.Shortage | None
    """Of gold, for what the form asks of it."""

    @property
    def busiest(self) -> int:
        """Judgements of the busiest day, for the scale of a picture."""
        return max((day.total for day in self.days), default=0)

    @property
    def quiet(self) -> bool:
        """Nothing needs anybody now."""
        counts = (self.disputed, self.flags, self.returned, self.unparsed, self.failed_calls)
        lists = (self.failed_runs, self.stuck_runs, self.drafts, self.paused)
        return not (any(counts) or any(lists) or self.short)


def home(project: Project) -> Home:
    """Twelve queries."""
    progress = _progress(project)
    aggregation = Aggregation.objects.filter(project=project, current=True).first()
    calls: Mapping[str, Mapping[str, Any]] = {
        row["status"]: row
        for row in JudgeCall.objects.filter(judge__project=project)
        .values("status")
        .annotate(n=Count("pk"), price=Sum("price"))
    }
    failed, stuck = _runs(project)
    agreement: Mapping[str, Any] = aggregation.agreement if aggregation else {}
    return Home(
        progress=progress,
        aggregation=aggregation,
        people=estimate(agreement.get("people"), gettext_noop("no aggregation yet")),
        everybody=estimate(agreement.get("people_and_judges"), gettext_noop("no aggregation yet")),
        judges=sides.pooled(
            sides.accuracy(project, audit=True),
            reason=gettext_noop("no audited comparison has both a judge's and people's verdict"),
        ),
        spend=_spend(project, sum((row["price"] or Decimal(0) for row in calls.values()), Decimal(0))),
        days=_days(project),
        disputed=progress.states.get("disputed", 0),
        flags=reviews.count_flags(project),
        returned=progress.returned,
        unparsed=calls.get("unparsed", {}).get("n", 0),
        failed_calls=calls.get("failed", {}).get("n", 0),
        failed_runs=failed,
        stuck_runs=stuck,
        drafts=list(Rubric.objects.filter(project=project, status=Rubric.Status.DRAFT)[:FEW]),
        paused=list(Rater.objects.filter(project=project, paused_at__isnull=False).order_by("-paused_at")[:FEW]),
        short=qualifying.shortage(project, current_form(project)) if progress.total else None,
    )


def estimate(stored: Mapping[str, Any] | None, reason: str = "not measured") -> Estimate:
    """A figure as JSON keeps it, {value, low, high, n, reason}; what is absent has the given reason."""
    if not stored or stored.get("value") is None:
        return Estimate(None, reason=(stored or {}).get("reason") or reason)
    return Estimate(stored["value"], stored.get("low"), stored.get("high"), stored.get("n") or 0)


def _progress(project: Project) -> Progress:
    back = Count("pk", filter=~Q(returned_because="") & Q(status="open"))
    rows = list(
        Comparison.objects.filter(project=project)
        .order_by()
        .values("status", "route")
        .annotate(n=Count("pk"), back=back)
    )
    states = {status: sum(r["n"] for r in rows if r["status"] == status) for status in Comparison.Status.values}
    routes = {route: sum(r["n"] for r in rows if r["route"] == route) for route in Comparison.Route.values}
    total = sum(states.values())
    wanted = total - states["withdrawn"]
    settled = states["settled"] / wanted if wanted else None
    return Progress(total, states, routes, sum(r["back"] for r in rows), settled)


def _spend(project: Project, spent: Decimal) -> Spend:
    share = min(1.0, float(spent / project.budget)) if project.budget else None
    return Spend(spent, project.budget, share)


def _days(project: Project) -> list[Day]:
    """Judgements a day, the last DAYS days, empty days included."""
    today = timezone.now().date()
    first = today - timedelta(days=DAYS - 1)
    made = (
        Judgement.objects.filter(comparison__project=project, submitted_at__date__gte=first)
        .order_by()
        .values(day=TruncDate("submitted_at"))
        .annotate(
            people=Count("pk", filter=Q(rater__kind="annotator")), judges=Count("pk", filter=Q(rater__kind="judge"))
        )
    )
    counts = {row["day"]: row for row in made}
    days = [first + timedelta(days=i) for i in range(DAYS)]
    none = {"people": 0, "judges": 0}
    shape = pgettext("the shape of a day", "d M")
    return [Day(date_format(d, shape), counts.get(d, none)["people"], counts.get(d, none)["judges"]) for d in days]


def _runs(project: Project) -> tuple[list[Run], list[Run]]:
    """Runs that failed lately, and runs that wait although workers were woken for them."""
    now = timezone.now()
    failed = Q(status=Run.Status.FAILED, finished_at__gt=now - RECENT)
    stuck = Q(status=Run.Status.QUEUED, created_at__lt=now - WAIT, not_before__lte=now, wakes__gte=WOKEN)
    runs = list(Run.objects.filter(failed | stuck, project=project)[:50])
    return (
        [run for run in runs if run.status == Run.Status.FAILED][:FEW],
        [run for run in runs if run.status == Run.Status.QUEUED],
    )

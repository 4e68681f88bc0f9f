"""The page of routing: who decides, what it would do, what it costs, where people help most, and what was decided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import Count, QuerySet

from annotate.models import Rater
from curation.models import BudgetGrant, RoutingDecision, RoutingPolicy, RoutingSettings
from curation.routing import FEATURES, POLICIES, GainModel
from curation.services import admitting, budgeting, comparing, policies
from curation.stats import Estimate
from tiebreak.accounts.models import Project
from tiebreak.runs.models import Run

from .paging import Cursor, Page, page_of
from .projects import estimate

NEXT: Final = 10
AMONG: Final = 200
TAGS: Final = 20


@dataclass(frozen=True, slots=True)
class Spot:
    """A point of a curve as a table has it, and where it stands in the picture, from 0 to 1."""

    share: float
    judgements: int
    money: float
    hours: float
    accuracy: Estimate
    random: Estimate
    x: float
    y: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Curve:
    """Quality against the share of people, or against what they cost."""

    spots: Sequence[Spot]
    trace: str
    chance: str
    band: str
    bottom: float
    top: float


@dataclass(frozen=True, slots=True)
class Line:
    """One version of a policy."""

    policy: RoutingPolicy
    label: str
    facts: str
    params: Mapping[str, Any]
    decided: int
    curves: Sequence[tuple[str, Curve]]
    """("share" or "cost", the curve); empty where it was not simulated"""
    health: Mapping[str, Any] | None
    refused: str
    """Why its gain model must not route."""


@dataclass(frozen=True, slots=True)
class Gain:
    """What one comparison with this tag is expected to bring, if people judge it."""

    label: str
    level: str
    gain: float


@dataclass(frozen=True, slots=True)
class JudgeStanding:
    rater: Rater
    standing: admitting.Standing


@dataclass(frozen=True, slots=True)
class RoutingPage:
    settings: RoutingSettings
    last: Run | None
    ledger: budgeting.Ledger
    grants: Sequence[BudgetGrant]
    arms: Sequence[policies.Arm]
    lines: Sequence[Line]
    judges: Sequence[JudgeStanding]
    gains: Sequence[Gain]
    gains_of: RoutingPolicy | None
    best: Sequence[RoutingDecision]
    an_hour: int
    """Judgements of people in an hour."""
    online: Sequence[comparing.Figure]
    decisions: Page[RoutingDecision]


def routing_page(project: Project, cursor: Cursor) -> RoutingPage:
    """Everything that the page shows (some twenty short queries, however many policies there are)."""
    settings = budgeting.settings_of(project)
    ledger = budgeting.ledger(project, settings)
    lines = _lines(project)
    arms = policies.arms(project, policies.ACTIVE, {})
    learned = next((line.policy for line in lines if line.health and not line.refused), None)
    return RoutingPage(
        settings=settings,
        last=Run.objects.filter(project=project, kind="route").exclude(params__simulate=True).first(),
        ledger=ledger,
        grants=list(BudgetGrant.objects.filter(project=project).select_related("created_by")[:5]),
        arms=arms,
        lines=lines,
        judges=standings(project),
        gains=_gains(learned) if learned else [],
        gains_of=learned,
        best=best(project),
        an_hour=int(3600 / ledger.seconds),
        online=comparing.figures(project, arms),
        decisions=page_of(decisions(project), cursor, make=lambda row: row, newest_first=True, size=20),
    )


def standings(project: Project) -> list[JudgeStanding]:
    """The judges that have not been retired, with where they stand."""
    held = admitting.standings(project).items()
    return [JudgeStanding(rater, standing) for rater, standing in held if not (rater.judge and rater.judge.retired_at)]


def decisions(project: Project) -> QuerySet[RoutingDecision]:
    """What stands decided."""
    rows = RoutingDecision.objects.filter(comparison__project=project, current=True)
    return rows.select_related("comparison", "policy_version", "overridden_by")


def best(project: Project) -> list[RoutingDecision]:
    """Open comparisons by what a judgement of people is expected to bring for its price, the most worth first.

    Among those with the greatest gain, so that a million of them are not sorted for ten.
    """
    open_ones = decisions(project).filter(comparison__status="open", comparison__full=False, overridden_by=None)
    return sorted(open_ones.filter(gain__gt=0).order_by("-gain")[:AMONG], key=_worth, reverse=True)[:NEXT]


def _worth(decision: RoutingDecision) -> tuple[float, int]:
    each = float(decision.price or 0) / max(decision.n, 1)
    return (decision.gain or 0.0) / (each or 1.0), decision.pk


def _lines(project: Project) -> list[Line]:
    """The active ones first, then by name, each with its newest version first (two queries)."""
    rows = RoutingPolicy.objects.filter(project=project).order_by("name", "-version")
    decided = dict(
        RoutingDecision.objects.filter(policy_version__project=project, current=True)
        .order_by()
        .values_list("policy_version")
        .annotate(n=Count("pk"))
    )
    lines = [_line(policy, decided.get(policy.pk, 0)) for policy in rows]
    return sorted(lines, key=lambda line: line.policy.status != RoutingPolicy.Status.ACTIVE)


def _line(policy: RoutingPolicy, decided: int) -> Line:
    kind = POLICIES.get(policy.kind)
    model = (policy.learned or {}).get("gain_model")
    points = (policy.simulation or {}).get("points", [])
    return Line(
        policy=policy,
        label=kind.label if kind else policy.kind,
        facts=kind.facts if kind else "",
        params={key: value for key, value in policy.params.items() if value is not None},
        decided=decided,
        curves=[("share", curve(points, "human_share")), ("cost", curve(points, _dear(points)))] if points else [],
        health={key: model[key] for key in ("rho", "rmse", "n", "n_mixes", "rho_bands")} if model else None,
        refused=model["reason"] if model else "",
    )


def _dear(points: Sequence[Mapping[str, Any]]) -> str:
    """What a curve of cost is over: money, or hours where people cost none."""
    return "money" if any(point["money"] for point in points) else "hours"


def curve(points: Sequence[Mapping[str, Any]], over: str) -> Curve:
    """A simulation's points as a picture: quality from `bottom` to `top`, cost from 0 to the greatest."""
    told = [(point, estimate(point["accuracy"]), estimate(point.get("random"))) for point in points]
    ends = [e for _, own, chance in told for s in (own, chance) if s.value is not None
            for e in (s.value, s.low, s.high) if e is not None]  # fmt: skip
    bottom, top = (min(ends, default=0.0) // 0.1 / 10, min(1.0, -(-max(ends, default=1.0) // 0.1) / 10))
    wide, tall = max((point[over] for point in points), default=0) or 1, max(top - bottom, 0.1)

    def up(value: float | None, otherwise: float | None) -> float:
        value = otherwise if value is None else value
        return round(((bottom if value is None else value) - bottom) / tall, 4)

    spots = [
        Spot(
            point["human_share"], point["judgements"], point["money"], point["hours"], own, chance,
            x=round(point[over] / wide, 4), y=up(own.value, None), low=up(own.low, own.value),
            high=up(own.high, own.value),
        )
        for point, own, chance in told
    ]  # fmt: skip
    lows = [(spot.x, up(spot.random.low, spot.random.value)) for spot in spots]
    highs = [(spot.x, up(spot.random.high, spot.random.value)) for spot in spots]
    return Curve(
        spots,
        trace=_points([(spot.x, spot.y) for spot in spots]),
        chance=_points([(spot.x, up(spot.random.value, None)) for spot in spots]),
        band=_points([*lows, *highs[::-1]]),
        bottom=bottom,
        top=bottom + tall,
    )


def _points(places: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x},{y}" for x, y in places)


def _gains(policy: RoutingPolicy) -> list[Gain]:
    """The tags of a gain model, the greatest gain first."""
    model = GainModel.from_json((policy.learned or {})["gain_model"])
    labels = {feature.name: feature.label for feature in FEATURES}
    found = [
        Gain(labels.get(tag.feature, tag.feature), tag.label, float(gain))
        for tag, gain in zip(model.tags, model.tag_gains(), strict=True)
    ]
    return sorted(found, key=lambda one: -one.gain)[:TAGS]

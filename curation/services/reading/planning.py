"""What it takes to see a difference, with the figures of a project as they were measured for defaults."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from django.db.models import Count, Sum
from django.utils.translation import gettext as _

from annotate.models import JudgeCall
from annotate.services.projects import current_form
from curation.models import RoutingSettings
from curation.stats import planning as stats
from curation.stats.agreement import agreement, agreement_between
from curation.stats.votes import TIE
from tiebreak.accounts.models import Project

from .said import Votes, read

RATERS: Final = (1, 2, 3, 5)
LEAST: Final = 20  # comparisons or judgements, before a figure is taken from them
POINTS: Final = 16
ASSUMED: Final[Mapping[str, float]] = {
    "difference": 10, "power": 80, "raters": 1, "agreement": 70, "ties": 10, "seconds": 60, "hourly": 20,
    "judge_agreement": 65, "judge_price": 0.002,
}  # fmt: skip


class Default(NamedTuple):
    """A figure to begin with: measured on n, or taken from what was set; else it is assumed."""

    value: float
    n: int = 0
    told: bool = False

    @property
    def words(self) -> str:
        if self.n:
            return _("measured on %(n)s") % {"n": f"{self.n:,}"}
        return _("as set") if self.told else _("assumed: nothing was measured yet")


@dataclass(frozen=True, slots=True)
class Measured:
    """The project's own figures in the units of the form; what it has none of is assumed."""

    figures: Mapping[str, Default]
    comparisons: int
    currency: str
    """With a space before it, or nothing where it was not set."""


@dataclass(frozen=True, slots=True)
class Asked:
    goal: stats.Goal
    people: stats.People
    judge: stats.Judge
    raters: int
    comparisons: int


@dataclass(frozen=True, slots=True)
class Line:
    """One alternative: a plan, or that there is none, and why."""

    label: str
    plan: stats.Plan | None
    reason: str
    enough: bool
    """The project has as many comparisons."""


@dataclass(frozen=True, slots=True)
class Curve:
    """The smallest difference that so many judgements show, as a path from 0 to 1 both ways."""

    label: str
    tone: str
    path: str


@dataclass(frozen=True, slots=True)
class Budget:
    """The same in the table: what so many judgements show, in points, by each curve."""

    judgements: int
    seen: Sequence[float | None]


@dataclass(frozen=True, slots=True)
class PlannerPage:
    asked: Asked
    chosen: Line
    """People alone, as many on each comparison as was asked."""
    cheapest: Line | None
    """Of those that give an answer that holds: a judge alone is none."""
    lines: Sequence[Line]
    curves: Sequence[Curve]
    budgets: Sequence[Budget]
    most: int
    """Judgements at the right end of the picture."""
    highest: float
    """The difference at its upper end."""


def asked_of(found: Measured, given: Mapping[str, float | None]) -> Asked:
    """What was given, in the units of the form; what was not is as measured, or assumed."""
    value = {name: default.value for name, default in found.figures.items()}
    value |= {name: float(figure) for name, figure in given.items() if figure is not None}
    return Asked(
        goal=stats.Goal(value["difference"] / 100, power=value["power"] / 100),
        people=stats.People(
            agreement=value["agreement"] / 100,
            seconds=value["seconds"],
            hourly=value["hourly"],
            ties=value["ties"] / 100,
        ),
        judge=stats.Judge(value["judge_agreement"] / 100, value["judge_price"]),
        raters=int(value["raters"]),
        comparisons=found.comparisons,
    )


def measured(project: Project) -> Measured:
    """The project's own agreement, ties, times and prices (seven queries, eight for a large project)."""
    said = read(project, texts=False)
    people = said.votes.where(~said.votes.judge & said.votes.first)
    settings = RoutingSettings.objects.filter(project=project).first()
    figures = {name: Default(float(value)) for name, value in ASSUMED.items()}
    figures["raters"] = Default(float(current_form(project).overlap), told=True)
    figures |= _agreements(said.votes.where(said.votes.first), people)
    if len(said.seconds) >= LEAST:
        figures["seconds"] = Default(float(np.median(said.seconds)), len(said.seconds))
    if settings and settings.seconds:
        figures["seconds"] = Default(float(settings.seconds), told=True)
    if settings and settings.hourly_rate:
        figures["hourly"] = Default(float(settings.hourly_rate), told=True)
    figures |= _price(project)
    comparisons = project.comparisons.exclude(status="withdrawn").order_by().count()
    return Measured(figures, comparisons, f" {settings.currency}" if settings else "")


def _agreements(votes: Votes, people: Votes) -> dict[str, Default]:
    found: dict[str, Default] = {}
    decided = people.where(people.side != TIE)
    together = agreement(decided.comparison, decided.rater, decided.side, coefficient="percent")
    if together.value is not None and together.n >= LEAST:
        found["agreement"] = Default(100 * max(0.5, together.value), together.n)
    if len(people.side) >= LEAST:
        found["ties"] = Default(100 * min(0.95, float(np.mean(people.side == TIE))), len(people.side))
    both = votes.where(votes.side != TIE)
    with_judge = agreement_between(both.comparison, both.rater, both.side, both.judge, coefficient="percent")
    if with_judge.value is not None and with_judge.n >= LEAST:
        found["judge_agreement"] = Default(100 * with_judge.value, with_judge.n)
    return found


def _price(project: Project) -> dict[str, Default]:
    """Of a label: all that judges were paid, over the comparisons that each labelled."""
    rows = JudgeCall.objects.filter(judge__project=project).order_by().values("judge")
    totals = list(rows.annotate(paid=Sum("price"), labels=Count("comparison", distinct=True)))
    labels = sum(row["labels"] for row in totals)
    if labels < LEAST:
        return {}
    return {"judge_price": Default(float(sum(row["paid"] or 0 for row in totals)) / labels, labels)}


def plans(asked: Asked) -> PlannerPage:
    lines = [_people(asked, raters) for raters in sorted({*RATERS, asked.raters})]
    lines += [_mix(asked, raters) for raters in sorted({1, 3, asked.raters})]
    lines.append(_judge(asked))
    chosen = _people(asked, asked.raters)
    sound = [line for line in lines if line.plan and line.plan.by != "judge" and line.enough]
    cheapest = min(sound, key=lambda line: line.plan.money if line.plan else 0.0, default=None)
    return PlannerPage(asked, chosen, cheapest, lines, *_curves(asked, chosen))


def _people(asked: Asked, raters: int) -> Line:
    plan = stats.by_people(asked.goal, asked.people, raters)
    label = _("People, %(k)s on each comparison") % {"k": raters}
    return _line(asked, label, plan, _("no number of comparisons that anybody has shows it"))


def _mix(asked: Asked, raters: int) -> Line:
    mix = (asked.goal, asked.people, asked.judge, raters)
    plan = stats.by_mix(*mix, available=asked.comparisons) or stats.by_mix(*mix)
    label = _("A judge on all, people on a random part, %(k)s on each") % {"k": raters}
    return _line(asked, label, plan, _("the judge agrees too little with people to save any of their judgements"))


def _judge(asked: Asked) -> Line:
    plan = stats.by_judge(asked.goal, asked.people, asked.judge)
    reason = _("the judge agrees with people no more than chance does")
    return _line(asked, _("A judge alone, if its errors favour neither model"), plan, reason)


def _line(asked: Asked, label: str, plan: stats.Plan | None, reason: str) -> Line:
    return Line(label, plan, "" if plan else reason, plan is not None and plan.comparisons <= asked.comparisons)


def _curves(asked: Asked, chosen: Line) -> tuple[list[Curve], list[Budget], int, float]:
    """What people's judgements show, with as many people on each comparison as was asked, and with other numbers."""
    most = max(2 * (chosen.plan.judgements if chosen.plan else 2000), 20 * asked.raters)
    several, highest = _three(asked.raters), min(100.0, 500 * asked.goal.difference)
    budgets = [
        Budget(n, [_seen(n, raters, asked) for raters in several])
        for n in np.unique(np.geomspace(max(several[-1], most / 50), most, POINTS).astype(int)).tolist()
    ]
    curves = [
        Curve(_("%(k)s on each comparison") % {"k": raters}, tone, _path(budgets, i, most, highest))
        for i, (tone, raters) in enumerate(zip(("people", "across", "judges"), several, strict=True))
    ]
    return curves, budgets, most, highest


def _seen(judgements: int, raters: int, asked: Asked) -> float | None:
    seen = stats.smallest(max(1, judgements // raters), raters, asked.people, power=asked.goal.power)
    return None if seen is None else 100 * seen


def _three(raters: int) -> list[int]:
    """The number that was asked for and two others."""
    return sorted([raters, *[k for k in (1, 3, 5) if k != raters][:2]])


def _path(budgets: Sequence[Budget], i: int, most: int, highest: float) -> str:
    """x is the share of `most`, y of `highest`; what lies above is not drawn."""
    drawn = ((budget.judgements, budget.seen[i]) for budget in budgets)
    return " ".join(f"{n / most:.4f},{seen / highest:.4f}" for n, seen in drawn if seen is not None and seen <= highest)

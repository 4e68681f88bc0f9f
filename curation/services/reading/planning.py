"""What it takes to see a difference, with the figures of a project as they were measured for defaults."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from django import forms
from django.db.models import Count, Sum
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

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
POINTS: Final = 24
GOALS: Final = ("difference", "power")  # wishes, of which nothing is measured
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
    """The smallest difference that so many judgements show, as a path from 0 to 1 both ways, and in a table."""

    label: str
    tone: str
    points: Sequence[tuple[int, float]]
    path: str


@dataclass(frozen=True, slots=True)
class PlannerPage:
    asked: Asked
    chosen: Line
    """People alone, as many on each comparison as was asked."""
    cheapest: Line | None
    """Of those that give an answer that holds: a judge alone is none."""
    lines: Sequence[Line]
    curves: Sequence[Curve]
    most: int
    """Judgements at the right end of the picture."""
    highest: float
    """The difference at its upper end."""


class PlanForm(forms.Form):
    """What is known and what shall be seen; shares in percent. What is left out is as measured, or assumed."""

    difference = forms.FloatField(
        label=gettext_lazy("Difference to see, in points"), min_value=0.1, max_value=99, required=False,
        help_text=gettext_lazy("10: one model wins 55 of 100 and loses 45"),
    )  # fmt: skip
    power = forms.FloatField(label=gettext_lazy("Chance to see it, %"), min_value=50, max_value=99.9, required=False)
    raters = forms.IntegerField(label=gettext_lazy("People per comparison"), min_value=1, max_value=50, required=False)
    agreement = forms.FloatField(
        label=gettext_lazy("People who agree, %"), min_value=50, max_value=100, required=False,
        help_text=gettext_lazy("of two who both decide; 50 is chance"),
    )  # fmt: skip
    ties = forms.FloatField(label=gettext_lazy("Ties, %"), min_value=0, max_value=95, required=False)
    seconds = forms.FloatField(
        label=gettext_lazy("Seconds per judgement"), min_value=0.1, max_value=86400, required=False
    )
    hourly = forms.FloatField(label=gettext_lazy("Pay per hour"), min_value=0, max_value=100000, required=False)
    judge_agreement = forms.FloatField(
        label=gettext_lazy("Judge names a person’s side, %"), min_value=0, max_value=100, required=False
    )
    judge_price = forms.FloatField(
        label=gettext_lazy("Price of a judge’s label"), min_value=0, max_value=1000, required=False
    )

    def __init__(self, *args: Any, measured: Measured, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.measured = measured
        for name, field in self.fields.items():
            default = measured.figures[name]
            field.initial = round(default.value, 4)
            field.widget.attrs["step"] = "any" if name != "raters" else "1"
            if name not in GOALS:
                field.help_text = f"{field.help_text}; {default.words}" if field.help_text else default.words

    def asked(self) -> Asked:
        """Of a valid form, or of one that was not sent."""
        given = self.cleaned_data if self.is_bound else {}
        value = {
            name: default.value if given.get(name) is None else float(given[name])
            for name, default in self.measured.figures.items()
        }
        return asked_of(value, self.measured.comparisons)


def asked_of(value: Mapping[str, float], comparisons: int) -> Asked:
    """From figures in the units of the form."""
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
        comparisons=comparisons,
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
    curves, most, highest = _curves(asked, chosen)
    return PlannerPage(asked, chosen, cheapest, lines, curves, most, highest)


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


def _curves(asked: Asked, chosen: Line) -> tuple[list[Curve], int, float]:
    """What people's judgements show, with as many people on each comparison as was asked, and with one or three."""
    most = 2 * (chosen.plan.judgements if chosen.plan else 2000)
    most = max(most, 20 * asked.raters)
    found: list[tuple[str, str, list[tuple[int, float]]]] = []
    for tone, raters in zip(("people", "across", "judges"), _three(asked.raters), strict=True):
        label = _("%(k)s on each comparison") % {"k": raters}
        budgets = np.unique(np.geomspace(max(10, 2 * raters), most, POINTS).astype(int)).tolist()
        at = [(n, stats.smallest(max(1, n // raters), raters, asked.people, power=asked.goal.power)) for n in budgets]
        found.append((label, tone, [(n, 100 * seen) for n, seen in at if seen is not None]))
    highest = min(100.0, 5 * 100 * asked.goal.difference)
    return [Curve(label, tone, at, _path(at, most, highest)) for label, tone, at in found], most, highest


def _three(raters: int) -> list[int]:
    return sorted({raters, *(k for k in (1, 3, 5) if k != raters)})[:3] if raters <= 5 else [1, 3, raters]


def _path(points: Sequence[tuple[int, float]], most: int, highest: float) -> str:
    """x is the share of `most`, y of `highest`; what lies above is not drawn."""
    return " ".join(f"{n / most:.4f},{seen / highest:.4f}" for n, seen in points if seen <= highest)

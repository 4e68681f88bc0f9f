"""People and judges in one table, judges with what only judges have, and rubrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import numpy as np
from django.db.models import Avg, Count, Q, Sum

from annotate.models import Form, Judge, JudgeCall, Rater, Rubric
from annotate.services import projects
from curation.models import RaterSkill
from curation.services import admitting, people
from curation.stats import Estimate
from tiebreak.accounts.models import Project

from . import sides

UNMEASURED = Estimate(None, reason="not aggregated yet")


@dataclass(frozen=True, slots=True)
class RaterLine:
    rater: Rater
    figures: people.Figures
    skill: Estimate
    """Of the last aggregation; the rest is of the rows as they stand."""


def _value(estimate: Estimate) -> float:
    return -np.inf if estimate.value is None else estimate.value


# What a table may be sorted by, in its natural direction: the best, the busiest, the most conspicuous first.
SORTS: Final[Mapping[str, Callable[[RaterLine], Any]]] = {
    "judgements": lambda line: line.figures.counts.n,
    "seconds": lambda line: -(line.figures.counts.seconds or np.inf),
    "skill": lambda line: _value(line.skill),
    "gold": lambda line: _value(line.figures.gold),
    "others": lambda line: _value(line.figures.others),
    "left": lambda line: abs((line.figures.left.value or 0.5) - 0.5),
    "longer": lambda line: abs(line.figures.longer.value or 0.0),
    "same": lambda line: _value(line.figures.same),
    "drift": lambda line: -(line.figures.drift.value or 0.0),
    "signs": lambda line: len(line.figures.signs),
}


def raters(project: Project, *, sort: str = "", reverse: bool = False) -> list[RaterLine]:
    """Everybody who judges here (four queries): people first, the busiest first, unless sorted otherwise."""
    found = list(Rater.objects.filter(project=project).select_related("judge", "user"))
    form, counts = projects.current_form(project), people.table(project)
    kinds = {rater.pk: rater.kind for rater in found}
    skills = {s.rater_id: s for s in RaterSkill.objects.filter(aggregation__project=project, aggregation__current=True)}
    lines = [
        RaterLine(rater, people.figures(rater, counts, kinds, form), estimated_skill(skills.get(rater.pk)))
        for rater in found
    ]
    lines.sort(key=lambda line: (line.rater.kind, -line.figures.counts.n, line.rater.name))
    if sort in SORTS:
        lines.sort(key=SORTS[sort], reverse=not reverse)
    elif sort == "name":
        lines.sort(key=lambda line: line.rater.name.casefold(), reverse=reverse)
    return lines


def estimated_skill(skill: RaterSkill | None) -> Estimate:
    if skill is None or skill.skill is None:
        return UNMEASURED
    return Estimate(skill.skill, skill.skill_low, skill.skill_high, skill.n)


@dataclass(frozen=True, slots=True)
class JudgeLine:
    judge: Judge
    calls: int
    unparsed: int
    failed: int
    price: Decimal
    latency_ms: float | None
    accuracy: Estimate
    consistency: Estimate
    standing: admitting.Standing | None
    """Whether its verdicts may settle a comparison, by gold or by the audit."""


def judges(project: Project) -> list[JudgeLine]:
    """The project's judges, newest first (seven queries)."""
    calls = {
        row["judge"]: row
        for row in JudgeCall.objects.filter(judge__project=project)
        .order_by()
        .values("judge")
        .annotate(
            n=Count("pk"),
            unparsed=Count("pk", filter=Q(status=JudgeCall.Status.UNPARSED)),
            failed=Count("pk", filter=Q(status=JudgeCall.Status.FAILED)),
            price=Sum("price"),
            latency=Avg("latency_ms"),
        )
    }
    accuracy, consistency = sides.accuracy(project), sides.consistency(project)
    none: dict[str, Any] = {"n": 0, "unparsed": 0, "failed": 0, "price": Decimal(0), "latency": None}
    found = Judge.objects.filter(project=project).select_related("rater", "rubric").order_by("-pk")
    held = {rater.pk: standing for rater, standing in admitting.standings(project).items()}
    return [_judge_line(judge, calls.get(judge.pk, none), accuracy, consistency, held) for judge in found]


def _judge_line(
    judge: Judge,
    row: Mapping[str, Any],
    accuracy: Mapping[int, Estimate],
    consistency: Mapping[int, Estimate],
    held: Mapping[int, admitting.Standing],
) -> JudgeLine:
    rater = getattr(judge, "rater", None)
    key = rater.pk if rater else 0
    return JudgeLine(
        judge=judge,
        calls=row["n"],
        unparsed=row["unparsed"],
        failed=row["failed"],
        price=row["price"],
        latency_ms=row["latency"],
        accuracy=accuracy.get(key, Estimate(None, reason="no comparison was judged by it and by people")),
        consistency=consistency.get(key, Estimate(None, reason="nothing was read in both orders")),
        standing=held.get(key),
    )


@dataclass(frozen=True, slots=True)
class RubricLine:
    rubric: Rubric
    shown: bool
    """Annotators see it now."""


def rubrics(project: Project) -> Sequence[RubricLine]:
    """Rubrics with their criteria, newest first (three queries)."""
    shown = Form.objects.filter(project=project, current=True).values_list("rubric_id", flat=True).first()
    found = Rubric.objects.filter(project=project).select_related("generated_by", "approved_by")
    return [RubricLine(rubric, rubric.pk == shown) for rubric in found.prefetch_related("criteria")]

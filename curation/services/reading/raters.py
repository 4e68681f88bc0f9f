"""People and judges in one table, judges with what only judges have, and rubrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db.models import Aggregate, Avg, Count, FloatField, Q, Sum

from annotate.models import Form, Judge, JudgeCall, Judgement, Rater, Rubric
from curation.models import RaterSkill
from curation.stats import Estimate
from tiebreak.accounts.models import Project

from . import sides

UNMEASURED = Estimate(None, reason="not aggregated yet")


class Median(Aggregate):
    """The median by PostgreSQL's ordered-set aggregate."""

    function = "PERCENTILE_CONT"
    template = "%(function)s(0.5) WITHIN GROUP (ORDER BY %(expressions)s)"
    output_field = FloatField()


@dataclass(frozen=True, slots=True)
class RaterLine:
    rater: Rater
    judgements: int
    seconds: float | None
    """Median active time."""
    skill: Estimate
    left: Estimate
    gold: Estimate

    @property
    def lopsided(self) -> bool:
        """The interval of the left share excludes one half."""
        return self.left.low is not None and self.left.high is not None and not self.left.low <= 0.5 <= self.left.high


def raters(project: Project) -> list[RaterLine]:
    """Everybody who judges here, people first, the busiest first (three queries)."""
    volumes = {
        row["rater"]: row
        for row in Judgement.objects.current()
        .filter(rater__project=project)
        .order_by()
        .values("rater")
        .annotate(n=Count("pk"), median=Median("seconds"))
    }
    skills = {s.rater_id: s for s in RaterSkill.objects.filter(aggregation__project=project, aggregation__current=True)}
    nothing = {"n": 0, "median": None}
    lines = [
        _rater_line(rater, volumes.get(rater.pk, nothing), skills.get(rater.pk))
        for rater in Rater.objects.filter(project=project).select_related("judge")
    ]
    return sorted(lines, key=lambda line: (line.rater.kind, -line.judgements, line.rater.name))


def _rater_line(rater: Rater, volume: Mapping[str, Any], skill: RaterSkill | None) -> RaterLine:
    def of(name: str, n: int) -> Estimate:
        value = getattr(skill, name, None)
        if value is None:
            return UNMEASURED
        return Estimate(value, getattr(skill, f"{name}_low"), getattr(skill, f"{name}_high"), n)

    n = skill.n if skill else 0
    gold = of("gold", skill.gold_n if skill else 0)
    return RaterLine(rater, volume["n"], volume["median"], of("skill", n), of("left", n), gold)


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


def judges(project: Project) -> list[JudgeLine]:
    """The project's judges, newest first (four queries)."""
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
    return [_judge_line(judge, calls.get(judge.pk, none), accuracy, consistency) for judge in found]


def _judge_line(
    judge: Judge, row: Mapping[str, Any], accuracy: Mapping[int, Estimate], consistency: Mapping[int, Estimate]
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

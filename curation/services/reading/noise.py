"""The page of doubtful labels: which and why, what was done about them, and whether it helped."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.db import connection
from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet
from django.db.models.functions import Floor

from annotate.models import Comparison
from curation import noise
from curation.models import Aggregation, Consensus, NoiseDecision, NoiseScore, NoiseTreatment
from curation.services import budgeting
from curation.stats import Estimate, wilson
from tiebreak.accounts.models import Project

BINS: Final = 20
SIZE: Final = 20
TREATMENTS: Final = 20
EXCERPT: Final = 240
DOUBTFUL: Final = 0.5


@dataclass(frozen=True, slots=True)
class Scored:
    """A method, and how many labels it scored and doubts."""

    name: str
    about: noise.Method
    n: int
    doubtful: int


@dataclass(frozen=True, slots=True)
class Bin:
    low: float
    high: float
    n: int
    height: float
    """Of its bar, as a share of the highest."""


@dataclass(frozen=True, slots=True)
class Suspect:
    """A label with the score by which it is looked at, and the others."""

    comparison: Comparison
    score: NoiseScore
    others: Sequence[NoiseScore]
    decision: NoiseDecision | None
    consensus: Consensus | None

    @property
    def pk(self) -> int:
        return self.score.pk

    @property
    def excerpt(self) -> str:
        messages = self.comparison.prompt.messages
        return beginning(str(messages[-1]["content"]) if messages else "")

    @property
    def texts(self) -> tuple[str, str]:
        return beginning(self.comparison.completion_a.text), beginning(self.comparison.completion_b.text)


@dataclass(frozen=True, slots=True)
class Suspects:
    rows: Sequence[Suspect]
    next: int | None
    """The id to put in `after`; None on the last page."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What asking people takes."""

    judgements: int
    hours: float
    money: Any
    currency: str
    seconds_from: str

    @property
    def seconds(self) -> float:
        return self.hours * 3600


@dataclass(frozen=True, slots=True)
class Quality:
    """Whether there is anything to find: raw agreement of people over all that they said, before any selection."""

    agreement: Estimate
    outcomes: Mapping[str, Estimate]
    """By method, how often its suspects were wrong when people were asked again."""

    @property
    def reliable(self) -> bool:
        low = self.agreement.low
        return self.agreement.value is not None and low is not None and low > 0


def beginning(text: str) -> str:
    return text if len(text) <= EXCERPT else text[:EXCERPT].rstrip() + "…"


def methods(project: Project) -> list[Scored]:
    """Every method in the table's order (one query)."""
    rows = NoiseScore.objects.filter(comparison__project=project).order_by().values("method")
    counted = rows.annotate(n=Count("pk"), doubtful=Count("pk", filter=Q(score__gte=DOUBTFUL)))
    known = {row["method"]: (row["n"], row["doubtful"]) for row in counted}
    return [Scored(name, about, *known.get(name, (0, 0))) for name, about in noise.METHODS.items()]


def histogram(project: Project, method: str) -> list[Bin]:
    """Labels by their score (one query)."""
    rows = NoiseScore.objects.filter(comparison__project=project, method=method).order_by()
    counted = [0] * (BINS + 1)
    for row in rows.values(bin=Floor(F("score") * BINS)).annotate(n=Count("pk")):
        counted[int(row["bin"])] = row["n"]
    counted[BINS - 1] += counted[BINS]  # a score of 1 is in the last step
    most = max(counted[:BINS]) or 1
    return [Bin(i / BINS, (i + 1) / BINS, counted[i], counted[i] / most) for i in range(BINS)]


def suspects(
    project: Project, method: str, *, least: bool = False, undecided: bool = False, after: int | None = None
) -> Suspects:
    """A page of labels by their score, the most doubtful first, or the least (five queries)."""
    found = NoiseScore.objects.filter(comparison__project=project, method=method)
    found = found.exclude(comparison__status=Comparison.Status.WITHDRAWN)
    if undecided:
        found = found.exclude(Exists(NoiseDecision.objects.filter(comparison=OuterRef("comparison"), current=True)))
    edge = found.model.objects.filter(pk=after, method=method).first() if after else None
    if edge is not None:
        further = Q(score__gt=edge.score) if least else Q(score__lt=edge.score)
        found = found.filter(further | Q(score=edge.score, pk__gt=edge.pk))
    ids = list(found.order_by("score" if least else "-score", "pk").values_list("pk", flat=True)[: SIZE + 1])
    rows = told(NoiseScore.objects.filter(pk__in=ids[:SIZE]))
    rows.sort(key=lambda row: ids.index(row.pk))
    return Suspects(rows, ids[SIZE - 1] if len(ids) > SIZE else None)


def told(scores: QuerySet[NoiseScore]) -> list[Suspect]:
    """The scores with their texts, the other scores of the same labels, and what stands decided (three queries)."""
    related = ("comparison__prompt", "comparison__completion_a", "comparison__completion_b", "comparison__consensus")
    rows = list(scores.select_related(*related))
    ids = [row.comparison_id for row in rows]
    others: dict[int, list[NoiseScore]] = {}
    for other in NoiseScore.objects.filter(comparison__in=ids).order_by("-score", "method"):
        others.setdefault(other.comparison_id, []).append(other)
    standing = NoiseDecision.objects.filter(comparison__in=ids, current=True).select_related("treatment")
    decisions = {row.comparison_id: row for row in standing}
    return [
        Suspect(
            comparison=row.comparison,
            score=row,
            others=[other for other in others[row.comparison_id] if other.pk != row.pk],
            decision=decisions.get(row.comparison_id),
            consensus=getattr(row.comparison, "consensus", None),
        )
        for row in rows
    ]


def suspect(project: Project, comparison: int, method: str) -> Suspect | None:
    """One label by one of its scores."""
    found = told(NoiseScore.objects.filter(comparison__project=project, comparison=comparison, method=method))
    return found[0] if found else None


def examples(comparisons: Collection[int], policy: noise.Policy) -> dict[int, Suspect]:
    """By comparison, its highest score among the policy's methods."""
    scores = NoiseScore.objects.filter(comparison__in=comparisons, method__in=policy.methods)
    return {row.comparison.pk: row for row in sorted(told(scores), key=lambda row: row.score.score)}


def treatments(project: Project) -> list[NoiseTreatment]:
    """The last ones, with whoever made and undid them (one query)."""
    rows = NoiseTreatment.objects.filter(project=project)
    return list(rows.select_related("run", "created_by", "undone_by")[:TREATMENTS])


def cost(project: Project, judgements: int) -> Cost:
    """What so many judgements of people take, in hours and in money."""
    budget = budgeting.ledger(project)
    hours = judgements * budget.seconds / 3600
    return Cost(judgements, hours, budget.price * judgements, budget.currency, budget.seconds_from)


def quality(project: Project) -> Quality:
    """Raw agreement as the last aggregation measured it, and what came of asking people again (two queries)."""
    current = Aggregation.objects.filter(project=project, current=True).first()
    told_ = current.agreement.get("people") if current else None
    known = {name: told_[name] for name in Estimate._fields if name in told_} if told_ else None
    agreement = Estimate(**known) if known else Estimate(None, reason="not aggregated yet")
    return Quality(agreement, outcomes(project))


# The first person who was given it after the treatment; a revision of an older answer is no second look.
OUTCOMES: Final = """
SELECT coalesce(nullif(d.details->>'by', ''), d.method),
       count(*) FILTER (WHERE sign(s.preference) <> (d.details->>'side')::int), count(*)
FROM curation_noisedecision AS d JOIN curation_noisetreatment AS t ON t.id = d.treatment_id
CROSS JOIN LATERAL (
  SELECT j.preference FROM annotate_judgement AS j
  JOIN annotate_rater AS r ON r.id = j.rater_id JOIN annotate_assignment AS a ON a.id = j.assignment_id
  WHERE j.comparison_id = d.comparison_id AND j.current AND r.kind = 'annotator' AND a.purpose = 'work'
    AND a.created_at > t.created_at AND j.preference IS NOT NULL
  ORDER BY j.submitted_at, j.id LIMIT 1
) AS s
WHERE t.project_id = %s AND d.action = 'ask_people' AND d.details->>'side' IN ('-1', '1') AND s.preference <> 0
GROUP BY 1 ORDER BY 1
"""


def outcomes(project: Project) -> dict[str, Estimate]:
    """By method, on how many of the labels that people were asked about the next person named the other side."""
    with connection.cursor() as cursor:
        cursor.execute(OUTCOMES, [project.pk])
        return {method: wilson(wrong, asked) for method, wrong, asked in cursor.fetchall()}

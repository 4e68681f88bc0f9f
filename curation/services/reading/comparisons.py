"""The list of comparisons by named filters, and one comparison's whole life."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Any, Final

from django.db.models import CharField, Exists, OuterRef, Q, QuerySet, Subquery, TextField
from django.db.models.fields.json import KeyTextTransform, KeyTransform
from django.db.models.functions import Cast, Left

from annotate.models import Adjudication, Assignment, Comment, Comparison, Flag, JudgeCall, Judgement, Prompt
from curation.models import Consensus, DatasetRow, DroppedRow, NoiseDecision, NoiseScore, RewardMargin, RoutingDecision
from curation.services import retrieving
from tiebreak.accounts.models import Project
from tiebreak.core.models import Event
from tiebreak.core.text import TextError, loads_strict

from .paging import Cursor, Page, page_of

EXCERPT: Final = 180
ALIKE: Final = 5
MOST_PROMPTS: Final = 2000
# Entropy of the consensus in bits: log2(3) = 1.58 knows nothing at all, 1.0 is two sides in balance.
CONSENSUS: Final = Consensus.objects.filter(comparison=OuterRef("pk"))
DISAGREEMENT: Final[Mapping[str, Any]] = {  # conditions
    "high": Exists(CONSENSUS.filter(entropy__gte=0.9)),
    "some": Exists(CONSENSUS.filter(entropy__gte=0.4, entropy__lt=0.9)),
    "little": Exists(CONSENSUS.filter(entropy__lt=0.4)),
    "unknown": ~Exists(CONSENSUS),
}


@dataclass(frozen=True, slots=True)
class Filters:
    """What a curator may filter by, by name; empty means any."""

    q: str = ""
    status: str = ""
    route: str = ""
    priority: str = ""
    group: str = ""
    facet: str = ""
    """`key:value` of the metadata."""
    disagreement: str = ""
    noise: str = ""
    rater: int | None = None
    returned: bool = False
    unparsed: bool = False
    failed: bool = False
    flagged: bool = False
    decided: bool = False

    def on(self) -> bool:
        return self != Filters()


@dataclass(frozen=True, slots=True)
class Line:
    """One comparison in the list."""

    pk: int
    external_id: str
    excerpt: str
    status: str
    route: str
    seats_taken: int
    overlap: int
    side: str | None
    probability: float | None
    entropy: float | None
    n_annotators: int
    n_judges: int
    noise: str | None
    returned_because: str


def comparisons(project: Project, filters: Filters, cursor: Cursor) -> Page[Line]:
    """One page of the project's comparisons (two or three queries; one more where its texts are searched)."""
    found = _filtered(Comparison.objects.filter(project=project), filters)
    if filters.q:
        found = _with_text(found, project, filters.q)
    return page_of(found, cursor, make=_line, shown=_shown())


def _shown() -> QuerySet[Any, Any]:
    """Comparisons with what `_line` makes a line of."""
    last = KeyTextTransform("content", KeyTransform("-1", "prompt__messages"))
    return Comparison.objects.annotate(
        excerpt=Left(Cast(last, TextField()), EXCERPT + 1),
        noise=Subquery(_noise().order_by("-score").values("decision")[:1], output_field=CharField()),
    ).values(
        "pk", "external_id", "excerpt", "status", "route", "seats_taken", "overlap", "noise", "returned_because",
        "consensus__p_a", "consensus__p_tie", "consensus__p_b", "consensus__entropy", "consensus__n_annotators",
        "consensus__n_judges",
    )  # fmt: skip


def _line(row: Mapping[str, Any]) -> Line:
    chances = {side: row[f"consensus__p_{side}"] for side in ("a", "tie", "b")}
    known = chances["a"] is not None
    side = max(chances, key=lambda s: chances[s]) if known else None
    text = row["excerpt"] or ""
    return Line(
        pk=row["pk"],
        external_id=row["external_id"],
        excerpt=text if len(text) <= EXCERPT else text[:EXCERPT].rstrip() + "…",
        status=row["status"],
        route=row["route"],
        seats_taken=row["seats_taken"],
        overlap=row["overlap"],
        side=side,
        probability=chances[side] if side else None,
        entropy=row["consensus__entropy"],
        n_annotators=row["consensus__n_annotators"] or 0,
        n_judges=row["consensus__n_judges"] or 0,
        noise=row["noise"],
        returned_because=row["returned_because"],
    )


def _noise() -> QuerySet[NoiseScore]:
    return NoiseScore.objects.filter(comparison=OuterRef("pk"))


def _called(status: str) -> Exists:
    return Exists(JudgeCall.objects.filter(comparison=OuterRef("pk"), status=status))


def _facet(value: str) -> Q:
    """By one key of the metadata, whose index is asked for the value as it was written: text, number or truth."""
    key, _, wanted = value.partition(":")
    meant = [Q(metadata__contains={key: wanted})]
    with suppress(TextError):
        meant.append(Q(metadata__contains={key: loads_strict(wanted)}))
    return reduce(or_, meant)


def _with_text(found: QuerySet[Comparison], project: Project, text: str) -> QuerySet[Comparison]:
    """Those whose prompt contains a text, or whose id it is. The prompts are searched first, each once: there are fewer
    of them, and where few fit their comparisons are found by an index."""
    prompts = Prompt.objects.filter(project=project, messages__icontains=text)
    fitting = list(prompts.order_by().values_list("pk", flat=True)[: MOST_PROMPTS + 1])
    few = len(fitting) <= MOST_PROMPTS
    return found.filter(Q(external_id=text) | Q(prompt__in=fitting if few else prompts))


FILTERS: Final[Mapping[str, Callable[[Any], Q | Exists]]] = {
    "status": lambda value: Q(status=value),
    "route": lambda value: Q(route=value),
    "priority": lambda value: Q(priority=value),
    "facet": _facet,
    "group": lambda value: Q(group=value),
    "disagreement": lambda value: DISAGREEMENT[value],
    "noise": lambda value: Exists(_noise().filter(decision=value)),
    "rater": lambda value: Exists(Judgement.objects.filter(comparison=OuterRef("pk"), rater=value)),
    "returned": lambda value: ~Q(returned_because=""),
    "unparsed": lambda value: _called(JudgeCall.Status.UNPARSED),
    "failed": lambda value: _called(JudgeCall.Status.FAILED),
    "flagged": lambda value: Exists(Flag.objects.filter(comparison=OuterRef("pk"), resolved_at=None)),
    "decided": lambda value: Exists(Adjudication.objects.filter(comparison=OuterRef("pk"), current=True)),
}


def _filtered(found: QuerySet[Comparison], filters: Filters) -> QuerySet[Comparison]:
    for name, condition in FILTERS.items():
        if value := getattr(filters, name):
            found = found.filter(condition(value))
    return found


@dataclass(frozen=True, slots=True)
class Reading:
    """A judgement with the call that made it, where a judge made it."""

    judgement: Judgement
    call: JudgeCall | None
    shown: str
    """The letter of the completion that stood left or first: A, B, or empty where it is not known."""


@dataclass(frozen=True, slots=True)
class Alike:
    """Another comparison that resembles one, by their embeddings."""

    line: Line
    similarity: float


@dataclass(frozen=True, slots=True)
class Life:
    """Everything that is known of one comparison."""

    comparison: Comparison
    consensus: Consensus | None
    readings: Sequence[Reading]
    failed_calls: Sequence[JudgeCall]
    waiting: Sequence[Assignment]
    routing: Sequence[RoutingDecision]
    noise: Sequence[NoiseScore]
    treated: Sequence[NoiseDecision]
    """What was decided about its label, the last first."""
    rows: Sequence[DatasetRow]
    dropped: Sequence[DroppedRow]
    margins: Sequence[RewardMargin]
    events: Sequence[Event]
    decisions: Sequence[Adjudication]
    flags: Sequence[Flag]
    comments: Sequence[Comment]
    alike: Sequence[Alike]
    """The nearest first; empty without embeddings."""

    @property
    def decision(self) -> Adjudication | None:
        """What an adjudicator decided and stands."""
        return next((decision for decision in self.decisions if decision.current), None)


def life(comparison: Comparison) -> Life:
    """The life of a comparison that `one` found (thirteen queries)."""
    judgements = list(
        comparison.judgements.select_related("rater", "rubric", "form", "review__by").order_by(
            "-current", "submitted_at", "id"
        )
    )
    calls = list(comparison.judge_calls.select_related("judge").order_by("id"))
    by_judgement = {call.judgement_id: call for call in calls if call.judgement_id}
    return Life(
        comparison=comparison,
        consensus=getattr(comparison, "consensus", None),
        readings=[Reading(j, by_judgement.get(j.pk), (j.order or "")[:1].upper()) for j in judgements],
        failed_calls=[call for call in calls if call.judgement_id is None],
        waiting=list(comparison.assignments.select_related("rater").exclude(status="submitted").order_by("id")),
        routing=list(comparison.routing_decisions.all()),
        noise=list(comparison.noise_scores.order_by("-score")),
        treated=list(comparison.noise_decisions.select_related("treatment__created_by")),
        rows=list(comparison.rows.select_related("version__dataset").defer("line", "lineage").order_by("id")),
        dropped=list(comparison.dropped_rows.select_related("version__dataset").order_by("id")),
        margins=list(comparison.reward_margins.select_related("reward_model").order_by("id")),
        events=_events(comparison, judgements),
        decisions=list(comparison.adjudications.select_related("by", "rater")),
        flags=list(comparison.flags.select_related("rater", "resolved_by").order_by("id")),
        comments=list(comparison.comments.select_related("author")),
        alike=alike(comparison),
    )


def alike(comparison: Comparison) -> list[Alike]:
    """The ALIKE comparisons of the project that resemble it most (one query where it has no embeddings, else five)."""
    found = retrieving.similar(comparison.project_id, [comparison.pk], ALIKE)
    near = {each.comparison: each.similarity for each in found}
    rows = _shown().filter(pk__in=list(near)) if near else []
    lines = sorted(map(_line, rows), key=lambda line: -near[line.pk])
    return [Alike(line, near[line.pk]) for line in lines]


def one(project: Project, pk: int) -> Comparison | None:
    """A comparison of the project with its texts and consensus (one query)."""
    related = ("prompt", "completion_a", "completion_b", "consensus__aggregation")
    return Comparison.objects.select_related(*related).filter(project=project, pk=pk).first()


def _events(comparison: Comparison, judgements: Sequence[Judgement]) -> list[Event]:
    of_it = Q(target_type="annotate.comparison", target_id=str(comparison.pk))
    of_them = Q(target_type="annotate.judgement", target_id__in=[str(j.pk) for j in judgements])
    return list(Event.objects.filter(of_it | of_them).select_related("actor").order_by("id")[:500])

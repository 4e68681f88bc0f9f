"""Why a row is in a version, who said so, how sure that was, what it cost; and the same of what was left out.

A row keeps the ids of what it was made of. Where there are none, of comparisons that were left out and in versions
built before ids were kept, what was known at that time is told by its dates, and the page says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple, TypeVar

from django.utils.translation import gettext as _

from annotate.models import Adjudication, Comparison, JudgeCall, Judgement, Rater
from annotate.services.pseudonyms import adjudicator_name, public_name
from curation.models import (
    DatasetRow,
    DatasetVersion,
    DroppedRow,
    NoiseDecision,
    RewardMargin,
    RoutingDecision,
    RoutingSettings,
    Tombstone,
    VersionWork,
)
from curation.services import budgeting
from tiebreak.accounts.models import Project

from .differences import method_of

D = TypeVar("D", Adjudication, NoiseDecision, RoutingDecision)


@dataclass(frozen=True, slots=True)
class Cost:
    """What judgements cost. What is not known is counted, never taken for nothing."""

    price: Decimal
    """Of the judges' calls that are known."""
    unpriced: int
    """Judges' judgements whose call is not known: they were imported."""
    seconds: float
    """Of people, where it is known."""
    untimed: int
    """People's judgements whose time is not known, or was not spent here: they were imported."""
    rate: Decimal | None
    """Of a person's hour; None where the project sets none."""
    currency: str

    @property
    def people(self) -> Decimal | None:
        """In money; None where an hour's price is not known."""
        if not self.seconds:
            return Decimal(0)
        return None if self.rate is None else self.rate * Decimal(self.seconds) / 3600

    @property
    def total(self) -> Decimal | None:
        """Of what is known; None where people worked at a price that is not."""
        return None if self.people is None else self.price + self.people

    @property
    def whole(self) -> bool:
        """Nothing is missing from the total."""
        return self.total is not None and not self.unpriced and not self.untimed


@dataclass(frozen=True, slots=True)
class Said:
    """One judgement that the row rests on, as its rater gave it."""

    judgement: Judgement
    call: JudgeCall | None
    revised: datetime | None
    """When the same rater said something else, if they did."""

    @property
    def price(self) -> Decimal | None:
        """Of the call that made it."""
        return self.call.price if self.call else None


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to the comparison after the version was made."""

    at: datetime
    what: str


@dataclass(frozen=True, slots=True)
class RowPage:
    version: DatasetVersion
    id: str
    comparison: Comparison | None
    row: DatasetRow | None
    dropped: DroppedRow | None
    tombstones: Sequence[Tombstone]
    """Of withdrawals that took the row out, or a vote from it; the last first."""
    said: Sequence[Said]
    gone: int
    """Judgements that the row rests on and that are no longer kept."""
    recorded: bool
    """What it was made of was written down with it; otherwise it is told by dates."""
    adjudication: Adjudication | None
    noise: NoiseDecision | None
    routing: RoutingDecision | None
    since: Sequence[Event]
    elsewhere: Sequence[DatasetRow]
    """The same comparison in other versions."""
    margins: Sequence[RewardMargin]
    cost: Cost

    @property
    def state(self) -> str:
        """row, dropped, withdrawn, or unknown where the version was built without this comparison."""
        if self.row is not None:
            return "row"
        if self.dropped is not None:
            return "dropped"
        return "withdrawn" if self.tombstones else "unknown"

    @property
    def native(self) -> dict[str, Any]:
        """The row as the version has it."""
        return self.row.row if self.row else {}

    @property
    def method(self) -> str:
        """Of the consensus that the version was built with."""
        return method_of(self.version)

    @property
    def strength(self) -> float | None:
        """The consensus as the row has it, below 0 for a."""
        return self.native.get("preference")

    @property
    def changes(self) -> list[tuple[str, Any]]:
        """(rule, what it altered in the row)."""
        return sorted((self.row.lineage.get("changes") or {}).items()) if self.row else []


class Names(NamedTuple):
    """How people are called: by their own names where a project's members read, else as in its versions."""

    project: Project
    public: bool

    def rater(self, rater: Rater) -> str:
        return public_name(rater, self.project) if self.public else str(rater)

    def adjudicator(self, decision: Adjudication) -> str:
        return adjudicator_name(decision, self.project) if self.public else decision.adjudicator


def find(version: DatasetVersion, external_id: str, *, public: bool = False) -> RowPage | None:
    """A row by its own id, or what became of it; None where neither the version nor its project knows the id.
    `public` events call nobody by a member's name.

    A dozen queries, however long the version.
    """
    project = version.dataset.project
    related = ("prompt", "completion_a", "completion_b", "consensus__aggregation")
    comparison = Comparison.objects.select_related(*related).filter(project=project, external_id=external_id).first()
    tombstones = list(
        version.tombstones.filter(external_id=external_id).select_related("withdrawal").order_by("-at", "-pk")
    )
    if comparison is None and not tombstones:
        return None
    row = version.rows.filter(comparison=comparison).first() if comparison else None
    dropped = version.dropped_rows.filter(comparison=comparison).first() if comparison else None
    return _page(version, external_id, comparison, row, dropped, tombstones, Names(project, public))


class _Past(NamedTuple):
    """All that was ever said and decided of a comparison; decisions the last first."""

    judgements: Sequence[Judgement]
    adjudications: Sequence[Adjudication]
    treated: Sequence[NoiseDecision]
    routed: Sequence[RoutingDecision]

    @classmethod
    def of(cls, comparison: Comparison | None) -> _Past:
        """Four queries."""
        if comparison is None:
            return cls((), (), (), ())
        judgements = comparison.judgements.select_related(
            "rater__judge", "rater__user", "form", "rubric", "call__judge__rubric"
        )
        return cls(
            list(judgements.order_by("submitted_at", "pk")),
            list(comparison.adjudications.select_related("by", "rater__user")),
            list(comparison.noise_decisions.select_related("treatment__created_by")),
            list(comparison.routing_decisions.select_related("policy_version")),
        )


def _page(
    version: DatasetVersion,
    external_id: str,
    comparison: Comparison | None,
    row: DatasetRow | None,
    dropped: DroppedRow | None,
    tombstones: Sequence[Tombstone],
    names: Names,
) -> RowPage:
    lineage: dict[str, Any] | None = row.lineage if row and "judgements" in row.lineage else None
    past, at = _Past.of(comparison), version.created_at
    said = _said(past, lineage, at) if row or dropped else []
    undone = [d for d in past.treated if d.treatment.undone_at and d.treatment.undone_at < at]
    return RowPage(
        version=version,
        id=external_id,
        comparison=comparison,
        row=row,
        dropped=dropped,
        tombstones=tombstones,
        said=said,
        gone=len(lineage["judgements"]) - len(said) if lineage else 0,
        recorded=lineage is not None,
        adjudication=_then(past.adjudications, "adjudication", lineage, lambda d: d.created_at < at),
        noise=_then(past.treated, "noise", lineage, lambda d: d.treatment.created_at < at and d not in undone),
        routing=_then(past.routed, "routing", lineage, lambda d: d.created_at < at),
        since=sorted(_since(past, at, said, comparison, names), key=lambda event: event.at),
        elsewhere=_elsewhere(version, comparison),
        margins=list(comparison.reward_margins.select_related("reward_model").order_by("pk")) if comparison else [],
        cost=cost(said, budgeting.settings_of(version.dataset.project)),
    )


def _then(decisions: Sequence[D], key: str, lineage: dict[str, Any] | None, before: Callable[[D], bool]) -> D | None:
    """The decision that the row was made with: as recorded, else the last one before the version was begun."""
    if lineage is None:
        return next(filter(before, decisions), None)
    return next((decision for decision in decisions if decision.pk == lineage.get(key)), None)


def _said(past: _Past, lineage: dict[str, Any] | None, at: datetime) -> list[Said]:
    """As recorded; else each rater's last word before the version was begun."""
    if lineage is not None:
        recorded = set(lineage["judgements"])
        counted = [j for j in past.judgements if j.pk in recorded]
    else:
        last = {(j.rater_id, j.repeat): j for j in sorted(past.judgements, key=_revision) if j.submitted_at < at}
        counted = [j for j in past.judgements if last.get((j.rater_id, j.repeat)) == j]
    return [Said(j, getattr(j, "call", None), _revised(past, j)) for j in counted]


def _revision(judgement: Judgement) -> int:
    return judgement.revision


def _revised(past: _Past, judgement: Judgement) -> datetime | None:
    of_it = (judgement.rater_id, judgement.repeat)
    later = [j for j in past.judgements if (j.rater_id, j.repeat) == of_it and j.revision > judgement.revision]
    return min(later, key=_revision).submitted_at if later else None


def _since(
    past: _Past, at: datetime, said: Sequence[Said], comparison: Comparison | None, names: Names
) -> Iterator[Event]:
    """What happened after the version was begun."""
    counted = {each.judgement.pk for each in said}
    for each in said:
        if each.revised:
            yield Event(
                each.revised, _("%(rater)s revised what they had said") % {"rater": names.rater(each.judgement.rater)}
            )
    for judgement in past.judgements:
        if judgement.submitted_at > at and judgement.revision == 1 and judgement.pk not in counted:
            yield Event(judgement.submitted_at, _("%(rater)s judged it") % {"rater": names.rater(judgement.rater)})
    for decision in past.adjudications:
        if decision.created_at > at:
            told = {"name": names.adjudicator(decision), "reason": decision.reason}
            yield Event(decision.created_at, _("%(name)s decided it: %(reason)s") % told)
    for routed in past.routed:
        if routed.created_at > at:
            yield Event(routed.created_at, _("it was routed anew: %(reason)s") % {"reason": routed.reason})
    yield from _treated_since(past.treated, at, names)
    if comparison is not None and comparison.status == Comparison.Status.WITHDRAWN:
        yield Event(comparison.updated_at, _("it was withdrawn from the project"))


def _treated_since(treated: Sequence[NoiseDecision], at: datetime, names: Names) -> Iterator[Event]:
    for decision in treated:
        treatment = decision.treatment
        if treatment.created_at > at:
            cause = decision.published() if names.public else decision.told()
            told = {"action": decision.action.replace("_", " "), "cause": cause}
            yield Event(treatment.created_at, _("its label was treated, %(action)s: %(cause)s") % told)
        if treatment.undone_at and treatment.undone_at > at:
            yield Event(treatment.undone_at, _("a treatment of its label was undone"))


def _elsewhere(version: DatasetVersion, comparison: Comparison | None) -> list[DatasetRow]:
    if comparison is None:
        return []
    found = comparison.rows.exclude(version=version).filter(version__status=DatasetVersion.Status.READY)
    return list(found.select_related("version__dataset").defer("line", "version__card", "version__statistics"))


def cost(said: Sequence[Said], settings: RoutingSettings) -> Cost:
    """Of single judgements, with what people's time is worth in the project."""
    judges = [s for s in said if s.judgement.rater.kind == Rater.Kind.JUDGE]
    people = [s.judgement for s in said if s.judgement.rater.kind == Rater.Kind.ANNOTATOR]
    here = [j.seconds for j in people if j.form_id and j.seconds is not None]
    return Cost(
        price=sum((s.call.price for s in judges if s.call), Decimal(0)),
        unpriced=sum(s.call is None for s in judges),
        seconds=sum(here),
        untimed=len(people) - len(here),
        rate=Decimal(settings.hourly_rate) or None,
        currency=settings.currency,
    )


def cost_of(work: Sequence[VersionWork], settings: RoutingSettings) -> Cost:
    """Of all judgements that a version's rows rest on, as they were counted when it was built."""
    judges = [w for w in work if w.kind == Rater.Kind.JUDGE]
    people = [w for w in work if w.kind == Rater.Kind.ANNOTATOR]
    here = [w for w in people if w.form_id]
    return Cost(
        price=sum((w.price for w in judges), Decimal(0)),
        unpriced=sum(w.judgements - w.priced for w in judges),
        seconds=sum(w.seconds for w in here),
        untimed=sum(w.judgements for w in people) - sum(w.timed for w in here),
        rate=Decimal(settings.hourly_rate) or None,
        currency=settings.currency,
    )

"""What people said lately, for curators to sample, and what they flagged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.db.models.functions import Mod

from annotate.models import Flag, Judgement, Rater, Review
from curation.models import Consensus
from tiebreak.accounts.models import Project

from .paging import Cursor, Page, page_of

SIZE: Final = 20
EXCERPT: Final = 240
# Multiplying an id by Knuth's constant spreads ids evenly over 32 bits: a tenth of them, the same whenever it is asked.
KNUTH, WHOLE = 2_654_435_761, 2**32
P = "comparison__consensus__p_"
SHOWN: Final = ("rater__user", "review__by", "comparison__project", "comparison__prompt", "comparison__consensus")


@dataclass(frozen=True, slots=True)
class ReviewFilters:
    """What a curator may sample by, by name; empty means any."""

    rater: int | None = None
    state: str = "new"
    disagrees: bool = False
    flagged: bool = False
    sample: bool = False


@dataclass(frozen=True, slots=True)
class Sampled:
    """A judgement to look at."""

    judgement: Judgement
    review: Review | None
    consensus: Consensus | None
    excerpt: str
    returnable: bool

    @property
    def pk(self) -> int:
        return self.judgement.pk


@dataclass(frozen=True, slots=True)
class Flagged:
    flag: Flag
    excerpt: str


def against(side: str, others: tuple[str, str]) -> Q:
    """The consensus finds another side likelier than this one."""
    return Q(**{f"{P}{side}__lt": F(f"{P}{others[0]}")}) | Q(**{f"{P}{side}__lt": F(f"{P}{others[1]}")})


DISAGREES: Final = (
    (Q(preference__lt=0) & against("a", ("tie", "b")))
    | (Q(preference=0) & against("tie", ("a", "b")))
    | (Q(preference__gt=0) & against("b", ("a", "tie")))
)
STATES: Final[Mapping[str, Q]] = {
    "new": Q(~Exists(Review.objects.filter(judgement=OuterRef("pk")))),
    "accepted": Q(review__verdict=Review.Verdict.ACCEPTED),
    "corrected": Q(review__verdict=Review.Verdict.CORRECTED),
    "returned": Q(review__verdict=Review.Verdict.RETURNED),
    "all": Q(),
}
OPEN_FLAG: Final = Flag.objects.filter(comparison=OuterRef("comparison"), resolved_at=None)
CONDITIONS: Final[Mapping[str, Callable[[Any], Q | Exists]]] = {
    "rater": lambda value: Q(rater=value),
    "state": lambda value: STATES[value],
    "disagrees": lambda value: DISAGREES,
    "flagged": lambda value: Q(Exists(OPEN_FLAG)),
}


def judgements(project: Project, filters: ReviewFilters, cursor: Cursor) -> Page[Sampled]:
    """Current judgements of people, the newest first (five queries).

    The page's ids are found first, along the primary key: texts are read for what is shown, and for nothing else.
    """
    found = _of_people(project)
    for name, condition in CONDITIONS.items():
        if value := getattr(filters, name):
            found = found.filter(condition(value))
    if filters.sample:
        lot = Mod(F("pk") * KNUTH, WHOLE)
        found = found.annotate(lot=lot).filter(lot__lt=WHOLE // 10)
    page = page_of(found.values("pk"), cursor, make=lambda row: int(row["pk"]), newest_first=True, size=SIZE)
    members = _members(project)
    rows = Judgement.objects.filter(pk__in=page.rows).select_related(*SHOWN).order_by("-pk")
    return Page([_sampled(row, members) for row in rows], page.previous, page.next, page.count, page.more)


def judgement(project: Project, pk: int) -> Judgement | None:
    """A person's judgement in the project, with what is shown of it."""
    return _of_people(project).select_related(*SHOWN).filter(pk=pk).first()


def sampled(row: Judgement) -> Sampled:
    return _sampled(row, _members(row.comparison.project))


def flags(project: Project, *, resolved: bool, cursor: Cursor) -> Page[Flagged]:
    """Flags that wait, the oldest first, or those that were resolved, the newest first (two queries)."""
    found = Flag.objects.filter(comparison__project=project, resolved_at__isnull=not resolved)
    found = found.select_related("rater", "resolved_by", "comparison__prompt")
    return page_of(
        found, cursor, make=lambda row: Flagged(row, _excerpt(row.comparison.prompt.messages)), newest_first=resolved
    )


def count_flags(project: Project) -> int:
    """Flags that wait, of comparisons that are not withdrawn."""
    rows = Flag.objects.filter(comparison__project=project, resolved_at=None)
    return rows.exclude(comparison__status="withdrawn").count()


def _of_people(project: Project) -> QuerySet[Judgement]:
    people = Rater.objects.filter(project=project, kind=Rater.Kind.ANNOTATOR).values_list("pk", flat=True)
    return Judgement.objects.current().filter(rater__in=list(people))


def _members(project: Project) -> set[int]:
    return set(project.members.values_list("user_id", flat=True))


def _sampled(row: Judgement, members: set[int]) -> Sampled:
    return Sampled(
        judgement=row,
        review=getattr(row, "review", None),
        consensus=getattr(row.comparison, "consensus", None),
        excerpt=_excerpt(row.comparison.prompt.messages),
        returnable=row.rater.user_id in members,
    )


def _excerpt(messages: Any) -> str:
    text = str(messages[-1]["content"]) if messages else ""
    return text if len(text) <= EXCERPT else text[:EXCERPT].rstrip() + "…"

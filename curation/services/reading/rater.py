"""One rater's page: how they work, what stands out with the judgements behind it, and what was done about it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final, NamedTuple

import numpy as np
from django.db.models import QuerySet
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from annotate.models import Comment, Form, Judgement, Rater
from annotate.services import measuring, projects, qualifying
from curation.models import RaterSkill
from curation.services import people
from curation.stats import Estimate, wilson
from curation.stats import people as stats
from tiebreak.accounts.models import Project
from tiebreak.core.models import Event

from . import raters, reach
from .projects import Bar, bars

RECENT: Final = 20
BEHIND: Final = 10
PARTS: Final = 10
PART_LEAST: Final = 5
EDGES: Final = (0, 5, 10, 20, 40, 80, 160, np.inf)  # seconds


class Told(NamedTuple):
    """A figure in words."""

    label: str
    estimate: Estimate
    difference: bool
    """It is a difference of two shares."""
    verdict: str


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of a rater's work, for a picture: `at` is its place from 0 to 1."""

    label: str
    at: float
    share: Estimate


@dataclass(frozen=True, slots=True)
class Behind:
    """The last judgements behind a sign."""

    title: str
    rows: Sequence[Judgement]


@dataclass(frozen=True, slots=True)
class RaterPage:
    rater: Rater
    figures: people.Figures
    told: Sequence[Told]
    skill: Estimate
    pace: float | None
    """The median of all people's median active times."""
    parts: Sequence[Part]
    times: Sequence[Bar]
    behind: Sequence[Behind]
    recent: Sequence[Judgement]
    practice: qualifying.Attempt | None
    qualification: qualifying.Attempt | None
    hidden: Estimate
    form: Form
    events: Sequence[Event]
    messages: Sequence[Comment]
    reached: Sequence[reach.Reached]
    """Versions that hold what they said, and the models trained on them."""

    @property
    def slowest(self) -> int:
        """The fullest bar of `times`, for the scale of its picture."""
        return max((bar.value for bar in self.times), default=0)


def page(project: Project, pk: int) -> RaterPage | None:
    """A rater's last judgements as they stand (some fifteen queries, whatever their history)."""
    rater = Rater.objects.filter(project=project, pk=pk).select_related("judge", "user", "project").first()
    if rater is None:
        return None
    form, table = projects.current_form(project), people.table(project)
    kinds = dict(Rater.objects.filter(project=project).values_list("pk", "kind"))
    found = measuring.readings(rater)
    counts = people.count(found, fifth=table[pk].fifth if pk in table else None)
    figures = people.figures(rater, table | {pk: counts}, kinds, form)
    paces = [c.seconds for key, c in table.items() if kinds.get(key) == Rater.Kind.ANNOTATOR and c.seconds is not None]
    skill = RaterSkill.objects.filter(aggregation__project=project, aggregation__current=True, rater=rater).first()
    rows = Judgement.objects.select_related("comparison").order_by("-submitted_at", "-pk")
    person = rater.kind == Rater.Kind.ANNOTATOR
    events = Event.objects.filter(target_type=Rater._meta.label_lower, target_id=str(pk)).select_related("actor")
    return RaterPage(
        rater=rater,
        figures=figures,
        told=_told(figures, person=person),
        skill=raters.estimated_skill(skill),
        pace=median(paces) if paces else None,
        parts=parts(found),
        times=_times(found) if person else [],
        behind=_behind(found, figures, rows),
        recent=list(rows.filter(rater=rater, current=True)[:RECENT]),
        practice=qualifying.attempt(rater, "practice"),
        qualification=qualifying.attempt(rater, "qualification"),
        hidden=qualifying.hidden_gold(rater),
        form=form,
        events=list(events[:RECENT]),
        messages=list(rater.messages.select_related("author").order_by("-pk")[:RECENT]),
        reached=reach.of_rater(rater),
    )


def parts(found: Sequence[measuring.Reading]) -> list[Part]:
    """Agreement with what is known, or most others say, in equal parts of the work, the oldest first."""
    hits = [(reading.at, reading.side == side) for reading, side in people.sides_known(found)]
    number = min(PARTS, len(hits) // PART_LEAST)
    if number < 2:
        return []
    chunks = [[hits[i] for i in chunk] for chunk in np.array_split(np.arange(len(hits)), number)]
    shape = pgettext("the shape of a day", "d M")
    return [
        Part(
            label=f"{date_format(chunk[0][0], shape)} – {date_format(chunk[-1][0], shape)}",
            at=(i + 0.5) / number,
            share=wilson(sum(hit for _at, hit in chunk), len(chunk)),
        )
        for i, chunk in enumerate(chunks)
    ]


def _told(found: people.Figures, *, person: bool) -> list[Told]:
    """What only a person has is left out for a judge."""
    shown: list[tuple[str, Estimate, bool, stats.Range | None]] = [
        (_("Gold right"), found.gold, False, None),
        (_("With most other people"), found.others, False, None),
        (_("Beside how others agree"), found.gap, True, stats.GAP),
        (_("Chose what stood left"), found.left, False, stats.LEFT),
        (_("Chose the longer one, beside others"), found.longer, True, stats.LENGTH),
        (_("The same when asked twice"), found.same, False, stats.SAME),
    ]
    if person:
        shown += [
            (_("Agreement later, less earlier"), found.drift, True, stats.DRIFT),
            (_("Too fast to have read it"), found.fast, False, stats.FAST),
            (_("Justifications that stood before"), found.pasted, False, stats.PASTED),
        ]
    return [Told(label, estimate, apart, _verdict(estimate, usual)) for label, estimate, apart, usual in shown]


def _verdict(estimate: Estimate, usual: stats.Range | None) -> str:
    """What the interval decides, or that it does not."""
    if estimate.value is None or usual is None:
        return ""
    said = stats.verdict(estimate, usual)
    if said == stats.Verdict.LOW:
        return _("surely below what is usual")
    if said == stats.Verdict.HIGH:
        return _("surely above what is usual")
    if said == stats.Verdict.USUAL:
        return _("as usual")
    return _("not enough evidence yet (n = %(n)s)") % {"n": f"{estimate.n:,}"}


def _times(found: Sequence[measuring.Reading]) -> list[Bar]:
    """How many answers took how long."""
    seconds = [r.seconds for r in found if r.seconds is not None]
    if not seconds:
        return []
    between = (f"{low:.0f}–{high:.0f} s" for low, high in itertools.pairwise(EDGES[1:-1]))
    names = [f"< {EDGES[1]:.0f} s", *between, f"> {EDGES[-2]:.0f} s"]
    return bars(dict(zip(names, np.histogram(seconds, EDGES)[0].tolist(), strict=True)))


def _behind(found: Sequence[measuring.Reading], figures: people.Figures, rows: QuerySet[Judgement]) -> list[Behind]:
    """Of each sign that single judgements show, the last ones."""
    words = {sign.code: sign.words for sign in figures.signs}
    hasty = people.fast(found, figures.counts.fifth)
    again = stats.pasted([reading.justification for reading in found])
    sided = [reading for reading in found if reading.left is not None]
    run = stats.longest_run(np.array([reading.left for reading in sided], dtype=bool))
    ids = {
        "gold": [r.id for r in found if r.gold is not None and r.repeat == 0 and r.side != r.gold],
        "fast": [r.id for r, quick in zip(found, hasty, strict=True) if quick],
        "pasted": [r.id for r, earlier in zip(found, again, strict=True) if earlier >= 0],
        "run": [r.id for r in sided[run.start : run.start + run.length]],
    }
    return [
        Behind(words[code], list(rows.filter(pk__in=which[-BEHIND:])))
        for code, which in ids.items()
        if code in words and which
    ]

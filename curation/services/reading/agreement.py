"""How far raters agree, by slice; who agrees with whom; how they lean; and rates over judges' labels that hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

import numpy as np
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, gettext_noop

from annotate.models import Rater
from annotate.services.projects import current_form
from curation.stats import Estimate
from curation.stats.agreement import Coefficient, agreement, agreement_between
from curation.stats.bias import Leaning, family, leaning
from curation.stats.prediction_powered import Corrected, prediction_powered
from curation.stats.votes import TIE, A, B, FloatArray
from tiebreak.accounts.models import Project

from .said import BoolArray, Said, Votes, read

SEED: Final = 4  # the same judgements show the same intervals
RESAMPLES: Final = 600
MOST_SLICES: Final = 20
MOST_RATERS: Final = 40
MOST_PAIRS: Final = 8  # of the busiest raters, each with each
MOST_GENERATORS: Final = 12
FEW: Final = 20  # comparisons of a value of the metadata, to be a slice

COEFFICIENTS: Final[Mapping[Coefficient, Any]] = {
    "alpha-ordinal": gettext_lazy("Krippendorff’s α, ordinal"),
    "alpha-nominal": gettext_lazy("Krippendorff’s α, nominal"),
    "alpha-interval": gettext_lazy("Krippendorff’s α, interval, over strengths"),
    "fleiss": gettext_lazy("Fleiss’ κ"),
    "ac1": gettext_lazy("Gwet’s AC1"),
    "ac2": gettext_lazy("Gwet’s AC2, over strengths"),
    "percent": gettext_lazy("Pairs that agree"),
}
ALPHAS: Final = frozenset({"alpha-ordinal", "alpha-nominal", "alpha-interval"})
STRENGTHS: Final = frozenset({"alpha-interval", "ac2"})
SLICES: Final[Mapping[str, Any]] = {
    "": gettext_lazy("none: all together"),
    "aspect": gettext_lazy("aspect"),
    "generator": gettext_lazy("generator"),
    "language": gettext_lazy("language"),
    "length": gettext_lazy("difference in length"),
    "strength": gettext_lazy("strength that the first rater named"),
}
METADATA: Final = "metadata:"


class Dot(NamedTuple):
    """An estimate in a picture: places from 0 to 400 across."""

    at: float
    low: float
    high: float
    tone: str


@dataclass(frozen=True, slots=True)
class Row:
    """Agreement within one slice."""

    label: str
    people: Estimate
    across: Estimate
    """Judges with people."""
    judges: Estimate

    @property
    def dots(self) -> list[Dot]:
        told = (("people", self.people), ("across", self.across), ("judges", self.judges))
        return [_dot(estimate, tone) for tone, estimate in told if estimate.value is not None]


@dataclass(frozen=True, slots=True)
class With:
    """One rater with the people: a person with the other ones."""

    rater: Rater
    people: Estimate


@dataclass(frozen=True, slots=True)
class Pair:
    one: Rater
    other: Rater
    estimate: Estimate


@dataclass(frozen=True, slots=True)
class Lean:
    """Of one rater towards one thing: the plain share, and how much it is above that of the others."""

    share: Estimate
    excess: Estimate
    slope: Estimate


@dataclass(frozen=True, slots=True)
class Leans:
    rater: Rater
    side: Lean
    length: Lean
    layout: Lean
    own: Lean | None
    """Towards completions of its own family; None for people."""
    family: str


@dataclass(frozen=True, slots=True)
class Rate:
    label: str
    corrected: Corrected
    judged: float | None
    """By the judges alone; None of how often they are right, which they cannot tell."""


@dataclass(frozen=True, slots=True)
class AgreementPage:
    coefficient: Coefficient
    slice: str
    choices: Mapping[str, str]
    """What may be sliced by."""
    comparisons: int
    total: int
    judgements: int
    later: int
    """Votes that count for no agreement, since what earlier ones said may have brought them."""
    whole: Row
    chance: Row
    """By Krippendorff's alpha, whatever is shown: it is 0 for random judgements, however uneven."""
    rows: Sequence[Row]
    withs: Sequence[With]
    paired: Sequence[Rater]
    pairs: Sequence[Pair]
    leans: Sequence[Leans]
    rates: Sequence[Rate]
    audited: int

    @property
    def sampled(self) -> bool:
        return self.comparisons < self.total

    @property
    def verdicts(self) -> list[str]:
        told = (
            (_("People with people"), self.chance.people),
            (_("Judges with people"), self.chance.across),
            (_("Judges with judges"), self.chance.judges),
        )
        return [f"{who}: {verdict(estimate)}" for who, estimate in told]

    @property
    def grid(self) -> list[tuple[Rater, list[Estimate | None]]]:
        """The pairs as a square: rows and columns in the order of `paired`."""
        known = {frozenset((pair.one.pk, pair.other.pk)): pair.estimate for pair in self.pairs}
        return [(row, [known.get(frozenset((row.pk, column.pk))) for column in self.paired]) for row in self.paired]


def page(project: Project, coefficient: Coefficient = "alpha-ordinal", by: str = "") -> AgreementPage:
    """Four queries, five for a large project; `by` is one of `choices`, else nothing is sliced."""
    said = read(project)
    measure = _Measure(coefficient, *_categories(said, ties=current_form(project).allow_tie))
    choices = {name: str(label) for name, label in SLICES.items()} | _facets(said)
    by = by if by in choices else ""
    unbiased = said.votes.where(said.votes.first)
    busiest = _busiest(said, MOST_RATERS)
    paired = busiest[:MOST_PAIRS]
    return AgreementPage(
        coefficient=coefficient,
        slice=by,
        choices=choices,
        comparisons=len(said.comparisons),
        total=said.total,
        judgements=len(said.votes.side),
        later=int((~said.votes.first).sum()),
        whole=measure.row(_("All"), unbiased),
        chance=(measure if coefficient in ALPHAS else replace(measure, coefficient="alpha-ordinal")).row("", unbiased),
        rows=[measure.row(label, votes, first=by == "strength") for label, votes in _sliced(said, unbiased, by)],
        withs=[With(said.raters[i], measure.with_people(unbiased, i)) for i in busiest],
        paired=[said.raters[i] for i in paired],
        pairs=[
            Pair(said.raters[i], said.raters[j], measure.of_two(unbiased, i, j))
            for n, i in enumerate(paired)
            for j in paired[:n]
        ],
        leans=leans(said, busiest),
        rates=rates(said),
        audited=int(said.audit.sum()),
    )


def unknown_slice(asked: str, choices: Mapping[str, str]) -> str:
    known = ", ".join(name for name in choices if name)
    return _("slice: nothing is called “%(asked)s” here; known are %(known)s.") % {"asked": asked[:60], "known": known}


def verdict(estimate: Estimate) -> str:
    """What the interval of an alpha decides, in words (the lines at .667 and .8: Krippendorff 2004, p. 241)."""
    if estimate.value is None:
        return _(estimate.reason)
    if estimate.low is None or estimate.high is None:
        return _("no interval")
    if estimate.low <= 0 <= estimate.high:
        return _("no reliability shown: the interval holds 0, which is what chance gives")
    if estimate.high < 0:
        return _("surely less than chance: they contradict each other")
    if estimate.high < 0.667:
        return _("more than chance, surely below 0.667, from where on conclusions are called tentative")
    if estimate.low >= 0.8:
        return _("reliable: surely 0.8 or more")
    return _("more than chance")


@dataclass(frozen=True, slots=True)
class _Measure:
    """A coefficient with what it counts: sides, or strengths."""

    coefficient: Coefficient
    sides: Sequence[float]
    strengths: Sequence[float]

    @property
    def categories(self) -> Sequence[float]:
        return self.strengths if self.coefficient in STRENGTHS else self.sides

    def values(self, votes: Votes) -> FloatArray:
        return votes.strength if self.coefficient in STRENGTHS else votes.side.astype(np.float64)

    def row(self, label: str, votes: Votes, *, first: bool = False) -> Row:
        """`first`: the slice was made by what the first rater said, who is then held against those that followed."""
        if first:
            people, judges = votes.where(~votes.judge), votes.where(votes.judge)
            return Row(label, self.opened(people), self.across(votes), self.opened(judges))
        return Row(
            label, self.within(votes.where(~votes.judge)), self.across(votes), self.within(votes.where(votes.judge))
        )

    def within(self, votes: Votes) -> Estimate:
        return agreement(
            votes.comparison, votes.rater, self.values(votes), coefficient=self.coefficient,
            categories=self.categories, rng=np.random.default_rng(SEED), resamples=RESAMPLES,
        )  # fmt: skip

    def between(self, votes: Votes, second: BoolArray, resamples: int = RESAMPLES) -> Estimate:
        return agreement_between(
            votes.comparison, votes.rater, self.values(votes), second, coefficient=self.coefficient,
            categories=self.categories, rng=np.random.default_rng(SEED), resamples=resamples,
        )  # fmt: skip

    def across(self, votes: Votes) -> Estimate:
        return self.between(votes, votes.judge)

    def opened(self, votes: Votes) -> Estimate:
        """The first vote on each comparison with those that followed it."""
        later = np.ones(len(votes.side), dtype=bool)
        later[np.unique(votes.comparison, return_index=True)[1]] = False
        found = self.between(votes, later)
        return found if found.reason != BOTH else found._replace(reason=ALONE)

    def with_people(self, votes: Votes, rater: int) -> Estimate:
        mine = votes.rater == rater
        return self._named(self.between(votes.where(mine | ~votes.judge), mine[mine | ~votes.judge], 300))

    def of_two(self, votes: Votes, one: int, other: int) -> Estimate:
        both = votes.where((votes.rater == one) | (votes.rater == other))
        return self._named(self.between(both, both.rater == other, 200))

    def _named(self, found: Estimate) -> Estimate:
        return found if found.reason != BOTH else found._replace(reason=gettext_noop("they judged nothing together"))


BOTH: Final = "no comparison was judged by both groups"
ALONE: Final = gettext_noop("no comparison was judged by two raters")


def _categories(said: Said, *, ties: bool) -> tuple[list[float], list[float]]:
    """The sides and the strengths that could have been said, whether they were or not; `ties`: the form offers them."""
    every = [said.votes, *said.aspects.values()]
    tied = ties or any((votes.side == TIE).any() for votes in every)
    most = max(int(np.abs(votes.strength).max(initial=1)) for votes in every)
    return ([A, TIE, B] if tied else [A, B]), [float(level) for level in range(-most, most + 1)]


def _busiest(said: Said, most: int) -> list[int]:
    counts = np.bincount(said.votes.rater, minlength=len(said.raters))
    order = sorted(np.flatnonzero(counts).tolist(), key=lambda i: -counts[i])[:most]
    return sorted(order, key=lambda i: (said.raters[i].kind, -counts[i]))


# Slices


def _facets(said: Said) -> dict[str, str]:
    """Keys of the metadata whose values recur."""
    values: dict[str, Counter[str]] = {}
    for metadata in said.metadata:
        for key, value in metadata.items():
            if isinstance(value, str | int | bool) and len(str(value)) <= 60:
                values.setdefault(key, Counter())[str(value)] += 1
    recurring = {
        key: counts for key, counts in values.items() if len(counts) >= 2 and counts.most_common(2)[1][1] >= FEW
    }
    return {f"{METADATA}{key}": key for key in sorted(recurring)[:MOST_SLICES]}


def _sliced(said: Said, votes: Votes, by: str) -> Iterator[tuple[str, Votes]]:
    if by == "aspect":
        yield from ((key, said.aspects[key].where(said.aspects[key].first)) for key in list(said.aspects)[:MOST_SLICES])
    elif by == "strength":
        yield from _by_strength(votes)
    elif by:
        for label, kept in _masks(said, by):
            yield label, votes.where(kept[votes.comparison])


def _by_strength(votes: Votes) -> Iterator[tuple[str, Votes]]:
    """By what the first rater of each comparison said: nobody else's vote makes the slice."""
    people = votes.where(~votes.judge)
    units, where = np.unique(people.comparison, return_index=True)
    size = int(votes.comparison.max(initial=-1)) + 1
    named = np.full(size, -1)
    named[units] = np.abs(people.strength[where])
    for level in sorted(set(named[named >= 0].tolist())):
        label = _("a tie") if level == 0 else _("strength %(level)s") % {"level": int(level)}
        yield label, votes.where(named[votes.comparison] == level)


def _masks(said: Said, by: str) -> Iterator[tuple[str, BoolArray]]:
    if by == "length":
        yield from _thirds(np.abs(said.longer))
    elif by == "generator":
        for name in _generators(said)[:MOST_SLICES]:
            yield name, np.array([name in both for both in said.generators], dtype=bool)
    elif by == "language":
        yield from _alike(list(said.languages))
    else:
        key = by.removeprefix(METADATA)
        yield from _alike([str(metadata[key]) if key in metadata else "" for metadata in said.metadata])


def _alike(values: Sequence[str]) -> Iterator[tuple[str, BoolArray]]:
    """A slice of each value, the commonest first; of "" none."""
    column = np.array(values, dtype=object)
    for value, _n in Counter(value for value in values if value).most_common(MOST_SLICES):
        yield value, column == value


def _thirds(size: FloatArray) -> Iterator[tuple[str, BoolArray]]:
    if not len(size):
        return
    low, high = (float(q) for q in np.quantile(size, [1 / 3, 2 / 3]))
    yield _("up to %(n)s bytes") % {"n": f"{low:,.0f}"}, size <= low
    yield _("%(low)s to %(high)s bytes") % {"low": f"{low:,.0f}", "high": f"{high:,.0f}"}, (size > low) & (size <= high)
    yield _("more than %(n)s bytes") % {"n": f"{high:,.0f}"}, size > high


def _generators(said: Said) -> list[str]:
    counts = Counter(name for both in said.generators for name in set(both) if name)
    return [name for name, _n in counts.most_common()]


# Leanings


def leans(said: Said, raters: Sequence[int]) -> list[Leans]:
    """Of each rater, beside the people (of whom a person's own votes are taken out)."""
    votes, families = said.votes, [_family_of(rater) for rater in said.raters]
    shown = said.readings.a_first
    side = np.select([shown == 1, shown == 0], [-1.0, 1.0], np.nan)
    found = [_leaning(said, said.readings, side)] + [
        _leaning(said, votes, towards)
        for towards in (said.longer[votes.comparison], said.layout[votes.comparison], _own(said, families))
    ]
    return [
        Leans(
            rater=said.raters[i],
            side=_lean(found[0], i),
            length=_lean(found[1], i),
            layout=_lean(found[2], i),
            own=_lean(found[3], i) if said.raters[i].kind == Rater.Kind.JUDGE else None,
            family=families[i],
        )
        for i in raters
    ]


def _leaning(said: Said, votes: Votes, towards: FloatArray) -> Leaning:
    return leaning(votes.rater, votes.comparison, votes.side, towards, ~votes.judge, n_raters=len(said.raters))


def _family_of(rater: Rater) -> str:
    if rater.kind != Rater.Kind.JUDGE:
        return ""
    return family(rater.judge.model if rater.judge and rater.judge.model else rater.name)


def _own(said: Said, families: Sequence[str]) -> FloatArray:
    """For each vote: 1 where b alone is of the rater's family, -1 where a alone is, else 0."""
    known: dict[str, int] = {name: i for i, name in enumerate(sorted({f for f in families if f}), 1)}
    whose = np.array([[known.get(family(name), 0) if name else 0 for name in both] for both in said.generators])
    mine = np.array([known.get(name, -1) for name in families], dtype=np.int64)[said.votes.rater]
    both = whose.reshape(-1, 2)[said.votes.comparison]
    own: FloatArray = (both[:, 1] == mine) * 1.0 - (both[:, 0] == mine)
    return own


def _lean(found: Leaning, i: int) -> Lean:
    few = gettext_noop("fewer than 30 comparisons to compare on")
    nothing = gettext_noop("nothing to compare with")
    return Lean(
        _estimate(found.share[i], found.low[i], found.high[i], found.n[i], gettext_noop("no observations")),
        _estimate(
            found.excess[i], found.excess_low[i], found.excess_high[i], found.n_beside[i],
            few if found.n_beside[i] else nothing,
        ),
        _estimate(
            found.slope[i], found.slope_low[i], found.slope_high[i], found.n_beside[i],
            few if found.n_beside[i] else nothing,
        ),
    )  # fmt: skip


def _estimate(value: float, low: float, high: float, n: int, reason: str) -> Estimate:
    if np.isnan(value):
        return Estimate(None, n=int(n), reason=reason)
    return Estimate(float(value), float(low), float(high), int(n))


# Rates over judges' labels


def rates(said: Said) -> list[Rate]:
    """Wins of each generator, ties, and how often a judge's label is people's, each corrected by the audit."""
    pool = _Pool.of(said)
    everything = np.ones(len(said.comparisons), dtype=bool)
    found = {
        _("%(name)s wins") % {"name": name}: pool.corrected(_wins(said, name), _plays(said, name))
        for name in _generators(said)[:MOST_GENERATORS]
    }
    found[_("Ties")] = pool.corrected(lambda votes: (votes.side == TIE) * 1.0, everything)
    told = [Rate(label, corrected, corrected.judged) for label, corrected in found.items()]
    return [*told, Rate(_("Judges name a person’s side"), pool.accuracy(), None)]


def whole(said: Said) -> Row:
    """Krippendorff's ordinal alpha over everything: people, judges with people, judges."""
    return _Measure("alpha-ordinal", *_categories(said, ties=True)).row("", said.votes.where(said.votes.first))


def judge_accuracy(said: Said) -> Corrected:
    """How often a judge's label is people's, over all that judges labelled, corrected by the audit."""
    return _Pool.of(said).accuracy()


def _plays(said: Said, name: str) -> BoolArray:
    """Against another one."""
    return np.array([(a == name) != (b == name) for a, b in said.generators], dtype=bool)


def _wins(said: Said, name: str) -> Callable[[Votes], FloatArray]:
    """Of each vote: 1 for the generator, 0 against it, a half for a tie."""
    is_b = np.array([b == name for _a, b in said.generators], dtype=bool)

    def won(votes: Votes) -> FloatArray:
        for_b = votes.side / 2
        return np.where(is_b[votes.comparison], for_b, 1 - for_b)

    return won


@dataclass(frozen=True, slots=True)
class _Pool:
    """Comparisons that a judge labelled and that could have been drawn for the audit, with who said what of them."""

    size: int
    labelled: BoolArray
    drawn: BoolArray
    probability: FloatArray
    judges: Votes
    people: Votes

    @classmethod
    def of(cls, said: Said) -> _Pool:
        """Without any routing, whatever people judged is their own choice: there is no audit."""
        votes = said.votes
        probability = np.where(np.isnan(said.probability), _share(said.audit, said.routed), said.probability)
        labelled = np.bincount(votes.comparison[votes.judge], minlength=len(said.comparisons)) > 0
        return cls(
            size=len(said.comparisons),
            labelled=labelled & said.routed & (probability > 0),
            drawn=said.audit,
            probability=np.minimum(probability, 1.0),
            judges=votes.where(votes.judge),
            people=votes.where(~votes.judge & votes.first),
        )

    def mean(self, votes: Votes, figures: FloatArray) -> FloatArray:
        """[c] of the votes on each comparison; nan without any."""
        n = np.bincount(votes.comparison, minlength=self.size)
        with np.errstate(invalid="ignore"):
            mean: FloatArray = np.bincount(votes.comparison, figures, self.size) / n
        return mean

    def corrected(self, figure: Callable[[Votes], FloatArray], among: BoolArray) -> Corrected:
        return self.estimate(
            self.mean(self.judges, figure(self.judges)), self.mean(self.people, figure(self.people)), among
        )

    def accuracy(self) -> Corrected:
        """Of the sign of all judges' votes, among the people who decided; how much of one mind they are predicts it."""
        lean = self.mean(self.judges, self.judges.side.astype(np.float64) - 1)
        people = self.people.where(self.people.side != TIE)
        right: FloatArray = (np.sign(lean)[people.comparison] == people.side - 1) * 1.0
        return self.estimate(np.abs(lean), self.mean(people, right), np.ones(self.size, dtype=bool))

    def estimate(self, predicted: FloatArray, truth: FloatArray, among: BoolArray) -> Corrected:
        kept = self.labelled & among
        seen = np.where(self.drawn, truth, np.nan)
        return prediction_powered(predicted[kept], seen[kept], self.probability[kept])


def _share(part: BoolArray, of: BoolArray) -> float:
    return float(part.sum() / max(1, of.sum()))


def _dot(estimate: Estimate, tone: str) -> Dot:
    """From -0.2 to 1 across; what lies below stands at the edge."""

    def place(value: float | None) -> float:
        return round(400 * (max(-0.2, min(1.0, value or 0.0)) + 0.2) / 1.2, 1)

    value = estimate.value or 0.0
    return Dot(
        place(value),
        place(value if estimate.low is None else estimate.low),
        place(value if estimate.high is None else estimate.high),
        tone,
    )

"""The bias card of a version as its page shows it: what to know before training, and a picture for each section."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from curation.exports.bias import SECTIONS, Section
from curation.exports.cautions import TEXTS
from curation.models import DatasetVersion
from curation.stats import Estimate

WIDTH: Final = 400.0
ROW: Final = 38
MOST: Final = 1.5
"""Log-odds at the ends of a picture, at least."""

WORDS: Final = (  # those of a package that knows no languages
    gettext_noop("Length"),
    gettext_noop("The chosen completion is the longer, of two that differ in length."),
    gettext_noop("rows"),
    gettext_noop("By difference in length"),
    gettext_noop("The chosen completion is the longer."),
    gettext_noop("the longer one has, in characters"),
    gettext_noop("Layout"),
    gettext_noop("The chosen completion has more of it, of two that differ in it."),
    gettext_noop("more of"),
    gettext_noop("By split"),
    gettext_noop("split"),
    gettext_noop("By who labelled"),
    gettext_noop("labelled by"),
    gettext_noop("By source"),
    gettext_noop("source"),
    gettext_noop("By language"),
    gettext_noop("language"),
    gettext_noop("By place in a conversation"),
    gettext_noop("turns of the user"),
    gettext_noop("Generators"),
    gettext_noop("Its completion is the chosen one, against another generator's."),
    gettext_noop("generator"),
    gettext_noop("Sides"),
    gettext_noop("The side that came first is chosen."),
    gettext_noop("of"),
    gettext_noop("Refusals"),
    gettext_noop("The refusal is chosen, where one of the two refuses."),
    gettext_noop("What looks alone tell"),
    gettext_noop(
        "Right about the chosen completion in validation and test, learned from train, without reading a word; a half "
        "is chance."
    ),
    gettext_noop("guess by"),
    gettext_noop("Weights of the looks"),
    gettext_noop("Log-odds of being chosen for one standard deviation more of it, the others being equal; 0 is none."),
    gettext_noop("all"),
    gettext_noop("others"),
    gettext_noop("up to 1.1 times as long"),
    gettext_noop("1.1 to 1.25 times"),
    gettext_noop("1.25 to 1.5 times"),
    gettext_noop("1.5 to 2 times"),
    gettext_noop("2 to 4 times"),
    gettext_noop("over 4 times"),
    gettext_noop("4 or more"),
    gettext_noop("length"),
    gettext_noop("length and layout"),
    gettext_noop("list items"),
    gettext_noop("headings"),
    gettext_noop("code"),
    gettext_noop("bold"),
    gettext_noop("emoji"),
    gettext_noop("votes of people, shown first"),
    gettext_noop("votes of judges, shown first"),
    gettext_noop("rows, completion a"),
    gettext_noop("fewer than 30 rows of the train split to learn from"),
    gettext_noop("no row of the validation or test split to measure on"),
    gettext_noop("all completions look alike"),
    gettext_noop("people"),
    gettext_noop("judges"),
    gettext_noop("both"),
    gettext_noop("labelled by judges"),
    gettext_noop("labelled by both"),
    gettext_noop("with the longer one chosen"),
)
CAUTIONS: Final = (
    gettext_noop("Nothing shows that people agree better than by chance: alpha %(alpha)s."),
    gettext_noop("A length-biased set: the chosen completion is the longer in %(share)s."),
    gettext_noop("A length-biased set: the chosen completion is the shorter in %(share)s."),
    gettext_noop("Looks alone, %(what)s, name the chosen completion in %(share)s of the rows held out, unread."),
    gettext_noop("The side shown first has %(share)s of the votes of %(who)s."),
    gettext_noop("Completion a is the chosen one in %(share)s: the order of import tells the label."),
    gettext_noop("%(name)s wins %(share)s of its comparisons: a model may learn who wrote a text, not how good it is."),
    gettext_noop(
        "Judge labels without an audit: %(rows)s of %(of)s rows are labelled by judges alone, and no random part of "
        "what judges label was answered by people."
    ),
    gettext_noop(
        "The audit of %(n)s comparisons does not show that judges are better than chance: they name people's side in "
        "%(share)s."
    ),
    gettext_noop("One rater gave %(share)s of the votes."),
    gettext_noop("%(share)s of the labels rest on one vote: nobody can say how far others would agree with them."),
    gettext_noop("The splits differ: %(here)s of the %(split)s rows are %(what)s, and %(train)s of the train rows."),
    gettext_noop(
        "The test split is small: with %(n)s rows, accuracies near 75 %% are told apart from %(points)s points on; "
        "5 points need %(needed)s."
    ),
    gettext_noop("Nothing is held out for a test."),
)
KNOWN: Final = frozenset(WORDS)


class Bar(NamedTuple):
    """One row of a picture: a dot with its interval, in places from 0 to WIDTH across."""

    label: str
    figure: Estimate
    y: int
    at: float | None
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Picture:
    name: str
    section: Section
    bars: Sequence[Bar]
    middle: float
    """Where nothing follows the looks: a half, or 0."""
    ends: tuple[str, str, str]

    @property
    def height(self) -> int:
        return ROW * len(self.bars)


@dataclass(frozen=True, slots=True)
class BiasPage:
    cautions: Sequence[str]
    pictures: Sequence[Picture]
    agreement: Estimate | None
    """Of people, before selection."""
    accuracy: Estimate | None
    """Of judges, by the audit."""


def bias(version: DatasetVersion) -> BiasPage:
    """No query. A version built before there was a bias card has no pictures."""
    told = version.statistics
    return BiasPage(
        cautions=[_caution(each) for each in told.get("cautions", ()) if each["name"] in TEXTS],
        pictures=[_picture(name, rows) for name, rows in _ordered(told.get("bias", {}))],
        agreement=Estimate(**told["alpha_people"]) if "alpha_people" in told else None,
        accuracy=Estimate(**told["judge_accuracy"]) if "judge_accuracy" in told else None,
    )


def _ordered(sections: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """JSON in the database keeps no order."""
    return [(name, sections[name]) for name in SECTIONS if name in sections]


def _caution(told: Mapping[str, Any]) -> str:
    values = {name: _said(value) if isinstance(value, str) else value for name, value in told["values"].items()}
    text: str = _(TEXTS[told["name"]]) % values
    return text


def _said(text: str) -> str:
    """In the reader's language, where it is ours; names of generators and raters are not."""
    return _(text) if text in KNOWN else text


def _picture(name: str, rows: Sequence[Mapping[str, Any]]) -> Picture:
    section, rates = SECTIONS[name], [(row["label"], _estimate(row)) for row in rows]
    share = section.unit == "share"
    most = max([MOST, *(abs(end or 0.0) for _label, each in rates for end in (each.low, each.high))])
    low, high = (0.0, 1.0) if share else (-most, most)

    def place(value: float | None) -> float:
        return round(WIDTH * ((value if value is not None else low) - low) / (high - low), 1)

    def bar(i: int, label: str, rate: Estimate) -> Bar:
        at = None if rate.value is None else place(rate.value)
        return Bar(_said(label), rate, ROW * i, at, place(rate.low), place(rate.high))

    bars = [bar(i, label, rate) for i, (label, rate) in enumerate(rates)]
    ends = ("0%", "50%", "100%") if share else (f"{low:+.1f}", "0", f"{high:+.1f}")
    return Picture(name, section, bars, WIDTH / 2, ends)


def _estimate(row: Mapping[str, Any]) -> Estimate:
    return Estimate(row["value"], row["low"], row["high"], row["n"], row["reason"])

"""What a reader has to know before training on a version: rules over its figures, each as sure as its interval.

A rule speaks only where the whole interval lies beyond its limit, so that a small version is not accused by chance.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from statistics import NormalDist
from typing import Any, Final, NamedTuple

from curation.exports.bias import WHO, Figures
from curation.exports.facts import CardFacts, Statistics
from curation.stats import Estimate, wilson
from curation.stats.people import difference

LONGER: Final = 0.6
FIRST: Final = 0.55
SIDE_A: Final = 0.6
LOOKS: Final = 0.6
WINS: Final = 0.8
SPLIT: Final = 0.05
SURE: Final = 0.99
"""Confidence of the comparison of splits, of which there are several."""
POINTS: Final = 0.05
ACCURACY: Final = 0.75
"""Of a reward model, for which the size of the test split is reckoned."""
POWER: Final = 0.8


class Caution(NamedTuple):
    name: str
    values: Mapping[str, Any]
    """What TEXTS fills in."""

    def __str__(self) -> str:
        return TEXTS[self.name] % self.values


class _Evidence(NamedTuple):
    facts: CardFacts
    statistics: Statistics
    figures: Figures

    def of(self, section: str, label: str) -> Estimate:
        found = (rate.figure for rate in self.figures.get(section, ()) if rate.label == label)
        return next(found, Estimate(None, reason="no observations"))


Rule = Callable[[_Evidence], Iterator[dict[str, Any]]]


def cautions(facts: CardFacts, statistics: Statistics, figures: Figures) -> list[Caution]:
    """In the order of RULES; a rule may speak more than once."""
    evidence = _Evidence(facts, statistics, figures)
    return [Caution(name, values) for name, rule in RULES.items() for values in rule(evidence)]


def _above(estimate: Estimate, limit: float) -> bool:
    return estimate.low is not None and estimate.low > limit


def _below(estimate: Estimate, limit: float) -> bool:
    return estimate.high is not None and estimate.high < limit


def _share(estimate: Estimate) -> dict[str, str]:
    value, low, high = (100 * (part or 0.0) for part in estimate[:3])
    return {"share": f"{value:.0f} % ({low:.0f} to {high:.0f})"}


def _unreliable(told: _Evidence) -> Iterator[dict[str, Any]]:
    alpha = told.facts.agreement
    if alpha is not None and alpha.value is not None and alpha.low is not None and alpha.low <= 0:
        yield {"alpha": f"{alpha.value:.2f} ({alpha.low:.2f} to {alpha.high:.2f})"}


def _longer(told: _Evidence) -> Iterator[dict[str, Any]]:
    if _above(longer := told.of("length", "all"), LONGER):
        yield _share(longer)


def _shorter(told: _Evidence) -> Iterator[dict[str, Any]]:
    longer = told.of("length", "all")
    if longer.value is not None and longer.low is not None and _below(longer, 1 - LONGER):
        yield _share(Estimate(1 - longer.value, 1 - (longer.high or 0), 1 - longer.low, longer.n))


def _looks(told: _Evidence) -> Iterator[dict[str, Any]]:
    guesses = [rate for rate in told.figures.get("baseline", ()) if _above(rate.figure, LOOKS)]
    for rate in sorted(guesses, key=lambda rate: rate.figure.value or 0.0)[-1:]:
        yield _share(rate.figure) | {"what": rate.label}


def _first(told: _Evidence) -> Iterator[dict[str, Any]]:
    for rate in told.figures.get("side", ()):
        shown = rate.label.endswith("shown first")
        if shown and (_above(rate.figure, FIRST) or _below(rate.figure, 1 - FIRST)):
            yield _share(rate.figure) | {"who": "people" if "people" in rate.label else "judges"}


def _side_a(told: _Evidence) -> Iterator[dict[str, Any]]:
    side = told.of("side", "rows, completion a")
    if _above(side, SIDE_A) or _below(side, 1 - SIDE_A):
        yield _share(side)


def _author(told: _Evidence) -> Iterator[dict[str, Any]]:
    for rate in told.figures.get("generator", ()):
        if _above(rate.figure, WINS):
            yield _share(rate.figure) | {"name": rate.label}


def _unaudited(told: _Evidence) -> Iterator[dict[str, Any]]:
    rows = told.statistics.sources["judge"]
    accuracy = told.facts.judge_accuracy
    if rows and (accuracy is None or accuracy.value is None):
        yield {"rows": rows, "of": told.statistics.n}


def _chance(told: _Evidence) -> Iterator[dict[str, Any]]:
    accuracy = told.facts.judge_accuracy
    if told.statistics.judge_votes and accuracy is not None and accuracy.low is not None and accuracy.low <= 0.5:
        yield _share(accuracy) | {"n": told.facts.audited}


def _one_rater(told: _Evidence) -> Iterator[dict[str, Any]]:
    """Without the name, which may have to go one day. Where the names were withheld people cannot be told apart."""
    named = (told.facts.recipe.get("deidentify") or {}).get("raters") != "none"
    for (kind, _), n in told.statistics.votes_of.most_common(1):
        share = wilson(n, told.statistics.votes)
        if _above(share, 0.5) and len(told.statistics.votes_of) > 1 and (named or kind == "judge"):
            yield _share(share)


def _single(told: _Evidence) -> Iterator[dict[str, Any]]:
    share = wilson(told.statistics.single, told.statistics.n)
    if _above(share, 0.5):
        yield _share(share)


def _splits(told: _Evidence) -> Iterator[dict[str, Any]]:
    """Each other split beside train: who labelled (people, the rest), and whether the longer one is chosen."""
    counts, splits = told.statistics.labelled, told.statistics.splits
    longer = {rate.label: rate.figure for rate in told.figures.get("split", ())}
    for split in ("validation", "test"):
        for source in ("judge", "mixed"):
            yield from _apart(split, f"labelled by {WHO[source]}", counts[split, source], splits[split],
                              counts["train", source], splits["train"])  # fmt: skip
        if split in longer and "train" in longer:
            yield from _apart(split, "with the longer one chosen", *_counts(longer[split]), *_counts(longer["train"]))


def _counts(share: Estimate) -> tuple[int, int]:
    return round((share.value or 0.0) * share.n), share.n


def _apart(split: str, what: str, hits: int, n: int, train: int, of: int) -> Iterator[dict[str, Any]]:
    gap = difference(hits, n, train, of, confidence=SURE)
    if gap.value is not None and abs(gap.value) > SPLIT and ((gap.low or 0) > 0 or (gap.high or 0) < 0):
        yield {"split": split, "what": what, "here": f"{100 * hits / n:.0f} %", "train": f"{100 * train / of:.0f} %"}


def needed(points: float = POINTS) -> int:
    """Test rows for an accuracy of ACCURACY that differs by so much to be told apart, with the usual power."""
    z = NormalDist().inv_cdf(0.975) + NormalDist().inv_cdf(POWER)
    return math.ceil(z**2 * ACCURACY * (1 - ACCURACY) / points**2)


def _small(told: _Evidence) -> Iterator[dict[str, Any]]:
    n = told.statistics.splits["test"]
    if 0 < n < needed():
        z = NormalDist().inv_cdf(0.975) + NormalDist().inv_cdf(POWER)
        seen = 100 * z * math.sqrt(ACCURACY * (1 - ACCURACY) / n)
        yield {"n": n, "points": f"{seen:.0f}", "needed": needed()}


def _no_test(told: _Evidence) -> Iterator[dict[str, Any]]:
    if told.statistics.n and not told.statistics.splits["test"]:
        yield {}


TEXTS: Final[Mapping[str, str]] = {
    "unreliable": "Nothing shows that people agree better than by chance: alpha %(alpha)s.",
    "longer": "A length-biased set: the chosen completion is the longer in %(share)s.",
    "shorter": "A length-biased set: the chosen completion is the shorter in %(share)s.",
    "looks": "Looks alone, %(what)s, name the chosen completion in %(share)s of the rows held out, unread.",
    "first": "The side shown first has %(share)s of the votes of %(who)s.",
    "side_a": "Completion a is the chosen one in %(share)s: the order of import tells the label.",
    "author": "%(name)s wins %(share)s of its comparisons: a model may learn who wrote a text, not how good it is.",
    "unaudited": "Judge labels without an audit: %(rows)s of %(of)s rows are labelled by judges alone, and no random "
    "part of what judges label was answered by people.",
    "chance": "The audit of %(n)s comparisons does not show that judges are better than chance: they name people's "
    "side in %(share)s.",
    "one_rater": "One rater gave %(share)s of the votes.",
    "single": "%(share)s of the labels rest on one vote: nobody can say how far others would agree with them.",
    "splits": "The splits differ: %(here)s of the %(split)s rows are %(what)s, and %(train)s of the train rows.",
    "small": "The test split is small: with %(n)s rows, accuracies near 75 %% are told apart from %(points)s points "
    "on; 5 points need %(needed)s.",
    "no_test": "Nothing is held out for a test.",
}

RULES: Final[Mapping[str, Rule]] = {
    "unreliable": _unreliable,
    "longer": _longer,
    "shorter": _shorter,
    "looks": _looks,
    "first": _first,
    "side_a": _side_a,
    "author": _author,
    "unaudited": _unaudited,
    "chance": _chance,
    "one_rater": _one_rater,
    "single": _single,
    "splits": _splits,
    "small": _small,
    "no_test": _no_test,
}

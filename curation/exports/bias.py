"""How far the chosen side of a version follows what a text looks like: its length, layout, author, place, refusal.

One pass over native rows, in memory that does not grow with them: counts, and the features of a bounded sample for the
regression. Every share has Wilson's interval, which takes rows for independent of each other.
"""

from __future__ import annotations

import json
import re
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from math import log1p
from statistics import NormalDist
from typing import Any, Final, Literal, NamedTuple

import numpy as np

from curation.exports.schema import SOURCES, SPLITS, Message, Row
from curation.noise.rules import OPENING, REFUSAL
from curation.stats import Estimate, wilson
from curation.stats.votes import FloatArray

MOST_NAMES: Final = 1_000
"""Names of one kind (generators, languages, …) that are counted by themselves; those that come later are OTHERS."""
MOST_SHOWN: Final = 20
MOST_SAMPLED: Final = 50_000
"""Rows whose features are kept for the regression, of the train split and of the others."""
LEAST_FITTED: Final = 30
PRIOR: Final = 2.5
"""Standard deviation of a weight before data, as in `curation.stats.bias`: perfect separation stays finite."""
STEPS: Final = 50
TOLERANCE: Final = 1e-8
OTHERS: Final = "others"
NO_TRAIN: Final = "fewer than 30 rows of the train split to learn from"
NO_HELD: Final = "no row of the validation or test split to measure on"

# Each begins with a character to look for, which is far quicker than the start of any line; so a newline comes first.
_MARKS: Final[Mapping[str, Sequence[re.Pattern[str]]]] = {
    "list items": (re.compile(r"\n {0,3}(?:[-*+]|[0-9]{1,3}[.)]) "),),
    "headings": (re.compile(r"\n#{1,6} "),),
    "code": (re.compile(r"\n {0,3}```"), re.compile(r"`[^`\n]+`")),
    "bold": (re.compile(r"\*\*[^*\n]+\*\*"), re.compile(r"__[^_\n]+__")),
}
_EMOJI: Final = re.compile("[\u2600-\u27bf\U0001f300-\U0001faff]")
MARKS: Final = (*_MARKS, "emoji")
"""What a text may have more or less of, beside its characters."""
FEATURES: Final = ("length", *MARKS)

RATIOS: Final[Sequence[tuple[float, str]]] = (
    (1.1, "up to 1.1 times as long"),
    (1.25, "1.1 to 1.25 times"),
    (1.5, "1.25 to 1.5 times"),
    (2.0, "1.5 to 2 times"),
    (4.0, "2 to 4 times"),
    (float("inf"), "over 4 times"),
)
WHO: Final = {"human": "people", "judge": "judges", "mixed": "both"}
TURNS: Final = ("1", "2", "3", "4 or more")

Unit = Literal["share", "log-odds"]


class Section(NamedTuple):
    """A table of the bias card."""

    title: str
    about: str
    """What each figure of it is."""
    of: str
    """What its rows are."""
    unit: Unit = "share"


SECTIONS: Final[Mapping[str, Section]] = {
    "length": Section("Length", "The chosen completion is the longer, of two that differ in length.", "rows"),
    "difference": Section(
        "By difference in length", "The chosen completion is the longer.", "the longer one has, in characters"
    ),
    "layout": Section("Layout", "The chosen completion has more of it, of two that differ in it.", "more of"),
    "split": Section("By split", "The chosen completion is the longer.", "split"),
    "label": Section("By who labelled", "The chosen completion is the longer.", "labelled by"),
    "source": Section("By source", "The chosen completion is the longer.", "source"),
    "language": Section("By language", "The chosen completion is the longer.", "language"),
    "turns": Section("By place in a conversation", "The chosen completion is the longer.", "turns of the user"),
    "generator": Section("Generators", "Its completion is the chosen one, against another generator's.", "generator"),
    "side": Section("Sides", "The side that came first is chosen.", "of"),
    "refusal": Section("Refusals", "The refusal is chosen, where one of the two refuses.", "rows"),
    "baseline": Section(
        "What looks alone tell",
        "Right about the chosen completion in validation and test, learned from train, without reading a word; a half "
        "is chance.",
        "guess by",
    ),
    "weight": Section(
        "Weights of the looks",
        "Log-odds of being chosen for one standard deviation more of it, the others being equal; 0 is none.",
        "more of",
        "log-odds",
    ),
}


SLICED: Final = ("length", "difference", "split", "label", "source", "language", "turns")
"""Those of whether the chosen completion is the longer."""


SLICES: Final = ("split", "label", "source", "language", "turns")
"""Those that say nothing new where all rows are of one kind."""


class Rate(NamedTuple):
    label: str
    figure: Estimate


Figures = Mapping[str, Sequence[Rate]]
"""Name of a section → its rows; a section of which nothing can be said is absent."""


@dataclass(slots=True)
class Tally:
    """Hits and trials by name, of at most MOST_NAMES names."""

    hits: Counter[str] = field(default_factory=Counter)
    tried: Counter[str] = field(default_factory=Counter)

    def add(self, name: str, hit: bool) -> None:
        if name not in self.tried and len(self.tried) >= MOST_NAMES:
            name = OTHERS
        self.tried[name] += 1
        self.hits[name] += hit

    def rate(self, name: str, label: str | None = None) -> Rate:
        return Rate(name if label is None else label, wilson(self.hits[name], self.tried[name]))

    def rates(self) -> list[Rate]:
        """The commonest first, the rest of them taken together."""
        names = sorted((n for n in self.tried if n != OTHERS), key=lambda name: (-self.tried[name], name))
        rest = [*names[MOST_SHOWN:], OTHERS]
        tried, hits = (sum(counts[name] for name in rest) for counts in (self.tried, self.hits))
        told = [self.rate(name) for name in names[:MOST_SHOWN]]
        return [*told, Rate(OTHERS, wilson(hits, tried))] if tried else told

    def among(self, names: Sequence[str], labels: Mapping[str, str] | None = None) -> list[Rate]:
        """In the order of `names`, those that occur."""
        return [self.rate(name, (labels or {}).get(name)) for name in names if self.tried[name]]


@dataclass(slots=True)
class Sample:
    """Features of the rows whose ids hash lowest: drawn by chance, and the same ones whatever order they come in."""

    most: int = MOST_SAMPLED
    keys: array[int] = field(default_factory=lambda: array("Q"))
    values: array[float] = field(default_factory=lambda: array("f"))
    limit: int = 2**64

    def add(self, key: int, features: Sequence[float]) -> None:
        if key >= self.limit:
            return
        self.keys.append(key)
        self.values.extend(features)
        if len(self.keys) >= 2 * self.most:
            self._thin()

    def array(self) -> FloatArray:
        """[at most `most`, features], in the order of the keys."""
        order = np.argsort(np.frombuffer(self.keys, dtype=np.uint64), kind="stable")[: self.most]
        values = np.frombuffer(self.values, dtype=np.float32).reshape(-1, len(FEATURES))
        return values[order].astype(np.float64)

    def _thin(self) -> None:
        keys = np.frombuffer(self.keys, dtype=np.uint64)
        kept = np.argsort(keys, kind="stable")[: self.most]
        values = np.frombuffer(self.values, dtype=np.float32).reshape(-1, len(FEATURES))[kept]
        self.limit = int(keys[kept[-1]])
        self.keys, self.values = array("Q", keys[kept].tobytes()), array("f", values.tobytes())


@dataclass(slots=True)
class Bias:
    """Counts over native rows with a chosen side: `add` each, then ask for `figures`."""

    longer: dict[str, Tally] = field(default_factory=lambda: {name: Tally() for name in SLICED})
    """Section → whether the chosen one is the longer, by the value that a row has there."""
    learned: Tally = field(default_factory=Tally)
    """The same by difference in length, in the train split."""
    held: Tally = field(default_factory=Tally)
    equal: Counter[bool] = field(default_factory=Counter)
    """Held out → rows whose completions are of one length."""
    more: Tally = field(default_factory=Tally)
    wins: Tally = field(default_factory=Tally)
    first: Tally = field(default_factory=Tally)
    """Votes for the side shown first, by the kind of the rater."""
    side_a: Tally = field(default_factory=Tally)
    refusal: Tally = field(default_factory=Tally)
    train: Sample = field(default_factory=Sample)
    rest: Sample = field(default_factory=Sample)

    def add(self, row: Row, places: Sequence[tuple[str, str]] = ()) -> None:
        """`places` are the row's `facets`, read once by whoever needs them too."""
        chosen, rejected = _text(row["chosen"]), _text(row["rejected"])
        held = row["split"] != "train"
        self._length(row, len(chosen), len(rejected), places)
        self._looks(row["id"], chosen, rejected, held)
        self._refusal(chosen, rejected)
        self.side_a.add("a", row["chosen_side"] == "a")
        self._generators(row["generator_chosen"], row["generator_rejected"])

    def vote(self, kind: str, preference: float, order: str | None) -> None:
        """One vote of a row; a tie, or an order that is not known, says nothing of the side shown first."""
        if preference and order in ("ab", "ba"):
            self.first.add(kind, (preference < 0) == (order == "ab"))

    def _length(self, row: Row, chosen: int, rejected: int, places: Sequence[tuple[str, str]]) -> None:
        held = row["split"] != "train"
        if chosen == rejected:
            self.equal[held] += 1
            return
        longer, ratio = chosen > rejected, _ratio(chosen, rejected)
        (self.held if held else self.learned).add(ratio, longer)
        for section, value in (*_slices(row), *places):
            self.longer[section].add(value, longer)
        self.longer["length"].add("all", longer)
        self.longer["difference"].add(ratio, longer)

    def _looks(self, id_: str, chosen: str, rejected: str, held: bool) -> None:
        one, other = _features(chosen), _features(rejected)
        for name, mine, theirs in zip(MARKS, one[1:], other[1:], strict=True):
            if mine != theirs:
                self.more.add(name, mine > theirs)
        key = int.from_bytes(blake2b(id_.encode("utf-8", "surrogatepass"), digest_size=8).digest())
        sample = self.rest if held else self.train
        if key < sample.limit:
            sample.add(key, [log1p(mine) - log1p(theirs) for mine, theirs in zip(one, other, strict=True)])

    def _refusal(self, chosen: str, rejected: str) -> None:
        refused = refuses(chosen)
        if refused != refuses(rejected):
            self.refusal.add("all", refused)

    def _generators(self, chosen: str | None, rejected: str | None) -> None:
        if chosen and rejected and chosen != rejected:
            self.wins.add(chosen, True)
            self.wins.add(rejected, False)

    def figures(self) -> Figures:
        """All sections that there is something to say in, in the order of SECTIONS."""
        style = _Style.fitted(self.train.array(), self.rest.array())
        found: dict[str, list[Rate]] = {
            "length": self.longer["length"].among(["all"]),
            "difference": self.longer["difference"].among([label for _, label in RATIOS]),
            "layout": self.more.among(MARKS),
            "split": self.longer["split"].among(SPLITS),
            "label": self.longer["label"].among(SOURCES, WHO),
            "source": self.longer["source"].rates(),
            "language": self.longer["language"].rates(),
            "turns": self.longer["turns"].among(TURNS),
            "generator": self.wins.rates(),
            "side": list(self._sides()),
            "refusal": self.refusal.among(["all"]),
            "baseline": [Rate("length", self._by_length()), Rate("length and layout", style.accuracy)],
            "weight": style.weights,
        }
        if not self.side_a.tried:
            return {}
        return {name: found[name] for name in SECTIONS if len(found[name]) > (name in SLICES)}

    def _sides(self) -> Iterator[Rate]:
        for name, label in (("annotator", "votes of people, shown first"), ("judge", "votes of judges, shown first")):
            if self.first.tried[name]:
                yield self.first.rate(name, label)
        if self.side_a.tried:
            yield self.side_a.rate("a", "rows, completion a")

    def _by_length(self) -> Estimate:
        """Right on held-out rows, choosing at each difference in length what train prefers there.

        A difference that train does not know follows all of train; who cannot tell is right half the time.
        """
        seen, n = sum(self.learned.tried.values()), sum(self.held.tried.values()) + self.equal[True]
        if seen < LEAST_FITTED or not n:
            return Estimate(None, reason=NO_TRAIN if seen < LEAST_FITTED else NO_HELD)
        overall = 2 * sum(self.learned.hits.values()) - seen
        right = self.equal[True] / 2
        for _, name in RATIOS:
            lead = 2 * self.learned.hits[name] - self.learned.tried[name] or overall
            hits, tried = self.held.hits[name], self.held.tried[name]
            right += hits if lead > 0 else tried - hits if lead < 0 else tried / 2
        return wilson(right, n)


def refuses(text: str) -> bool:
    """By the noise rules' pattern: English, in the opening alone."""
    return REFUSAL.search(text[:OPENING].replace("’", "'")) is not None


class _Style(NamedTuple):
    accuracy: Estimate
    weights: list[Rate]

    @classmethod
    def fitted(cls, train: FloatArray, held: FloatArray) -> _Style:
        if len(train) < LEAST_FITTED:
            return cls(Estimate(None, reason=NO_TRAIN), [])
        scale = np.sqrt(np.mean(train**2, axis=0))
        known = scale > 0
        if not known.any():
            return cls(Estimate(None, reason="all completions look alike"), [])
        fit = logistic(train[:, known] / scale[known])
        names = [name for name, is_known in zip(FEATURES, known, strict=True) if is_known]
        z = NormalDist().inv_cdf(0.975)
        weights = [
            Rate(name, Estimate(float(w), float(w - z * sd), float(w + z * sd), len(train)))
            for name, w, sd in zip(names, fit.weights, fit.deviations, strict=True)
        ]
        score = held[:, known] @ (fit.weights / scale[known])
        right = float((score > 0).sum() + (score == 0).sum() / 2)
        return cls(wilson(right, len(held)) if len(held) else Estimate(None, reason=NO_HELD), weights)


class Logistic(NamedTuple):
    weights: FloatArray
    deviations: FloatArray
    """[d] standard deviations, from the curvature at the optimum."""
    converged: bool
    n_iter: int


def logistic(x: FloatArray) -> Logistic:
    """Logistic regression of pairs: x [n, d] is the chosen one's features less the rejected one's.

    Maximises Σ log σ(x·w) - ‖w‖² / (2 PRIOR²): Bradley-Terry on features (Bradley & Terry 1952, Biometrika 39(3)), so
    that which of the two is called the first does not matter and there is no intercept. By Newton's method.
    """
    w = np.zeros(x.shape[1])
    for n_iter in range(1, STEPS + 1):
        p = 1 / (1 + np.exp(-(x @ w)))
        curvature = (x * (p * (1 - p))[:, None]).T @ x + np.eye(len(w)) / PRIOR**2
        step = np.linalg.solve(curvature, x.T @ (1 - p) - w / PRIOR**2)
        w = w + step * min(1.0, 2.0 / max(float(np.linalg.norm(step)), TOLERANCE))  # far from the optimum it jumps
        if np.linalg.norm(step) < TOLERANCE:
            return Logistic(w, np.sqrt(np.diag(np.linalg.inv(curvature))), True, n_iter)
    return Logistic(w, np.sqrt(np.diag(np.linalg.inv(curvature))), False, STEPS)


def _text(messages: Sequence[Message]) -> str:
    return messages[0]["content"] if len(messages) == 1 else "\n".join(message["content"] for message in messages)


def _features(text: str) -> list[int]:
    """In the order of FEATURES."""
    lines = "\n" + text
    counts = [sum([len(each.findall(lines)) for each in found]) for found in _MARKS.values()]
    return [len(text), *counts, 0 if text.isascii() else len(_EMOJI.findall(text))]


def _ratio(one: int, other: int) -> str:
    ratio = max(one, other) / max(1, min(one, other))
    return next(label for limit, label in RATIOS if ratio <= limit)


def _slices(row: Row) -> Iterator[tuple[str, str]]:
    yield "split", row["split"]
    yield "label", row["source"]
    yield "turns", TURNS[min(len(TURNS), max(1, sum(m["role"] == "user" for m in row["prompt"]))) - 1]


def facets(metadata: str) -> list[tuple[str, str]]:
    """The source and the language that a row's metadata name."""
    told: Mapping[str, Any] = {} if metadata == "{}" else json.loads(metadata)
    named = [(name, told.get(name)) for name in ("source", "language")]
    return [(name, value[:100]) for name, value in named if isinstance(value, str) and value]

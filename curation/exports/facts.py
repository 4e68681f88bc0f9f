"""What a dataset card is made from: counts over the rows, and what only the database knows."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, NamedTuple, cast

import numpy as np

from curation.exports.bias import MOST_NAMES, OTHERS, Bias, Rate, facets
from curation.exports.schema import Native, Row
from curation.stats import Estimate


@dataclass(slots=True)
class Statistics:
    """Counts over native rows, added one at a time. Memory: eight bytes a row, and names up to MOST_NAMES of a kind."""

    splits: Counter[str] = field(default_factory=Counter)
    """Rows with a chosen side, as are all others here but `undecided` and the votes."""
    undecided: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(split, tie or both_bad) → rows without a chosen side that the recipe keeps."""
    sources: Counter[str] = field(default_factory=Counter)
    """By who labelled: human, judge or mixed."""
    labelled: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(split, who labelled) → rows."""
    places: Counter[str] = field(default_factory=Counter)
    """By the source that the metadata name."""
    languages: Counter[str] = field(default_factory=Counter)
    votes_of: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(kind, name) → votes with a preference."""
    single: int = 0
    """Rows that rest on one vote."""
    adjudicated: int = 0
    treated: Counter[str] = field(default_factory=Counter)
    """By what was done about a doubtful label: flip or soften."""
    bias: Bias = field(default_factory=Bias)
    _groups: array[int] = field(default_factory=lambda: array("Q"))

    @property
    def n(self) -> int:
        return sum(self.splits.values())

    @property
    def votes(self) -> int:
        return sum(self.votes_of.values())

    @property
    def judge_votes(self) -> int:
        return sum(n for (kind, _), n in self.votes_of.items() if kind == "judge")

    @property
    def groups(self) -> int:
        """How many there are, counted by their hashes."""
        return len(np.unique(np.frombuffer(self._groups, dtype=np.uint64)))

    def add(self, row: Native) -> None:
        """A `Row`, or one of those without a chosen side, which have `undecided`."""
        self._groups.append(int.from_bytes(blake2b(row["group"].encode(), digest_size=8).digest()))
        self._add_votes(row)
        if isinstance(undecided := row.get("undecided"), str):
            self.undecided[row["split"], undecided] += 1
            return
        self.splits[row["split"]] += 1
        self.sources[row["source"]] += 1
        self.labelled[row["split"], row["source"]] += 1
        self.adjudicated += row.get("adjudicated_by") is not None
        if treatment := row.get("noise_treatment"):
            self.treated[treatment.partition(":")[0]] += 1
        places = facets(row["metadata"])
        for name, value in places:
            _bounded(self.places if name == "source" else self.languages, value)
        self.bias.add(cast("Row", row), places)

    def _add_votes(self, row: Native) -> None:
        n = 0
        for vote in row["votes"]:
            preference = vote["preference"]
            if preference is None:
                continue
            n += 1
            self.votes_of[vote["kind"], vote["rater"]] += 1
            self.bias.vote(vote["kind"], preference, vote["order"])
        self.single += n == 1 and "undecided" not in row


def _bounded(counts: Counter[str], name: str) -> None:
    counts[name if name in counts or len(counts) < MOST_NAMES else OTHERS] += 1


def summarise(rows: Iterable[Native]) -> Statistics:
    """Statistics of rows."""
    statistics = Statistics()
    for row in rows:
        statistics.add(row)
    return statistics


@dataclass(frozen=True, slots=True)
class RaterFacts:
    """One whose votes made the consensus."""

    name: str
    kind: str
    n_votes: int
    """In the consensus: of the comparisons that were left out too."""
    skill: Estimate | None = None


class JudgeFacts(NamedTuple):
    """One version of a judge whose words are in the rows."""

    name: str
    kind: str
    model: str
    """As it was asked for; empty for a judge of another tool."""
    rubric: str
    readings: int
    accuracy: Estimate
    """Against the majority of people on the audit, the random part that people answer whatever the router says."""
    prompts: Sequence[str] = ()
    """The templates that it was asked by, like `pairwise@1`, as far as they are known."""


class Guidelines(NamedTuple):
    """The instructions that people saw as they judged."""

    version: int | None
    """None: judgements that came with an import, whose instructions are not known."""
    sha256: str
    judgements: int


class Cost(NamedTuple):
    """What the judgements of the rows took, those of dropped comparisons not counted."""

    judgements: int
    """By people."""
    timed: int
    """Of those, with their active time."""
    seconds: float
    readings: int
    """By judges."""
    priced: int
    """Of those, with the price of their call; others came with an import."""
    price: str
    """Of the calls, a decimal number."""
    hourly: str | None
    """Of a person's active hour, where the project says it."""
    currency: str


class EvaluationFacts(NamedTuple):
    """An evaluation set that the rows were held against."""

    name: str
    texts: int
    sha256: str
    dropped: int


@dataclass(frozen=True, slots=True)
class CardFacts:
    """What the card tells beside the rows' statistics."""

    name: str
    version: int
    digest: str
    """Of the rows: see `rows_digest`."""
    recipe: Mapping[str, Any]
    dropped: Mapping[str, int]
    raters: Sequence[RaterFacts] = ()
    agreement: Estimate | None = None
    """Krippendorff's alpha over everything that was judged, never over the rows kept: selection raises it."""
    agreement_level: str = "ordinal"
    description: str = ""
    license: str = "other"
    languages: Sequence[str] = ()
    simulated: bool = False
    """Some judgements were simulated: the card says so at the top."""
    chain: str = ""
    """Of the rows' own hashes: see `curation.exports.files.chain`."""
    recipe_sha256: str = ""
    code_version: str = ""
    changed: Mapping[str, int] = field(default_factory=dict)
    """{rule: rows that it altered}"""
    agreements: Sequence[Rate] = ()
    """Of others than people with people, by the same coefficient and before selection."""
    judges: Sequence[JudgeFacts] = ()
    judge_accuracy: Estimate | None = None
    """Of the judges together, over all that they labelled, corrected by the audit (`prediction_powered`)."""
    audited: int = 0
    """Comparisons that were drawn for the audit."""
    method: str = ""
    """How the consensus was made, where the recipe leaves it open too."""
    because: str = ""
    """Why it was that one."""
    muted: Sequence[str] = ()
    """Judges that gold or the audit refuses: no label was made of their words."""
    guidelines: Sequence[Guidelines] = ()
    cost: Cost | None = None
    evaluations: Sequence[EvaluationFacts] = ()
    withdrawn: Mapping[str, int] = field(default_factory=dict)
    """{rater or comparison: taken back before this version was built}"""
    files: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Split → its files of pairs; absent: `<split>.parquet`."""
    undecided_files: Mapping[str, Sequence[str]] = field(default_factory=dict)

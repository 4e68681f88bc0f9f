"""The dataset card of a version: Markdown with the front matter that the Hugging Face hub reads. Deterministic."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from curation.exports.schema import SPLITS, Message, Row
from curation.stats import Estimate, wilson

_SIZES: Final = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
)


@dataclass(slots=True)
class Statistics:
    """Counts over native rows, added one row at a time."""

    splits: Counter[str] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)
    chosen_longer: int = 0
    lengths_differ: int = 0
    chosen_first: int = 0
    """Votes for a side that were for the side shown first; only votes whose order is known."""
    decided_with_order: int = 0
    chosen_a: int = 0
    judge_votes: int = 0
    votes: int = 0
    adjudicated: int = 0
    groups: set[str] = field(default_factory=set)

    @property
    def n(self) -> int:
        return sum(self.splits.values())

    def add(self, row: Row) -> None:
        self.splits[row["split"]] += 1
        self.sources[row["source"]] += 1
        self.groups.add(row["group"])
        chosen, rejected = _length(row["chosen"]), _length(row["rejected"])
        self.chosen_longer += chosen > rejected
        self.lengths_differ += chosen != rejected
        self.chosen_a += row["chosen_side"] == "a"
        self.adjudicated += "adjudicated_by" in row
        for vote in row["votes"]:
            preference = vote["preference"]
            if preference is None:
                continue
            self.votes += 1
            self.judge_votes += vote["kind"] == "judge"
            if preference and vote["order"] in ("ab", "ba"):
                self.decided_with_order += 1
                self.chosen_first += (preference < 0) == (vote["order"] == "ab")


def summarise(rows: Iterable[Row]) -> Statistics:
    """Statistics of rows."""
    statistics = Statistics()
    for row in rows:
        statistics.add(row)
    return statistics


@dataclass(frozen=True, slots=True)
class RaterFacts:
    name: str
    kind: str
    n_votes: int
    skill: Estimate | None = None


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


def render_card(facts: CardFacts, statistics: Statistics) -> str:
    """The card, with ``<split>.parquet`` beside it; equal facts give equal bytes."""
    parts = [_front_matter(facts, statistics), f"# {facts.name}, version {facts.version}"]
    if facts.simulated:
        parts.append("> **Some of the judgements in this version were simulated.** It is for demonstration.")
    if facts.description:
        parts.append(facts.description.strip())
    parts += [
        "Pairwise preferences: a prompt, the completion that was preferred and the one that was not, with every vote.",
        f"SHA-256 of the rows: `{facts.digest}`",
        "## Rows\n\n" + _rows_table(statistics),
        "## Dropped\n\n" + _table(("rule", "comparisons"), [(rule, str(n)) for rule, n in facts.dropped.items()]),
        "## Labels\n\n" + _labels(facts, statistics),
        "## Raters\n\n" + _raters(facts.raters),
        "## Recipe\n\n```json\n" + json.dumps(facts.recipe, indent=2, sort_keys=True, ensure_ascii=False) + "\n```",
        "## How to load\n\n" + _how_to_load(statistics),
    ]
    return "\n\n".join(parts) + "\n"


def _front_matter(facts: CardFacts, statistics: Statistics) -> str:
    """YAML whose scalars are JSON strings, which are YAML too, so that no name can break it."""
    lines = ["---", f"pretty_name: {json.dumps(f'{facts.name} v{facts.version}', ensure_ascii=False)}"]
    lines.append(f"license: {json.dumps(facts.license, ensure_ascii=False)}")
    if facts.languages:
        lines += ["language:", *(f"- {json.dumps(language)}" for language in facts.languages)]
    size = next((label for limit, label in _SIZES if statistics.n < limit), "n>10M")
    lines += ["size_categories:", f'- "{size}"', "tags:", '- "preference"', '- "reward-modeling"', '- "tiebreak"']
    present = [split for split in SPLITS if statistics.splits[split]]
    if present:
        lines += ["configs:", '- config_name: "default"', "  data_files:"]
        lines += [f'  - split: "{split}"\n    path: "{split}.parquet"' for split in present]
    return "\n".join([*lines, "---"])


def _rows_table(statistics: Statistics) -> str:
    rows = [(split, str(statistics.splits[split])) for split in SPLITS]
    return _table(("split", "rows"), [*rows, ("all", str(statistics.n))]) + (
        f"\n\nSplit by group ({len(statistics.groups)} groups): comparisons of one group are never apart."
    )


def _labels(facts: CardFacts, statistics: Statistics) -> str:
    alpha = facts.agreement or Estimate(None, reason="not computed")
    sources = ", ".join(f"{source} {statistics.sources[source]}" for source in ("human", "judge", "mixed"))
    longer = wilson(statistics.chosen_longer, statistics.lengths_differ)
    first = wilson(statistics.chosen_first, statistics.decided_with_order)
    side_a = wilson(statistics.chosen_a, statistics.n)
    judge = wilson(statistics.judge_votes, statistics.votes)
    decided = [("decided by an adjudicator", str(statistics.adjudicated), f"{statistics.n} rows")]
    return _table(
        ("figure", "value (95 % interval)", "of"),
        [
            (
                f"Krippendorff's alpha, {facts.agreement_level}, before selection",
                _shown(alpha),
                f"{alpha.n} comparisons",
            ),
            ("the chosen completion is the longer", _shown(longer), f"{longer.n} rows of different length"),
            ("votes for the side shown first", _shown(first), f"{first.n} votes for a side"),
            ("chosen is completion a", _shown(side_a), f"{side_a.n} rows"),
            ("votes by judges (models)", _shown(judge), f"{judge.n} votes"),
            ("labelled by", sources, f"{statistics.n} rows"),
            *(decided if statistics.adjudicated else []),
        ],
    )


def _raters(raters: Sequence[RaterFacts]) -> str:
    ordered = sorted(raters, key=lambda rater: (-rater.n_votes, rater.kind, rater.name))
    rows = [
        (
            _cell(rater.name),
            rater.kind,
            str(rater.n_votes),
            _shown(rater.skill or Estimate(None, reason="not computed")),
        )
        for rater in ordered
    ]
    return _table(("rater", "kind", "votes", "skill (95 % interval)"), rows) if rows else "Not listed."


def _how_to_load(statistics: Statistics) -> str:
    files = {split: f"{split}.parquet" for split in SPLITS if statistics.splits[split]}
    return f'```python\nfrom datasets import load_dataset\n\nrows = load_dataset("parquet", data_files={files!r})\n```'


def _shown(estimate: Estimate) -> str:
    if estimate.value is None or math.isnan(estimate.value):
        return f"none: {estimate.reason or 'not measured'}"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.3f}"
    return f"{estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f})"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _length(messages: Sequence[Message]) -> int:
    return sum(len(message["content"]) for message in messages)

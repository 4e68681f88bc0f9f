"""Following a recipe: candidates in, rows and drops out, in one pass over the candidates and one over what is kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final, NamedTuple, Protocol

from curation.exports.across import ACROSS, Across, dropped, split_of
from curation.exports.candidates import Candidate
from curation.exports.deidentify import Raters
from curation.exports.near import Contamination
from curation.exports.recipe import Recipe
from curation.exports.rules import RULES, Case, Dropped, Kept, first_cause, kept
from curation.exports.schema import Native, Row, Undecided, native

DECONTAMINATE: Final = "decontaminate"
RULE_NAMES: Final = (*RULES, DECONTAMINATE, *ACROSS)
"""Every rule that drops, in the order in which they are applied."""
CHANGING: Final = ("noise", "deidentify")
"""Every rule that alters rows that it keeps."""


TOGETHER: Final = 256
"""Candidates looked at together."""


class Made(NamedTuple):
    """A row of the version, with what the builder knows its candidate by and what rules altered in it."""

    row: Native
    origin: Any
    changes: dict[str, Any]


class Spool(Protocol):
    """Where kept rows wait until all are there: a list, or a file."""

    def append(self, kept: Kept, /) -> None: ...

    def __iter__(self) -> Iterator[Kept]: ...


def follow(
    recipe: Recipe,
    candidates: Iterable[Candidate],
    *,
    contamination: Contamination | None = None,
    spool: Spool | None = None,
    raters: Raters | None = None,
) -> Iterator[Made | Dropped]:
    """Drops as the candidates come, then rows in the candidates' order, with the drops of the rules across rows.

    `contamination` holds the texts of the evaluation sets that the recipe names. `raters` learns the names by which
    the rows call people.
    """
    waiting: Spool = [] if spool is None else spool
    across = Across(recipe)
    for case, drop in _looked_at(recipe, candidates, contamination):
        if drop:
            yield drop
            continue
        one = kept(case, recipe)
        across.add(one.row, case.candidate.vector)
        waiting.append(one)
    decided = across.decide()
    people = raters or raters_of(recipe)
    for n, one in enumerate(waiting):
        drop = dropped(decided, n, one.row, one.origin)
        if drop is None:
            one.row["split"] = split_of(decided, n, one.row, recipe)
            yield _made(one, people)
        else:
            yield drop


def raters_of(recipe: Recipe) -> Raters:
    """How the recipe wants people to be called."""
    return Raters(recipe.deidentify.raters if recipe.deidentify else "as-imported")


def _looked_at(
    recipe: Recipe, candidates: Iterable[Candidate], contamination: Contamination | None
) -> Iterator[tuple[Case, Dropped | None]]:
    """The candidates in their order, each with why a rule on it alone drops it."""
    given = iter(candidates)
    while batch := [Case(candidate, recipe) for candidate in islice(given, TOGETHER)]:
        drops = [first_cause(case, recipe) for case in batch]
        if contamination is not None:
            _contaminated(batch, drops, contamination)
        yield from zip(batch, drops, strict=True)


def _contaminated(batch: Sequence[Case], drops: list[Dropped | None], contamination: Contamination) -> None:
    """Tells of those that no other rule drops: many at once are held against the sets several times as fast."""
    rest = [place for place, drop in enumerate(drops) if drop is None]
    for place, cause in zip(rest, contamination.causes([_texts(batch[place]) for place in rest]), strict=True):
        given = batch[place].candidate
        drops[place] = None if cause is None else Dropped(given.id, DECONTAMINATE, cause, given.origin)


def _texts(case: Case) -> list[str]:
    given = case.candidate
    return [message["content"] for each in (given.prompt, given.completion_a, given.completion_b) for message in each]


def _made(one: Kept, raters: Raters) -> Made:
    one.row["votes"] = raters.votes(one.row["votes"])
    if "adjudicated_by" in one.row:
        one.row["adjudicated_by"] = raters.adjudicator(one.row["adjudicated_by"])
    return Made(native(one.row), one.origin, one.changes)


class Built(NamedTuple):
    rows: list[Row]
    dropped: list[Dropped]
    counts: dict[str, int]
    """Candidates dropped by each rule, 0 included, in the order in which the rules are applied."""
    undecided: list[Undecided]
    changed: dict[str, int]
    """Rows that each rule altered."""


def apply(recipe: Recipe, candidates: Iterable[Candidate], *, contamination: Contamination | None = None) -> Built:
    """Follow the recipe; `follow` does the same without holding the rows."""
    rows: list[Row] = []
    undecided: list[Undecided] = []
    drops: list[Dropped] = []
    changed: Counter[str] = Counter()
    for each in follow(recipe, candidates, contamination=contamination):
        if isinstance(each, Dropped):
            drops.append(each)
            continue
        changed.update(each.changes.keys())
        if "undecided" in each.row:
            undecided.append(each.row)
        else:
            rows.append(each.row)
    return Built(rows, drops, count_dropped(drops), undecided, dict(changed))


def count_dropped(dropped: Iterable[Dropped]) -> dict[str, int]:
    """Candidates dropped by each rule, zeros included."""
    counted = Counter(drop.rule for drop in dropped)
    return {rule: counted[rule] for rule in RULE_NAMES}


def in_order(counts: Mapping[str, int]) -> dict[str, int]:
    """Counts by rule in the order of the rules, which no database keeps."""
    return {rule: counts[rule] for rule in RULE_NAMES if rule in counts} | dict(counts)

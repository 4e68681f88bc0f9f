"""What lies between two versions of a dataset: rows that came, went, changed sides or splits, each with its cause."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Final, NamedTuple

from django.core.cache import cache
from django.db import connection
from django.utils.translation import gettext, gettext_noop

from annotate.models import Comparison
from curation.exports.recipe import Change, Recipe, diff
from curation.exports.schema import SPLITS
from curation.models import DatasetVersion, Tombstone

SIZE: Final = 50
BLOCK: Final = 1_000
STREAMED: Final = 5_000
"""Rows of either version that are compared at once, where all are."""
LOOKS: Final = 10
"""Blocks that are looked through for rows of a rare cause, before the reader is asked whether to look on."""
KEPT_SECONDS: Final = 30 * 24 * 3600
KINDS: Final[Mapping[str, str]] = {
    "added": gettext_noop("in the later version alone"),
    "removed": gettext_noop("in the earlier version alone"),
    "flipped": gettext_noop("the other side is chosen"),
    "undecided": gettext_noop("a side is chosen in one, and none in the other"),
    "moved": gettext_noop("in another split"),
    "changed": gettext_noop("the same side with other figures or texts"),
}
CAUSES: Final[Mapping[str, str]] = {
    "rule": gettext_noop("a rule of the recipe"),
    "imported": gettext_noop("imported since"),
    "withdrawn": gettext_noop("withdrawn"),
    "adjudication": gettext_noop("an adjudicator’s decision"),
    "doubt": gettext_noop("a decision about a doubtful label"),
    "judgements": gettext_noop("other judgements"),
    "deidentified": gettext_noop("de-identification"),
    "recipe": gettext_noop("the recipe"),
    "fit": gettext_noop("the consensus, fitted anew"),
}


class State(NamedTuple):
    """A row as one version has it."""

    split: str
    verdict: str
    side: str
    probability: float
    n_annotators: int
    n_judges: int


@dataclass(frozen=True, slots=True)
class Difference:
    comparison: int
    id: str
    kind: str
    before: State | None
    after: State | None
    because: str
    """One of CAUSES."""
    cause: str
    """In words, with what the rule or the reader needs to know."""


@dataclass(frozen=True, slots=True)
class Filters:
    """Empty means any; no kind means the first that has rows. The row of an id is found whatever its kind."""

    kind: str = ""
    split: str = ""
    because: str = ""
    id: str = ""

    @classmethod
    def of(cls, query: Mapping[str, Any]) -> Filters:
        """What is not known counts as not given."""
        known: dict[str, Any] = {"kind": KINDS, "split": SPLITS, "because": CAUSES}
        given = {name: query.get(name, "") for name in known}
        sought = str(query.get("id", "")).replace("\x00", "")
        return cls(**{name: v if v in known[name] else "" for name, v in given.items()}, id=sought)


@dataclass(frozen=True, slots=True)
class Between:
    """Two versions, the earlier one first, and one page of the rows of a kind."""

    earlier: DatasetVersion
    later: DatasetVersion
    recipe: Sequence[Change]
    """Where their recipes differ."""
    counts: Mapping[str, int]
    """By kind, and `same`."""
    withdrawn: int
    """Rows that were taken out of either of them since."""
    kind: str
    rows: Sequence[Difference]
    next: int | None
    """What to put in `after` for the next page."""

    @property
    def kinds(self) -> list[tuple[str, str, int]]:
        """(kind, what it means, rows)."""
        return [(kind, gettext(meaning), self.counts[kind]) for kind, meaning in KINDS.items()]


# Rows are met by their comparison in an index that holds all that is asked of them here: no row itself is read.
_SIDE: Final = """
    SELECT comparison_id, sha256, split, verdict, side FROM curation_datasetrow
    WHERE version_id = %({0})s AND comparison_id > %(after)s AND comparison_id <= %(upto)s
"""
_JOINED: Final = f"""
    SELECT comparison_id AS comparison, o.split AS was, n.split AS is,
           CASE WHEN o.sha256 IS NULL THEN 'added' WHEN n.sha256 IS NULL THEN 'removed'
                WHEN o.sha256 = n.sha256 THEN 'same'
                WHEN o.verdict <> n.verdict THEN 'undecided' WHEN o.side <> n.side THEN 'flipped'
                WHEN o.split <> n.split THEN 'moved' ELSE 'changed' END AS kind
    FROM ({_SIDE.format("earlier")}) AS o FULL JOIN ({_SIDE.format("later")}) AS n USING (comparison_id)
"""  # noqa: S608 - our own words alone
_COUNTS: Final = f"SELECT kind, count(*) FROM ({_JOINED}) AS joined GROUP BY kind"  # noqa: S608
_OF_BOTH: Final = f"""
    SELECT comparison_id AS comparison, '{{0}}' AS kind, o.split AS was, n.split AS is
    FROM ({_SIDE.format("earlier")}) AS o JOIN ({_SIDE.format("later")}) AS n USING (comparison_id)
    WHERE o.sha256 <> n.sha256 AND
"""  # noqa: S608
_OF_ONE: Final = f"""
    SELECT one.comparison_id AS comparison, '{{0}}' AS kind, {{3}} FROM ({_SIDE.replace("{0}", "{1}")}) AS one
    WHERE NOT EXISTS (SELECT 1 FROM curation_datasetrow AS other
                      WHERE other.version_id = %({{2}})s AND other.comparison_id = one.comparison_id)
"""  # noqa: S608
# Each kind by itself, so that the first rows of a frequent one are there at once.
_FOUND: Final[Mapping[str, str]] = {
    "": f"SELECT comparison, kind, was, \"is\" FROM ({_JOINED}) AS joined WHERE kind <> 'same'",  # noqa: S608
    "added": _OF_ONE.format("added", "later", "earlier", "NULL::text AS was, one.split AS is"),
    "removed": _OF_ONE.format("removed", "earlier", "later", "one.split AS was, NULL::text AS is"),
    "undecided": _OF_BOTH.format("undecided") + "o.verdict <> n.verdict",
    "flipped": _OF_BOTH.format("flipped") + "o.verdict = n.verdict AND o.side <> n.side",
    "moved": _OF_BOTH.format("moved") + "o.verdict = n.verdict AND o.side = n.side AND o.split <> n.split",
    "changed": _OF_BOTH.format("changed") + "o.verdict = n.verdict AND o.side = n.side AND o.split = n.split",
}
_STATE: Final = "{0}.split, {0}.verdict, {0}.side, {0}.probability, {0}.n_annotators, {0}.n_judges, {0}.lineage"
_ROWS: Final = f"""
    WITH page AS (
        SELECT * FROM ({{0}}) AS found WHERE %(split)s = '' OR %(split)s IN (was, "is")
        ORDER BY comparison LIMIT %(size)s
    )
    SELECT page.comparison, c.external_id, page.kind, c.status, c.created_at, d.rule, d.cause,
           {_STATE.format("o")}, {_STATE.format("n")}
    FROM page JOIN annotate_comparison AS c ON c.id = page.comparison
    LEFT JOIN curation_datasetrow AS o ON o.version_id = %(earlier)s AND o.comparison_id = page.comparison
    LEFT JOIN curation_datasetrow AS n ON n.version_id = %(later)s AND n.comparison_id = page.comparison
    LEFT JOIN curation_droppedrow AS d ON d.comparison_id = page.comparison
        AND d.version_id = CASE page.kind WHEN 'added' THEN %(earlier)s WHEN 'removed' THEN %(later)s END
    ORDER BY page.comparison
"""  # noqa: S608
# Up to where a block of rows goes that is bounded in either version.
_BLOCK: Final = """
    SELECT min(last) FROM (
        (SELECT comparison_id AS last FROM curation_datasetrow
         WHERE version_id = %(earlier)s AND comparison_id > %(after)s ORDER BY comparison_id OFFSET %(size)s LIMIT 1)
        UNION ALL
        (SELECT comparison_id FROM curation_datasetrow
         WHERE version_id = %(later)s AND comparison_id > %(after)s ORDER BY comparison_id OFFSET %(size)s LIMIT 1)
    ) AS ends
"""
LAST: Final = 2**63 - 1


def between(
    earlier: DatasetVersion, later: DatasetVersion, *, filters: Filters | None = None, after: int = 0
) -> Between:
    """Counts, and the first page behind the comparison `after`. The counts are kept: versions do not change, and
    where rows were withdrawn from one they are counted anew."""
    asked = filters or Filters()
    pair = _Pair(earlier, later)
    counts = pair.counts()
    kind = asked.kind or next((name for name in KINDS if counts[name]), "added")
    if asked.id:  # of whatever kind it is
        rows, next_ = pair.page("", asked, 0)
        kind = rows[0].kind if rows else kind
    else:
        rows, next_ = pair.page(kind, asked, after) if counts[kind] else ([], None)
    return Between(earlier, later, pair.recipe, counts, len(pair.withdrawn), kind, rows, next_)


def everything(
    earlier: DatasetVersion, later: DatasetVersion, *, filters: Filters | None = None
) -> Iterator[Difference]:
    """All rows that differ, in the order of their comparisons, read in blocks: flat in memory, however many."""
    asked, pair, after = filters or Filters(), _Pair(earlier, later), 0
    while after < LAST:
        upto = pair.block(after)
        yield from pair.fitting(pair.rows(asked.kind, asked, after, upto, size=4 * STREAMED), asked)
        after = upto


def lines(earlier: DatasetVersion, later: DatasetVersion, *, filters: Filters | None = None) -> Iterator[bytes]:
    """`everything` as NDJSON."""
    for row in everything(earlier, later, filters=filters):
        told = asdict(row) | {
            side: state and state._asdict() for side, state in (("before", row.before), ("after", row.after))
        }
        del told["comparison"]
        yield json.dumps(told, ensure_ascii=False).encode() + b"\n"


def recipes(earlier: DatasetVersion, later: DatasetVersion) -> list[Change]:
    """Where two versions' recipes differ."""
    if earlier.recipe == later.recipe:
        return []
    try:
        return diff(Recipe.from_dict(earlier.recipe), Recipe.from_dict(later.recipe))
    except ValueError:  # written by a release with other fields
        names = sorted({*earlier.recipe, *later.recipe})
        changes = [Change(name, earlier.recipe.get(name), later.recipe.get(name)) for name in names]
        return [change for change in changes if change.before != change.after]


def before_each(versions: Sequence[DatasetVersion]) -> dict[int, list[Change]]:
    """{version: how its recipe differs from that of the version before it}, of versions in the order of their numbers,
    the newest first."""
    return {later.pk: recipes(earlier, later) for later, earlier in pairwise(versions)}


class _Pair:
    """Two versions while they are compared."""

    def __init__(self, earlier: DatasetVersion, later: DatasetVersion) -> None:
        self.earlier, self.later = earlier, later
        self.recipe = recipes(earlier, later)
        self.given = {"earlier": earlier.pk, "later": later.pk}
        stones = Tombstone.objects.filter(version__in=[earlier, later]).order_by("pk")
        found = list(stones.values_list("pk", "external_id", "became"))
        self.withdrawn = {external_id for _, external_id, became in found if not became}
        self.newest = found[-1][0] if found else 0

    def counts(self) -> dict[str, int]:
        key = f"tiebreak:difference:2:{self.earlier.pk}:{self.later.pk}:{self.newest}"
        kept: dict[str, int] | None = cache.get(key)
        if kept is None:
            with connection.cursor() as cursor:
                cursor.execute(_COUNTS, self.given | {"after": 0, "upto": LAST})
                found = dict(cursor.fetchall())
            kept = {name: int(found.get(name, 0)) for name in (*KINDS, "same")}
            cache.set(key, kept, KEPT_SECONDS)
        return kept

    def block(self, after: int) -> int:
        """The last comparison of a block behind `after`; LAST where it is the last block."""
        with connection.cursor() as cursor:
            cursor.execute(_BLOCK, self.given | {"after": after, "size": STREAMED})
            (last,) = cursor.fetchone()
        return LAST if last is None else int(last)

    def rows(self, kind: str, asked: Filters, after: int, upto: int, *, size: int) -> list[Difference]:
        if asked.id:  # one row, whatever stands around it
            sought = self.later.dataset.project.comparisons.filter(external_id=asked.id).values_list("pk", flat=True)
            pk = sought.first()
            if pk is None or not after < pk <= upto:
                return []
            after, upto = pk - 1, pk
        given: dict[str, Any] = {"split": asked.split, "after": after, "upto": upto, "size": size}
        with connection.cursor() as cursor:
            cursor.execute(_ROWS.format(_FOUND[kind]), self.given | given)
            return [self._difference(*row) for row in cursor.fetchall()]

    def fitting(self, rows: Sequence[Difference], asked: Filters) -> list[Difference]:
        return [row for row in rows if asked.because in ("", row.because)]

    def page(self, kind: str, asked: Filters, after: int) -> tuple[list[Difference], int | None]:
        """SIZE rows, and what to go on behind. Of a rare cause there may be fewer, though others follow."""
        found: list[Difference] = []
        size = BLOCK if asked.because else SIZE + 1
        for _ in range(LOOKS):
            rows = self.rows(kind, asked, after, LAST, size=size)
            found += self.fitting(rows, asked)
            if len(found) > SIZE:
                return found[:SIZE], found[SIZE - 1].comparison
            if len(rows) < size:
                return found, None
            after = rows[-1].comparison
        return found, after

    def _difference(
        self, pk: int, external_id: str, kind: str, status: str, created_at: Any, rule: str, cause: str, *states: Any
    ) -> Difference:
        before, old = _state(states[:7])
        after, new = _state(states[7:])
        if kind in ("added", "removed"):
            because, told = self._absent(kind, status, created_at, rule, cause)
        else:
            because, told = self._altered(kind, before, after, old, new)
        return Difference(pk, external_id, kind, before, after, because, told)

    def _absent(self, kind: str, status: str, created_at: Any, rule: str | None, cause: str) -> tuple[str, str]:
        """Why a row is in one version alone: the rule that dropped it from the other, or that it was not there then."""
        without = self.earlier if kind == "added" else self.later
        if rule:
            told = {"version": without, "rule": rule.replace("_", " "), "cause": cause}
            return "rule", gettext("%(version)s dropped it by %(rule)s: %(cause)s") % told
        if kind == "removed" and status == Comparison.Status.WITHDRAWN:
            return "withdrawn", gettext("it was withdrawn")
        if kind == "added" and created_at > self.earlier.created_at:
            return "imported", gettext("it was imported after %(version)s") % {"version": self.earlier}
        return "judgements", gettext("%(version)s knew no judgement of it") % {"version": without}

    def _altered(
        self, kind: str, before: State | None, after: State | None, old: dict[str, Any], new: dict[str, Any]
    ) -> tuple[str, str]:
        """Why a row that both have is not the same: what they were made of differs, else how it was made."""
        if kind == "moved":
            return self._by_recipe("split", gettext("its group is in another split now"))
        recorded = "judgements" in old and "judgements" in new
        if recorded and old.get("adjudication") != new.get("adjudication"):
            decided = new.get("adjudication")
            came, went = gettext("an adjudicator decided it"), gettext("its adjudication was undone")
            return "adjudication", came if decided else went
        if recorded and _doubt(old) != _doubt(new):
            came, went = gettext("its doubtful label was treated"), gettext("its treatment was undone")
            return "doubt", came if _doubt(new) else went
        if recorded and set(old["judgements"]) != set(new["judgements"]):
            return "judgements", _more(old, new)
        if not recorded and _voices(before) != _voices(after):
            return "judgements", gettext("others judged it")
        if _change(old, "deidentify") != _change(new, "deidentify"):
            return "deidentified", gettext("other parts of its texts were taken out")
        was, now = method_of(self.earlier), method_of(self.later)
        otherwise = gettext("the same judgements, fitted with others that came")
        if was != now:  # chosen by the data, under the same recipe
            otherwise = gettext("fitted by %(now)s, and before by %(was)s") % {"now": now, "was": was}
        return self._by_recipe("", otherwise)

    def _by_recipe(self, table: str, otherwise: str) -> tuple[str, str]:
        """The recipes differ, in a table where one is named; else the words given."""
        names = [change.field for change in self.recipe if change.field.startswith(table)]
        if names:
            return "recipe", gettext("the recipes differ in %(fields)s") % {"fields": ", ".join(names)}
        return "fit", otherwise


def method_of(version: DatasetVersion) -> str:
    """Of the consensus, as it was chosen where the recipe left it to the data."""
    told = version.statistics.get("consensus") or {}
    return str(told.get("method") or version.recipe.get("method", ""))


def _state(values: Sequence[Any]) -> tuple[State | None, dict[str, Any]]:
    if values[0] is None:
        return None, {}
    *state, lineage = values
    return State(*state), json.loads(lineage) if isinstance(lineage, str) else lineage


def _change(lineage: Mapping[str, Any], rule: str) -> Any:
    return (lineage.get("changes") or {}).get(rule)


def _doubt(lineage: Mapping[str, Any]) -> Any:
    """What was done to the label, by which decision; a decision that did nothing is none."""
    action = _change(lineage, "noise")
    return action and (action, lineage.get("noise"))


def _voices(state: State | None) -> tuple[int, int] | None:
    """How many raters a row rests on, where it did not keep what they said."""
    return state and (state.n_annotators, state.n_judges)


def _more(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """How many judgements came and went."""
    was, now = set(old["judgements"]), set(new["judgements"])
    told = {"came": len(now - was), "went": len(was - now)}
    if was - now:
        return gettext("%(came)s judgements came, and %(went)s went or were revised") % told
    return gettext("%(came)s judgements came") % told

"""What lies between two versions of a dataset: rows that came, went, changed sides or splits, each with its cause."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from django.db import connection
from django.utils.translation import gettext, gettext_noop

from annotate.models import Comparison
from curation.models import DatasetVersion, DroppedRow

SIZE: Final = 50
KINDS: Final[Mapping[str, str]] = {
    "added": gettext_noop("in the later version alone"),
    "removed": gettext_noop("in the earlier version alone"),
    "flipped": gettext_noop("the other side is chosen"),
    "moved": gettext_noop("in another split"),
    "changed": gettext_noop("the same side with other figures or texts"),
}


class State(NamedTuple):
    """A row as one version has it."""

    split: str
    side: str
    probability: float
    n_annotators: int
    n_judges: int


@dataclass(frozen=True, slots=True)
class Difference:
    comparison: int
    id: str
    before: State | None
    after: State | None
    cause: str


@dataclass(frozen=True, slots=True)
class Between:
    """Two versions, the earlier one first, and one page of the rows of a kind."""

    earlier: DatasetVersion
    later: DatasetVersion
    counts: Mapping[str, int]
    """By kind, and `same`."""
    kind: str
    rows: Sequence[Difference]
    next: int | None
    """What to put in `after` for the next page."""

    @property
    def kinds(self) -> list[tuple[str, str, int]]:
        """(kind, what it means, rows)."""
        return [(kind, gettext(meaning), self.counts[kind]) for kind, meaning in KINDS.items()]


# Rows are met by their comparison.
_JOINED: Final = """
    SELECT coalesce(n.comparison_id, o.comparison_id) AS comparison, o.id AS old, n.id AS new,
           CASE WHEN o.id IS NULL THEN 'added' WHEN n.id IS NULL THEN 'removed' WHEN o.sha256 = n.sha256 THEN 'same'
                WHEN o.side <> n.side THEN 'flipped'
                WHEN o.split <> n.split THEN 'moved' ELSE 'changed' END AS kind
    FROM (SELECT * FROM curation_datasetrow WHERE version_id = %(earlier)s) AS o
    FULL JOIN (SELECT * FROM curation_datasetrow WHERE version_id = %(later)s) AS n USING (comparison_id)
"""
_STATE: Final = """
    {0}.split, {0}.side, {0}.probability, {0}.n_annotators, {0}.n_judges
"""
_COUNTS: Final = f"SELECT kind, count(*) FROM ({_JOINED}) AS joined GROUP BY kind"  # noqa: S608 - our own words alone
_PAGE: Final = f"""
    WITH page AS (
        SELECT * FROM ({_JOINED}) AS joined WHERE kind = %(kind)s AND comparison > %(after)s
        ORDER BY comparison LIMIT %(size)s
    )
    SELECT page.comparison, c.external_id, {_STATE.format("o")}, {_STATE.format("n")}
    FROM page JOIN annotate_comparison AS c ON c.id = page.comparison
    LEFT JOIN curation_datasetrow AS o ON o.id = page.old LEFT JOIN curation_datasetrow AS n ON n.id = page.new
    ORDER BY page.comparison
"""  # noqa: S608


def between(earlier: DatasetVersion, later: DatasetVersion, *, kind: str = "", after: int = 0) -> Between:
    """Counts, and the first page of a kind behind the comparison `after`; no kind: the first that has any."""
    given = {"earlier": earlier.pk, "later": later.pk}
    with connection.cursor() as cursor:
        cursor.execute(_COUNTS, given)
        found = dict(cursor.fetchall())
        counts = {name: int(found.get(name, 0)) for name in (*KINDS, "same")}
        kind = kind if kind in KINDS else next((name for name in KINDS if counts[name]), "added")
        cursor.execute(_PAGE, {**given, "kind": kind, "after": after, "size": SIZE + 1})
        rows = cursor.fetchall()
    shown = rows[:SIZE]
    causes = _causes(earlier, later, kind, [row[0] for row in shown])
    differences = [
        Difference(pk, id_, _state(values[:5]), _state(values[5:]), causes.get(pk, "")) for pk, id_, *values in shown
    ]
    return Between(earlier, later, counts, kind, differences, shown[-1][0] if len(rows) > SIZE else None)


def _state(values: Sequence[Any]) -> State | None:
    return None if values[0] is None else State(*values)


def _causes(earlier: DatasetVersion, later: DatasetVersion, kind: str, ids: list[int]) -> dict[int, str]:
    """Why a row is in one version alone: the rule that dropped it from the other, or that it was not there then."""
    if kind not in ("added", "removed"):
        return {}
    without = earlier if kind == "added" else later
    dropped = DroppedRow.objects.filter(version=without, comparison__in=ids)
    told = {
        row.comparison_id: gettext("%(version)s dropped it by %(rule)s: %(cause)s")
        % {"version": without, "rule": row.rule.replace("_", " "), "cause": row.cause}
        for row in dropped
    }
    for comparison in Comparison.objects.filter(pk__in=set(ids) - set(told)).only("status", "created_at"):
        if kind == "removed" and comparison.status == Comparison.Status.WITHDRAWN:
            told[comparison.pk] = gettext("it was withdrawn")
        elif kind == "added" and comparison.created_at > earlier.created_at:
            told[comparison.pk] = gettext("it was imported after %(version)s") % {"version": earlier}
        else:
            told[comparison.pk] = gettext("%(version)s knew no judgement of it") % {"version": without}
    return told

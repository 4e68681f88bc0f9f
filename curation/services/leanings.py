"""How far each rater leans to a side, to length, to layout and to their own family: what a fit keeps of its raters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from django.db import connection

from annotate.models import Rater
from curation.stats import SideBias, Votes
from curation.stats.bias import FORMAT, Leaning, family, leaning
from curation.stats.votes import FloatArray, IntArray
from tiebreak.accounts.models import Project

MOST: Final = 50_000  # comparisons whose texts are read; an interval over so many is narrow enough
PAIRS: Final = """
SELECT c.id, octet_length(b.text) - octet_length(a.text),
       regexp_count(b.text, %(marks)s, 1, 'n') - regexp_count(a.text, %(marks)s, 1, 'n'), a.generator, b.generator
FROM annotate_comparison AS c JOIN annotate_completion AS a ON a.id = c.completion_a_id
JOIN annotate_completion AS b ON b.id = c.completion_b_id
WHERE c.project_id = %(project)s AND c.status <> 'withdrawn'
    AND (%(share)s >= 1 OR (hashint8(c.id)::bigint + 2147483648) < %(share)s * 4294967296)
ORDER BY c.id
"""


def of_raters(project: Project, votes: Votes, side: SideBias) -> list[dict[str, Any]]:
    """For each rater of the votes {side, length, format, self}: shares, one half is none, with their intervals.

    Length, layout and family are read from at most MOST comparisons, drawn by their ids. The excess beside a share is
    beside what people said of the same comparisons.
    """
    rows = _rows(project, min(1.0, MOST / max(1, len(votes.comparisons))))
    ids = np.array(votes.comparisons, dtype=np.int64)
    families, judge = _families(votes)
    place = np.searchsorted(ids, [row[0] for row in rows])
    there = [(at, row) for at, row in zip(place.tolist(), rows, strict=True) if at < len(ids) and ids[at] == row[0]]
    length, layout = (_spread([(at, row[column]) for at, row in there], len(ids)) for column in (1, 2))
    more = {
        "length": length[votes.comparison],
        "format": layout[votes.comparison],
        "self": _own(votes, families, {at: (row[3], row[4]) for at, row in there}),
    }
    found = {
        name: leaning(votes.rater, votes.comparison, votes.value, by, ~judge[votes.rater], n_raters=len(families))
        for name, by in more.items()
    }
    return [
        {"side": _side(side, i), **{name: _lean(each, i) for name, each in found.items()}} for i in range(len(families))
    ]


def _rows(project: Project, share: float) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(PAIRS, {"project": project.pk, "share": share, "marks": FORMAT})
        return list(cursor.fetchall())


def _families(votes: Votes) -> tuple[list[str], np.ndarray[Any, np.dtype[np.bool_]]]:
    """Of each rater: the family of a judge's model, empty for people; and whether it is a judge."""
    known = {row.pk: row for row in Rater.objects.filter(pk__in=list(votes.raters)).select_related("judge")}
    rows = [known[int(str(pk))] for pk in votes.raters]
    judges = [row.kind == Rater.Kind.JUDGE for row in rows]
    named = [row.judge.model if row.judge and row.judge.model else row.name for row in rows]
    families = [family(name) if is_judge else "" for name, is_judge in zip(named, judges, strict=True)]
    return families, np.array(judges, dtype=bool)


def _spread(values: Sequence[tuple[int, float]], size: int) -> FloatArray:
    out = np.full(size, np.nan)
    for at, value in values:
        out[at] = value
    return out


def _own(votes: Votes, families: Sequence[str], generators: Mapping[int, tuple[str, str]]) -> FloatArray:
    """[n] 1 where b alone is of the rater's family, -1 where a alone is, else 0."""
    code = {name: i for i, name in enumerate(sorted({each for each in families if each}), 1)}
    whose = np.zeros((len(votes.comparisons), 2), dtype=np.int64)
    for at, names in generators.items():
        whose[at] = [code.get(family(name), 0) if name else 0 for name in names]
    mine: IntArray = np.array([code.get(name, -1) for name in families], dtype=np.int64)[votes.rater]
    of_a, of_b = whose[votes.comparison].T
    own: FloatArray = (of_b == mine) * 1.0 - (of_a == mine)
    return own


def _side(side: SideBias, i: int) -> dict[str, Any]:
    return _share(side.share[i], side.low[i], side.high[i], side.n[i])


def _lean(found: Leaning, i: int) -> dict[str, Any]:
    excess = {"excess": found.excess[i], "excess_low": found.excess_low[i], "excess_high": found.excess_high[i]}
    known = {name: round(float(value), 6) for name, value in excess.items() if not np.isnan(value)}
    return _share(found.share[i], found.low[i], found.high[i], found.n[i]) | known


def _share(value: float, low: float, high: float, n: int) -> dict[str, Any]:
    if np.isnan(value):
        return {"value": None, "low": None, "high": None, "n": int(n), "reason": "no observations"}
    low, high = (round(float(each), 6) for each in (low, high))
    return {"value": round(float(value), 6), "low": low, "high": high, "n": int(n), "reason": ""}

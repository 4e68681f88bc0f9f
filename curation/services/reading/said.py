"""What raters said, as arrays: the raw judgements of a project, or of a random part of a large one.

Never what a recipe, a filter or an aggregation kept: agreement among judgements that were chosen because they agree
is made by that choice.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from django.core.cache import cache
from django.db import connection

from annotate.models import Rater
from curation.stats.agreement import unselected
from curation.stats.bias import FORMAT
from curation.stats.votes import FloatArray, IntArray
from tiebreak.accounts.models import Project

BoolArray = npt.NDArray[np.bool_]
MOST: Final = 4_000
"""Comparisons that a page reads: an interval over so many is about .02 to either side, and the page a second or two."""

COUNT: Final = """
SELECT count(DISTINCT j.comparison_id) FROM annotate_judgement j
JOIN annotate_comparison c ON c.id = j.comparison_id WHERE c.project_id = %(project)s AND j.current
"""
# Drawn by a hash of the id: the same ones each time, and whatever was judged when, by whom and how.
COMPARISONS: Final = """
WITH found AS MATERIALIZED (
  SELECT c.id, c.metadata, c.completion_a_id, c.completion_b_id, c.lane FROM annotate_comparison c
  WHERE c.project_id = %(project)s AND c.status <> 'withdrawn'
    AND (%(share)s >= 1 OR (hashint8(c.id)::bigint + 2147483648) < %(share)s * 4294967296)
    AND EXISTS (SELECT FROM annotate_judgement j WHERE j.comparison_id = c.id AND j.current)
  ORDER BY hashint8(c.id), c.id LIMIT %(most)s
), drawn AS (
  SELECT d.comparison_id, bool_or(d.audit) AS audit, 1 - exp(sum(ln(1 - least(d.probability, 1 - 1e-9)))
    FILTER (WHERE d.probability IS NOT NULL)) AS probability
  FROM curation_routingdecision d WHERE d.comparison_id IN (SELECT id FROM found) GROUP BY 1
)
SELECT f.id, f.metadata, a.generator, b.generator, octet_length(a.text), octet_length(b.text),
  CASE WHEN %(texts)s THEN regexp_count(a.text, %(marks)s, 1, 'n') END,
  CASE WHEN %(texts)s THEN regexp_count(b.text, %(marks)s, 1, 'n') END,
  coalesce(d.audit, false), d.comparison_id IS NOT NULL, d.probability, coalesce(l.language, '')
FROM found f LEFT JOIN annotate_lane l ON l.project_id = %(project)s AND l.number = f.lane
JOIN annotate_completion a ON a.id = f.completion_a_id
JOIN annotate_completion b ON b.id = f.completion_b_id LEFT JOIN drawn d ON d.comparison_id = f.id
ORDER BY f.id
"""
# A person's hidden repeat is no second opinion; a judge's two orders are readings of one.
JUDGEMENTS: Final = """
SELECT j.comparison_id, j.rater_id, j.preference, CASE j."order" WHEN 'ab' THEN 1 WHEN 'ba' THEN 0 ELSE -1 END,
  j.seconds, CASE WHEN j.aspects = '{}'::jsonb THEN NULL ELSE j.aspects END
FROM annotate_judgement j JOIN annotate_rater r ON r.id = j.rater_id
WHERE r.project_id = %(project)s AND j.current AND (r.kind = 'judge' OR j.repeat = 0)
  AND j.comparison_id = ANY(%(comparisons)s)
ORDER BY j.submitted_at, j.id
"""


@dataclass(frozen=True, slots=True)
class Votes:
    """One vote of a rater on a comparison, v of them as arrays, in the order in which they were given."""

    comparison: IntArray
    """Positions in `Said.comparisons`."""
    rater: IntArray
    """Positions in `Said.raters`."""
    strength: FloatArray
    """Whole levels; below 0 favours a. A judge's is the mean of both orders."""
    side: IntArray
    """0 a, 1 tie, 2 b: a judge that changes with the order, and leans to neither on the whole, says a tie."""
    a_first: IntArray
    judge: BoolArray
    first: BoolArray
    """Not brought by what earlier ones said (`stats.agreement.unselected`, of people and of judges apart)."""

    def where(self, kept: BoolArray) -> Votes:
        columns = (self.comparison, self.rater, self.strength, self.side, self.a_first, self.judge, self.first)
        return Votes(*(column[kept] for column in columns))  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Said:
    """Judged comparisons, c of them, and the votes on them."""

    comparisons: IntArray
    total: int
    """Judged comparisons of the project, of which these are all or a random part."""
    metadata: Sequence[Mapping[str, Any]]
    generators: Sequence[tuple[str, str]]
    languages: Sequence[str]
    """What a rater of the comparison must read; empty: anything."""
    longer: FloatArray
    """[c] bytes of b less those of a."""
    layout: FloatArray
    """[c] marks of layout in b less those in a."""
    audit: BoolArray
    routed: BoolArray
    probability: FloatArray
    """[c] of having been drawn for the audit, by any routing; nan where it was not stored."""
    raters: Sequence[Rater]
    votes: Votes
    readings: Votes
    """The same with a judge's two orders apart."""
    aspects: Mapping[str, Votes]
    seconds: FloatArray
    """People's active times, those that are known."""

    @property
    def sampled(self) -> bool:
        return len(self.comparisons) < self.total


def read(project: Project, *, texts: bool = True) -> Said:
    """Three queries, four for a large project; `texts` reads the completions' texts for their layout."""
    share, total = _share(project)
    given: dict[str, int | float | str] = {
        "project": project.pk,
        "share": share,
        "texts": texts,
        "marks": FORMAT,
        "most": MOST,
    }
    with connection.cursor() as cursor:
        cursor.execute(COMPARISONS, given)
        rows = cursor.fetchall()
        if len(rows) == MOST >= total:  # more was judged since they were counted, or all there is
            total = _judged(project)
        ids = np.array([row[0] for row in rows], dtype=np.int64)
        cursor.execute(JUDGEMENTS, {"project": project.pk, "comparisons": ids.tolist()})
        judgements = cursor.fetchall()
    raters = list(Rater.objects.filter(project=project).select_related("judge").order_by("kind", "name"))
    lengths, layout = _columns(rows, 4, 5), _columns(rows, 6, 7)
    return Said(
        comparisons=ids,
        total=max(total, len(ids)),
        metadata=[json.loads(row[1]) for row in rows],
        generators=[(row[2], row[3]) for row in rows],
        languages=[row[11] for row in rows],
        longer=lengths,
        layout=layout,
        audit=np.array([row[8] for row in rows], dtype=bool),
        routed=np.array([row[9] for row in rows], dtype=bool),
        probability=np.array([np.nan if row[10] is None else row[10] for row in rows], dtype=np.float64),
        raters=raters,
        **_votes(judgements, ids, raters),
    )


def _share(project: Project) -> tuple[float, int]:
    """The share of comparisons to read, and how many were judged. The count of a large project may be an hour old."""
    if project.comparisons.order_by().count() <= MOST:
        return 1.0, 0
    key = f"tiebreak:judged:{project.pk}"
    judged = cache.get(key)
    if not judged:  # of none nothing is kept: the first ones may be many
        judged = _judged(project)
        cache.set(key, judged, 3600)
    return min(1.0, MOST / max(1, judged)), judged


def _judged(project: Project) -> int:
    with connection.cursor() as cursor:
        cursor.execute(COUNT, {"project": project.pk})
        return int(cursor.fetchone()[0])


def _columns(rows: Sequence[tuple[Any, ...]], of_a: int, of_b: int) -> FloatArray:
    """b less a; nan where it was not read."""
    both = [(np.nan, np.nan) if row[of_a] is None else (row[of_a], row[of_b]) for row in rows]
    table = np.array(both, dtype=np.float64).reshape(-1, 2)
    return np.asarray(table[:, 1] - table[:, 0], dtype=np.float64)


def _votes(rows: Sequence[tuple[Any, ...]], ids: IntArray, raters: Sequence[Rater]) -> dict[str, Any]:
    place = {rater.pk: i for i, rater in enumerate(raters)}
    judges = np.array([rater.kind == Rater.Kind.JUDGE for rater in raters], dtype=bool)
    comparison = np.searchsorted(ids, np.array([row[0] for row in rows], dtype=np.int64))
    rater = np.array([place[row[1]] for row in rows], dtype=np.int64)
    a_first = np.array([row[3] for row in rows], dtype=np.int64)
    preference = np.array([np.nan if row[2] is None else row[2] for row in rows], dtype=np.float64)
    seconds = [row[4] for row, who in zip(rows, rater, strict=True) if row[4] is not None and not judges[who]]
    aspects = [json.loads(row[5]) if row[5] else {} for row in rows]
    said = {
        key: np.array([_level(given.get(key)) for given in aspects], dtype=np.float64)
        for key in sorted({key for given in aspects for key in given})
    }
    return {
        "votes": combine(comparison, rater, preference, a_first, judges),
        "readings": _apart(comparison, rater, preference, a_first, judges),
        "aspects": {key: combine(comparison, rater, levels, a_first, judges) for key, levels in said.items()},
        "seconds": np.array(seconds, dtype=np.float64),
    }


def _level(value: Any) -> float:
    """A preference by an aspect; nan where it was not given, or is none."""
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else np.nan


def _apart(
    comparison: IntArray, rater: IntArray, preference: FloatArray, a_first: IntArray, judges: BoolArray
) -> Votes:
    known = np.isfinite(preference)
    said = preference[known]
    judge = judges[rater[known]] if len(judges) else np.zeros(0, dtype=bool)
    side = np.sign(said).astype(np.int64) + 1
    return Votes(comparison[known], rater[known], said, side, a_first[known], judge, np.ones(len(said), dtype=bool))


def combine(
    comparison: IntArray, rater: IntArray, preference: FloatArray, a_first: IntArray, judges: BoolArray
) -> Votes:
    """Readings in their order, nan where unparsed, as one vote of each rater on each comparison."""
    known = np.isfinite(preference)
    comparison, rater, preference, a_first = comparison[known], rater[known], preference[known], a_first[known]
    key = comparison * max(1, len(judges)) + rater
    _, where, code = np.unique(key, return_index=True, return_inverse=True)
    readings = np.bincount(code, minlength=len(where))
    strength = np.bincount(code, preference, len(where)) / np.maximum(readings, 1)
    order = np.argsort(where)  # a vote stands where its first reading was
    at = where[order]
    mean, single = strength[order], readings[order] == 1
    judge = judges[rater[at]] if len(judges) else np.zeros(0, dtype=bool)
    unit = comparison[at]
    first = np.zeros(len(at), dtype=bool)
    for kind in (judge, ~judge):
        first[kind] = unselected(unit[kind])
    return Votes(
        comparison=unit,
        rater=rater[at],
        strength=np.rint(mean) + 0.0,
        side=np.sign(mean).astype(np.int64) + 1,
        a_first=np.where(single, a_first[at], -1),
        judge=judge,
        first=first,
    )

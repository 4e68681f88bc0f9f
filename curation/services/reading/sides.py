"""Judges measured against people, and against themselves with the sides swapped: one pass of the database each."""

from __future__ import annotations

from typing import Final

from django.db import connection

from curation.stats import Estimate, wilson
from tiebreak.accounts.models import Project

# A rater's vote is the side of the sum of its readings; people's side is the majority of their votes, if there is one.
AGAINST_PEOPLE: Final = """
WITH vote AS (
  SELECT j.comparison_id, j.rater_id, r.kind, sign(sum(j.preference)::float8) AS side
  FROM annotate_judgement j JOIN annotate_rater r ON r.id = j.rater_id
  WHERE r.project_id = %(project)s AND j.current AND j.preference IS NOT NULL
    AND (NOT %(audit)s OR j.comparison_id IN (SELECT d.comparison_id FROM curation_routingdecision d WHERE d.audit))
  GROUP BY 1, 2, 3
), people AS (
  SELECT comparison_id, sign(sum(side)) AS side FROM vote WHERE kind = 'annotator' GROUP BY 1 HAVING sum(side) <> 0
)
SELECT v.rater_id, count(*) FILTER (WHERE v.side = p.side), count(*)
FROM vote v JOIN people p USING (comparison_id) WHERE v.kind = 'judge' GROUP BY 1
"""
BOTH_ORDERS: Final = """
SELECT x.rater_id, count(*) FILTER (WHERE sign(x.preference) = sign(y.preference)), count(*)
FROM annotate_judgement x
JOIN annotate_judgement y ON y.comparison_id = x.comparison_id AND y.rater_id = x.rater_id
JOIN annotate_rater r ON r.id = x.rater_id
WHERE r.project_id = %(project)s AND r.kind = 'judge' AND x.current AND y.current
  AND x."order" = 'ab' AND y."order" = 'ba' AND x.preference IS NOT NULL AND y.preference IS NOT NULL
GROUP BY 1
"""


def accuracy(project: Project, *, audit: bool = False) -> dict[int, Estimate]:
    """By judge-rater: on how many of the comparisons that people decided by majority it names their side.

    A judge's tie is a miss, a comparison on which people are tied does not count. `audit` keeps to the comparisons
    that routing drew at random, so that the share speaks for all that were routed.
    """
    return _shares(AGAINST_PEOPLE, project=project.pk, audit=audit)


def consistency(project: Project) -> dict[int, Estimate]:
    """By judge-rater: on how many of the comparisons that it read in both orders it named the same side twice."""
    return _shares(BOTH_ORDERS, project=project.pk)


def _shares(query: str, **params: int) -> dict[int, Estimate]:
    with connection.cursor() as cursor:
        cursor.execute(query, params)
        return {rater: wilson(right, tried) for rater, right, tried in cursor.fetchall()}


def pooled(estimates: dict[int, Estimate], *, reason: str) -> Estimate:
    """All judges taken together."""
    tried = sum(e.n for e in estimates.values())
    right = sum(round((e.value or 0.0) * e.n) for e in estimates.values())
    return wilson(right, tried) if tried else Estimate(None, reason=reason)

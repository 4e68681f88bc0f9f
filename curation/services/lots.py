"""The audit's lots: with what probability a comparison had been drawn by now, over all the rounds it took part in.

A comparison that is drawn for in several rounds, with p1, p2, …, is in the audit with 1 - (1 - p1)(1 - p2)…, whether
it came in by the first round or by the last: weighed by one over that, what was audited stands for all that took part
(Horvitz and Thompson 1952). A round writes only decisions that differ, so what it did to the others is carried here.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from django.db import connection, transaction

from curation.stats.votes import BoolArray, FloatArray, IntArray
from tiebreak.runs.ledger import Execution
from tiebreak.runs.models import Run

BATCH: Final = 10_000
# What was drawn earlier and is not among those drawn for now: had it not been drawn it would be, unless it would have
# been bought for its gain then, and begun.
DRAWN: Final = """
WITH drawn AS MATERIALIZED (
  SELECT d.comparison_id, d.run_id, d.gain, c.seats_taken FROM curation_routingdecision AS d
  JOIN annotate_comparison AS c ON c.id = d.comparison_id
  WHERE c.project_id = %(project)s AND c.status <> 'withdrawn'
    AND d.audit AND d.policy = %(policy)s AND d.run_id < %(run)s AND d.probability > 0
), bought AS MATERIALIZED (
  SELECT run_id, min(gain) AS least FROM curation_routingdecision
  WHERE run_id IN (SELECT run_id FROM drawn) AND policy = %(policy)s AND route = 'human' AND NOT audit AND NOT explored
    AND reason <> 'drawn at random' GROUP BY run_id
)
SELECT DISTINCT d.comparison_id FROM drawn AS d LEFT JOIN bought AS b ON b.run_id = d.run_id
WHERE d.seats_taken = 0 OR b.least IS NULL OR coalesce(d.gain < b.least, true)
"""
# Of a comparison's decisions the last that took part, or the one that stands. All are one product when they are read.
CARRY: Final = """
UPDATE curation_routingdecision AS d SET probability = 1 - (1 - coalesce(d.probability, 0)) * (1 - %(chance)s)
FROM (
  SELECT DISTINCT ON (comparison_id) id FROM curation_routingdecision WHERE comparison_id = ANY(%(ids)s)
  ORDER BY comparison_id, (audit AND probability > 0) DESC, id DESC
) AS last WHERE d.id = last.id
"""


def carry(execution: Execution, policy: str, ids: IntArray, probability: FloatArray, written: BoolArray) -> None:
    """After a round that drew among comparisons ``ids`` [n], each with the same ``probability`` [n] or 0: carry it on
    for those that took part and whose decisions were not ``written`` [n], and for what had been drawn before.
    """
    chance = float(probability.max(initial=0.0))
    if chance <= 0:
        return
    part = probability > 0
    earlier = np.setdiff1d(drawn_before(execution.run, policy), ids[part])
    waiting = np.union1d(ids[part & ~written], earlier).tolist()
    with transaction.atomic(), connection.cursor() as cursor:
        execution.fence()
        for start in range(0, len(waiting), BATCH):
            cursor.execute(CARRY, {"chance": chance, "ids": waiting[start : start + BATCH]})


def drawn_before(run: Run, policy: str) -> IntArray:
    """Comparisons that earlier runs drew by this policy, and that would be among those drawn for now, were they not."""
    with connection.cursor() as cursor:
        cursor.execute(DRAWN, {"project": run.project_id, "policy": policy, "run": run.pk})
        return np.array([pk for (pk,) in cursor.fetchall()], dtype=np.int64)

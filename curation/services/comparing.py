"""Active policies beside each other on what they were given by lot: how sure, how right, how dear, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from django.db import connection
from django.utils.translation import gettext_noop

from curation.routing.online import Arm as ArmFigures
from curation.routing.online import compare_arms
from tiebreak.accounts.models import Project

from . import policies
from .policies import Arm

MOST: Final = 50_000
# What the last comparisons of each arm came to, of those that were there to be drawn for any of them: decided since the
# arms are as they are, and begun by nobody before. Judges' readings and people's hours are what they cost.
OUTCOMES: Final = """
WITH decided AS (
  SELECT d.comparison_id, d.policy FROM curation_routingdecision d JOIN annotate_comparison c ON c.id = d.comparison_id
  WHERE c.project_id = %(project)s AND d.current AND d.policy = ANY(%(arms)s) AND d.overridden_by_id IS NULL
    AND d.created_at >= %(since)s AND NOT EXISTS (
      SELECT 1 FROM annotate_judgement j JOIN annotate_rater r ON r.id = j.rater_id
      WHERE j.comparison_id = c.id AND r.kind = 'annotator' AND j.submitted_at < %(since)s)
  ORDER BY d.id DESC LIMIT %(most)s
)
SELECT d.policy, 1 - greatest(k.p_a, k.p_tie, k.p_b),
  CASE WHEN c.gold <> 0 AND k.id IS NOT NULL
    THEN (sign(c.gold) = CASE WHEN k.p_a > greatest(k.p_tie, k.p_b) THEN -1 WHEN k.p_b > k.p_tie THEN 1 ELSE 0 END)::int
  END,
  CASE WHEN k.id IS NULL THEN NULL ELSE
    coalesce((SELECT sum(price) FROM annotate_judgecall WHERE comparison_id = c.id), 0)
    + coalesce((SELECT sum(j.seconds) FROM annotate_judgement j JOIN annotate_rater r ON r.id = j.rater_id
      WHERE j.comparison_id = c.id AND j.current AND r.kind = 'annotator' AND j.form_id IS NOT NULL), 0)
      / 3600 * coalesce((SELECT hourly_rate FROM curation_routingsettings WHERE project_id = %(project)s), 0)
  END
FROM decided d JOIN annotate_comparison c ON c.id = d.comparison_id
LEFT JOIN curation_consensus k ON k.comparison_id = c.id
"""
FIGURES: Final = (
    gettext_noop("expected error of the consensus"),
    gettext_noop("agreement with gold"),
    gettext_noop("money for each comparison"),
)


class Figure(NamedTuple):
    """One figure of every arm, and its difference from the first arm's."""

    label: str
    is_share: bool
    arms: Sequence[ArmFigures]


def figures(project: Project, arms: Sequence[Arm]) -> list[Figure]:
    """Nothing where fewer than two arms share the comparisons, or none has decided yet (two queries)."""
    since = policies.since(project) if len(arms) > 1 else None
    if since is None:
        return []
    with connection.cursor() as cursor:
        known: dict[str, Any] = {
            "project": project.pk,
            "arms": [arm.name for arm in arms],
            "most": MOST,
            "since": since,
        }
        cursor.execute(OUTCOMES, known)
        rows = cursor.fetchall()
    names = [row[0] for row in rows]
    if len(set(names)) < 2:
        return []
    reference = next(arm.name for arm in arms if arm.name in names)
    columns = np.array([[np.nan if v is None else float(v) for v in row[1:]] for row in rows]).T
    return [
        Figure(label, label != FIGURES[2], compare_arms(names, column, reference=reference))
        for label, column in zip(FIGURES, columns, strict=True)
    ]

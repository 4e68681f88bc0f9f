"""From tables to arrays: the loaders that bring judgements to the pure statistics."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from annotate.models import Adjudication, Judgement, Rater
from curation.stats import Reading, Votes, combine_readings
from tiebreak.accounts.models import Project


class Judgements(NamedTuple):
    """All current, readable judgements of a project, n readings, as arrays of shape [n]."""

    comparison: npt.NDArray[np.int64]
    rater: npt.NDArray[np.int64]
    preference: npt.NDArray[np.float64]
    """nan where the rater said only "both bad" or could not be read."""
    a_first: npt.NDArray[np.int8]
    """1: a was shown first; 0: b was; -1: not known."""
    both_bad: npt.NDArray[np.bool_]
    sha256: str
    """Of all of it: the same judgements give the same hash."""

    def votes(self, raters: npt.NDArray[np.int64] | None = None) -> Votes:
        """One vote of a rater on a comparison: a judge's readings in both orders are their mean."""
        keep = ~np.isnan(self.preference)
        if raters is not None:
            keep &= np.isin(self.rater, raters)
        readings = (
            Reading(int(c), int(r), float(p))
            for c, r, p in zip(self.comparison[keep], self.rater[keep], self.preference[keep], strict=True)
        )
        return Votes.from_rows(combine_readings(readings))


def judgements_of(project: Project) -> Judgements:
    """Read every current judgement of the comparisons that are not withdrawn, in the order of their ids."""
    rows = (
        Judgement.objects.current()
        .filter(comparison__project=project)
        .exclude(comparison__status="withdrawn")
        .order_by("id")
        .values_list("comparison_id", "rater_id", "preference", "order", "both_bad", "repeat")
    )
    digest = hashlib.sha256()
    columns: tuple[list[int], list[int], list[float], list[int], list[bool]] = ([], [], [], [], [])
    for comparison, rater, preference, order, both_bad, repeat in rows.iterator(chunk_size=20_000):
        digest.update(f"{comparison},{rater},{preference},{order},{both_bad},{repeat};".encode())
        columns[0].append(comparison)
        columns[1].append(rater)
        columns[2].append(np.nan if preference is None else preference)
        columns[3].append({"ab": 1, "ba": 0}.get(order or "", -1))
        columns[4].append(both_bad)
    return Judgements(
        np.array(columns[0], dtype=np.int64),
        np.array(columns[1], dtype=np.int64),
        np.array(columns[2], dtype=np.float64),
        np.array(columns[3], dtype=np.int8),
        np.array(columns[4], dtype=bool),
        digest.hexdigest(),
    )


def decisions_of(project: Project) -> dict[int, Adjudication]:
    """What adjudicators decided and stands, by comparison; of those that are not withdrawn."""
    rows = Adjudication.objects.filter(comparison__project=project, current=True).select_related("by")
    return {row.comparison_id: row for row in rows.exclude(comparison__status="withdrawn")}


def certain(decision: Adjudication) -> tuple[float, float, float]:
    """A decision as probabilities of a, tie and b. Both bad without a side prefers neither."""
    side = (decision.preference or 0) + 0
    return float(side < 0), float(side == 0), float(side > 0)


def raters_of(project: Project, kind: str) -> npt.NDArray[np.int64]:
    """Ids of a project's raters of one kind."""
    ids = Rater.objects.filter(project=project, kind=kind).values_list("pk", flat=True)
    return np.fromiter(ids, dtype=np.int64)

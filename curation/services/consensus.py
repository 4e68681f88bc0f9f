"""The stored consensus: made from a fit's arrays, written by COPY, and what follows of it for a comparison's state.

Whoever writes consensus holds the project's row (`locked`), so there is one writer at a time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from django.db import connection
from django.db.models import Exists, OuterRef, QuerySet

from annotate.models import Adjudication, Assignment, Comparison, Judgement
from curation.models import Aggregation
from curation.stats import K, Votes, entropy
from tiebreak.accounts.models import Project

from . import loading
from .loading import Ints

Floats = npt.NDArray[np.float64]
SETTLED: Final = 0.8  # consensus this sure, with every seat taken, settles a comparison; below it is disputed
STRONGEST: Final = 3.0


class Rows(NamedTuple):
    """Consensus of C comparisons, each column an array of shape [C] in the order of their ids."""

    comparison: Ints
    p_a: Floats
    p_tie: Floats
    p_b: Floats
    preference: Floats
    entropy: Floats
    n_annotators: Ints
    n_judges: Ints
    n_both_bad: Ints
    n_readings: Ints
    last_judgement: Ints
    difficulty: Floats
    """nan: not known"""
    base_a: Floats
    """nan: the prior"""
    base_tie: Floats
    base_b: Floats


COUNTED: Final = ("comparison", "n_annotators", "n_judges", "n_both_bad", "n_readings", "last_judgement")
COLUMNS: Final[Mapping[str, str]] = {name: "int8" if name in COUNTED else "float8" for name in Rows._fields}


def locked(project: int, *, wait: bool = True) -> bool:
    """Hold the project's row until the end of the transaction; False where somebody has it and we do not wait."""
    rows = Project.objects.select_for_update(no_key=True, skip_locked=not wait)
    return rows.filter(pk=project).exists()


def rows_of(
    judgements: loading.Judgements,
    votes: Votes,
    posterior: Floats,
    strength: Floats,
    *,
    people: Ints,
    decisions: Mapping[int, Adjudication],
    difficulty: Floats | None = None,
    base: Floats | None = None,
) -> Rows:
    """What is to be stored: one row for each comparison that has a vote or a decision.

    Posterior [C, K], strength [C], difficulty [C] and base [C, K] are in the order of the votes' comparisons. What an
    adjudicator decided is certain, whatever the votes say.
    """
    voted = np.array(votes.comparisons, dtype=np.int64)
    ids = np.union1d(voted, np.array(sorted(decisions), dtype=np.int64))
    place = np.searchsorted(ids, voted)
    size = len(ids)
    chances, signed = _spread(posterior, place, size), _spread(strength, place, size)
    for pk, decided in decisions.items():
        chances[np.searchsorted(ids, pk)] = loading.certain(decided)
        signed[np.searchsorted(ids, pk)] = decided.preference or 0
    by_person = np.isin(np.array(votes.raters, dtype=np.int64), people)[votes.rater]
    where = place[votes.comparison]
    counted, newest = _read(judgements, ids)
    before = np.full((size, K), np.nan) if base is None else _spread(base, place, size)
    p_a, p_tie, p_b = chances.T
    base_a, base_tie, base_b = before.T
    return Rows(
        comparison=ids,
        p_a=p_a,
        p_tie=p_tie,
        p_b=p_b,
        preference=np.clip(signed, -STRONGEST, STRONGEST),
        entropy=entropy(chances),
        n_annotators=np.bincount(where[by_person], minlength=size),
        n_judges=np.bincount(where[~by_person], minlength=size),
        n_both_bad=counted[1],
        n_readings=counted[0],
        last_judgement=newest,
        difficulty=np.full(size, np.nan) if difficulty is None else _spread(difficulty, place, size),
        base_a=base_a,
        base_tie=base_tie,
        base_b=base_b,
    )


def _spread(values: Floats, place: Ints, size: int) -> Floats:
    """Values of the comparisons that have votes, among all; nan for the others."""
    out = np.full((size, *values.shape[1:]), np.nan)
    out[place] = values
    return out


def _read(judgements: loading.Judgements, ids: Ints) -> tuple[tuple[Ints, Ints], Ints]:
    """For each comparison: how many readings it has, how many of them say both bad, and the id of the newest."""
    at = np.searchsorted(ids, judgements.comparison)
    kept = at < len(ids)
    kept[kept] = ids[at[kept]] == judgements.comparison[kept]
    counts = (
        np.bincount(at[kept], minlength=len(ids)),
        np.bincount(at[kept & judgements.both_bad], minlength=len(ids)),
    )
    newest = np.zeros(len(ids), dtype=np.int64)
    np.maximum.at(newest, at[kept], judgements.id[kept])
    return counts, newest


INSERT: Final = """
INSERT INTO curation_consensus (
    comparison_id, aggregation_id, p_a, p_tie, p_b, preference, entropy, n_annotators, n_judges, n_both_bad,
    n_readings, last_judgement, difficulty, base, provisional, updated_at)
SELECT n.comparison, %(aggregation)s, n.p_a, n.p_tie, n.p_b, n.preference, n.entropy, n.n_annotators, n.n_judges,
       n.n_both_bad, n.n_readings, n.last_judgement, nullif(n.difficulty, 'NaN'),
       CASE WHEN n.base_a = 'NaN' THEN NULL ELSE jsonb_build_array(n.base_a, n.base_tie, n.base_b) END,
       %(provisional)s, clock_timestamp()
FROM new_consensus AS n JOIN annotate_comparison AS c ON c.id = n.comparison WHERE c.status <> 'withdrawn'
ORDER BY n.comparison
"""
EMPTY: Final = """
DELETE FROM curation_consensus USING annotate_comparison AS c WHERE c.id = comparison_id AND c.project_id = %s
"""
INSTEAD: Final = """
ON CONFLICT (comparison_id) DO UPDATE SET
    aggregation_id = excluded.aggregation_id, p_a = excluded.p_a, p_tie = excluded.p_tie, p_b = excluded.p_b,
    preference = excluded.preference, entropy = excluded.entropy, n_annotators = excluded.n_annotators,
    n_judges = excluded.n_judges, n_both_bad = excluded.n_both_bad, n_readings = excluded.n_readings,
    last_judgement = excluded.last_judgement, difficulty = excluded.difficulty, base = excluded.base,
    provisional = excluded.provisional, updated_at = excluded.updated_at
WHERE (curation_consensus.p_a, curation_consensus.p_tie, curation_consensus.p_b, curation_consensus.preference,
       curation_consensus.n_readings, curation_consensus.last_judgement)
    IS DISTINCT FROM (excluded.p_a, excluded.p_tie, excluded.p_b, excluded.preference, excluded.n_readings,
                      excluded.last_judgement)
"""


def replace(aggregation: Aggregation, rows: Rows) -> None:
    """Store a fit's consensus in place of all that the project had. Call within the transaction, `locked`."""
    with connection.cursor() as cursor:
        cursor.execute(EMPTY, [aggregation.project_id])
    _insert(aggregation, rows, INSERT, provisional=False)


def update(aggregation: Aggregation, rows: Rows) -> int:
    """Store the consensus of some comparisons until the next fit, where it differs. Returns how many.

    Call within the transaction, `locked`.
    """
    return _insert(aggregation, rows, INSERT + INSTEAD, provisional=True)


def _insert(aggregation: Aggregation, rows: Rows, statement: str, *, provisional: bool) -> int:
    with connection.cursor() as cursor:
        loading.write(cursor, "new_consensus", COLUMNS, rows._asdict())
        cursor.execute(statement, {"aggregation": aggregation.pk, "provisional": provisional})
        stored: int = cursor.rowcount
        cursor.execute("DROP TABLE new_consensus")
    return stored


def settle(project: int, ids: Sequence[int] | None = None) -> dict[str, int]:
    """Comparisons with every seat answered become settled or disputed by their consensus; an adjudicated one stays.

    Of all comparisons of the project, or of those named.
    """
    full = _answered(project, ids)
    sure = full.filter(consensus__p_a__gte=SETTLED) | full.filter(consensus__p_b__gte=SETTLED)
    sure |= full.filter(consensus__p_tie__gte=SETTLED)
    # Everyone who answered said "both bad" and no more: there is no side to be found by asking on.
    said = Judgement.objects.current().filter(comparison=OuterRef("pk"))
    no_side = full.filter(~Exists(said.filter(preference__isnull=False)), Exists(said.filter(both_bad=True)))
    settled = _move(sure, "settled") + _move(no_side, "settled")
    return {"settled": settled, "disputed": _move(full.filter(consensus__isnull=False), "disputed")}


def _answered(project: int, ids: Sequence[int] | None) -> QuerySet[Comparison]:
    """Open, with all seats taken and none of them still being answered."""
    work = Assignment.objects.filter(comparison=OuterRef("pk"), purpose=Assignment.Purpose.WORK)
    rows = Comparison.objects.filter(project=project, status=Comparison.Status.OPEN, full=True, overlap__gt=0)
    rows = rows.filter(~Exists(work.filter(status__in=Assignment.HELD)))
    return rows if ids is None else rows.filter(pk__in=ids)


def _move(rows: QuerySet[Comparison], status: str) -> int:
    """In the order of their ids, as all who lock several comparisons do."""
    waiting = Comparison.objects.filter(pk__in=rows.values("pk"), status=Comparison.Status.OPEN)
    ids = list(waiting.order_by("id").select_for_update(no_key=True, of=("self",)).values_list("pk", flat=True))
    for start in range(0, len(ids), 50_000):
        Comparison.objects.filter(pk__in=ids[start : start + 50_000], status=Comparison.Status.OPEN).update(
            status=status
        )
    return len(ids)

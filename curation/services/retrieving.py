"""Retrieval: comparisons that resemble others, by the embeddings that a run of kind `embed` left in PostgreSQL.

Nothing here knows a model: a comparison without a vector has no neighbours, and a project without vectors has none to
offer. Similarity is the cosine, in [-1, 1].
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
from django.db import connection, transaction
from django.db.models import F
from django.db.models.functions import Greatest

from annotate.models import Comparison
from curation.models import ComparisonVector, Encoder, ProjectEncoder, RewardModel, RoutingDecision
from curation.routing import PERSON
from curation.routing.neighbours import K_MAX, Near, k_rule, require_apart
from curation.routing.neighbours import error_driven as wanted_by
from tiebreak.accounts.models import Project
from tiebreak.core.models import record

from . import loading

Halves = npt.NDArray[np.float16]
EXPLORED: Final = 200  # candidates that HNSW keeps in sight
MOST_READ: Final = 200_000  # vectors that it reads for one neighbour list at most, where the conditions leave few


class Similar(NamedTuple):
    """A comparison that resembles another."""

    to: int
    comparison: int
    similarity: float


class Embedded(NamedTuple):
    """Vectors of n comparisons: unit length where the encoder's are, in halves."""

    comparison: loading.Ints
    """[n]"""
    prompt: Halves
    """[n, d]"""
    a: Halves
    b: Halves


def encoder_of(project: Project | int) -> Encoder | None:
    """Whose vectors the project has in full; None before its first embedding run ended."""
    row = ProjectEncoder.objects.filter(project=project).select_related("encoder").first()
    return row.encoder if row else None


# A label that people stand behind: gold, decided by an adjudicator, or settled by two people or more.
VERIFIED: Final = """
    (c.gold IS NOT NULL
     OR EXISTS (SELECT FROM annotate_adjudication AS d WHERE d.comparison_id = c.id AND d.current)
     OR (c.status = 'settled'
         AND EXISTS (SELECT FROM curation_consensus AS k WHERE k.comparison_id = c.id AND k.n_annotators >= 2)))
"""
OPEN: Final = "(c.status = 'open' AND NOT " + VERIFIED + ")"
ANY: Final = "true"
POOL: Final = """
FROM curation_comparisonvector AS v JOIN annotate_comparison AS c ON c.id = v.comparison_id
WHERE v.encoder_id = {encoder} AND c.project_id = %(project)s AND c.status <> 'withdrawn'
    AND NOT c.id = ANY (%(without)s) AND {condition}
"""
# Among few, all are read: exact, and fast. Among many, by the index, which reads on while conditions leave too few.
COUNT: Final = "SELECT count(*) FROM (SELECT {pool} LIMIT %(most)s) AS found"
AMONG_FEW: Final = """
WITH pool AS MATERIALIZED (SELECT c.id, v.vector::halfvec({d}) AS vector {pool})
SELECT q.comparison_id, n.id, n.similarity FROM curation_comparisonvector AS q,
LATERAL (
    SELECT p.id, 1 - (p.vector <=> q.vector::halfvec({d})) AS similarity FROM pool AS p
    WHERE p.id <> q.comparison_id ORDER BY p.vector <=> q.vector::halfvec({d}), p.id LIMIT %(k)s
) AS n
WHERE q.encoder_id = {encoder} AND q.comparison_id = ANY (%(ids)s) ORDER BY 1, 3 DESC, 2
"""
AMONG_MANY: Final = """
SELECT q.comparison_id, n.id, n.similarity FROM curation_comparisonvector AS q,
LATERAL (
    SELECT c.id, 1 - (v.vector::halfvec({d}) <=> q.vector::halfvec({d})) AS similarity
    {pool} AND c.id <> q.comparison_id ORDER BY v.vector::halfvec({d}) <=> q.vector::halfvec({d}) LIMIT %(k)s
) AS n
WHERE q.encoder_id = {encoder} AND q.comparison_id = ANY (%(ids)s) ORDER BY 1, 3 DESC, 2
"""
FEW: Final = 20_000
ITERATIVE: Final = (0, 8)  # the pgvector from which on HNSW reads on


def similar(project: Project | int, ids: Sequence[int], k: int) -> list[Similar]:
    """The k nearest comparisons of each, whatever their state; nearest first."""
    return _nearest(project, ids, k, ANY)


def similar_verified(
    project: Project, ids: Sequence[int], k: int, *, evaluation: Collection[int] = ()
) -> list[Similar]:
    """The k nearest of each whose label people stand behind, but for those that ``evaluation`` is measured by."""
    return _nearest(project, ids, k, VERIFIED, without=evaluation)


def similar_open(project: Project, ids: Sequence[int], k: int) -> list[Similar]:
    """The k nearest of each that wait for a label."""
    return _nearest(project, ids, k, OPEN)


def error_driven(
    model: RewardModel, *, k_max: int = K_MAX, limit: int = 1_000, evaluation: Collection[int] = ()
) -> list[tuple[int, int, float]]:
    """Open comparisons that resemble what a reward model gets wrong: (comparison, because of which, similarity).

    Of the ``limit`` verified comparisons that the model, held out, has most wrong each brings up to ``k_max``, by the
    rule of Skywork-Reward-V2 (`curation.routing.neighbours.k_rule`); those of ``evaluation`` bring none.
    """
    known = [row for row in _mistakes(model) if row[0] not in evaluation][:limit]
    require_apart([pk for pk, _ in known], list(evaluation))
    chances = dict(known)
    counts = dict(zip(chances, k_rule(list(chances.values()), k_max=k_max).tolist(), strict=True))
    asked = [pk for pk, n in counts.items() if n]
    found: dict[int, list[Similar]] = {}
    for each in similar_open(model.project, asked, k_max):
        found.setdefault(each.to, []).append(each)
    pool = sorted({each.comparison for row in found.values() for each in row})
    place = {pk: i for i, pk in enumerate(pool)}
    near = Near(np.full((len(asked), k_max), -1, dtype=np.int64), np.full((len(asked), k_max), np.nan))
    for i, pk in enumerate(asked):
        for j, each in enumerate(found.get(pk, [])):
            near.place[i, j], near.similarity[i, j] = place[each.comparison], each.similarity
    brought = wanted_by(near, [chances[pk] for pk in asked], k_max=k_max)
    return [(pool[each.place], asked[each.because], each.similarity) for each in brought]


MISTAKES: Final = """
SELECT c.id, m.margin * sign(coalesce(d.preference, c.gold, k.p_b - k.p_a))
FROM curation_rewardmargin AS m JOIN annotate_comparison AS c ON c.id = m.comparison_id
LEFT JOIN curation_consensus AS k ON k.comparison_id = c.id
LEFT JOIN annotate_adjudication AS d ON d.comparison_id = c.id AND d.current
WHERE m.reward_model_id = %(model)s AND m.held_out AND c.status <> 'withdrawn' AND {verified}
    AND coalesce(d.preference, c.gold, k.p_b - k.p_a) <> 0
ORDER BY 2, 1
"""


def _mistakes(model: RewardModel) -> list[tuple[int, float]]:
    """Verified comparisons with the probability that the model gives to people's side, the most wrong first."""
    with connection.cursor() as cursor:
        cursor.execute(MISTAKES.format(verified=VERIFIED), {"model": model.pk})
        return [(pk, float(1 / (1 + np.exp(-np.clip(margin, -500, 500))))) for pk, margin in cursor.fetchall()]


def _nearest(
    project: Project | int, ids: Sequence[int], k: int, condition: str, *, without: Collection[int] = ()
) -> list[Similar]:
    encoder = encoder_of(project)
    if encoder is None or not ids or k < 1:
        return []
    pool = POOL.format(encoder=encoder.pk, condition=condition)
    within = {"d": encoder.dimension, "encoder": encoder.pk, "pool": pool}
    given: dict[str, Any] = {
        "project": project if isinstance(project, int) else project.pk,
        "ids": list(ids),
        "k": k,
        "without": list(without),
        "most": FEW + 1,
    }
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(COUNT.format(**within), given)
        few = cursor.fetchone()[0] <= FEW
        if not few:
            _read_on(cursor)
        cursor.execute((AMONG_FEW if few else AMONG_MANY).format(**within), given)
        return [Similar(*row) for row in cursor.fetchall()]


def _read_on(cursor: Any) -> None:
    """For this transaction, HNSW goes on until k neighbours meet the conditions."""
    cursor.execute(f"SET LOCAL hnsw.ef_search = {EXPLORED}")
    cursor.execute("SELECT extversion FROM pg_extension WHERE extname = 'vector'")
    if tuple(map(int, cursor.fetchone()[0].split(".")[:2])) >= ITERATIVE:
        cursor.execute("SET LOCAL hnsw.iterative_scan = 'strict_order'")
        cursor.execute(f"SET LOCAL hnsw.max_scan_tuples = {MOST_READ}")


def bring_forward(project: Project, reasons: Mapping[int, str], *, run: Any, by: Any) -> list[int]:
    """Open comparisons (id → reason) come first in the queue of people, with a free seat, and stay with people.

    Those that are not open any more, and those that a person decided by hand, are left alone. Locks the comparisons;
    call within a transaction.
    """
    rows = Comparison.objects.filter(project=project, status=Comparison.Status.OPEN, pk__in=list(reasons))
    locked = list(rows.select_for_update(no_key=True).order_by("id").values_list("pk", flat=True))
    by_hand = RoutingDecision.objects.filter(comparison__in=locked, current=True, overridden_by__isnull=False)
    kept = set(by_hand.values_list("comparison", flat=True))
    ids = [pk for pk in locked if pk not in kept]
    RoutingDecision.objects.filter(comparison__in=ids, current=True).update(current=False)
    for pk in ids:
        Comparison.objects.filter(pk=pk).update(
            route=Comparison.Route.HUMAN,
            priority=Comparison.Priority.FIRST,
            overlap=Greatest(F("overlap"), F("seats_taken") + 1),
            returned_because=reasons[pk][:300],
        )
        RoutingDecision.objects.create(
            comparison_id=pk, policy="error-driven", route="human", reason=reasons[pk][:500], buys=PERSON, run=run
        )
        record("comparison.returned", Comparison(pk=pk), by=by, project=project, reason=reasons[pk])
    return ids


TEXTS: Final = """
SELECT c.id, p.vector, a.vector, b.vector FROM annotate_comparison AS c
JOIN curation_promptvector AS p ON p.prompt_id = c.prompt_id AND p.encoder_id = %(encoder)s
JOIN curation_completionvector AS a ON a.completion_id = c.completion_a_id AND a.encoder_id = %(encoder)s
JOIN curation_completionvector AS b ON b.completion_id = c.completion_b_id AND b.encoder_id = %(encoder)s
WHERE c.project_id = %(project)s AND c.status <> 'withdrawn'
"""


def embedded(project: Project, ids: Sequence[int] | None = None) -> Iterator[Embedded]:
    """The vectors of the project's comparisons, or of those named, in blocks of some thousands; none without a run.

    Those that came after the last embedding run are not among them. The blocks, and what is in them, have no order.
    """
    encoder = encoder_of(project)
    if encoder is None:
        return
    some = "" if ids is None else "AND c.id = ANY (%(ids)s)"
    given: Mapping[str, Any] = {"project": project.pk, "encoder": encoder.pk, "ids": list(ids or ())}
    halves = f"halfvec({encoder.dimension})"
    columns = {"id": "int8", "prompt": halves, "a": halves, "b": halves}
    for rows in loading.blocks(TEXTS + some, columns, given):
        yield Embedded(rows["id"], rows["prompt"], rows["a"], rows["b"])


def missing(project: Project) -> int:
    """How many comparisons the project's encoder has no vector of yet."""
    there = project.comparisons.exclude(status="withdrawn")
    encoder = encoder_of(project)
    done = ComparisonVector.objects.filter(comparison__in=there, encoder=encoder).count() if encoder else 0
    return there.count() - done

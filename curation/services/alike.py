"""What embeddings tell a router: how alike the two completions are, how new a comparison is, and how far judges agreed
with people on similar ones. Comparisons without vectors, and projects without an encoder, simply lack it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from django.db import connection

from curation.routing import neighbours
from tiebreak.accounts.models import Project

from . import retrieving

MOST: Final = 2_000  # verified comparisons that others are held against, the latest
NEAR: Final = 8
# What people stand behind (gold, or settled by their votes), with the share of judges that said the same.
VERIFIED: Final = """
WITH latest AS (
  SELECT id, gold FROM annotate_comparison c
  WHERE project_id = %(project)s AND status <> 'withdrawn' AND (gold <> 0 OR status = 'settled')
  ORDER BY id DESC LIMIT %(most)s
), vote AS (
  SELECT j.comparison_id, r.kind, sign(sum(j.preference)::float8) AS side
  FROM annotate_judgement j JOIN annotate_rater r ON r.id = j.rater_id
  WHERE j.comparison_id IN (SELECT id FROM latest) AND j.current AND j.preference IS NOT NULL
  GROUP BY j.comparison_id, j.rater_id, r.kind
), said AS (
  SELECT l.id, coalesce(sign(nullif(l.gold, 0)), (
    SELECT sign(sum(side)) FROM vote v WHERE v.comparison_id = l.id AND v.kind = 'annotator' HAVING count(*) > 1
  )) AS side FROM latest l
)
SELECT s.id, avg((v.side = s.side)::int)
FROM said s LEFT JOIN vote v ON v.comparison_id = s.id AND v.kind = 'judge' WHERE s.side <> 0 GROUP BY 1
"""
Vectors = npt.NDArray[np.float32]


class Verified(NamedTuple):
    """M comparisons that people stand behind."""

    vectors: Vectors
    """[M, d]"""
    agreed: npt.NDArray[np.float64]
    """[M] share of the judges that said what people did; nan where none read it."""


class Alike(NamedTuple):
    """What is known of one comparison by its vectors."""

    similarity: float
    """Cosine of the two completions."""
    novelty: float | None
    trust: float | None


def verified(project: Project) -> Verified | None:
    """None where the project has no encoder; without rows where nothing is verified yet."""
    if retrieving.encoder_of(project) is None:
        return None
    with connection.cursor() as cursor:
        cursor.execute(VERIFIED, {"project": project.pk, "most": MOST})
        agreed = {pk: np.nan if share is None else float(share) for pk, share in cursor.fetchall()}
    blocks = list(retrieving.embedded(project, list(agreed))) if agreed else []
    ids = [pk for block in blocks for pk in block.comparison.tolist()]
    vectors = np.concatenate([_vectors(block) for block in blocks]) if ids else np.zeros((0, 0), dtype=np.float32)
    return Verified(vectors, np.array([agreed[pk] for pk in ids]))


def alike(project: Project, known: Verified | None, ids: Sequence[int]) -> dict[int, Alike]:
    """Of those that have vectors."""
    found: dict[int, Alike] = {}
    for block in retrieving.embedded(project, ids) if known is not None and ids else ():
        a, b = block.a.astype(np.float32), block.b.astype(np.float32)
        similarity = np.clip((a * b).sum(axis=1) / np.maximum(_length(a) * _length(b), 1e-6), -1, 1)
        novelty, trust = _held_against(known, _vectors(block))
        found |= {
            pk: Alike(float(s), _number(n), _number(t))
            for pk, s, n, t in zip(block.comparison.tolist(), similarity, novelty, trust, strict=True)
        }
    return found


def _held_against(known: Verified | None, vectors: Vectors) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """[n] novelty and trust; nan where nothing is verified."""
    if known is None or not len(known.vectors):
        return np.full(len(vectors), np.nan), np.full(len(vectors), np.nan)
    near = neighbours.nearest(vectors, known.vectors, NEAR)
    return neighbours.novelty(near), neighbours.trust(near, known.agreed).mean


def _vectors(block: retrieving.Embedded) -> Vectors:
    """[n, 2d] of prompt and of both completions together: whichever of them is called a makes no difference."""
    mean = (block.a.astype(np.float32) + block.b.astype(np.float32)) / 2
    return np.concatenate([block.prompt.astype(np.float32), mean], axis=1)


def _length(vectors: Vectors) -> Vectors:
    length: Vectors = np.sqrt((vectors * vectors).sum(axis=1))
    return length


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)

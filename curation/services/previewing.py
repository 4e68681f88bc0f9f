"""What a recipe would do, before anything is built: counts by rule, and nothing is written."""

from __future__ import annotations

from collections import Counter
from typing import Final, NamedTuple

from annotate.models import Comparison
from curation.exports.following import count_dropped, follow
from curation.exports.recipe import Recipe
from curation.exports.rules import Dropped
from curation.exports.schema import SPLITS
from tiebreak.accounts.models import Project

from . import loading
from .evaluation_sets import contamination_of
from .material import Material
from .words import told

LIMIT: Final = 2_000
SAMPLED: Final = """
SELECT id::int8 FROM annotate_comparison WHERE project_id = %(project)s AND status <> 'withdrawn'
ORDER BY md5(external_id), id LIMIT %(limit)s
"""


class Outline(NamedTuple):
    """What a version by a recipe would hold. Of `looked_at` comparisons of `total`; all are exact where these equal."""

    total: int
    """Comparisons that are not withdrawn."""
    looked_at: int
    rows: int
    """With a chosen side."""
    undecided: dict[str, int]
    """{tie or both_bad: rows kept without a chosen side}."""
    splits: dict[str, int]
    """{split: rows with a chosen side}."""
    dropped: dict[str, int]
    """{rule: comparisons}, every rule in the order in which they are applied."""
    changed: dict[str, int]
    """{rule: rows that it altered}."""
    method: str
    """By which the consensus was made, where the recipe leaves it to the data."""
    because: str

    @property
    def exact(self) -> bool:
        return self.looked_at == self.total


def outline(project: Project, recipe: Recipe, *, limit: int = LIMIT) -> Outline:
    """Follow the recipe over all comparisons, or over `limit` of them drawn by a hash of their ids: always the same.

    Of a sample, consensus and rules across rows know the sample alone: duplicates are then fewer than there are.
    Raises Invalid, naming the field, where the recipe could not be built here.
    """
    total = Comparison.objects.filter(project=project).exclude(status=Comparison.Status.WITHDRAWN).count()
    ids = None
    if total > limit:
        ids = loading.read(SAMPLED, {"id": "int8"}, {"project": project.pk, "limit": limit})["id"].tolist()
    with told():
        material = Material(project, recipe, ids=ids)
        splits, undecided, changed = Counter(dict.fromkeys(SPLITS, 0)), Counter[str](), Counter[str]()
        drops: list[Dropped] = []
        contamination = contamination_of(project, recipe)
        for made in follow(recipe, material.candidates(), contamination=contamination):
            if isinstance(made, Dropped):
                drops.append(made)
                continue
            changed.update(made.changes.keys())
            if "undecided" in made.row:
                undecided[made.row["undecided"]] += 1
            else:
                splits[made.row["split"]] += 1
    return Outline(
        total=total,
        looked_at=material.count(),
        rows=splits.total(),
        undecided=dict(undecided),
        splits=dict(splits),
        dropped=count_dropped(drops),
        changed=dict(changed),
        method=material.fitted.method,
        because=material.fitted.because,
    )

"""What a recipe would do, before anything is built: counts by rule, and nothing is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from django.conf import settings

from annotate.models import Comparison
from curation.exports.following import Spool, count_dropped, follow
from curation.exports.recipe import Recipe
from curation.exports.rules import Dropped
from curation.exports.schema import SPLITS
from tiebreak.accounts.models import Project
from tiebreak.accounts.roles import Can
from tiebreak.core.errors import NotAllowed
from tiebreak.runs import ledger
from tiebreak.runs.ledger import Execution
from tiebreak.runs.models import Run

from . import loading
from .evaluation_sets import contamination_of
from .material import Material
from .spooling import FileSpool
from .words import told

KIND: Final = "outline"
LIMIT: Final = 2_000
EVERY: Final = 2**62
SHOWN: Final = 3
"""Examples of what each rule drops."""
SAMPLED: Final = """
SELECT id::int8 FROM annotate_comparison WHERE project_id = %(project)s AND status <> 'withdrawn'
ORDER BY md5(external_id), id LIMIT %(limit)s
"""


Example = tuple[int, str, str]
"""A comparison's id here, its external id, and why a rule drops it."""


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
    examples: dict[str, list[Example]]
    """{rule: the first few that it drops}."""

    @property
    def exact(self) -> bool:
        return self.looked_at == self.total


def outline(
    project: Project,
    recipe: Recipe,
    *,
    limit: int | None = None,
    said: Callable[[int], None] = lambda done: None,
    spool: Spool | None = None,
) -> Outline:
    """Follow the recipe over all comparisons, or over `limit` of them, drawn by a hash of their ids: always the same.
    `said` is told how many were looked at; `spool` is where kept rows wait, if not in memory.

    Of a sample, consensus and rules across rows know the sample alone: duplicates are then fewer than there are.
    Raises Invalid, naming the field, where the recipe could not be built here.
    """
    limit = LIMIT if limit is None else limit
    total = Comparison.objects.filter(project=project).exclude(status=Comparison.Status.WITHDRAWN).count()
    ids = None
    if total > limit:
        ids = loading.read(SAMPLED, {"id": "int8"}, {"project": project.pk, "limit": limit})["id"].tolist()
    with told():
        material = Material(project, recipe, ids=ids)
        splits, undecided, changed = Counter[str](dict.fromkeys(SPLITS, 0)), Counter[str](), Counter[str]()
        drops, examples = count_dropped(()), dict[str, list[Example]]()
        contamination = contamination_of(project, recipe)
        for made in follow(recipe, material.candidates(said), contamination=contamination, spool=spool):
            if isinstance(made, Dropped):
                drops[made.rule] += 1
                if drops[made.rule] <= SHOWN:
                    examples.setdefault(made.rule, []).append((made.origin.comparison, made.id, made.cause))
                continue
            changed.update(made.changes.keys())
            state = made.row.get("undecided")
            if state:
                undecided[str(state)] += 1
            else:
                splits[made.row["split"]] += 1
    return Outline(
        total=total,
        looked_at=material.count(),
        rows=splits.total(),
        undecided=dict(undecided),
        splits=dict(splits),
        dropped=drops,
        changed=dict(changed),
        method=material.fitted.method,
        because=material.fitted.because,
        examples=examples,
    )


def start(project: Project, recipe: Recipe, *, by: Any, name: str = "") -> Run:
    """Queue a run that counts over all comparisons; `name` is the dataset that is meant. Raises NotAllowed."""
    if by is not None and not project.allows(by, Can.CURATE):
        raise NotAllowed("Your role does not allow you to start a count.", code="role_too_small")
    return ledger.start(KIND, project=project, params={"recipe": recipe.to_dict(), "name": name}, by=by)


def run(execution: Execution) -> Mapping[str, Any]:
    """Params: recipe, name. The result is an `Outline` of all comparisons, which `counted` reads."""
    project = execution.run.project
    assert project is not None  # noqa: S101 - it was started for one
    recipe = Recipe.from_dict(execution.params["recipe"])
    execution.progress(0, note="making the consensus")
    with FileSpool(settings.ENV.data_dir / "spool") as spool:
        made = outline(project, recipe, limit=EVERY, said=lambda done: execution.progress(done), spool=spool)
    return made._asdict()


def counted(project: Project, recipe: Recipe) -> tuple[Run | None, Outline | None]:
    """The latest run that counts by just this recipe, and what it found once it has succeeded."""
    runs = Run.objects.filter(project=project, kind=KIND, params__recipe=recipe.to_dict())
    last = runs.exclude(status__in=[Run.Status.FAILED, Run.Status.CANCELLED]).order_by("-pk").first()
    return last, Outline(**last.result) if last and last.status == Run.Status.SUCCEEDED else None

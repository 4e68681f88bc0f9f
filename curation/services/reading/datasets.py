"""Datasets, their versions, and what each version left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.db.models import Prefetch

from curation.exports.recipe import Change
from curation.exports.schema import SPLITS
from curation.models import (
    Dataset,
    DatasetVersion,
    DroppedRow,
    RewardModel,
    VersionFile,
    VersionNote,
    VersionTag,
    VersionWork,
)
from curation.services import budgeting
from tiebreak.accounts.models import Project

from .differences import before_each
from .lineage import Cost, cost_of
from .paging import Cursor, Page, page_of


@dataclass(frozen=True, slots=True)
class DatasetLine:
    dataset: Dataset
    versions: int
    latest: DatasetVersion | None
    """The last version that is ready."""

    @property
    def rows(self) -> int | None:
        return sum(self.latest.counts.values()) if self.latest else None


@dataclass(frozen=True, slots=True)
class VersionPage:
    version: DatasetVersion
    splits: Sequence[tuple[str, int, int | None]]
    """(split, rows, change since the previous version or None)."""
    dropped: Sequence[tuple[str, int, int | None]]
    """(rule, comparisons, change)."""
    files: Sequence[VersionFile]
    previous: DatasetVersion | None
    models: Sequence[RewardModel]
    tags: Sequence[VersionTag]
    known_tags: Sequence[str]
    """Of the dataset, on whatever version."""
    notes: Sequence[VersionNote]
    work: Sequence[VersionWork]
    """What its rows rest on, by what their raters saw; nothing where that was not counted when it was built."""
    cost: Cost | None

    @property
    def rows(self) -> int:
        return sum(n for _, n, _ in self.splits)

    @property
    def pairs(self) -> list[tuple[str, list[str]]]:
        """(split, names of its files) of what training reads: every file of it, and none of rows without a side."""
        names = [(file.split, file.name) for file in self.files if not file.undecided]
        told = [(split, [name for of, name in names if of == split]) for split in SPLITS if split != "test"]
        return [(split, found) for split, found in told if found]


def datasets(project: Project) -> list[DatasetLine]:
    """Two queries."""
    lines = []
    light = Prefetch("versions", DatasetVersion.objects.defer("card", "statistics"))
    for dataset in Dataset.objects.filter(project=project).prefetch_related(light):
        versions = sorted(dataset.versions.all(), key=lambda v: -v.number)
        ready = [v for v in versions if v.status == DatasetVersion.Status.READY]
        lines.append(DatasetLine(dataset, len(versions), ready[0] if ready else None))
    return lines


@dataclass(frozen=True, slots=True)
class VersionLine:
    """A version in the list of its dataset."""

    version: DatasetVersion
    tags: Sequence[str]
    recipe: Sequence[Change] | None
    """Where its recipe differs from that of the version before it; None for the first."""
    undecided: int
    """Rows without a chosen side, which `counts` leaves out."""


def dataset(project: Project, name: str) -> tuple[Dataset, Sequence[VersionLine]] | None:
    """A dataset with its versions, newest first (four queries), or None."""
    found = Dataset.objects.filter(project=project, name=name).first()
    if found is None:
        return None
    versions = found.versions.select_related("run", "created_by").prefetch_related("tags", "files")
    newest_first = list(versions.defer("card", "statistics").order_by("-number"))
    changes = before_each(newest_first)
    return found, [_line(version, changes.get(version.pk)) for version in newest_first]


def _line(version: DatasetVersion, recipe: Sequence[Change] | None) -> VersionLine:
    undecided = sum(file.rows for file in version.files.all() if file.undecided)
    return VersionLine(version, [tag.name for tag in version.tags.all()], recipe, undecided)


def version(project: Project, name: str, number: int) -> DatasetVersion | None:
    """One query."""
    found = DatasetVersion.objects.select_related("dataset", "run", "aggregation", "created_by")
    return found.filter(dataset__project=project, dataset__name=name, number=number).first()


def version_page(version: DatasetVersion) -> VersionPage:
    """Eight queries."""
    work = list(version.work.select_related("form", "rubric").order_by("kind", "form", "rubric"))
    tags = list(VersionTag.objects.filter(dataset=version.dataset_id).select_related("by"))
    earlier = DatasetVersion.objects.filter(dataset=version.dataset_id, number__lt=version.number, status="ready")
    previous = earlier.order_by("-number").defer("card").first()
    return VersionPage(
        version=version,
        splits=_changes(version.counts, previous.counts if previous else None),
        dropped=_changes(version.dropped, previous.dropped if previous else None),
        files=list(version.files.select_related("artifact")),
        previous=previous,
        models=list(version.reward_models.all()),
        tags=[tag for tag in tags if tag.version_id == version.pk],
        known_tags=[tag.name for tag in tags],
        notes=list(version.notes.select_related("by")),
        work=work,
        cost=cost_of(work, budgeting.settings_of(version.dataset.project)) if work else None,
    )


def _changes(now: Mapping[str, int], before: Mapping[str, int] | None) -> list[tuple[str, int, int | None]]:
    names = sorted({*now, *(before or {})}, key=_place)
    return [(n, now.get(n, 0), now.get(n, 0) - before.get(n, 0) if before is not None else None) for n in names]


def _place(name: str) -> tuple[int, str]:
    """Splits in the order of their use, rules by name."""
    return (SPLITS.index(name) if name in SPLITS else len(SPLITS), name)


def dropped_rows(version: DatasetVersion, rule: str, cursor: Cursor) -> Page[DroppedRow]:
    """Two queries."""
    found = DroppedRow.objects.filter(version=version).select_related("comparison")
    return page_of(found.filter(rule=rule) if rule else found, cursor, make=lambda row: row)

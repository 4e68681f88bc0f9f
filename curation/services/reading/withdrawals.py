"""What was taken back in a project, with what it did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from django.db.models import Count, Q

from curation.models import DatasetVersion, RewardModel, Tombstone, Withdrawal
from tiebreak.accounts.models import Project

from .paging import Cursor, Page, page_of

SIZE = 20


class Touched(NamedTuple):
    version: DatasetVersion
    changed: int
    """Rows that lost votes."""
    gone: int
    """Rows that went."""


@dataclass(frozen=True, slots=True)
class Line:
    withdrawal: Withdrawal
    versions: list[Touched] = field(default_factory=list)
    models: list[RewardModel] = field(default_factory=list)
    """Trained on those versions: they may have seen it."""

    @property
    def pk(self) -> int:
        return self.withdrawal.pk

    @property
    def what(self) -> str:
        """The name that the person has since, or the comparison's own id."""
        if self.withdrawal.rater is not None:
            return self.withdrawal.rater.name
        return self.withdrawal.comparison.external_id if self.withdrawal.comparison else ""


def withdrawals(project: Project, cursor: Cursor) -> Page[Line]:
    """The last first (five queries)."""
    found = Withdrawal.objects.filter(project=project)
    shown = found.select_related("rater", "comparison", "by", "run")
    page = page_of(found, cursor, make=Line, newest_first=True, size=SIZE, shown=shown)
    _fill(page.rows)
    return page


def _fill(lines: Sequence[Line]) -> None:
    by_pk = {line.pk: line for line in lines}
    stones = Tombstone.objects.filter(withdrawal__in=by_pk).order_by().values("withdrawal", "version")
    counted = list(stones.annotate(changed=Count("pk", filter=~Q(became="")), gone=Count("pk", filter=Q(became=""))))
    keys = {row["version"] for row in counted}
    versions = DatasetVersion.objects.select_related("dataset").in_bulk(keys)
    models = list(RewardModel.objects.filter(version__in=keys).order_by("name"))
    for row in sorted(counted, key=lambda row: row["version"]):
        line = by_pk[row["withdrawal"]]
        line.versions.append(Touched(versions[row["version"]], row["changed"], row["gone"]))
        line.models.extend(model for model in models if model.version_id == row["version"])

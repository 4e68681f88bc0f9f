"""The rows of a version in their order, page by page, with the few that stand out found by an index."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import F, QuerySet
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

from curation.exports.schema import SPLITS
from curation.models import DatasetRow, DatasetVersion

from .paging import COUNT_MOST, SIZE, Cursor, Page

VERDICTS: Final[Mapping[str, Promise]] = {
    DatasetRow.Verdict.CHOSEN: gettext_lazy("a side is chosen"),
    DatasetRow.Verdict.TIE: gettext_lazy("tie"),
    DatasetRow.Verdict.BOTH_BAD: gettext_lazy("both bad"),
}


@dataclass(frozen=True, slots=True)
class Filters:
    """Empty means any; what is not known is any, too."""

    split: str = ""
    verdict: str = ""
    changed: bool = False

    @classmethod
    def of(cls, query: Mapping[str, Any]) -> Filters:
        split, verdict = query.get("split", ""), query.get("verdict", "")
        return cls(
            split=split if split in SPLITS else "",
            verdict=verdict if verdict in VERDICTS else "",
            changed=bool(query.get("changed")),
        )


@dataclass(frozen=True, slots=True)
class RowLine:
    position: int
    external_id: str | None
    """None where its comparison has been deleted since."""
    split: str
    verdict: str
    side: str
    probability: float
    n_annotators: int
    n_judges: int
    changes: Sequence[str]
    """The rules that altered it."""


def rows(version: DatasetVersion, filters: Filters, cursor: Cursor) -> Page[RowLine]:
    """One page, by position (two queries, each in an index)."""
    found = _filtered(version, filters)
    known = len(found.order_by().values_list("pk")[: COUNT_MOST + 1])
    back = cursor.before is not None
    edge = cursor.before if back else cursor.after
    if edge is not None:
        found = found.filter(**{"position__lt" if back else "position__gt": edge})
    ordered = found.order_by("-position" if back else "position").values(
        "position", "split", "verdict", "side", "probability", "n_annotators", "n_judges",
        external_id=F("comparison__external_id"), changes=F("lineage__changes"),
    )[: SIZE + 1]  # fmt: skip
    lines = [RowLine(**row | {"changes": sorted(row["changes"] or ())}) for row in ordered]
    further, lines = len(lines) > SIZE, lines[:SIZE][:: -1 if back else 1]
    behind, ahead = (True, further) if back else (further, cursor.after is not None)
    return Page(
        rows=lines,
        previous=lines[0].position if lines and ahead else None,
        next=lines[-1].position if lines and behind else None,
        count=min(known, COUNT_MOST),
        more=known > COUNT_MOST,
    )


def _filtered(version: DatasetVersion, filters: Filters) -> QuerySet[DatasetRow]:
    found = DatasetRow.objects.filter(version=version)
    if filters.split:
        found = found.filter(split=filters.split)
    if filters.verdict:
        found = found.filter(verdict=filters.verdict)
    return found.filter(lineage__has_key="changes") if filters.changed else found

"""Pages of a list by the id that they start at: the last page is as fast as the first, and rows may come meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from django.db.models import QuerySet

T = TypeVar("T")
SIZE: Final = 50
COUNT_MOST: Final = 10_000


@dataclass(frozen=True, slots=True)
class Cursor:
    """Rows behind `after`, or those ahead of `before`, in the list's own order; neither: its start."""

    after: int | None = None
    before: int | None = None


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    rows: Sequence[T]
    previous: int | None
    """The id to put in `before`; None on the first page."""
    next: int | None
    """The id to put in `after`; None on the last page."""
    count: int
    more: bool
    """There are more than `count`: nobody waits for the exact number of a long list."""


def page_of(
    found: QuerySet[Any],
    cursor: Cursor,
    *,
    make: Callable[[Any], T],
    newest_first: bool = False,
    size: int = SIZE,
    shown: QuerySet[Any] | None = None,
) -> Page[T]:
    """One page of a queryset in the order of its ids (two or three queries). `make` turns items with `pk` into records.

    The ids are found first, as many as are counted: where that is all of them, nothing is looked for again. Where it is
    not, they are many, and so the page's own are near each other. `shown` reads what is shown of them: joins that would
    be in the way of finding.
    """
    known = list(found.order_by().values_list("pk", flat=True)[: COUNT_MOST + 1])
    more = len(known) > COUNT_MOST
    backwards = cursor.before is not None
    descending = newest_first != backwards
    edge = cursor.before if backwards else cursor.after
    if more:
        beyond = found if edge is None else found.filter(**{"pk__lt" if descending else "pk__gt": edge})
        ordered = beyond.order_by("-pk" if descending else "pk").values_list("pk", flat=True)
        ids = list(ordered[: size + 1])
    else:
        ids = _behind(known, edge, descending=descending)[: size + 1]
    further = len(ids) > size
    ids = ids[:size][::-1] if backwards else ids[:size]
    rows = (found if shown is None else shown).filter(pk__in=ids).order_by("-pk" if newest_first else "pk")
    items = list(rows) if ids else []
    behind, ahead = (True, further) if backwards else (further, cursor.after is not None)
    return Page(
        rows=[make(item) for item in items],
        previous=_pk(items[0]) if items and ahead else None,
        next=_pk(items[-1]) if items and behind else None,
        count=COUNT_MOST if more else len(known),
        more=more,
    )


def _behind(ids: list[int], edge: int | None, *, descending: bool) -> list[int]:
    """The ids beyond an edge, in order."""
    beyond = [pk for pk in ids if edge is None or (pk < edge if descending else pk > edge)]
    return sorted(beyond, reverse=descending)


def _pk(item: Any) -> int:
    return int(item["pk"] if isinstance(item, dict) else item.pk)

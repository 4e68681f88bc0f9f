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
    found: QuerySet[Any], cursor: Cursor, *, make: Callable[[Any], T], newest_first: bool = False, size: int = SIZE
) -> Page[T]:
    """One page of a queryset in the order of its ids (two queries). `make` turns its items, with `pk`, into records."""
    backwards = cursor.before is not None
    descending = newest_first != backwards
    edge = cursor.before if backwards else cursor.after
    rows = found.order_by("-pk" if descending else "pk")
    if edge is not None:
        rows = rows.filter(**{"pk__lt" if descending else "pk__gt": edge})
    items = list(rows[: size + 1])
    further = len(items) > size
    items = items[:size][::-1] if backwards else items[:size]
    behind, ahead = (True, further) if backwards else (further, cursor.after is not None)
    count = found.order_by()[: COUNT_MOST + 1].count()
    return Page(
        rows=[make(item) for item in items],
        previous=_pk(items[0]) if items and ahead else None,
        next=_pk(items[-1]) if items and behind else None,
        count=min(count, COUNT_MOST),
        more=count > COUNT_MOST,
    )


def _pk(item: Any) -> int:
    return int(item["pk"] if isinstance(item, dict) else item.pk)

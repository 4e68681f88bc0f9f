"""The rows of a version as the lines that they are kept as: which of them a reader asks for, read in blocks.

A block is read to its end, by COPY, before its lines are handed on. So nothing is open in the database while a client
is slow, other queries may go between, little time goes into single rows, and memory holds one block: as many rows as
begin within a megabyte.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import groupby, islice
from operator import itemgetter
from typing import Final

import orjson
from django.db.models import Exists, F, Min, OuterRef, Q, QuerySet, Window
from django.db.models.functions import Coalesce

from curation.models import DatasetRow, DatasetVersion, Tombstone

from . import loading

BLOCK_ROWS: Final = 512
BLOCK_BYTES: Final = 1 << 20
PROMPTS: Final = 256  # told together, as lists
CHOSEN: Final = DatasetRow.Verdict.CHOSEN
_PROMPT: Final = Coalesce(F("comparison__prompt"), -1 - F("position"))  # a comparison that has gone stands alone
# The rows that begin in a block's room: the lengths are known without reading the lines.
_BLOCK: Final = """
SELECT position, line FROM (
    SELECT *, sum(octet_length(line)) OVER (ORDER BY position ROWS UNBOUNDED PRECEDING) - octet_length(line) AS before
    FROM ({rows}) AS rest
) AS told WHERE before < {most} ORDER BY position
"""


@dataclass(frozen=True, slots=True)
class Asked:
    """Which rows of a version: of one split or of all, with those of no side or without, all or the news alone."""

    version: DatasetVersion
    split: str | None = None
    verdicts: tuple[str, ...] = (CHOSEN,)
    """Pairs, and the rows without a chosen side of the kinds that were asked for."""
    since: DatasetVersion | None = None
    """Only what a copy of this version, asked for in the same way, lacks or has otherwise."""

    def rows(self) -> QuerySet[DatasetRow]:
        """In the order of the version."""
        found = self.scope(self.version)
        return found.filter(self._news()) if self.since else found

    def scope(self, version: DatasetVersion) -> QuerySet[DatasetRow]:
        """The same split and verdicts of any version."""
        found = DatasetRow.objects.filter(version=version, verdict__in=self.verdicts).order_by("position")
        return found if self.split is None else found.filter(split=self.split)

    def _news(self) -> Q:
        """Not in the copy with these bytes; or altered there by a withdrawal since, which the copy may not know."""
        known = self.scope(self.since).filter(comparison=OuterRef("comparison"))  # type: ignore[arg-type]
        altered = Tombstone.objects.filter(version=self.since, position=OuterRef("position"))
        return ~Q(Exists(known.filter(~Exists(altered), sha256=OuterRef("sha256"))))

    def left_out(self) -> int:
        """Rows of the split without a chosen side that were not asked for, or cannot be told."""
        others = tuple(set(DatasetRow.Verdict.values) - set(self.verdicts))
        return replace(self, verdicts=others, since=None).rows().count()

    def removed(self) -> Iterator[tuple[str, bool]]:
        """(id, whether it was withdrawn) of what a copy of `since` holds and must not hold any more."""
        if self.since is None:
            return
        there = self.scope(self.version).filter(comparison=OuterRef("comparison"))
        gone = self.scope(self.since).filter(~Exists(there))
        named = gone.values_list(F("comparison__external_id"), "line")
        for external_id, line in named.iterator(chunk_size=BLOCK_ROWS):
            yield external_id or _id_of(line), False
        taken = replace(self, version=self.since).withdrawn()
        for external_id in taken.values_list("external_id", flat=True).iterator():
            yield external_id, True

    def withdrawn(self) -> QuerySet[Tombstone]:
        """What stands for the rows that were taken out whole."""
        return self._stones(self.version).filter(became="")

    def state(self) -> str:
        """Changes when what is read changes: with a withdrawal, and with nothing else."""
        asked = f"{self.version.rows_sha256} {self.split} {self.verdicts} {self._stones(self.version).count()}"
        earlier = f" {self.since.rows_sha256} {self._stones(self.since).count()}" if self.since else ""
        return asked + earlier

    def _stones(self, version: DatasetVersion) -> QuerySet[Tombstone]:
        found = Tombstone.objects.filter(version=version, verdict__in=self.verdicts)
        return found if self.split is None else found.filter(split=self.split)


def blocks(asked: Asked, *, skip: int = 0) -> Iterator[bytes]:
    """Lines with their ends, a block at a time, after the first `skip` of them."""
    rows = asked.rows()
    begin = rows.values_list("position", flat=True)[skip : skip + 1].first() if skip else 0
    while begin is not None:
        found = _block(rows.filter(position__gte=begin))
        if found:
            yield b"\n".join([*(line for _, line in found), b""])
        begin = found[-1][0] + 1 if found else None


def _block(rows: QuerySet[DatasetRow]) -> list[tuple[int, bytes]]:
    """The first of them by their positions, each with its line. In COPY's binary form, a text is its bytes in UTF-8."""
    sql, params = rows.values_list("position", "line")[:BLOCK_ROWS].query.sql_with_params()
    with loading.copied(_BLOCK.format(rows=sql, most=BLOCK_BYTES), params) as copy:
        copy.set_types(["int4", "bytea"])
        return list(copy.rows())


def count_groups(asked: Asked) -> int:
    """How many prompts, each counted once a split."""
    return asked.rows().values(prompt=_PROMPT, in_split=F("split")).order_by().distinct().count()


def groups(asked: Asked, *, skip: int = 0) -> Iterator[list[str]]:
    """The lines of one prompt in one split together, by the first of each, after the first `skip` prompts.

    Holds two numbers a row beside the block.
    """
    first = Window(Min("position"), partition_by=[_PROMPT, F("split")])
    ordered = asked.rows().annotate(first=first).order_by("first", "position").values_list("first", "position")
    firsts, positions = array("q"), array("q")
    for one, position in ordered.iterator(chunk_size=BLOCK_ROWS):
        firsts.append(one)
        positions.append(position)
    together = (list(members) for _, members in groupby(zip(firsts, positions, strict=True), itemgetter(0)))
    asked_for = islice(([position for _, position in members] for members in together), skip, None)
    while some := list(islice(asked_for, PROMPTS)):
        found = DatasetRow.objects.filter(version=asked.version, position__in=[p for group in some for p in group])
        lines = dict(found.values_list("position", "line"))
        yield from ([lines[p] for p in group if p in lines] for group in some)


def _id_of(line: str) -> str:
    return str(orjson.loads(line)["id"])

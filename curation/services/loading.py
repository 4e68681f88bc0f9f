"""From tables to arrays: the loaders that bring judgements to the pure statistics, millions of them at a time.

Rows are read by COPY in PostgreSQL's binary format: columns of a fixed width that are never null have one layout, which
numpy reads as it stands. No Python object is made for a row.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
from django.db import connection

from annotate.models import Adjudication, Rater
from curation.stats import Pairs, Votes
from tiebreak.accounts.models import Project

Ints = npt.NDArray[np.int64]
Record = np.ndarray[tuple[int], np.dtype[np.void]]

HEADER: Final = 11 + 4 + 4  # signature, flags, length of the extension (none)
BLOCK: Final = 1 << 24  # bytes of rows that are turned into an array at once
NOTHING: Final = -128  # a preference that was not given
WIDTHS: Final[Mapping[str, str]] = {"int8": ">i8", "int4": ">i4", "int2": ">i2", "float8": ">f8"}


@contextmanager
def copied(query: str, params: Any = None) -> Iterator[Any]:
    """The COPY of a SELECT in its binary form, on psycopg's own cursor: Django's takes no parameters where it logs."""
    statement = f"COPY ({query}) TO STDOUT (FORMAT BINARY)"
    with connection.wrap_database_errors, connection.cursor() as cursor, cursor.cursor.copy(statement, params) as copy:
        yield copy


def blocks(query: str, columns: Mapping[str, str], params: Mapping[str, Any] | None = None) -> Iterator[Record]:
    """The rows of a SELECT as structured arrays of some 16 MB, in the machine's byte order.

    ``columns`` names each column's type, one of WIDTHS or, for a vector of d halves, ``halfvec(d)``. The SELECT casts
    to these types and gives no nulls; where it does, ValueError.
    """
    wire = _layout(columns)
    plain = np.dtype([(name, wire[name].newbyteorder("=")) for name in columns])
    with copied(query, params) as copy:
        kept, size, first = list[bytes](), 0, True
        for data in copy:
            kept.append(bytes(data))
            size += len(data)
            if size >= BLOCK:
                raw = b"".join(kept)[HEADER if first else 0 :]
                whole = len(raw) // wire.itemsize * wire.itemsize
                yield _rows(raw[:whole], wire, plain)
                kept, size, first = [raw[whole:]], len(raw) - whole, False
    raw = b"".join(kept)[HEADER if first else 0 :]
    if raw[-2:] != b"\xff\xff":
        raise ValueError("query", "rows of the named columns, none of them null", f"a tail of {len(raw)} bytes")
    yield _rows(raw[:-2], wire, plain)


def read(query: str, columns: Mapping[str, str], params: Mapping[str, Any] | None = None) -> Record:
    """All of `blocks` as one array."""
    return np.concatenate(list(blocks(query, columns, params)))


def write(cursor: Any, table: str, columns: Mapping[str, str], arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Arrays of shape [n] as the rows of a new temporary table, which the transaction's end drops."""
    wire = _layout(columns)
    rows = np.zeros(len(next(iter(arrays.values()))), dtype=wire)
    rows["#"] = len(columns)
    for name in columns:
        rows[name], rows[f"#{name}"] = arrays[name], wire[name].itemsize
    named = ", ".join(f"{name} {kind} NOT NULL" for name, kind in columns.items())
    cursor.execute(f"CREATE TEMPORARY TABLE {table} ({named}) ON COMMIT DROP")
    with cursor.copy(f"COPY {table} FROM STDIN (FORMAT BINARY)") as copy:
        copy.write(b"PGCOPY\n\xff\r\n\0" + bytes(8))
        for start in range(0, len(rows), 100_000):
            copy.write(rows[start : start + 100_000].tobytes())
        copy.write(b"\xff\xff")


def _layout(columns: Mapping[str, str]) -> np.dtype[np.void]:
    """A row on the wire: the number of columns, then each column's length and bytes."""
    fields: list[tuple[Any, ...]] = [("#", ">i2")]
    for name, kind in columns.items():
        fields.append((f"#{name}", ">i4"))
        if kind.startswith("halfvec("):
            fields += [(f"#d{name}", ">i2"), (f"#u{name}", ">i2"), (name, ">f2", (int(kind[8:-1]),))]
        else:
            fields.append((name, WIDTHS[kind]))
    return np.dtype(fields)


def _rows(raw: bytes, wire: np.dtype[np.void], plain: np.dtype[np.void]) -> Record:
    if len(raw) % wire.itemsize:
        raise ValueError("query", "rows of the named columns, none of them null", f"{len(raw)} bytes")
    found = np.frombuffer(raw, dtype=wire)
    names = plain.names or ()
    if (found["#"] != len(names)).any():
        raise ValueError("query", f"{len(names)} columns of fixed width, none of them null", found["#"][:1].tolist())
    rows = np.empty(len(found), dtype=plain)
    for name in names:
        rows[name] = found[name]
    return rows


class Judgements(NamedTuple):
    """All current judgements of a project, n readings, as arrays of shape [n], by comparison, rater and reading."""

    comparison: Ints
    rater: Ints
    preference: npt.NDArray[np.float64]
    """nan where the rater said only "both bad" or could not be read."""
    a_first: npt.NDArray[np.int8]
    """1: a was shown first; 0: b was; -1: not known."""
    both_bad: npt.NDArray[np.bool_]
    id: Ints
    """The judgement's own."""
    sha256: str
    """Of what was said, by whom and of what: the same judgements give the same hash, whatever their own ids."""

    def only(self, kept: npt.NDArray[np.bool_] | Ints) -> Judgements:
        """Those of the mask [n], or at these places in their order; the hash stays that of all."""
        columns = ("comparison", "rater", "preference", "a_first", "both_bad", "id")
        return self._replace(**{name: getattr(self, name)[kept] for name in columns})

    def votes(self, raters: Ints | None = None, *, muted: Sequence[int] = ()) -> Votes:
        """One vote of a rater on a comparison: a judge's readings in both orders are their mean.

        Comparisons and raters are numbered by their ids. Of some raters only, and without those that are muted.
        """
        keep = ~np.isnan(self.preference)
        if raters is not None:
            keep &= np.isin(self.rater, raters)
        if muted:
            keep &= ~np.isin(self.rater, muted)
        return combined(self.comparison[keep], self.rater[keep], self.preference[keep], self.a_first[keep])


def combined(
    comparison: Ints, rater: Ints, preference: npt.NDArray[np.float64], a_first: npt.NDArray[np.int8]
) -> Votes:
    """Readings [n], sorted by comparison and rater, as votes: `curation.stats.combine_readings` on arrays."""
    changes = (np.diff(comparison) != 0) | (np.diff(rater) != 0)
    starts = np.flatnonzero(np.concatenate([np.ones(min(1, len(comparison)), dtype=bool), changes]))
    if not len(starts):
        return Votes.from_rows([])
    counts = np.diff(np.append(starts, len(comparison)))
    comparisons, place = np.unique(comparison[starts], return_inverse=True)
    raters, who = np.unique(rater[starts], return_inverse=True)
    least, most = np.minimum.reduceat(a_first, starts), np.maximum.reduceat(a_first, starts)
    return Votes.from_arrays(
        place,
        who,
        np.add.reduceat(preference, starts) / counts,
        a_first=np.where(least == most, most, -1).astype(np.int8),
        comparisons=tuple(comparisons.tolist()),
        raters=tuple(raters.tolist()),
    )


SAID: Final = """
SELECT j.id, j.comparison_id AS comparison, j.rater_id AS rater, coalesce({preference}, -128)::int2,
       (CASE j."order" WHEN 'ab' THEN 1 WHEN 'ba' THEN 0 ELSE -1 END)::int2, j.both_bad::int::int2, j.repeat::int2
FROM annotate_judgement AS j JOIN annotate_comparison AS c ON c.id = j.comparison_id
WHERE j.current AND c.project_id = %(project)s AND c.status <> 'withdrawn'
"""
COLUMNS: Final = {
    "id": "int8", "comparison": "int8", "rater": "int8", "preference": "int2", "a_first": "int2", "both_bad": "int2",
    "repeat": "int2",
}  # fmt: skip


IN_ASPECT: Final = "(j.aspects ->> %(aspect)s)::numeric"


def judgements_of(project: Project, ids: Sequence[int] | None = None, *, aspect: str | None = None) -> Judgements:
    """Every current judgement of the comparisons that are not withdrawn, or of those of the given ids only.

    With an aspect, of those alone that judge it, and their preference is the one in that aspect.
    """
    params: dict[str, Any] = {"project": project.pk}
    query = SAID.format(preference=IN_ASPECT if aspect else "j.preference")
    if ids is not None:
        params["ids"], query = list(ids), query + "AND j.comparison_id = ANY (%(ids)s)"
    if aspect:
        params["aspect"], query = aspect, query + "AND jsonb_exists(j.aspects, %(aspect)s)"
    rows = read(query, COLUMNS, params)
    rows = rows[np.lexsort((rows["repeat"], rows["rater"], rows["comparison"]))]
    preference = rows["preference"].astype(np.float64)
    preference[rows["preference"] == NOTHING] = np.nan
    return Judgements(
        np.ascontiguousarray(rows["comparison"]),
        np.ascontiguousarray(rows["rater"]),
        preference,
        rows["a_first"].astype(np.int8),
        rows["both_bad"].astype(bool),
        np.ascontiguousarray(rows["id"]),
        _digest(rows),
    )


def _digest(rows: Record) -> str:
    """SHA-256 over each column's name and little-endian values in turn, the judgement's own id aside."""
    digest = hashlib.sha256(struct.pack("<q", len(rows)))
    for name, kind in COLUMNS.items():
        if name != "id":
            digest.update(name.encode())
            digest.update(np.ascontiguousarray(rows[name], dtype=WIDTHS[kind].replace(">", "<")).data)
    return digest.hexdigest()


PAIRS: Final = """
SELECT id, completion_a_id, completion_b_id FROM annotate_comparison
WHERE project_id = %(project)s AND status <> 'withdrawn'
"""


def pairs_of(project: Project, comparisons: Ints) -> Pairs | None:
    """The two completions of each comparison [C], coded from 0; None where one of these was withdrawn meanwhile."""
    rows = read(PAIRS, {"id": "int8", "a": "int8", "b": "int8"}, {"project": project.pk})
    rows = rows[np.argsort(rows["id"])]
    place = np.searchsorted(rows["id"], comparisons)
    if not len(comparisons) or place.max() >= len(rows) or (rows["id"][place] != comparisons).any():
        return None
    items, codes = np.unique(np.concatenate([rows["a"][place], rows["b"][place]]), return_inverse=True)
    return Pairs(codes[: len(comparisons)], codes[len(comparisons) :], len(items))


def decisions_of(project: Project, ids: Sequence[int] | None = None) -> dict[int, Adjudication]:
    """What adjudicators decided and stands, by comparison; of those that are not withdrawn."""
    rows = Adjudication.objects.filter(comparison__project=project, current=True).select_related("by", "rater__user")
    if ids is not None:
        rows = rows.filter(comparison__in=ids)
    return {row.comparison_id: row for row in rows.exclude(comparison__status="withdrawn")}


def certain(decision: Adjudication) -> tuple[float, float, float]:
    """A decision as probabilities of a, tie and b. Both bad without a side prefers neither."""
    side = (decision.preference or 0) + 0
    return float(side < 0), float(side == 0), float(side > 0)


def raters_of(project: Project, kind: str) -> Ints:
    """Ids of a project's raters of one kind."""
    ids = Rater.objects.filter(project=project, kind=kind).values_list("pk", flat=True)
    return np.fromiter(ids, dtype=np.int64)

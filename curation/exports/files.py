"""Rows as bytes: NDJSON lines, Parquet in row groups, and the digest that both share."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Final

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from curation.exports.schema import SCHEMA, normalise

ROW_GROUP_ROWS: Final = 4096


def ndjson_line(row: Mapping[str, Any]) -> bytes:
    """One row as a line of JSON in UTF-8, keys in the row's own order: equal rows have equal bytes."""
    return json.dumps(row, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode() + b"\n"


def wire_line(record: Mapping[str, Any]) -> bytes:
    """A record of a format as a line, by a faster writer than `ndjson_line`: the same bytes but for numbers nearer to 0
    than 0.0001 or beyond 1e16, whose exponent it writes shorter. Native lines are never written again, only copied.
    """
    return orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)


class RowsDigest:
    """SHA-256 of native rows in their order, whatever file they are read from: add rows, then ask for `hexdigest`."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self.n = 0

    def add(self, row: Mapping[str, Any]) -> None:
        self._hash.update(ndjson_line(normalise(row)))
        self.n += 1

    def hexdigest(self) -> str:
        return self._hash.hexdigest()


class Chain:
    """SHA-256 over the rows' own hashes in their order.

    A row that is withdrawn leaves its hash behind, so that this stays provable where the digest of all bytes is not.
    """

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def add(self, sha256: str) -> None:
        self._hash.update(bytes.fromhex(sha256))

    def hexdigest(self) -> str:
        return self._hash.hexdigest()


def chain(hashes: Iterable[str]) -> str:
    """See `Chain`; `hashes` are hexadecimal."""
    links = Chain()
    for sha256 in hashes:
        links.add(sha256)
    return links.hexdigest()


def rows_digest(rows: Iterable[Mapping[str, Any]]) -> str:
    """SHA-256 (hex) of native rows in their order; see `RowsDigest`."""
    digest = RowsDigest()
    for row in rows:
        digest.add(row)
    return digest.hexdigest()


def write_parquet(
    path: Path | str | Any,
    rows: Iterable[Mapping[str, Any]],
    *,
    schema: pa.Schema = SCHEMA,
    row_group_rows: int = ROW_GROUP_ROWS,
) -> int:
    """Write rows as zstd Parquet, holding one row group at a time; returns their number. No rows: an empty table.

    `path` may be what is open for writing, too.
    """
    if row_group_rows < 1:
        raise ValueError("row_group_rows", "1 or more", row_group_rows)
    written = 0
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for block in _blocks(rows, row_group_rows):
            writer.write_table(pa.Table.from_pylist(block, schema=schema))
            written += len(block)
    return written


def read_parquet(path: Path | str, *, batch_rows: int = ROW_GROUP_ROWS) -> Iterator[dict[str, Any]]:
    """Rows of a Parquet file, holding one batch at a time."""
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=batch_rows):
            yield from batch.to_pylist()


def write_ndjson(path: Path | str, rows: Iterable[Mapping[str, Any]]) -> int:
    """Write rows as lines of JSON; returns their number."""
    written = 0
    with Path(path).open("wb") as file:
        for row in rows:
            file.write(ndjson_line(row))
            written += 1
    return written


def _blocks(rows: Iterable[Mapping[str, Any]], size: int) -> Iterator[list[Mapping[str, Any]]]:
    iterator = iter(rows)
    while block := list(islice(iterator, size)):
        yield block

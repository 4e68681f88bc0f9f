"""Writing a version that is being built: rows and drops into the database by COPY, rows into typed Parquet files."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Final, Self

import numpy as np
import pyarrow as pa
import pyarrow.json as pj
import pyarrow.parquet as pq
from django.conf import settings
from django.db import connection, transaction

from annotate.services.copying import insert
from curation.exports.files import ROW_GROUP_ROWS, Chain, ndjson_line
from curation.exports.following import Made
from curation.exports.recipe import Recipe
from curation.exports.rules import Dropped
from curation.exports.schema import SCHEMA, SPLITS, UNDECIDED_SCHEMA, Native, Split
from curation.models import DatasetRow, DatasetVersion, DroppedRow, VersionFile
from tiebreak.runs import store
from tiebreak.runs.ledger import Execution
from tiebreak.runs.models import Artifact

BATCH: Final = 2_000
BLOCK_BYTES: Final = 1 << 27  # of rows that are held at once, however long they are; Arrow reads no 2 GB in one piece
TOLD: Final = 10_000  # rows of which the planner is told at once: it reads a large version wrongly until it is
CAUSE: Final = 300  # characters of a cause that are kept
PARQUET: Final = "application/vnd.apache.parquet"


class Writer:
    """Give it rows and drops; `end` stores what is left and names the files. Everything lands under the run's fence."""

    def __init__(self, execution: Execution, version: DatasetVersion, recipe: Recipe, n: int) -> None:
        self.execution, self.version = execution, version
        self.digest, self.chain = hashlib.sha256(), Chain()
        self.counts: Counter[str] = Counter(dict.fromkeys(SPLITS, 0))
        self.undecided: dict[str, Counter[str]] = {}
        self.dropped: Counter[str] = Counter()
        self.changed: Counter[str] = Counter()
        self.kept = np.zeros(n, dtype=bool)
        """[n] comparisons with a row, by their place in the material."""
        self.position = 0
        undecided = (False, True) if "keep" in (recipe.ties, recipe.both_bad) else (False,)
        self._parts = {(split, which): _Parts(split, which) for which in undecided for split in SPLITS}
        self._rows: list[dict[str, Any]] = []
        self._bytes = 0
        self._drops: list[dict[str, Any]] = []

    def add(self, made: Made) -> None:
        row, line = made.row, ndjson_line(made.row)
        sha256 = hashlib.sha256(line)
        self.digest.update(line)
        self.chain.add(sha256.hexdigest())
        self.changed.update(made.changes.keys())
        self.kept[made.origin.place] = True
        self._count(row)
        self._parts[row["split"], "undecided" in row].add(line)
        self._rows.append(
            {
                "version_id": self.version.pk,
                "position": self.position,
                "comparison_id": made.origin.comparison,
                "split": row["split"],
                "verdict": row.get("undecided", "chosen"),
                "side": row.get("chosen_side", ""),
                "probability": row["probability"],
                "n_annotators": row["n_annotators"],
                "n_judges": row["n_judges"],
                "line": line[:-1].decode(),
                "sha256": sha256.hexdigest(),
                "lineage": made.origin.lineage | ({"changes": made.changes} if made.changes else {}),
            }
        )
        self.position += 1
        self._bytes += len(line)
        self._store_full()

    def drop(self, dropped: Dropped) -> None:
        self.dropped[dropped.rule] += 1
        comparison = dropped.origin.comparison
        self._drops.append(
            {
                "version_id": self.version.pk,
                "comparison_id": comparison,
                "rule": dropped.rule,
                "cause": dropped.cause[:CAUSE],
            }
        )
        self._store_full()

    def end(self) -> None:
        """The last rows, and the files under their names."""
        self._store()
        if self.position >= TOLD:
            with connection.cursor() as cursor:
                cursor.execute("ANALYZE curation_datasetrow")
        with transaction.atomic():
            self.execution.fence()
            for parts in self._parts.values():
                for name, rows, artifact in parts.end():
                    VersionFile.objects.create(
                        version=self.version,
                        name=name,
                        split=parts.split,
                        undecided=parts.undecided,
                        rows=rows,
                        artifact=artifact,
                    )
                    self.execution.keep(artifact, name)

    def _count(self, row: Native) -> None:
        if "undecided" in row:
            self.undecided.setdefault(row["split"], Counter())[row["undecided"]] += 1
        else:
            self.counts[row["split"]] += 1

    def _store_full(self) -> None:
        if len(self._rows) + len(self._drops) >= BATCH or self._bytes >= BLOCK_BYTES:
            self._store()

    def _store(self) -> None:
        with transaction.atomic():
            self.execution.fence()
            insert(DatasetRow, self._rows)
            insert(DroppedRow, self._drops)
        self._rows.clear()
        self._drops.clear()
        self._bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with ExitStack() as stack:
            for parts in self._parts.values():
                stack.callback(parts.leave, kind, error, at)


class _Parts:
    """The files of one kind of row: one, or several where a file would have more rows than settings.ROWS_PER_FILE."""

    def __init__(self, split: Split, undecided: bool) -> None:
        self.split, self.undecided = split, undecided
        self.schema = UNDECIDED_SCHEMA if undecided else SCHEMA
        self._stem = f"{split}.undecided" if undecided else split
        self._done: list[tuple[int, Artifact]] = []
        self._block: list[bytes] = []
        self._bytes = self._rows = 0
        self._open: ExitStack | None = None
        self._incoming: store.Incoming
        self._writer: Any

    def add(self, line: bytes) -> None:
        self._block.append(line)
        self._bytes += len(line)
        if self._rows + len(self._block) == settings.ROWS_PER_FILE:
            self._close()
        elif len(self._block) == ROW_GROUP_ROWS or self._bytes >= BLOCK_BYTES:
            self._write()

    def end(self) -> list[tuple[str, int, Artifact]]:
        """Name, rows and artifact of each file; an empty one where there are no rows."""
        if self._block or self._rows or not self._done:
            self._close()
        of = len(self._done)
        names = (
            [f"{self._stem}.parquet"]
            if of == 1
            else [f"{self._stem}-{i:05}-of-{of:05}.parquet" for i in range(1, of + 1)]
        )
        return [(name, rows, artifact) for name, (rows, artifact) in zip(names, self._done, strict=True)]

    def leave(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Forget what is not complete: nothing of it is left behind. Raises Unavailable where the disk was full."""
        stack, self._open = self._open, None
        if stack is not None:
            stack.__exit__(kind, error, at)

    def _write(self) -> None:
        if self._open is None:
            with ExitStack() as stack:
                self._incoming = stack.enter_context(store.writing(PARQUET))
                self._writer = stack.enter_context(
                    pq.ParquetWriter(self._incoming.file, self.schema, compression="zstd")
                )
                self._open = stack.pop_all()
        self._writer.write_table(table(self._block, self.schema))
        self._rows += len(self._block)
        self._block.clear()
        self._bytes = 0

    def _close(self) -> None:
        self._write()
        stack, self._open = self._open, None
        if stack is not None:
            stack.close()
        self._done.append((self._rows, self._incoming.artifact))
        self._rows = 0


def table(lines: Sequence[bytes], schema: pa.Schema) -> pa.Table:
    """Native lines as a typed table: read by Arrow itself, five times as fast as from Python's objects."""
    if not lines:
        return schema.empty_table()
    data = b"".join(lines)
    read = pj.read_json(
        pa.BufferReader(data),
        read_options=pj.ReadOptions(use_threads=False, block_size=len(data) + 1),
        parse_options=pj.ParseOptions(explicit_schema=schema, unexpected_field_behavior="error"),
    )
    return read.select(schema.names).cast(schema)


def reasons(dropped: Mapping[str, int]) -> str:
    """What dropped how many, the most first."""
    return ", ".join(f"{rule} {n}" for rule, n in Counter(dropped).most_common()) or "nothing"

"""Pushing rows into a project: batches under an Idempotency-Key, each waited for, what was refused written down.

Lines go by the batch, so that a broken connection costs one, and a file of any size takes the memory of one. What has
no lines (Parquet, a JSON list) and what has a header (CSV) goes as a whole.
"""

from __future__ import annotations

import gzip
import io
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Any, Final, cast
from uuid import uuid4

from tiebreak.gunzip import FileError, Gunzip

from .errors import ClientError
from .progress import bar
from .wire import Wire

BATCH_ROWS: Final = 10_000
BATCH_BYTES: Final = 8 * 1024 * 1024
LONGEST_LINE: Final = 16 * 1024 * 1024  # what the server reads of one
MOST_REJECTS: Final = 64 * 1024 * 1024  # bytes of the file of refused rows, as on the server
FIGURES: Final = ("created", "updated", "unchanged", "rejected", "judgements_created", "judgements_revised")
PATIENCE: Final = 120.0  # seconds that a run may wait for a worker
CSV: Final = "text/csv"
LINES: Final = "application/x-ndjson"


@dataclass
class Batch:
    """Lines to be sent together, and how many stood before them."""

    before: int
    lines: list[bytes] = field(default_factory=list)
    size: int = 0
    too_long: list[int] = field(default_factory=list)  # their numbers in the file

    def add(self, number: int, line: bytes) -> None:
        if len(line) > LONGEST_LINE:
            self.too_long.append(number)
            line = b"\n"  # an empty line is no row, and keeps the numbers of those after it
        self.lines.append(line)
        self.size += len(line)

    @property
    def is_full(self) -> bool:
        return len(self.lines) >= BATCH_ROWS or self.size >= BATCH_BYTES


def push(
    wire: Wire,
    project: str,
    file: Path,
    *,
    format: str = "rows",
    rejects: Path | None = None,
    patience: float = PATIENCE,
    show: bool = False,
) -> dict[str, Any]:
    """Import a file's rows. Returns the figures of all batches, and where the refused rows were written.

    Raises ClientError: no such file or project, a scope that is too small, no worker that takes the run, a gzip that
    grows out of proportion. Batches that are in stay in: pushing the same file again leaves them unchanged.
    """
    kept = _Rejects(rejects or file.with_name(f"{file.name}.rejects.jsonl"))
    total: Counter[str] = Counter(dict.fromkeys(FIGURES, 0))
    runs = []
    params = {"format": format, "source": _source(file)}
    try:
        size = file.stat().st_size
        with file.open("rb") as opened, kept, bar(file.name, size, unit="B", show=show) as tick:
            sent = 0
            for batch, body, kind in _bodies(opened, file):
                run = _send(wire, project, body, kind=kind, params=params)
                done = _wait(wire, run, patience=patience)
                runs.append(int(done["id"]))
                for name in FIGURES:
                    total[name] += int(done["result"].get(name, 0))
                total["rejected"] += len(batch.too_long)
                kept.take(wire, done, batch)
                tick(opened.tell() - sent)
                sent = opened.tell()
    except FileError as error:
        told = f"{file}: {error}. {taken(total):,} rows before that are in."
        raise ClientError(told, code="cannot_read", **total) from error
    except OSError as error:
        where = error.filename or file
        raise ClientError(f"{where}: {error.strerror or error}.", code="cannot_read") from error
    if not runs:
        raise ClientError(f"{file} holds no rows.", code="no_rows")
    where_to = str(kept.path) if kept.written else None
    return {"project": project, "runs": runs, **total, "rejects": where_to, "rejects_left_out": kept.left_out}


def taken(figures: Mapping[str, Any]) -> int:
    """Rows that are in, be it from before."""
    return int(figures["created"] + figures["updated"] + figures["unchanged"])


def _source(file: Path) -> str:
    """Names the rater of preferences that come without one, as a file that is imported on the server does."""
    return file.name.split(".")[0]


def _bodies(opened: IO[bytes], file: Path) -> Iterator[tuple[Batch, Callable[[], Any], str]]:
    """Each body to be sent, as a function that makes it anew, and its type."""
    csv = ".csv" in [suffix.lower() for suffix in file.suffixes]
    if csv or not _has_lines(opened):

        def whole() -> IO[bytes]:
            opened.seek(0)
            return opened

        yield Batch(0), whole, CSV if csv else LINES
        return
    for batch in batches(_plain(opened)):
        yield batch, partial(gzip.compress, b"".join(batch.lines), compresslevel=1, mtime=0), LINES


def _plain(opened: IO[bytes]) -> IO[bytes]:
    """The file from its start, unzipped where it is zipped, in measure."""
    opened.seek(0)
    head = opened.read(2)
    opened.seek(0)
    return cast(IO[bytes], io.BufferedReader(Gunzip(opened), 1 << 18)) if head == b"\x1f\x8b" else opened


def _has_lines(opened: IO[bytes]) -> bool:
    """Told by the first bytes, as the server does: Parquet has none, and a JSON list is read as a whole."""
    begun = _plain(opened).read(64).removeprefix(b"\xef\xbb\xbf").lstrip()
    return not begun.startswith((b"PAR1", b"["))


def batches(stream: IO[bytes]) -> Iterator[Batch]:
    """Lines by the batch; the rest of a line that is too long is passed over in pieces."""
    batch, number = Batch(0), 0
    while line := stream.readline(LONGEST_LINE + 1):
        number += 1
        batch.add(number, line if line.endswith(b"\n") else line + b"\n")
        while len(line) > LONGEST_LINE and not line.endswith(b"\n") and (line := stream.readline(LONGEST_LINE + 1)):
            pass
        if batch.is_full:
            yield batch
            batch = Batch(number)
    if batch.lines:
        yield batch


def _send(wire: Wire, project: str, body: Callable[[], Any], *, kind: str, params: dict[str, str]) -> dict[str, Any]:
    """Start the run. The key makes a batch that was taken, but whose answer was lost, one run."""
    headers = {"Content-Type": kind}
    if isinstance(body(), bytes):  # a whole file goes without: it may be longer than what is kept by a key
        headers["Idempotency-Key"] = str(uuid4())
    run: dict[str, Any] = wire.read(
        wire.post(f"/api/v1/projects/{project}/imports/", body, headers=headers, params=params)
    )
    return run


def _wait(wire: Wire, run: dict[str, Any], *, patience: float) -> dict[str, Any]:
    """The run once it has succeeded. Raises ClientError where it has not, or where no worker takes it."""
    since, pause = time.monotonic(), 0.1
    while run["status"] in ("queued", "running"):
        if run["status"] == "queued" and time.monotonic() - since > patience:
            raise ClientError(
                f"Run {run['id']} has waited for {patience:.0f} seconds and no worker has taken it; the rows are kept "
                "and go in as soon as one runs. On the server, manage.py doctor says what is missing.",
                code="no_worker",
                run=run["id"],
            )
        wire.sleep(pause)
        pause = min(2.0, pause * 1.5)
        run = wire.json(f"/api/v1/runs/{run['id']}/")
    if run["status"] != "succeeded":
        why = (run.get("error") or {}).get("message", "no reason given")
        raise ClientError(f"Run {run['id']} is {run['status']}: {why}", code="import_failed", run=run["id"])
    return run


class _Rejects(ExitStack):
    """The rows that were not taken, with the line of the whole file that each stood on; no file where there is none.

    `left_out` counts those that are in no file, here or on the server: it has grown enough.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path, self.written, self.size, self.left_out = path, 0, 0, 0
        self.file: IO[bytes] | None = None

    def take(self, wire: Wire, run: dict[str, Any], batch: Batch) -> None:
        for number in batch.too_long:
            message = f"expected at most {LONGEST_LINE:,} bytes, got more"
            self._write({"line": number, "field": "line", "message": message})
        self.left_out += int(run["result"].get("rejects_left_out", 0))
        if any(kept["name"] == "rejects.jsonl" for kept in run.get("artifacts", [])):
            for line in wire.get(f"/api/v1/runs/{run['id']}/rejects/").content.splitlines():
                reject = json.loads(line)
                self._write({**reject, "line": reject["line"] + batch.before})

    def _write(self, reject: dict[str, Any]) -> None:
        line = json.dumps(reject).encode() + b"\n"
        self.size += len(line)
        if self.size > MOST_REJECTS:
            self.left_out += 1
            return
        if self.file is None:
            self.file = self.enter_context(self.path.open("wb"))
        self.file.write(line)
        self.written += 1

"""Importing: rows of a file become prompts, completions, comparisons and judgements; in bulk, and never twice.

Every batch is one transaction under the run's lease. An import that was killed, or a file that is sent again, finds
what is there by the ids and hashes of its rows and goes on: nothing is doubled.
"""

from __future__ import annotations

import gc
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from typing import IO, Any, Final

from django.db import transaction

from annotate import formats
from annotate.formats import Row, RowError, reading
from annotate.models import Form
from tiebreak.accounts.models import Project
from tiebreak.accounts.roles import Can
from tiebreak.core.errors import Conflict, Invalid, NotAllowed
from tiebreak.core.models import record
from tiebreak.runs import ledger, store
from tiebreak.runs.models import Artifact, Run

from . import images, lanes
from .projects import current_form, most_levels
from .storing import Written, write

BATCH: Final = 4000
BATCH_BYTES: Final = 16 * 1024 * 1024
SELDOM: Final = 200_000  # objects made between two looks for cycles among the young
TOLD: Final = 20  # rejects that the report itself shows; the rejects file has more
REJECTS: Final = "rejects.jsonl"
MOST_REJECTS: Final = 64 * 1024 * 1024  # bytes of that file: a small file may unfold to any number of rows


@dataclass(frozen=True)
class Reject:
    """A row that was not taken: its line, the field to blame, why, and the row itself, cut."""

    line: int
    field: str
    message: str
    row: str


@dataclass
class Report:
    """What an import did, in rows (a record with many completions makes many) and judgements."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    rejected: int = 0
    judgements_created: int = 0
    judgements_revised: int = 0
    first_rejects: list[dict[str, Any]] = field(default_factory=list)

    def add(self, written: Written) -> None:
        self.created += written.created
        self.updated += written.updated
        self.unchanged += written.unchanged
        self.judgements_created += written.judgements_created
        self.judgements_revised += written.judgements_revised

    def reject(self, reject: Reject) -> None:
        self.rejected += 1
        if len(self.first_rejects) < TOLD:
            self.first_rejects.append({"line": reject.line, "field": reject.field, "message": reject.message})


@dataclass(frozen=True)
class Numbered:
    """A row with the line that it stands on, and the record for the rejects file."""

    line: int
    row: Row
    value: Any
    size: int


@dataclass
class Batch:
    """Rows to be written together, what was refused among them, and the line that was read last."""

    rows: list[Numbered] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    last: int = 0


def import_stream(
    project: Project,
    file: IO[bytes],
    *,
    format: str = formats.DEFAULT,
    by: Any = None,
    filename: str = "",
    execution: ledger.Execution | None = None,
    rejects: Callable[[Reject], object] | None = None,
) -> Report:
    """Import a seekable file. Batches are committed one by one; `rejects` is told of every row that was not taken.

    Raises Invalid for an unknown format and for a file that cannot be read on: what came before is in.
    """
    parser, levels = parser_of(format), most_levels(project)
    report, last = Report(), 0

    def refuse(reject: Reject) -> None:
        report.reject(reject)
        if rejects is not None:
            rejects(reject)

    def tell() -> None:
        if execution:
            execution.progress(last, total, note=f"{report.created + report.updated:,} rows written")

    total = reading.count_lines(file, filename) if execution else None
    rows = _rows(_records(file, filename), parser, reading.source_of(filename), levels)
    with _collecting_seldom():
        for batch in _ahead(_batches(rows)):
            last = batch.last
            for reject in batch.rejects:
                refuse(reject)
            if batch.rows:
                with transaction.atomic():
                    if execution:
                        execution.fence()
                    written = write(project, [n.row for n in batch.rows], run=execution.run if execution else None)
                    images.find(project, images.texts_of(n.row for n in batch.rows))
                report.add(written)
                for position, error in written.rejected:
                    refuse(_reject(batch.rows[position].line, error, reading.shown(batch.rows[position].value)))
            tell()
    tell()
    _mix(project, execution, by=by)
    record("import.finished", execution.run if execution else project, by=by, project=project, **_counts(report))
    return report


@contextmanager
def _collecting_seldom() -> Iterator[None]:
    """Look for garbage in cycles seldom: rows make none, and looking takes a fifth of the time."""
    before = gc.get_threshold()
    gc.set_threshold(SELDOM, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _mix(project: Project, execution: ledger.Execution | None, *, by: Any) -> None:
    """Where the form mixes strata, find them anew with what came in: thirds of a number are thirds of all.

    Also where nothing came in: an import that was stopped before this goes on with rows that are all known by now.
    """
    form = current_form(project)
    if form.ordering != Form.Ordering.MIXED or not form.mix_by:
        return
    with transaction.atomic():
        if execution:
            execution.fence()
        lanes.rearrange(project, by=by)


def _records(file: IO[bytes], filename: str) -> Iterator[reading.Record]:
    records = reading.read(file, filename)
    while True:
        try:
            yield next(records)
        except StopIteration:
            return
        except reading.FileError as error:
            raise Invalid(f"{filename or 'The file'}: {error}. What came before is in.", code="file_broken") from error


def _rows(
    records: Iterable[reading.Record], parser: formats.Parser, source: str, levels: int
) -> Iterator[Numbered | Reject]:
    """The rows that can be taken, and why the others cannot."""
    stood: dict[int, int] = {}  # the line on which each id stood first, about 100 bytes a row
    for entry in records:
        try:
            if isinstance(entry.value, RowError):
                raise entry.value
            made = parser(entry.value, source)
            for row in made:
                _check_levels(row, levels)
                row.content_sha256  # noqa: B018 - here, where it is made while the batch before is written
        except RowError as error:
            yield _reject(entry.line, error, entry.raw or reading.shown(entry.value))
            continue
        for row in made:
            first = stood.setdefault(formats.bits(row.id), entry.line)
            if first != entry.line:
                twice = RowError("id", f"{row.id!r} stands on line {first} already; line {entry.line} was not taken")
                yield _reject(entry.line, twice, reading.shown(entry.value))
            else:
                yield Numbered(entry.line, row, entry.value, entry.size)


def _batches(rows: Iterable[Numbered | Reject]) -> Iterator[Batch]:
    """Rows by the thousand, or fewer where they are long: what is in memory at once stays small.

    Where the file breaks off, what came before it is a batch still.
    """
    batch, size = Batch(), 0
    try:
        for row in rows:
            batch.last = row.line
            if isinstance(row, Reject):
                batch.rejects.append(row)
            else:
                batch.rows.append(row)
                size += row.size
            if len(batch.rows) + len(batch.rejects) >= BATCH or size >= BATCH_BYTES:
                yield batch
                batch, size = Batch(), 0
    except Invalid:
        if batch.last:
            yield batch
        raise
    if batch.last:
        yield batch


def _ahead(batches: Iterator[Batch]) -> Iterator[Batch]:
    """The same, each read in a thread of its own while the one before it is written."""
    with ThreadPoolExecutor(1, "reading") as reader:
        coming = reader.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = reader.submit(next, batches, None)
            yield batch


def _check_levels(row: Row, levels: int) -> None:
    """A strength that no form of the project offered would read as certainty that nobody expressed."""
    for where, value in _strengths(row):
        if value is not None and abs(value) > levels:
            raise RowError(where, f"expected {-levels} to {levels}, the project's levels, got {value}")


def _strengths(row: Row) -> Iterator[tuple[str, int | None]]:
    """(field, what it says)"""
    yield "gold", row.gold
    for n, judgement in enumerate(row.judgements):
        at = f"judgements[{n}]"
        for place, said in ((at, judgement), *((f"{at}.revised[{k}]", old) for k, old in enumerate(judgement.revised))):
            yield f"{place}.preference", said.preference
            for name, value in (said.aspects or {}).items():
                yield f"{place}.{name}", value
    for n, decision in enumerate(row.adjudications):
        yield f"adjudications[{n}].preference", decision.preference


def _reject(line: int, error: RowError, row: str) -> Reject:
    return Reject(line, reading.cut(error.field, 200), reading.cut(error.message, 2000), row)


def _counts(report: Report) -> dict[str, int]:
    return {key: value for key, value in asdict(report).items() if isinstance(value, int)}


def parser_of(format: str) -> formats.Parser:
    """The parser of a format, or Invalid with the known ones."""
    try:
        return formats.parser_of(format)
    except ValueError as error:
        raise Invalid(f"{error}.", field="format", code="unknown_format") from None


def start_import(
    project: Project,
    file: IO[bytes],
    *,
    format: str = formats.DEFAULT,
    by: Any,
    filename: str = "",
    wake: bool = True,
) -> Run:
    """Keep the upload in the store and queue a run that imports it. `by` None is the machine's operator.

    Raises NotAllowed, Invalid for an unknown format, Unavailable where the disk is full: nothing is queued then.
    """
    if by is not None and not project.allows(by, Can.CURATE):
        raise NotAllowed("Your role does not allow you to import.", code="role_too_small")
    if project.archived_at is not None:
        raise Conflict(f"{project} is archived; nothing is added to it.", code="archived")
    parser_of(format)
    with store.writing("application/octet-stream") as incoming:
        shutil.copyfileobj(file, incoming.file, 1 << 20)
    named = filename.replace("\x00", "?").encode("utf-8", "replace").decode()[:200]  # a system's names may be any bytes
    params = {"artifact": incoming.artifact.sha256, "format": format, "filename": named}
    return ledger.start("import", project=project, params=params, by=by, wake=wake)


def run(execution: ledger.Execution) -> Mapping[str, Any]:
    """The handler of kind "import": imports the kept upload and keeps the rejects file with the run."""
    params, project = execution.params, execution.run.project
    if project is None:
        raise Invalid("An import belongs to a project.", field="project")
    artifact = Artifact.objects.get(sha256=params["artifact"])
    rejects, report, broken = _Rejects(), Report(), None
    with rejects, store.open_artifact(artifact) as file:
        try:
            report = import_stream(
                project,
                file,
                format=params["format"],
                filename=params["filename"],
                by=execution.run.created_by,
                execution=execution,
                rejects=rejects.write,
            )
        except Invalid as error:  # a file that breaks off: what came before is in, or in the rejects file
            broken = error
            with suppress(Invalid):  # too many strata: that may be what broke it
                _mix(project, execution, by=execution.run.created_by)
    if rejects.incoming:
        execution.keep(rejects.incoming.artifact, REJECTS)
    images.start_if_any(project, by=execution.run.created_by)
    if broken:
        raise broken
    return asdict(report) | {"rejects_left_out": rejects.left_out}


class _Rejects(ExitStack):
    """The rejects file, begun with the first reject: a clean import leaves none. What no longer fits is counted."""

    incoming: store.Incoming | None = None
    size = left_out = 0

    def write(self, reject: Reject) -> None:
        line = json.dumps(asdict(reject)).encode() + b"\n"
        self.size += len(line)
        if self.size > MOST_REJECTS:
            self.left_out += 1
            return
        if self.incoming is None:
            self.incoming = self.enter_context(store.writing("application/x-ndjson"))
        self.incoming.file.write(line)

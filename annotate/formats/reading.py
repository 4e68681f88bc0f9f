"""PURE: files as streams of records with their line numbers: JSON Lines, JSON lists, CSV, Parquet, gzipped or not.

Memory stays flat: a line, a cell, the growth of a gzip and the process that unpacks Parquet are all capped.
"""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import IO, Any, Final, NamedTuple, cast

from tiebreak.core.text import TextError, loads_strict
from tiebreak.gunzip import FileError as FileError
from tiebreak.gunzip import Gunzip

from .rows import RowError

MAX_LINE: Final = 16 * 1024 * 1024  # bytes
MAX_LIST: Final = 64 * 1024 * 1024  # bytes of a JSON list, which is in memory as a whole
MAX_MEMORY: Final = 1024 * 1024 * 1024  # bytes of the process that unpacks Parquet
UNPACK: Final = Path(__file__).with_name("unpack_parquet.py")
JSON_COLUMNS: Final = ("metadata", "judgements", "adjudications", "completions", "pairs")
NUMBER_COLUMNS: Final = ("gold",)
TEXT_COLUMNS: Final = ("completion_a", "completion_b", "chosen", "rejected")


class Record(NamedTuple):
    line: int
    value: Any  # the record, or the RowError that says why there is none
    raw: str  # what stood there, cut: for the rejects file
    size: int  # bytes that it takes, more or less


def source_of(filename: str) -> str:
    """The file's name without its folders and endings: names the rater of a preference that came without one."""
    name = PurePath(filename).name.split(".")[0][:200]
    return "".join(c for c in name if c.isprintable()) or "import"  # what no text column holds is not printable


def _is_csv(filename: str) -> bool:
    return ".csv" in PurePath(filename.lower()).suffixes


def read(file: IO[bytes], filename: str = "") -> Iterator[Record]:
    """Records of a seekable file. gzip, Parquet and JSON lists are told by their first bytes, CSV by the name."""
    head = file.read(4)
    file.seek(0)
    if head == b"PAR1":
        return _parquet(file)
    zipped = io.BufferedReader(Gunzip(file), 1 << 18) if head[:2] == b"\x1f\x8b" else None
    if _is_csv(filename):
        return _csv(_lines(zipped or file))
    return _json(zipped or file, zipped)


def count_lines(file: IO[bytes], filename: str = "") -> int | None:
    """Rows to come, for a progress bar; None where only reading them all would tell. Leaves the file at its start."""
    head = file.read(4)
    file.seek(0)
    if head == b"PAR1" or _is_csv(filename):
        return None
    stream = io.BufferedReader(Gunzip(file), 1 << 18) if head[:2] == b"\x1f\x8b" else file
    count, last = 0, b"\n"
    try:
        while chunk := stream.read(1 << 20):
            count += chunk.count(b"\n")
            last = chunk[-1:]
    except FileError:
        return None  # reading will say what is wrong, and where
    finally:
        file.seek(0)
    return count + (last != b"\n")


def _lines(stream: IO[bytes]) -> Iterator[tuple[int, bytes | RowError]]:
    """Numbered lines; one beyond MAX_LINE is passed over in pieces and becomes an error."""
    line = 0
    while data := stream.readline(MAX_LINE + 1):
        line += 1
        if line == 1:
            data = data.removeprefix(b"\xef\xbb\xbf")
        if len(data) <= MAX_LINE:
            yield line, data
            continue
        while data and not data.endswith(b"\n"):
            data = stream.readline(MAX_LINE)
        yield line, RowError("line", f"expected at most {MAX_LINE:,} bytes, got more")


def _json(stream: IO[bytes], zipped: io.BufferedReader[Gunzip] | None) -> Iterator[Record]:
    """Records of a list, or of lines: no record is a list."""
    begun = zipped.peek(64)[:64] if zipped else stream.read(64)
    if not zipped:
        stream.seek(0)
    is_list = begun.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"[")
    yield from _json_list(stream) if is_list else _json_lines(_lines(stream))


def _json_list(stream: IO[bytes]) -> Iterator[Record]:
    """The entries of one list, as tools write that export all at once; numbered in the place of lines."""
    data = stream.read(MAX_LIST + 1)
    if len(data) > MAX_LIST:
        raise FileError(f"a list of more than {MAX_LIST >> 20} MB is not read; write each entry on a line of its own")
    try:
        entries = loads_strict(data.removeprefix(b"\xef\xbb\xbf"), field="file")
    except TextError as error:
        raise FileError(f"expected {error.expected}, got {error.got}") from None
    size = len(data) // max(1, len(entries))
    for number, entry in enumerate(entries, 1):
        yield Record(number, entry, "", size)


def _json_lines(lines: Iterator[tuple[int, bytes | RowError]]) -> Iterator[Record]:
    for line, data in lines:
        if isinstance(data, RowError):
            yield Record(line, data, "", 0)
        elif data.strip():
            try:
                yield Record(line, loads_strict(data.rstrip(b"\r\n"), field="row"), "", len(data))
            except TextError as error:
                yield Record(line, RowError.of(error), cut(data[:4001].decode("utf-8", "backslashreplace"), 1000), 0)


def _csv(lines: Iterator[tuple[int, bytes | RowError]]) -> Iterator[Record]:
    """Rows under a header. Cells of lists and objects hold JSON; an empty cell is nothing, except in a completion."""
    csv.field_size_limit(MAX_LINE)
    broken: list[RowError] = []
    at = 0

    def decoded() -> Iterator[str]:
        nonlocal at
        for at, data in lines:
            if isinstance(data, RowError):
                broken.append(data)
                yield "\n"
                continue
            try:
                yield data.decode()
            except UnicodeDecodeError as error:
                found = f"byte 0x{data[error.start]:02x} at offset {error.start:,} of line {at:,}"
                broken.append(RowError("row", f"expected UTF-8, got {found}"))
                yield data.decode("utf-8", "replace")

    reader = csv.reader(decoded(), strict=True)
    header: list[str] | None = None
    while True:
        broken.clear()
        start = at + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Record(start, RowError("row", f"expected CSV, got {error}"), "", 0)
            continue
        raw = cut(",".join(cells), 1000)
        if broken and header is not None:
            yield Record(start, broken[0], raw, 0)
        elif header is None:
            header = _header(cells, broken)
        elif cells:
            yield Record(start, _cells(header, cells), raw, sum(map(len, cells)))


def _header(cells: list[str], broken: list[RowError]) -> list[str]:
    if broken:
        raise FileError(f"the header cannot be read: {broken[0].message}")
    if len(set(cells)) < len(cells):
        raise FileError(f"the header names a column twice: {', '.join(cells):.200}")
    return cells


def _cells(header: list[str], cells: list[str]) -> dict[str, Any] | RowError:
    if len(cells) != len(header):
        return RowError("row", f"expected {len(header)} cells as in the header, got {len(cells)}")
    try:
        return {column: _cell(column, cell) for column, cell in zip(header, cells, strict=True)}
    except TextError as error:
        return RowError.of(error)


def _cell(column: str, cell: str) -> Any:
    if cell == "":
        return "" if column in TEXT_COLUMNS else None
    if column in JSON_COLUMNS and cell != "all" and cell != "rank":
        return loads_strict(cell, field=column)
    if column in NUMBER_COLUMNS:
        try:
            return int(cell)
        except ValueError:
            return cell  # the row's parser says what it expected
    if cell.startswith("[") and (column == "prompt" or column in TEXT_COLUMNS):
        return _messages(cell)
    return cell


def _messages(cell: str) -> Any:
    """A JSON list of messages, or the text itself where it only begins like one."""
    try:
        value = loads_strict(cell)
    except TextError:
        return cell
    alike = isinstance(value, list) and value and all(isinstance(m, dict) and "role" in m for m in value)
    return value if alike else cell


def _parquet(file: IO[bytes]) -> Iterator[Record]:
    """Rows by way of a child process with a limit on its memory (see unpack_parquet)."""
    command = [sys.executable, "-I", str(UNPACK), str(MAX_MEMORY)]
    line = 0
    with _on_disk(file) as seekable, tempfile.TemporaryFile() as told:
        child = subprocess.Popen(command, stdin=seekable, stdout=subprocess.PIPE, stderr=told)  # noqa: S603 - our own
        try:
            for record in _json_lines(_lines(cast(IO[bytes], child.stdout))):
                line = record.line
                yield record
            if child.wait() != 0:
                told.seek(0)
                why = (told.read().decode(errors="replace").splitlines() or [f"status {child.returncode}"])[-1]
                raise FileError(f"the Parquet file cannot be read after row {line:,} ({why})")
        finally:
            child.kill()
            child.wait()
            cast(IO[bytes], child.stdout).close()


@contextmanager
def _on_disk(file: IO[bytes]) -> Iterator[IO[bytes]]:
    """The file itself where the system knows it, else a copy that it does."""
    try:
        file.fileno()
    except OSError:
        with tempfile.TemporaryFile() as copy:
            shutil.copyfileobj(file, copy)
            copy.flush()
            copy.seek(0)
            yield copy
    else:
        file.seek(0)
        yield file


def shown(value: Any, *, most: int = 4000) -> str:
    """A rejected record as text, cut, for the rejects file."""
    return cut(json.dumps(value, ensure_ascii=True, default=str), most)


def cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}… (cut)"

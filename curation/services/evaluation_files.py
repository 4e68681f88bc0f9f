"""Files of evaluation sets as texts. What is read is bounded: bombs are told by what comes out of them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO, Any, Final

from annotate.formats import RowError, reading
from curation.exports.words import fold
from tiebreak.core.errors import Invalid, TooLarge
from tiebreak.core.text import TextError, clean_text

MOST_SENT: Final = 256 << 20
"""Bytes of a file as it is sent."""
MOST_READ: Final = 512 << 20
"""Bytes of its records, with what is not looked at."""
FIELDS: Final = ("text", "prompt", "question", "instruction", "problem", "input", "query", "ctx", "content", "messages")
"""Where the texts of records are looked for, the first of these that the first record has, unless it is said where."""
LINES: Final = (".txt", ".text")


def texts(file: IO[bytes], field: str = "", filename: str = "") -> Iterator[str]:
    """The texts with a word in them: JSON Lines, a JSON list, CSV or Parquet, gzipped or not; of a file whose name ends
    in .txt each line.

    ``field`` names where the texts of a record are, several with commas between; each is a text of its own. A field may
    hold a text, a list of texts, or messages. Raises Invalid naming the line and the field, and TooLarge.
    """
    named = tuple(name.strip() for name in field.split(",") if name.strip())
    with _seekable(file) as whole:
        yield from _worded(_records(whole, filename), named)


def _worded(records: Iterator[reading.Record], fields: Sequence[str]) -> Iterator[str]:
    size = 0
    for record in records:
        size += record.size
        if size > MOST_READ:
            raise TooLarge(f"The records hold more than {MOST_READ >> 20} MB: keep the texts alone.")
        fields = fields or _guessed(record)
        for text in _of(record, fields):
            if fold(text).strip(b" \0"):
                yield text


def _records(file: IO[bytes], filename: str) -> Iterator[reading.Record]:
    if filename.lower().endswith(LINES):
        return _lines(file)
    return _told(reading.read(file, filename))


def _told(records: Iterator[reading.Record]) -> Iterator[reading.Record]:
    """The records, where the file can be read to its end."""
    try:
        yield from records
    except reading.FileError as error:
        raise Invalid(f"file: {error}.", field="file") from None


def _lines(file: IO[bytes]) -> Iterator[reading.Record]:
    number = 0
    while line := file.readline(reading.MAX_LINE + 1):
        number += 1
        if len(line) > reading.MAX_LINE:
            raise _wrong(number, "file", f"expected at most {reading.MAX_LINE:,} bytes a line")
        try:
            yield reading.Record(number, line.decode("utf-8-sig"), "", len(line))
        except UnicodeDecodeError as error:
            raise _wrong(number, "file", f"expected UTF-8, got byte 0x{line[error.start]:02x}") from None


def _guessed(record: reading.Record) -> Sequence[str]:
    """The field that is looked at in every record, by the first of them."""
    value = record.value
    if not isinstance(value, Mapping):
        return ()
    found = next((name for name in FIELDS if name in value), None)
    if found is None:
        there = ", ".join(map(str, list(value)[:20])) or "none"
        raise Invalid(f"field: expected the name of the field with the texts (there are: {there}).", field="field")
    return (found,)


def _of(record: reading.Record, fields: Sequence[str]) -> Iterator[str]:
    value = record.value
    if isinstance(value, RowError):
        raise _wrong(record.line, "file", str(value))
    if isinstance(value, str):
        yield _clean(value, record.line, "text")
        return
    if not isinstance(value, Mapping):
        raise _wrong(record.line, "file", f"expected a text or an object, got {type(value).__name__}")
    for name in fields:
        if name not in value:
            raise _wrong(record.line, "field", f"expected {name!r}, got {', '.join(map(str, list(value)[:20]))}")
        yield from _within(value[name], record.line, name)


def _within(value: Any, line: int, name: str) -> Iterator[str]:
    """A field's texts: itself, or those of its list, whose messages are told by their content."""
    for each in value if isinstance(value, list) else [value]:
        text = each.get("content", each.get("value")) if isinstance(each, Mapping) else each
        if text is not None:
            yield _clean(text, line, name)


def _clean(text: object, line: int, name: str) -> str:
    try:
        return clean_text(text, field=name)
    except TextError as error:
        raise _wrong(line, "file", str(error)) from None


def _wrong(line: int, field: str, message: str) -> Invalid:
    return Invalid(f"{field}: line {line:,}: {message}.", field=field, line=line)


@contextmanager
def _seekable(file: IO[bytes]) -> Iterator[IO[bytes]]:
    """The file where it can be read twice, as telling what it is takes a look at its first bytes. Raises TooLarge."""
    if hasattr(file, "seekable") and file.seekable():
        _refuse_large(file.seek(0, 2))
        file.seek(0)
        yield file
        return
    with tempfile.TemporaryFile() as whole:
        size = 0
        while chunk := file.read(1 << 20):
            size += whole.write(chunk)
            _refuse_large(size)
        whole.seek(0)
        yield whole


def _refuse_large(size: int) -> None:
    if size > MOST_SENT:
        raise TooLarge(f"At most {MOST_SENT >> 20} MB a file.")

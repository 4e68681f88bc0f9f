"""What the readers of other tools' files share: a record becomes a row of ours, and errors name its own fields."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from tiebreak.core.text import TextError, clean_json

from .rows import Row, RowError, bits, digest, parse


@contextmanager
def named(names: Mapping[str, str]) -> Iterator[None]:
    """Errors within name the record's own fields: `names` has our field, or the beginning of it → theirs."""
    try:
        yield
    except RowError as error:
        for ours, theirs in names.items():
            if error.field == ours or error.field.startswith((f"{ours}[", f"{ours}.")):
                raise RowError(theirs + error.field[len(ours) :], error.message) from None
        raise


def told(row: Mapping[str, Any], names: Mapping[str, str], source: str) -> list[Row]:
    """The comparisons of a row of ours that was made of another tool's record."""
    with named(names):
        return parse(dict(row), source)


def record_of(value: Any, *needed: str) -> Mapping[str, Any]:
    """The record, with the fields that tell its layout."""
    if not isinstance(value, Mapping):
        raise RowError("row", f"expected an object with {', '.join(needed)}, got {type(value).__name__}")
    for field in needed:
        if field not in value:
            raise RowError(
                field, f"expected a field {field}, got an object with {', '.join(map(str, value)) or 'none'}"[:200]
            )
    return value


def one_of(value: Any, known: Mapping[Any, Any], field: str) -> Any:
    """What a value of theirs means."""
    if not isinstance(value, str | int) or isinstance(value, bool) or value not in known:
        raise RowError(field, f"expected one of {', '.join(map(str, known))}, got {value!r:.60}")
    return known[value]


def key(record: Mapping[str, Any], *fields: str, of: Sequence[Any]) -> str:
    """The first of the fields that is there, as text; else a hash of what the record says. Raises RowError for texts
    that have none, as lone surrogates do."""
    for field in fields:
        own = record.get(field)
        if isinstance(own, str | int) and not isinstance(own, bool) and own != "":
            return str(own)
    try:
        return digest(clean_json(list(of), "row"))[:32]
    except TextError as error:
        raise RowError.of(error) from None


def gathered(record: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """Those fields of a record that are there, as metadata."""
    return {name: record[name] for name in names if record.get(name) not in (None, "")}


def swapped(key: str) -> bool:
    """Whether the better of two becomes b, where the file tells no sides: a model must not learn that a wins."""
    return bool(bits(f"side of {key}") & 1)

"""The one door through which text and JSON enter: refuse what cannot be stored, change nothing else.

PostgreSQL's text and jsonb take neither NUL nor lone surrogates, JSON has no NaN, and a deep document breaks
recursive readers. Everything that passes is returned exactly as it came: training text is evidence, so it is never
normalised and never stripped.
"""

import json
import math
import re
from collections.abc import Iterator
from typing import Any, Final

MAX_CHARS: Final = 1_000_000
MAX_DEPTH: Final = 64

_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")


class TextError(ValueError):
    """Text or JSON that cannot be accepted; says which field, what was expected and what was found where."""

    def __init__(self, field: str, expected: str, got: str) -> None:
        super().__init__(field, expected, got)
        self.field = field
        self.expected = expected
        self.got = got

    def __str__(self) -> str:
        return f"{self.field}: expected {self.expected}, got {self.got}"


def clean_text(value: object, *, field: str, max_chars: int = MAX_CHARS) -> str:
    """Return `value` unchanged if it is text that can be stored; raise TextError naming `field` otherwise.

    Refused: what is not a str, more than `max_chars` characters (code points), NUL, and lone surrogates.
    """
    if not isinstance(value, str):
        raise TextError(field, "text", _type_name(value))
    if len(value) > max_chars:
        raise TextError(field, f"at most {max_chars:,} characters", f"{len(value):,}")
    if found := _unstorable(value):
        raise TextError(field, "text that can be stored", f"{_describe(found[0])} at {_place(value, found.start())}")
    return value


def _unstorable(text: str) -> re.Match[str] | None:
    """What in a text cannot be stored. That it is ASCII throughout is known without looking; then only NUL cannot."""
    return None if text.isascii() and "\x00" not in text else _UNSTORABLE.search(text)


def clean_json(value: Any, field: str, *, max_depth: int = MAX_DEPTH, max_chars: int = MAX_CHARS) -> Any:
    """Return `value` unchanged if it is a JSON value that jsonb can store; raise TextError with its path otherwise.

    Every key and string passes `clean_text`; numbers must be finite; at most `max_depth` containers may be nested.
    """
    for path, item in _walk(value, field, max_depth):
        if isinstance(item, str):
            if len(item) > max_chars or _unstorable(item):
                clean_text(item, field=_written(path), max_chars=max_chars)
        elif isinstance(item, float) and not math.isfinite(item):
            raise TextError(_written(path), "a finite number", str(item))
        elif isinstance(item, dict):
            for key in item:
                clean_text(key, field=f"{_written(path)} (a key)", max_chars=max_chars)
        elif item is not None and not isinstance(item, list | bool | int | float):
            raise TextError(_written(path), "a JSON value", _type_name(item))
    return value


def loads_strict(data: bytes | bytearray | str, *, field: str = "JSON", max_depth: int = MAX_DEPTH) -> Any:
    """Parse one JSON document (UTF-8 if bytes); raise TextError where lenient parsers guess.

    Refused: other encodings, syntax errors, a key given twice, NaN and infinities (also by overflow, as 1e999),
    integers of thousands of digits, and more than `max_depth` nested containers. Strings are checked by `clean_text`
    or `clean_json`, where the caller knows their names.
    """
    try:
        text = data if isinstance(data, str) else bytes(data).decode("utf-8")
    except UnicodeDecodeError as error:
        found = f"byte 0x{data[error.start]:02x} at offset {error.start:,}"
        raise TextError(field, "UTF-8", found) from None
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise TextError(field, "valid JSON", f"“{error.msg}” at {place}") from None
    except RecursionError:
        raise TextError(field, f"at most {max_depth} nested levels", "far more") from None
    except _RefusedError as error:
        raise TextError(field, error.expected, error.got) from None
    except ValueError as error:  # the interpreter's limit on the digits of an integer
        raise TextError(field, "numbers of reasonable length", str(error).partition(";")[0]) from None
    if text.count("[") + text.count("{") > max_depth:  # fewer cannot be nested deeper, however they stand
        for _ in _walk(value, field, max_depth):
            pass
    return value


class _RefusedError(Exception):
    """Raised by the decoder's hooks, which do not know the field."""

    def __init__(self, expected: str, got: str) -> None:
        super().__init__(expected, got)
        self.expected = expected
        self.got = got


def _object_without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    built = dict(pairs)
    if len(built) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise _RefusedError("each key once in an object", f"“{_short(twice)}” twice")
    return built


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise _RefusedError("a finite number", _short(digits))
    return number


def _no_constant(name: str) -> float:
    raise _RefusedError("a finite number", name)


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_object_without_duplicates, parse_float=_finite, parse_constant=_no_constant
)


_Path = tuple[Any, Any]  # (path of the container or None, key or index): written out only when something is refused


def _walk(value: Any, field: str, max_depth: int) -> Iterator[tuple[_Path, Any]]:
    """Every value inside `value` with its path, without recursion; refuses more than `max_depth` nested containers."""
    pending: list[tuple[_Path, Any, int]] = [((None, field), value, 1)]
    while pending:
        path, item, depth = pending.pop()
        yield path, item
        if not isinstance(item, dict | list):
            continue
        if depth > max_depth:
            raise TextError(field, f"at most {max_depth} nested levels", "more")
        inside = item.items() if isinstance(item, dict) else enumerate(item)
        pending.extend(((path, key), inner, depth + 1) for key, inner in inside)


def _written(path: _Path) -> str:
    """`metadata.tags[3]` for a path: keys after dots, indices in brackets."""
    parent, key = path
    if parent is None:
        return str(key)
    return _written(parent) + (f"[{key}]" if isinstance(key, int) else f".{_short(key)}")


def _short(key: object) -> str:
    return str(key)[:60].encode("utf-8", "backslashreplace").decode().replace("\x00", "\\x00")


def _describe(character: str) -> str:
    kind = "NUL" if character == "\x00" else "a lone surrogate"
    return f"{kind} (U+{ord(character):04X})"


def _place(text: str, index: int) -> str:
    line = text.count("\n", 0, index) + 1
    return f"character {index + 1:,} (line {line:,})"


def _type_name(value: object) -> str:
    return "nothing" if value is None else type(value).__name__

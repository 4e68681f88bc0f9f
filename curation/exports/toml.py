"""Recipes as TOML that people read, copy and keep in a repository: `Recipe.from_toml` reads it back to the letter."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

BARE: Final = re.compile(r"[A-Za-z0-9_-]+")


def written(data: Mapping[str, Any]) -> str:
    """A TOML document of plain JSON types, its tables last, as they must be; None, which TOML has not, is left out."""
    lines = [f"{key_of(key)} = {_value(value)}\n" for key, value in data.items() if _is_line(value)]
    return "".join([*lines, *_tables(data, "")])


def key_of(key: str) -> str:
    return key if BARE.fullmatch(key) else _text(key)


def _tables(data: Mapping[str, Any], path: str) -> Iterator[str]:
    for key, value in data.items():
        if isinstance(value, Mapping):
            below = f"{path}{key_of(key)}"
            lines = (f"{key_of(k)} = {_value(v)}\n" for k, v in value.items() if _is_line(v))
            yield f"\n[{below}]\n{''.join(lines)}"
            yield from _tables(value, f"{below}.")


def _is_line(value: Any) -> bool:
    return value is not None and not isinstance(value, Mapping)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    return _text(value) if isinstance(value, str) else repr(value)


def _text(value: str) -> str:
    """As JSON writes it, which TOML reads; but DEL, which it wants escaped."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")

"""Errors of pure code, ValueError(name, expected, got), as the words that services speak."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tiebreak.core.errors import Invalid


@contextmanager
def told() -> Iterator[None]:
    """Turn a pure refusal into an Invalid that names the field, what was expected and what came."""
    try:
        yield
    except ValueError as error:
        if len(error.args) != 3:
            raise Invalid(str(error)) from error
        name, expected, got = error.args
        raise Invalid(f"{name}: expected {expected}, got {got!r}.", field=str(name)) from error

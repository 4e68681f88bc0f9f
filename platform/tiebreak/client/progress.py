"""How far it is, for whoever looks: a bar a file on standard error, or nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

Tick = Callable[[int], object]


@contextmanager
def bar(title: str, total: int | None, *, unit: str, done: int = 0, show: bool) -> Iterator[Tick]:
    """A function to be told of each step; `unit` is B for bytes, or rows."""
    with tqdm(
        total=total,
        initial=done,
        desc=title,
        unit=unit,
        unit_scale=True,
        unit_divisor=1024 if unit == "B" else 1000,
        disable=not show,
        file=sys.stderr,
        leave=False,
    ) as shown:
        yield shown.update

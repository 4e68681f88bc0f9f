"""A version's rows one by one, over one stream that goes on where it broke off."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from .errors import ClientError
from .names import resolve
from .pulling import COUNT, lines
from .wire import Wire


def rows(
    wire: Wire, reference: str, *, split: str | None, format: str, since: int | None, undecided: bool
) -> Iterator[dict[str, Any]]:
    """Rows in order. Raises ClientError; after a break it asks for the rows that are not here yet, and so gives none
    twice.
    """
    version = resolve(wire, reference)
    params = {"format": format, "split": split, "since": since, "undecided": 1 if undecided else None}
    given = failed = 0
    while True:
        response = wire.get(f"{version.path}rows/", {**params, "cursor": given}, stream=True)
        told = response.headers.get(COUNT, "")
        before = given
        for line in lines(response):
            given += 1
            yield json.loads(line)
        if not told.isdecimal() or given >= int(told):
            return
        failed = 0 if given > before else failed + 1
        if failed >= wire.attempts:
            raise ClientError(
                f"{version}: the connection breaks off again and again, after {given:,} of {told} rows.",
                code="unreachable",
                rows=given,
            )
        if failed:
            wire.pause(failed)

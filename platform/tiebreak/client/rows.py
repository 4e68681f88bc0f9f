"""A version's rows one by one, over one stream that goes on where it broke off."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from .errors import ClientError
from .fetching import check_since, lines, total_of
from .names import resolve
from .wire import BROKEN, Wire


def rows(
    wire: Wire, reference: str, *, split: str | None, format: str, since: int | str | None, undecided: bool
) -> Iterator[dict[str, Any]]:
    """Rows in order. Raises ClientError; after a break it asks for the rows that are not here yet, and so gives none
    twice; where rows were taken back meanwhile it ends with `rows_changed`.
    """
    version = resolve(wire, reference)
    params = {"format": format, "split": split, "since": since, "undecided": 1 if undecided else None}
    given, failed = 0, 0
    known: dict[str, str] = {}
    while True:
        response = wire.get(f"{version.path}rows/", {**params, "cursor": given}, headers=known, stream=True)
        check_since(response, since)
        known = {"If-Match": response.headers.get("ETag", "*")}
        before, total = given, total_of(response)
        with suppress(*BROKEN):
            for line in lines(response):
                given += 1
                yield json.loads(line)
            if total is None or given >= total:
                return
        failed = 0 if given > before else failed + 1
        if failed >= wire.attempts:
            raise ClientError(
                f"{version}: the connection breaks off again and again, after {given:,} of {total or 'unknown'} rows.",
                code="unreachable",
                rows=given,
            )
        if failed:
            wire.pause(failed)

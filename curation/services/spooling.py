"""Where kept rows wait, in a file without a name, until the rules across rows have seen all of them."""

from __future__ import annotations

import errno
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from curation.exports.rules import Kept
from tiebreak.core.errors import Unavailable

from .material import Origin

_JSON: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


class FileSpool:
    """`curation.exports.following.Spool` in a file of a folder, which the system removes even after a kill."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with disk_said(folder):
            folder.mkdir(parents=True, exist_ok=True)
            self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed with the spool
        self._n = 0

    def append(self, kept: Kept) -> None:
        with disk_said(self._folder):
            self._file.write(_JSON.encode(kept).encode() + b"\n")
        self._n += 1

    def __iter__(self) -> Iterator[Kept]:
        with disk_said(self._folder):
            self._file.flush()
        self._file.seek(0)
        for _ in range(self._n):
            row, origin, changes = json.loads(self._file.readline())
            yield Kept(row, Origin(*origin), changes)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with disk_said(self._folder):
            self._file.close()


@contextmanager
def disk_said(folder: Path) -> Iterator[None]:
    """A full disk as Unavailable, naming the folder."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise Unavailable(
            f"The disk that holds {folder} is full; nothing was written. Free some space and start it again.",
            code="disk_full",
            path=str(folder),
        ) from error

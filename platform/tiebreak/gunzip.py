"""PURE: gzip unpacked in measure, for the server's imports and for the client, which has nothing else of the server."""

from __future__ import annotations

import gzip
import io
import zlib
from typing import IO, Any, Final

BOMB_FROM: Final = 64 * 1024 * 1024
BOMB_RATIO: Final = 200


class FileError(ValueError):
    """The file cannot be read on from here: what was expected, and what was got where."""


class Gunzip(io.RawIOBase):
    """A gzip stream that refuses to grow out of proportion, and says so where it is broken."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.inner = gzip.GzipFile(fileobj=file, mode="rb")
        self.out = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self.inner.read1(len(buffer))
        except (EOFError, OSError, zlib.error) as error:
            raise FileError(f"the gzip stream breaks off after {self.out:,} bytes of text ({error})") from None
        self.out += len(data)
        if self.out > BOMB_FROM and self.out > BOMB_RATIO * self.file.tell():
            raise FileError(f"the gzip stream grows more than {BOMB_RATIO} times; unpack it yourself if that is meant")
        buffer[: len(data)] = data
        return len(data)

"""One file of a version, fetched over breaks: bytes by Range, lines by cursor. It appears only whole and proved.

What has come stands in a hidden `.part`, whose name holds the hash of what it is to become: a later pull finds it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

import requests
from requests import Response

from .errors import ClientError
from .progress import Tick, bar
from .wire import BLOCK, BROKEN, Wire

COUNT: Final = "X-Tiebreak-Rows"
LEFT_OUT: Final = "X-Tiebreak-Left-Out"
SINCE: Final = "X-Tiebreak-Since"


@dataclass(frozen=True)
class Wanted:
    """One file to be had: bytes that the manifest gives the hash of, or lines, known by the ETag of their answer."""

    name: str
    split: str
    path: str
    rows: int | None = None
    sha256: str = ""
    size: int = 0
    params: Mapping[str, Any] = field(default_factory=dict)
    left_out: int = 0


@dataclass(frozen=True)
class Had:
    """One file as it lies in the folder, as the manifest names it."""

    path: str
    split: str | None
    rows: int | None
    bytes: int
    sha256: str
    etag: str = ""
    left_out: int = 0
    """Ties and both-bad rows that are not among its rows."""

    def proved(self, folder: Path) -> bool:
        path = folder / self.path
        return path.is_file() and path.stat().st_size == self.bytes and sha256_of(path) == self.sha256


def fetch(wire: Wire, wanted: Wanted, to: Path, kept: Had | None, *, show: bool) -> Had | None:
    """The file, in its place; None where `kept` is it still. Raises ClientError and OSError."""
    there = kept if kept and kept.proved(to) else None
    if not wanted.sha256:
        return _lines(wire, wanted, to, there, show=show)
    if there and there.sha256 == wanted.sha256:
        return None
    return _bytes(wire, wanted, to, show=show)


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write(path: Path, content: bytes) -> Had:
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(content)
    _put(part, path)
    return Had(path.name, None, None, len(content), hashlib.sha256(content).hexdigest())


def _put(part: Path, path: Path) -> None:
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(path)


def _part(to: Path, wanted: Wanted, of: str) -> Path:
    key = hashlib.sha256(repr((of, wanted.path, sorted(wanted.params.items()))).encode()).hexdigest()
    return to / f".{wanted.name}.{key[:16]}.part"


# Bytes


def _bytes(wire: Wire, wanted: Wanted, to: Path, *, show: bool) -> Had:
    """Bytes that are not what the manifest says are fetched anew, once."""
    part, sha256 = _part(to, wanted, wanted.sha256), ""
    for _ in range(2):
        try:
            _download(wire, wanted, part, show=show)
        except ClientError:
            if not part.stat().st_size:  # a file that this token may not have leaves nothing behind
                part.unlink()
            raise
        sha256 = sha256_of(part)
        if sha256 == wanted.sha256:
            _put(part, to / wanted.name)
            return Had(wanted.name, wanted.split, wanted.rows, wanted.size, sha256, left_out=wanted.left_out)
        part.unlink()
    raise ClientError(
        f"{wanted.name}: its bytes have the SHA-256 {sha256[:16]}… and not {wanted.sha256[:16]}…, twice; "
        "nothing was put in its place. Something between here and the server alters them.",
        code="hash_mismatch",
    )


def _download(wire: Wire, wanted: Wanted, part: Path, *, show: bool) -> None:
    """Append what the part still lacks."""
    have = part.stat().st_size if part.exists() else 0
    if have > wanted.size:
        part.unlink()
        have = 0
    with bar(wanted.name, wanted.size, unit="B", done=have, show=show) as tick, part.open("ab") as file:
        failed = 0
        while (at := file.tell()) < wanted.size:
            headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={at}-"} if at else {})
            with closing(wire.get(wanted.path, headers=headers, stream=True)) as response:
                if at and response.status_code != 206:  # a server, or what stands before it, that knows no ranges
                    file.seek(0)
                    file.truncate()
                    tick(-at)
                _copy(response, file, tick, most=wanted.size)
            failed = 0 if file.tell() > at else failed + 1
            _give_up(wire, wanted, failed)


def _copy(response: Response, file: IO[bytes], tick: Tick, *, most: int) -> None:
    """Blocks of the body until it ends or breaks off; what came is kept either way."""
    with suppress(*BROKEN):
        for block in response.iter_content(BLOCK):
            if file.tell() + len(block) > most:
                raise ClientError("The server sent more bytes than its manifest says.", code="hash_mismatch")
            file.write(block)
            tick(len(block))


def _give_up(wire: Wire, wanted: Wanted, failed: int) -> None:
    """Pause after a break, or raise where asking again gets no further."""
    if failed >= wire.attempts:
        raise ClientError(
            f"{wanted.name}: the connection breaks off again and again; what came is kept, pull again to go on.",
            code="unreachable",
        )
    if failed:
        wire.pause(failed)


# Lines


def _lines(wire: Wire, wanted: Wanted, to: Path, there: Had | None, *, show: bool) -> Had | None:
    known = {"If-None-Match": there.etag} if there and there.etag else {}
    response = wire.get(wanted.path, wanted.params, headers=known, stream=True)
    if response.status_code == 304:
        response.close()
        return None
    told = check_since(response, wanted.params.get("since")).headers
    etag, left_out = told.get("ETag", ""), told.get(LEFT_OUT, "")
    part = _part(to, wanted, etag)
    rows = _append(wire, wanted, part, response, show=show)
    size, sha256 = part.stat().st_size, sha256_of(part)
    _put(part, to / wanted.name)
    left = int(left_out) if left_out.isdecimal() else 0
    return Had(wanted.name, wanted.split, rows, size, sha256, etag, left)


def _append(wire: Wire, wanted: Wanted, part: Path, response: Response, *, show: bool) -> int:
    """Append the lines that the part still lacks; `response` begins with the first. Returns how many there are then.

    Raises ClientError `rows_changed` where rows were taken back meanwhile: the lines are no longer those.
    """
    have, failed = _whole_lines(part), 0
    etag, total = response.headers.get("ETag", "*"), total_of(response)
    if have:
        response.close()
    with bar(wanted.name, total, unit=" rows", done=have, show=show) as tick, part.open("ab") as file:
        whole = have > 0 and have == total
        while not whole:
            before = have
            if have or failed:
                response = wire.get(
                    wanted.path, {**wanted.params, "cursor": have}, headers={"If-Match": etag}, stream=True
                )
            with suppress(*BROKEN):
                for line in lines(response):
                    file.write(line)
                    have += 1
                    tick(1)
                whole = total is None or have >= total
            if not whole:
                failed = 0 if have > before else failed + 1
                _give_up(wire, wanted, failed)
    return have


def lines(response: Response) -> Iterator[bytes]:
    """Whole lines of a body, with their ends. Raises one of BROKEN where it breaks off, before a line that is cut."""
    rest = b""
    with closing(response):
        for block in response.iter_content(BLOCK):
            *whole, rest = (rest + block).split(b"\n") if b"\n" in block else (rest + block,)
            for line in whole:
                yield line + b"\n"
    if rest:
        raise requests.ConnectionError("the body ends within a line")


def total_of(response: Response) -> int | None:
    """How many lines there are; None where an older server does not say."""
    told = response.headers.get(COUNT, "")
    return int(told) if told.isdecimal() else None


def check_since(response: Response, since: object) -> Response:
    """Raises ClientError where a server passes `since` over and sends everything."""
    if since is not None and SINCE not in response.headers:
        response.close()
        raise ClientError("since: this server is too old to know it, and sends whole versions.", code="too_old")
    return response


def _whole_lines(part: Path) -> int:
    """Lines that a part holds; one that was cut is taken off."""
    if not part.exists():
        return 0
    count, end = 0, 0
    with part.open("r+b") as file:
        for line in file:
            if line.endswith(b"\n"):
                count, end = count + 1, end + len(line)
        file.truncate(end)
    return count

"""The content-addressed file store: a file is named by the SHA-256 of its bytes and never changes.

A file is written beside its place, flushed to disk and renamed into it: a full disk or a kill leaves nothing half-
written under a final name. With TIEBREAK_STORAGE_URL it goes up into the bucket instead, when it is whole. The row is
made last, so a row always has its file.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final, cast

from django.conf import settings

from tiebreak.core.errors import NotFound, Unavailable

from .buckets import Bucket, bucket
from .models import Artifact

INCOMING: Final = ".incoming-"
LEFT_AFTER: Final = 24 * 3600.0  # seconds; no write takes that long
LINK_LASTS: Final = 3600  # seconds; what has begun goes on after it


def root() -> Path:
    """Where files are kept; with a bucket, where they are while they are written."""
    return Path(settings.STORAGES["default"]["OPTIONS"]["location"])


def remote() -> Bucket | None:
    """The bucket that holds the files, where they are not on this machine's disk."""
    env = settings.ENV
    return None if env.storage_url is None else bucket(env.storage_url, env.egress_allow)


def path_of(sha256: str) -> Path:
    return root() / sha256[:2] / sha256[2:4] / sha256


class Hashing:
    """A write-only file that hashes what goes through it; enough of a file for pyarrow."""

    closed = False

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.digest, self.size = file, hashlib.sha256(), 0

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        self.size += len(memoryview(data).cast("B"))
        self.file.write(data)
        return len(data)

    def flush(self) -> None:
        self.file.flush()

    def tell(self) -> int:
        return self.size

    def close(self) -> None:
        """The store closes the real file."""

    def writable(self) -> bool:
        return True

    def readable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False


@contextmanager
def whole_file(path: Path) -> Iterator[Hashing]:
    """A file of somebody's own, hashed as it is written, which appears under its name only when complete.

    Its folder is made. Raises Unavailable where it cannot be written.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            yield Hashing(file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise Unavailable(
            f"{path}: {error.strerror or error}; nothing is half-written.", code="cannot_write"
        ) from error
    finally:
        with suppress(OSError):  # there is none any more, or its folder could not be made
            part.unlink()


class Incoming:
    """What `writing` yields: write to `file`; `artifact` is there after the block."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.artifact: Artifact


@contextmanager
def writing(media_type: str) -> Iterator[Incoming]:
    """Write one file into the store. Raises Unavailable where the disk is full; nothing is left behind then."""
    base = root()
    temporary = ""
    try:
        base.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=base, prefix=INCOMING)
        with os.fdopen(handle, "wb") as raw:
            hashing = Hashing(raw)
            incoming = Incoming(cast(IO[bytes], hashing))
            yield incoming
            raw.flush()
            os.fsync(raw.fileno())
        digest = hashing.digest.hexdigest()
        away = remote()
        if away is not None:
            away.send(Path(temporary), digest, media_type)
        else:
            final = path_of(digest)
            final.parent.mkdir(parents=True, exist_ok=True)
            os.replace(temporary, final)
            temporary = ""
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise Unavailable(
                f"The disk that holds {base} is full; nothing was written. Free some space and start it again.",
                code="disk_full",
                path=str(base),
            ) from error
        raise
    finally:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
    incoming.artifact, _ = Artifact.objects.get_or_create(
        sha256=digest, defaults={"size": hashing.size, "media_type": media_type}
    )


def sweep(now: float) -> int:
    """Remove what writers that were killed have left: unfinished files older than a day. Returns how many."""
    old = [path for path in root().glob(f"{INCOMING}*") if now - path.stat().st_mtime > LEFT_AFTER]
    for path in old:
        path.unlink(missing_ok=True)
    return len(old)


def put(data: bytes, media_type: str) -> Artifact:
    with writing(media_type) as incoming:
        incoming.file.write(data)
    return incoming.artifact


def open_artifact(artifact: Artifact) -> IO[bytes]:
    """To read and to seek in. Raises NotFound with the path where the file has gone (a lost disk, say); from a bucket,
    with the first byte that is read.
    """
    away = remote()
    if away is not None:
        return away.open(artifact.sha256, artifact.size)
    path = path_of(artifact.sha256)
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise NotFound(f"The file {artifact.sha256} is not in the store at {root()}.", code="file_lost") from None


@contextmanager
def on_disk(artifact: Artifact) -> Iterator[Path]:
    """The file's path for what reads no stream: its own place, or a copy of it from the bucket that goes afterwards."""
    if remote() is None:
        open_artifact(artifact).close()  # says so where it has gone
        yield path_of(artifact.sha256)
        return
    root().mkdir(parents=True, exist_ok=True)
    with open_artifact(artifact) as source, tempfile.NamedTemporaryFile(dir=root(), prefix=INCOMING) as copy:
        shutil.copyfileobj(source, copy, 1 << 20)
        copy.flush()
        yield Path(copy.name)


def link(artifact: Artifact, *, name: str) -> str | None:
    """A signed address in the bucket that gives the file for an hour; None where the files are on our own disk."""
    away = remote()
    if away is None:
        return None
    return away.link(artifact.sha256, name=name, media_type=artifact.media_type, seconds=LINK_LASTS)


def remove(sha256: str) -> None:
    """Take a file's bytes out of the store. Its row must have gone before: nothing refers to it then."""
    away = remote()
    if away is not None:
        away.remove(sha256)
    else:
        path_of(sha256).unlink(missing_ok=True)

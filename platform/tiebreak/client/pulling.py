"""Pulling a version into a folder: files that appear only whole and proved, and go on where they broke off.

Bytes go to a hidden `.part` whose name holds the hash of what it is to become; a later pull finds it and asks for the
rest. `manifest.json` comes last: where it stands, everything it names was there.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any, Final

from requests import Response

from .errors import ClientError
from .names import Version, resolve, safe
from .progress import Tick, bar
from .wire import BLOCK, BROKEN, Wire

MANIFEST: Final = "manifest.json"
CARD: Final = "README.md"
PARQUET: Final = "parquet"
COUNT: Final = "X-Tiebreak-Rows"


@dataclass(frozen=True)
class Wanted:
    """One file to be had. `of` is the hash of what it is made from; `sha256` and `size` are None for lines, which are
    counted instead."""

    name: str
    split: str
    rows: int | None
    path: str
    of: str
    sha256: str | None = None
    size: int | None = None
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Had:
    """One file as it lies in the folder, as the manifest names it."""

    path: str
    split: str | None
    rows: int | None
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Asked:
    """What a pull is of, beside the version: another question gives other files."""

    format: str = PARQUET
    splits: tuple[str, ...] = ()
    since: int | None = None
    undecided: bool = False

    def __post_init__(self) -> None:
        if self.since is not None and self.format == PARQUET:
            raise ClientError(
                "since: expected with a format of lines, such as native: Parquet files are whole versions.",
                code="no_format",
            )


def pull(wire: Wire, reference: str, to: Path, asked: Asked, *, show: bool = False) -> dict[str, Any]:
    """Bring the folder to what was asked. Returns what is there, and how much of it came now.

    Raises ClientError: no such version, a split that the token may not read, a disk that is full, bytes that are not
    what the manifest says.
    """
    version = resolve(wire, reference)
    wanted = _wanted(version, asked)
    with _disk(to):
        to.mkdir(parents=True, exist_ok=True)
        kept = _known(to, version, asked)
        if not kept:  # what the folder's manifest says of another version is true no longer
            (to / MANIFEST).unlink(missing_ok=True)
        fetched, refused = _fetch_all(wire, wanted, to, kept, may_skip=not asked.splits, show=show)
        files = kept | fetched
        card = str(version.manifest.get("card", "")).encode()
        if fetched or CARD not in kept or not _proved(to, kept[CARD]):
            files[CARD] = _write(to / CARD, card)
            _write(to / MANIFEST, _manifest(wire, version, asked, files.values()))
    return {
        "version": str(version),
        "format": asked.format,
        "to": str(to),
        "fetched": len(fetched),
        "unchanged": len(wanted) - len(fetched) - len(refused),
        "refused_splits": refused,
        "files": [asdict(files[name]) for name in sorted(files)],
    }


def _fetch_all(
    wire: Wire, wanted: Sequence[Wanted], to: Path, kept: Mapping[str, Had], *, may_skip: bool, show: bool
) -> tuple[dict[str, Had], list[str]]:
    """The files that were not there yet, and the splits that this token may not read, where they may be left out."""
    fetched: dict[str, Had] = {}
    refused = []
    for file in wanted:
        found = kept.get(file.name)
        if found and file.sha256 in (None, found.sha256) and _proved(to, found):
            continue
        try:
            fetched[file.name] = _fetch(wire, file, to, show=show)
        except ClientError as error:
            if error.code != "protected_split" or not may_skip:
                raise
            refused.append(file.split)
    return fetched, refused


def verify(folder: Path) -> dict[str, Any]:
    """Hold every file of a folder against its manifest's hashes. Raises ClientError naming those that differ."""
    manifest = _read_manifest(folder)
    if manifest is None:
        raise ClientError(f"{folder} holds no {MANIFEST} that can be read.", code="no_manifest")
    files = [_had(entry) for entry in manifest["files"]]
    wrong = [f.path for f in files if not _proved(folder, f)]
    if wrong:
        raise ClientError(
            f"{folder}: {', '.join(wrong)}: not what the manifest says; pull again.", code="hash_mismatch", files=wrong
        )
    total = sum(f.bytes for f in files)
    return {"version": f"{manifest['dataset']}@{manifest['version']}", "files": len(files), "bytes": total}


# What is wanted, and what is there


def _wanted(version: Version, asked: Asked) -> list[Wanted]:
    splits = [str(split) for split in version.manifest["splits"]]
    for split in asked.splits:
        if split not in splits:
            raise ClientError(f"split: expected one of {', '.join(splits)}, got {split!r}.", code="no_split")
    wanted = _files(version, asked) if asked.format == PARQUET else _lines(version, asked, splits)
    return [w for w in wanted if not asked.splits or w.split in asked.splits]


def _files(version: Version, asked: Asked) -> list[Wanted]:
    return [
        Wanted(
            name=safe(f["name"]),
            split=f["split"],
            rows=f["rows"],
            path=f"{version.path}files/{f['name']}",
            of=f["sha256"],
            sha256=f["sha256"],
            size=f["size"],
        )
        for f in version.manifest["files"]
        if asked.undecided or not f.get("undecided", False)
    ]


def _lines(version: Version, asked: Asked, splits: Sequence[str]) -> list[Wanted]:
    params = {"format": asked.format, "since": asked.since, "undecided": 1 if asked.undecided else None}
    ending = f".since-{asked.since}.jsonl" if asked.since is not None else ".jsonl"
    of = str(version.manifest.get("rows_sha256", ""))
    return [
        Wanted(f"{safe(s)}{ending}", s, None, f"{version.path}rows/", of, params={**params, "split": s}) for s in splits
    ]


def _known(to: Path, version: Version, asked: Asked) -> dict[str, Had]:
    """The files that the folder's manifest names, where it is of this very version and question.

    A withdrawal alters a version's rows and so their hash: what was pulled before is then another version's.
    """
    told = _read_manifest(to)
    if told is None or any(told.get(key) != value for key, value in _identity(version, asked).items()):
        return {}
    try:
        return {had.path: had for had in map(_had, told["files"])}
    except ClientError:  # written by something else: pull as if nothing were there
        return {}


def _identity(version: Version, asked: Asked) -> dict[str, Any]:
    return {
        "dataset": version.dataset,
        "version": version.number,
        "rows_sha256": version.manifest.get("rows_sha256", ""),
        **{key: value for key, value in asdict(asked).items() if key != "splits"},
    }


def _manifest(wire: Wire, version: Version, asked: Asked, files: Iterable[Had]) -> bytes:
    more = ("chain_sha256", "recipe", "recipe_sha256", "code_version", "splits", "dropped", "licence")
    told = {
        **_identity(version, asked),
        "server": wire.url,
        **{key: version.manifest[key] for key in more if key in version.manifest},
        "files": [asdict(f) for f in files],
    }
    return (json.dumps(told, indent=2, ensure_ascii=False) + "\n").encode()


def _read_manifest(folder: Path) -> dict[str, Any] | None:
    try:
        told = json.loads((folder / MANIFEST).read_bytes())
    except (OSError, ValueError):
        return None
    return told if isinstance(told, dict) and isinstance(told.get("files"), list) else None


def _had(entry: Mapping[str, Any]) -> Had:
    try:
        path, size, sha256 = safe(entry["path"]), int(entry["bytes"]), str(entry["sha256"])
    except (KeyError, TypeError, ValueError):
        told = f"The manifest names a file without a path, bytes or sha256: {entry!r:.100}."
        raise ClientError(told, code="bad_manifest") from None
    return Had(path, entry.get("split"), entry.get("rows"), size, sha256)


def _proved(folder: Path, had: Had) -> bool:
    path = folder / had.path
    return path.is_file() and path.stat().st_size == had.bytes and _sha256(path) == had.sha256


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# Fetching


def _fetch(wire: Wire, wanted: Wanted, to: Path, *, show: bool) -> Had:
    """The file, in its place. Bytes that are not what the manifest says are fetched anew, once."""
    of = hashlib.sha256(repr((wanted.of, wanted.path, sorted(wanted.params.items()))).encode()).hexdigest()
    part = to / f".{wanted.name}.{of[:16]}.part"
    for _ in range(2):
        rows = _bytes(wire, wanted, part, show=show) if wanted.sha256 else _text(wire, wanted, part, show=show)
        sha256 = _sha256(part)
        if wanted.sha256 in (None, sha256):
            size = part.stat().st_size
            _sync(part)
            part.replace(to / wanted.name)
            return Had(wanted.name, wanted.split, rows, size, sha256)
        part.unlink()
    raise ClientError(
        f"{wanted.name}: its bytes have the SHA-256 {sha256[:16]}… and not {str(wanted.sha256)[:16]}…, twice; "
        "nothing was put in its place. Something between here and the server alters them.",
        code="hash_mismatch",
    )


def _bytes(wire: Wire, wanted: Wanted, part: Path, *, show: bool) -> int | None:
    """Append what the part still lacks."""
    size = wanted.size or 0
    have = part.stat().st_size if part.exists() else 0
    if have > size:
        part.unlink()
        have = 0
    with bar(wanted.name, size, unit="B", done=have, show=show) as tick, part.open("ab") as file:
        failed = 0
        while (at := file.tell()) < size:
            headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={at}-"} if at else {})
            with closing(wire.get(wanted.path, headers=headers, stream=True)) as response:
                if at and response.status_code != 206:  # a server, or what stands before it, that knows no ranges
                    file.seek(0)
                    file.truncate()
                    tick(-at)
                _copy(response, file, tick, most=size)
            failed = 0 if file.tell() > at else failed + 1
            _give_up(wire, wanted, failed)
    return wanted.rows


def _copy(response: Response, file: IO[bytes], tick: Tick, *, most: int) -> None:
    """Blocks of the body until it ends or breaks off; what came is kept either way."""
    with suppress(*BROKEN):
        for block in response.iter_content(BLOCK):
            if file.tell() + len(block) > most:
                raise ClientError("The server sent more bytes than its manifest says.", code="hash_mismatch")
            file.write(block)
            tick(len(block))


def _text(wire: Wire, wanted: Wanted, part: Path, *, show: bool) -> int:
    """Append the lines that the part still lacks; returns how many there are then."""
    have = _whole_lines(part)
    with bar(wanted.name, None, unit="rows", done=have, show=show) as tick, part.open("ab") as file:
        failed, total = 0, None
        while total is None or have < total:
            response = wire.get(wanted.path, {**wanted.params, "cursor": have}, stream=True)
            total, came = _total(response), 0
            for line in lines(response):
                file.write(line)
                tick(1)
                came += 1
            have, failed = have + came, 0 if came else failed + 1
            if total is None:  # an older server does not say: what has ended whole is all
                break
            if have < total:
                _give_up(wire, wanted, failed)
    return have


def lines(response: Response) -> Iterator[bytes]:
    """Whole lines of a body, with their ends; stops where it ends or breaks off, before a line that is cut."""
    rest = b""
    with closing(response):
        try:
            for block in response.iter_content(BLOCK):
                *whole, rest = (rest + block).split(b"\n") if b"\n" in block else (rest + block,)
                for line in whole:
                    yield line + b"\n"
        except BROKEN:
            return


def _total(response: Response) -> int | None:
    told = response.headers.get(COUNT, "")
    return int(told) if told.isdecimal() else None


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


def _give_up(wire: Wire, wanted: Wanted, failed: int) -> None:
    """Pause after a break, or raise where asking again gets no further."""
    if failed >= wire.attempts:
        raise ClientError(
            f"{wanted.name}: the connection breaks off again and again; what came is kept, pull again to go on.",
            code="unreachable",
        )
    if failed:
        wire.pause(failed)


# The disk


def _write(path: Path, content: bytes) -> Had:
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(content)
    _sync(part)
    part.replace(path)
    return Had(path.name, None, None, len(content), hashlib.sha256(content).hexdigest())


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


@contextmanager
def _disk(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        what = "the disk is full" if full else error.strerror or str(error)
        raise ClientError(
            f"{folder}: {what}; nothing is half-written, and what came is kept to go on from.",
            code="disk_full" if full else "cannot_write",
        ) from error

"""Pulling a version into a folder. `manifest.json` comes last: where it stands, everything it names was there."""

from __future__ import annotations

import errno
import json
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from .errors import ClientError
from .fetching import Had, Wanted, fetch, write
from .names import Version, awaited, safe
from .wire import Wire

MANIFEST: Final = "manifest.json"
CARD: Final = "README.md"
PARQUET: Final = "parquet"
ROWS: Final = (".parquet", ".jsonl", ".jsonl.gz", ".csv")


@dataclass(frozen=True)
class Asked:
    """What a pull is of, beside the version: another question gives other files."""

    format: str = PARQUET
    splits: tuple[str, ...] = ()
    since: int | str | None = None
    undecided: bool = False

    def __post_init__(self) -> None:
        if self.since is not None and self.format == PARQUET:
            raise ClientError(
                "since: expected with a format of lines, such as native: Parquet files are whole versions.",
                code="no_format",
            )


def pull(wire: Wire, reference: str, to: Path, asked: Asked, *, wait: float = 0, show: bool = False) -> dict[str, Any]:
    """Bring the folder to what was asked. Returns what is there, and how much of it came now.

    Raises ClientError: no such version, a split that the token may not read, a disk that is full, bytes that are not
    what the manifest says.
    """
    version = awaited(wire, reference, wait)
    wanted = _wanted(version, asked)
    with _disk(to):
        to.mkdir(parents=True, exist_ok=True)
        kept = _known(to, version, asked)
        if not kept:  # what the folder's manifest says of another version is true no longer
            (to / MANIFEST).unlink(missing_ok=True)
        fetched, refused = _fetch_all(wire, wanted, to, kept, may_skip=not asked.splits, show=show)
        beside = _beside(wire, version, asked, [w.split for w in wanted if w.split not in refused])
        new = {name: content for name, content in beside.items() if not _same(to, kept.get(name), content)}
        files = kept | fetched
        if fetched or new:
            files |= {name: write(to / name, content) for name, content in new.items()}
            write(to / MANIFEST, _manifest(wire, version, asked, files.values()))
    return {
        "version": str(version),
        "format": asked.format,
        "to": str(to),
        "fetched": len(fetched),
        "unchanged": sum(w.split not in refused for w in wanted) - len(fetched),
        "refused_splits": refused,
        "left_over": _strangers(to, files, asked.since),
        "files": [_told(files[name]) for name in sorted(files)],
    }


def verify(folder: Path) -> dict[str, Any]:
    """Hold every file of a folder against its manifest's hashes. Raises ClientError naming those that differ."""
    manifest = _read_manifest(folder)
    if manifest is None:
        raise ClientError(f"{folder} holds no {MANIFEST} that can be read.", code="no_manifest")
    files = [_had(entry) for entry in manifest["files"]]
    wrong = [file.path for file in files if not file.proved(folder)]
    if wrong:
        raise ClientError(
            f"{folder}: {', '.join(wrong)}: not what the manifest says; pull again.", code="hash_mismatch", files=wrong
        )
    if left := _strangers(folder, {file.path for file in files}, manifest.get("since")):
        raise ClientError(
            f"{folder}: {', '.join(left)}: of no version that the manifest tells of; delete what you do not need.",
            code="left_over",
            files=left,
        )
    total = sum(file.bytes for file in files)
    return {"version": f"{manifest['dataset']}@{manifest['version']}", "files": len(files), "bytes": total}


def _strangers(folder: Path, known: Container[str], since: int | str | None) -> list[str]:
    """Files of rows in a folder that its manifest does not name, as an earlier pull of something else leaves them.

    Beside news since another version stands, of right, the copy that they are for.
    """
    if since is not None:
        return []
    there = sorted(path.name for path in folder.iterdir() if path.name.endswith(ROWS) and not path.name.startswith("."))
    return [name for name in there if name not in known]


# What is wanted, and what is there


def _wanted(version: Version, asked: Asked) -> list[Wanted]:
    splits = [safe(split) for split in version.manifest["splits"]]
    for split in asked.splits:
        if split not in splits:
            raise ClientError(f"split: expected one of {', '.join(splits)}, got {split!r}.", code="no_split")
    wanted = _files(version, asked) if asked.format == PARQUET else _streams(version, asked, splits)
    return [w for w in wanted if not asked.splits or w.split in asked.splits]


def _files(version: Version, asked: Asked) -> list[Wanted]:
    """Parquet as it was built; where rows without a chosen side are not asked for, a split's first file counts them."""
    left_out: Counter[str] = Counter()
    for f in version.manifest["files"]:
        left_out[f["split"]] += f["rows"] if f.get("undecided") and not asked.undecided else 0
    return [
        Wanted(
            name=safe(f["name"]),
            split=f["split"],
            path=f"{version.path}files/{f['name']}",
            rows=f["rows"],
            sha256=f["sha256"],
            size=f["size"],
            left_out=left_out.pop(f["split"], 0),
        )
        for f in version.manifest["files"]
        if asked.undecided or not f.get("undecided", False)
    ]


def _streams(version: Version, asked: Asked, splits: Sequence[str]) -> list[Wanted]:
    params = {"format": asked.format, **_scope(asked)}
    ending = f".since-{asked.since}.jsonl" if asked.since is not None else ".jsonl"
    return [Wanted(safe(f"{s}{ending}"), s, f"{version.path}rows/", params={**params, "split": s}) for s in splits]


def _scope(asked: Asked) -> dict[str, Any]:
    given = {"since": asked.since, "undecided": 1 if asked.undecided else None}
    return {key: value for key, value in given.items() if value is not None}


def _fetch_all(
    wire: Wire, wanted: Sequence[Wanted], to: Path, kept: Mapping[str, Had], *, may_skip: bool, show: bool
) -> tuple[dict[str, Had], list[str]]:
    """The files that were not there yet, and the splits that this token may not read, where they may be left out."""
    fetched: dict[str, Had] = {}
    refused: dict[str, None] = {}  # once each, of however many files
    for file in wanted:
        try:
            had = fetch(wire, file, to, kept.get(file.name), show=show)
        except ClientError as error:
            if error.code != "protected_split" or not may_skip:
                raise
            refused |= {file.split: None}
        else:
            fetched |= {file.name: had} if had else {}
    return fetched, list(refused)


def _beside(wire: Wire, version: Version, asked: Asked, splits: Sequence[str]) -> dict[str, bytes]:
    """The card, and beside rows since another version the ids that a copy of that one must lose."""
    beside = {CARD: str(version.manifest.get("card", "")).encode()}
    if asked.since is not None:
        for split in splits:
            name = safe(f"{split}.removed-since-{asked.since}.jsonl")
            beside[name] = wire.get(f"{version.path}removed/", {**_scope(asked), "split": split}).content
    return beside


def _same(to: Path, kept: Had | None, content: bytes) -> bool:
    return kept is not None and kept.proved(to) and (to / kept.path).read_bytes() == content


# The manifest


def _known(to: Path, version: Version, asked: Asked) -> dict[str, Had]:
    """The files that the folder's manifest names, where it is of this very version and question."""
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
    more = ("chain_sha256", "recipe", "recipe_sha256", "code_version", "splits", "undecided", "dropped", "licence")
    told = {
        **{key: version.manifest[key] for key in more if key in version.manifest},
        **_identity(version, asked),
        "server": wire.url,
        "files": [_told(file) for file in files],
    }
    return (json.dumps(told, indent=2, ensure_ascii=False) + "\n").encode()


def _told(had: Had) -> dict[str, Any]:
    return {key: value for key, value in asdict(had).items() if value or key not in ("etag", "left_out")}


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
    etag, left_out = str(entry.get("etag", "")), int(entry.get("left_out", 0))
    return Had(path, entry.get("split"), entry.get("rows"), size, sha256, etag, left_out)


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

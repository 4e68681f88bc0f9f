"""Versions as trainers read them: lines over REST, files in a folder."""

from __future__ import annotations

import hashlib
import json
import os
from collections import deque
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Final

import orjson

from curation.exports.files import wire_line
from curation.exports.formats import FORMATS, FormatOptions, converter, group_converter
from curation.exports.schema import SPLITS
from curation.models import DatasetVersion
from tiebreak.core.errors import Invalid, Unavailable
from tiebreak.runs import store

from .lines import CHOSEN, Asked, blocks, count_groups, groups

# The name that a user types → the format's module and its options.
NAMES: Final[Mapping[str, tuple[str, FormatOptions]]] = {
    "native": ("raw", FormatOptions()),
    "trl": ("trl", FormatOptions(style="conversational")),
    "trl-text": ("trl", FormatOptions(style="text")),
    "trl-margin": ("trl", FormatOptions(margin=True)),
    "trl-implicit": ("trl-implicit", FormatOptions()),
    "trl-implicit-text": ("trl-implicit", FormatOptions(style="text")),
    "dpo": ("trl", FormatOptions()),
    "kto": ("kto", FormatOptions()),
    "kto-text": ("kto", FormatOptions(style="text")),
    "openrlhf": ("trl", FormatOptions()),
    "llama-factory": ("llama-factory", FormatOptions()),
    "llama-factory-kto": ("llama-factory-kto", FormatOptions()),
    "axolotl": ("axolotl", FormatOptions()),
    "axolotl-reward": ("axolotl-reward", FormatOptions()),
    "axolotl-kto": ("kto", FormatOptions(style="text")),
    "verl": ("verl", FormatOptions()),
    "helpsteer": ("helpsteer", FormatOptions()),
    "rewardbench": ("rewardbench", FormatOptions()),
    "multipref": ("multipref", FormatOptions()),
    "ranking": ("ranking", FormatOptions()),
    "listwise": ("listwise", FormatOptions()),
}


def _format(name: str) -> tuple[str, FormatOptions]:
    if name not in NAMES:
        raise Invalid(f"format: expected one of {', '.join(NAMES)}, got {name!r}.", field="format")
    return NAMES[name]


def _split(split: str | None) -> str | None:
    if split is not None and split not in SPLITS:
        raise Invalid(f"split: expected one of {', '.join(SPLITS)}, got {split!r}.", field="split")
    return split


def asked_for(
    version: DatasetVersion,
    *,
    format: str = "native",
    split: str | None = None,
    undecided: bool = False,
    since: DatasetVersion | None = None,
) -> Asked:
    """The rows that a format is to tell. Raises Invalid for what it does not know or cannot tell as what it is."""
    told = FORMATS[_format(format)[0]].undecided
    if undecided and not told:
        raise Invalid(
            f"undecided: {format} tells pairs, and a tie is none; native and multipref tell rows of every kind.",
            field="undecided",
        )
    if since and since.dataset_id != version.dataset_id:
        raise Invalid(f"since: expected a version of {version.dataset.name}, got {since}.", field="since")
    verdicts = (CHOSEN, *told) if undecided else (CHOSEN,)
    return Asked(version, _split(split), verdicts, since)


def count(asked: Asked, *, format: str = "native") -> int:
    """Lines in a format."""
    kind = FORMATS[_format(format)[0]]
    if kind.grouped:
        return count_groups(asked)
    whole = asked.since is None and asked.verdicts == (CHOSEN,)
    counts = asked.version.counts
    if not whole or asked.version.tombstones.exists():
        return asked.rows().count() * kind.records
    rows = int(counts.get(asked.split, 0)) if asked.split else sum(counts.values())
    return rows * kind.records


def stream(asked: Asked, *, format: str = "native", skip: int = 0) -> Iterator[bytes]:
    """Lines in a format, some at a time, after the first `skip`, in flat memory.

    Checks its arguments before the first line, and every row where the format cannot be told all of them: nothing
    breaks off in the middle.
    """
    name, options = _format(format)
    kind = FORMATS[name]
    if name == "raw":
        return blocks(asked, skip=skip)
    if kind.grouped:
        return _joined(_listed(asked, name, options, skip))
    if not kind.total or options.margin:
        deque(_records(asked, name, options), maxlen=0)
    done, begun = divmod(skip, kind.records)
    return _joined(islice(_records(asked, name, options, done), begun, None))


def lines(
    version: DatasetVersion, *, format: str = "native", split: str | None = None, undecided: bool = False
) -> Iterator[bytes]:
    """Each line of a version in a format."""
    asked = asked_for(version, format=format, split=split, undecided=undecided)
    for some in stream(asked, format=format):
        yield from some.splitlines(keepends=True)


def _listed(asked: Asked, name: str, options: FormatOptions, skip: int) -> Iterator[bytes]:
    convert_all = group_converter(name).convert_all
    for group in groups(asked, skip=skip):
        yield wire_line(convert_all([orjson.loads(line) for line in group], options))


def _records(asked: Asked, name: str, options: FormatOptions, skip: int = 0) -> Iterator[bytes]:
    convert = converter(name).convert
    try:
        for block in blocks(asked, skip=skip):
            for line in block.splitlines():
                yield from map(wire_line, convert(orjson.loads(line), options))
    except ValueError as error:
        if len(error.args) != 3:  # none of a converter's
            raise
        field, expected, got = error.args
        raise Invalid(
            f"The format cannot be told this version: {field}: expected {expected}, got {got}.", field=field
        ) from None


def _joined(lines: Iterator[bytes], size: int = 64 * 1024) -> Iterator[bytes]:
    """So that a million lines are not a million packets."""
    held: list[bytes] = []
    length = 0
    for line in lines:
        held.append(line)
        length += len(line)
        if length >= size:
            yield b"".join(held)
            held, length = [], 0
    if held:
        yield b"".join(held)


def export_to(version: DatasetVersion, *, format: str, folder: Path) -> dict[str, Any]:
    """Write a file a split, the card and a manifest with hashes; a file appears under its name only when complete."""
    if format != "parquet":
        _format(format)
    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file in version.files.select_related("artifact"):
            if format == "parquet":
                with store.open_artifact(file.artifact) as source:
                    blocks = iter(partial(source.read, 1 << 20), b"")
                    written.append(_write(folder / file.name, blocks, file.split, file.rows))
            else:
                asked = asked_for(version, format=format, split=file.split)
                made, n = stream(asked, format=format), count(asked, format=format)
                written.append(_write(folder / f"{file.split}.jsonl", made, file.split, n))
        for name, content in _beside(version, format, written).items():
            written.append(_write(folder / name, iter([_json(content)]), None, 0))
        written.append(_write(folder / "README.md", iter([version.card.encode()]), None, 0))
        manifest = {
            "dataset": version.dataset.name,
            "version": version.number,
            "format": format,
            "rows_sha256": version.rows_sha256,
            "recipe": version.recipe,
            "recipe_sha256": version.recipe_sha256,
            "code_version": version.code_version,
            "splits": version.counts,
            "dropped": version.dropped,
            "files": [{**f, "path": Path(f["path"]).name} for f in written],
        }
        written.append(_write(folder / "manifest.json", iter([_json(manifest)]), None, 0))
    except OSError as error:
        raise Unavailable(
            f"{folder}: {error.strerror or error}; files that were complete are left, nothing is half-written.",
            code="cannot_write",
            path=str(folder),
        ) from error
    return {"version": str(version), "format": format, "files": written}


def _beside(version: DatasetVersion, format: str, written: list[dict[str, Any]]) -> dict[str, Any]:
    """What a trainer wants beside the rows, by the name of its file."""
    beside = getattr(converter(NAMES[format][0]), "beside", None) if format in NAMES else None
    if beside is None:
        return {}
    return dict(beside({f"{version.dataset.name}_{file['split']}": Path(file["path"]).name for file in written}))


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()


def _write(path: Path, blocks: Iterator[bytes], split: str | None, rows: int) -> dict[str, Any]:
    digest, size = hashlib.sha256(), 0
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as file:
            for block in blocks:
                digest.update(block)
                size += len(block)
                file.write(block)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return {"path": str(path), "split": split, "rows": rows, "bytes": size, "sha256": digest.hexdigest()}

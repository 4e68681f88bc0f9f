"""Versions as trainers read them: lines over REST, files in a folder."""

from __future__ import annotations

import gzip
import json
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson
import pyarrow as pa

from annotate.models import Judgement
from curation.exports import spreadsheet
from curation.exports.files import wire_line, write_parquet
from curation.exports.following import in_order
from curation.exports.formats import (
    FORMATS,
    Cutter,
    FormatOptions,
    Rating,
    converter,
    cutter,
    group_converter,
    rated_converter,
)
from curation.exports.pieces import pieces
from curation.exports.schema import SPLITS
from curation.models import DatasetVersion
from tiebreak.core.errors import Invalid, Unavailable
from tiebreak.runs import store

from .lines import CHOSEN, Asked, blocks, count_groups, groups

PARQUET: Final = "parquet"
CSV: Final = "csv"
SHARD_BYTES: Final = 500 << 20
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
    "helpsteer2": ("helpsteer2", FormatOptions()),
    "rewardbench": ("rewardbench", FormatOptions()),
    "multipref": ("multipref", FormatOptions()),
    "ranking": ("ranking", FormatOptions()),
    "listwise": ("listwise", FormatOptions()),
}


def _format(name: str) -> tuple[str, FormatOptions]:
    if name not in NAMES:
        raise Invalid(f"format: expected one of {', '.join(NAMES)}, got {name[:60]!r}.", field="format")
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
    told = told_undecided(format)
    if undecided and not told:
        knowing = ", ".join(filter(told_undecided, NAMES))
        raise Invalid(
            f"undecided: {format} tells pairs, and a tie is none; formats that know such rows: {knowing}.",
            field="undecided",
        )
    if since and since.dataset_id != version.dataset_id:
        raise Invalid(f"since: expected a version of {version.dataset.name}, got {since}.", field="since")
    verdicts = (CHOSEN, *told) if undecided else (CHOSEN,)
    return Asked(version, _split(split), verdicts, since)


def told_undecided(format: str) -> tuple[str, ...]:
    """The kinds of rows without a chosen side that a format can tell."""
    return FORMATS[_format(format)[0]].undecided


def takes_undecided(format: str, *, parquet: bool) -> bool:
    """Whether files of a format may be asked to have such rows among them."""
    if format in (PARQUET, CSV):
        return format == CSV
    return bool(told_undecided(format)) and not (parquet and format == "native")


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
    if asked.verdicts == (CHOSEN,) and (found := cutter(name, options)):
        return _cut(asked, found, done, begun)
    return _joined(islice(_records(asked, name, options, done), begun, None))


def lines(
    version: DatasetVersion, *, format: str = "native", split: str | None = None, undecided: bool = False, skip: int = 0
) -> Iterator[bytes]:
    """Each line of a version in a format, after the first `skip`."""
    asked = asked_for(version, format=format, split=split, undecided=undecided)
    for some in stream(asked, format=format, skip=skip):
        yield from some.splitlines(keepends=True)


def _listed(asked: Asked, name: str, options: FormatOptions, skip: int) -> Iterator[bytes]:
    convert_all = group_converter(name).convert_all
    for group in groups(asked, skip=skip):
        yield wire_line(convert_all([orjson.loads(line) for line in group], options))


def _cut(asked: Asked, found: Cutter, skip: int, begun: int) -> Iterator[bytes]:
    """`begun`: the records of the first row that are left out."""
    for block in blocks(asked, skip=skip):
        told = b"".join([found.cut(pieces(line)) for line in block.splitlines()])
        yield b"".join(told.splitlines(keepends=True)[begun:]) if begun else told
        begun = 0


def _records(asked: Asked, name: str, options: FormatOptions, skip: int = 0) -> Iterator[bytes]:
    try:
        for told in _rated(asked, name, options, skip) if FORMATS[name].rated else _plain(asked, name, options, skip):
            yield from map(wire_line, told)
    except ValueError as error:
        if len(error.args) != 3:  # none of a converter's
            raise
        field, expected, got = error.args
        raise Invalid(
            f"The format cannot be told this version: {field}: expected {expected}, got {got}.", field=field
        ) from None


def _plain(asked: Asked, name: str, options: FormatOptions, skip: int) -> Iterator[list[dict[str, Any]]]:
    convert = converter(name).convert
    for block in blocks(asked, skip=skip):
        for line in block.splitlines():
            yield convert(orjson.loads(line), options)


def _rated(asked: Asked, name: str, options: FormatOptions, skip: int) -> Iterator[list[dict[str, Any]]]:
    """Judgements never change, and a row's lineage names them: what is told is fixed with the version."""
    convert_rated = rated_converter(name).convert_rated
    rows = asked.rows()[skip:].values_list("line", "lineage").iterator(chunk_size=500)
    while some := list(islice(rows, 500)):
        said = ratings_of(pk for _, lineage in some for pk in lineage.get("judgements", ()))
        for line, lineage in some:
            told = [said[pk] for pk in lineage.get("judgements", ()) if pk in said]
            yield convert_rated(orjson.loads(line), told, options)


def ratings_of(judgements: Iterable[int]) -> dict[int, Rating]:
    """Of those that rated anything, by their ids."""
    rated = Judgement.objects.filter(pk__in=list(judgements), form__isnull=False).exclude(ratings={})
    found = rated.values_list("pk", "ratings", "form__rating_max")
    return {pk: Rating(ratings, most) for pk, ratings, most in found}


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


class Kind(NamedTuple):
    """A kind of file that is written here."""

    suffix: str
    head: bytes
    rows: Callable[[bytes], int]
    """In a block."""


LINES: Final = Kind("jsonl", b"", lambda block: block.count(b"\n"))
SHEET: Final = Kind("csv", spreadsheet.head(), bool)  # a block a row, as cells may hold line ends


@dataclass(frozen=True, slots=True)
class Layout:
    """How the files of a folder are cut and packed."""

    gzip: bool = False
    parquet: bool = False
    """A format's records as a typed table, in place of lines."""
    shard_bytes: int = SHARD_BYTES
    """Of lines, before they are packed; none is cut in two."""


def export_to(
    version: DatasetVersion, *, format: str, folder: Path, undecided: bool = False, layout: Layout | None = None
) -> dict[str, Any]:
    """Write the splits, the card and a manifest with hashes; a file appears under its name only when complete."""
    layout = layout or Layout()
    _check_layout(format, layout, undecided=undecided)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if format == PARQUET:
            written, left_out = list(_copied(version, folder)), 0
        else:
            written, left_out = _told(version, format, folder, layout, undecided=undecided)
        for name, content in _beside(version, format, written).items():
            written.append(_write(folder / name, iter([_json(content)])))
        written.append(_write(folder / "README.md", iter([version.card.encode()])))
        manifest = {
            "dataset": version.dataset.name,
            "version": version.number,
            "format": format,
            "rows_sha256": version.rows_sha256,
            "chain_sha256": version.chain_sha256,
            "recipe": version.recipe,
            "recipe_sha256": version.recipe_sha256,
            "code_version": version.code_version,
            "splits": version.counts,
            "dropped": in_order(version.dropped),
            "changed": version.changed,
            "left_out": left_out,
            "files": [{**f, "path": Path(f["path"]).name} for f in written],
        }
        written.append(_write(folder / "manifest.json", iter([_json(manifest)])))
    except OSError as error:
        raise Unavailable(
            f"{folder}: {error.strerror or error}; files that were complete are left, nothing is half-written.",
            code="cannot_write",
            path=str(folder),
        ) from error
    return {"version": str(version), "format": format, "left_out": left_out, "files": written}


def _check_layout(format: str, layout: Layout, *, undecided: bool) -> None:
    """Refuses before the folder is made."""
    if layout.shard_bytes < 1:
        raise Invalid(f"shard_bytes: expected 1 or more, got {layout.shard_bytes}.", field="shard_bytes")
    if format == PARQUET and (layout.gzip or undecided):
        raise Invalid(
            "gzip, undecided: Parquet files are copied as they were built: packed, and rows of no side in their own.",
            field="format",
        )
    if layout.parquet and (layout.gzip or format in (PARQUET, CSV) or (undecided and format == "native")):
        raise Invalid(
            "parquet: packs by itself, is no spreadsheet, and has one kind of rows: --format parquet copies all kinds.",
            field="format",
        )
    if format not in (PARQUET, CSV):
        _format(format)


def _copied(version: DatasetVersion, folder: Path) -> Iterator[dict[str, Any]]:
    for file in version.files.select_related("artifact"):
        with store.open_artifact(file.artifact) as source:
            blocks = iter(partial(source.read, 1 << 20), b"")
            yield _write(folder / file.name, blocks) | {"split": file.split, "rows": file.rows}


def _told(
    version: DatasetVersion, format: str, folder: Path, layout: Layout, *, undecided: bool
) -> tuple[list[dict[str, Any]], int]:
    """The files of each split, and the rows that are in none since the format has no words for them."""
    written: list[dict[str, Any]] = []
    left_out = 0
    for split in sorted(set(version.files.values_list("split", flat=True))):
        lines_as = "native" if format == CSV else format
        asked = asked_for(version, format=lines_as, split=split, undecided=undecided)
        left_out += asked.left_out()
        made = _cells(asked) if format == CSV else stream(asked, format=format)
        written += _sharded(folder, split, _shards(made, layout.shard_bytes), *_filler(format, layout))
    return written, left_out


Filler = Callable[[Path, Iterable[bytes]], dict[str, Any]]


def _filler(format: str, layout: Layout) -> tuple[str, Filler]:
    """The ending of the files, and what writes one."""
    kind = SHEET if format == CSV else LINES
    if not layout.parquet:
        return f"{kind.suffix}.gz" if layout.gzip else kind.suffix, partial(_fill, kind=kind, packed=layout.gzip)
    name, options = _format(format)
    return PARQUET, partial(_fill_table, schema=converter(name).schema(options))


def _cells(asked: Asked) -> Iterator[bytes]:
    for block in blocks(asked):
        yield from (spreadsheet.line(orjson.loads(line)) for line in block.splitlines())


def _shards(blocks: Iterator[bytes], most: int) -> Iterator[Iterator[bytes]]:
    """Blocks in runs, each ended by the one that fills it. A run must be used up before the next is asked for."""

    def run(first: bytes) -> Iterator[bytes]:
        size, block = 0, first
        while True:
            yield block
            size += len(block)
            if size >= most:
                return
            try:
                block = next(blocks)
            except StopIteration:
                return

    yield run(next(blocks, b""))
    for block in blocks:
        yield run(block)


def _sharded(
    folder: Path, split: str, shards: Iterator[Iterator[bytes]], ending: str, fill: Filler
) -> list[dict[str, Any]]:
    """A split's files: named by their place and number where there is more than one, which is known at the end."""
    parts: list[tuple[Path, dict[str, Any]]] = []
    try:
        for n, shard in enumerate(shards):
            part = folder / f".{split}-{n:05d}.{ending}.part"
            parts.append((part, {}))
            parts[-1][1].update(fill(part, shard))
        written = []
        for n, (part, facts) in enumerate(parts):
            name = f"{split}-{n:05d}-of-{len(parts):05d}" if len(parts) > 1 else split
            part.replace(folder / f"{name}.{ending}")
            written.append({"path": str(folder / f"{name}.{ending}"), **facts, "split": split})
    finally:
        for part, _ in parts:
            part.unlink(missing_ok=True)
    return written


def _beside(version: DatasetVersion, format: str, written: list[dict[str, Any]]) -> dict[str, Any]:
    """What a trainer wants beside the rows, by the name of its file."""
    beside = getattr(converter(NAMES[format][0]), "beside", None) if format in NAMES else None
    if beside is None:
        return {}
    names = [Path(file["path"]).name for file in written]
    keys = [name.partition(".")[0].partition("-of-")[0].replace("-", "_") for name in names]
    return dict(beside({f"{version.dataset.name}_{key}": name for key, name in zip(keys, names, strict=True)}))


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()


def _write(path: Path, blocks: Iterator[bytes]) -> dict[str, Any]:
    part = path.with_name(f".{path.name}.part")
    try:
        facts = _fill(part, blocks)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return {"path": str(path), **facts, "split": None, "rows": 0}


def _fill(part: Path, blocks: Iterable[bytes], *, kind: Kind = LINES, packed: bool = False) -> dict[str, Any]:
    """Write a file to the disk; its rows, bytes and hash. Packed without a time or a name: the same bytes again."""
    rows = 0
    with part.open("wb") as file:
        hashing = store.Hashing(file)
        target: Any = gzip.GzipFile("", "wb", 6, hashing, mtime=0) if packed else hashing
        target.write(kind.head)
        for block in blocks:
            rows += kind.rows(block)
            target.write(block)
        if packed:
            target.close()
        file.flush()
        os.fsync(file.fileno())
    return {"bytes": hashing.size, "sha256": hashing.digest.hexdigest(), "rows": rows}


def _fill_table(part: Path, blocks: Iterable[bytes], *, schema: pa.Schema) -> dict[str, Any]:
    """`_fill`, as a table."""
    records = (orjson.loads(line) for block in blocks for line in block.splitlines())
    with part.open("wb") as file:
        hashing = store.Hashing(file)
        rows = write_parquet(hashing, records, schema=schema)
        file.flush()
        os.fsync(file.fileno())
    return {"bytes": hashing.size, "sha256": hashing.digest.hexdigest(), "rows": rows}

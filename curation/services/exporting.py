"""Versions as trainers read them: lines over REST, files in a folder."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from curation.exports.files import ndjson_line
from curation.exports.formats import FormatOptions, converter
from curation.exports.schema import SPLITS, normalise
from curation.models import DatasetVersion
from tiebreak.core.errors import Invalid, Unavailable
from tiebreak.runs import store

# The name that a user types → the format's module and its options.
NAMES: Final[Mapping[str, tuple[str, FormatOptions]]] = {
    "native": ("raw", FormatOptions()),
    "trl": ("trl", FormatOptions(style="conversational")),
    "trl-text": ("trl", FormatOptions(style="text")),
}


def _format(name: str) -> tuple[str, FormatOptions]:
    if name not in NAMES:
        raise Invalid(f"format: expected one of {', '.join(NAMES)}, got {name!r}.", field="format")
    return NAMES[name]


def _split(split: str | None) -> str | None:
    if split is not None and split not in SPLITS:
        raise Invalid(f"split: expected one of {', '.join(SPLITS)}, got {split!r}.", field="split")
    return split


def count(version: DatasetVersion, split: str | None) -> int:
    """Rows of a split, or of all."""
    return int(version.counts.get(split, 0)) if split else sum(version.counts.values())


def lines(version: DatasetVersion, *, format: str, split: str | None = None, skip: int = 0) -> Iterator[bytes]:
    """Rows as NDJSON lines, streamed in flat memory, after `skip` lines. Checks its arguments before the first line."""
    name, options = _format(format)
    rows = version.rows.all() if _split(split) is None else version.rows.filter(split=split)
    return _lines(rows.order_by("position")[skip:].values_list("row", flat=True), name, options)


def _lines(rows: Any, name: str, options: FormatOptions) -> Iterator[bytes]:
    convert = converter(name).convert
    for row in rows.iterator(chunk_size=1_000):
        yield ndjson_line(convert(normalise(row), options))


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
                made = lines(version, format=format, split=file.split)
                written.append(_write(folder / f"{file.split}.jsonl", made, file.split, file.rows))
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
        text = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
        written.append(_write(folder / "manifest.json", iter([text.encode()]), None, 0))
    except OSError as error:
        raise Unavailable(
            f"{folder}: {error.strerror or error}; files that were complete are left, nothing is half-written.",
            code="cannot_write",
            path=str(folder),
        ) from error
    return {"version": str(version), "format": format, "files": written}


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

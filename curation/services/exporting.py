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

from curation.exports.files import ndjson_line
from curation.exports.formats import FORMATS, FormatOptions, converter
from curation.exports.schema import SPLITS, normalise
from curation.models import DatasetVersion
from tiebreak.core.errors import Invalid, Unavailable
from tiebreak.runs import store

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
}


def _format(name: str) -> tuple[str, FormatOptions]:
    if name not in NAMES:
        raise Invalid(f"format: expected one of {', '.join(NAMES)}, got {name!r}.", field="format")
    return NAMES[name]


def _split(split: str | None) -> str | None:
    if split is not None and split not in SPLITS:
        raise Invalid(f"split: expected one of {', '.join(SPLITS)}, got {split!r}.", field="split")
    return split


def count(version: DatasetVersion, split: str | None, *, format: str = "native") -> int:
    """Lines of a split, or of all, in a format."""
    rows = int(version.counts.get(split, 0)) if split else sum(version.counts.values())
    return rows * FORMATS[_format(format)[0]].records


def lines(version: DatasetVersion, *, format: str, split: str | None = None, skip: int = 0) -> Iterator[bytes]:
    """Rows as NDJSON lines, streamed in flat memory, after `skip` lines.

    Checks its arguments before the first line, and every row where the format cannot be told all of them: nothing
    breaks off in the middle.
    """
    name, options = _format(format)
    rows = version.rows.all() if _split(split) is None else version.rows.filter(split=split)
    ordered = rows.order_by("position").values_list("line", flat=True)
    if not FORMATS[name].total or options.margin:
        deque(_records(ordered, name, options), maxlen=0)
    done, begun = divmod(skip, FORMATS[name].records)
    return map(ndjson_line, islice(_records(ordered[done:], name, options), begun, None))


def _records(rows: Any, name: str, options: FormatOptions) -> Iterator[dict[str, Any]]:
    convert = converter(name).convert
    for row in rows.iterator(chunk_size=1_000):
        try:
            yield from convert(normalise(json.loads(row)), options)
        except ValueError as error:
            field, expected, got = error.args
            raise Invalid(
                f"The format cannot be told this version: {field}: expected {expected}, got {got}.", field=field
            ) from None


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
                n = count(version, file.split, format=format)
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

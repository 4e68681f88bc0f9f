"""Near-duplicates and contamination of partitions: texts are sketched and held against evaluation sets where they are,
pairs are found a band a worker, and what repeats what is decided once, as `curation.exports.near` decides it.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from curation.exports.contamination import Contamination, Overlap
from curation.exports.near import Plan, Sketches, band_pairs, find, sketch
from curation.exports.pairs import BoolArray, Found
from curation.exports.words import HashArray
from curation.scale.engine import Engine
from curation.scale.partitions import Part, read

COLUMNS: Final = ("prompt", "chosen", "rejected")
BATCH: Final = 1000
SKETCHES: Final = "sketches"

Sets = tuple[tuple[str, str], ...]
"""Names of evaluation sets, and their files."""


def repeating(
    parts: Sequence[Part],
    out: Path | str,
    engine: Engine,
    *,
    columns: Sequence[str] = COLUMNS,
    threshold: float = 0.8,
    seed: int = 0,
    against: Mapping[str, Path | str] | None = None,
    words: int = 13,
) -> Mapping[str, Any]:
    """Which rows repeat an earlier one, and which an evaluation set; a file ``near-N.parquet`` a partition in ``out``.

    ``columns`` hold texts or messages; a row's text is all of them together. ``against`` are files of texts by the name
    of their set: a text a line, or JSON Lines with a field ``text``. Columns of the files: id, repeats (the id of the
    earlier row that is kept), similarity, cluster, contaminated (the cause). The folder must be there for every worker,
    as must the files; sketches are kept in it meanwhile, some 8 bytes a band and 4 a word. Returns counts. Raises
    ValueError for what is no threshold, no column, or no text.
    """
    plan = Plan.of(threshold, seed)
    sets: Sets = tuple((name, str(path)) for name, path in sorted((against or {}).items()))
    _check(parts, columns, sets)
    names = names_of(parts)
    with sketches_in(out) as folder:
        sketches = engine.bring(engine.each(_sketched, parts, names, told=(plan, folder, tuple(columns))))

        def by_band(among: BoolArray) -> list[HashArray]:
            bands = engine.each(band_pairs, range(plan.bands), told=(sketches, plan, among))
            return engine.bring(bands)

        found = find(sketches, plan, by_band)
    tables = tables_of(parts, [each.n for each in sketches], found, engine)
    told = engine.bring(engine.each(_written, parts, tables, files_in(out, names), told=(tuple(columns), sets, words)))
    return {
        "rows": sum(part.n for part in sketches),
        "partitions": len(parts),
        "repeating": int((found.near.first >= 0).sum()),
        "contaminated": dict(sum(told, Counter(dict.fromkeys((name for name, _ in sets), 0)))),
    }


@contextmanager
def sketches_in(out: Path | str) -> Iterator[str]:
    """A folder for what workers leave each other, gone afterwards."""
    folder = Path(out) / SKETCHES
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield str(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def names_of(parts: Sequence[Part]) -> list[str]:
    return [f"{number:05d}" for number in range(len(parts))]


def files_in(out: Path | str, names: Sequence[str]) -> list[str]:
    return [str(Path(out) / f"near-{name}.parquet") for name in names]


def _check(parts: Sequence[Part], columns: Sequence[str], sets: Sets) -> None:
    """Says here, and not on a worker, that a file cannot be read."""
    _texts_of_sets(sets)
    for path in dict.fromkeys(part.path for part in parts):
        names = pq.read_schema(path).names
        for column in columns:
            if column not in names:
                raise ValueError("columns", f"some of {', '.join(names)}, as {path} has", column)


def tables_of(parts: Sequence[Part], rows: Sequence[int], found: Found, engine: Engine) -> list[pa.Table]:
    """For each partition, of so many rows, what its rows repeat, by id, how alike they are, and their cluster."""
    begins = np.cumsum([0, *rows])
    first, clusters = found.near.first, found.clusters()
    wanted = np.unique(first[first >= 0])
    by_part = [wanted[(wanted >= a) & (wanted < b)] for a, b in pairwise(begins)]
    ids = engine.bring(
        engine.each(_ids, parts, [(of - a).tolist() for of, a in zip(by_part, begins[:-1], strict=True)])
    )
    names = pa.array([name for some in ids for name in some], pa.string())
    places, similarity = np.searchsorted(wanted, first), found.near.similarity
    # Each from its own part of the arrays: a slice of one table would travel with all of it.
    return [
        pa.table(
            {
                "repeats": names.take(pa.array(places[a:b], mask=first[a:b] < 0)),
                "similarity": pa.array(similarity[a:b], from_pandas=True),
                "cluster": clusters[a:b],
            }
        )
        for a, b in pairwise(begins)
    ]


# What is done with one partition, where it is.


def _sketched(part: Part, name: str, plan: Plan, folder: str, columns: Sequence[str]) -> Sketches:
    return sketch(("\n".join(texts) for rows in _batches(part, columns) for texts in rows), plan, folder, name)


def _ids(part: Part, places: Sequence[int]) -> list[str]:
    return id_column(part).take(pa.array(places, pa.int64())).to_pylist() if places else []


def _written(part: Part, table: pa.Table, file: str, columns: Sequence[str], sets: Sets, words: int) -> Counter[str]:
    """Writes the partition's file. Returns how many rows repeat each set."""
    index, found = _contamination(sets, words), list[Overlap | None]()
    for rows in _batches(part, columns):
        found += index.of_rows(rows)
    causes = pa.array([each and each.cause for each in found], pa.string())
    told = table.add_column(0, "id", id_column(part)).append_column("contaminated", causes)
    pq.write_table(told, file, compression="zstd")
    return Counter(each.name for each in found if each)


def id_column(part: Part) -> pa.Array:
    """The rows' ids; where the file has none, its name and their number in it."""
    file = pq.ParquetFile(part.path)
    if "id" in file.schema_arrow.names:
        return read(part, ("id",))["id"].cast(pa.string()).combine_chunks()
    before = sum(file.metadata.row_group(group).num_rows for group in range(part.start))
    held = sum(file.metadata.row_group(group).num_rows for group in range(part.start, part.stop))
    return pa.array([f"{Path(part.path).name}#{before + i}" for i in range(held)], pa.string())


def _batches(part: Part, columns: Sequence[str]) -> Iterator[list[list[str]]]:
    """Rows as the texts of their columns, some at a time."""
    file = pq.ParquetFile(part.path)
    groups = list(range(part.start, part.stop))
    for batch in file.iter_batches(BATCH, row_groups=groups, columns=list(columns), use_threads=False):
        table = [batch.column(name).to_pylist() for name in columns]
        yield [[text for cell in cells for text in _texts(cell)] for cells in zip(*table, strict=True)]


def _texts(cell: Any) -> Iterator[str]:
    """A cell's texts: itself, or its messages."""
    for each in cell if isinstance(cell, list) else [cell]:
        text = each.get("content") if isinstance(each, dict) else each
        if isinstance(text, str):
            yield text


@lru_cache(1)
def _contamination(sets: Sets, words: int) -> Contamination:
    """Made once a worker."""
    return Contamination(_texts_of_sets(sets), words)


def _texts_of_sets(sets: Sets) -> dict[str, list[str]]:
    return {name: list(_texts_of(path)) for name, path in sets}


def _texts_of(path: str) -> Iterator[str]:
    with Path(path).open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if not path.endswith((".jsonl", ".ndjson", ".json")):
                yield line
                continue
            try:
                yield str(json.loads(line)["text"])
            except (ValueError, KeyError, TypeError):
                raise ValueError(path, 'lines like {"text": "…"}', f"line {number}: {line[:60]}") from None

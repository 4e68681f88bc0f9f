"""Near-duplicates by embedding, of partitions: vectors are normalised and projected where they are, near pairs are
found a band a worker, and what repeats what is decided once, as `curation.exports.near_vectors` decides it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curation.exports.near_vectors import Projections, Shelved, Writer, band_pairs, find
from curation.exports.pairs import BoolArray
from curation.exports.words import HashArray
from curation.scale.engine import Engine
from curation.scale.partitions import Part
from curation.scale.repeating import files_in, id_column, names_of, sketches_in, tables_of

COLUMN: Final = "vector"
BATCH: Final = 4096


def repeating_vectors(
    parts: Sequence[Part],
    out: Path | str,
    engine: Engine,
    *,
    column: str = COLUMN,
    threshold: float = 0.95,
    seed: int = 0,
) -> Mapping[str, Any]:
    """Which rows point where an earlier one does; a file ``near-N.parquet`` a partition in ``out``.

    ``column`` holds lists of as many floats in each row; null, or zeros, repeats nothing. Columns of the files: id,
    repeats (the id of the earlier row that is kept), similarity (the cosine), cluster. The folder must be there for
    every worker, as must the files; vectors are kept in it meanwhile, 2 bytes a number and some 350 a row. Returns
    counts. Raises ValueError for what is no threshold, no such column, another dimension, or not finite.
    """
    projections = Projections.of(threshold, seed)
    _check(parts, column)
    names = names_of(parts)
    with sketches_in(out) as folder:
        shelved = engine.bring(engine.each(_shelved, parts, names, told=(projections, folder, column)))
        _check_dimensions(parts, shelved, column)

        def by_band(bands: Sequence[int], among: BoolArray) -> list[HashArray]:
            return engine.bring(engine.each(band_pairs, bands, told=(shelved, projections, among)))

        found = find(shelved, projections, by_band)
    tables = tables_of(parts, [each.n for each in shelved], found, engine)
    engine.bring(engine.each(_written, parts, tables, files_in(out, names)))
    return {
        "rows": sum(part.n for part in shelved),
        "partitions": len(parts),
        "without a vector": sum(part.n - part.m for part in shelved),
        "repeating": int((found.near.first >= 0).sum()),
    }


def _check(parts: Sequence[Part], column: str) -> None:
    """Says here, and not on a worker, that a file has no vectors."""
    for path in dict.fromkeys(part.path for part in parts):
        schema = pq.read_schema(path)
        if column not in schema.names:
            raise ValueError("column", f"one of {', '.join(schema.names)}, as {path} has", column)
        kind = schema.field(column).type
        lists = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
        if not (lists and pa.types.is_floating(kind.value_type)):
            raise ValueError(column, f"lists of floats in {path}", kind)


def _check_dimensions(parts: Sequence[Part], shelved: Sequence[Shelved], column: str) -> None:
    known = [(each.dimension, part.path) for part, each in zip(parts, shelved, strict=True) if each.m]
    for dimension, path in known:
        if dimension != known[0][0]:
            raise ValueError(column, f"{known[0][0]} numbers, as in {known[0][1]}", f"{dimension} in {path}")


# What is done with one partition, where it is.


def _shelved(part: Part, name: str, projections: Projections, folder: str, column: str) -> Shelved:
    writer = Writer(projections, folder, name)
    file = pq.ParquetFile(part.path)
    groups = list(range(part.start, part.stop))
    for batch in file.iter_batches(BATCH, row_groups=groups, columns=[column], use_threads=False):
        try:
            vectors = _dense(batch.column(0))
            writer.add(vectors) if vectors.shape[1] else writer.skip(len(vectors))
        except ValueError as error:
            raise ValueError(f"{column} in {part.path}", *error.args[1:] or error.args) from None
    return writer.end()


def _dense(cells: pa.Array) -> npt.NDArray[Any]:
    """[k, d]; zeros where nothing is."""
    known = cells.drop_null()
    lengths = pc.unique(pc.list_value_length(known)).to_pylist() or [0]
    if len(lengths) > 1:
        raise ValueError("vector", f"{lengths[0]} numbers in each", lengths[1])
    values = known.flatten()
    if values.null_count:
        raise ValueError("vector", f"{lengths[0]} finite numbers", "null")
    found = np.zeros((len(cells), lengths[0]), dtype=values.type.to_pandas_dtype())
    found[np.asarray(cells.is_valid())] = np.asarray(values).reshape(len(known), lengths[0])
    return found


def _written(part: Part, table: pa.Table, file: str) -> None:
    pq.write_table(table.add_column(0, "id", id_column(part)), file, compression="zstd")

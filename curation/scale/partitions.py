"""Partitions: some row groups of a version's Parquet, read as arrays where they are worked on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curation.stats.votes import FloatArray, IntArray, Votes

Judges = npt.NDArray[np.bool_]


class Part(NamedTuple):
    """Which rows: row groups ``start`` up to ``stop`` of a file."""

    path: str
    start: int
    stop: int


class Loaded(NamedTuple):
    """The votes of a partition: C comparisons by their ids, n votes by raters whose names are still its own."""

    ids: tuple[str, ...]
    comparison: IntArray
    """[n]"""
    rater: IntArray
    """[n] position among ``raters``"""
    preference: FloatArray
    raters: tuple[str, ...]
    """With the kind, as in judge/heron: a person and a judge of one name are two."""


def partitions(paths: Sequence[Path | str], *, rows: int = 1_000_000) -> list[Part]:
    """The files cut along row groups into partitions of about so many rows, in their order."""
    parts: list[Part] = []
    for path in sorted(map(str, paths)):
        metadata = pq.ParquetFile(path).metadata
        start, held = 0, 0
        for group in range(metadata.num_row_groups):
            held += metadata.row_group(group).num_rows
            if held >= rows or group == metadata.num_row_groups - 1:
                parts.append(Part(path, start, group + 1))
                start, held = group + 1, 0
    return parts


def read(part: Part, columns: Sequence[str]) -> pa.Table:
    return pq.ParquetFile(part.path).read_row_groups(range(part.start, part.stop), columns=list(columns))


def load(part: Part) -> Loaded:
    """The votes of the partition's rows; those without a side are left out, their comparisons stay."""
    table = read(part, ("id", "votes")).combine_chunks()
    ids = tuple(table["id"].to_pylist())
    votes = table["votes"].chunk(0) if len(table) else pa.array([], table.schema.field("votes").type)
    said = votes.flatten()
    kept = said.field("preference").is_valid()
    comparison = np.repeat(np.arange(len(ids)), np.asarray(pc.fill_null(pc.list_value_length(votes), 0)))
    names = pc.binary_join_element_wise(said.field("kind"), said.field("rater"), "/").filter(kept).dictionary_encode()
    mask = np.asarray(kept)
    return Loaded(
        ids,
        comparison[mask].astype(np.int64),
        np.asarray(names.indices).astype(np.int64),
        np.asarray(said.field("preference").filter(kept), dtype=np.float64),
        tuple(names.dictionary.to_pylist()),
    )


def raters_of(loaded: Loaded) -> tuple[str, ...]:
    return loaded.raters


def votes_of(loaded: Loaded, raters: Sequence[str]) -> Votes:
    """The partition's votes with the raters numbered as in all partitions together."""
    code = {name: i for i, name in enumerate(raters)}
    mine = np.array([code[name] for name in loaded.raters], dtype=np.int64)
    return Votes.from_arrays(
        loaded.comparison,
        mine[loaded.rater] if len(mine) else loaded.rater,
        loaded.preference,
        comparisons=loaded.ids,
        raters=tuple(raters),
    )

"""Near-duplicates by embeddings: vectors that point where an earlier one does, whatever the words.

Few vectors are held all against all. Of many, signs of random projections (Charikar 2002, "Similarity estimation
techniques from rounding algorithms") say which pairs to look at, and their cosine decides. Vectors lie in files, with
their keys by band: what finds the pairs reads them by band, and does not ask who wrote them, one process, or the
workers of a cluster.
"""

from __future__ import annotations

import hashlib
import math
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from curation.exports.pairs import (
    BoolArray,
    FloatArray,
    Found,
    IntArray,
    Near,
    distinct,
    left_of,
    packed,
    resolve,
    right_of,
)
from curation.exports.words import HashArray

Halves = npt.NDArray[np.float16]
Floats = npt.NDArray[np.float32]
Keys = npt.NDArray[np.uint32]

EXACT: Final = 20_000
"""Vectors that are held all against all."""
LOW: Final = 0.9
"""A threshold up to which vectors share so many bands that these find less than all against all, and hardly sooner,"""
EXACT_LOW: Final = 100_000
"""of so many vectors."""
BANDS: Final = 64
BITS: Final = 31
"""At most so many projections a band."""
RECALL: Final = 0.99
"""Of pairs exactly as alike as the threshold, the share that shares a band."""
WINDOW: Final = 32
"""Vectors before it in its band that a vector is held against, beside the first."""
TOGETHER: Final = 8
"""Bands of a round, each worked out by itself; what they found is heeded from the next round on."""
PROBED: Final = 32
"""Bands whose signs tell, before a vector is read, that two are too far apart."""
SIGMAS: Final = 3
"""By how many standard deviations more signs than of a pair at the threshold must differ for that."""
BLOCK: Final = 4096
"""Vectors, or pairs, at once."""
_GRID, _PLANES = 4096, 32  # of a vector's length, and of a plane's numbers: whole numbers, see `Projections.keys`


class Projections(NamedTuple):
    """How many projections a band takes, and from which cosine on vectors are near."""

    threshold: float
    bits: int
    seed: int

    @classmethod
    def of(cls, threshold: float, seed: int = 0) -> Projections:
        """As many bits as still let `RECALL` of the pairs at the threshold share one of `BANDS` bands."""
        if not 0 < threshold <= 1:
            raise ValueError("threshold", "a cosine above 0, 1 at most", threshold)
        agree = 1 - math.acos(threshold) / math.pi  # that one sign is the same for both
        needed = 1 - (1 - RECALL) ** (1 / BANDS)
        bits = BITS if agree == 1 else int(math.log(needed) / math.log(agree))
        return cls(threshold, max(1, min(BITS, bits)), seed)

    def keys(self, vectors: Halves) -> Keys:
        """[m, BANDS] signs of the projections, as the bits of a number a band.

        Vectors and planes are rounded to whole numbers so small that their sums are exact in floats, in whatever order
        a machine adds them up: workers that cut the same vectors into other blocks find the same keys.
        """
        grid = np.rint(_unit(vectors) * _GRID)
        signs = np.zeros((len(vectors), BANDS, 32), dtype=bool)
        above = (grid @ _planes(vectors.shape[1], self)).reshape(-1, BANDS, self.bits)
        np.greater(above, 0, out=signs[:, :, : self.bits])
        return np.packbits(signs.reshape(-1)).view(np.uint32).reshape(-1, BANDS)

    @property
    def apart(self) -> int:
        """Signs of `PROBED` bands that hardly differ more for a pair at the threshold."""
        n, p = PROBED * self.bits, math.acos(self.threshold) / math.pi
        return math.ceil(n * p + SIGMAS * math.sqrt(n * p * (1 - p)))


@lru_cache(1)
def _planes(dimension: int, projections: Projections) -> Floats:
    """[dimension, BANDS * bits] normals of the planes."""
    drawn = np.random.default_rng(projections.seed).standard_normal((dimension, BANDS * projections.bits), np.float32)
    planes: Floats = np.rint(drawn * _PLANES)
    return planes


def _unit(vectors: npt.NDArray[Any]) -> Floats:
    read = vectors.astype(np.float32)
    unit: Floats = read / np.linalg.norm(read, axis=1, keepdims=True)
    return unit


class Shelved(NamedTuple):
    """Where m vectors of n rows lie: files in a folder. The other rows have none, and repeat nothing."""

    folder: str
    name: str
    n: int
    m: int
    dimension: int
    """0 where no vector is."""

    def path(self, kind: str) -> Path:
        return Path(self.folder) / f"{self.name}.{kind}"


class Writer:
    """Vectors into files: places int64 [m] among the rows, vectors float16 [m, d], whole uint64 [m] (their hashes),
    probes uint32 [m, PROBED], and keys uint32 in blocks [BANDS, BLOCK]."""

    def __init__(self, projections: Projections, folder: Path | str, name: str) -> None:
        self.projections, self.at = projections, Shelved(str(folder), name, 0, 0, 0)
        self.held: list[Halves] = []
        self.waiting = 0
        kinds = ("places", "vectors", "whole", "probes", "keys")
        self.files = {kind: self.at.path(kind).open("wb") for kind in kinds}
        self.close = weakref.finalize(self, _close, list(self.files.values()))

    def skip(self, rows: int) -> None:
        """Rows without a vector."""
        self.at = self.at._replace(n=self.at.n + rows)

    def add(self, vectors: npt.ArrayLike) -> None:
        """[k, d] of the next k rows; zeros are no vector. Raises ValueError for another dimension, and for what is not
        finite."""
        with np.errstate(over="ignore"):  # what is too long for floats is not finite
            given = np.asarray(vectors, dtype=np.float32)
            length = np.sqrt(np.einsum("...d,...d->...", given, given))[..., None]
        dimension = self.at.dimension or given.shape[-1]
        if given.ndim != 2 or given.shape[1] != dimension:
            raise ValueError("vector", f"{dimension} finite numbers", given.shape[1:])
        if not np.isfinite(length).all():
            raise ValueError("vector", f"{dimension} finite numbers", "nan or infinity")
        some = np.flatnonzero(length)
        self.files["places"].write((self.at.n + some).tobytes())
        self.held.append((given[some] / length[some]).astype(np.float16))
        self.at = self.at._replace(n=self.at.n + len(given), m=self.at.m + len(some), dimension=dimension)
        self.waiting += len(some)
        if self.waiting >= BLOCK:
            self._write()

    def end(self) -> Shelved:
        if self.waiting:
            self._write(to_the_end=True)
        self.close()
        return self.at

    def _write(self, *, to_the_end: bool = False) -> None:
        """Whole blocks; at the end what is left, too."""
        held = np.concatenate(self.held)
        whole = len(held) if to_the_end else len(held) // BLOCK * BLOCK
        for at in range(0, whole, BLOCK):
            self._block(held[at : min(at + BLOCK, whole)])
        self.held, self.waiting = [held[whole:]], len(held) - whole

    def _block(self, vectors: Halves) -> None:
        keys = self.projections.keys(vectors)
        by_band = np.zeros((BANDS, BLOCK), dtype=np.uint32)
        by_band[:, : len(keys)] = keys.T
        self.files["vectors"].write(vectors.tobytes())
        self.files["whole"].write(b"".join(hashlib.blake2b(row, digest_size=8).digest() for row in vectors))
        self.files["probes"].write(keys[:, :PROBED].tobytes())
        self.files["keys"].write(by_band.tobytes())


def _close(files: Sequence[BinaryIO]) -> None:
    for file in files:
        file.close()


class NearVectors:
    """Vectors, told in order; then which point where an earlier one does: with a cosine of ``threshold`` or more.

    They are kept in halves on disk, and some 100 bytes of memory a vector are needed. Exact up to `EXACT` vectors,
    `EXACT_LOW` at a low threshold; beyond, a pair may be missed where a great many vectors are alike, though not as
    much as the threshold.
    """

    def __init__(self, threshold: float, seed: int = 0) -> None:
        self.projections = Projections.of(threshold, seed)
        self._folder = tempfile.mkdtemp(prefix="near-")
        self._gone = weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        self._writer = Writer(self.projections, self._folder, "vectors")
        self._found: Found | None = None

    def add(self, vector: npt.ArrayLike | None) -> None:
        """None, and zeros, repeat nothing. Raises ValueError for another dimension, and for what is not finite."""
        if vector is None:
            self._writer.skip(1)
        else:
            self._writer.add(np.asarray(vector)[None])

    def find(self) -> Near:
        """What each vector repeats."""
        return self._find().near

    def clusters(self) -> IntArray:
        """[n] codes, equal for vectors that are near, by way of others if need be; by the first of them, from 0."""
        return self._find().clusters()

    def _find(self) -> Found:
        if self._found is None:
            self._found = find([self._writer.end()], self.projections)
            self._gone()
        return self._found


ByBand = Callable[[Sequence[int], BoolArray], Iterable[HashArray]]
"""The near pairs of each of some bands, as `band_pairs` finds them."""


def find(parts: Sequence[Shelved], projections: Projections, by_band: ByBand | None = None) -> Found:
    """What the rows of all parts repeat, in the order of the parts. ``by_band`` may be done by a cluster's workers, a
    band each: rounds are the same, and so is what is found."""
    shelf = _Shelf(parts, projections)

    def here(bands: Sequence[int], among: BoolArray) -> Iterator[HashArray]:
        return (band_pairs(band, parts, projections, among) for band in bands)

    most = EXACT_LOW if projections.threshold <= LOW else EXACT
    candidates = shelf.one_by_one if len(shelf) <= most else partial(_rounds, by_band or here)
    known = np.ones(len(shelf), dtype=bool)
    return shelf.spread(resolve(shelf.whole(), known, candidates, shelf.cosine, projections.threshold))


def _rounds(by_band: ByBand, among: BoolArray) -> Iterator[HashArray]:
    """Pairs that share a band and are near; a vector that repeats a kept one is not looked at in later rounds."""
    found = np.zeros(0, dtype=np.uint64)
    for first in range(0, BANDS, TOGETHER):
        some = by_band(range(first, first + TOGETHER), among & ~_repeating(found, len(among)))
        found = distinct(np.concatenate([found, *some]))
    yield found


def _repeating(pairs: HashArray, n: int) -> BoolArray:
    """[n] which are near an earlier one that is kept, in order."""
    ordered = packed(right_of(pairs), left_of(pairs))
    ordered.sort()
    repeating = bytearray(n)
    for right, left in zip(left_of(ordered).tolist(), right_of(ordered).tolist(), strict=True):
        if not repeating[left]:
            repeating[right] = True
    return np.frombuffer(repeating, dtype=bool)


def band_pairs(band: int, parts: Sequence[Shelved], projections: Projections, among: BoolArray) -> HashArray:
    """Near pairs of those ``among`` [m] that share a band; of each with one before it, the first that is found."""
    shelf, rows, alone = _Shelf(parts, projections), np.flatnonzero(among), among.copy()
    found = [np.zeros(0, dtype=np.uint64)]
    for left, right in _windows(shelf.keys(band)[rows], rows):
        asked = alone[right]
        left, right = left[asked], right[asked]
        near = shelf.near(left, right)
        alone[right[near]] = False
        found.append(packed(left[near], right[near]))
    return np.concatenate(found)


def _windows(keys: Keys, rows: IntArray) -> Iterator[tuple[IntArray, IntArray]]:
    """Pairs of one key: each with the first of its key and then with those up to `WINDOW` before it."""
    ordered = packed(keys, np.arange(len(keys)))
    ordered.sort()
    key = (ordered >> np.uint64(32)).astype(np.uint32)
    shared = np.flatnonzero(key[1:] == key[:-1])
    several = np.zeros(len(key), dtype=bool)
    several[shared] = several[shared + 1] = True
    key, row = key[several], rows[right_of(ordered[several])]
    again = np.flatnonzero(key[1:] == key[:-1]) + 1
    first = np.arange(len(key))
    first[again] = 0
    first = np.maximum.accumulate(first)
    yield row[first[again]], row[again]
    for lag in range(1, WINDOW + 1):
        again = again[again - first[again] > lag]  # those with another between it and the first
        if not len(again):
            return
        yield row[again - lag], row[again]


class _Shelf:
    """The m vectors of all parts, read where they are needed."""

    def __init__(self, parts: Sequence[Shelved], projections: Projections) -> None:
        self.every, self.parts, self.projections = parts, [part for part in parts if part.m], projections
        self.begins = np.cumsum([0, *(part.m for part in self.parts)])
        self.vectors, self.probes = self._files("vectors", np.float16), self._files("probes", np.uint32)

    def __len__(self) -> int:
        return int(self.begins[-1])

    def _files(self, kind: str, dtype: npt.DTypeLike, *shape: int) -> list[npt.NDArray[Any]]:
        """Of each part, [m, ...] unless another shape is told."""
        return [np.memmap(part.path(kind), dtype=dtype, mode="r").reshape(shape or (part.m, -1)) for part in self.parts]

    def keys(self, band: int) -> Keys:
        """[m] of a band."""
        files = zip(self._files("keys", np.uint32, -1, BANDS, BLOCK), self.parts, strict=True)
        return np.concatenate([blocks[:, band].reshape(-1)[: part.m] for blocks, part in files])

    def whole(self) -> HashArray:
        """[m] hashes of the vectors."""
        return np.concatenate([np.zeros(0, np.uint64), *(file[:, 0] for file in self._files("whole", np.uint64))])

    def spread(self, found: Found) -> Found:
        """What is found of the m vectors, of the n rows that they belong to."""
        begins = np.cumsum([0, *(part.n for part in self.every)])
        of = [
            begin + np.fromfile(part.path("places"), np.int64) for part, begin in zip(self.every, begins, strict=False)
        ]
        places = np.concatenate([np.zeros(0, np.int64), *of])
        first, similarity = np.full(begins[-1], -1), np.full(begins[-1], np.nan)
        repeating = found.near.first >= 0
        first[places[repeating]] = places[found.near.first[repeating]]
        similarity[places] = found.near.similarity
        links = found.links._replace(left=places[found.links.left], right=places[found.links.right])
        return Found(Near(first, similarity), links)

    def one_by_one(self, among: BoolArray) -> Iterator[HashArray]:
        """In order: each is held against all of those before it that are kept."""
        rows, step, threshold = np.flatnonzero(among), BLOCK // 8, self.projections.threshold
        kept = np.zeros(len(among), dtype=bool)
        for begin in range(0, len(rows), step):
            mine, before = rows[begin : begin + step], np.flatnonzero(kept)
            block = _unit(self._read(self.vectors, mine))
            alone, found = np.ones(len(mine), dtype=bool), [np.zeros(0, dtype=np.uint64)]
            for at in range(0, len(before), step):
                some = before[at : at + step]
                right, left = np.nonzero(block @ _unit(self._read(self.vectors, some)).T >= threshold)
                alone[right] = False
                found.append(packed(some[left], mine[right]))
            alike = block @ block.T >= threshold
            for i in range(1, len(mine)):
                left = np.flatnonzero(alike[i, :i] & alone[:i])
                if len(left):
                    alone[i] = False
                    found.append(packed(mine[left], np.full(len(left), mine[i])))
            kept[mine] = alone
            yield np.concatenate(found)

    def near(self, left: IntArray, right: IntArray) -> BoolArray:
        """Of pairs, whether they are as alike as the threshold. Only of those whose signs say so is more read."""
        near = np.zeros(len(left), dtype=bool)
        for at in range(0, len(left), BLOCK):
            a, b = (self._read(self.probes, rows[at : at + BLOCK]) for rows in (left, right))
            near[at : at + BLOCK] = np.bitwise_count(a ^ b).sum(axis=1) <= self.projections.apart
        near[near] = self.cosine(left[near], right[near]) >= self.projections.threshold
        return near

    def cosine(self, left: IntArray, right: IntArray) -> FloatArray:
        """Of pairs; equal halves have exactly 1."""
        found = np.zeros(len(left))
        for at in range(0, len(left), BLOCK):
            a, b = (_unit(self._read(self.vectors, rows[at : at + BLOCK])) for rows in (left, right))
            found[at : at + BLOCK] = np.einsum("nd,nd->n", a, b)
        return np.minimum(found, 1.0)

    def _read(self, files: Sequence[npt.NDArray[Any]], rows: IntArray) -> npt.NDArray[Any]:
        """[k, ...] of the rows, from the files of all parts."""
        part = np.searchsorted(self.begins, rows, side="right") - 1
        found = np.empty((len(rows), files[0].shape[1]), files[0].dtype)
        for number in np.unique(part):
            mine = part == number
            found[mine] = files[number][rows[mine] - self.begins[number]]
        return found

"""Near-duplicates by embeddings: vectors that point where an earlier one does, whatever the words.

Few vectors are held all against all. Of many, signs of random projections (Charikar 2002, "Similarity estimation
techniques from rounding algorithms") say which pairs to look at, and their cosine decides.
"""

from __future__ import annotations

import hashlib
import math
import tempfile
from array import array
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from curation.exports.near import BoolArray, FloatArray, IntArray, Near, resolve
from curation.exports.words import HashArray

Halves = npt.NDArray[np.float16]

EXACT: Final = 20_000
"""Vectors that are held all against all."""
BANDS: Final = 64
BITS: Final = 31
"""At most so many projections a band."""
RECALL: Final = 0.99
"""Of pairs exactly as alike as the threshold, the share that shares a band."""
WINDOW: Final = 16
"""Vectors before it in its band that a vector is held against, beside the first."""
TOGETHER: Final = 8
"""Bands worked out in one reading of the vectors."""
BLOCK: Final = 4096
"""Vectors, or pairs, at once."""


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

    def planes(self, dimension: int, first: int) -> npt.NDArray[np.float32]:
        """[dimension, TOGETHER * bits] normals of the planes of the bands from ``first`` on."""
        rng = np.random.default_rng([self.seed, first])
        return rng.standard_normal((dimension, TOGETHER * self.bits), dtype=np.float32)


class NearVectors:
    """Vectors, told in order; then which point where an earlier one does: with a cosine of ``threshold`` or more.

    They are kept in halves on disk, and some 100 bytes of memory a vector are needed. Exact up to `EXACT` vectors;
    beyond, a pair may be missed where a great many vectors are alike, though not as much as the threshold.
    """

    def __init__(self, threshold: float, seed: int = 0) -> None:
        self.projections = Projections.of(threshold, seed)
        self._file = tempfile.TemporaryFile(prefix="near-")  # noqa: SIM115 - closed with the answer
        self._n = self._dimension = 0
        self._places, self._whole = array("q"), array("Q")
        self._found: Near | None = None

    def add(self, vector: npt.ArrayLike | None) -> None:
        """None, and zeros, repeat nothing. Raises ValueError for another dimension, and for what is not finite."""
        self._n += 1
        if vector is None:
            return
        given = np.asarray(vector, dtype=np.float32)
        length = float(np.linalg.norm(given))
        self._dimension = self._dimension or given.size
        if given.shape != (self._dimension,) or not math.isfinite(length):
            raise ValueError("vector", f"{self._dimension} finite numbers", given.shape)
        if length > 0:
            data = (given / length).astype(np.float16).tobytes()
            self._file.write(data)
            self._places.append(self._n - 1)
            self._whole.append(int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little"))

    def find(self) -> Near:
        """What each vector repeats."""
        found, places = self._find(), np.array(self._places, dtype=np.int64)
        first, similarity = np.full(self._n, -1), np.full(self._n, np.nan)
        similarity[places] = found.similarity
        first[places] = np.where(found.first < 0, -1, places[found.first])
        return Near(first, similarity)

    def _find(self) -> Near:
        if self._found is None:
            self._file.flush()
            shape = (len(self._places), self._dimension)
            vectors = (
                np.memmap(self._file, dtype=np.float16, mode="r", shape=shape)
                if shape[0]
                else np.zeros(shape, np.float16)
            )
            self._found = _Held(vectors, self.projections).found(np.array(self._whole, dtype=np.uint64))
            self._file.close()
        return self._found

    def __del__(self) -> None:
        self._file.close()


class _Held:
    """m vectors of unit length, to be held against each other."""

    def __init__(self, vectors: Halves, projections: Projections) -> None:
        self.vectors, self.projections = vectors, projections

    def found(self, whole: HashArray) -> Near:
        if len(self.vectors) <= EXACT:
            return self._one_by_one()
        every = np.ones(len(whole), dtype=bool)
        return resolve(whole, every, self._by_band, self.cosine, self.projections.threshold).near

    def _one_by_one(self) -> Near:
        """In order: each is held against all of those before it that are kept."""
        n, step = len(self.vectors), BLOCK // 8
        near = Near(np.full(n, -1), np.full(n, np.nan))
        for begin in range(0, n, step):
            block = self._read(slice(begin, begin + step))
            for at in range(0, begin, step):
                self._take(near, begin, self._to_kept(block, at, near), at)
            alike = self._to_kept(block, begin, near)
            for i in range(1, len(block)):
                self._take(near, begin + i, alike[i : i + 1, :i], begin)
                if near.first[begin + i] >= 0:
                    alike[:, i] = -1.0
        return near

    def _to_kept(self, block: npt.NDArray[np.float32], at: int, near: Near) -> FloatArray:
        """[block, step] cosines to those from ``at`` on; -1 to what is left out."""
        held = self._read(slice(at, at + BLOCK // 8))
        alike: FloatArray = np.minimum(block @ held.T, 1.0).astype(np.float64)
        alike[:, near.first[at : at + len(held)] >= 0] = -1.0
        return alike

    def _take(self, near: Near, begin: int, alike: FloatArray, at: int) -> None:
        """The most alike for each of those from ``begin`` on, where it is alike enough and more so than one before."""
        best = alike.argmax(axis=1)
        value = alike[np.arange(len(alike)), best]
        better = np.flatnonzero(
            (value >= self.projections.threshold) & ~(near.similarity[begin:][: len(value)] >= value)
        )
        near.first[begin + better], near.similarity[begin + better] = best[better] + at, value[better]

    def cosine(self, left: IntArray, right: IntArray) -> FloatArray:
        """Of pairs; equal halves have exactly 1."""
        found = np.zeros(len(left))
        for at in range(0, len(left), BLOCK):
            a, b = (self._read(rows[at : at + BLOCK]) for rows in (left, right))
            found[at : at + BLOCK] = np.einsum("nd,nd->n", a, b)
        return np.minimum(found, 1.0)

    def _read(self, rows: Any) -> npt.NDArray[np.float32]:
        read = self.vectors[rows].astype(np.float32)
        unit: npt.NDArray[np.float32] = read / np.linalg.norm(read, axis=1, keepdims=True)
        return unit

    def _by_band(self, among: BoolArray) -> Iterator[HashArray]:
        """Pairs that share a band and are near; a vector that has one is not looked at again."""
        rows, open_ = np.flatnonzero(among), np.ones(len(among), dtype=bool)
        for first in range(0, BANDS, TOGETHER):
            for keys in self._keys(rows, first).T:
                for left, right in _windows(keys, rows):
                    asked = open_[right]
                    left, right = left[asked], right[asked]
                    near = self.cosine(left, right) >= self.projections.threshold
                    open_[right[near]] = False
                    yield _packed(left[near], right[near])

    def _keys(self, rows: IntArray, first: int) -> npt.NDArray[np.uint32]:
        """[m, TOGETHER] signs of the projections, as the bits of a number a band."""
        bits = self.projections.bits
        planes = self.projections.planes(self.vectors.shape[1], first)
        weights = np.uint32(1) << np.arange(bits, dtype=np.uint32)
        keys = np.empty((len(rows), TOGETHER), dtype=np.uint32)
        for at in range(0, len(rows), BLOCK):
            above = self._read(rows[at : at + BLOCK]) @ planes > 0
            keys[at : at + BLOCK] = (above.reshape(-1, TOGETHER, bits) * weights).sum(axis=2, dtype=np.uint32)
        return keys


def _windows(keys: npt.NDArray[np.uint32], rows: IntArray) -> Iterator[tuple[IntArray, IntArray]]:
    """Pairs of one key: each with the first of its key and then with those up to `WINDOW` before it."""
    ordered = _packed(keys, np.arange(len(keys)))
    ordered.sort()
    key, row = ordered >> np.uint64(32), rows[(ordered & np.uint64(0xFFFFFFFF)).astype(np.int64)]
    again = np.flatnonzero(key[1:] == key[:-1]) + 1
    fresh = np.arange(len(key))
    fresh[again] = 0
    first = np.maximum.accumulate(fresh)
    yield row[first[again]], row[again]
    for lag in range(1, WINDOW + 1):
        again = again[again - first[again] > lag]  # those with another between it and the first
        if not len(again):
            return
        yield row[again - lag], row[again]


def _packed(left: npt.NDArray[Any], right: npt.NDArray[Any]) -> HashArray:
    return left.astype(np.uint64) << np.uint64(32) | right.astype(np.uint64)

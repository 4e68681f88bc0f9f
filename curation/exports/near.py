"""Near-duplicates: texts that repeat an earlier one but for a few words.

Texts are sets of shingles, runs of three words. MinHash with banding (Broder 1997; Leskovec, Rajaraman and Ullman,
"Mining of Massive Datasets", chapter 3) says which pairs to look at, by rensa's hashes, and the Jaccard similarity of
their shingles decides. Sketches lie in files, so that memory holds some numbers a text, however long the texts are;
what finds the pairs reads them by band, and does not ask who wrote them: one process, or the workers of a cluster.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

import numpy as np
import numpy.typing as npt
from rensa import RMinHash  # type: ignore[import-untyped]

from curation.exports.contamination import Contamination
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
from curation.exports.words import HashArray, Reader, Words, fold

Shingles = npt.NDArray[np.uint32]

__all__ = ["Contamination", "Near", "NearDuplicates", "Plan", "Sketches", "find", "sketch"]

SHINGLE: Final = 3
HASHES: Final = 128
"""At most so many hash functions: bands times rows of a band."""
MOST_ROWS: Final = 16
RECALL: Final = 0.99
"""Of pairs exactly as alike as the threshold, the share that is looked at, at least; of more alike ones, more."""
BLOCK: Final = 4096
"""Texts whose keys stand together in a file."""
AT_ONCE: Final = 1 << 17
"""Characters sketched at once, about; a longer text is sketched alone."""
VERIFIED: Final = 1 << 21
"""Shingles held against each other at once, about."""
_MIX: Final = np.uint64(0x9E3779B97F4A7C15)


class Plan(NamedTuple):
    """How texts are sketched, and when two are near."""

    threshold: float
    bands: int
    rows: int
    seed: int

    @classmethod
    def of(cls, threshold: float, seed: int = 0) -> Plan:
        """The widest bands that still find `RECALL` of the pairs at the threshold with `HASHES` functions."""
        if not 0 < threshold <= 1:
            raise ValueError("threshold", "a similarity above 0, 1 at most", threshold)
        rows = max(r for r in range(1, MOST_ROWS + 1) if r == 1 or _found(threshold, HASHES // r, r) >= RECALL)
        return cls(threshold, HASHES // rows, rows, seed)


def _found(similarity: float, bands: int, rows: int) -> float:
    return 1 - (1 - float(similarity) ** rows) ** bands


class Sketches(NamedTuple):
    """Where the sketches of n texts lie: three files in a folder."""

    folder: str
    name: str
    n: int

    def path(self, kind: str) -> Path:
        return Path(self.folder) / f"{self.name}.{kind}"


class NearDuplicates:
    """Texts, told in order; then what each of them repeats. Near are texts whose shingles have a Jaccard similarity of
    ``threshold`` or more. A text without words repeats nothing.

    Some 150 bytes of memory a text while pairs are looked for, whatever its length; on disk 8 a band and 4 a word.
    """

    def __init__(self, threshold: float, seed: int = 0) -> None:
        self.plan = Plan.of(threshold, seed)
        self._folder = tempfile.mkdtemp(prefix="near-")
        self._gone = weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        self._writer = _Writer(self.plan, self._folder, "texts")
        self._found: Found | None = None

    def add(self, text: str) -> None:
        if self._found is not None:
            raise ValueError("text", "all texts before the first question", "one more")
        self._writer.add(text)

    def find(self) -> Near:
        """What each text repeats."""
        return self._find().near

    def clusters(self) -> IntArray:
        """[n] codes, equal for texts that are near, by way of others if need be; by the first of them, from 0."""
        return self._find().clusters()

    def _find(self) -> Found:
        if self._found is None:
            self._found = find([self._writer.end()], self.plan)
            self._gone()
        return self._found


class _Writer:
    """Sketches texts into files: keys uint64 in blocks [1 + bands, BLOCK], sizes uint32 [n], shingles uint32."""

    def __init__(self, plan: Plan, folder: str, name: str) -> None:
        self.plan, self.at, self.n = plan, Sketches(folder, name, 0), 0
        self.reader = Reader()
        self.held: list[bytes] = []
        self.bytes = 0
        self.block: list[HashArray] = []
        self.files = {kind: self.at.path(kind).open("wb") for kind in ("keys", "sizes", "shingles")}
        self.close = weakref.finalize(self, _close, list(self.files.values()))

    def add(self, text: str) -> None:
        self.held.append(fold(text))
        self.bytes += len(self.held[-1])
        self.n += 1
        if self.bytes >= AT_ONCE or self.n % BLOCK == 0:
            self._sketch()

    def end(self) -> Sketches:
        self._sketch()
        if self.n % BLOCK:
            self.block.append(np.zeros((1 + self.plan.bands, BLOCK - self.n % BLOCK), dtype=np.uint64))
            self._write()
        self.close()
        return self.at._replace(n=self.n)

    def _sketch(self) -> None:
        if not self.held:
            return
        found = self.reader.words(self.held)
        shingles, sizes = self._shingles(found)
        whole = self.reader.runs(found.hashes, np.cumsum(found.lengths) - found.lengths, found.lengths)
        self.files["sizes"].write(sizes.astype(np.uint32).tobytes())
        self.files["shingles"].write(shingles.tobytes())
        self.block.append(np.vstack([whole[None], self._bands(shingles, sizes)]))
        self.held, self.bytes = [], 0
        if self.n % BLOCK == 0:
            self._write()

    def _shingles(self, found: Words) -> tuple[Shingles, IntArray]:
        """The shingles of the texts, one text after the other, and [m] how many each has.

        A text of fewer than `SHINGLE` words has one, all of it.
        """
        sizes = np.where(found.lengths >= SHINGLE, found.lengths - SHINGLE + 1, np.minimum(found.lengths, 1))
        starts = _ranges(np.cumsum(found.lengths) - found.lengths, sizes)
        runs = self.reader.runs(found.hashes, starts, np.repeat(np.minimum(found.lengths, SHINGLE), sizes))
        return (runs >> np.uint64(32)).astype(np.uint32), sizes

    def _bands(self, shingles: Shingles, sizes: IntArray) -> HashArray:
        """[bands, m] a number for the smallest hashes of each band; 0 for a text without words."""
        plan, some = self.plan, np.flatnonzero(sizes)
        keys = np.zeros((plan.bands, len(sizes)), dtype=np.uint64)
        ends = np.concatenate([[0], np.cumsum(sizes[some])]).astype(np.uint64)
        digests = RMinHash.digest_matrix_from_flat_token_hashes(
            shingles.astype(np.uint64), ends, plan.bands * plan.rows, plan.seed
        )
        least = np.array(digests.to_rows(), dtype=np.uint64).reshape(-1, plan.bands, plan.rows)
        for row in range(plan.rows):
            keys[:, some] = (keys[:, some] + least[:, :, row].T + np.uint64(1)) * _MIX
            keys[:, some] ^= keys[:, some] >> np.uint64(29)
        return keys

    def _write(self) -> None:
        self.files["keys"].write(np.ascontiguousarray(np.hstack(self.block)).tobytes())
        self.block = []


def _close(files: Sequence[BinaryIO]) -> None:
    for file in files:
        file.close()


def sketch(texts: Iterable[str], plan: Plan, folder: Path | str, name: str) -> Sketches:
    """Sketches of the texts in order, written to files of that name in the folder."""
    writer = _Writer(plan, str(folder), name)
    for text in texts:
        writer.add(text)
    return writer.end()


def keys_of(parts: Sequence[Sketches], plan: Plan, band: int) -> HashArray:
    """[n] the texts' keys of a band over all parts; of band -1, a hash of all words."""
    found = [np.zeros(0, dtype=np.uint64)]
    for part in parts:
        if part.n:
            blocks = np.memmap(part.path("keys"), dtype=np.uint64, mode="r").reshape(-1, 1 + plan.bands, BLOCK)
            found.append(blocks[:, 1 + band].reshape(-1)[: part.n])
    return np.concatenate(found)


def sizes_of(parts: Sequence[Sketches]) -> Shingles:
    """[n] shingles of each text over all parts."""
    found = [np.fromfile(part.path("sizes"), dtype=np.uint32) for part in parts]
    return np.concatenate([np.zeros(0, dtype=np.uint32), *found])


def pairs_of(keys: HashArray, among: BoolArray) -> HashArray:
    """Pairs of texts with one key, as left << 32 | right in order: each with the first of its key and the one before.

    Pairs of all with all would be a square where one key has many texts; so there are at most two a text.
    """
    rows = np.flatnonzero(among)
    # Half of the key and the row in one number sort twice as fast as by key; pairs that agree in that half alone fail
    # when they are verified.
    ordered = packed(keys[rows] >> np.uint64(32), rows)
    ordered.sort()
    key = (ordered >> np.uint64(32)).astype(np.uint32)
    again = np.flatnonzero(key[1:] == key[:-1]) + 1
    fresh = np.arange(len(key))
    fresh[again] = 0
    first, row = np.maximum.accumulate(fresh)[again], right_of(ordered[again])
    return distinct(np.concatenate([packed(right_of(ordered[first]), row), packed(right_of(ordered[again - 1]), row)]))


def band_pairs(band: int, parts: Sequence[Sketches], plan: Plan, among: BoolArray) -> HashArray:
    return pairs_of(keys_of(parts, plan, band), among)


def find(
    parts: Sequence[Sketches], plan: Plan, by_band: Callable[[BoolArray], Iterable[HashArray]] | None = None
) -> Found:
    """What the texts of all parts repeat, in the order of the parts. ``by_band`` gives the pairs of each band among the
    texts that it is told; a cluster's workers can do that, a band each."""
    sizes = sizes_of(parts)
    shelf = _Shelf(parts, sizes)
    if by_band is None:
        return resolve(
            keys_of(parts, plan, -1),
            sizes > 0,
            lambda among: (band_pairs(band, parts, plan, among) for band in range(plan.bands)),
            shelf.alike,
            plan.threshold,
        )
    return resolve(keys_of(parts, plan, -1), sizes > 0, by_band, shelf.alike, plan.threshold)


class _Shelf:
    """The shingles of all parts, read where they are needed."""

    def __init__(self, parts: Sequence[Sketches], sizes: Shingles) -> None:
        self.parts, self.sizes = parts, sizes
        self.begins = np.cumsum([0, *(part.n for part in parts)])
        self.starts = np.cumsum(sizes, dtype=np.int64) - sizes

    def alike(self, left: IntArray, right: IntArray) -> FloatArray:
        """Jaccard similarity of the pairs' sets of shingles."""
        work = np.cumsum(self.sizes[left].astype(np.int64) + self.sizes[right])
        cuts = np.flatnonzero(np.diff(work // VERIFIED)) + 1
        some = zip(np.split(left, cuts), np.split(right, cuts), strict=True)
        return np.concatenate([self._jaccard(*pairs) for pairs in some])

    def _jaccard(self, left: IntArray, right: IntArray) -> FloatArray:
        n = len(left)
        rows = np.concatenate([left, right])
        # Each text's set, the pairs' left ones before their right ones; then each pair's two sets beside each other.
        sets = distinct(packed(np.repeat(np.arange(2 * n), self.sizes[rows]), self._read(rows)))
        text = (sets >> np.uint64(32)).astype(np.int64)
        sizes = np.bincount(text, minlength=2 * n)
        held = np.sort(packed(text % max(1, n), sets & np.uint64(0xFFFFFFFF)))
        both = np.bincount(left_of(held[1:][held[1:] == held[:-1]]), minlength=n)
        share: FloatArray = both / (sizes[:n] + sizes[n:] - both)
        return share

    def _read(self, rows: IntArray) -> Shingles:
        """The shingles of the texts, one after the other."""
        sizes = self.sizes[rows].astype(np.int64)
        into = np.cumsum(sizes) - sizes
        found = np.empty(int(sizes.sum()), dtype=np.uint32)
        part = np.searchsorted(self.begins, rows, side="right") - 1
        for number in np.unique(part):
            mine = part == number
            file = np.memmap(self.parts[number].path("shingles"), dtype=np.uint32, mode="r")
            within = self.starts[rows[mine]] - self.starts[self.begins[number]]
            found[_ranges(into[mine], sizes[mine])] = file[_ranges(within, sizes[mine])]
        return found


def _ranges(starts: IntArray, sizes: IntArray) -> IntArray:
    """The places start, start + 1, ... of each range, one range after the other."""
    before = np.cumsum(sizes) - sizes
    return np.repeat(starts - before, sizes) + np.arange(int(sizes.sum()))

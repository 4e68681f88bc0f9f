"""Decontamination: rows that repeat an evaluation set, by a run of 13 words or, without blanks, of 50 characters.

The rule of the field (Brown et al. 2020, "Language models are few-shot learners", appendix C; lm-evaluation-harness):
a run of so many words that a text shares with an item of the set is contamination. A text that is shorter than such a
run repeats an item only where it is all of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from curation.exports.words import LONG, HashArray, IntArray, Reader, Words, fold

BoolArray = npt.NDArray[np.bool_]

TOLD: Final = 60
"""Characters of the overlap that a cause names."""
AT_ONCE: Final = 1 << 19
"""Bytes of folded texts looked at together, about; a longer text is looked at alone."""
_HELD: Final = {"words": "a run of words", "characters": "a run of characters", "whole": "all of a text"}


class Overlap(NamedTuple):
    """What a text has in common with an evaluation set."""

    name: str
    item: int
    """Position of the item in its set, from 0."""
    text: str
    """The words in common, as they are matched."""
    kind: str
    """words, characters or whole"""
    place: int = 0
    """Which of the texts asked about."""

    @property
    def cause(self) -> str:
        told = self.text if len(self.text) <= TOLD else self.text[:TOLD].rstrip() + "…"
        return f"shares {_HELD[self.kind]} with {self.name}, item {self.item + 1}: “{told}”"


class Contamination:
    """Evaluation sets by name, each a collection of texts, against which rows are held.

    Keeps 12 bytes for each run of the sets, and a table of 16 to 32 that most runs of other texts do not get past.
    """

    def __init__(self, sets: Mapping[str, Iterable[str]], words: int = 13) -> None:
        if words < 1:
            raise ValueError("words", "1 or more", words)
        self.words, self.names = words, tuple(sets)
        self.items: list[tuple[int, int]] = []
        self._reader = Reader()
        index = {kind: _Index() for kind in _HELD}
        for number, name in enumerate(self.names):
            for item, text in enumerate(sets[name]):
                for kind, runs in self._runs(self._reader.words([fold(text)])).items():
                    index[kind].add(runs.hashes, len(self.items))
                self.items.append((number, item))
        self._index = {kind: each.closed() for kind, each in index.items()}

    def cause(self, texts: Sequence[str]) -> str | None:
        """Why a row of these texts is contaminated: set, item and where the overlap begins; None if it is not."""
        return self.causes([texts])[0]

    def causes(self, rows: Sequence[Sequence[str]]) -> list[str | None]:
        """`cause` of each of many rows, faster than one at a time."""
        return [None if found is None else found.cause for found in self.of_rows(rows)]

    def of_rows(self, rows: Sequence[Sequence[str]]) -> list[Overlap | None]:
        """The first overlap that any of a row's texts has with any of the sets, for each of the rows."""
        owner = [number for number, texts in enumerate(rows) for _ in texts]
        told: list[Overlap | None] = [None] * len(rows)
        for found in self.overlaps([text for texts in rows for text in texts]):
            told[owner[found.place]] = told[owner[found.place]] or found
        return told

    def overlaps(self, texts: Sequence[str]) -> list[Overlap]:
        """The first overlap of each of the texts that has one, in their order."""
        found: list[Overlap] = []
        block: list[bytes] = []
        size = 0
        for place, folded in enumerate(map(fold, texts)):
            block.append(folded)
            size += len(folded)
            if size >= AT_ONCE or place == len(texts) - 1:
                begin = place + 1 - len(block)
                touched = np.flatnonzero(self._touched(block)).tolist()
                found += [self._overlap(begin + at, block[at]) for at in touched]
                block, size = [], 0
        return found

    def _touched(self, folded: Sequence[bytes]) -> BoolArray:
        """[m] whether a text has a run of any set: of all texts at once."""
        found = self._reader.words(folded)
        text = np.repeat(np.arange(len(folded)), found.lengths)
        whole = self._reader.runs(found.hashes, np.cumsum(found.lengths) - found.lengths, found.lengths)
        touched = self._index["whole"].holds(whole) & (found.lengths > 0)
        for kind, mine, length in (("words", ~found.single, self.words), ("characters", found.single, LONG)):
            places = np.flatnonzero(mine)
            owner = text[places]
            starts = np.flatnonzero(owner[: max(0, len(owner) - length + 1)] == owner[length - 1 :])
            held = self._index[kind].holds(self._reader.runs(found.hashes[places], starts, length))
            touched[owner[starts[held]]] = True
        return touched

    def _overlap(self, place: int, folded: bytes) -> Overlap:
        """What is known to be there: the first run of the text, words before characters."""
        found = self._reader.words([folded])
        for kind, runs in self._runs(found).items():
            held = np.flatnonzero(self._index[kind].holds(runs.hashes))
            if len(held):
                number, item = self.items[self._index[kind].code(runs.hashes[held[0]])]
                return Overlap(self.names[number], item, _text(folded, found, runs.places[held[0]]), kind, place)
        raise AssertionError("a text was held to overlap and does not")

    def _runs(self, found: Words) -> dict[str, _Runs]:
        """The runs of one text by their kind; of a text too short for any, itself."""
        runs = {
            "words": self._cut(found, np.flatnonzero(~found.single), self.words),
            "characters": self._cut(found, np.flatnonzero(found.single), LONG),
        }
        if len(found.hashes) and not any(len(each.hashes) for each in runs.values()):
            return {"whole": self._cut(found, np.arange(len(found.hashes)), len(found.hashes))}
        return runs

    def _cut(self, found: Words, places: IntArray, length: int) -> _Runs:
        starts = np.arange(max(0, len(places) - length + 1))
        within = np.lib.stride_tricks.sliding_window_view(places, length) if len(starts) else places[:0, None]
        return _Runs(self._reader.runs(found.hashes[places], starts, length), within)


class _Runs(NamedTuple):
    hashes: HashArray
    """[k]"""
    places: IntArray
    """[k, length] which words of the text"""


def _text(folded: bytes, found: Words, places: IntArray) -> str:
    """The words at these places, with a blank between two unless they are characters."""
    told = []
    for place in places.tolist():
        told.append(folded[found.starts[place] : found.ends[place]].decode())
        told.append("" if found.single[place] else " ")
    return "".join(told).strip()


class _Index:
    """Runs by their hashes in order, and the item that each is first seen in."""

    def __init__(self) -> None:
        self._parts: list[HashArray] = []
        self._codes: list[npt.NDArray[np.int32]] = []
        self.runs = np.zeros(0, dtype=np.uint64)
        self.codes = np.zeros(0, dtype=np.int32)
        self.likely = np.zeros(1, dtype=np.bool_)

    def add(self, runs: HashArray, code: int) -> None:
        if len(runs):
            self._parts.append(runs)
            self._codes.append(np.full(len(runs), code, dtype=np.int32))

    def closed(self) -> _Index:
        """Ready to be looked in."""
        if self._parts:
            self.runs, first = np.unique(np.concatenate(self._parts), return_index=True)
            self.codes = np.concatenate(self._codes)[first]
            self.likely = np.zeros(1 << (16 * len(self.runs) - 1).bit_length(), dtype=np.bool_)
            self.likely[self._slots(self.runs)] = True
        self._parts, self._codes = [], []
        return self

    def _slots(self, runs: HashArray) -> HashArray:
        return runs & np.uint64(len(self.likely) - 1)

    def holds(self, runs: HashArray) -> BoolArray:
        """[k] which of the runs are here."""
        held = self.likely[self._slots(runs)]
        likely = np.flatnonzero(held)
        if len(likely):
            at = np.minimum(np.searchsorted(self.runs, runs[likely]), len(self.runs) - 1)
            held[likely] = self.runs[at] == runs[likely]
        return held

    def code(self, run: np.uint64) -> int:
        """The item of a run that is here."""
        return int(self.codes[np.searchsorted(self.runs, run)])

"""Decontamination: rows that repeat an evaluation set, by a run of 13 words or, without blanks, of 50 characters.

The rule of the field (Brown et al. 2020, "Language models are few-shot learners", appendix C; lm-evaluation-harness):
a run of so many words that a text shares with an item of the set is contamination. A text that is shorter than such a
run repeats an item only where it is all of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from curation.exports.words import BLANKLESS, Grams, HashArray, hashes, words

CHARACTERS: Final = 50
TOLD: Final = 60
"""Characters of the overlap that a cause names."""


class Overlap(NamedTuple):
    """What a text has in common with an evaluation set."""

    name: str
    item: int
    """Position of the item in its set, from 0."""
    text: str
    """Where the overlap begins: words as they are matched."""
    kind: str
    """words, characters or whole"""

    @property
    def cause(self) -> str:
        held = {"words": "a run of words", "characters": "a run of characters", "whole": "all its text"}[self.kind]
        told = self.text if len(self.text) <= TOLD else self.text[:TOLD].rstrip() + "…"
        return f"shares {held} with {self.name}, item {self.item + 1}: “{told}”"


class _Streams(NamedTuple):
    """A text's words, and the characters of what it writes without blanks."""

    words: Sequence[bytes]
    characters: Sequence[bytes]


def _streams(text: str) -> _Streams:
    found = words(text)
    if text.isascii() and len(text) < CHARACTERS:
        return _Streams(found, ())
    apart = [_blankless(word) for word in found]
    if not any(apart):
        return _Streams(found, ())
    spaced = [word for word, split in zip(found, apart, strict=True) if not split]
    return _Streams(
        spaced, [c.encode() for word, split in zip(found, apart, strict=True) if split for c in word.decode()]
    )


def _blankless(word: bytes) -> bool:
    return len(word) >= CHARACTERS or (word[0] >= 0xE0 and BLANKLESS.match(word.decode()) is not None)


class Contamination:
    """Evaluation sets by name, each a collection of texts, against which rows are held.

    Keeps 12 bytes for each run of words of the sets, and a table of 16 bits a run that most texts do not get past.
    """

    def __init__(self, sets: Mapping[str, Iterable[str]], words: int = 13) -> None:
        if words < 1:
            raise ValueError("words", "1 or more", words)
        self.words = words
        self.names = tuple(sets)
        self.items: list[tuple[int, int]] = []
        self.grams = Grams()
        self._whole: dict[bytes, int] = {}
        spaced, blankless = _Index(), _Index()
        for number, name in enumerate(self.names):
            for item, text in enumerate(sets[name]):
                self._add(text, (number, item), spaced, blankless)
        self._runs = {"words": spaced.closed(), "characters": blankless.closed()}

    def _add(self, text: str, at: tuple[int, int], spaced: _Index, blankless: _Index) -> None:
        found = _streams(text)
        code = len(self.items)
        self.items.append(at)
        runs = self._of(found.words, self.words), self._of(found.characters, CHARACTERS)
        spaced.add(runs[0], code)
        blankless.add(runs[1], code)
        if not len(runs[0]) and not len(runs[1]) and any(found):
            self._whole.setdefault(_key(found), code)

    def _of(self, stream: Sequence[bytes], length: int) -> HashArray:
        starts = np.arange(max(0, len(stream) - length + 1))
        return self.grams.of(hashes(stream), starts, length) if len(starts) else np.zeros(0, dtype=np.uint64)

    def overlap(self, texts: Sequence[str]) -> Overlap | None:
        """The first overlap that any of a row's texts has with any of the sets; None where there is none."""
        return next(self._overlaps(texts), None)

    def cause(self, texts: Sequence[str]) -> str | None:
        """`overlap`, told: the set, the item and where the overlap begins."""
        found = self.overlap(texts)
        return None if found is None else found.cause

    def _overlaps(self, texts: Iterable[str]) -> Iterator[Overlap]:
        for text in texts:
            found = _streams(text)
            whole = self._whole.get(_key(found)) if self._whole else None
            if whole is not None:
                yield self._told(whole, b" ".join(words(text)), "whole")
            for kind, stream, length, blank in (
                ("words", found.words, self.words, b" "),
                ("characters", found.characters, CHARACTERS, b""),
            ):
                hit = self._runs[kind].look(self._of(stream, length))
                if hit is not None:
                    yield self._told(hit.code, blank.join(stream[hit.place : hit.place + length]), kind)

    def _told(self, code: int, text: bytes, kind: str) -> Overlap:
        number, item = self.items[code]
        return Overlap(self.names[number], item, text.decode(), kind)


def _key(streams: _Streams) -> bytes:
    return b" ".join(streams.words) + b"\0" + b"".join(streams.characters)


class _Hit(NamedTuple):
    code: int
    place: int


class _Index:
    """Runs of words, by their hashes in order, and the item that each is first seen in."""

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
            self.likely[self.runs & self._mask] = True
        self._parts, self._codes = [], []
        return self

    @property
    def _mask(self) -> np.uint64:
        return np.uint64(len(self.likely) - 1)

    def look(self, runs: HashArray) -> _Hit | None:
        """The first of the runs that is here."""
        if not len(runs) or not len(self.runs):
            return None
        for place in np.flatnonzero(self.likely[runs & self._mask]).tolist():
            at = int(np.searchsorted(self.runs, runs[place]))
            if at < len(self.runs) and self.runs[at] == runs[place]:
                return _Hit(int(self.codes[at]), place)
        return None

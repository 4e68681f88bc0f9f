"""Texts as hashes of their words, for matching only: what a row holds is never changed.

Two texts match however they differ in case, accents, punctuation, width (NFKD) or blanks. In scripts that put no blanks
between words (Han, kana, Thai, Lao, Khmer, Burmese), and in what has 50 characters and more without one, each character
is a word.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

HashArray = npt.NDArray[np.uint64]
IntArray = npt.NDArray[np.int64]

LONG: Final = 50
BLANKLESS: Final = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)
_FOREIGN: Final = re.compile("[^\x00-\x7f]+")
_LONG: Final = re.compile(rb"[^\0- ]{%d,}" % LONG)
_ASCII: Final = bytes(
    code | 0x20 if 65 <= code <= 90 else code if code == 0 or code >= 128 or chr(code).isalnum() else 32
    for code in range(256)
)
_BASE: Final = 0x9E3779B97F4A7C15
_INVERSE: Final = pow(_BASE, -1, 1 << 64)
_BYTES: Final = np.random.default_rng(0).integers(0, 1 << 64, 256, dtype=np.uint64)


class _Folded(dict[int, str]):
    """Character by character, so that a million accents on one letter take no longer than as many letters."""

    def __missing__(self, code: int) -> str:
        folded = "".join(map(_letter, unicodedata.normalize("NFKD", chr(code)).casefold()))
        self[code] = folded
        return folded


def _letter(character: str) -> str:
    if unicodedata.combining(character):
        return ""
    if BLANKLESS.match(character):
        return f"\0{character}\0"
    return character if unicodedata.category(character)[0] in "LMN" else " "


_folded: Final = _Folded()


def fold(text: str) -> bytes:
    """The text's words in UTF-8 with blanks between them; a character that is a word stands between two NUL.

    Blanks are all that is left of signs, of NUL and of lone surrogates.
    """
    if "\0" in text:
        text = text.replace("\0", " ")
    if not text.isascii():
        text = _FOREIGN.sub(lambda run: run.group().translate(_folded), text)
    folded = text.encode().translate(_ASCII)
    return _LONG.sub(_apart, folded) if _LONG.search(folded) else folded


def _apart(word: re.Match[bytes]) -> bytes:
    return "".join(f"\0{character}\0" for character in word.group().decode()).encode()


class Words(NamedTuple):
    """The n words of m texts, one text after the other."""

    hashes: HashArray
    """[n] 64 bits of each word: the same in every process."""
    lengths: IntArray
    """[m] words of each text"""
    starts: IntArray
    """[n] the byte of the folded texts, one after the other with a blank behind each, at which a word begins"""
    ends: IntArray
    """[n] the byte behind it"""
    single: npt.NDArray[np.bool_]
    """[n] whether it is a character of what is written without blanks"""


class Reader:
    """Hashes words, and runs of words, by differences of sums over powers modulo 2^64 (Karp and Rabin 1987)."""

    def __init__(self) -> None:
        self._powers = self._inverses = np.ones(1, dtype=np.uint64)

    def words(self, folded: Sequence[bytes]) -> Words:
        """Words of texts that `fold` has folded."""
        flat = np.frombuffer(b" ".join([b"", *folded, b""]), dtype=np.uint8)
        inside = flat > 32
        edges = np.flatnonzero(inside[1:] != inside[:-1]) + 1
        starts, ends = edges[::2], edges[1::2]
        texts = 1 + np.cumsum([len(each) + 1 for each in folded], dtype=np.int64)
        upto = np.searchsorted(starts, texts)
        lengths = np.diff(upto, prepend=0)
        return Words(
            self.runs(_BYTES[flat], starts, ends - starts), lengths, starts - 1, ends - 1, flat[starts - 1] == 0
        )

    def runs(self, hashes: HashArray, starts: IntArray, lengths: IntArray | int) -> HashArray:
        """A hash of each run of so many of the hashes that begins at ``starts``."""
        self._reach(len(hashes))
        sums = np.zeros(len(hashes) + 1, dtype=np.uint64)
        np.cumsum(hashes * self._inverses[: len(hashes)], out=sums[1:])
        found: HashArray = (sums[starts + lengths] - sums[starts]) * self._powers[starts]
        found ^= found >> np.uint64(32)
        found *= np.uint64(_BASE)
        found ^= found >> np.uint64(29)
        return found

    def _reach(self, n: int) -> None:
        if len(self._powers) < n:
            size = 1 << n.bit_length()
            self._powers, self._inverses = _powers(_BASE, size), _powers(_INVERSE, size)


def _powers(base: int, n: int) -> HashArray:
    factors = np.full(n, base, dtype=np.uint64)
    factors[0] = 1
    return np.multiply.accumulate(factors)

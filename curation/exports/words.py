"""Texts as the hashes of their words, for matching only: what a row holds is never changed.

Two texts match however they differ in case, accents, punctuation, width (NFKD) or blanks. In scripts that put no blanks
between words (Han, kana, Thai, Lao, Khmer, Burmese) each character is a word.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

HashArray = npt.NDArray[np.uint64]

REMEMBERED: Final = 1 << 18
BLANKLESS: Final = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)
_FOREIGN: Final = re.compile("[^\x00-\x7f]+")
_ASCII: Final = bytes(
    code | 0x20 if 65 <= code <= 90 else code if chr(code).isalnum() or code >= 128 else 32 for code in range(256)
)
_BASE: Final = 0x9E3779B97F4A7C15
_INVERSE: Final = pow(_BASE, -1, 1 << 64)


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
        return f" {character} "
    return character if unicodedata.category(character)[0] in "LMN" else " "


class _Hashes(dict[bytes, int]):
    """64 bits of each word; as many words are remembered as most texts are made of."""

    def __missing__(self, word: bytes) -> int:
        if len(self) >= REMEMBERED:
            self.clear()
        found = int.from_bytes(hashlib.blake2b(word, digest_size=8).digest(), "little")
        self[word] = found
        return found


_folded: Final = _Folded()
_hashes: Final = _Hashes()


def words(text: str) -> list[bytes]:
    """The text's words in UTF-8, folded. None in a text of blanks, signs, NUL or lone surrogates."""
    if not text.isascii():
        text = _FOREIGN.sub(lambda run: run.group().translate(_folded), text)
    return text.encode().translate(_ASCII).split()


def hashes(found: Sequence[bytes]) -> HashArray:
    """[n] 64 bits of each word: the same in every process."""
    return np.fromiter(map(_hashes.__getitem__, found), np.uint64, len(found))


class Grams:
    """Hashes of runs of words by differences of sums over powers (Karp and Rabin 1987), modulo 2^64."""

    def __init__(self) -> None:
        self._powers = self._inverses = np.ones(1, dtype=np.uint64)

    def of(self, found: HashArray, starts: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64] | int) -> HashArray:
        """Hashes of the runs of so many words that begin at ``starts``."""
        self._reach(len(found))
        sums = np.zeros(len(found) + 1, dtype=np.uint64)
        np.cumsum(found * self._inverses[: len(found)], out=sums[1:])
        runs: HashArray = (sums[starts + lengths] - sums[starts]) * self._powers[starts]
        runs ^= runs >> np.uint64(32)
        runs *= np.uint64(_BASE)
        runs ^= runs >> np.uint64(29)
        return runs

    def _reach(self, n: int) -> None:
        if len(self._powers) < n:
            size = 1 << n.bit_length()
            self._powers, self._inverses = _powers(_BASE, size), _powers(_INVERSE, size)


def _powers(base: int, n: int) -> HashArray:
    factors = np.full(n, base, dtype=np.uint64)
    factors[0] = 1
    return np.multiply.accumulate(factors)

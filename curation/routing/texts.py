"""How alike two texts are, by several cheap measures. Each is 1 for equal texts and does not depend on their order.

A word is a run of letters and digits, whatever the language; where a language writes none apart (Chinese, Japanese) the
trigrams of characters are the measure to read. Long texts count by their beginning: `MAX_WORDS` and `MAX_CHARACTERS`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np

from curation.stats.votes import FloatArray, IntArray

MAX_WORDS: Final = 512
MAX_CHARACTERS: Final = 8_000
CELLS: Final = 4_096  # trigrams are hashed to so many; two that meet make texts a little more alike
_WORD: Final = re.compile(r"\w+")


def words(text: str) -> list[str]:
    """The first `MAX_WORDS` words, in lower case."""
    found = _WORD.findall(text[: 8 * MAX_CHARACTERS].lower())
    return found[:MAX_WORDS]


def jaccard(a: Sequence[str], b: Sequence[str]) -> float:
    """Distinct words in both over distinct words in either; two empty texts are equal."""
    left, right = set(a), set(b)
    either = len(left | right)
    return len(left & right) / either if either else 1.0


def rouge_1(a: Sequence[str], b: Sequence[str]) -> float:
    """F1 of shared words, counted as often as they occur (Lin 2004, ROUGE-N with N = 1)."""
    shared = sum((Counter(a) & Counter(b)).values())
    return _f1(shared, len(a), len(b))


def rouge_l(a: Sequence[str], b: Sequence[str]) -> float:
    """F1 of the longest common subsequence of words (Lin 2004, ROUGE-L)."""
    return _f1(longest_common(a, b), len(a), len(b))


def longest_common(a: Sequence[str], b: Sequence[str]) -> int:
    """Length of the longest common subsequence, a row of the table in one integer (Hyyrö 2004, bit-vector LCS)."""
    places: dict[str, int] = {}
    for i, word in enumerate(a):
        places[word] = places.get(word, 0) | 1 << i
    full = (1 << len(a)) - 1
    row = full
    for word in b:
        matched = row & places.get(word, 0)
        row = ((row + matched) | (row - matched)) & full
    return len(a) - row.bit_count()


def trigram_cosine(a: str, b: str) -> float:
    """Cosine of the counts of three characters in a row, case ignored; texts shorter than three are padded."""
    left, right = _trigrams(a), _trigrams(b)
    norm = float(np.sqrt((left @ left) * (right @ right)))
    return min(1.0, float(left @ right) / norm)


def cosine(a: FloatArray, b: FloatArray) -> FloatArray:
    """[n] cosine of each row of a [n, d] with the same row of b; nan where a row is zero or absent."""
    with np.errstate(invalid="ignore", divide="ignore"):
        found: FloatArray = np.einsum("nd,nd->n", a, b) / np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))
    return found


def _f1(shared: int, n: int, m: int) -> float:
    return 2 * shared / (n + m) if n + m else 1.0


def _trigrams(text: str) -> FloatArray:
    """[CELLS]"""
    padded = text[:MAX_CHARACTERS].lower().ljust(3)
    codes: IntArray = np.frombuffer(padded.encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.int64)
    cells = (codes[:-2] * 961 + codes[1:-1] * 31 + codes[2:]) % CELLS
    return np.bincount(cells, minlength=CELLS).astype(np.float64)

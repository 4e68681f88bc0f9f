"""What the judgements of one rater say of how they work: differences, habits, haste, pasted words, drift.

Every figure is an `Estimate`, and a `verdict` is passed only where its whole interval lies outside (or inside) a range
that honest people stay in. The ranges are wider than chance alone asks for: with many raters and eight checks each,
a test at 5 % would blame somebody honest on every page. Judgements come as counts, so that a table of all raters can
take them from the database and a page of one from its rows.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from enum import StrEnum
from statistics import NormalDist
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from curation.stats.intervals import Estimate, wilson
from curation.stats.votes import FloatArray, IntArray

BoolArray = npt.NDArray[np.bool_]
Range = tuple[float, float]

LEFT: Final[Range] = (0.45, 0.55)  # share of left: sides are drawn by lot
LENGTH: Final[Range] = (-0.05, 0.05)  # how much more often than others the longer one is chosen
GAP: Final[Range] = (-0.1, 1.0)  # agreement with the others, less theirs among themselves
SAME: Final[Range] = (0.6, 1.0)  # said alike when asked twice
DRIFT: Final[Range] = (-0.05, 0.05)  # agreement in the second half, less that in the first
FAST: Final[Range] = (0.0, 0.2)  # answers in less time than reading takes
PASTED: Final[Range] = (0.0, 0.25)  # justifications that stood before
LUCK: Final = 0.001  # a run of one side that is rarer than this among fair coins is none of chance

LEAST: Final = 10  # observations, before anything is concluded from a share
READ: Final = 100.0  # bytes a second: some 1,000 words a minute of English, which nobody reads with care
READ_MOST: Final = 30.0  # seconds: whoever sees a very long text may have seen enough by then
LEAST_MEAN: Final = 30  # differences, before their mean is taken for normal
LEAST_HALF: Final = 20  # judgements in each half, before they are compared

TEXT: Final = 20  # characters from which on a justification can be said to be pasted
ALIKE: Final = 0.9  # share of words in a row (Jaccard's index of trigrams) from which on two texts are nearly one
LOOKED_UP: Final = 50  # earlier texts that share a trigram, the latest ones: bounds the work on texts of a template
WORD: Final = re.compile(r"[^\W\d_]+")


class Verdict(StrEnum):
    """What an interval says of a plausible range."""

    OPEN = "open"  # not enough evidence yet
    USUAL = "usual"
    LOW = "low"
    HIGH = "high"


class Run(NamedTuple):
    """The longest row of equal sides: positions [start, start + length)."""

    start: int
    length: int
    luck: float
    """A bound on the chance that as many fair coins show a run as long."""


def verdict(estimate: Estimate, plausible: Range) -> Verdict:
    """Whether the whole interval lies below, within or above the plausible range; else, or of few, it is open."""
    if estimate.low is None or estimate.high is None or estimate.n < LEAST:
        return Verdict.OPEN
    if estimate.high < plausible[0]:
        return Verdict.LOW
    if estimate.low > plausible[1]:
        return Verdict.HIGH
    return Verdict.USUAL if plausible[0] <= estimate.low and estimate.high <= plausible[1] else Verdict.OPEN


def difference(hits: int, n: int, other_hits: int, other_n: int, *, confidence: float = 0.95) -> Estimate:
    """A share less another of other observations, with the hybrid score interval (Newcombe 1998, method 10)."""
    if not n or not other_n:
        return Estimate(None, reason="nothing to compare with")
    one = wilson(hits, n, confidence=confidence)
    two = wilson(other_hits, other_n, confidence=confidence)
    p, low, high = hits / n, one.low or 0.0, one.high or 0.0
    q, other_low, other_high = other_hits / other_n, two.low or 0.0, two.high or 0.0
    down = float(np.hypot(p - low, other_high - q))
    up = float(np.hypot(high - p, q - other_low))
    return Estimate(p - q, p - q - down, p - q + up, n)


def mean_difference(mean: float, sd: float, n: int, *, confidence: float = 0.95) -> Estimate:
    """A mean of paired differences with its normal interval; None below LEAST_MEAN of them."""
    if n < LEAST_MEAN:
        return Estimate(None, n=n, reason=f"fewer than {LEAST_MEAN} comparisons to compare on")
    half = NormalDist().inv_cdf(0.5 + confidence / 2) * sd / n**0.5
    return Estimate(mean, max(-1.0, mean - half), min(1.0, mean + half), n)


def halves(early_hits: int, early_n: int, late_hits: int, late_n: int) -> Estimate:
    """How much more often the later half hits than the earlier one; None where a half is short."""
    if min(early_n, late_n) < LEAST_HALF:
        return Estimate(None, n=early_n + late_n, reason=f"fewer than {LEAST_HALF} judgements in each half")
    return difference(late_hits, late_n, early_hits, early_n)._replace(n=early_n + late_n)


def luck_of_a_run(length: int, n: int) -> float:
    """A bound on the chance that n fair coins show somewhere a run of `length` equal ones: 2^-length (n - length + 2).

    The sum over all places where such a run can begin: at the first coin with 2^(1 - length), at each other one with
    2^-length, since the coin before must differ.
    """
    if not 0 <= length <= n:
        raise ValueError("length", f"a number from 0 to n={n}", length)
    return min(1.0, (n - length + 2) * 2.0**-length)


def longest_run(sides: BoolArray) -> Run:
    """The longest run of equal values in an array of [n]; the first one where there are several."""
    n = len(sides)
    if not n:
        return Run(0, 0, 1.0)
    starts = np.concatenate([[0], np.flatnonzero(sides[1:] != sides[:-1]) + 1])
    lengths = np.diff(np.concatenate([starts, [n]]))
    at = int(np.argmax(lengths))
    return Run(int(starts[at]), int(lengths[at]), luck_of_a_run(int(lengths[at]), n))


def too_fast(seconds: FloatArray, lengths: FloatArray, fifth: float | None) -> BoolArray:
    """Which answers, of [n], took less time than their texts need to be skimmed, and less than the `fifth` percentile.

    `lengths` are bytes of both responses, `fifth` the time that others fall below once in twenty answers (None: there
    are no others). nan, where the time is not known, is not fast.
    """
    needed = np.minimum(np.asarray(lengths, dtype=np.float64) / READ, READ_MOST)
    line = needed if fifth is None else np.minimum(needed, fifth)
    return np.asarray(seconds, dtype=np.float64) < line


def pasted(texts: Sequence[str]) -> IntArray:
    """For each text the position of an earlier one that it repeats or nearly repeats, or -1.

    Letter case, digits, marks and spaces do not count. Texts of less than TEXT characters are never pasted: to say
    "too long" twice is no copy.
    """
    found = np.full(len(texts), -1, dtype=np.int64)
    whole: dict[tuple[str, ...], int] = {}
    grams_of: dict[int, set[tuple[str, ...]]] = {}
    places: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for i, text in enumerate(texts):
        words = tuple(WORD.findall(text.casefold()))
        if len(text.strip()) < TEXT or not words:
            continue
        if words in whole:
            found[i] = whole[words]
            continue
        whole[words] = i
        grams = {words[k : k + 3] for k in range(len(words) - 2)} or {words}
        found[i] = _nearly(grams, grams_of, places)
        grams_of[i] = grams
        for gram in grams:
            places[gram].append(i)
    return found


def _nearly(
    grams: set[tuple[str, ...]], grams_of: dict[int, set[tuple[str, ...]]], places: dict[tuple[str, ...], list[int]]
) -> int:
    """The earlier text that shares the most of these trigrams, where it shares nearly all of them."""
    shared = Counter(i for gram in grams for i in places.get(gram, ())[-LOOKED_UP:])
    for i, _count in shared.most_common(3):
        both = len(grams & grams_of[i])
        if both / (len(grams) + len(grams_of[i]) - both) >= ALIKE:
            return i
    return -1

"""What repeats what, once pairs are known: copies, links as alike as the threshold, and who is kept.

It does not know what is compared: texts by their shingles, or vectors by their cosine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from curation.exports.words import HashArray

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

ROUNDS: Final = 8
"""How often one whose likes are all left out is held against what they repeat."""


class Near(NamedTuple):
    """What each of n repeats: texts, or vectors."""

    first: IntArray
    """[n] position of the earlier one that is kept and that it repeats; -1 where it repeats none, and is kept."""
    similarity: FloatArray
    """[n] how alike the two are, threshold..1; nan where it repeats none."""


class Links(NamedTuple):
    """Pairs that are as alike as the threshold, left before right, sorted by right."""

    left: IntArray
    right: IntArray
    similarity: FloatArray


class Found(NamedTuple):
    """What n of them repeat, and all pairs that showed it."""

    near: Near
    links: Links

    def clusters(self) -> IntArray:
        label = np.arange(len(self.near.first))
        left, right = self.links.left, self.links.right
        while True:
            before, least = label.copy(), np.minimum(label[left], label[right])
            np.minimum.at(label, left, least)
            np.minimum.at(label, right, least)
            label = label[label]
            if (label == before).all():
                codes: IntArray = np.unique(label, return_inverse=True)[1]
                return codes


def resolve(
    whole: HashArray,
    known: BoolArray,
    by_band: Callable[[BoolArray], Iterable[HashArray]],
    alike: Callable[[IntArray, IntArray], FloatArray],
    threshold: float,
) -> Found:
    """Texts equal in ``whole`` are one; of the others those pairs that share a band are held against each other.

    ``known`` [n] says which have anything to compare; ``alike`` gives the similarity of pairs.
    """
    same = packed(*_copies(whole, known))
    among = known.copy()
    among[right_of(same)] = False
    looked = np.zeros(0, dtype=np.uint64)
    for pairs in by_band(among):
        looked = distinct(np.concatenate([looked, pairs]))
    links = _links(
        np.concatenate([same, looked]), np.concatenate([np.ones(len(same)), _checked(looked, alike)]), threshold
    )
    near = _settled(links, len(whole))
    for _ in range(ROUNDS):
        further = np.setdiff1d(_further(links, near), looked)
        if not len(further):
            break
        looked = distinct(np.concatenate([looked, further]))
        links = _joined(links, _links(further, _checked(further, alike), threshold))
        near = _settled(links, len(whole))
    return Found(near, links)


def _checked(pairs: HashArray, alike: Callable[[IntArray, IntArray], FloatArray]) -> FloatArray:
    return alike(left_of(pairs), right_of(pairs))


def _copies(whole: HashArray, known: BoolArray) -> tuple[IntArray, IntArray]:
    """The first of those that are equal, and each of the others."""
    rows = np.flatnonzero(known)
    _, first, code = np.unique(whole[rows], return_index=True, return_inverse=True)
    original = first[code]
    others = np.flatnonzero(original != np.arange(len(rows)))
    return rows[original[others]], rows[others]


def _links(pairs: HashArray, similarity: FloatArray, threshold: float) -> Links:
    enough = similarity >= threshold
    return _sorted(left_of(pairs[enough]), right_of(pairs[enough]), similarity[enough])


def _joined(links: Links, more: Links) -> Links:
    return _sorted(*(np.concatenate(columns) for columns in zip(links, more, strict=True)))


def _sorted(left: IntArray, right: IntArray, similarity: FloatArray) -> Links:
    order = np.lexsort([left, right])
    return Links(left[order], right[order], similarity[order])


def _settled(links: Links, n: int) -> Near:
    """In order: whoever is linked to an earlier one that is kept repeats it, the most alike of them, else is kept."""
    first, similarity = np.full(n, -1), np.full(n, np.nan)
    for left, right, value in zip(*(column.tolist() for column in links), strict=True):
        if first[left] < 0 and not similarity[right] >= value:
            first[right], similarity[right] = left, value
    return Near(first, similarity)


def _further(links: Links, near: Near) -> HashArray:
    """What kept texts are linked to repeats others: pairs of those others with them."""
    beyond = near.first[links.left]
    open_ = (near.first[links.right] < 0) & (beyond >= 0)
    return distinct(packed(beyond[open_], links.right[open_]))


def distinct(values: HashArray) -> HashArray:
    """In order, each once; on numbers as many and as different as these, faster than `np.unique`."""
    ordered = np.sort(values)
    fresh = np.ones(len(ordered), dtype=bool)
    fresh[1:] = ordered[1:] != ordered[:-1]
    return ordered[fresh]


def packed(left: npt.NDArray[Any], right: npt.NDArray[Any]) -> HashArray:
    pairs = left.astype(np.uint64)
    pairs <<= np.uint64(32)
    pairs |= right.astype(np.uint64, copy=False)
    return pairs


def left_of(pairs: HashArray) -> IntArray:
    return (pairs >> np.uint64(32)).astype(np.int64)


def right_of(pairs: HashArray) -> IntArray:
    return (pairs & np.uint64(0xFFFFFFFF)).astype(np.int64)

"""Judgements as integer-coded arrays: the one contract that every aggregation reads."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
OrderArray = npt.NDArray[np.int8]

A: Final = 0
TIE: Final = 1
B: Final = 2
CLASSES: Final = ("a", "tie", "b")
K: Final = len(CLASSES)


class Reading(NamedTuple):
    """One reading of one comparison by one rater; a judge reads a comparison once in each order."""

    comparison: Hashable
    rater: Hashable
    preference: float | None
    """Below 0 favours a, above 0 favours b, 0 is a tie; None is unparsed, which is never a tie."""
    weight: float = 1.0
    a_first: int = -1
    """1: a was shown first; 0: b was; -1: not known."""


class Combined(NamedTuple):
    """The one vote that all readings of a rater on a comparison make together."""

    comparison: Hashable
    rater: Hashable
    preference: float | None
    weight: float
    n_readings: int
    """Parsed readings."""
    inconsistent: bool
    """Parsed readings disagree on the side."""
    a_first: int = -1
    """As in `Reading`; -1 where the parsed readings were in both orders."""


def combine_readings(readings: Iterable[Reading]) -> list[Combined]:
    """Combine the readings of each rater on each comparison into their mean, recording inconsistency.

    The order of first appearance is kept. A rater whose readings are all unparsed keeps a vote of None.
    """
    gathered: dict[tuple[Hashable, Hashable], list[Reading]] = {}
    for reading in readings:
        gathered.setdefault((reading.comparison, reading.rater), []).append(reading)
    return [_combine(comparison, rater, group) for (comparison, rater), group in gathered.items()]


def _combine(comparison: Hashable, rater: Hashable, group: list[Reading]) -> Combined:
    weight = sum(reading.weight for reading in group) / len(group)
    parsed = [reading.preference for reading in group if reading.preference is not None]
    if not parsed:
        return Combined(comparison, rater, None, weight, 0, False)
    signs = {(preference > 0) - (preference < 0) for preference in parsed}
    orders = {reading.a_first for reading in group if reading.preference is not None}
    a_first = orders.pop() if len(orders) == 1 else -1
    return Combined(comparison, rater, sum(parsed) / len(parsed), weight, len(parsed), len(signs) > 1, a_first)


@dataclass(frozen=True, slots=True)
class Votes:
    """At most one vote of a rater on a comparison; n votes, C comparisons, R raters.

    Arrays of shape [n]: ``comparison`` and ``rater`` are positions in ``comparisons`` and ``raters``, ``value`` is
    A, TIE or B, ``strength`` the signed preference, ``weight`` is above 0, ``a_first`` is 1 where a was shown first, 0
    where b was, -1 where that is not known. Build it with `from_rows` or `from_arrays`.
    """

    comparison: IntArray
    rater: IntArray
    value: IntArray
    strength: FloatArray
    weight: FloatArray
    a_first: OrderArray
    comparisons: tuple[Hashable, ...]
    raters: tuple[Hashable, ...]
    n_unparsed: int = 0

    @property
    def n(self) -> int:
        return len(self.value)

    def select(self, kept: BoolArray | IntArray) -> Votes:
        """The votes kept, by mask or position of shape [n]; comparisons and raters stay, and keep their numbers."""
        columns = ("comparison", "rater", "value", "strength", "weight", "a_first")
        return replace(self, **{name: getattr(self, name)[kept] for name in columns})

    def shared(self) -> Votes:
        """The votes on comparisons with two or more, these numbered anew; raters keep their numbers."""
        several = np.bincount(self.comparison, minlength=len(self.comparisons)) >= 2
        chosen = self.select(several[self.comparison])
        return replace(
            chosen,
            comparison=(np.cumsum(several) - 1)[chosen.comparison],
            comparisons=tuple(np.flatnonzero(several).tolist()),
        )

    @classmethod
    def from_rows(cls, rows: Iterable[Reading | Combined | tuple[Hashable, Hashable, float | None]]) -> Votes:
        """Readings, or (comparison, rater, preference); an unparsed preference (None) is counted and left out.

        Ids are numbered in the order in which they first appear, those of unparsed rows too.
        """
        comparisons: dict[Hashable, int] = {}
        raters: dict[Hashable, int] = {}
        kept: list[tuple[int, int, float, float, int]] = []
        unparsed = 0
        for row in rows:
            comparison = comparisons.setdefault(row[0], len(comparisons))
            rater = raters.setdefault(row[1], len(raters))
            if row[2] is None:
                unparsed += 1
                continue
            weight, a_first = (1.0, -1) if len(row) == 3 else (float(row.weight), row.a_first)
            kept.append((comparison, rater, float(row[2]), weight, a_first))
        table = np.array(kept, dtype=np.float64).reshape(-1, 5)
        return cls.from_arrays(
            table[:, 0].astype(np.int64),
            table[:, 1].astype(np.int64),
            table[:, 2].copy(),
            weight=table[:, 3].copy(),
            a_first=table[:, 4].astype(np.int8),
            comparisons=tuple(comparisons),
            raters=tuple(raters),
            n_unparsed=unparsed,
        )

    @classmethod
    def from_arrays(
        cls,
        comparison: IntArray,
        rater: IntArray,
        preference: FloatArray,
        *,
        weight: FloatArray | None = None,
        a_first: OrderArray | None = None,
        comparisons: tuple[Hashable, ...] | None = None,
        raters: tuple[Hashable, ...] | None = None,
        n_unparsed: int = 0,
    ) -> Votes:
        """Votes from arrays of shape [n] that are already coded from 0."""
        preference = np.asarray(preference, dtype=np.float64)
        comparison = _codes("comparison", comparison, preference.shape)
        rater = _codes("rater", rater, preference.shape)
        weight = np.ones_like(preference) if weight is None else np.asarray(weight, dtype=np.float64)
        if weight.shape != preference.shape or not (np.isfinite(weight) & (weight > 0)).all():
            raise ValueError("weight", f"positive finite numbers of shape {preference.shape}", f"shape {weight.shape}")
        if not np.isfinite(preference).all():
            raise ValueError("preference", "finite numbers", preference[~np.isfinite(preference)][0])
        a_first = _orders(a_first, preference.shape)
        comparisons = _ids("comparisons", comparisons, comparison)
        raters = _ids("raters", raters, rater)
        _refuse_repeats(comparison, rater, comparisons, raters)
        value = np.sign(preference).astype(np.int64) + 1
        return cls(comparison, rater, value, preference, weight, a_first, comparisons, raters, n_unparsed)


class Pairs(NamedTuple):
    """The two items (completions) of each comparison: what recurs where a completion stands in several of them."""

    a: IntArray
    """[C] item, coded from 0."""
    b: IntArray
    n: int
    """Items; some may stand in no comparison."""


def checked_pairs(pairs: Pairs | None, votes: Votes) -> Pairs:
    """The pairs as int64 arrays of shape [C]. Raises ValueError where they are missing or do not fit the votes."""
    if pairs is None:
        raise ValueError("pairs", "the two items of each comparison", None)
    shape = (len(votes.comparisons),)
    a, b = _codes("pairs.a", pairs.a, shape), _codes("pairs.b", pairs.b, shape)
    if a.size and max(a.max(), b.max()) >= pairs.n:
        raise ValueError("pairs.n", f"more than the highest item, {max(a.max(), b.max())}", pairs.n)
    if (same := np.flatnonzero(a == b)).size:
        raise ValueError("pairs", "two different items", f"{a[same[0]]} twice in comparison {same[0]}")
    return Pairs(a, b, int(pairs.n))


def _codes(name: str, codes: IntArray, shape: tuple[int, ...]) -> IntArray:
    codes = np.asarray(codes, dtype=np.int64)
    if codes.shape != shape or codes.ndim != 1:
        raise ValueError(name, f"an array of shape {shape}", codes.shape)
    if codes.size and codes.min() < 0:
        raise ValueError(name, "codes from 0", int(codes.min()))
    return codes


def _orders(a_first: OrderArray | None, shape: tuple[int, ...]) -> OrderArray:
    if a_first is None:
        return np.full(shape, -1, dtype=np.int8)
    orders = np.asarray(a_first, dtype=np.int8)
    if orders.shape != shape or not np.isin(orders, (-1, 0, 1)).all():
        raise ValueError("a_first", f"-1, 0 or 1 in an array of shape {shape}", f"shape {orders.shape}")
    return orders


def _ids(name: str, ids: tuple[Hashable, ...] | None, codes: IntArray) -> tuple[Hashable, ...]:
    needed = int(codes.max()) + 1 if codes.size else 0
    if ids is None:
        return tuple(range(needed))
    if len(ids) < needed:
        raise ValueError(name, f"at least {needed} ids", len(ids))
    return ids


def _refuse_repeats(
    comparison: IntArray, rater: IntArray, comparisons: tuple[Hashable, ...], raters: tuple[Hashable, ...]
) -> None:
    if not comparison.size:
        return
    pair = np.sort(comparison * len(raters) + rater)
    repeated = np.flatnonzero(pair[1:] == pair[:-1])
    if repeated.size:
        c, r = divmod(int(pair[repeated[0]]), len(raters))
        got = f"several of {raters[r]!r} on {comparisons[c]!r}"
        raise ValueError("votes", "one vote of a rater on a comparison (see combine_readings)", got)

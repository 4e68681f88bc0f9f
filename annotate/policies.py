"""The choices that assigning and judging make, as pure functions: which side first, where to look, what is enough.

Identity (`a`, `b`) never changes; left and right are screen position only. `ab` means that a stood left.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple, TypeAlias, TypeVar

import numpy as np

T = TypeVar("T")
Order: TypeAlias = Literal["ab", "ba"]
ORDERS: Final[tuple[Order, Order]] = ("ab", "ba")


class OrderCounts(NamedTuple):
    """How often each order was shown: on one comparison, or to one rater."""

    ab: int
    ba: int

    def rarer(self) -> Order | None:
        """The order shown less often; None where they are even."""
        if self.ab == self.ba:
            return None
        return "ab" if self.ab < self.ba else "ba"


def order_to_show(comparison: OrderCounts, rater: OrderCounts, rng: np.random.Generator) -> Order:
    """Counterbalance: the order that this comparison lacks, else the one that this rater lacks, else by lot.

    The comparison goes first, since a comparison has few seats and a rater many comparisons: with an even overlap
    every comparison is seen equally in both orders, and a left-hand habit cancels inside its consensus.
    """
    return comparison.rarer() or rater.rarer() or ORDERS[int(rng.integers(2))]


def start_point(rng: np.random.Generator) -> float:
    """Where on the shuffled queue a claim begins: uniform in [0, 1), so that many raters do not meet at one row."""
    return float(rng.random())


def enough(seats_taken: int, overlap: int) -> bool:
    """Whether a comparison wants no further annotator: every seat is leased or answered."""
    if seats_taken < 0 or overlap < 1:
        raise ValueError(
            "seats_taken, overlap", "seats_taken of 0 or more and overlap of 1 or more", (seats_taken, overlap)
        )
    return seats_taken >= overlap


def screen_values(levels: int, *, allow_tie: bool) -> list[int]:
    """What can be answered, from left much better (`-levels`) to right much better (`levels`)."""
    if not 1 <= levels <= 3:
        raise ValueError("levels", "1, 2 or 3", levels)
    return [value for value in range(-levels, levels + 1) if value or allow_tie]


def to_identity(screen_value: int, order: str) -> int:
    """The preference (below 0 favours a) that a screen answer (below 0: left is better) means in this order."""
    if order not in ORDERS:
        raise ValueError("order", "ab or ba", order)
    return screen_value if order == "ab" else -screen_value


def to_screen(preference: int, order: str) -> int:
    """The screen answer that stands for a preference: the inverse of `to_identity`, which is its own inverse."""
    return to_identity(preference, order)


def sides(a: T, b: T, order: str) -> tuple[T, T]:
    """What stands left and what stands right in this order."""
    if order not in ORDERS:
        raise ValueError("order", "ab or ba", order)
    return (a, b) if order == "ab" else (b, a)

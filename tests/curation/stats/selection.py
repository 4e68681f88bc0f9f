"""The trap: random labels collected adaptively, and what is left of them when the ones that agree are kept."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from curation.stats.votes import IntArray

WIDE = 2
"""A spread above this brings two more opinions, as in the protocol of HelpSteer2."""


def adaptive(n: int, rng: np.random.Generator) -> tuple[IntArray, IntArray, IntArray]:
    """Units, random labels from -3 to 3 and their order in the unit: three each, five where three spread widely."""
    rows: list[tuple[int, int, int]] = []
    for unit in range(n):
        said = rng.integers(-3, 4, 3).tolist()
        if max(said) - min(said) > WIDE:
            said += rng.integers(-3, 4, 2).tolist()
        rows += [(unit, value, order) for order, value in enumerate(said)]
    units, values, orders = np.array(rows).T
    return units, values, orders


def three_closest(units: IntArray, values: IntArray) -> tuple[IntArray, IntArray]:
    """Of each unit the three labels that lie closest; units that still spread widely, or mean a tie, are dropped."""
    kept: list[tuple[int, int]] = []
    for unit in np.unique(units).tolist():
        said = values[units == unit].tolist()
        closest = min(combinations(said, 3), key=lambda three: max(three) - min(three))
        if max(closest) - min(closest) <= WIDE and round(sum(closest) / 3):
            kept += [(unit, value) for value in closest]
    kept_units, kept_values = np.array(kept).T
    return kept_units, kept_values

"""Splits by group: comparisons of one group are never apart, and rows added later move none of the others."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping

from curation.exports.schema import SPLITS, Split


def check_fractions(fractions: Mapping[Split, float]) -> None:
    """Refuse fractions that are not those of the three splits, from 0 to 1, summing to 1."""
    for name, fraction in fractions.items():
        if name not in SPLITS:
            raise ValueError(f"split.{name}", f"one of {', '.join(SPLITS)}", name)
        if not 0 <= fraction <= 1:
            raise ValueError(f"split.{name}", "a fraction from 0 to 1", fraction)
    total = math.fsum(fractions.values())
    if not math.isclose(total, 1, abs_tol=1e-9):
        raise ValueError("split", "fractions that sum to 1", total)


def assign_split(group: str, *, seed: int, fractions: Mapping[Split, float]) -> Split:
    """The split of a group, from a hash of seed and group alone; ``fractions`` sum to 1, a missing one is 0."""
    check_fractions(fractions)
    digest = hashlib.sha256(f"{seed}\0{group}".encode()).digest()
    place = int.from_bytes(digest[:7], "big") / 2**56  # 56 bits: exact in a double, and below 1
    reached = 0.0
    for split in SPLITS:
        reached += fractions.get(split, 0.0)
        if place < reached:
            return split
    return max(split for split in SPLITS if fractions.get(split, 0.0) > 0)  # only where rounding left a gap at 1

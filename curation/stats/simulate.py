"""SIMULATED people: raters of known skill and side bias who judge comparisons of known strength.

For demonstrations and for tests of recovery. What comes from here is to be labelled as simulated wherever it is shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from curation.stats.votes import FloatArray


@dataclass(frozen=True, slots=True)
class SimulatedRater:
    """Says the truth with probability ``skill``, and otherwise either of the other two answers (a, tie, b).

    Before that, with probability |side_bias|, answers by position alone: the left for a bias above 0, else the right.
    """

    name: str
    skill: float
    side_bias: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.skill <= 1:
            raise ValueError("skill", "a probability", self.skill)
        if not -1 <= self.side_bias <= 1:
            raise ValueError("side_bias", "a number from -1 to 1", self.side_bias)


class SimulatedJudgement(NamedTuple):
    comparison: int
    """Position in ``strengths``."""
    rater: str
    preference: int
    order: Literal["ab", "ba"]
    """Which completion was shown left."""


def simulate_judgements(
    strengths: Sequence[float] | FloatArray,
    raters: Sequence[SimulatedRater],
    *,
    per_comparison: int,
    rng: np.random.Generator,
    levels: int = 3,
) -> list[SimulatedJudgement]:
    """Each comparison judged by ``per_comparison`` different raters drawn at random, sides shown at random.

    ``strengths`` are the true signed preferences (below 0: a, 0: a tie); an answer's size is the true one give or take
    one level, within 1..levels.
    """
    if not 1 <= per_comparison <= len(raters):
        raise ValueError("per_comparison", f"a number from 1 to the {len(raters)} raters", per_comparison)
    if levels < 1:
        raise ValueError("levels", "1 or more", levels)
    return [
        _judge(position, float(strength), raters[chosen], levels, rng)
        for position, strength in enumerate(strengths)
        for chosen in rng.choice(len(raters), size=per_comparison, replace=False)
    ]


def answer(strength: float, rater: SimulatedRater, *, a_first: bool, levels: int, rng: np.random.Generator) -> int:
    """The preference that a simulated rater gives to a comparison of this true strength, shown in this order."""
    truth = int(np.sign(strength))
    if rng.random() < abs(rater.side_bias):
        side = -1 if a_first == (rater.side_bias > 0) else 1
    elif rng.random() < rater.skill:
        side = truth
    else:
        side = int(rng.choice([other for other in (-1, 0, 1) if other != truth]))
    size = int(np.clip(round(abs(strength)) + rng.integers(-1, 2), 1, levels))
    return side * size


def _judge(
    comparison: int, strength: float, rater: SimulatedRater, levels: int, rng: np.random.Generator
) -> SimulatedJudgement:
    a_first = bool(rng.random() < 0.5)
    preference = answer(strength, rater, a_first=a_first, levels=levels, rng=rng)
    return SimulatedJudgement(comparison, rater.name, preference, "ab" if a_first else "ba")

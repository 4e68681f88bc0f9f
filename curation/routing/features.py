"""What a router knows of an open comparison: one table of features, from which everything else is derived."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from curation.stats.votes import FloatArray


@dataclass(frozen=True, slots=True)
class Item:
    """An open comparison as a router sees it; what is absent is None."""

    id: Hashable
    prompt: str
    """All turns as text."""
    completion_a: str
    completion_b: str
    turns: int = 1
    judge_probability: float | None = None
    """Of b being better, by the judges that have read it; None: no parsed verdict."""
    judge_inconsistency: float | None = None
    """Share of judges whose verdicts changed with the order shown."""
    margin: float | None = None
    """Reward of b minus reward of a, by a model that did not train on it."""
    settled: bool = False
    """People have already judged it as often as it needs."""


class Feature(NamedTuple):
    name: str
    label: str
    compute: Callable[[Item], float | None]


def _lengths(item: Item) -> tuple[int, int]:
    return len(item.completion_a), len(item.completion_b)


FEATURES: Final[tuple[Feature, ...]] = (
    Feature("length_difference", "difference in length, characters", lambda item: abs(np.subtract(*_lengths(item)))),
    Feature("shorter_length", "length of the shorter completion", lambda item: min(_lengths(item))),
    Feature("longer_length", "length of the longer completion", lambda item: max(_lengths(item))),
    Feature("prompt_length", "length of the prompt, characters", lambda item: len(item.prompt)),
    Feature("turns", "messages in the prompt", lambda item: item.turns),
    Feature(
        "has_code",
        "a completion or the prompt has a code block",
        lambda item: any("```" in text for text in (item.prompt, item.completion_a, item.completion_b)),
    ),
    Feature("judge_probability", "probability of b, by the judges", lambda item: item.judge_probability),
    Feature("judge_inconsistency", "judges that changed their verdict with the order", lambda i: i.judge_inconsistency),
    Feature("margin", "reward of b minus reward of a", lambda item: item.margin),
)


class Features(NamedTuple):
    """N comparisons by F features."""

    ids: tuple[Hashable, ...]
    names: tuple[str, ...]
    table: FloatArray
    """[N, F]; nan where absent."""
    settled: np.ndarray[tuple[int], np.dtype[np.bool_]]
    """[N]"""

    def column(self, name: str) -> FloatArray:
        """[N] one feature."""
        if name not in self.names:
            raise ValueError("name", f"one of {', '.join(self.names)}", name)
        column: FloatArray = self.table[:, self.names.index(name)]
        return column


def extract(items: Iterable[Item]) -> Features:
    """The features of items, in their order."""
    listed = list(items)
    for item in listed:
        for name in ("judge_probability", "judge_inconsistency"):
            value = getattr(item, name)
            if value is not None and not 0 <= value <= 1:
                raise ValueError(name, f"a number from 0 to 1 for {item.id!r}", value)
    rows = [[_value(feature.compute(item)) for feature in FEATURES] for item in listed]
    return Features(
        ids=tuple(item.id for item in listed),
        names=tuple(feature.name for feature in FEATURES),
        table=np.array(rows, dtype=np.float64).reshape(len(listed), len(FEATURES)),
        settled=np.array([item.settled for item in listed], dtype=np.bool_),
    )


def _value(value: float | None) -> float:
    return float("nan") if value is None else float(value)

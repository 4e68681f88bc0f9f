"""Votes to aggregate: simulated ones of known truth, and real ones from beside the checkout."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest

from curation.stats import K, Pairs, Votes

SHARED = Path(__file__).resolve().parents[3] / "../shared/data"
BASES = np.array([-1.0, 0.0, 1.0])


class World(NamedTuple):
    votes: Votes
    pairs: Pairs
    truth: npt.NDArray[np.int64]
    """[C] class of each comparison."""
    scores: npt.NDArray[np.float64]
    """[items]"""


def item_world(
    rng: np.random.Generator,
    skills: list[float],
    *,
    items: int = 12,
    comparisons: int = 80,
    each: int = 2,
    tie: float = -1.0,
    opposed: frozenset[int] = frozenset(),
    left: frozenset[int] = frozenset(),
) -> World:
    """Items of normal scores in random pairs; raters who know the truth with their skill and else guess.

    ``opposed`` say the opposite of what they would say; ``left`` always say the side shown first.
    """
    scores = rng.normal(0, 2, items)
    a = rng.integers(0, items, comparisons)
    b = (a + rng.integers(1, items, comparisons)) % items
    half = (scores[a] - scores[b]) / 2
    weight = np.exp(np.stack([half, np.full(comparisons, tie), -half], axis=1))
    cumulative = np.cumsum(weight / weight.sum(axis=1, keepdims=True), axis=1)
    truth = (rng.random(comparisons)[:, None] > cumulative[:, :2]).sum(axis=1)
    comparison = np.repeat(np.arange(comparisons), each)
    rater = np.argsort(rng.random((comparisons, len(skills))), axis=1)[:, :each].ravel()
    a_first = rng.integers(0, 2, len(rater)).astype(np.int8)
    knows = rng.random(len(rater)) < np.array(skills)[rater]
    said = BASES[np.where(knows, truth[comparison], rng.integers(0, K, len(rater)))]
    said = np.where(np.isin(rater, list(opposed)), -said, said)
    said = np.where(np.isin(rater, list(left)), np.where(a_first == 1, -1.0, 1.0), said)
    votes = Votes.from_arrays(
        comparison,
        rater,
        said,
        a_first=a_first,
        comparisons=tuple(range(comparisons)),
        raters=tuple(range(len(skills))),
    )
    return World(votes, Pairs(a, b, items), truth, scores)


def mirrored(world: World) -> World:
    """The same with a and b exchanged everywhere."""
    votes = world.votes
    other = Votes.from_arrays(
        votes.comparison,
        votes.rater,
        -votes.strength,
        a_first=np.where(votes.a_first < 0, -1, 1 - votes.a_first).astype(np.int8),
        comparisons=votes.comparisons,
        raters=votes.raters,
    )
    return World(other, Pairs(world.pairs.b, world.pairs.a, world.pairs.n), 2 - world.truth, world.scores)


class Ukp(NamedTuple):
    """Real votes on which argument convinces more (Habernal and Gurevych 2016)."""

    comparison: npt.NDArray[np.int64]
    rater: npt.NDArray[np.int64]
    preference: npt.NDArray[np.float64]
    pairs: Pairs
    gold: npt.NDArray[np.float64]
    """[C] sign; nan where there is none."""
    raters: int

    def votes(self, kept: npt.NDArray[Any], preference: npt.NDArray[np.float64]) -> Votes:
        return Votes.from_arrays(
            self.comparison[kept],
            self.rater[kept],
            preference[kept],
            comparisons=tuple(range(len(self.gold))),
            raters=tuple(range(self.raters)),
        )

    def right(self, posterior: npt.NDArray[np.float64]) -> float:
        """Share of the decided gold that the likelier side hits; an even split counts half."""
        decided = np.abs(self.gold) == 1
        side = np.sign(posterior[decided, 2] - posterior[decided, 0])
        return float(np.where(side == 0, 0.5, side == self.gold[decided]).mean())


def ukp(topics: int) -> Ukp:
    """The first groups of UKPConvArg1; an item is a text within its group. Skips where the set is not at hand."""
    path = SHARED / "ukpconvarg1.jsonl.gz"
    if not path.exists():
        pytest.skip(f"the shared data set {path.name} is not beside this checkout")
    items: dict[tuple[str, str], int] = {}
    groups: dict[str, int] = {}
    raters: dict[str, int] = {}
    pairs: list[tuple[int, int]] = []
    gold: list[float] = []
    votes: list[tuple[int, int, float]] = []
    with gzip.open(path, "rt") as lines:
        for row in map(json.loads, lines):
            group = row["group"]
            if groups.setdefault(group, len(groups)) >= topics:
                break
            if row["completion_a"] == row["completion_b"]:
                continue
            for judgement in row["judgements"]:
                rater = raters.setdefault(judgement["rater"], len(raters))
                votes.append((len(gold), rater, judgement["preference"]))
            sides = (items.setdefault((group, row[f"completion_{side}"]), len(items)) for side in "ab")
            pairs.append((next(sides), next(sides)))
            gold.append(np.nan if row["gold"] is None else row["gold"])
    a, b = np.array(pairs).T
    table = np.array(votes)
    return Ukp(
        table[:, 0].astype(np.int64),
        table[:, 1].astype(np.int64),
        table[:, 2],
        Pairs(a, b, len(items)),
        np.array(gold),
        len(raters),
    )


def spammed(data: Ukp, share: float, each: int, rng: np.random.Generator) -> Votes:
    """``each`` decided votes for a comparison, where a share of the raters answers by lot."""
    spammer = rng.random(data.raters) < share
    decided = np.flatnonzero(data.preference != 0)
    said = np.where(spammer[data.rater], rng.choice([-1.0, 1.0], len(data.rater)), data.preference)
    shuffled = rng.permutation(decided)
    order = shuffled[np.argsort(data.comparison[shuffled], kind="stable")]
    starts = np.searchsorted(data.comparison[order], data.comparison[order], side="left")
    return data.votes(order[np.arange(len(order)) - starts < each], said)

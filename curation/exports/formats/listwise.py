"""A prompt with all its completions, and their order where the comparisons make one.

Ranks are given only where the order is the one possible: each completion stands in one chain of decisions, ties side
by side. Where decisions run in a circle, or leave two completions unordered, every rank is null and `ranking` says so;
`pairs` tells what was decided in either case. Nothing is guessed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple, cast

import pyarrow as pa

from curation.exports.formats import FormatOptions
from curation.exports.formats.sides import Side, sides, verdict
from curation.exports.schema import MESSAGES, Native, Row

Ranking = Literal["whole", "incomplete", "cyclic"]
_PAIR: Final = pa.struct(
    [
        *(pa.field(name, pa.int32(), nullable=False) for name in ("better", "worse")),
        pa.field("comparison", pa.string(), nullable=False),
    ]
)


class Ranked(NamedTuple):
    ranking: Ranking
    ranks: list[int | None]
    """Of each node, 0 the best."""


def convert_all(rows: Sequence[Native], options: FormatOptions) -> dict[str, Any]:
    """Columns prompt, completions [{completion, generator, rank}], ranking, pairs [{better, worse, comparison}], ties
    [{first, second, comparison}], group, split and ids; pairs and ties name completions by their places in the list.
    """
    places: dict[tuple[tuple[str, str], ...], int] = {}
    completions: list[Side] = []

    def place(side: Side) -> int:
        key = tuple((message["role"], message["content"]) for message in side.messages)
        if key not in places:
            places[key] = len(completions)
            completions.append(side)
        return places[key]

    pairs: list[dict[str, Any]] = []
    ties: list[dict[str, Any]] = []
    for row in rows:
        a, b = map(place, sides(row))
        if verdict(row) == "tie":
            ties.append({"first": a, "second": b, "comparison": row["id"]})
        else:
            better, worse = (a, b) if cast(Row, row)["chosen_side"] == "a" else (b, a)
            pairs.append({"better": better, "worse": worse, "comparison": row["id"]})
    edges = [(pair["better"], pair["worse"]) for pair in pairs]
    ranked = rank(len(completions), edges, [(tie["first"], tie["second"]) for tie in ties])
    return {
        "prompt": rows[0]["prompt"],
        "completions": [
            {"completion": side.messages, "generator": side.generator, "rank": place}
            for side, place in zip(completions, ranked.ranks, strict=True)
        ],
        "ranking": ranked.ranking,
        "pairs": pairs,
        "ties": ties,
        "group": rows[0]["group"],
        "split": rows[0]["split"],
        "ids": [row["id"] for row in rows],
    }


def rank(n: int, pairs: Sequence[tuple[int, int]], ties: Sequence[tuple[int, int]] = ()) -> Ranked:
    """The one order of nodes 0 to n - 1 in which each (better, worse) holds and ties are equal, if there is just one.

    Kahn's topological sort over the classes of ties: two classes free at once could stand either way round.
    """
    class_of = _classes(n, ties)
    below: dict[int, set[int]] = {c: set() for c in set(class_of)}
    for better, worse in pairs:
        below[class_of[better]].add(class_of[worse])
    above = Counter(c for worse in below.values() for c in worse)
    free = [c for c in below if not above[c]]
    order: list[int] = []
    unique = True
    while free:
        unique &= len(free) == 1
        order.append(free.pop())
        for c in below[order[-1]]:
            above[c] -= 1
            if not above[c]:
                free.append(c)
    if len(order) < len(below):
        return Ranked("cyclic", [None] * n)
    if not unique:
        return Ranked("incomplete", [None] * n)
    ranks = {c: place for place, c in enumerate(order)}
    return Ranked("whole", [ranks[c] for c in class_of])


def _classes(n: int, ties: Sequence[tuple[int, int]]) -> list[int]:
    """The least node that each node is tied with, over any number of ties."""
    parent = list(range(n))

    def root(node: int) -> int:
        while parent[node] != node:
            node = parent[node]
        return node

    for a, b in ties:
        low, high = sorted((root(a), root(b)))
        parent[high] = low
    return [root(node) for node in range(n)]


def schema(options: FormatOptions) -> pa.Schema:
    """Messages, completions with ranks, and what was decided between them."""
    one = {"completion": MESSAGES, "generator": pa.string(), "rank": pa.int32()}
    return pa.schema(
        [
            pa.field("prompt", MESSAGES, nullable=False),
            _list("completions", one),
            pa.field("ranking", pa.string(), nullable=False),
            pa.field("pairs", pa.list_(_PAIR), nullable=False),
            _list("ties", {"first": pa.int32(), "second": pa.int32(), "comparison": pa.string()}),
            pa.field("group", pa.string(), nullable=False),
            pa.field("split", pa.string(), nullable=False),
            pa.field("ids", pa.list_(pa.string()), nullable=False),
        ]
    )


def _list(name: str, of: Mapping[str, pa.DataType]) -> pa.Field:
    return pa.field(name, pa.list_(pa.struct([pa.field(key, kind) for key, kind in of.items()])), nullable=False)

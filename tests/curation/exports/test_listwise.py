"""Lists of a prompt's completions: ranked where there is one order, and nothing guessed where there is none."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest

from curation.exports.formats import FormatOptions
from curation.exports.formats.listwise import convert_all, rank
from curation.exports.schema import Row
from tests.curation.exports.rows import message, row, tied


def pair(id_: str, better: str, worse: str) -> Row:
    return row(id_, completion_a=[message(better)], completion_b=[message(worse)])


def ranks(told: dict[str, Any]) -> dict[str, int | None]:
    return {each["completion"][0]["content"]: each["rank"] for each in told["completions"]}


@pytest.mark.parametrize(
    ("pairs", "ties", "ranking", "expected"),
    [
        ([(0, 1), (1, 2)], [], "whole", [0, 1, 2]),  # a chain
        ([(2, 1), (1, 0), (2, 0)], [], "whole", [2, 1, 0]),  # with what follows from it
        ([(0, 1)], [(1, 2)], "whole", [0, 1, 1]),  # a tie shares a rank
        ([(0, 2)], [(0, 1), (2, 3)], "whole", [0, 0, 1, 1]),  # 1 above 3 by its ties alone
        ([], [(0, 1), (1, 2)], "whole", [0, 0, 0]),  # all ties
        ([(0, 1), (0, 1)], [], "whole", [0, 1]),  # said twice
        ([(0, 1), (0, 2)], [], "incomplete", None),  # 1 and 2 are not compared
        ([(0, 1), (2, 3)], [], "incomplete", None),  # two islands
        ([(0, 1), (1, 2), (2, 0)], [], "cyclic", None),
        ([(0, 1), (1, 0)], [], "cyclic", None),  # two comparisons of the same two disagree
        ([(0, 1)], [(0, 1)], "cyclic", None),  # better than what it ties with
        ([(0, 1), (1, 2)], [(0, 2)], "cyclic", None),
        ([(0, 0)], [], "cyclic", None),
    ],
)
def test_there_is_a_ranking_where_there_is_one_order(
    pairs: Any, ties: Any, ranking: str, expected: list[int] | None
) -> None:
    n = 1 + max(node for edge in (*pairs, *ties) for node in edge)
    assert rank(n, pairs, ties) == (ranking, expected or [None] * n)


@pytest.mark.parametrize("order", permutations([(0, 1), (1, 2), (2, 3), (0, 3)]))
def test_the_order_of_the_comparisons_is_nothing_to_the_ranking(order: Any) -> None:
    assert rank(4, order).ranks == [0, 1, 2, 3]


def test_comparisons_that_share_completions_become_one_list() -> None:
    told = convert_all([pair("1", "good", "fair"), pair("2", "fair", "poor")], FormatOptions())
    assert (told["ranking"], ranks(told)) == ("whole", {"good": 0, "fair": 1, "poor": 2})
    assert told["ids"] == ["1", "2"]


def test_a_circle_keeps_what_was_decided_and_ranks_nothing() -> None:
    told = convert_all([pair("1", "r", "s"), pair("2", "s", "p"), pair("3", "p", "r")], FormatOptions())
    assert told["ranking"] == "cyclic"
    assert set(ranks(told).values()) == {None}
    assert [(p["better"], p["worse"], p["comparison"]) for p in told["pairs"]] == [
        (0, 1, "1"),
        (1, 2, "2"),
        (2, 0, "3"),
    ]


def test_a_tie_that_was_asked_for_stands_beside_its_equal() -> None:
    told = convert_all([pair("1", "best", "4"), tied("2", "tie")], FormatOptions())
    assert (told["ranking"], ranks(told)) == ("whole", {"best": 0, "4": 1, "5": 1})
    assert told["ties"] == [{"first": 1, "second": 2, "comparison": "2"}]

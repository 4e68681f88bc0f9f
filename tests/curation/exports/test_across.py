"""Rules across rows: which of many go, for which cause, and who stays together in a split."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.exports.across import Names, cap, joined, repeats
from curation.exports.following import Built, apply
from curation.exports.recipe import Recipe
from tests.curation.exports.rows import candidate, message, vote

LONG = "the quick brown fox jumps over the lazy dog and runs into the deep dark forest behind the old stone mill"


def followed(recipe: dict[str, Any], *candidates: Any) -> Built:
    return apply(Recipe.from_dict(recipe), candidates)


def asked(name: str, question: str, **changes: Any) -> Any:
    return candidate(name, prompt=[message(question, "user")], **changes)


def test_near_duplicates_leave_the_first_and_say_which() -> None:
    rows = [asked("x", LONG), asked("y", LONG.replace("mill", "barn")), asked("z", "something else entirely, is it?")]
    built = followed({"near_duplicates": {"threshold": 0.6}}, *rows)

    assert [row["id"] for row in built.rows] == ["x", "z"]
    (drop,) = built.dropped
    assert drop.rule == "near_duplicates"
    assert drop.cause.endswith(" like x")
    assert followed({}, *rows).counts["near_duplicates"] == 0


def test_an_exact_duplicate_is_told_as_that_even_where_near_ones_go_too() -> None:
    built = followed({"near_duplicates": {"threshold": 0.6}}, asked("x", LONG), asked("y", LONG))

    assert [drop.rule for drop in built.dropped] == ["dedupe"]


def test_near_prompts_count_alone_where_the_recipe_says_so() -> None:
    other = {"completion_a": [message("An utterly different reply, " * 9)], "completion_b": [message("No way. " * 20)]}
    rows = [asked("x", LONG), asked("y", LONG, **other)]

    assert len(followed({"near_duplicates": {"threshold": 0.6}}, *rows).rows) == 2
    assert len(followed({"near_duplicates": {"threshold": 0.6, "of": "prompt"}}, *rows).rows) == 1


# --- balance ---------------------------------------------------------------------------------------------------------

PREFERS_B = {"posterior": (0.05, 0.15, 0.8), "preference": 1.6, "votes": [vote("ann", 2)]}


def many(a: int, b: int) -> list[Any]:
    rows = [asked(f"a{i:02}", f"question a {i}") for i in range(a)]
    return rows + [asked(f"b{i:02}", f"question b {i}", **PREFERS_B) for i in range(b)]


def test_balance_leaves_no_side_more_than_its_share() -> None:
    built = followed({"balance": {"by": "side", "most": 0.5}}, *many(9, 4))

    sides = [row["chosen_side"] for row in built.rows]
    assert (sides.count("a"), sides.count("b")) == (4, 4)
    assert built.counts["balance"] == 5
    assert built.dropped[0].cause == "a has more than 4 pairs"


def test_balance_drops_the_same_whatever_else_is_there_in_front() -> None:
    recipe = {"balance": {"by": "side", "most": 3}}
    forth = {row["id"] for row in followed(recipe, *many(9, 4)).rows}
    back = {row["id"] for row in followed(recipe, *reversed(many(9, 4))).rows}

    assert forth == back
    assert len(forth) == 6
    seeded = {row["id"] for row in followed(recipe | {"split": {"seed": 5}}, *many(9, 4)).rows}
    assert seeded != forth


def test_balance_by_length_tells_longer_from_shorter() -> None:
    # In `many` a is the shorter completion: who prefers b prefers the longer one.
    built = followed({"balance": {"by": "length", "most": 0.5}}, *many(6, 2))

    assert [row["chosen_side"] for row in built.rows].count("a") == 2


def test_balance_by_a_key_of_the_metadata() -> None:
    rows = [asked(f"x{i}", f"question {i}", metadata={"topic": "sums"} if i else {}) for i in range(6)]
    built = followed({"balance": {"by": "topic", "most": 2}}, *rows)

    assert len(built.rows) == 3  # two of sums, and the one without
    assert {drop.cause for drop in built.dropped} == {"sums has more than 2 pairs"}


def test_balance_leaves_rows_without_a_side_alone() -> None:
    ties = [asked(f"t{i}", f"tie {i}", posterior=(0.1, 0.8, 0.1), preference=0.0) for i in range(5)]
    built = followed({"ties": "keep", "balance": {"by": "side", "most": 0.5}}, *many(2, 1), *ties)

    assert (len(built.rows), len(built.undecided)) == (2, 5)


def test_a_balance_that_nothing_can_have_is_refused_rather_than_dropping_everything() -> None:
    with pytest.raises(ValueError) as refused:
        followed({"balance": {"by": "side", "most": 0.5}}, *many(3, 0))

    assert refused.value.args[0] == "balance.most"


@pytest.mark.parametrize("most", [100, 0.5])
def test_a_balance_by_a_key_that_no_row_has_is_refused_by_its_name_with_the_keys_that_there_are(most: float) -> None:
    rows = [asked(f"x{i}", f"question {i}", metadata={"topic": "sums", "level": i} if i else {}) for i in range(6)]
    with pytest.raises(ValueError) as refused:
        followed({"balance": {"by": "nothere", "most": most}}, *rows)

    told = "side, length, source or a key of the metadata (level, topic)"
    assert refused.value.args == ("balance.by", told, "nothere")
    assert not followed({"balance": {"by": "nothere", "most": most}}).rows, "of no rows none is asked"


@given(st.lists(st.integers(0, 50), min_size=1, max_size=5), st.floats(0.05, 0.95))
def test_the_cap_is_the_greatest_that_leaves_every_value_its_share(counts: list[int], most: float) -> None:
    array = np.array(counts)
    best = max(k for k in range(max(counts) + 1) if k <= most * np.minimum(array, k).sum() + 1e-9)

    assert cap(array, most) == best


# --- splits by cluster -----------------------------------------------------------------------------------------------


def test_groups_whose_prompts_are_near_are_never_in_two_splits() -> None:
    # Twenty pairs of near prompts in forty groups: by group, some pair is torn apart (.5 ** 20 that none is).
    rows = []
    for i in range(20):
        words = " ".join(f"{word}{i}" for word in LONG.split())
        rows += [asked(f"x{i:02}", f"{words} one", group=f"x{i}"), asked(f"y{i:02}", f"{words} two", group=f"y{i}")]
    halves = {"train": 0.5, "validation": 0.0, "test": 0.5}

    def torn(by: str) -> int:
        split = {row["id"]: row["split"] for row in followed({"split": {**halves, "by": by}}, *rows).rows}
        return sum(split[f"x{i:02}"] != split[f"y{i:02}"] for i in range(20))

    assert torn("group") > 0
    assert torn("cluster") == 0


def test_a_group_stays_whole_in_a_split_by_cluster() -> None:
    words = [" ".join(f"{word}{i}" for word in LONG.split()) for i in range(3)]
    rows = [asked(f"r{i}{j}", f"{words[i]} {j}", group=f"g{(i + j) % 3}") for i in range(3) for j in range(2)]
    built = followed({"split": {"train": 0.34, "validation": 0.33, "test": 0.33, "by": "cluster"}}, *rows)

    assert len({row["split"] for row in built.rows}) == 1  # the groups join the clusters into one


def test_joined_groups_have_one_root() -> None:
    # Groups 0 and 2 share cluster 7, 2 and 3 share cluster 8; 1 is alone.
    root = joined(np.array([0, 2, 2, 3, 1]), np.array([7, 7, 8, 8, 9]))

    assert root.tolist() == [0, 1, 0, 0]


# --- parts -----------------------------------------------------------------------------------------------------------


def test_repeats_point_at_the_first_of_the_same() -> None:
    digests = np.array([b"x", b"y", b"x", b"z", b"x", b"y"], dtype="S16")

    assert repeats(digests).tolist() == [-1, -1, 0, -1, 0, 1]
    assert repeats(digests[:0]).tolist() == []


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
def test_names_come_back_as_they_went_in(texts: list[str]) -> None:
    names = Names()
    for text in texts:
        names.append(text)

    assert [names[i] for i in range(len(names))] == texts


def test_no_candidates_give_no_rows() -> None:
    everything = {
        "near_duplicates": {"threshold": 0.8},
        "balance": {"by": "side", "most": 0.5},
        "split": {"by": "cluster"},
    }

    assert followed(everything).rows == []

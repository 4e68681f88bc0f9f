"""Decontamination: rows that repeat an evaluation set, and rows that only resemble one."""

from __future__ import annotations

import numpy as np
import pytest

from curation.exports.contamination import Contamination, Overlap

QUESTION = "A train leaves the station at noon and travels at sixty miles an hour; when does it arrive at the coast?"
CHINESE = (
    "小明有五个苹果，他给了小红两个，又从树上摘下了七个苹果，"
    "后来妈妈再给他买了十个橙子和三个梨。请问小明现在一共有多少个水果？"
)
SETS = {"trains": ["something else entirely", QUESTION], "fruit": [CHINESE], "sums": ["What is 2+2?"]}


@pytest.fixture(scope="module")
def against() -> Contamination:
    return Contamination(SETS)


def test_thirteen_words_in_a_row_are_contamination_twelve_are_not(against: Contamination) -> None:
    words = QUESTION.split()
    assert against.cause([" ".join(["So:", *words[2:15], "!"])]) is not None
    assert against.cause([" ".join(["So:", *words[2:14], "is what I ask"])]) is None


def test_the_cause_names_the_set_the_item_and_where_the_overlap_begins(against: Contamination) -> None:
    found = against.overlaps(["nothing", f"Well, {QUESTION.upper()}"])
    assert found == [
        Overlap("trains", 1, "a train leaves the station at noon and travels at sixty miles an", "words", 1)
    ]
    assert found[0].cause == (
        "shares a run of words with trains, item 2: “a train leaves the station at noon and travels at sixty mile…”"
    )


def test_case_punctuation_accents_and_width_do_not_hide_an_overlap(against: Contamination) -> None:
    hidden = QUESTION.replace(" ", "\n").replace(";", " — ").replace("train", "trаin".replace("а", "a\u0301")).upper()
    assert against.cause([hidden]) is not None


def test_fifty_characters_in_a_row_of_text_without_blanks_are_contamination(against: Contamination) -> None:
    # Signs do not count: 50 characters are 50 of those that stand for words.
    plain = "".join(c for c in CHINESE if c not in "，。？")
    assert len(plain) > 52
    assert against.cause(["问：" + plain[1:51] + "好"]) is not None
    assert against.cause(["问：" + plain[1:50] + "好"]) is None
    assert against.cause([f"Translate: {CHINESE} Thank you."]) is not None  # between words of another script


def test_a_short_item_is_repeated_only_by_all_of_a_text(against: Contamination) -> None:
    assert against.cause(["what is 2 + 2"]) == "shares all of a text with sums, item 1: “what is 2 2”"
    assert against.cause(["Tell me: what is 2+2?"]) is None


def test_any_of_a_rows_texts_counts_and_each_row_is_told_apart(against: Contamination) -> None:
    rows = [["clean", "also clean"], ["fine", QUESTION], [], [""], [CHINESE, QUESTION]]
    told = against.causes(rows)
    assert [cause is not None for cause in told] == [False, True, False, False, True]
    assert told == [against.cause(row) for row in rows]
    assert told[4] is not None
    assert "fruit" in told[4]  # the first of its texts


def test_texts_do_not_run_into_each_other(against: Contamination) -> None:
    words = QUESTION.split()
    assert against.cause([" ".join(words[:12]), " ".join(words[9:])]) is None


def test_fewer_words_may_be_asked_for() -> None:
    strict = Contamination(SETS, words=5)
    assert strict.cause(["and the station at noon and then"]) is not None  # the station at noon and
    assert strict.cause(["the station at midnight and then"]) is None
    with pytest.raises(ValueError, match="1 or more"):
        Contamination(SETS, words=0)


@pytest.mark.parametrize("sets", [{}, {"empty": []}, {"blank": ["", " ?! ", "\x00\ud800"]}])
def test_sets_without_words_hold_nothing_against_anybody(sets: dict[str, list[str]]) -> None:
    against = Contamination(sets)
    assert against.causes([[""], [QUESTION], [" ?! "], ["\x00"]]) == [None] * 4


def test_all_planted_overlaps_are_found_and_no_others() -> None:
    """500 items, 1,000 texts of random words; in every tenth a run of 13 words of an item."""
    rng = np.random.default_rng(2)
    items = [[f"w{w}" for w in rng.integers(0, 2000, 30)] for _ in range(500)]
    against = Contamination({"made": [" ".join(item) for item in items]})
    for i in range(1000):
        words = [f"w{w}" for w in rng.integers(0, 2000, 60)]
        item, start = int(rng.integers(500)), int(rng.integers(17))
        if i % 10 == 0:
            words[20:33] = items[item][start : start + 13]
        found = against.overlaps([" ".join(words)])
        assert [each.item for each in found] == ([item] if i % 10 == 0 else [])


def test_a_long_word_is_held_by_its_characters() -> None:
    key = "".join(chr(97 + i % 26) for i in range(0, 3 * 70, 3))
    against = Contamination({"keys": [f"The key is {key}"]})
    assert against.cause([f"I know {key[5:60]}"]) is not None
    assert against.cause([f"I know {key[5:50]}"]) is None


def test_a_million_characters_are_held_against_a_set(against: Contamination) -> None:
    long = " ".join(f"w{i}" for i in range(130_000))
    assert against.cause([long]) is None
    assert against.cause([f"{long} {QUESTION}"]) is not None

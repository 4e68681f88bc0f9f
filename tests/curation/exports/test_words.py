"""Words for matching: what counts as one, what is folded away, and hashes that are the same in every process."""

from __future__ import annotations

import subprocess
import sys
import time

import numpy as np
import pytest

from curation.exports.words import LONG, Reader, fold


def words(text: str) -> list[str]:
    return fold(text).replace(b"\0", b" ").decode().split()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" .,;!? \t\n", []),
        ("Hello, World!", ["hello", "world"]),
        ("it's a-b_c", ["it", "s", "a", "b", "c"]),
        ("Ünïcode CAFÉ", ["unicode", "cafe"]),
        ("cafe\u0301", ["cafe"]),  # the accent as a character of its own
        ("“quoted” — dash…", ["quoted", "dash"]),
        ("\uff21\uff22\uff11\uff12", ["ab12"]),  # full width
        ("straße STRASSE", ["strasse", "strasse"]),
        ("ﬁne", ["fine"]),  # a ligature
        ("a\x00b\ud800c", ["a", "b", "c"]),  # NUL and a lone surrogate part words
        ("你好吗", ["你", "好", "吗"]),
        ("Say 你好, please", ["say", "你", "好", "please"]),
        ("мир ΣΟΦΟΣ", ["мир", "σοφοσ"]),
        ("x" * LONG, ["x"] * LONG),
        ("x" * (LONG - 1), ["x" * (LONG - 1)]),
    ],
)
def test_words_are_folded_for_matching(text: str, expected: list[str]) -> None:
    assert words(text) == expected


def test_a_million_accents_on_one_letter_take_no_square_of_time() -> None:
    # Normalised as one string, so many marks out of order are sorted by insertion: hours.
    start = time.process_time()
    assert words("a" + "\u0301\u0316" * 500_000) == ["a"]
    assert time.process_time() - start < 20


def test_equal_words_have_equal_hashes_wherever_they_stand() -> None:
    found = Reader().words([fold("one two one"), fold(""), fold("Two 好")])
    assert found.lengths.tolist() == [3, 0, 2]
    assert found.hashes[0] == found.hashes[2]
    assert found.hashes[1] == found.hashes[3]
    assert len(set(found.hashes.tolist())) == 3
    assert found.single.tolist() == [False, False, False, False, True]


def test_words_know_where_they_stand_in_their_folded_text() -> None:
    text = fold("The 好 end.")
    found = Reader().words([text])
    assert [text[a:b].decode() for a, b in zip(found.starts, found.ends, strict=True)] == ["the", "好", "end"]


def test_runs_are_equal_where_their_words_are_and_in_that_order() -> None:
    reader = Reader()
    found = reader.words([fold("a b c x a b c y b a c")])
    # a b c | b c x | c x a | x a b | a b c | b c y | c y b | y b a | b a c
    runs = reader.runs(found.hashes, np.arange(9), 3)
    assert runs[0] == runs[4]
    assert len(set(runs.tolist())) == 8


def test_anagrams_are_other_words() -> None:
    letters = ["listen", "silent", "enlist", "tinsel", "inlets"]
    assert len(set(Reader().words([fold(" ".join(letters))]).hashes.tolist())) == len(letters)


def test_a_new_process_hashes_alike() -> None:
    code = "from curation.exports.words import *; print(Reader().words([fold('hello 你')]).hashes.tolist())"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told.strip() == str(Reader().words([fold("hello 你")]).hashes.tolist())

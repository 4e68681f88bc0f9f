"""Word differences: what was removed, what was added, and that nothing else is lost or made up."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotate.differences import differences


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("", "", []),
        ("same", "same", [("same", "same")]),
        ("", "new", [("added", "new")]),
        ("gone", "", [("removed", "gone")]),
        ("Be kind.", "Be strict.", [("same", "Be "), ("removed", "kind"), ("added", "strict"), ("same", ".")]),
        ("a\nb\nc\n", "a\nc\n", [("same", "a\n"), ("removed", "b\n"), ("same", "c\n")]),
    ],
)
def test_the_words_that_changed_are_told(before: str, after: str, expected: list[tuple[str, str]]) -> None:
    assert [tuple(piece) for piece in differences(before, after)] == expected


WORDS = st.lists(st.sampled_from(["be", "kind", "\n", " ", ".", "日本", "é", "\r\n", "\u2028"]), max_size=30).map(
    "".join
)


@given(WORDS, WORDS)
def test_the_pieces_make_up_both_texts(before: str, after: str) -> None:
    pieces = differences(before, after)
    assert "".join(piece.text for piece in pieces if piece.kind != "added") == before
    assert "".join(piece.text for piece in pieces if piece.kind != "removed") == after


def test_a_passage_that_is_far_too_long_is_told_as_a_whole() -> None:
    before, after = "a " * 3000 + "a", "b " * 3000 + "b"
    assert [piece.kind for piece in differences(before, after)] == ["removed", "added"]


@pytest.mark.parametrize("between", [" ", "\n\n"])
def test_a_rewritten_page_takes_no_longer_than_it_is_long(between: str) -> None:
    before, after = (between.join(f"{letter}{n}" for n in range(900)) for letter in "ab")
    began = time.process_time()
    differences(before, after)
    assert time.process_time() - began < 2  # once 25 to 70 seconds

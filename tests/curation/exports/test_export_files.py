"""Rows as bytes: the same rows have the same digest in every file, and formats have the columns their readers want."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from curation.exports.card import CardFacts, render_card, summarise
from curation.exports.files import ndjson_line, read_parquet, rows_digest, write_ndjson, write_parquet
from curation.exports.formats import FORMATS, FormatOptions, converter
from curation.exports.schema import OPTIONAL, SCHEMA
from tests.curation.exports.rows import message, row

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "trl_rows.json"

SINGLE = row("single")
MULTI = row(
    "multi",
    prompt=[
        message("Be terse.", "system"),
        message("¿Qué hora es?", "user"),
        message("Las dos.", "assistant"),
        message("And in Tōkyō?\nExactly.", "user"),
    ],
    completion_a=[message("Nine. 九時")],
    completion_b=[message("No idea")],
    posterior=(0.1, 0.0, 0.9),
    preference=2.0,
)


@pytest.mark.parametrize("style", ["conversational", "text"])
def test_trl_rows_are_those_of_the_golden_file(style: str) -> None:
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    options = FormatOptions(style=style)  # type: ignore[arg-type]

    assert [converter("trl").convert(each, options) for each in (SINGLE, MULTI)] == golden[style]


def test_trl_has_no_margin_unless_asked() -> None:
    assert set(converter("trl").convert(SINGLE, FormatOptions())) == {"prompt", "chosen", "rejected"}
    assert converter("trl").convert(SINGLE, FormatOptions(margin=True))["margin"] == 2.0


def test_trl_refuses_a_margin_that_a_row_does_not_have() -> None:
    with pytest.raises(ValueError, match="margin"):
        converter("trl").convert(MULTI, FormatOptions(margin=True))  # nobody voted for b


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("options", [FormatOptions(), FormatOptions(style="text", margin=True)])
def test_every_format_fits_the_schema_it_declares(tmp_path: Path, name: str, options: FormatOptions) -> None:
    module = converter(name)
    rows = [module.convert(SINGLE, options)]

    write_parquet(tmp_path / "rows.parquet", rows, schema=module.schema(options))

    absent = dict.fromkeys(OPTIONAL) if name == "raw" else {}  # what a row leaves out is null in a table
    assert list(read_parquet(tmp_path / "rows.parquet")) == [absent | row for row in rows]


def test_an_unknown_format_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="raw, trl"):
        converter("xml")


def test_the_digest_is_the_same_whatever_file_the_rows_are_read_from(tmp_path: Path) -> None:
    rows = [SINGLE, MULTI]
    write_parquet(tmp_path / "rows.parquet", rows)
    write_ndjson(tmp_path / "rows.ndjson", rows)

    from_lines = [json.loads(line) for line in (tmp_path / "rows.ndjson").read_text(encoding="utf-8").splitlines()]

    digest = rows_digest(rows)
    assert rows_digest(read_parquet(tmp_path / "rows.parquet")) == digest
    assert rows_digest(from_lines) == digest
    assert rows_digest(dict(reversed(each.items())) for each in rows) == digest  # the order of keys is not content
    assert rows_digest(reversed(rows)) != digest


def test_the_same_rows_make_the_same_parquet_bytes_in_row_groups(tmp_path: Path) -> None:
    for name in ("one", "two"):
        assert write_parquet(tmp_path / name, (row(f"c{i}") for i in range(5)), row_group_rows=2) == 5

    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert pq.ParquetFile(tmp_path / "one").metadata.num_row_groups == 3


def test_no_rows_make_an_empty_table_with_the_schema(tmp_path: Path) -> None:
    write_parquet(tmp_path / "none.parquet", [])

    assert pq.read_table(tmp_path / "none.parquet").schema.equals(SCHEMA)


def test_a_line_of_ndjson_keeps_other_scripts_and_has_no_newline_inside() -> None:
    line = ndjson_line(MULTI)

    assert "九時".encode() in line
    assert line.count(b"\n") == 1


def test_datasets_loads_a_version_by_its_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    rows = [row(f"c{i}", group=f"g{i}", prompt=[message(f"q{i}", "user")]) for i in range(30)]
    for split in {each["split"] for each in rows}:
        write_parquet(tmp_path / f"{split}.parquet", [each for each in rows if each["split"] == split])
    card = render_card(CardFacts("d", 1, rows_digest(rows), {}, {}), summarise(rows))
    (tmp_path / "README.md").write_text(card, encoding="utf-8")

    loaded = datasets.load_dataset(str(tmp_path), cache_dir=str(tmp_path / "cache"))

    assert sum(part.num_rows for part in loaded.values()) == 30
    assert loaded["train"][0]["chosen"] == rows[0]["chosen"]

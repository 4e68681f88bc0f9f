"""Rows as bytes: the same rows have the same digest in every file, and formats have the columns their readers want."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.exports.card import CardFacts, render_card, summarise
from curation.exports.files import ndjson_line, read_parquet, rows_digest, wire_line, write_ndjson, write_parquet
from curation.exports.formats import (
    FORMATS,
    FormatOptions,
    Rating,
    converter,
    cutter,
    group_converter,
    rated_converter,
)
from curation.exports.pieces import pieces
from curation.exports.schema import OPTIONAL, SCHEMA, normalise
from curation.services.exporting import NAMES
from tests.curation.exports.rows import message, row, tied, vote

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "formats"

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


GOLDENS = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(GOLDEN.glob("*.json"))}
ASKED = {name: asked for name, asked in NAMES.items() if name in GOLDENS}


@pytest.mark.parametrize("name", ASKED)
def test_rows_are_those_of_the_golden_file(name: str) -> None:
    module, options = ASKED[name]
    golden = GOLDENS[name]

    assert records(module, SINGLE, options) == golden["single"]
    if golden["multi"] is not None:
        assert records(module, MULTI, options) == golden["multi"]


@pytest.mark.parametrize("name", ASKED)
def test_what_is_sent_has_the_bytes_of_the_golden_file(name: str) -> None:
    """`wire_line` writes with orjson what `json` writes of the golden records."""
    golden = GOLDENS[name]
    for told in (*golden["single"], *(golden["multi"] or ())):
        assert wire_line(told) == ndjson_line(told)


TEXTS = st.text() | st.sampled_from(['","chosen":[{"', '\\","rejected":', "\\\\", '"}],"chosen_side":"a"', "\u2028"])


@given(TEXTS, TEXTS, TEXTS, TEXTS, st.sampled_from([name for name in FORMATS if cutter(name, FormatOptions())]))
def test_what_is_cut_out_of_a_line_is_what_reading_it_gives(
    id_: str, prompt: str, chosen: str, rejected: str, name: str
) -> None:
    """Whatever a text quotes, its quotes stand behind backslashes."""
    facts: dict[str, Any] = {"chosen": [message(chosen)], "rejected": [message(rejected), message(chosen)]}
    made = normalise({**SINGLE, **facts, "id": id_, "prompt": [message(prompt, prompt), message(id_)]})
    read = b"".join(map(wire_line, converter(name).convert(made, FormatOptions())))
    found = cutter(name, FormatOptions())
    assert found is not None
    assert found.cut(pieces(ndjson_line(made)[:-1])) == read


def test_a_row_without_a_side_is_not_cut() -> None:
    with pytest.raises(ValueError, match="chosen"):
        pieces(ndjson_line(TIED))


@given(
    st.recursive(st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(), lambda inner: st.lists(inner))
)
def test_texts_of_any_kind_are_written_alike_by_both_writers(value: Any) -> None:
    assert wire_line({"value": value}) == ndjson_line({"value": value})


@given(st.floats(0.0001, 1e15) | st.just(0.0))
def test_numbers_of_a_row_are_written_alike_by_both_writers(value: float) -> None:
    assert wire_line({"p": value}) == ndjson_line({"p": value})


# Two people on a form from 1 to 5, that asks three of the five attributes. Helpfulness of a: 4 and 3 of 4, in the mean
# 3.5, rounded up to 4; of b: 1 and 0, 0.5, 1. Correctness was rated by the first alone.
RATED = [
    Rating({"helpfulness": {"a": 5, "b": 2}, "correctness": {"a": 5, "b": 1}, "verbosity": {"a": 1, "b": 3}}, 5),
    Rating({"helpfulness": {"a": 4, "b": 1}, "verbosity": {"a": 2, "b": 3}, "tone": {"a": 5, "b": 5}}, 5),
]


def records(name: str, row: Any, options: FormatOptions) -> list[dict[str, Any]]:
    if FORMATS[name].rated:
        return rated_converter(name).convert_rated(row, RATED, options)
    if FORMATS[name].grouped:
        return [group_converter(name).convert_all([row], options)]
    return converter(name).convert(row, options)


def test_every_format_has_its_golden_file_and_every_golden_file_its_format() -> None:
    assert {module for module, _ in ASKED.values()} == set(FORMATS) - {"raw"}
    assert set(ASKED) == set(GOLDENS)


def test_there_is_no_margin_unless_asked() -> None:
    assert set(converter("trl").convert(SINGLE, FormatOptions())[0]) == {"prompt", "chosen", "rejected"}
    assert converter("trl").convert(SINGLE, FormatOptions(margin=True))[0]["margin"] == 2.0
    assert converter("trl-implicit").convert(SINGLE, FormatOptions(margin=True))[0]["margin"] == 2.0


def test_a_margin_that_a_row_does_not_have_is_refused() -> None:
    with pytest.raises(ValueError, match="margin"):
        converter("trl").convert(MULTI, FormatOptions(margin=True))  # nobody voted for b


# What each format cannot be told: a trainer's loader would drop it, or read it as something else.
UNTOLD = [
    ("axolotl-reward", MULTI, "prompt"),
    ("axolotl", row("c", completion_a=[message("4"), message("Or 5.")]), "chosen"),
    ("llama-factory", row("c", completion_b=[message("4"), message("Or 5.")]), "rejected"),
    ("llama-factory", row("c", prompt=[message("1?", "user"), message("1."), message("Go on."), message("2?", "user")]),
     "prompt"),
    ("llama-factory-kto", row("c", prompt=[message("Be terse.", "system")]), "prompt"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "untold", "field"), UNTOLD)
def test_a_row_that_a_format_cannot_be_told_is_refused_by_name(name: str, untold: Any, field: str) -> None:
    assert not FORMATS[name].total
    with pytest.raises(ValueError, match=untold["id"]) as refused:
        converter(name).convert(untold, FormatOptions())
    assert refused.value.args[0] == field


# What formats make of a row without a chosen side: as what it is, and never a pair of it.
TIED = tied("t", "tie", preference=0.0)
BAD = tied("t", "both_bad", preference=0.0)


@pytest.mark.parametrize(("name", "kind"), [(name, kind) for name in FORMATS for kind in FORMATS[name].undecided])
def test_a_row_without_a_side_is_never_told_as_a_pair(name: str, kind: str) -> None:
    told = json.dumps(records(name, TIED if kind == "tie" else BAD, FormatOptions()))
    assert "chosen" not in told
    assert '"rejected"' not in told
    assert '"label": true' not in told
    assert '"kto_tag": true' not in told


def test_both_bad_are_two_bad_completions_for_kto() -> None:
    told = converter("kto").convert(BAD, FormatOptions())  # type: ignore[arg-type]
    assert [(record["completion"][0]["content"], record["label"]) for record in told] == [("4", False), ("5", False)]
    tagged = converter("llama-factory-kto").convert(BAD, FormatOptions())  # type: ignore[arg-type]
    assert [record["kto_tag"] for record in tagged] == [False, False]


def test_a_tie_is_a_zero_for_helpsteer_and_shared_ranks_in_a_list() -> None:
    (told,) = converter("helpsteer").convert(TIED, FormatOptions())  # type: ignore[arg-type]
    assert (told["response1"], told["response2"], told["overall_preference"]) == ("4", "5", 0)
    listed = group_converter("listwise").convert_all([TIED], FormatOptions())
    assert [completion["rank"] for completion in listed["completions"]] == [0, 0]


def test_both_bad_and_unparsed_judgements_are_told_as_such() -> None:
    votes = [vote("ann", -1), vote("bob", None, both_bad=True), vote("gpt", None, kind="judge"), vote("cat", 0)]
    (told,) = converter("multipref").convert(row("c", votes=votes), FormatOptions())
    assert [said["overall_pref"] for said in told["annotations"]] == [
        "A-is-slightly-better", "both-bad", "unparsed", "Tie",
    ]  # fmt: skip


@pytest.mark.parametrize(("preference", "told"), [(-0.2, -1), (-1.4, -1), (-1.6, -2), (-3.0, -3)])
def test_a_row_never_loses_its_side_to_rounding(preference: float, told: int) -> None:
    (made,) = converter("helpsteer").convert(row("c", preference=preference), FormatOptions())
    assert made["overall_preference"] == told


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("options", [FormatOptions(), FormatOptions(style="text", margin=True)])
def test_every_format_fits_the_schema_it_declares(tmp_path: Path, name: str, options: FormatOptions) -> None:
    module = converter(name)
    rows = records(name, SINGLE, options)
    assert len(rows) == FORMATS[name].records

    write_parquet(tmp_path / "rows.parquet", rows, schema=module.schema(options))

    absent = dict.fromkeys(OPTIONAL) if name == "raw" else {}  # what a row leaves out is null in a table
    assert list(read_parquet(tmp_path / "rows.parquet")) == [absent | row for row in rows]


@pytest.mark.parametrize(
    ("most", "given", "told"), [(5, 5, 4), (5, 1, 0), (2, 2, 4), (7, 4, 2), (7, 6, 3), (10, 10, 4)]
)
def test_ratings_of_any_scale_become_attributes_from_0_to_4(most: int, given: int, told: int) -> None:
    """7 levels: 6 is the 5th of 6 steps, 5 · 4 / 6 = 3.33."""
    rating = Rating({"coherence": {"a": given, "b": 1}}, most)
    first, second = rated_converter("helpsteer2").convert_rated(SINGLE, [rating], FormatOptions())
    assert (first["coherence"], second["coherence"], first["helpfulness"]) == (told, 0, None)


def test_a_row_that_nobody_rated_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="single") as refused:
        rated_converter("helpsteer2").convert_rated(SINGLE, [Rating({"tone": {"a": 1, "b": 2}}, 5)], FormatOptions())
    assert refused.value.args[0] == "ratings"


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

"""Folders that `export_dataset` writes: packed, cut into shards, for a spreadsheet, and on a disk that fills."""

from __future__ import annotations

import csv
import errno
import gzip
import hashlib
import io
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from django.core.management import CommandError, call_command

from curation.exports.files import ndjson_line
from curation.exports.schema import OPTIONAL
from curation.models import DatasetVersion
from curation.services import exporting
from curation.services.exporting import Layout, export_to
from tests.build import make_project
from tests.curation.exports.rows import tied
from tests.curation.test_export_rows import ODD, a_row, freeze
from tiebreak.core.errors import Invalid, Unavailable

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("storage")]

N = 30


@pytest.fixture
def version() -> DatasetVersion:
    made = [a_row(f"c{i:02d}", "train" if i else "validation", text=f"{ODD} {i} " + "x" * 500) for i in range(N)]
    return freeze(make_project("chat"), [*made, tied("t1", "tie"), tied("t2", "both_bad")])


def files_of(told: Any, split: str = "train") -> list[Path]:
    return [Path(file["path"]) for file in told["files"] if file["split"] == split]


def test_shards_join_to_the_whole_and_are_numbered_by_how_many_there_are(
    version: DatasetVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("curation.services.lines.BLOCK_ROWS", 4)
    one = export_to(version, format="native", folder=tmp_path / "one")
    many = export_to(version, format="native", folder=tmp_path / "many", layout=Layout(shard_bytes=10_000))
    (whole,), shards = files_of(one), files_of(many)
    assert len(shards) > 2
    assert [path.name for path in shards] == [f"train-{n:05d}-of-{len(shards):05d}.jsonl" for n in range(len(shards))]
    assert b"".join(path.read_bytes() for path in shards) == whole.read_bytes()
    assert all(path.read_bytes().endswith(b"\n") for path in shards)  # no line is cut
    assert sum(file["rows"] for file in many["files"] if file["split"] == "train") == N - 1
    manifest = json.loads((tmp_path / "many" / "manifest.json").read_text())
    named = {file["path"]: file["sha256"] for file in manifest["files"]}
    assert all(named[path.name] == hashlib.sha256(path.read_bytes()).hexdigest() for path in shards)
    assert files_of(many, "validation")[0].name == "validation.jsonl"
    assert files_of(many, "test")[0].read_bytes() == b""


def test_packed_lines_are_the_same_bytes_at_any_time(
    version: DatasetVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    for moment in (1, 2**31):
        monkeypatch.setattr("gzip.time.time", lambda moment=moment: moment)
        told = export_to(version, format="trl", folder=tmp_path / str(moment), layout=Layout(gzip=True))
        made.append(files_of(told)[0])
    assert made[0].name == "train.jsonl.gz"
    assert made[0].read_bytes() == made[1].read_bytes()
    plain = b"".join(exporting.lines(version, format="trl", split="train"))
    assert gzip.decompress(made[0].read_bytes()) == plain


@pytest.mark.parametrize("format", [name for name in exporting.NAMES if name not in ("helpsteer2", "axolotl-reward")])
def test_a_formats_records_are_written_as_a_table_too(version: DatasetVersion, tmp_path: Path, format: str) -> None:
    told = export_to(version, format=format, folder=tmp_path, layout=Layout(parquet=True))
    (path,) = files_of(told)
    assert path.name == "train.parquet"
    table = pq.ParquetFile(path)
    lines = [json.loads(line) for line in exporting.lines(version, format=format, split="train")]
    absent = dict.fromkeys(OPTIONAL) if format == "native" else {}
    assert table.read().to_pylist() == [absent | line for line in lines]
    assert table.metadata.row_group(0).column(0).compression == "ZSTD"
    (file,) = (file for file in told["files"] if file["split"] == "train")
    assert (file["rows"], file["sha256"]) == (len(lines), hashlib.sha256(path.read_bytes()).hexdigest())


def test_llama_factory_is_told_of_every_shard(
    version: DatasetVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("curation.services.lines.BLOCK_ROWS", 10)
    told = export_to(version, format="llama-factory", folder=tmp_path, layout=Layout(shard_bytes=1))
    info = json.loads((tmp_path / "dataset_info.json").read_text())
    assert {entry["file_name"] for entry in info.values()} == {
        path.name for split in ("train", "validation", "test") for path in files_of(told, split)
    }


def test_what_is_no_pair_is_left_out_and_said_so_or_asked_for(version: DatasetVersion, tmp_path: Path) -> None:
    assert export_to(version, format="trl", folder=tmp_path / "pairs")["left_out"] == 2
    told = export_to(version, format="native", folder=tmp_path / "all", undecided=True)
    assert told["left_out"] == 0
    assert files_of(told)[0].read_bytes().endswith(ndjson_line(tied("t2", "both_bad")))
    with pytest.raises(Invalid, match=r"undecided.*: native, kto, .*, helpsteer2, multipref, listwise\."):
        export_to(version, format="trl", folder=tmp_path / "none", undecided=True)


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        (["--format", "native"], "2 rows without a chosen side are left out: --undecided"),
        (["--format", "csv"], "2 rows without a chosen side are left out: --undecided"),
        (["--format", "kto", "--undecided"], "1 rows without a chosen side are left out: these files cannot tell them"),
        (["--format", "trl"], "2 rows without a chosen side are left out: these files cannot tell them"),
        (["--format", "native", "--parquet"], "are left out: these files cannot tell them"),
        (["--format", "parquet"], ""),
    ],
)
def test_the_command_says_undecided_only_where_it_may_be_said(
    version: DatasetVersion, tmp_path: Path, options: list[str], hint: str
) -> None:
    out = io.StringIO()
    call_command("export_dataset", "prefs@1", *options, "--to", str(tmp_path), stdout=out)
    last = out.getvalue().splitlines()[-1]
    assert last.endswith(hint) if hint else "left out" not in out.getvalue()


def test_the_command_names_the_option_that_was_typed(version: DatasetVersion, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="--shard-mb: expected 1 or more, got 0"):
        call_command("export_dataset", "prefs@1", "--shard-mb", "0", "--to", str(tmp_path / "none"))
    assert not (tmp_path / "none").exists()


def test_a_spreadsheet_has_a_row_for_each_and_no_formula(version: DatasetVersion, tmp_path: Path) -> None:
    call_command("export_dataset", "prefs@1", "--format", "csv", "--undecided", "--to", str(tmp_path), stdout=None)
    with (tmp_path / "train.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == N + 1
    assert {row["preferred"] for row in rows} == {"a", "tie", "both_bad"}
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert {file["split"]: file["rows"] for file in manifest["files"] if file["split"]} == {
        "train": N + 1, "validation": 1, "test": 0,
    }  # fmt: skip


@pytest.mark.parametrize("layout", [Layout(), Layout(gzip=True), Layout(shard_bytes=1)])
@pytest.mark.parametrize("after", [0, 1, 3])
def test_a_disk_that_fills_leaves_whole_files_and_no_other(
    version: DatasetVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: Layout, after: int
) -> None:
    """The disk is full at the write after so many files."""
    real, calls = exporting.os.fsync, []

    def full(handle: int) -> None:
        calls.append(handle)
        if len(calls) > after:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(handle)

    with monkeypatch.context() as broken:
        broken.setattr(exporting.os, "fsync", full)
        with pytest.raises(Unavailable, match="No space left"):
            export_to(version, format="trl", folder=tmp_path / "out", layout=layout)
    left = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert not [name for name in left if name.endswith(".part")]
    assert "manifest.json" not in left  # a folder without one is no export
    told = export_to(version, format="trl", folder=tmp_path / "out", layout=layout)
    assert {Path(file["path"]).name for file in told["files"]} >= set(left)


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"format": "arrow"}, "format"),
        ({"format": "\x00"}, "format"),
        ({"format": "parquet", "layout": Layout(gzip=True)}, "format"),
        ({"format": "trl", "layout": Layout(shard_bytes=0)}, "shard_bytes"),
        ({"format": "trl", "layout": Layout(gzip=True, parquet=True)}, "format"),
        ({"format": "csv", "layout": Layout(parquet=True)}, "format"),
        ({"format": "native", "undecided": True, "layout": Layout(parquet=True)}, "format"),
    ],
)
def test_what_cannot_be_is_refused_before_there_is_a_folder(
    version: DatasetVersion, tmp_path: Path, asked: Any, field: str
) -> None:
    with pytest.raises(Invalid) as refused:
        export_to(version, folder=tmp_path / "out", **asked)
    assert refused.value.params["field"] == field
    assert not (tmp_path / "out").exists()

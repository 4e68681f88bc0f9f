"""Near-duplicates and contamination by partition are those of one process: here, and on two workers of a cluster."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.exports.contamination import Contamination
from curation.exports.files import write_parquet
from curation.exports.near import NearDuplicates
from curation.scale import Engine, Here, partitions, repeating
from curation.scale.__main__ import main
from tests.curation.exports.rows import message, row

N = 300
BENCHMARK = [" ".join(f"b{i}x{j}" for j in range(20)) for i in range(5)]


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    """Rows of random words; every third repeats an earlier one but for a word, every tenth quotes the benchmark."""
    rng, made = np.random.default_rng(9), list[dict[str, Any]]()
    for i in range(N):
        words = [f"w{w}" for w in rng.integers(0, 5000, 60)]
        if i % 3 == 2:
            words = made[int(rng.integers(i))]["chosen"][-1]["content"].split()
            words[int(rng.integers(60))] = "other"
        if i % 10 == 9:
            words[20:40] = BENCHMARK[i % 5].split()
        given = {"completion_a": [message(" ".join(words))], "completion_b": [message(f"no {i % 3}")]}
        made.append(dict(row(f"c{i:03d}", prompt=[message("Say it.", "user")], **given)))
    return made


@pytest.fixture
def files(rows: list[dict[str, Any]], tmp_path: Path) -> list[Path]:
    """Three files of unequal size, each in several row groups."""
    paths = []
    for number, (start, stop) in enumerate([(0, 70), (70, 80), (80, N)]):
        paths.append(tmp_path / f"{number}.parquet")
        write_parquet(paths[-1], rows[start:stop], row_group_rows=20)
    return paths


@pytest.fixture
def benchmark(tmp_path: Path) -> Path:
    path = tmp_path / "benchmark.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in BENCHMARK))
    return path


def quoting(rows: list[dict[str, Any]]) -> int:
    """Every tenth row, and those that repeat one."""
    return sum(cause is not None for cause in expected(rows)["contaminated"])


def texts_of(each: dict[str, Any]) -> list[str]:
    return [said["content"] for name in ("prompt", "chosen", "rejected") for said in each[name]]


def expected(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """What one process says of all rows at once."""
    near, against = NearDuplicates(0.8), Contamination({"benchmark": BENCHMARK})
    for each in rows:
        near.add("\n".join(texts_of(each)))
    found = near.find()
    return {
        "id": [each["id"] for each in rows],
        "repeats": [rows[j]["id"] if j >= 0 else None for j in found.first.tolist()],
        "similarity": [None if np.isnan(s) else s for s in found.similarity.tolist()],
        "cluster": near.clusters().tolist(),
        "contaminated": against.causes([texts_of(each) for each in rows]),
    }


def same(
    files: list[Path], rows: list[dict[str, Any]], benchmark: Path, out: Path, engine: Engine, each: int
) -> dict[str, Any]:
    told = repeating(partitions(files, rows=each), out, engine, against={"benchmark": benchmark})
    assert pq.read_table(out).to_pydict() == expected(rows)
    return dict(told)


@pytest.mark.parametrize("each", [20, 10_000])
def test_partitions_in_this_process_say_what_all_rows_at_once_say(
    files: list[Path], rows: list[dict[str, Any]], benchmark: Path, tmp_path: Path, each: int
) -> None:
    told = same(files, rows, benchmark, tmp_path / "out", Here(), each)
    assert (told["rows"], told["contaminated"]) == (N, {"benchmark": quoting(rows)})
    assert told["repeating"] > 50
    assert not (tmp_path / "out" / "sketches").exists()


def test_two_worker_processes_say_what_one_process_says(
    files: list[Path], rows: list[dict[str, Any]], benchmark: Path, tmp_path: Path, cluster: Engine
) -> None:
    assert same(files, rows, benchmark, tmp_path / "out", cluster, 40)["partitions"] > 5


def test_files_without_ids_and_with_plain_texts_name_rows_by_their_place(tmp_path: Path) -> None:
    text = "these are words enough for some runs of three of them"
    pq.write_table(pa.table({"text": [text, None, "else"]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"text": ["", text.upper()]}), tmp_path / "b.parquet", row_group_size=1)
    told = repeating(
        partitions([tmp_path / "a.parquet", tmp_path / "b.parquet"], rows=1), tmp_path / "o", Here(), columns=["text"]
    )
    assert (told["rows"], told["partitions"], told["repeating"], told["contaminated"]) == (5, 3, 1, {})
    table = pq.read_table(tmp_path / "o").to_pydict()
    assert table["id"] == ["a.parquet#0", "a.parquet#1", "a.parquet#2", "b.parquet#0", "b.parquet#1"]
    assert table["repeats"] == [None, None, None, None, "a.parquet#0"]


def test_nothing_is_no_failure(tmp_path: Path) -> None:
    write_parquet(tmp_path / "empty.parquet", [])
    assert repeating(partitions([tmp_path / "empty.parquet"]), tmp_path / "out", Here())["rows"] == 0


def test_the_command_needs_no_django(
    files: list[Path], rows: list[dict[str, Any]], benchmark: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "curation.scale", "near", *map(str, files), "--out", str(tmp_path / "out")]
    command += ["--against", f"benchmark={benchmark}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3])
    assert json.loads(done.stdout)["contaminated"] == {"benchmark": quoting(rows)}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--threshold", "2"], "a similarity above 0"),
        (["--against", "benchmark"], "NAME=FILE"),
        (["--against", "b=/nothing.jsonl"], "nothing.jsonl"),
        (["--columns", "nothing"], "nothing"),
    ],
)
def test_the_command_says_what_is_wrong(
    files: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["near", *map(str, files), "--out", str(tmp_path / "out"), *arguments])
    assert stopped.value.code == 2
    assert words in capsys.readouterr().err

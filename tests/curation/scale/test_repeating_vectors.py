"""Near-duplicates by embedding are those of one process, by partition: here, and on two workers of a cluster."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.exports.near_vectors import EXACT, NearVectors
from curation.scale import Engine, Here, partitions, repeating_vectors
from curation.scale.__main__ import main

D = 16
Made = list[npt.NDArray[np.float32] | None]


def made(n: int) -> Made:
    """Directions in bunches of some twenty; every fifth is one before it, turned a little; some rows have none."""
    rng = np.random.default_rng(n)
    centres = rng.standard_normal((n // 20, D))
    vectors: Made = list((centres[rng.integers(n // 20, size=n)] + rng.standard_normal((n, D))).astype(np.float32))
    for i in range(4, n, 5):
        vectors[i] = vectors[i - 1 - i % 3] + 0.1 * rng.standard_normal(D).astype(np.float32)  # type: ignore[operator]
    vectors[7:n:1_000] = [None] * len(vectors[7:n:1_000])
    vectors[n // 2] = np.zeros(D, np.float32)
    return vectors


def write(path: Path, vectors: Made, ids: range, kind: pa.DataType, rows: int) -> Path:
    """In row groups of so many rows."""
    cells = pa.array([None if v is None else v.tolist() for v in vectors], pa.list_(pa.float32())).cast(kind)
    pq.write_table(pa.table({"id": [f"r{i}" for i in ids], "vector": cells}), path, row_group_size=rows)
    return path


def files_of(folder: Path, vectors: Made, kind: pa.DataType | None = None) -> list[Path]:
    """Three files of unequal size, each in several row groups."""
    kind, n = kind or pa.list_(pa.float32(), D), len(vectors)
    cuts = [(0, n // 4), (n // 4, n // 4 + 10), (n // 4 + 10, n)]
    return [
        write(folder / f"{number}.parquet", vectors[a:b], range(a, b), kind, n // 15)
        for number, (a, b) in enumerate(cuts)
    ]


def expected(vectors: Made) -> dict[str, list[Any]]:
    """What one process says of all rows at once."""
    near = NearVectors(0.95)
    for vector in vectors:
        near.add(vector)
    found = near.find()
    return {
        "id": [f"r{i}" for i in range(len(vectors))],
        "repeats": [f"r{j}" if j >= 0 else None for j in found.first.tolist()],
        "similarity": [None if np.isnan(s) else s for s in found.similarity.tolist()],
        "cluster": near.clusters().tolist(),
    }


MANY, FEW = made(EXACT + 5_000), made(2_000)


@pytest.mark.parametrize("vectors", [MANY, FEW], ids=["by band", "all against all"])
def test_two_worker_processes_and_this_one_say_what_all_rows_at_once_say(
    vectors: Made, tmp_path: Path, cluster: Engine
) -> None:
    files, said = files_of(tmp_path, vectors), expected(vectors)
    assert sum(each is not None for each in said["repeats"]) > len(vectors) / 10
    for name, engine, rows in (("cluster", cluster, len(vectors) // 8), ("here", Here(), 1_000_000)):
        told = repeating_vectors(partitions(files, rows=rows), tmp_path / name, engine)
        assert pq.read_table(tmp_path / name).to_pydict() == said
        assert (told["rows"], told["without a vector"]) == (len(vectors), len(range(7, len(vectors), 1_000)) + 1)
        assert not (tmp_path / name / "sketches").exists()


@pytest.mark.parametrize("kind", [pa.list_(pa.float64()), pa.large_list(pa.float32()), pa.list_(pa.float32())])
def test_vectors_may_be_lists_of_any_floats(tmp_path: Path, kind: pa.DataType) -> None:
    repeating_vectors(partitions(files_of(tmp_path, FEW, kind), rows=300), tmp_path / "out", Here())
    assert pq.read_table(tmp_path / "out").to_pydict() == expected(FEW)


@pytest.mark.parametrize("vectors", [[], [None, None]])
def test_nothing_is_no_failure(tmp_path: Path, vectors: Made) -> None:
    path = write(tmp_path / "none.parquet", vectors, range(len(vectors)), pa.list_(pa.float16(), D), 10)
    told = repeating_vectors(partitions([path]), tmp_path / "out", Here())
    assert (told["rows"], told["repeating"]) == (len(vectors), 0)


def test_a_partition_without_vectors_is_one_of_rows_that_repeat_nothing(tmp_path: Path) -> None:
    kind, vectors = pa.list_(pa.float32(), 2), [np.float32([1, 0]), None, None, np.float32([2, 0])]
    path = write(tmp_path / "some.parquet", vectors, range(4), kind, 1)
    repeating_vectors(partitions([path], rows=1), tmp_path / "out", Here())
    assert pq.read_table(tmp_path / "out")["repeats"].to_pylist() == [None, None, None, "r0"]


def test_the_command_needs_no_django(tmp_path: Path) -> None:
    files = files_of(tmp_path, FEW)
    command = [sys.executable, "-m", "curation.scale", "near", *map(str, files), "--out", str(tmp_path / "out")]
    command += ["--by", "embedding", "--threshold", "0.95", "--column", "vector"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3])
    assert json.loads(done.stdout)["repeating"] == sum(each is not None for each in expected(FEW)["repeats"])


@pytest.mark.parametrize(
    ("vectors", "arguments", "words"),
    [
        ([[1.0, 0.0]], ["--threshold", "2"], "threshold: a cosine above 0"),
        ([[1.0, 0.0]], ["--column", "embedding"], "column: one of id, vector"),
        ([[1.0, 0.0]], ["--column", "id"], "id: lists of floats"),
        ([[1.0, 0.0]], ["--against", "a=b"], "argument --against: only with --by words"),
        ([[1.0, 0.0]], ["--words", "13"], "argument --words: only with --by words"),
        ([[1.0, 0.0]], ["--columns", "text"], "argument --columns: only with --by words"),
        ([[1.0, 0.0]], ["--by", "words", "--column", "v"], "argument --column: only with --by embedding"),
        ([[1.0, 0.0], [1.0]], [], "2 numbers in each"),
        ([[1.0, 0.0], [1.0, None]], [], "2 finite numbers: null"),
        ([[1.0, float("nan")]], [], "2 finite numbers: nan or infinity"),
        ([[1.0, 1e300]], [], "2 finite numbers: nan or infinity"),
    ],
)
def test_the_command_says_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], vectors: list[Any], arguments: list[str], words: str
) -> None:
    path = tmp_path / "odd.parquet"
    pq.write_table(pa.table({"id": ["r"] * len(vectors), "vector": pa.array(vectors, pa.list_(pa.float64()))}), path)
    with pytest.raises(SystemExit) as stopped:
        main(["near", str(path), "--by", "embedding", "--out", str(tmp_path / "out"), *arguments])
    assert stopped.value.code == 2
    assert words in capsys.readouterr().err


def test_files_of_another_dimension_are_named(tmp_path: Path) -> None:
    for d in (2, 3):
        pq.write_table(pa.table({"vector": [[1.0] * d]}), tmp_path / f"{d}.parquet")
    with pytest.raises(ValueError, match=r"2 numbers, as in .*2\.parquet.*3 in .*3\.parquet"):
        repeating_vectors(partitions(sorted(tmp_path.glob("*.parquet"))), tmp_path / "out", Here())

"""Curation by partition gives what one process gives: in this process, and on two workers of a Dask cluster."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from curation.exports.files import write_parquet
from curation.noise import consensus_entropy
from curation.routing import Item, extract
from curation.scale import Engine, Here, curate, dawid_skene, partitions
from curation.stats import Aggregate, Reading, Votes
from curation.stats import dawid_skene as in_one
from tests.curation.exports.rows import message, row, vote

N = 240


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    """People of different skill, one who always says a; comparisons with one vote, with ties, one called bad."""
    rng, made = np.random.default_rng(5), []
    for i in range(N):
        truth = -1 if rng.random() < 0.5 else 1
        count = 1 if i % 10 == 0 else 4
        chosen = rng.choice(8, count, replace=False).tolist()
        sides = [rng.choice([truth, -truth, 0], p=[0.45 + r / 16, 0.45 - r / 16, 0.1]) for r in chosen]
        votes = [
            vote(f"r{r}", -1.0 if r == 0 else float(side), kind="judge" if r == 7 else "annotator")
            for r, side in zip(chosen, sides, strict=True)
        ]
        if i == 3:
            votes.append(vote("r9", None, both_bad=True))
        made.append(dict(row(f"c{i:03d}", votes=votes, prompt=[message(f"question {i}", "user")])))
    return made


@pytest.fixture
def files(rows: list[dict[str, Any]], tmp_path: Path) -> list[Path]:
    """Three files of unequal size, each in several row groups."""
    paths = []
    for number, (start, stop) in enumerate([(0, 50), (50, 60), (60, N)]):
        paths.append(tmp_path / f"{number}.parquet")
        write_parquet(paths[-1], rows[start:stop], row_group_rows=20)
    return paths


@pytest.fixture
def one(rows: list[dict[str, Any]]) -> Aggregate:
    """What one process says of all rows at once."""
    readings = [
        Reading(r["id"], f"{v['kind']}/{v['rater']}", v["preference"])
        for r in rows
        for v in r["votes"]
        if v["preference"] is not None
    ]
    return in_one(Votes.from_rows(readings))


def same(files: list[Path], one: Aggregate, engine: Engine, *, rows: int) -> None:
    parts = partitions(files, rows=rows)
    fit = dawid_skene(parts, engine)
    assert fit.converged
    assert fit.log_likelihood == pytest.approx(one.log_likelihood, abs=1e-6)
    assert fit.prior == pytest.approx(one.prior, abs=1e-5)
    posterior = np.concatenate(engine.bring(fit.posterior))
    assert posterior == pytest.approx(one.posterior, abs=1e-5)  # where EM stops, nothing moves by more than 1e-6


@pytest.mark.parametrize("rows_each", [20, 10_000])
def test_partitions_in_this_process_say_what_all_rows_at_once_say(
    files: list[Path], one: Aggregate, rows_each: int
) -> None:
    same(files, one, Here(), rows=rows_each)


def test_two_worker_processes_say_what_one_process_says(files: list[Path], one: Aggregate, cluster: Engine) -> None:
    same(files, one, cluster, rows=40)


def test_the_results_are_one_file_a_partition_with_consensus_noise_and_features(
    files: list[Path], rows: list[dict[str, Any]], one: Aggregate, cluster: Engine, tmp_path: Path
) -> None:
    parts = partitions(files, rows=50)
    told = curate(parts, tmp_path / "out", cluster)
    assert (told["rows"], told["partitions"], told["raters"]) == (N, len(parts), 8)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [f"part-{i:05d}.parquet" for i in range(len(parts))]
    table = pq.read_table(tmp_path / "out").sort_by("id").to_pydict()
    assert table["id"] == [r["id"] for r in rows]
    assert table["noise"] == pytest.approx(consensus_entropy(one.posterior).score.tolist(), abs=1e-4)
    features = extract(Item(r["id"], r["prompt"][0]["content"], *_sides(r)) for r in rows)
    lengths = features.names.index("length_difference")
    assert table["feature_length_difference"] == features.table[:, lengths].tolist()


def _sides(row: dict[str, Any]) -> tuple[str, str]:
    chosen, rejected = (row[side][-1]["content"] for side in ("chosen", "rejected"))
    return (chosen, rejected) if row["chosen_side"] == "a" else (rejected, chosen)


def test_partitions_are_cut_along_row_groups_and_cover_every_row(files: list[Path]) -> None:
    parts = partitions(files, rows=40)
    # Groups of 20: 50 rows are cut 20+20 and 10; 10 stay 10; 180 are cut into four of 40 and one of 20.
    assert [(Path(p.path).name[0], p.start, p.stop) for p in parts] == [
        ("0", 0, 2), ("0", 2, 3), ("1", 0, 1), ("2", 0, 2), ("2", 2, 4), ("2", 4, 6), ("2", 6, 8), ("2", 8, 9),
    ]  # fmt: skip


def test_no_vote_anywhere_is_refused(tmp_path: Path) -> None:
    write_parquet(tmp_path / "empty.parquet", [])
    with pytest.raises(ValueError, match="a vote"):
        dawid_skene(partitions([tmp_path / "empty.parquet"]), Here())


def test_a_file_without_votes_among_others_does_no_harm(files: list[Path], one: Aggregate, tmp_path: Path) -> None:
    write_parquet(tmp_path / "9.parquet", [row("z") | {"votes": [vote("r1", None, both_bad=True)]}])
    fit = dawid_skene(partitions([*files, tmp_path / "9.parquet"]), Here())
    assert fit.log_likelihood == pytest.approx(one.log_likelihood, abs=1e-6)


def test_a_fit_that_may_not_go_on_says_that_it_has_not_converged(files: list[Path]) -> None:
    fit = dawid_skene(partitions(files), Here(), max_iter=1)
    assert (fit.n_iter, fit.converged) == (1, False)


def test_the_command_needs_no_django(files: list[Path], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "curation.scale", *map(str, files), "--out", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3])
    assert json.loads(done.stdout)["rows"] == N

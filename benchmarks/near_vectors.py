"""Near-duplicates by embedding: CPU seconds, memory, recall and precision, on made-up vectors with planted pairs.

Vectors come in bunches, as those of texts on one topic do: unrelated ones of a bunch have cosines of .6 to .85. The
references are faiss (an inverted file of halves, its radius search) and usearch (HNSW of halves, 16 neighbours) on
fewer of them; what they find is held against the threshold and settled by our rules, so that all are counted alike.
Recall is the share of the planted pairs as alike as the threshold of which at most one is kept; precision, of those
left out, the share whose cosine to what they are said to repeat is as high, in doubles. Each way is a process of its
own with one thread; memory is the most that it holds beyond the vectors it is told, without pages of files that the
system takes back. `--vectors FILE.parquet` runs all ways on the column `vector` of a file, against all its pairs.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final, NamedTuple

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

import numpy as np
import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "platform")]

from curation.exports.near_vectors import Projections, Writer, find  # noqa: E402
from curation.exports.pairs import Near, packed, resolve  # noqa: E402

TARGET: Final = 1.0
DIMENSION: Final = 384
BUNCH: Final = 200
"""Vectors of a topic, about."""
SHARE: Final = 0.02
"""Of the vectors, those that are another of their thousand turned a little: by a cosine of .94 to 1."""
BLOCK: Final = 1000
PROBES: Final = 4
"""Lists that faiss searches, of as many as the root of n: the fewest that find .998 of the pairs of real texts."""
SLACK: Final = 0.005
"""By how much less a library may say that two are alike, before the two are held against the threshold."""


class Told(NamedTuple):
    """Vectors, and which pairs are to be found."""

    vectors: Any
    """[n, d] halves"""
    pairs: Any
    """[p, 2], the earlier one first"""


def made(n: int, threshold: float, seed: int = 7) -> Told:
    rng = np.random.default_rng(seed)
    topics = rng.standard_normal((max(1, n // BUNCH), DIMENSION), np.float32)
    topics /= np.linalg.norm(topics, axis=1, keepdims=True)
    near = np.sqrt(rng.uniform(0.6, 0.85, len(topics))).astype(np.float32)  # to the topic; of two vectors its square
    vectors, pairs = np.empty((n, DIMENSION), np.float16), list[tuple[int, int]]()
    for at in range(0, n, BLOCK):
        topic = rng.integers(len(topics), size=min(BLOCK, n - at))
        block = turned(topics[topic], near[topic], rng)
        again = np.flatnonzero(rng.random(len(block)) < SHARE)
        again = again[again >= BLOCK // 10]
        of = rng.integers(BLOCK // 10, size=len(again))
        block[again] = turned(block[of], rng.uniform(0.94, 1, len(again)).astype(np.float32), rng)
        vectors[at : at + len(block)] = block
        pairs += zip((at + of).tolist(), (at + again).tolist(), strict=True)
    planted = np.array(pairs).reshape(-1, 2)
    return Told(vectors, planted[cosines(vectors, *planted.T) >= threshold])


def turned(vectors: Any, cosine: Any, rng: np.random.Generator) -> Any:
    """Each in a random direction, to that cosine with what it was."""
    away = rng.standard_normal(vectors.shape, np.float32)
    away -= np.einsum("nd,nd->n", away, vectors)[:, None] * vectors
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    return cosine[:, None] * vectors + np.sqrt(1 - cosine**2)[:, None] * away


def read(path: str, threshold: float) -> Told:
    """The vectors of a file, and all of its pairs that are as alike as the threshold."""
    cells = pq.read_table(path, columns=["vector"])["vector"].combine_chunks().drop_null()
    vectors = unit(np.asarray(cells.flatten()).reshape(len(cells), -1)).astype(np.float16)
    found = []
    for at in range(0, len(vectors), BLOCK):
        block = unit(vectors[at : at + BLOCK])
        for before in range(0, at + 1, BLOCK):
            right, left = np.nonzero(block @ unit(vectors[before : before + BLOCK]).T >= threshold)
            found.append(np.stack([left + before, right + at], axis=1)[left + before < right + at])
    return Told(vectors, np.concatenate(found))


def unit(vectors: Any) -> Any:
    floats = vectors.astype(np.float32)
    return floats / np.linalg.norm(floats, axis=1, keepdims=True)


def cosines(vectors: Any, left: Any, right: Any) -> Any:
    found = np.empty(len(left))
    for at in range(0, len(left), BLOCK):
        a, b = (vectors[rows[at : at + BLOCK]].astype(np.float64) for rows in (left, right))
        found[at : at + BLOCK] = np.einsum("nd,nd->n", a, b) / np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))
    return found


# The ways: what each vector repeats.


def ours(vectors: Any, threshold: float) -> Near:
    """As a partition is told, in blocks."""
    projections = Projections.of(threshold)
    with tempfile.TemporaryDirectory() as folder:
        writer = Writer(projections, folder, "vectors")
        for at in range(0, len(vectors), BLOCK):
            writer.add(vectors[at : at + BLOCK])
        return find([writer.end()], projections).near


def by_faiss(vectors: Any, threshold: float) -> Near:
    import faiss

    n, d = vectors.shape
    lists = int(n**0.5)
    index = faiss.index_factory(d, f"IVF{lists},SQfp16", faiss.METRIC_INNER_PRODUCT)
    index.nprobe = PROBES
    index.train(unit(vectors[:: max(1, n // (40 * lists))]))
    for at in range(0, n, BLOCK):
        index.add(unit(vectors[at : at + BLOCK]))
    found = []
    for at in range(0, n, BLOCK):
        limits, _, ids = index.range_search(unit(vectors[at : at + BLOCK]), threshold - SLACK)
        found.append(packed(ids, at + np.repeat(np.arange(len(limits) - 1), np.diff(limits.astype(np.int64)))))
    return settled(vectors, np.concatenate(found), threshold)


def by_usearch(vectors: Any, threshold: float) -> Near:
    from usearch.index import Index

    n, d = vectors.shape
    index = Index(ndim=d, metric="ip", dtype="f16")
    for at in range(0, n, BLOCK):
        index.add(np.arange(at, min(at + BLOCK, n)), vectors[at : at + BLOCK], threads=1)
    found = []
    for at in range(0, n, BLOCK):
        like = index.search(vectors[at : at + BLOCK], 16, threads=1)
        row, place = np.nonzero(1 - like.distances >= threshold - SLACK)
        found.append(packed(like.keys[row, place], at + row))
    return settled(vectors, np.concatenate(found), threshold)


def settled(vectors: Any, pairs: Any, threshold: float) -> Near:
    """As we decide it, from the pairs that a library found."""
    pairs = np.unique(pairs[(pairs >> np.uint64(32)) < (pairs & np.uint64(0xFFFFFFFF))])
    each, n = np.arange(len(vectors), dtype=np.uint64), len(vectors)
    alike = lambda left, right: cosines(vectors, left, right)  # noqa: E731
    return resolve(each, np.ones(n, dtype=bool), lambda _: [pairs], alike, threshold).near


WAYS: Final[dict[str, Callable[[Any, float], Near]]] = {"Tiebreak": ours, "faiss": by_faiss, "usearch": by_usearch}


def measured(way: str, source: int | str, threshold: float) -> dict[str, float] | None:
    """A way's figures; None where the library is not installed."""
    told = made(source, threshold) if isinstance(source, int) else read(source, threshold)
    try:
        with peak() as most:
            start = time.process_time()
            near = WAYS[way](told.vectors, threshold)
            seconds = time.process_time() - start
    except ImportError:
        return None
    first = np.asarray(near.first)
    out = np.flatnonzero(first >= 0)
    kept = (first < 0)[told.pairs]
    return {
        "rows": len(first),
        "seconds": round(seconds, 1),
        "rows/s": round(len(first) / seconds),
        "MiB": round(most[0] / 2**20),
        "pairs": len(told.pairs),
        "recall": float(1 - kept.all(axis=1).mean()) if len(kept) else 1.0,
        "left out": len(out),
        "precision": float((cosines(told.vectors, first[out], out) >= threshold - 1e-6).mean()) if len(out) else 1.0,
    }


@contextmanager
def peak() -> Iterator[list[int]]:
    """The most bytes of its own that the process holds meanwhile, beyond what it held before."""
    before, most, done = held(), [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            most[0] = max(most[0], held() - before)

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield most
    finally:
        done.set()
        watching.join()


def held() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.split("RssAnon:")[1].split()[0]) * 1024


def each(ways: list[tuple[str, int | str]], threshold: float) -> list[dict[str, float] | None]:
    """In a process of its own, one after the other."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        return [pool.submit(measured, way, source, threshold).result() for way, source in ways]


def compare(source: int | str, threshold: float) -> dict[str, dict[str, float]]:
    """All ways on the same vectors, as a table."""
    found = dict(zip(WAYS, each([(way, source) for way in WAYS], threshold), strict=True))
    for name in [name for name, figures in found.items() if figures is None]:
        print(f"{name} is not installed: pip install -e '.[bench]' for the comparison")
    ways = {name: figures for name, figures in found.items() if figures is not None}
    rows = format(int(ways["Tiebreak"]["rows"]), ",")
    print(
        f"\n{f'on {rows} rows':<20}{'CPU s':>10}{'rows/s':>10}{'MiB':>8}{'left out':>10}{'recall':>10}{'precision':>12}"
    )
    for name, way in ways.items():
        told = f"{name:<20}{way['seconds']:>10.1f}{way['rows/s']:>10,.0f}{way['MiB']:>8,.0f}"
        print(f"{told}{way['left out']:>10,.0f}{way['recall']:>10.4f}{way['precision']:>12.4f}")
    return ways


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--threshold", type=float, default=0.95)
    parser.add_argument("--few", type=int, default=100_000, help="rows on which all ways are compared")
    parser.add_argument("--vectors", metavar="FILE.parquet", help="compare all ways on real vectors, and do no more")
    given = parser.parse_args()
    if given.vectors:
        ways = compare(given.vectors, given.threshold)
        n, figures = int(ways["Tiebreak"]["rows"]), ways["Tiebreak"]
    else:
        n, few = (50_000, 25_000) if given.quick else (1_000_000, given.few)
        tenth, whole = each([("Tiebreak", n // 10), ("Tiebreak", n)], given.threshold)
        assert tenth is not None
        assert whole is not None
        more = (whole["MiB"] - tenth["MiB"]) * 2**20 / (n - n // 10)
        figures = {**whole, "bytes a row more than for a tenth": round(more)}
        for name, value in figures.items():
            print(f"{name:<36}{value:>14,.4g}" if isinstance(value, float) else f"{name:<36}{value:>14,}")
        ways = compare(few, given.threshold)
    reference = ways.get("faiss")
    ratio = round(ways["Tiebreak"]["rows/s"] / reference["rows/s"], 1) if reference else None
    line = {"benchmark": "near_vectors", "ratio": ratio, "target": TARGET, "unit": "times as fast", "n": n}
    print(json.dumps({**line, "reference": "faiss, same minute", "details": figures | {"ways": ways}}))


if __name__ == "__main__":
    main()

"""Near-duplicates: rows a second, memory, recall and precision by pair, on made-up texts with planted near-duplicates.

The reference is datasketch (MinHash of as many hash functions, LSH at the same threshold) on the first of the same
texts, in the same process; rensa, whose hashes are used here, is told beside it with an index of its own. Recall counts
planted pairs whose words make them as alike as the threshold, each looked up by its own two texts; precision is
measured by counting shared runs of words again, in Python's own sets. Memory is what this process needs beyond a run of
a tenth of the rows, when that has warmed it up. Seconds are of the CPU, of one core.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "platform")]

from curation.exports.near import Contamination, Near, NearDuplicates  # noqa: E402

TARGET: Final = 5.0
THRESHOLD: Final = 0.8
VOCABULARY: Final = 50_000
SHARE: Final = 0.05
"""Of the rows, those that repeat one of the thousand before them with some words exchanged."""


class Planted(NamedTuple):
    row: int
    of: int


class Made:
    """Texts of some 100 words by Zipf's law; what repeats what is known once they were read."""

    def __init__(self, n: int, seed: int = 7) -> None:
        self.n, self.seed = n, seed
        self.planted: list[Planted] = []
        share = 1 / np.arange(1, VOCABULARY + 1)
        self.upto = np.cumsum(share / share.sum())
        self.vocabulary = [f"w{n:x}" for n in range(VOCABULARY)]

    def __iter__(self) -> Iterator[str]:
        rng, recent = np.random.default_rng(self.seed), list[tuple[int, np.ndarray]]()
        self.planted = []
        for row in range(self.n):
            if recent and rng.random() < SHARE:
                of, codes = recent[int(rng.integers(len(recent)))]
                codes = self._edited(codes, rng)
                self.planted.append(Planted(row, of))
            else:
                codes = np.searchsorted(self.upto, rng.random(int(rng.integers(40, 160))))
                recent = [*recent[-999:], (row, codes)] if row % 7 == 0 else recent
            yield " ".join(map(self.vocabulary.__getitem__, codes.tolist()))

    def _edited(self, codes: Any, rng: np.random.Generator) -> Any:
        """From nothing up to one word in ten exchanged: Jaccard similarities from 1 to about a half."""
        codes = codes.copy()
        places = rng.integers(0, len(codes), int(rng.integers(0, 1 + len(codes) // 10)))
        codes[places] = rng.integers(0, VOCABULARY, len(places))
        return codes


def jaccard(a: str, b: str) -> float:
    one, other = (_runs(text.split()) for text in (a, b))
    return len(one & other) / len(one | other)


def _runs(words: Sequence[str]) -> set[tuple[str, ...]]:
    return {tuple(words[i : i + 3]) for i in range(len(words) - 2)}


def checked(near: Near, made: Made) -> dict[str, float]:
    """Recall of the planted pairs and precision of the found ones, by pair; texts are made again, and few are held."""
    claims = {int(row): int(near.first[row]) for row in np.flatnonzero(near.first >= 0)}
    pairs = made.planted
    wanted = {each for pair in pairs for each in pair} | set(claims) | set(claims.values())
    held = {row: text for row, text in enumerate(made) if row in wanted}
    true = [pair for pair in pairs if jaccard(held[pair.row], held[pair.of]) >= THRESHOLD]
    # A pair is found where one is said to repeat the other, or both repeat the same; a row may repeat another still.
    kept = lambda row: claims.get(row, row)  # noqa: E731
    found = sum(kept(pair.row) == kept(pair.of) for pair in true)
    left_out = sum(pair.row in claims for pair in true)
    right = sum(jaccard(held[row], held[first]) >= THRESHOLD for row, first in claims.items())
    return {
        "planted pairs as alike": len(true),
        "recall, same pair": found / max(1, len(true)),
        "recall, left out": left_out / max(1, len(true)),
        "found pairs": len(claims),
        "precision": right / max(1, len(claims)),
    }


def ours(made: Made) -> tuple[Near, float, float]:
    """What repeats what, and seconds for reading and for finding; making the texts is not counted."""
    near = NearDuplicates(THRESHOLD)
    reading = making = 0.0
    mark = time.process_time()
    for text in made:
        making += (now := time.process_time()) - mark
        near.add(text)
        reading += (mark := time.process_time()) - now
    start = time.process_time()
    found = near.find()
    return found, reading, time.process_time() - start


def by_datasketch(texts: Sequence[str]) -> tuple[float, list[int]]:
    """Seconds, and what each text repeats, by its own recipe: a query, and an insert where nothing is found."""
    from datasketch import MinHash, MinHashLSH

    start = time.process_time()
    index, first = MinHashLSH(threshold=THRESHOLD, num_perm=128), []
    for row, text in enumerate(texts):
        words = text.split()
        sketch = MinHash(num_perm=128)
        sketch.update_batch({" ".join(words[i : i + 3]).encode() for i in range(len(words) - 2)})
        like = index.query(sketch)
        first.append(min(like) if like else -1)
        if not like:
            index.insert(row, sketch)
    return time.process_time() - start, first


def by_rensa(texts: Sequence[str]) -> tuple[float, list[int]]:
    from rensa import RMinHash, RMinHashLSH

    start = time.process_time()
    index, first = RMinHashLSH(threshold=THRESHOLD, num_perm=126, num_bands=21), []
    for row, text in enumerate(texts):
        words = text.split()
        sketch = RMinHash(126, 42)
        sketch.update([" ".join(words[i : i + 3]) for i in range(len(words) - 2)])
        like = index.query(sketch)
        first.append(min(like) if like else -1)
        if not like:
            index.insert(row, sketch)
    return time.process_time() - start, first


def told(first: Sequence[int], made: Made) -> dict[str, float]:
    array = np.array(first)
    return checked(Near(array, np.where(array < 0, np.nan, 1.0)), made)


def compare(few: int) -> dict[str, dict[str, float]]:
    """Each way on the first few texts: rows a second, recall, precision."""
    made = Made(few)
    texts = list(made)
    near, reading, finding = ours(Made(few))
    ways = {"Tiebreak": checked(near, made) | {"rows/s": few / (reading + finding)}}
    for name, way in (("datasketch", by_datasketch), ("rensa", by_rensa)):
        try:
            seconds, first = way(texts)
        except ImportError:
            print(f"\n{name} is not installed: pip install -e '.[bench]' for the comparison")
            continue
        ways[name] = told(first, made) | {"rows/s": few / seconds}
    return ways


def decontaminated(n: int) -> float:
    """Rows a second held against an evaluation set of 10,000 items."""
    index = Contamination({"made": Made(10_000, seed=11)})
    texts = list(Made(n))
    start = time.process_time()
    for at in range(0, n, 1000):
        index.causes([(text,) for text in texts[at : at + 1000]])
    return n / (time.process_time() - start)


def peak() -> int:
    """Bytes that this process has needed at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    n, few = (20_000, 2_000) if quick else (1_000_000, 10_000)
    ours(Made(n // 10))
    before, made = peak(), Made(n)
    near, reading, finding = ours(made)
    more = peak() - before
    figures = {
        "rows": n,
        "seconds": round(reading + finding, 1),
        "of them finding": round(finding, 1),
        "rows/s": round(n / (reading + finding)),
        "bytes a row more than for a tenth": round(more / (n * 0.9)),
        "peak MiB": peak() >> 20,
        "decontaminated rows/s": round(decontaminated(few)),
        **checked(near, made),
    }
    for name, value in figures.items():
        print(f"{name:<36}{value:>14,.4g}" if isinstance(value, float) else f"{name:<36}{value:>14,}")
    ways = compare(few)
    print(f"\n{'on ' + format(few, ',') + ' rows':<20}{'rows/s':>10}{'recall':>10}{'precision':>12}")
    for name, way in ways.items():
        print(f"{name:<20}{way['rows/s']:>10,.0f}{way['recall, left out']:>10.4f}{way['precision']:>12.4f}")
    reference = ways.get("datasketch")
    ratio = ways["Tiebreak"]["rows/s"] / reference["rows/s"] if reference else None
    line = {"benchmark": "near", "ratio": ratio and round(ratio, 1), "target": TARGET, "unit": "times as fast", "n": n}
    print(json.dumps({**line, "reference": "datasketch, same process", "details": figures | {"ways": ways}}))


if __name__ == "__main__":
    main()

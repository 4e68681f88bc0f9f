"""What routing costs: features of comparisons, and decisions over a whole pool; one core.

`python benchmarks/routing.py [--quick]` draws texts of 20 to 220 words. The reference computes the same three measures
of likeness as textbooks write them: ROUGE-L by the table of the longest common subsequence, ROUGE-1 by counts, and the
cosine of trigram counts as dictionaries; both in this process, on the same pairs. Then every policy decides over
1,000,000 comparisons (--quick: 50,000) with a budget for a tenth of them. Seconds are the processor's.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

from curation.routing import Evidence, Features, Item, Source, extract, gain, selector, texts
from curation.routing.features import FEATURES
from curation.routing.policies import PERSON

VOCABULARY = 4_000


def textbook(a: str, b: str) -> tuple[float, float, float]:
    left, right = a.lower().split(), b.lower().split()
    row = [0] * (len(right) + 1)
    for word in left:
        before = row
        row = [0]
        for j, other in enumerate(right):
            row.append(before[j] + 1 if word == other else max(before[j + 1], row[j]))
    shared = sum((Counter(left) & Counter(right)).values())
    x, y = (Counter(t[i : i + 3] for i in range(len(t) - 2)) for t in (a.lower(), b.lower()))
    norm = (sum(v * v for v in x.values()) * sum(v * v for v in y.values())) ** 0.5
    n = len(left) + len(right)
    return 2 * row[-1] / n, 2 * shared / n, sum(v * y[k] for k, v in x.items()) / norm


def ours(a: str, b: str) -> tuple[float, float, float]:
    left, right = texts.words(a), texts.words(b)
    return texts.rouge_l(left, right), texts.rouge_1(left, right), texts.trigram_cosine(a, b)


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    started = time.process_time()
    found = work()
    return time.process_time() - started, found


def sample(n: int, rng: np.random.Generator) -> list[Item]:
    """Words with the frequencies of a language (Zipf)."""
    words = np.array(
        ["".join(chr(97 + c) for c in rng.integers(0, 26, rng.integers(2, 10))) for _ in range(VOCABULARY)]
    )

    def text() -> str:
        return " ".join(words[(rng.zipf(1.3, rng.integers(20, 220)) - 1) % VOCABULARY])

    return [Item(i, text()[:400], text(), text(), judge_probability=float(rng.random())) for i in range(n)]


def pool(n: int, rng: np.random.Generator) -> tuple[Features, Evidence]:
    features = Features(
        tuple(range(n)), tuple(f.name for f in FEATURES), rng.random((n, len(FEATURES))), np.zeros(n, dtype=bool)
    )
    confusion = np.full((3, 3), 0.1) + 0.7 * np.eye(3)
    person = Source(PERSON, 0.3, confusion, np.full(n, 3))
    judge = Source("judge", 0.01, confusion, np.ones(n, dtype=np.int64))
    return features, Evidence(rng.dirichlet(np.ones(3), n), (person, judge))


def model(features: Features, rng: np.random.Generator) -> gain.GainModel:
    few = Features(features.ids[:500], features.names, features.table[:500], features.settled[:500])
    worth = rng.random(500)
    return gain.fit(few, lambda mask: float(worth @ mask), rng=rng, n_mixes=100)


def main() -> int:
    """The tables, and the JSON line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    rng = np.random.default_rng(1)
    items = sample(300 if given.quick else 2_000, rng)
    pairs = [(item.completion_a, item.completion_b) for item in items]
    slow, said = timed(lambda: [textbook(*pair) for pair in pairs])
    fast, found = timed(lambda: [ours(*pair) for pair in pairs])
    off = np.abs(np.array(said) - np.array(found))
    whole, _ = timed(lambda: extract(items))
    print(f"three measures of likeness, {len(pairs)} pairs: textbook {slow:.2f} s, ours {fast:.3f} s")
    print(f"  greatest difference: ROUGE {off[:, :2].max():.1e}, trigrams (hashed) {off[:, 2].max():.3f}")
    each = whole / len(items)
    print(
        f"all {len(FEATURES)} features: {each * 1e6:.0f} µs a comparison, {each * 1e6 / 60:.1f} minutes for 1,000,000"
    )
    n = 50_000 if given.quick else 1_000_000
    features, votes = pool(n, rng)
    learned = model(features, rng)
    seconds = {}
    for name in ("random", "uncertainty", "expected-gain", "adaptive-overlap"):
        decide = selector(name)
        seconds[name], decisions = timed(
            lambda decide=decide: decide(features, budget=n // 10, rng=rng, gain_model=learned, votes=votes)
        )
        print(f"{name:<17} {n} comparisons in {seconds[name]:.1f} s")
        del decisions
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"peak memory {peak:.1f} GB")
    print(
        json.dumps(
            {
                "benchmark": "routing features",
                "ratio": round(slow / fast, 2),
                "target": 10.0,
                "unit": "pairs of texts a second, three measures of likeness: ours / textbook",
                "n": len(pairs),
                "reference": "textbook implementations in plain Python, same process",
                "details": {
                    "microseconds_a_comparison": round(each * 1e6),
                    "seconds": seconds,
                    "peak_gb": round(peak, 2),
                },
            }
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())

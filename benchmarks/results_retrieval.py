"""Similar comparisons that people have judged: do they tell whom to trust, and what to judge next?

`python benchmarks/results_retrieval.py [--quick] [--data DIR]` reads llmfao, pandalm and ukpconvarg1 as import rows
from DIR (default: ../shared/data). Fixed before the first full run.

Trust (llmfao, pandalm). Half of the comparisons, at random, are verified by their people; on the other half the trust
in the judges' majority is the beta posterior of its agreement with people over the 20 nearest verified comparisons, by
the embeddings of prompt and difference (MiniLM). Figure: AUROC of trust for whether the judges' majority is the
plurality of the people there; beside it that of the judges' own unanimity, and of both added. Comparisons without a
plurality, or where the judges split, are left out of the measure. Question: is trust by neighbours above one half, and
does it add to unanimity? Added after the first run: the AUROC of the router's own expected error, without and with it.

Error-driven retrieval (ukpconvarg1, after Skywork-Reward-V2). 300 comparisons with a gold label retrieve and 1,500
others evaluate; nothing has both roles, but issues and arguments recur. A reward model (Bradley-Terry on surface
measures and 32 components of the embeddings, ridge 30) starts from 200 comparisons at random, each with one real
worker's vote. In each of four rounds 200 more are labelled: those that the k rule brings up for the gold comparisons it
gets wrong, or as many at random. Figure: accuracy on the evaluation gold after four rounds, error-driven less random,
paired by seed. Question: one point better in seven seeds of ten?

Seeds 61 to 70; with --quick 161 and 162, on which it was written.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from results_routing import Array, Ints, differences, encoded, interval, shown

from curation.routing import Features, Item, extract, neighbours, proxy
from curation.routing.policies import judge_error

ROOT = Path(__file__).resolve().parent.parent
SEEDS, QUICK_SEEDS = tuple(range(61, 71)), (161, 162)
K, GOLD, EVALUATED, START, ROUND, ROUNDS, RIDGE = 20, 300, 1500, 200, 200, 4, 30.0


class Data(NamedTuple):
    place: Array
    """[N, d] where a comparison is: its prompt and the difference of its completions, each of length 1."""
    x: Array
    people: list[Ints]
    judges: list[Ints]
    gold: Array
    """[N] -1, 0 or 1; nan: none."""


def load(file: Path, cache: Path) -> Data:
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    a, b = (encoded([(row["prompt"], row[c]) for row in rows], cache) for c in ("completion_a", "completion_b"))
    asked = encoded([((), "\n".join(m["content"] for m in row["prompt"])) for row in rows], cache).embedding
    place = np.concatenate([_unit(asked), _unit(np.abs(b.embedding - a.embedding))], axis=1)
    said = [[_said(row, kind) for row in rows] for kind in ("annotator", "judge")]
    gold = np.array([np.nan if row.get("gold") is None else float(np.sign(row["gold"])) for row in rows])
    return Data(place, differences(a, b), said[0], said[1], gold)


def _unit(x: Array) -> Array:
    norm = np.sqrt((x * x).sum(axis=1, keepdims=True))
    return x / np.where(norm > 0, norm, 1.0)


def _said(row: dict[str, Any], kind: str) -> Ints:
    told = [j["preference"] for j in row["judgements"] if j["kind"] == kind and j["preference"] is not None]
    return np.sign(np.array(told, dtype=np.float64)).astype(np.int64)


def plurality(said: Sequence[Ints]) -> Array:
    """[N] -1, 0 or 1; nan where two are equally frequent or nobody spoke."""
    found = np.full(len(said), np.nan)
    for i, values in enumerate(said):
        counts = np.bincount(values + 1, minlength=3)
        if len(values) and (counts == counts.max()).sum() == 1:
            found[i] = counts.argmax() - 1
    return found


def auroc(score: Array, positive: Array) -> float:
    """Probability that a positive has the greater score, ties half."""
    _, ranks, counts = np.unique(score, return_inverse=True, return_counts=True)
    rank = (np.cumsum(counts) - (counts - 1) / 2)[ranks]
    n = positive.sum()
    return float((rank[positive].sum() - n * (n + 1) / 2) / (n * (len(score) - n)))


def trust(data: Data, seed: int) -> tuple[float, ...]:
    """AUROC by neighbours, by unanimity, by both, and by the router's expected error without trust and with it."""
    rng = np.random.default_rng(seed)
    people, judges = plurality(data.people), plurality(data.judges)
    # The majority of two judges is the side of the one where the other said tie; opposite sides leave no word.
    word = np.array([np.sign(said.sum()) if len(said) else np.nan for said in data.judges])
    unanimous = np.isfinite(judges).astype(float)
    agreed = np.where(np.isfinite(people) & (word != 0), (word == people).astype(float), np.nan)
    verified = rng.random(len(agreed)) < 0.5
    near = neighbours.nearest(data.place[~verified], data.place[verified], K)
    found = neighbours.trust(near, agreed[verified]).mean
    known = np.isfinite(agreed[~verified])
    right, alone = agreed[~verified][known] == 1, unanimous[~verified][known]
    by_trust = found[known]
    said = [data.judges[i] for i in np.flatnonzero(~verified)[known]]
    certain = [1 - judge_error(_features(said, t)) for t in (None, by_trust)]
    scores = (by_trust, alone, alone + by_trust / by_trust.std(), *certain)
    return tuple(auroc(score, right) for score in scores)


def _features(said: Sequence[Ints], trusted: Array | None) -> Features:
    """What the router knows of comparisons by their verdicts, read as the service reads them, and the trust."""
    p = [float(np.mean(1 / (1 + np.exp(-1.5 * values)))) for values in said]
    return extract(
        Item(i, "", "", "", judge_probability=p_b, trust=None if trusted is None else float(trusted[i]))
        for i, p_b in enumerate(p)
    )


def retrieval(data: Data, seed: int) -> tuple[Array, Array]:
    """Accuracy on the evaluation gold at the start and after each round: error-driven, at random."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(np.flatnonzero(np.abs(data.gold) == 1))
    gold, evaluated, pool = np.split(order, [GOLD, GOLD + EVALUATED])
    neighbours.require_apart(gold.tolist(), evaluated.tolist())
    votes = np.array([(rng.choice(data.people[i]) + 1) / 2 for i in pool])
    near = neighbours.nearest(data.place[gold], data.place[pool], 40)
    start = rng.permutation(len(pool))[:START]
    return (
        _rounds(data, gold, evaluated, pool, votes, start, near, rng),
        _rounds(data, gold, evaluated, pool, votes, start, None, rng),
    )


def _rounds(
    data: Data,
    gold: Ints,
    evaluated: Ints,
    pool: Ints,
    votes: Array,
    start: Ints,
    near: neighbours.Near | None,
    rng: np.random.Generator,
) -> Array:
    labelled, found = list(start), []
    for _ in range(ROUNDS + 1):
        taught = np.array(labelled)
        weights = proxy.bradley_terry(data.x[pool[taught]], votes[taught], ridge=RIDGE).weights
        found.append(proxy.accuracy(data.x[evaluated] @ weights, (data.gold[evaluated] + 1) / 2).mean())
        spare = np.setdiff1d(np.arange(len(pool)), taught)
        wanted: list[int] = []
        if near is not None:
            p = proxy.sigmoid(data.x[gold] @ weights * data.gold[gold])
            wanted = [w.place for w in neighbours.error_driven(_left(near, spare), p)][:ROUND]
        others = rng.permutation(np.setdiff1d(spare, wanted))
        labelled += [*wanted, *others[: ROUND - len(wanted)]]
    return np.array(found)


def _left(near: neighbours.Near, spare: Ints) -> neighbours.Near:
    """The nearest that are not labelled yet, as many as the k rule can ask for."""
    place, similarity = (
        np.full((len(near.place), neighbours.K_MAX), -1),
        np.full((len(near.place), neighbours.K_MAX), np.nan),
    )
    free = np.isin(near.place, spare)
    for i, row in enumerate(free):
        kept = np.flatnonzero(row)[: neighbours.K_MAX]
        place[i, : len(kept)], similarity[i, : len(kept)] = near.place[i, kept], near.similarity[i, kept]
    return neighbours.Near(place, similarity)


def main() -> int:
    """Print both figures; the last line is JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two seeds, other ones")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    given = parser.parse_args()
    seeds = QUICK_SEEDS if given.quick else SEEDS
    absent = [name for name in ("llmfao", "pandalm", "ukpconvarg1") if not (given.data / f"{name}.jsonl.gz").exists()]
    if absent:
        raise SystemExit(f"Not in {given.data}: {', '.join(absent)}.")
    cache = Path(tempfile.gettempdir()) / "tiebreak-benchmark-features"
    told: dict[str, Any] = {}
    print("AUROC for the judges being right       by neighbours            by unanimity             by both")
    print(f"{'':39}the router without trust the router with trust")
    for name in ("llmfao", "pandalm"):
        data = load(given.data / f"{name}.jsonl.gz", cache)
        found = np.array([trust(data, seed) for seed in seeds])
        print(f"  {name:<36} " + " ".join(f"{shown(column):<24}" for column in found.T[:3]))
        print(f"  {'':<36} " + " ".join(f"{shown(column):<24}" for column in found.T[3:]))
        told[name] = [round(v, 4) for v in interval(found[:, 2] - found[:, 1])]
        print(f"  {'':<36} both less unanimity {shown(found[:, 2] - found[:, 1], '+')}")
    data = load(given.data / "ukpconvarg1.jsonl.gz", cache)
    runs = [retrieval(data, seed) for seed in seeds]
    for label, curves in (("error-driven", [r[0] for r in runs]), ("at random", [r[1] for r in runs])):
        means = np.mean(curves, axis=0)
        print(f"ukpconvarg1, {label:<14} after each round  " + " ".join(f"{mean:.3f}" for mean in means))
    gained = [float(ours[-1] - chance[-1]) for ours, chance in runs]
    point = sum(g >= 0.01 for g in gained)
    kept = f"a point or more in {point} of {len(gained)}"
    print(f"error-driven above random after {ROUNDS} rounds: {shown(gained, '+')}, {kept}")
    print(
        json.dumps(
            {
                "benchmark": "retrieval of similar comparisons",
                "ratio": round(float(np.mean([r[0][-1] for r in runs]) / np.mean([r[1][-1] for r in runs])), 4),
                "target": 1.01,
                "unit": "accuracy on gold after four rounds: error-driven / at random",
                "n": len(seeds),
                "reference": "as many comparisons at random, same start, same votes",
                "details": {"trust_adds_to_unanimity": told, "error_driven": [round(g, 4) for g in gained]},
            }
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Aggregation against crowd-kit, cleanlab and evalica: seconds, accuracy against known truth, and whether it converged.

`python benchmarks/aggregate.py [--quick | --full] [--limit SECONDS]`. All read the same simulated votes in one run,
each in a process of its own that is ended at the limit. Ours start from plain arrays, the others from the table that
they want; that table is made before the clock starts. The references are the extra `bench`; whichever is missing is
named, and the rest is measured.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import multiprocessing
import resource
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "platform")]

from curation.stats import K, Pairs, Votes, aggregate, dawid_skene, posterior_of  # noqa: E402
from curation.stats.aggregation.dawid_skene import Confusions  # noqa: E402
from curation.stats.aggregation.latent import expect, lay_out  # noqa: E402

TARGET = 10.0
PER = 5
OURS = ("majority", "weighted-majority", "dawid-skene", "mace", "glad", "graded")
FORK = multiprocessing.get_context("fork")


class World(NamedTuple):
    """Votes and what is true: 45 % a, 10 % ties, 45 % b; a sixth of the raters answer at random."""

    comparison: np.ndarray
    rater: np.ndarray
    preference: np.ndarray
    truth: np.ndarray
    classifier: np.ndarray
    """[C, K] calibrated probabilities of somebody who looks at the texts and is right three times in four."""


def world(n: int, *, per: int = PER, seed: int = 0) -> World:
    rng = np.random.default_rng(seed)
    comparisons, raters = n // per, max(20, min(5000, n // 1000))
    truth = rng.choice(K, comparisons, p=[0.45, 0.1, 0.45])
    comparison = np.repeat(np.arange(comparisons), per)
    gaps = rng.integers(1, raters // per + 1, (comparisons, per))  # no rater comes twice to a comparison
    rater = ((rng.integers(0, raters, (comparisons, 1)) + gaps.cumsum(axis=1)) % raters).ravel()
    skill = np.where(rng.random(raters) < 1 / 6, 1 / K, rng.beta(6, 2.5, raters))
    said = np.where(rng.random(n) < skill[rater], truth[comparison], (truth[comparison] + rng.integers(1, K, n)) % K)
    seen = np.where(rng.random(comparisons) < 0.75, truth, (truth + rng.integers(1, K, comparisons)) % K)
    classifier = np.where(np.eye(K)[seen] > 0, 0.75, 0.125) * [0.45, 0.1, 0.45]
    size = rng.integers(1, 4, n)
    return World(comparison, rater, (said - 1.0) * size, truth, classifier / classifier.sum(axis=1, keepdims=True))


def colluding(n: int, share: float) -> World:
    """The same without random answers or ties; a share of the raters says the reverse of what is true, all alike."""
    rng, plain = np.random.default_rng(1), world(n)
    side = rng.choice([-1.0, 1.0], len(plain.truth))
    honest = np.where(rng.random(n) < 0.8, 1, -1)
    sign = np.where(plain.rater < share * (plain.rater.max() + 1), -1, honest)
    return plain._replace(preference=side[plain.comparison] * sign, truth=side.astype(int) + 1)


class Outcome(NamedTuple):
    seconds: float
    label: np.ndarray
    note: str
    mib: int = 0


def votes_of(data: World) -> Votes:
    return Votes.from_arrays(data.comparison, data.rater, data.preference)


def ours(data: World, method: str) -> Outcome:
    start = time.perf_counter()
    fit = aggregate(votes_of(data), method)
    seconds = time.perf_counter() - start
    note = f"{'converged' if fit.converged else 'NOT converged'}, {fit.n_iter} it."
    return Outcome(
        seconds, (fit.posterior + 1e-9 * fit.prior).argmax(axis=1), note
    )  # the commoner of two that are even


def ours_with_classifier(data: World, method: str) -> Outcome:
    """Dawid-Skene, then the classifier's probabilities in the place of the prior."""
    start = time.perf_counter()
    votes = votes_of(data)
    fit = dawid_skene(votes)
    label = posterior_of(votes, fit.confusion, data.classifier).argmax(axis=1)
    return Outcome(time.perf_counter() - start, label, f"{'converged' if fit.converged else 'NOT converged'}")


def crowd_kit(data: World, method: str) -> Outcome:
    import pandas
    from crowdkit import aggregation
    from sklearn.base import BaseEstimator

    makers: dict[str, Callable[[], Any]] = {
        "majority": aggregation.MajorityVote,
        "weighted-majority": type(
            "Wawa", (aggregation.Wawa, BaseEstimator), {}
        ),  # 1.4.2 lacks what scikit-learn asks for
        "dawid-skene": lambda: aggregation.DawidSkene(n_iter=100),
        "mace": lambda: aggregation.MACE(n_restarts=1),
        "glad": lambda: aggregation.GLAD(n_iter=100),
    }
    said = np.sign(data.preference).astype(int) + 1
    table = pandas.DataFrame({"task": data.comparison, "worker": data.rater, "label": said})
    model = makers[method]()
    start = time.perf_counter()
    found = model.fit_predict(table)
    seconds = time.perf_counter() - start
    return Outcome(seconds, found.reindex(np.arange(len(data.truth))).to_numpy(), _ended(data, method, model))


def _ended(data: World, method: str, model: Any) -> str:
    """How the reference came to its end, and how far a further EM step would move it."""
    if method == "mace":
        return "50 it., never asks; its restarts share one seed, so 1"
    if method not in ("dawid-skene", "glad"):
        return "counts"
    n = len(model.loss_history_)
    note = f"{'its tolerance' if n < model.n_iter else 'NOT converged'}, {n} it."
    if method == "dawid-skene":
        note += f", next would move {_movement(data, model.probas_.sort_index()[list(range(K))].to_numpy()):.0e}"
    return note


def _movement(data: World, posterior: np.ndarray) -> float:
    votes = votes_of(data)
    layout, model = lay_out(votes, votes.value, K), Confusions(len(votes.raters), 0.0)
    moved, _ = expect(layout, *model.logs(model.measured(layout, posterior)))
    return float(np.abs(layout.restore(moved) - posterior).max())


def crowdlab(data: World, method: str) -> Outcome:
    from cleanlab.multiannotator import get_label_quality_multiannotator

    table = np.full((len(data.truth), data.rater.max() + 1), np.nan)
    table[data.comparison, data.rater] = np.sign(data.preference) + 1
    start = time.perf_counter()
    found = get_label_quality_multiannotator(
        table, data.classifier, return_detailed_quality=False, return_annotator_stats=False, verbose=False
    )
    seconds = time.perf_counter() - start
    return Outcome(seconds, found["label_quality"]["consensus_label"].to_numpy(), "no iteration")


class Ranking(NamedTuple):
    """Votes on items that recur: 1 vote a comparison, a sixth of the raters at random; the truth is who scores more."""

    data: World
    pairs: Pairs


def ranking(n: int) -> Ranking:
    rng, items, raters = np.random.default_rng(2), max(20, n // 50), max(20, n // 1000)
    a, b = rng.integers(0, items, n), rng.integers(0, items - 1, n)
    b += b >= a
    score = rng.normal(0, 1.5, items)
    rater = rng.integers(0, raters, n)
    wins = rng.random(n) < 1 / (1 + np.exp(score[a] - score[b]))  # b
    wins = np.where(rater < raters / 6, rng.random(n) < 0.5, wins)
    none = np.empty((0, K))
    return Ranking(World(np.arange(n), rater, wins * 2.0 - 1, (score[b] > score[a]) * 2, none), Pairs(a, b, items))


def ours_ranked(ranked: Ranking, method: str) -> Outcome:
    start = time.perf_counter()
    fit = aggregate(votes_of(ranked.data), method, pairs=ranked.pairs)
    seconds = time.perf_counter() - start
    assert fit.scores is not None
    label = (fit.scores[ranked.pairs.b] > fit.scores[ranked.pairs.a]) * 2
    return Outcome(seconds, label, f"{'converged' if fit.converged else 'NOT converged'}, {fit.n_iter} it.")


def evalica_ranked(ranked: Ranking, method: str) -> Outcome:
    import evalica

    winners = [evalica.Winner.Y if p > 0 else evalica.Winner.X for p in ranked.data.preference]
    xs, ys = ranked.pairs.a.tolist(), ranked.pairs.b.tolist()
    start = time.perf_counter()
    found = evalica.bradley_terry(xs, ys, winners)
    seconds = time.perf_counter() - start
    score = found.scores.reindex(np.arange(ranked.pairs.n)).fillna(0).to_numpy()
    ended = "its tolerance" if found.iterations < found.limit else "NOT converged"
    label = (score[ranked.pairs.b] > score[ranked.pairs.a]) * 2
    return Outcome(seconds, label, f"{ended}, {found.iterations} it.; knows no raters")


def measured(way: Callable[..., Outcome], data: Any, method: str, limit: float) -> Outcome | str:
    """The outcome in a process of its own, or why there is none."""
    ours_end, its_end = FORK.Pipe(duplex=False)

    def work() -> None:
        try:
            outcome = way(data, method)
            its_end.send(outcome._replace(mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024))
        except Exception:
            its_end.send(traceback.format_exc(limit=-1).strip().splitlines()[-1][:90])

    process = FORK.Process(target=work)
    process.start()
    its_end.close()
    try:
        return ours_end.recv() if ours_end.poll(limit) else f"stopped after {limit:.0f} s"
    except EOFError:
        return "died (out of memory?)"
    finally:
        process.kill()
        process.join()


def line(*cells: object) -> None:
    form = "{:<22}{:>10}{:>9}{:>9}{:>8}{:>8}{:>8}  {}"
    print(form.format(*("" if cell is None else cell for cell in cells)), flush=True)


def accuracy(outcome: Outcome | str, truth: np.ndarray) -> str | None:
    return f"{(outcome.label == truth).mean():.4f}" if isinstance(outcome, Outcome) else None


def compare(
    name: str,
    data: Any,
    mine: tuple[Callable[..., Outcome], str],
    theirs: tuple[Callable[..., Outcome], str] | str,
    limit: float,
) -> dict[str, Any]:
    """One row: ours, theirs, and by how much. A reference that was stopped gives a ratio that is at least so much."""
    plain = data.data if isinstance(data, Ranking) else data
    own = measured(mine[0], data, mine[1], limit)
    if isinstance(own, str):
        line(name, f"{len(plain.rater):,}", None, None, 0, None, None, f"ours: {own}")
        return {"n": len(plain.rater), "ratio": 0.0, "ours": own}
    other = theirs if isinstance(theirs, str) else measured(theirs[0], data, theirs[1], limit)
    stopped = isinstance(other, str) and other.startswith("stopped")
    took = limit if stopped else other.seconds if isinstance(other, Outcome) else None
    ratio = round(took / own.seconds, 2 if took < own.seconds else 1) if took else None
    shown = None if ratio is None else f"{'>' if stopped else ''}{ratio}"
    right, its = accuracy(own, plain.truth), accuracy(other, plain.truth)
    seconds = f"{took:.2f}" if took else "-"
    note = f"{own.note} | {other if isinstance(other, str) else other.note}"
    line(name, f"{len(plain.rater):,}", f"{own.seconds:.2f}", seconds, shown, right, its, note)
    return {
        "n": len(plain.rater),
        "seconds": round(own.seconds, 3),
        "reference_seconds": took and round(took, 3),
        "ratio": ratio,
        "at_least": stopped,
        "accuracy": float(right or "nan"),
        "reference_accuracy": its and float(its),
    }


def absent(module: str) -> str | None:
    return None if importlib.util.find_spec(module) else f"{module} is not installed: pip install -e '.[bench]'"


def against(n: int, limit: float) -> dict[str, Any]:
    """All references at one size."""
    data, found = world(n), {}
    for method in OURS[:-1]:
        reference = absent("crowdkit") or (crowd_kit, method)
        found[f"{method} / crowd-kit"] = compare(method, data, (ours, method), reference, limit)
    found["graded"] = compare("graded", data, (ours, "graded"), "no reference", limit)
    dense = len(data.truth) * (int(data.rater.max()) + 1) * 8 >> 30
    reference: Any = absent("cleanlab") or (crowdlab, "")
    if dense >= 1:
        reference = f"cleanlab wants a dense table of {dense} GiB: not run"
    found["crowdlab"] = compare("DS + classifier", data, (ours_with_classifier, ""), reference, limit)
    ranked = ranking(n)
    for method in ("bradley-terry", "crowd-bt"):
        reference = absent("evalica") or (evalica_ranked, "")
        found[f"{method} / evalica"] = compare(method, ranked, (ours_ranked, method), reference, limit)
    return found


def colluders(n: int) -> dict[str, list[float]]:
    """Accuracy of each method under 0 to 40 % of colluders."""
    print("\naccuracy with so many colluders, who all say the reverse; the others are right with .8")
    print(f"{'':<22}" + "".join(f"{share:>8.0%}" for share in (0, 0.1, 0.2, 0.3, 0.4)))
    found = {}
    for method in OURS:
        outcomes = [(ours(data, method), data) for share in (0, 0.1, 0.2, 0.3, 0.4) if (data := colluding(n, share))]
        found[method] = [round(float((outcome.label == data.truth).mean()), 4) for outcome, data in outcomes]
        print(f"{method:<22}" + "".join(f"{right:>8.3f}" for right in found[method]), flush=True)
    return found


def at_scale(comparisons: int) -> dict[str, Any]:
    """Ours alone on five votes each: seconds, and what the whole process needed at most."""
    data, found = world(comparisons * PER), {}
    print(f"\n{comparisons:,} comparisons, {comparisons * PER:,} judgements: seconds, peak MiB, accuracy")
    for method in OURS:
        outcome = measured(ours, data, method, 3600)
        if isinstance(outcome, str):
            raise SystemExit(f"{method}: {outcome}")
        right = round(float((outcome.label == data.truth).mean()), 4)
        print(f"{method:<22}{outcome.seconds:>9.1f}{outcome.mib:>9,}{right:>9.4f}  {outcome.note}", flush=True)
        found[method] = {"seconds": round(outcome.seconds, 1), "peak_mib": outcome.mib, "accuracy": right}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="20,000 judgements, a reference has 15 seconds")
    parser.add_argument("--full", action="store_true", help="5,000,000 judgements of ours too, with peak memory")
    parser.add_argument("--limit", type=float, help="seconds that a reference may take (default: 300)")
    given = parser.parse_args()
    limit = given.limit or (15.0 if given.quick else 300.0)
    sizes = (20_000,) if given.quick else (100_000, 1_000_000)
    line("method", "n", "ours s", "theirs", "ratio", "right", "theirs", "ours | theirs")
    details: dict[str, Any] = {f"{n:,}": against(n, limit) for n in sizes}
    details["colluders"] = colluders(sizes[0] // 5)
    if given.full:
        details["at scale"] = at_scale(1_000_000)
    rows = [details[f"{n:,}"][f"{method} / crowd-kit"] for n in sizes for method in ("dawid-skene", "glad")]
    ratios = [row["ratio"] for row in rows if row["ratio"] is not None]
    told = {"benchmark": "aggregate", "ratio": min(ratios, default=None), "target": TARGET, "unit": "times as fast"}
    print(json.dumps({**told, "n": sizes[-1], "reference": "crowd-kit, Dawid-Skene and GLAD", "details": details}))


if __name__ == "__main__":
    main()

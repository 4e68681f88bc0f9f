"""Finding wrong preference labels, and training in spite of them, on real preferences with known wrong labels.

`python benchmarks/results_noise.py [--quick] [--data DIR] [--cache DIR]` reads from DIR (default: ../shared/data)
ukpconvarg1.jsonl.gz (Habernal and Gurevych 2016, CC BY 4.0) and raw/hh_rlhf/harmless-base_test.jsonl.gz (Bai et al.
2022, MIT). The cache keeps embeddings (MiniLM) and the figures of every split, so that a run that was stopped goes on;
`--kept` prints what has been measured so far. cleanlab is the extra `bench`; without it its rows are left out.

What follows was fixed before the first full run. It was developed on other seeds (101 to 104) of ukpconvarg1, whose
held-out issues overlap with those here: the issues are but thirteen. The learners were made cheaper once (three values
of L2 for five, larger batches, fewer treatments of `mlp`), before any split had come to its end.

Truth: ukpconvarg1's gold side (pairs whose gold is a tie are left out); hh-rlhf's released label, which is one
person's and itself wrong on perhaps a third, so that no score can find all and only the flipped.
Noise: each training label is flipped with probability 0, .2 or .4; on ukpconvarg1 also `worker`: the side that one
worker, drawn at random among those who named one, chose in truth.
Splits: seeds 1 to 5. Each draws the groups held out (3 of 13 issues with both their stances; a quarter of the
prompts), the noise, the folds and the starts. All is trained and scored on the rest; accuracy is on clean labels of
what is held out. Figures are means over splits with the 95 % interval of Student's t over them.
Features: MiniLM of the completion and 17 surface measures; on hh-rlhf also MiniLM of the conversation.
Learners: `linear`, as `train` uses it, with its L2 chosen inside the noisy training groups; `mlp`, 64 hidden units,
20 epochs of batches of 256, learning rate .001, L2 .0001, nothing tuned: as the pilot's, which noise hurts most.
Scores: AUROC of finding the wrong labels among the training rows. The share of wrong labels is estimated, never told.
The length baseline doubts a label by how much longer the other side is. cleanlab's label quality is given
out-of-fold probabilities for the same features: of the same linear head in the same folds (those of the first
partition, and the mean of all), and of scikit-learn's LogisticRegression as it comes, in the same folds.
Treatments: as in models_rt.noise; `cleanlab` drops what its find_label_issues names; `two averaged` is two models
that believe every label. Doubt comes from the linear ensemble for both learners, from peers of the learner's own kind
for `peer-review`.
Targets, at 40 % on ukpconvarg1: AUROC of `peer-review` at least .86 and above cleanlab's in the same folds in every
split; `peer-review` recovers two thirds of the accuracy that the noise costs `mlp`. Everything else is description.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import gzip
import hashlib
import json
import math
import sys
import tempfile
import time
import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "platform")]

from curation import noise  # noqa: E402
from models_rt import encoders  # noqa: E402
from models_rt.noise.ensemble import ensemble, estimated_rate, splits, trajectories  # noqa: E402
from models_rt.noise.material import Material, items_of, units_of  # noqa: E402
from models_rt.noise.peers import Review, review  # noqa: E402
from models_rt.noise.treatments import Treated, by_margins, by_review  # noqa: E402
from models_rt.records import PreferenceRow  # noqa: E402
from models_rt.rewards.config import TrainConfig  # noqa: E402
from models_rt.rewards.features import features  # noqa: E402
from models_rt.rewards.fitting import fit, fit_epochs, hard, inputs_of, margins_array  # noqa: E402
from models_rt.rewards.training import best_l2, scale_of, validate  # noqa: E402
from models_rt.seeds import derive, numpy_rng  # noqa: E402

Array = np.ndarray[Any, np.dtype[np.float64]]
SEEDS = (1, 2, 3, 4, 5)
T975 = {3: 4.303, 4: 3.182, 5: 2.776}  # of Student's t with one degree of freedom less
RATES: tuple[str, ...] = ("worker", "0", "0.2", "0.4")
MARGIN_TREATMENTS = ("drop", "flip", "soften", "margin", "flip-margin", "soften-margin")
LINEAR = TrainConfig(soft_labels=False, l2=(0.003, 0.03, 0.3))
MLP = replace(LINEAR, head="mlp", epochs=20, learning_rate=0.001, pairs_a_step=256, l2=(1e-4,))
CODE = ("models_rt/noise/*.py", "models_rt/rewards/*.py", "curation/noise/[cde][ony]*.py")  # that figures come from
TARGET_AUROC, TARGET_RECOVERED = 0.86, 2 / 3


class Data(NamedTuple):
    """A set whose first completion is the better one in truth."""

    name: str
    rows: list[PreferenceRow]
    raw: np.ndarray[Any, np.dtype[np.float32]]
    """[2n, d] features of chosen and rejected in turn."""
    said: list[list[bool]]
    """Of each pair, whether each worker who named a side named the wrong one."""
    held_out: int
    """Groups that a split holds out."""


def ukpconvarg1(folder: Path) -> tuple[list[PreferenceRow], list[list[bool]]]:
    rows, said = [], []
    with gzip.open(folder / "ukpconvarg1.jsonl.gz", "rt", encoding="utf-8") as source:
        for line in source:
            row = json.loads(line)
            if not row["gold"]:
                continue
            pair = (row["completion_a"], row["completion_b"])
            chosen, rejected = pair if row["gold"] < 0 else pair[::-1]
            issue = row["group"].rsplit("_", 1)[0]
            rows.append(PreferenceRow(row["id"], tuple(row["prompt"]), chosen, rejected, None, 1.0, "train", issue))
            sides = [j["preference"] for j in row["judgements"] if j["preference"]]
            said.append([(side < 0) != (row["gold"] < 0) for side in sides])
    return rows, said


def hh_rlhf(folder: Path) -> tuple[list[PreferenceRow], list[list[bool]]]:
    rows = []
    with gzip.open(folder / "raw/hh_rlhf/harmless-base_test.jsonl.gz", "rt", encoding="utf-8") as source:
        for number, line in enumerate(source):
            row = json.loads(line)
            head, _, chosen = row["chosen"].rpartition("\n\nAssistant:")
            other, _, rejected = row["rejected"].rpartition("\n\nAssistant:")
            if head == other and chosen.strip() != rejected.strip():
                prompt = ({"role": "user", "content": head},)
                texts = chosen.strip(), rejected.strip()
                rows.append(PreferenceRow(str(number), prompt, *texts, None, 1.0, "train", head))  # type: ignore[arg-type]
    return rows, [[] for _ in rows]


def read(name: str, folder: Path, cache: Path, *, quick: bool) -> Data:
    """A set with its features."""
    rows, said = ukpconvarg1(folder) if name == "ukpconvarg1" else hh_rlhf(folder)
    if quick:
        issues = sorted({row.group for row in rows})[:5]
        keep = [i for i, row in enumerate(rows) if row.group in issues][::3]
        rows, said = [rows[i] for i in keep], [said[i] for i in keep]
    embed = ("completion",) if name == "ukpconvarg1" else ("completion", "conversation")
    items = [(row.prompt, text) for row in rows for text in (row.chosen, row.rejected)]
    raw = features(items, encoders.load("minilm"), embed, LINEAR.surface, cache=cache)
    groups = len({row.group for row in rows})
    return Data(name, rows, raw, said, 3 if groups < 20 else groups // 4)


class World(NamedTuple):
    """One split under one noise."""

    seed: int
    noisy: np.ndarray[Any, np.dtype[np.float32]]
    """[2n, d] features of the training pairs, those of wrong labels turned round."""
    clean: np.ndarray[Any, np.dtype[np.float32]]
    wrong: np.ndarray[Any, np.dtype[np.bool_]]
    rows: list[PreferenceRow]
    """Training rows as labelled."""
    test: np.ndarray[Any, np.dtype[np.float32]]
    scale: np.ndarray[Any, np.dtype[np.float32]]


def world(data: Data, seed: int, rate: str) -> World:
    rng = numpy_rng(seed, "results_noise", data.name)
    groups = np.array([row.group for row in data.rows])
    held = np.isin(groups, rng.permutation(np.unique(groups))[: data.held_out])
    drawn, uniform = rng.random(len(groups)), rng.random(len(groups))  # the same in all noise rates of a split
    if rate == "worker":
        wrong = np.array([bool(s) and s[int(u * len(s))] for s, u in zip(data.said, drawn, strict=True)])
    else:
        wrong = uniform < float(rate)
    pairs = data.raw.reshape(len(groups), 2, -1)
    noisy = np.where(wrong[:, None, None], pairs[:, ::-1], pairs)
    rows = [replace(r, chosen=r.rejected, rejected=r.chosen) if w else r for r, w in zip(data.rows, wrong, strict=True)]
    inside = np.flatnonzero(~held)
    flat = [part.reshape(-1, pairs.shape[2]) for part in (noisy[inside], pairs[inside], pairs[held])]
    scale = scale_of(flat[0].std(axis=0), len(LINEAR.surface), LINEAR.embed_scale)
    return World(seed, flat[0], flat[1], wrong[inside], [rows[i] for i in inside], flat[2], scale)


def auroc(score: Array, positive: np.ndarray[Any, np.dtype[np.bool_]]) -> float:
    """Probability that a wrong label scores higher than a right one, ties counting half; nan without both."""
    order = np.argsort(score, kind="stable")
    _, index, counts = np.unique(score[order], return_inverse=True, return_counts=True)
    mean_rank = np.cumsum(counts) - (counts - 1) / 2
    ranks = np.empty(len(score))
    ranks[order] = mean_rank[index]
    m, k = int(positive.sum()), int((~positive).sum())
    return float((ranks[positive].sum() - m * (m + 1) / 2) / (m * k)) if m and k else math.nan


class Doubt(NamedTuple):
    """What is known of the labels of one world."""

    l2: float
    margins: Array
    rate: float
    peers: dict[str, Review]
    issues: np.ndarray[Any, np.dtype[np.bool_]] | None
    """What cleanlab names; None without it."""
    aurocs: dict[str, float]


def material_of(w: World, config: TrainConfig, raw: np.ndarray[Any, np.dtype[np.float32]]) -> Material:
    items = items_of(w.rows)
    return Material(inputs_of(raw, w.scale, config), hard(len(w.rows)), units_of(w.rows, items, config), items)


def doubt(data: Data, w: World) -> Doubt:
    """Score every training label by every method."""
    linear, mlp = (replace(config, seed=w.seed) for config in (LINEAR, MLP))
    material = material_of(w, linear, w.noisy)
    groups = [row.group for row in w.rows]
    l2 = best_l2(validate(material.inputs, material.columns, groups, linear)[0], linear)
    margins = ensemble(material, linear, l2)
    plain = ensemble(replace(material, items=None), linear, l2)
    rate = estimated_rate(margins.mean(axis=0)).value
    peers = {"linear": review(material, linear, rate), "mlp": review(material_of(w, mlp, w.noisy), mlp, rate)}
    found = {
        "ensemble-margin": noise.resolve("ensemble-margin")(margins),
        "peer-review": noise.resolve("peer-review")(peers["linear"].margins, peers["linear"].kept),
        "peer-review (mlp)": noise.resolve("peer-review")(peers["mlp"].margins, peers["mlp"].kept),
        "confident-learning": noise.resolve("confident-learning")(sigmoid(margins).mean(axis=0)),
        "training-dynamics": noise.resolve("training-dynamics")(trajectories(material, linear, l2)),
    }
    aurocs = {name: auroc(scores.score, w.wrong) for name, scores in found.items()}
    aurocs["length"] = auroc(
        np.array([math.log1p(len(r.rejected)) - math.log1p(len(r.chosen)) for r in w.rows]), w.wrong
    )
    if not w.wrong.any():
        aurocs = dict.fromkeys(aurocs, math.nan)
    issues = None
    try:
        qualities, issues = cleanlab_says(w, material, plain, linear)
        aurocs |= {name: auroc(-quality, w.wrong) for name, quality in qualities.items()}
    except ImportError:
        pass
    return Doubt(l2, margins, rate, peers, issues, aurocs)


def sigmoid(margins: Array) -> Array:
    return 0.5 * (1 + np.tanh(margins / 2))


def cleanlab_says(
    w: World, material: Material, plain: Array, config: TrainConfig
) -> tuple[dict[str, Array], np.ndarray[Any, np.dtype[np.bool_]]]:
    """Qualities by cleanlab for several probabilities, and the issues that it names from the first.

    Half of the pairs, at random, are shown the other way round, so that there are two classes.
    """
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    first = numpy_rng(w.seed, "sides").random(len(w.rows)) < 0.5  # the label: chosen stands first

    def ask(right: Array) -> tuple[np.ndarray[Any, Any], Array]:
        second = np.where(first, 1 - right, right)
        return (~first).astype(int), np.stack([1 - second, second], axis=1)

    probabilities = {
        "cleanlab, same head and folds": sigmoid(plain[0]),
        "cleanlab, same head, all partitions": sigmoid(plain).mean(axis=0),
        "cleanlab, LogisticRegression": regression(w, material, first, config),
    }
    qualities = {name: get_label_quality_scores(*ask(right)) for name, right in probabilities.items()}
    issues = find_label_issues(*ask(probabilities["cleanlab, same head and folds"]), n_jobs=1)
    return qualities, np.asarray(issues, dtype=bool)


def regression(w: World, material: Material, first: np.ndarray[Any, np.dtype[np.bool_]], config: TrainConfig) -> Array:
    """Out-of-fold probabilities of the labels by scikit-learn's default, in the folds of the first partition."""
    from sklearn.linear_model import LogisticRegression

    x = material.inputs.numpy() * np.where(first, 1.0, -1.0)[:, None]
    right = np.empty(len(first))
    seeded = replace(config, seed=derive(config.seed, "partition", 0))
    for inside, outside in splits(material.units, seeded):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = LogisticRegression(max_iter=200).fit(x[inside], first[inside])
        right[outside] = np.where(first[outside], 1, -1) * (model.predict_proba(x[outside])[:, 1] - 0.5) + 0.5
    return right


def accuracies(data: Data, w: World, known: Doubt) -> dict[tuple[str, str], float]:
    """Accuracy on the held-out groups of each learner under each treatment."""
    found = {}
    for learner, base in (("linear", LINEAR), ("mlp", MLP)):
        config = replace(base, seed=w.seed)
        noisy, clean = (material_of(w, config, raw) for raw in (w.noisy, w.clean))
        test = inputs_of(w.test, w.scale, config)
        for name, treated in treatments(config, noisy, known, learner):
            source = clean if name == "clean labels" else noisy
            found[learner, name] = accuracy(learn(w, source, treated, config, known), test)
        if learner == "mlp":
            two = [fit_epochs(noisy.inputs, noisy.columns, config, config.l2[0], seed=s) for s in (0, 1)]
            found[learner, "two averaged"] = right_share(sum(margins_array(head, test) for head in two))
    length = np.array(w.test[::2, -len(LINEAR.surface)] - w.test[1::2, -len(LINEAR.surface)], dtype=np.float64)
    found["longer wins", ""] = right_share(length)
    return found


def treatments(config: TrainConfig, noisy: Material, known: Doubt, learner: str) -> Iterator[tuple[str, Treated]]:
    every = Treated(torch.arange(len(noisy)), noisy.columns, False, {})
    yield "clean labels", every
    yield "no filter", every
    for name in MARGIN_TREATMENTS if learner == "linear" else ("drop", "flip"):
        yield name, by_margins(known.margins, noisy.columns, replace(config, noise=name), known.rate)
    yield "peer-review", by_review(known.peers[learner], noisy.columns, config, known.rate)
    if known.issues is not None:
        kept = torch.from_numpy(np.flatnonzero(~known.issues))
        yield "cleanlab", Treated(kept, noisy.columns.of(kept), False, {})


def learn(w: World, material: Material, treated: Treated, config: TrainConfig, known: Doubt) -> torch.nn.Module:
    """As `train` does after the treatment: L2 again, on what is left."""
    inputs = material.inputs[treated.pairs]
    groups = [w.rows[i].group for i in treated.pairs.tolist()]
    l2 = best_l2(validate(inputs, treated.columns, groups, config)[0], config)
    order = torch.arange(len(inputs)) if treated.ordered else None
    return fit(inputs, treated.columns, config, l2, order=order)[0]


def accuracy(head: torch.nn.Module, test: torch.Tensor) -> float:
    return right_share(margins_array(head, test))


def right_share(margins: Array) -> float:
    return float(np.where(margins > 0, 1.0, np.where(margins == 0, 0.5, 0.0)).mean())


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean and half the width of the 95 % interval; nan of fewer than three, which say next to nothing of it."""
    if len(values) < 3:
        return float(np.mean(values)), math.nan
    return float(np.mean(values)), T975[len(values)] * float(np.std(values, ddof=1)) / math.sqrt(len(values))


def shown(values: Sequence[float]) -> str:
    middle, half = interval(values)
    if math.isnan(middle):
        return "undefined"
    return f"{middle:.3f} ± {half:.3f}" if not math.isnan(half) else f"{middle:.3f}"


Figures = dict[Any, dict[str, list[float]]]


class Kept:
    """Figures of the worlds that were measured before, by the same code."""

    def __init__(self, folder: Path, *, only: bool) -> None:
        self.only = only
        sources = [
            Path(__file__),
            *sorted((ROOT / "models_rt").rglob("*.py")),
            *sorted(ROOT.glob("curation/noise/*.py")),
        ]
        digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:12]
        self.path = folder / f"results_noise-{digest}.jsonl"
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        self.known = {tuple(row["world"]): row for row in map(json.loads, lines)}

    def figures(self, data: Data, seed: int, rate: str) -> dict[str, Any] | None:
        """Of one world: aurocs, accuracies by [learner, treatment], estimated and true share of wrong labels."""
        name = (data.name, len(data.rows), seed, rate)
        if name not in self.known:
            if self.only:
                return None
            w = world(data, seed, rate)
            known = doubt(data, w)
            right = [[*key, value] for key, value in accuracies(data, w, known).items()]
            shares = [known.rate, float(w.wrong.mean())]
            self.known[name] = {"world": name, "aurocs": known.aurocs, "right": right, "shares": shares}
            with self.path.open("a") as file:
                file.write(json.dumps(self.known[name]) + "\n")
        return self.known[name]


def measure(
    data: Data, rates: Sequence[str], seeds: Sequence[int], kept: Kept
) -> tuple[Figures, Figures, dict[str, list[float]]]:
    """AUROC by (method, rate), accuracy by (learner, treatment, rate), estimated and true shares by rate."""
    found: Figures = defaultdict(lambda: defaultdict(list))
    right: Figures = defaultdict(lambda: defaultdict(list))
    shares: dict[str, list[float]] = defaultdict(list)
    for rate in reversed(rates):
        for seed in seeds:
            started = time.monotonic()
            figures = kept.figures(data, seed, rate)
            if figures is None:
                continue
            for method, value in figures["aurocs"].items():
                found[method][rate].append(value)
            for learner, treatment, value in figures["right"]:
                right[learner, treatment][rate].append(value)
            shares[rate].append(figures["shares"][0])
            shares[f"true {rate}"].append(figures["shares"][1])
            spent = time.monotonic() - started
            print(f"{data.name} {rate} split {seed}: {spent:.0f} s", file=sys.stderr, flush=True)
    return found, right, shares


def table(title: str, figures: Figures, rates: Sequence[str]) -> None:
    print(f"  {title:<38}" + "".join(f"{'noise ' + rate:>18}" for rate in rates))
    for key, by_rate in figures.items():
        name = " ".join(key).strip() if isinstance(key, tuple) else key
        print(f"  {name:<38}" + "".join(f"{shown(by_rate[rate]):>18}" for rate in rates))


def recovered(right: Figures, learner: str, rate: str) -> dict[str, str]:
    """Of the mean accuracy that noise costs, the share that each treatment gives back, and how often."""
    clean, none = (np.array(right[learner, name][rate]) for name in ("clean labels", "no filter"))
    lost = float(np.mean(clean - none))
    told = {}
    for kind, name in right:
        if kind != learner or name in ("clean labels", "no filter"):
            continue
        gain = np.array(right[kind, name][rate]) - none
        share = f"{np.mean(gain) / lost:+.2f}" if lost > 0.005 else "nothing lost"
        told[name] = f"{share} ({int((gain > 0).sum())} of {len(gain)} splits better, {shown(gain.tolist())})"
    return told


def report(data: Data, rates: Sequence[str], seeds: Sequence[int], kept: Kept) -> dict[str, Any]:
    """Print one set's tables; its figures for JSON."""
    groups = len({row.group for row in data.rows})
    found, right, shares = measure(data, rates, seeds, kept)
    rates = [rate for rate in rates if rate in shares]
    if not rates:
        print(f"\n### {data.name}: nothing measured yet")
        return {}
    print(f"\n### {data.name}: {len(data.rows)} pairs in {groups} groups, {data.held_out} of them held out\n")
    print("  splits: " + ", ".join(f"noise {rate}: {len(shares[rate])}" for rate in rates) + "\n")
    table("AUROC of finding wrong labels", found, rates)
    print()
    table("held-out accuracy", right, rates)
    print()
    table("share of wrong labels", {"estimated": shares, "in truth": {r: shares[f"true {r}"] for r in rates}}, rates)
    worst = rates[-1]
    for learner in ("linear", "mlp"):
        lost = np.array(right[learner, "clean labels"][worst]) - np.array(right[learner, "no filter"][worst])
        print(f"\n  {learner}: noise {worst} costs {shown(lost.tolist())}; given back of it:")
        for name, told in recovered(right, learner, worst).items():
            print(f"    {name:<16} {told}")
    return {
        "auroc": {method: round(float(np.mean(by[worst])), 4) for method, by in found.items()},
        "accuracy": {" ".join(key).strip(): round(float(np.mean(by[worst])), 4) for key, by in right.items()},
        "splits": len(shares[worst]),
        "_found": found,
        "_right": right,
    }


def verdict(told: dict[str, Any], worst: str) -> tuple[float, dict[str, Any]]:
    """The targets, each met or not. The ratio is that of the AUROCs, ours to cleanlab's."""
    ours = np.array(told["_found"]["peer-review"][worst])
    theirs = np.array(told["_found"].get("cleanlab, same head and folds", {}).get(worst, []))
    right = told["_right"]
    clean, none, peer = (np.array(right["mlp", k][worst]) for k in ("clean labels", "no filter", "peer-review"))
    share = float(np.mean(peer - none) / np.mean(clean - none))
    print("\n### Targets\n")
    print(f"  AUROC of peer-review {shown(ours.tolist())}, target {TARGET_AUROC}: {met(ours.mean() >= TARGET_AUROC)}")
    ratio = math.nan
    if len(theirs):
        gap = ours - theirs
        print(f"  above cleanlab in {int((gap > 0).sum())} of {len(gap)} splits, by {shown(gap.tolist())}: ", end="")
        print(met(bool((gap > 0).all())))
        ratio = float(ours.mean() / theirs.mean())
    else:
        print("  cleanlab is not installed (the extra `bench`): not compared")
    print(f"  mlp recovers {share:.2f} of what the noise costs, target {TARGET_RECOVERED:.2f}: ", end="")
    print(met(share >= TARGET_RECOVERED))
    return ratio, {"auroc": round(float(ours.mean()), 4), "recovered": round(share, 4)}


def met(holds: bool | np.bool_) -> str:
    return "met" if holds else "missed"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a part of ukpconvarg1, 40 %% flips, one split")
    parser.add_argument("--kept", action="store_true", help="measure nothing; print what was measured before")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "tiebreak-features")
    given = parser.parse_args()
    torch.set_num_threads(1)
    names = ["ukpconvarg1"] if given.quick else ["ukpconvarg1", "hh-rlhf"]
    rates, seeds = (("0.4",), (101,)) if given.quick else (RATES, SEEDS)
    given.cache.mkdir(parents=True, exist_ok=True)
    kept = Kept(given.cache, only=given.kept)
    told: dict[str, Any] = {}
    sizes = 0
    for name in names:
        data = read(name, given.data, given.cache, quick=given.quick)
        sizes += len(data.rows)
        told[name] = report(data, rates if name == "ukpconvarg1" else [r for r in rates if r != "worker"], seeds, kept)
    if not told[names[0]]:
        raise SystemExit(f"Nothing of {names[0]} is measured yet: run it without --kept.")
    ratio, aims = verdict(told[names[0]], rates[-1])
    last = {
        "benchmark": "finding wrong labels",
        "ratio": None if math.isnan(ratio) else round(ratio, 4),
        "target": 1.0,
        "unit": f"AUROC of peer-review / of cleanlab, {rates[-1]} of ukpconvarg1's labels flipped",
        "n": sizes,
        "reference": "cleanlab's label quality on the same features, head and folds, same run",
        "details": {name: {k: v for k, v in each.items() if k[0] != "_"} for name, each in told.items()} | aims,
    }
    print(json.dumps(last))


if __name__ == "__main__":
    main()

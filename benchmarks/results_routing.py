"""Who should judge what: quality against the share of people's judgements, on recorded human and judge labels.

`python benchmarks/results_routing.py [--quick] [--data DIR]`, or `make bench-routing`, reads import rows from DIR
(default: ../shared/data): llmfao.jsonl.gz (llmonitor.com and D. Ustalov, CC BY 4.0; verdicts of GPT-4 and GPT-3) and
pandalm.jsonl.gz (WeOpenML/PandaLM, Apache-2.0; verdicts of gpt-3.5-turbo and pandalm-7b).

Fixed before the run, and committed then; written and mended on seeds 101 to 108. A first full run, on seeds 1 to 20,
had two faults that it showed itself: an even split of people was scored as a tie, which belittled the reference
`people`, and the belief did not know the reward model's margin, one of the router's features. Both were mended, on
seeds 101 to 108 again, and the figures come from seeds 41 to 60. All seeds split the same comparisons, so that fresh
ones guard against luck with a split, not with the set. What the first run said stands in docs/results.md.

Splits. For each seed three tenths of the groups (prompts) are the test groups. Of the comparisons in the others a fifth
is the pilot, on which everything that is learned is fitted: what judges and a reward model, itself taught there, say of
people's answers (`forecast`), how far a person is to be believed, every ridge, and the gain model. The rest is the
pool, where policies spend. Of each comparison in the pool one person, drawn at random, is held out and never bought;
the others can be bought, in random order. A human share is that of the pool's judgements that can be bought; the
pilot's are spent beside it, and are counted where it says so.

Metric A, the consensus: share of the pool's comparisons whose label (a, tie or b, the likeliest class of the posterior)
is exactly what the held-out person said; of n equally likely classes each counts 1/n. People disagree, so its ceiling
is far below 1; that is the point: it is never measured on labels selected for agreement. Comparisons of one person are
left out.
Metric B, the reward model: Bradley-Terry on frozen features (surface measures, 32 components of the MiniLM embeddings)
trained on the pool's labels, soft and without that margin, measured on the test groups against the plurality of all
people; ties and even splits are left out there. The gain model is fitted to the same measure on the pilot, with whole
prompts held out.

Policies, all with the same belief and the same arithmetic of votes, so that they differ in what they buy alone; all
but `random`, `even` and `whole` spend a tenth on the audit and a tenth on exploration:
  random      a person's judgement anywhere           even        each comparison once, then each twice, …
  whole       comparisons at random, all judgements   uncertainty comparisons by the judges' doubt, all judgements
  gain        comparisons by the learned gain, all judgements (by uncertainty where the gain model refuses)
  adaptive    the next judgement where it most lowers the expected error of the consensus
References: `judges` as recorded (their majority, a split is a tie); `people`: all judgements and no judges; `both`:
everything; `shorter wins`.

Questions. Does a learned policy (gain, adaptive) beat random at equal cost: mean difference over the shares between 0
and 1, paired by seed? Does it reach the quality of `people` with at most half of the judgements: mean difference at
0.5, paired by seed, not below 0? Intervals are over seeds, 95 % by Student's t; seeds split the same data anew, so they
show how far the split matters, not what other data would give.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "platform")]

from curation.routing import Decision, Evidence, Features, Item, extract, forecast, gain, proxy, uncertainty  # noqa: E402
from curation.routing.learned import adaptive_overlap, expected_gain  # noqa: E402
from curation.routing.policies import at_random  # noqa: E402
from curation.routing.simulation import Recorded, Spent, agreement, replay  # noqa: E402
from curation.routing.texts import cosine  # noqa: E402

Array = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
SEEDS, QUICK_SEEDS = tuple(range(41, 61)), (101, 102)
SHARES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.75, 1.0)
BETWEEN = slice(1, -1)
HALF = SHARES.index(0.5)
TEST, PILOT = 0.3, 0.2
LENGTH = 0  # log characters, the first of the reward model's features
COMPONENTS, MIXES, RIDGES = 32, 150, (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
PRICES = {"person": 0.30, "judges": 0.02}  # of a judgement, and of all verdicts on a comparison; illustrative
POLICIES = ("random", "even", "whole", "uncertainty", "gain", "adaptive")
LEARNED = ("gain", "adaptive")
T_975 = {1: 12.706, 2: 4.303, 4: 2.776, 9: 2.262, 19: 2.093}


class Data(NamedTuple):
    """N comparisons with what people and judges said: 0 a, 1 tie, 2 b."""

    name: str
    groups: list[str]
    features: Features
    people: list[Ints]
    judges: Array
    """[N, J] -1, 0 or 1; nan where unparsed."""
    x: Array
    """[N, d] features of b minus those of a."""


def load(name: str, file: Path, cache: Path) -> Data:
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    names = sorted({j["rater"] for row in rows for j in row["judgements"] if j["kind"] == "judge"})
    judges = np.array([[_verdict(row, judge) for judge in names] for row in rows])
    people = [np.array(_answers(row), dtype=np.int64) for row in rows]
    a, b = (encoded([(row["prompt"], row[c]) for row in rows], cache) for c in ("completion_a", "completion_b"))
    alike = cosine(a.embedding, b.embedding)
    items = [_item(row, judges[i], float(alike[i])) for i, row in enumerate(rows)]
    groups = [row["group"] for row in rows]
    return Data(name, groups, extract(items), people, judges, differences(a, b))


class Encoded(NamedTuple):
    embedding: Array
    surface: Array


def differences(a: Encoded, b: Encoded) -> Array:
    """[N, d] what the reward model reads: surface measures to scale, then the embeddings' strongest directions."""
    embedded = proxy.components(b.embedding - a.embedding, COMPONENTS)
    surface = b.surface - a.surface
    spread = surface.std(axis=0)
    return np.concatenate([surface / np.where(spread > 0, spread, 1.0), embedded / embedded[:, 0].std()], axis=1)


def encoded(completions: Sequence[tuple[Any, str]], cache: Path) -> Encoded:
    """MiniLM and the surface measures of each completion; the first measure is its length."""
    from models_rt.encoders import load as encoder  # torch: only where it is needed
    from models_rt.encoders.surface import SURFACE
    from models_rt.rewards.features import features

    items = [(tuple(prompt), text) for prompt, text in completions]
    found = features(items, encoder("minilm"), ["completion"], list(SURFACE), cache=cache).astype(np.float64)
    return Encoded(found[:, : -len(SURFACE)], found[:, -len(SURFACE) :])


def _verdict(row: Mapping[str, Any], judge: str) -> float:
    said = [j["preference"] for j in row["judgements"] if j["rater"] == judge and j["preference"] is not None]
    return float(np.sign(said[0])) if said else float("nan")


def _answers(row: Mapping[str, Any]) -> list[int]:
    said = [j["preference"] for j in row["judgements"] if j["kind"] == "annotator" and j["preference"] is not None]
    return [int(np.sign(preference)) + 1 for preference in said]


def _item(row: Mapping[str, Any], verdicts: Array, alike: float) -> Item:
    said = verdicts[np.isfinite(verdicts)]
    p = float(np.mean(1 / (1 + np.exp(-1.5 * said)))) if said.size else None  # as the service reads verdicts
    return Item(
        id=row["id"],
        prompt="\n".join(message["content"] for message in row["prompt"]),
        completion_a=row["completion_a"],
        completion_b=row["completion_b"],
        turns=len(row["prompt"]),
        judge_probability=p,
        judge_disagreement=float(len(set(said.tolist())) > 1) if said.size > 1 else None,
        embedding_similarity=None if np.isnan(alike) else alike,
    )


class Split(NamedTuple):
    pilot: Ints
    pool: Ints
    test: Ints


def split(data: Data, rng: np.random.Generator) -> Split:
    """Test groups until they hold three tenths of the comparisons; of the rest a fifth is the pilot."""
    groups = np.array(data.groups)
    test = np.zeros(len(groups), dtype=bool)
    for group in rng.permutation(np.unique(groups)):
        if test.mean() < TEST:
            test |= groups == group
    rest = rng.permutation(np.flatnonzero(~test))
    n = round(PILOT * len(rest))
    pool = np.array([i for i in rest[n:] if len(data.people[i]) >= 2])
    return Split(rest[:n], pool, np.flatnonzero(test))


def counts(answers: Sequence[Ints]) -> Array:
    """[N, 3]"""
    return np.array([np.bincount(said, minlength=3) for said in answers], dtype=np.float64).reshape(-1, 3)


def signals(data: Data, rows: Ints) -> tuple[Array, Array]:
    """(sided, plain) features of the forecast: verdicts for a side; doubt, likeness and lengths for a tie."""
    judges = data.judges[rows]
    table = data.features.table[rows]
    place = data.features.names.index
    split_ = (np.nan_to_num(judges).max(axis=1) > np.nan_to_num(judges).min(axis=1)).astype(float)
    alike = table[:, [place(n) for n in ("jaccard", "rouge_l", "trigram_cosine", "embedding_similarity")]]
    shorter = np.log1p(table[:, place("shorter_length")])
    uneven = np.abs(data.x[rows, LENGTH])
    return judges, np.column_stack([(judges == 0).astype(float), split_, uneven, shorter, alike])


def side(posterior: Array) -> Array:
    """[N] probability of b, a tie counting half."""
    return posterior[:, 2] + posterior[:, 1] / 2


class World(NamedTuple):
    """What a seed makes of a set."""

    recorded: Recorded
    judges_alone: Array
    """[N pool, K] belief by the judges without the reward model: with the votes, what the reward model is taught."""
    held: Ints
    """[N pool] what the person held out said."""
    people_alone: Array
    """[N pool, K] belief by all buyable judgements without judges."""
    majority: Ints
    gain_model: gain.GainModel
    pilot_judgements: int
    reward: RewardData


class RewardData(NamedTuple):
    pool: Array
    test: Array
    reference: Array
    """[N test] 1 b, 0 a, 0.5 neither."""
    shorter: Array
    """[N test] 1 where b is the shorter."""
    ridge: float


def world(data: Data, seed: int) -> World:
    rng = np.random.default_rng(seed)
    parts = split(data, rng)
    answers = [rng.permutation(data.people[i]) for i in parts.pool]
    width = max(len(said) for said in answers) - 1
    ballots = np.array([[*said[1:], *[-1] * (width + 1 - len(said))] for said in answers], dtype=np.int64)
    pilot = counts([data.people[i] for i in parts.pilot])
    raw = side(pilot / pilot.sum(axis=1, keepdims=True))
    margins = _margins(data, parts, raw, rng)
    learned = [_learned(data, parts, pilot, margins), _learned(data, parts, pilot, None)]
    known = [_with_margin(data.features, rows, m) for rows, m in zip((parts.pilot, parts.pool), margins, strict=True)]
    recorded = Recorded(known[1], learned[0].pool, ballots, learned[0].confusion, PRICES["person"], PRICES["judges"])
    x_pilot, folds = data.x[parts.pilot], _folds([data.groups[i] for i in parts.pilot], rng)
    ridge = _ridge(x_pilot, raw, folds)
    by_people = side(forecast.posterior(learned[1].pilot, pilot, learned[1].confusion))
    measured = proxy.performance(x_pilot, by_people, side(learned[1].pilot), folds=folds, reference=raw, ridge=ridge)
    said = np.nan_to_num(data.judges[parts.pool]).sum(axis=1)
    test_counts = counts([data.people[i] for i in parts.test])
    return World(
        recorded,
        learned[1].pool,
        np.array([said[0] for said in answers]),
        _people_alone(pilot, ballots),
        np.sign(said).astype(np.int64) + 1,
        gain.fit(known[0], measured, rng=rng, pool=known[1], n_mixes=MIXES),
        int(pilot.sum()),
        RewardData(
            data.x[parts.pool],
            data.x[parts.test],
            _plurality(test_counts),
            (data.x[parts.test, LENGTH] < 0).astype(float),
            ridge,
        ),
    )


class Learned(NamedTuple):
    """A forecast fitted on the pilot, there and on the pool."""

    pilot: Array
    pool: Array
    confusion: Array


def _learned(data: Data, parts: Split, pilot: Array, margins: tuple[Array, Array] | None) -> Learned:
    """From the verdicts, and the margins of a reward model if given."""
    inputs = [signals(data, rows) for rows in (parts.pilot, parts.pool)]
    if margins is not None:
        inputs = [(np.column_stack([s, m]), plain) for (s, plain), m in zip(inputs, margins, strict=True)]
    fitted = forecast.fit(*inputs[0], pilot)
    return Learned(forecast.predict(fitted, *inputs[0]), forecast.predict(fitted, *inputs[1]), fitted.confusion)


def _margins(data: Data, parts: Split, raw: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Margins of a reward model taught by the pilot's people: out of fold there, and on the pool."""
    x, folds = data.x[parts.pilot], rng.permutation(len(parts.pilot)) % 5
    ridge = _ridge(x, raw, folds)
    fitted = proxy.bradley_terry(x, raw, ridge=ridge)
    return proxy.out_of_fold(x, raw, folds, ridge=ridge), data.x[parts.pool] @ fitted.weights


def _ridge(x: Array, raw: Array, folds: Ints) -> float:
    """The one whose out-of-fold margins are likeliest."""
    return max(RIDGES, key=lambda r: proxy.log_likelihood(proxy.out_of_fold(x, raw, folds, ridge=r), raw).sum())


def _with_margin(features: Features, rows: Ints, margin: Array) -> Features:
    table = features.table[rows].copy()
    table[:, features.names.index("margin")] = margin
    table[:, features.names.index("margin_size")] = np.abs(margin)
    return Features(tuple(features.ids[i] for i in rows), features.names, table, features.settled[rows])


def _folds(groups: Sequence[str], rng: np.random.Generator) -> Ints:
    """[N] of five, whole groups together: what is measured is a new prompt, as in the test."""
    names, member = np.unique(np.array(groups), return_inverse=True)
    return (rng.permutation(len(names)) % 5)[member]


def _people_alone(pilot: Array, ballots: Ints) -> Array:
    nothing, none = np.zeros((len(pilot), 0)), np.zeros((len(ballots), 0))
    alone = forecast.fit(nothing, nothing, pilot)
    return forecast.posterior(
        forecast.predict(alone, none, none), counts([said[said >= 0] for said in ballots]), alone.confusion
    )


def _plurality(votes: Array) -> Array:
    return np.where(
        (votes[:, 2] > votes[:, [0, 1]].max(axis=1)),
        1.0,
        np.where(votes[:, 0] > votes[:, [1, 2]].max(axis=1), 0.0, 0.5),
    )


def trajectories(w: World, seed: int) -> dict[str, list[Spent]]:
    """What every policy has bought, and believes, at each share."""
    total = (w.recorded.ballots >= 0).sum(axis=1)

    def fewest_first(
        features: Features, *, budget: float, rng: np.random.Generator, votes: Evidence, **_: Any
    ) -> list[Decision]:
        free = votes.sources[0].free
        order = np.lexsort((rng.random(len(free)), total - free, free == 0))[: int(budget)]
        chosen = set(order[free[order] > 0].tolist())
        return [
            Decision(id_, "human" if i in chosen else "settled", "", 0.0, n=1) for i, id_ in enumerate(features.ids)
        ]

    usable = not w.gain_model.reason
    policies: dict[str, tuple[Any, dict[str, Any]]] = {
        "random": (at_random, {"bundle": 1}),
        "even": (fewest_first, {"bundle": 1}),
        "whole": (at_random, {}),
        "uncertainty": (uncertainty, {}),
        "gain": (expected_gain if usable else uncertainty, {"gain_model": w.gain_model}),
        "adaptive": (adaptive_overlap, {"bundle": 1}),
    }
    return {
        name: replay(w.recorded, policy, SHARES, rng=np.random.default_rng((seed, i)), **given)
        for i, (name, (policy, given)) in enumerate(policies.items())
    }


def taught(w: World, bought: Ints) -> Array:
    """[N pool] labels for the reward model: verdicts and the votes bought; not what a reward model has guessed."""
    votes = counts([said[:n] for said, n in zip(w.recorded.ballots, bought, strict=True)])
    return side(forecast.posterior(w.judges_alone, votes, w.recorded.confusion))


def reward_accuracy(w: World, labels: Array) -> float:
    """Metric B of the labels of the pool [N], probabilities of b."""
    fitted = proxy.bradley_terry(w.reward.pool, labels, ridge=w.reward.ridge)
    return float(np.nanmean(proxy.accuracy(w.reward.test @ fitted.weights, w.reward.reference)))


def agreed(posterior: Array, held: Ints) -> float:
    """Metric A."""
    return float(agreement(posterior, held).mean())


class Outcome(NamedTuple):
    """One seed: for each policy and share, and for each reference."""

    consensus: dict[str, list[float]]
    reward: dict[str, list[float]]
    human_share: dict[str, list[float]]
    money: dict[str, list[float]]
    references: dict[str, tuple[float, float]]
    rho: float | None
    refused: str
    tried: Mapping[str, float]
    sizes: tuple[int, int, int]
    total_share: float
    """People's judgements in pilot over those in pilot and pool."""


def outcome(data: Data, seed: int) -> Outcome:
    w = world(data, seed)
    points = trajectories(w, seed)
    everything = points["random"][-1]
    shorter = proxy.accuracy(w.reward.shorter - 0.5, w.reward.reference)
    verdicts = np.eye(3)[w.majority]
    references = {
        "judges": (agreed(verdicts, w.held), reward_accuracy(w, side(verdicts))),
        "people": (agreed(w.people_alone, w.held), reward_accuracy(w, side(w.people_alone))),
        "both": (agreed(everything.posterior, w.held), reward_accuracy(w, taught(w, everything.bought))),
        "shorter wins": (float("nan"), float(np.nanmean(shorter))),
    }
    pool_judgements = int((w.recorded.ballots >= 0).sum())
    return Outcome(
        {name: [agreed(p.posterior, w.held) for p in at] for name, at in points.items()},
        {name: [reward_accuracy(w, taught(w, p.bought)) for p in at] for name, at in points.items()},
        {name: [p.human_share for p in at] for name, at in points.items()},
        {name: [p.money for p in at] for name, at in points.items()},
        references,
        w.gain_model.rho,
        w.gain_model.reason,
        w.gain_model.tried,
        (len(w.held), len(w.reward.test), pool_judgements),
        w.pilot_judgements / (w.pilot_judgements + pool_judgements),
    )


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean and its 95 % interval over seeds."""
    found = np.asarray(values, dtype=np.float64)
    half = T_975[len(found) - 1] * found.std(ddof=1) / np.sqrt(len(found))
    return float(found.mean()), float(found.mean() - half), float(found.mean() + half)


def shown(values: Sequence[float], sign: str = "") -> str:
    mean, low, high = interval(values)
    return f"{mean:{sign}.3f} [{low:{sign}.3f}, {high:{sign}.3f}]"


def report(name: str, found: list[Outcome]) -> dict[str, Any]:
    """Print the tables of a set; its answers."""
    sizes = np.mean([o.sizes for o in found], axis=0)
    print(
        f"\n### {name}: {len(found)} seeds, pool of {sizes[0]:.0f} comparisons and {sizes[2]:.0f} judgements to buy, "
        f"{sizes[1]:.0f} comparisons in test groups"
    )
    for metric, title in (
        ("consensus", "A. consensus: label = what a held-out person said"),
        ("reward", "B. reward model on held-out groups"),
    ):
        _table(metric, title, found)
    _health(found)
    answers = {policy: _answers_of(policy, found) for policy in LEARNED}
    for policy, told in answers.items():
        share, total = told["consensus"]["share_to_reach_people"], told["consensus"]["with_pilot"]
        reached = "at no share" if share is None else f"at {share:.2f} of the pool, {total:.2f} with the pilot"
        print(f"  {policy} has the consensus quality of all people {reached}")
    return {"answers": answers, "rho": round(float(np.mean([o.rho or 0.0 for o in found])), 3)}


def _table(metric: str, title: str, found: list[Outcome]) -> None:
    print(f"\n{title}")
    print("  human share      " + "".join(f"{share:>8.2f}" for share in SHARES))
    for policy in POLICIES:
        means = np.mean([getattr(o, metric)[policy] for o in found], axis=0)
        print(f"  {policy:<17}" + "".join(f"{mean:>8.3f}" for mean in means))
    if metric == "consensus":
        bought = np.mean([o.human_share["adaptive"] for o in found], axis=0)
        money = np.mean([o.money["adaptive"] for o in found], axis=0)
        print("  adaptive bought  " + "".join(f"{share:>8.2f}" for share in bought))
        print("  … for money      " + "".join(f"{spent:>8.0f}" for spent in money))
    place = 0 if metric == "consensus" else 1
    for reference in found[0].references:
        values = [o.references[reference][place] for o in found]
        if np.isfinite(values).all():
            print(f"  {reference:<17}{shown(values)}")
    print("  difference, paired by seed        from random, shares 0.1-0.75     from people at 0.5")
    for policy in POLICIES:
        values = [np.array(getattr(o, metric)[policy]) for o in found]
        chance = [np.array(getattr(o, metric)["random"]) for o in found]
        gained = [float((v - c)[BETWEEN].mean()) for v, c in zip(values, chance, strict=True)]
        reached = [float(v[HALF] - o.references["people"][place]) for v, o in zip(values, found, strict=True)]
        above = f"above 0 in {sum(g > 0 for g in gained)}"
        print(f"  {policy:<17}               {shown(gained, '+')} {above:<14} {shown(reached, '+')}")


def _health(found: list[Outcome]) -> None:
    known = [o.rho for o in found if o.rho is not None]
    refused = sum(bool(o.refused) for o in found)
    print(
        f"\n  gain model: Spearman's ρ on unseen mixes, mean {np.mean(known):.2f}, least {np.min(known):.2f}; "
        f"refused in {refused} of {len(found)} seeds"
    )
    better = [o.tried["top-k"] > o.tried["random"] for o in found if o.tried]
    print(f"  on its own pilot top-k beats a random half in {sum(better)} of {len(better)}")


def _answers_of(policy: str, found: list[Outcome]) -> dict[str, Any]:
    """Whether it beats random, and the least share at which it is as good as all people, without and with the pilot."""
    told: dict[str, Any] = {}
    for place, metric in enumerate(("consensus", "reward")):
        values = np.array([getattr(o, metric)[policy] for o in found])
        chance = np.array([getattr(o, metric)["random"] for o in found])
        people = np.array([o.references["people"][place] for o in found])
        shares = np.array([o.human_share[policy] for o in found]).mean(axis=0)
        reached = np.flatnonzero(values.mean(axis=0) >= people.mean())
        share = float(shares[reached[0]]) if reached.size else None
        pilot = float(np.mean([o.total_share for o in found]))
        told[metric] = {
            "gain_over_random": [round(v, 4) for v in interval((values - chance)[:, BETWEEN].mean(axis=1))],
            "from_people_at_half": [round(v, 4) for v in interval(values[:, HALF] - people)],
            "share_to_reach_people": share,
            "with_pilot": None if share is None else round(pilot + (1 - pilot) * share, 3),
        }
    return told


def main() -> int:
    """Run the sets that are there; the last line is JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two seeds, other ones")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    given = parser.parse_args()
    seeds = QUICK_SEEDS if given.quick else SEEDS
    cache = Path(tempfile.gettempdir()) / "tiebreak-benchmark-features"
    told: dict[str, Any] = {}
    for name in ("llmfao", "pandalm"):
        file = given.data / f"{name}.jsonl.gz"
        if not file.exists():
            print(f"{name}: not in {given.data}, left out")
            continue
        started = time.monotonic()
        data = load(name, file, cache)
        told[name] = report(name, [outcome(data, seed) for seed in seeds])
        print(f"  {time.monotonic() - started:.0f} s")
    if not told:
        raise SystemExit(f"Neither set is in {given.data}.")
    print(json.dumps(_summary(told, len(seeds))))
    return 0


def _summary(told: dict[str, Any], seeds: int) -> dict[str, Any]:
    """People's judgements needed for the consensus quality of all of them, where that is least."""
    needed = [told_["answers"]["adaptive"]["consensus"]["with_pilot"] for told_ in told.values()]
    known = [share for share in needed if share is not None]
    return {
        "benchmark": "routing on recorded labels",
        "ratio": round(1 / min(known), 3) if known else 0.0,
        "target": 2.0,
        "unit": "people's judgements for the consensus quality of all: all / adaptive with its pilot, the better set",
        "n": seeds,
        "reference": "all people's judgements without judges, same pool, same held-out people",
        "details": told,
    }


if __name__ == "__main__":
    sys.exit(main())

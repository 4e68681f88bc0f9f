"""What a policy would have done with comparisons that both people and a judge have already decided."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from curation.routing import forecast
from curation.routing.features import Features
from curation.routing.gain import GainModel
from curation.routing.overlap import Evidence, Source
from curation.routing.policies import PERSON, Decision, Selector, at_random
from curation.stats.intervals import Estimate, bootstrap_ratio
from curation.stats.votes import FloatArray, IntArray, K


class Point(NamedTuple):
    """Label quality at one share of comparisons for people."""

    human_share: float
    """As decided, which may be below the share asked for."""
    accuracy: Estimate
    """Share of labels equal to the reference, with its interval over comparisons."""
    random_accuracy: float
    """The same share of people, drawn at random."""


def simulate(
    features: Features,
    judge: npt.ArrayLike,
    human: npt.ArrayLike,
    reference: npt.ArrayLike,
    *,
    policy: Selector,
    rng: np.random.Generator,
    shares: Sequence[float] = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0),
    repeats: int = 10,
) -> list[Point]:
    """Quality against human share, the mean of ``repeats`` runs of the policy.

    ``judge``, ``human`` and ``reference`` are [N] values A, TIE, B (-1: absent, which is right about nothing), the
    human one from people who are not in the reference. Comparisons without a reference are left out of the score only.
    """
    sources = [np.asarray(values, dtype=np.int64) for values in (judge, human, reference)]
    for name, values in zip(("judge", "human", "reference"), sources, strict=True):
        if values.shape != (len(features.ids),):
            raise ValueError(name, f"an array of shape ({len(features.ids)},)", values.shape)
    scored = sources[2] >= 0
    if repeats < 1:
        raise ValueError("repeats", "1 or more", repeats)
    judge_right, human_right = ((values == sources[2])[scored].astype(np.float64) for values in sources[:2])
    points = []
    for share in shares:
        asked = _asked(features, policy, share, rng, repeats)
        drawn = _asked(features, at_random, share, rng, repeats)
        right = _mixed(asked[scored], judge_right, human_right)
        baseline = _mixed(drawn[scored], judge_right, human_right)
        estimate = bootstrap_ratio(right, np.ones_like(right), rng=rng)
        random_accuracy = float(baseline.mean()) if baseline.size else float("nan")
        points.append(Point(float(asked.mean()) if asked.size else 0.0, estimate, random_accuracy))
    return points


def _mixed(asked: FloatArray, judge_right: FloatArray, human_right: FloatArray) -> FloatArray:
    return asked * human_right + (1 - asked) * judge_right


def _asked(features: Features, policy: Selector, share: float, rng: np.random.Generator, repeats: int) -> FloatArray:
    """[N] how often, over the repeats, people were asked."""
    budget = round(share * int((~features.settled).sum()))
    asked = np.zeros(len(features.ids))
    for _ in range(repeats):
        decisions = policy(features, budget=budget, rng=rng)
        asked += [decision.route == "human" for decision in decisions]
    return asked / repeats


class Recorded(NamedTuple):
    """N comparisons that people have judged already, to be asked again in the order recorded."""

    features: Features
    base: FloatArray
    """[N, K] belief before any person answers, such as a `forecast`."""
    ballots: IntArray
    """[N, V] people's answers as they will come: A, TIE or B; -1 after the last."""
    confusion: FloatArray
    """[K, K] of a person."""
    person_price: float = 1.0
    judge_price: float = 0.0
    """Of all verdicts on a comparison, spent on every one before the first person is asked."""


class Spent(NamedTuple):
    """Where a policy stands when so much has been spent."""

    bought: IntArray
    """[N] people's judgements."""
    human_share: float
    """Of all that could have been bought."""
    money: float
    posterior: FloatArray
    """[N, K]"""


class Standing(NamedTuple):
    """How good a policy's labels are at one cost."""

    human_share: float
    money: float
    accuracy: Estimate
    """Agreement with people held out, with its interval over comparisons."""
    above_random: Estimate
    """The difference from a person's judgement anywhere, at the same share, paired by comparison."""


def agreement(posterior: FloatArray, held: IntArray) -> FloatArray:
    """[N] 1 where the likeliest class is what was ``held`` [N] out; of n equally likely classes each counts 1/n.

    Nan where nothing was held out (-1).
    """
    top = posterior >= posterior.max(axis=1, keepdims=True) - 1e-9
    found = top[np.arange(len(held)), held] / top.sum(axis=1)
    return np.where(held < 0, np.nan, found)


def curve(
    recorded: Recorded,
    held: IntArray,
    policy: Selector,
    shares: Sequence[float],
    *,
    rng: np.random.Generator,
    repeats: int = 5,
    bundle: int | None = None,
    exploration: float = 0.1,
    audit_share: float = 0.1,
    gain_model: GainModel | None = None,
) -> list[Standing]:
    """Quality against human share and money: `replay`, the mean of ``repeats``, beside random judgements.

    ``held`` [N] is what a person said whose answer is not among the ballots; -1: nobody's.
    """
    if repeats < 1:
        raise ValueError("repeats", "1 or more", repeats)
    ours, chance = [], []
    for _ in range(repeats):
        ours.append(
            replay(
                recorded, policy, shares, rng=rng, bundle=bundle, exploration=exploration, audit_share=audit_share,
                gain_model=gain_model,
            )
        )  # fmt: skip
        chance.append(replay(recorded, at_random, shares, rng=rng, bundle=1))
    known = held >= 0
    ones = np.ones(int(known.sum()))
    points = []
    for spent, drawn in zip(zip(*ours, strict=True), zip(*chance, strict=True), strict=True):
        right, lucky = (np.mean([agreement(p.posterior, held)[known] for p in at], axis=0) for at in (spent, drawn))
        share, money = (float(np.mean([getattr(p, name) for p in spent])) for name in ("human_share", "money"))
        accuracy, above = (bootstrap_ratio(values, ones, rng=rng) for values in (right, right - lucky))
        points.append(Standing(share, money, accuracy, above))
    return points


def replay(
    recorded: Recorded,
    policy: Selector,
    shares: Sequence[float],
    *,
    rng: np.random.Generator,
    rounds: int = 20,
    bundle: int | None = None,
    exploration: float = 0.1,
    audit_share: float = 0.1,
    gain_model: GainModel | None = None,
) -> list[Spent]:
    """What a policy would have bought with rising shares of people's judgements, and what would be believed then.

    The policy is asked again after each of ``rounds`` equal parts of all judgements, with what the answers changed.
    A unit of its budget is ``bundle`` judgements, or, by default, all that a comparison can get. A policy that stops
    early, since nothing pays, stays where it is: its human share is then below the one asked for. ``shares`` must rise.
    """
    if list(shares) != sorted(shares) or not all(0 <= share <= 1 for share in shares):
        raise ValueError("shares", "rising numbers from 0 to 1", tuple(shares))
    free = (recorded.ballots >= 0).sum(axis=1)
    total = int(free.sum())
    bought = np.zeros_like(free)
    points = []
    for share in shares:
        goal = round(share * total)
        while (wanted := min(goal - int(bought.sum()), max(1, round(total / rounds)))) > 0:
            state = _believed(recorded, bought)
            left = free - bought
            asked = policy(
                recorded.features._replace(settled=left == 0),
                budget=_budget(wanted, left, bundle),
                rng=rng,
                exploration=exploration,
                audit_share=audit_share,
                gain_model=gain_model,
                prices={PERSON: 1.0},
                votes=Evidence(state, (Source(PERSON, 1.0, recorded.confusion, left),)),
            )
            took = _answered(asked, left, wanted, bundle, rng)
            if not took.any():
                break
            bought = bought + took
        points.append(_spent(recorded, bought, total))
    return points


def _believed(recorded: Recorded, bought: IntArray) -> FloatArray:
    """[N, K] the posterior after the first ballots of each."""
    seen = np.arange(recorded.ballots.shape[1]) < bought[:, None]
    counts = np.stack([((recorded.ballots == k) & seen).sum(axis=1) for k in range(K)], axis=1)
    return forecast.posterior(recorded.base, counts.astype(np.float64), recorded.confusion)


def _budget(wanted: int, left: IntArray, bundle: int | None) -> int:
    """So many judgements in units of the policy, at least one."""
    each = float(left[left > 0].mean()) if bundle is None else bundle
    return max(1, round(wanted / each))


def _answered(
    asked: list[Decision], left: IntArray, wanted: int, bundle: int | None, rng: np.random.Generator
) -> IntArray:
    """[N] judgements that come back: best first, until there are as many as wanted."""
    took = np.zeros_like(left)
    human = [i for i, decision in enumerate(asked) if decision.route == "human"]
    human.sort(key=lambda i: (-(asked[i].audit or asked[i].explored), -asked[i].gain, rng.random()))
    for i in human:
        n = asked[i].n or bundle or int(left[i])
        took[i] = min(n, int(left[i]), wanted - int(took.sum()))
    return took


def _spent(recorded: Recorded, bought: IntArray, total: int) -> Spent:
    n = int(bought.sum())
    money = n * recorded.person_price + len(bought) * recorded.judge_price
    return Spent(bought, n / total if total else 0.0, money, _believed(recorded, bought))

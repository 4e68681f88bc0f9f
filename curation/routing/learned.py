"""The policies that learn: by the gain of the reward model, and by what the next judgement does to the consensus."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import replace
from typing import Final

import numpy as np

from curation.routing import gain, overlap
from curation.routing.features import Features
from curation.routing.gain import GainModel
from curation.routing.overlap import Evidence, Source
from curation.routing.policies import (
    AUDIT,
    EXPLORATION,
    PERSON,
    SETTLED,
    Decision,
    Route,
    Slices,
    decided,
    judge_error,
    slices,
)
from curation.stats.votes import FloatArray, IntArray, K

ASSUMED_ACCURACY: Final = 0.8
"""Of a person of whom nothing is known."""
LEAST: Final = 1e-3
"""Expected error that the price of a person's judgement must take away to be worth spending, in whatever currency."""


def expected_gain(
    features: Features,
    *,
    budget: float,
    rng: np.random.Generator,
    exploration: float = 0.1,
    audit_share: float = 0.1,
    gain_model: GainModel | None = None,
    prices: Mapping[str, float] | None = None,
    votes: Evidence | None = None,
) -> list[Decision]:
    """People where the gain model expects most, beside the audit and the exploration; the budget counts comparisons.

    By greatest gain of each alone, or by the best of many simulated mixes, whichever did better where the model was
    fitted. ValueError without a model, and with one that does not predict.
    """
    if gain_model is None or gain_model.reason:
        raise ValueError("gain_model", "one that predicts", gain_model.reason if gain_model else "none")
    n = min(int(budget), int((~features.settled).sum()))
    drawn = slices(features, budget=n, rng=rng, exploration=exploration, audit_share=audit_share)
    has = gain.members(features, gain_model.tags)
    gains = gain_model.gains(has)
    left = np.flatnonzero(drawn.left)
    pick = gain.top_k if gain_model.mode == "top-k" else gain.simulated
    best = left[pick(gain_model, has[left], n - len(drawn.audited) - len(drawn.explored), rng)]
    told = gain.why(gain_model, has[best], gain_model.tag_gains())
    reasons = {int(i): f"learned gain {gains[i]:+.2g}: {tags}" for i, tags in zip(best, told, strict=True)}
    return decided(features, gains, reasons, drawn, prices)


def adaptive_overlap(
    features: Features,
    *,
    budget: float,
    rng: np.random.Generator,
    exploration: float = 0.1,
    audit_share: float = 0.1,
    gain_model: GainModel | None = None,
    prices: Mapping[str, float] | None = None,
    votes: Evidence | None = None,
    least: float = LEAST,
    max_bundle: int = overlap.MAX_BUNDLE,
) -> list[Decision]:
    """The next judgement where it most lowers the expected error for its price, from whichever source.

    The budget is money at the sources' prices; without prices a person's judgement costs 1. Audit and exploration buy
    one person's judgement each. What takes ``least`` or less away for the price of a person's judgement, or in that
    proportion for another price, is not bought, so money may be left.
    Without ``votes`` the judges' side with its error is believed, and a person to be right four times in five.
    """
    evidence = _priced(_assumed(features) if votes is None else votes, prices)
    if len(evidence.posterior) != len(features.ids):
        raise ValueError("votes", f"a posterior for each of {len(features.ids)}", evidence.posterior.shape)
    overlap.check(evidence)
    place = _person(evidence)
    price = evidence.sources[place].price if place is not None else 0.0
    judgements = budget / price if price > 0 else float((~features.settled).sum())
    drawn = slices(
        features, budget=judgements if place is not None else 0.0, rng=rng, exploration=exploration,
        audit_share=audit_share,
    )  # fmt: skip
    left = np.flatnonzero(drawn.left)
    money = budget - price * (len(drawn.audited) + len(drawn.explored))
    unit = price or max((source.price for source in evidence.sources), default=0.0) or 1.0
    bought = overlap.plan(_rows(evidence, left), budget=money, rng=rng, least=least / unit, max_bundle=max_bundle)
    return _told(features, evidence, drawn, left, bought, price)


def _assumed(features: Features) -> Evidence:
    p, error = features.column("judge_probability"), judge_error(features)
    p = np.where(p > 0.5, 1 - error, np.where(p < 0.5, error, 0.5))
    wrong = (1 - ASSUMED_ACCURACY) / (K - 1)
    confusion = np.full((K, K), wrong) + np.eye(K) * (ASSUMED_ACCURACY - wrong)
    person = Source(PERSON, 1.0, confusion, np.where(features.settled, 0, overlap.MAX_BUNDLE))
    return Evidence(np.stack([1 - p, np.zeros(len(p)), p], axis=1), (person,))


def _priced(evidence: Evidence, prices: Mapping[str, float] | None) -> Evidence:
    told = prices or {}
    return evidence._replace(
        sources=tuple(source._replace(price=float(told.get(source.name, source.price))) for source in evidence.sources)
    )


def _person(evidence: Evidence) -> int | None:
    names = [source.name for source in evidence.sources]
    return names.index(PERSON) if PERSON in names else None


def _rows(evidence: Evidence, rows: IntArray) -> Evidence:
    sources = tuple(source._replace(free=source.free[rows]) for source in evidence.sources)
    return Evidence(evidence.posterior[rows], sources)


def _told(
    features: Features, evidence: Evidence, drawn: Slices, left: IntArray, bought: overlap.Plan, price: float
) -> list[Decision]:
    """The plan for what was left, with the slices, as decisions in the order of the features."""
    error = 1 - evidence.posterior.max(axis=1)
    decisions = [_kept(id_, float(error[i]), bool(features.settled[i])) for i, id_ in enumerate(features.ids)]
    for i in np.flatnonzero(bought.source >= 0):
        decisions[left[i]] = _purchase(features.ids[left[i]], evidence.sources, bought, i, float(error[left[i]]))
    one = _one_more(evidence)
    for i in drawn.audited:
        decisions[i] = Decision(features.ids[i], "human", AUDIT, float(one[i]), True, buy=PERSON, n=1, price=price)
    for i in drawn.explored:
        decisions[i] = Decision(
            features.ids[i], "human", EXPLORATION, float(one[i]), explored=True, buy=PERSON, n=1, price=price
        )
    return [replace(d, probability=float(p)) for d, p in zip(decisions, drawn.probability, strict=True)]


def _one_more(evidence: Evidence) -> FloatArray:
    """[N] what one more answer of a person takes away; nothing where no person can be asked."""
    place = _person(evidence)
    if place is None:
        return np.zeros(len(evidence.posterior))
    return overlap.value(evidence.posterior, evidence.sources[place].confusion, 1)


def _purchase(id_: Hashable, sources: tuple[Source, ...], bought: overlap.Plan, i: np.int64, error: float) -> Decision:
    source, n, value = sources[bought.source[i]], int(bought.n[i]), float(bought.value[i])
    is_person = source.name == PERSON
    whom = ("a person" if n == 1 else "people") if is_person else source.name
    reason = f"expected error {error:.2f}; {n} more of {whom} would take away {value:.3f}"
    route: Route = "human" if is_person else "judge"
    return Decision(id_, route, reason, value, buy=source.name, n=n, price=float(bought.cost[i]))


def _kept(id_: Hashable, error: float, settled: bool) -> Decision:
    if settled:
        return Decision(id_, "settled", SETTLED, 0.0, n=0)
    return Decision(id_, "settled", f"expected error {error:.2f}; nothing that can be bought pays", 0.0, n=0)

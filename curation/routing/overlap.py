"""Which judgement to buy next, and from whom: where it most lowers the expected error of the consensus for its money.

The label of a comparison is the likeliest class of its posterior q, so its expected error is 1 - max q. A rater of
known confusion P says l with probability Σ_k q_k P_kl; after n independent answers with the counts c the label is again
the likeliest class, so n answers are expected to lower the error by Σ_c max_k [q_k p(c | k)] - max_k q_k, exactly, with
p(c | k) multinomial. One answer is often worth nothing because it cannot change the label by itself although two could:
so bundles are valued too, and the best value for money over their sizes is what counts (Frazier and Powell 2010,
"Paradoxes in learning and the marginal value of information": the remedy for non-concave value of information).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations_with_replacement
from math import factorial
from typing import Final, NamedTuple

import numpy as np

from curation.stats.votes import FloatArray, IntArray, K

MAX_BUNDLE: Final = 3
_BLOCK: Final = 65_536


class Source(NamedTuple):
    """Someone whose judgements can be bought: any person of the project, or one judge."""

    name: str
    """"person", or the judge's name."""
    price: float
    """Of one judgement, in money; 0 or more."""
    confusion: FloatArray
    """[K true, K said], rows summing to 1: a row of `Aggregate.confusion`, or the mean one of people."""
    free: IntArray
    """[N] judgements that it can still give on each comparison; a judge at most one."""


class Evidence(NamedTuple):
    """What is believed of N comparisons and who can be asked about them."""

    posterior: FloatArray
    """[N, K] from the judgements so far: `Aggregate.posterior`."""
    sources: tuple[Source, ...]


class Offer(NamedTuple):
    """n judgements of a source, on every comparison."""

    source: int
    n: int
    cost: float
    value: FloatArray
    """[N] expected error that they take away; -inf where they cannot be had."""


class Plan(NamedTuple):
    """What to buy on each of N comparisons."""

    source: IntArray
    """[N] position among the sources; -1: nothing."""
    n: IntArray
    """[N]"""
    cost: FloatArray
    """[N]"""
    value: FloatArray
    """[N]"""


def value(posterior: FloatArray, confusion: FloatArray, n: int) -> FloatArray:
    """[N] error that n further answers are expected to take away, at least 0. Posterior [N, K], confusion [K, K]."""
    likelihood = _outcomes(confusion, n)
    blocks = [_value(posterior[i : i + _BLOCK], likelihood) for i in range(0, len(posterior), _BLOCK)]
    return np.concatenate([np.zeros(0), *blocks])


def _value(posterior: FloatArray, likelihood: FloatArray) -> FloatArray:
    """[n] by posterior [n, K] and the probability of each outcome under each class [K, O]."""
    best = posterior[:, 0, None] * likelihood[0]
    for k in range(1, K):
        np.maximum(best, posterior[:, k, None] * likelihood[k], out=best)
    gained: FloatArray = np.maximum(best.sum(axis=1) - posterior.max(axis=1), 0.0)
    return np.where(gained > 1e-12, gained, 0.0)  # what rounding leaves of nothing would else be bought


def _outcomes(confusion: FloatArray, n: int) -> FloatArray:
    """[K, O] probability of each multiset of n answers under each class."""
    outcomes = [np.bincount(said, minlength=K) for said in combinations_with_replacement(range(K), n)]
    ways = [factorial(n) / np.prod([factorial(int(c)) for c in counts]) for counts in outcomes]
    likelihood: FloatArray = np.array(ways) * np.prod(confusion[:, None, :] ** np.array(outcomes), axis=2)
    return likelihood


def offers(evidence: Evidence, *, max_bundle: int = MAX_BUNDLE) -> list[Offer]:
    """Everything that can be bought: of each source 1, 2, … judgements, as many as it can give."""
    found = []
    for position, source in enumerate(evidence.sources):
        most = min(max_bundle, int(source.free.max(initial=0)))
        for n in range(1, most + 1):
            gained = value(evidence.posterior, source.confusion, n)
            found.append(Offer(position, n, n * source.price, np.where(source.free >= n, gained, -np.inf)))
    return found


def plan(
    evidence: Evidence,
    *,
    budget: float,
    rng: np.random.Generator,
    least: float = 0.0,
    max_bundle: int = MAX_BUNDLE,
) -> Plan:
    """Purchases within the budget, in money, greedily by value for money; stops where none gains more than ``least``.

    Each comparison climbs the concave hull of its offers over their costs, one step after another, so that a dear offer
    is weighed by what it adds to the cheap one it replaces: the greedy solution of a multiple-choice knapsack (Sinha
    and Zoltners 1979), optimal but for the last step that the money does not reach. Equals are ordered at random.
    """
    check(evidence)
    found = [offer for offer in offers(evidence, max_bundle=max_bundle) if offer.cost <= budget]
    n = len(evidence.posterior)
    steps = _steps(found, n, least)
    order = np.lexsort((rng.random(len(steps.row)), -steps.density))
    taken = order[np.cumsum(steps.cost[order]) <= budget * (1 + 1e-9)]
    last = np.full(n, -1)
    # A comparison's steps have falling densities, so its last one taken is the one that counts.
    last[steps.row[taken]] = steps.offer[taken]
    return _planned(found, last)


def check(evidence: Evidence) -> None:
    """Refuse what is not a distribution, and sources of another size."""
    posterior = evidence.posterior
    if posterior.ndim != 2 or posterior.shape[1] != K:
        raise ValueError("posterior", f"an array of shape (N, {K})", posterior.shape)
    if not np.allclose(posterior.sum(axis=1), 1, atol=1e-6) or (posterior < 0).any():
        raise ValueError("posterior", "rows of probabilities that sum to 1", "others")
    for source in evidence.sources:
        if source.confusion.shape != (K, K) or not np.allclose(source.confusion.sum(axis=1), 1, atol=1e-6):
            raise ValueError("confusion", f"{K} rows that sum to 1 for {source.name!r}", source.confusion.shape)
        if source.free.shape != (len(posterior),):
            raise ValueError("free", f"an array of shape ({len(posterior)},) for {source.name!r}", source.free.shape)
        if not source.price >= 0:
            raise ValueError("price", f"0 or more for {source.name!r}", source.price)


class _Steps(NamedTuple):
    row: IntArray
    offer: IntArray
    cost: FloatArray
    density: FloatArray


def _steps(found: Sequence[Offer], n: int, least: float) -> _Steps:
    """The steps of every comparison's hull, from nothing bought, while they gain more than ``least`` for the money."""
    rounds = [_Steps(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0), np.zeros(0))]
    active, spent, had = np.arange(n), np.zeros(n), np.zeros(n)
    while found and active.size:
        density = np.stack([_density(offer, active, spent[active], had[active]) for offer in found], axis=1)
        best = density.argmax(axis=1)
        top = density[np.arange(len(active)), best]
        paying = top > max(least, 0.0)
        active, best, top = active[paying], best[paying], top[paying]
        cost = np.array([offer.cost for offer in found])[best]
        gained = np.stack([offer.value[active] for offer in found], axis=1)[np.arange(len(active)), best]
        rounds.append(_Steps(active, best, cost - spent[active], top))
        spent[active], had[active] = cost, gained
    return _Steps(
        np.concatenate([r.row for r in rounds]),
        np.concatenate([r.offer for r in rounds]),
        np.concatenate([r.cost for r in rounds]),
        np.concatenate([r.density for r in rounds]),
    )


def _density(offer: Offer, rows: IntArray, spent: FloatArray, had: FloatArray) -> FloatArray:
    """[n] gain for each unit of money in going over to this offer; -inf where it costs less or gains nothing."""
    gained, dearer = offer.value[rows] - had, offer.cost - spent
    return np.where((gained > 0) & (dearer >= 0), gained / np.maximum(dearer, 1e-12), -np.inf)


def _planned(found: Sequence[Offer], last: IntArray) -> Plan:
    bought = last >= 0

    def of(values: Sequence[float], nothing: float) -> FloatArray:
        table = np.array([*values, nothing], dtype=np.float64)
        return table[last]  # -1 is the last entry: nothing

    gained = np.zeros(len(last))
    for position, offer in enumerate(found):
        gained = np.where(last == position, offer.value, gained)
    source = of([offer.source for offer in found], -1).astype(np.int64)
    n = of([offer.n for offer in found], 0).astype(np.int64)
    return Plan(source, n, of([offer.cost for offer in found], 0.0), np.where(bought, gained, 0.0))

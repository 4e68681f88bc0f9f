"""Human gold as the anchor of judges: what their votes are worth where it is known what is true.

Judges agree with each other also where they are wrong, so no amount of their votes says how far to believe them. A few
comparisons whose answer experts gave do. On the 100 natural items of LLMBar with the verdicts of five weaker judges
under 50 instructions in all, the majority is right in .89, the best judge of 50 items of gold in .83, the logistic
below in .90 (means of 15 draws). On the adversarial items, where the majority is no better than a coin, gold should be
worth far more; those are not at hand here, and the test simulates such judges: .57 becomes .94.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal, NamedTuple

import numpy as np

from curation.stats.aggregation.contract import TINY, Aggregate, sums
from curation.stats.aggregation.items import davidson
from curation.stats.intervals import Estimate, wilson
from curation.stats.people import halves
from curation.stats.votes import TIE, A, B, BoolArray, FloatArray, IntArray, K, Votes

LEAST: Final = 10  # decided gold comparisons, before anybody is admitted
SPREAD: Final = 1.0  # standard deviation of a comparison's log-odds before any gold is seen
FOLDS: Final = 10
_STEPS: Final = 100
_TOL: Final = 1e-10

Weighing = Literal["logistic", "log-odds"]


class Admission(NamedTuple):
    """Whether labels may come from here without a person."""

    admitted: bool
    low: float | None
    """Wilson's interval of the share that is right among decided gold."""
    high: float | None
    reason: str


class Anchored(NamedTuple):
    """Judges weighed by gold: C comparisons, R judges."""

    posterior: FloatArray | None
    """[C, K] from judges' votes alone, gold or not; None where the admission is refused."""
    weights: FloatArray
    """[R] log-odds that a judge's vote brings to what it says; below 0, to the opposite."""
    accuracy: Estimate
    """Share of decided gold that is right when it is predicted from the other folds' gold."""
    majority: Estimate
    """That of the plain majority of the same votes; even splits count half."""
    admission: Admission
    """By the accuracy."""
    judges: tuple[Admission, ...]
    """[R] each alone."""


def admission(right: float, n: int, *, confidence: float = 0.95) -> Admission:
    """Whether one that is right on so many of n decided gold comparisons may label: Wilson's lower bound is above 1/2.

    Below 1/2 more votes, and agreement between them, make labels worse, not better.
    """
    if not 0 <= right <= n:
        raise ValueError("right", f"a number from 0 to n={n}", right)
    if n < LEAST:
        return Admission(False, None, None, f"only {n} gold comparisons to go by; {LEAST} are the least")
    share = wilson(right, n, confidence=confidence)
    low, high = share.low or 0.0, share.high or 0.0
    if low > 0.5:
        return Admission(True, low, high, f"right on {right:g} of {n} gold comparisons, and surely on more than half")
    if high < 0.5:
        return Admission(False, low, high, f"right on {right:g} of {n} gold comparisons: worse than a coin")
    return Admission(False, low, high, f"right on {right:g} of {n} gold comparisons: it may be no better than a coin")


def anchored(
    votes: Votes,
    gold: FloatArray,
    *,
    rng: np.random.Generator,
    group: IntArray | None = None,
    weighing: Weighing = "logistic",
    spread: float = SPREAD,
) -> Anchored:
    """Judges' votes weighed by what they said of gold.

    ``gold`` [C] is below 0 for a, above 0 for b, 0 for a tie, nan where it is not known. A judge's readings in two
    orders are one vote (`votes.combine_readings`), a tie where they contradict each other; or take the orders for two
    raters. Comparisons of one ``group`` [C] (a prompt) stay in one fold; folds are drawn by ``rng``.

    ``logistic``: the log-odds of b are Σ w_r x_cr with x = -1, 0, 1 as judge r said a, a tie or b, and ties as in
    Davidson's model; w ~ N(0, spread² / votes for a comparison), by Newton's method on the gold. No intercept, so that
    exchanging a and b changes nothing; a judge that repeats another brings nothing new, and gets no weight of its own.
    ``log-odds``: w_r = log((right + 1) / (wrong + 1)), each judge for itself, which overrates judges who err together
    but needs less gold.
    """
    gold = np.asarray(gold, dtype=np.float64)
    if gold.shape != (len(votes.comparisons),):
        raise ValueError("gold", f"an array of shape {(len(votes.comparisons),)}", gold.shape)
    if weighing not in ("logistic", "log-odds"):
        raise ValueError("weighing", "logistic or log-odds", weighing)
    if not spread > 0:
        raise ValueError("spread", "a number above 0", spread)
    known = _Gold.of(votes, gold, np.arange(len(gold)) if group is None else np.asarray(group))
    weigh = _logistic if weighing == "logistic" else _log_odds
    right = known.right(_held_out(known, weigh, spread, rng))
    n, verdict = int(known.decided.sum()), admission(right, int(known.decided.sum()))
    weights, tie = weigh(known.said, known.side, spread)
    leads = sums(votes.comparison, weights[votes.rater] * (votes.value - TIE), len(gold))
    return Anchored(
        posterior=np.ascontiguousarray(davidson(-leads, tie).T) if verdict.admitted else None,
        weights=weights,
        accuracy=wilson(right, n),
        majority=wilson(known.right(known.said.sum(axis=1)), n),
        admission=verdict,
        judges=tuple(known.alone(judge) for judge in range(len(votes.raters))),
    )


def drift(votes: Votes, consensus: Aggregate) -> tuple[Estimate, ...]:
    """For each rater, how much more often the later half of its votes agrees with the consensus than the earlier one.

    Votes stand in the order in which they were given; comparisons without a likeliest class do not count. Aggregation
    takes a rater for the same throughout: whom this shows to have changed half-way is better taken for two raters.
    """
    ordered = np.sort(consensus.posterior, axis=1)
    clear = (ordered[:, -1] > ordered[:, -2])[votes.comparison]
    agrees = consensus.posterior.argmax(axis=1)[votes.comparison] == votes.value
    of_raters = (agrees[clear & (votes.rater == rater)] for rater in range(len(votes.raters)))
    return tuple(_later_less_earlier(hits) for hits in of_raters)


def _later_less_earlier(hits: BoolArray) -> Estimate:
    early, late = hits[: len(hits) // 2], hits[len(hits) // 2 :]
    return halves(int(early.sum()), len(early), int(late.sum()), len(late))


class _Gold(NamedTuple):
    """The G comparisons whose answer is known."""

    said: FloatArray
    """[G, R] -1, 0, 1: a, a tie or nothing, b."""
    side: FloatArray
    """[G] -1, 0, 1"""
    group: IntArray
    """[G]"""

    @classmethod
    def of(cls, votes: Votes, gold: FloatArray, group: IntArray) -> _Gold:
        known = np.flatnonzero(np.isfinite(gold))
        place = np.full(len(gold), -1)
        place[known] = np.arange(len(known))
        on_gold = place[votes.comparison] >= 0
        said = np.zeros((len(known), len(votes.raters)))
        said[place[votes.comparison[on_gold]], votes.rater[on_gold]] = votes.value[on_gold] - TIE
        return cls(said, np.sign(gold[known]), group[known])

    @property
    def decided(self) -> BoolArray:
        decided: BoolArray = self.side != 0
        return decided

    def right(self, leads: FloatArray) -> float:
        """How many of the decided have a lead on their side; one without a lead counts half."""
        towards = np.sign(leads[self.decided]) * self.side[self.decided]
        return float((towards > 0).sum() + (towards == 0).sum() / 2)

    def alone(self, judge: int) -> Admission:
        """By what the judge decided among the decided."""
        said = self.said[:, judge]
        both = self.decided & (said != 0)
        return admission(float((said[both] == self.side[both]).sum()), int(both.sum()))


_Weigh = Callable[[FloatArray, FloatArray, float], tuple[FloatArray, float]]
"""Weights [R] and the logarithm of the tie weight, from what was said [G, R] and is true [G]."""


def _held_out(known: _Gold, weigh: _Weigh, spread: float, rng: np.random.Generator) -> FloatArray:
    """[G] leads of b by weights from the other folds."""
    groups, member = np.unique(known.group, return_inverse=True)
    fold = (rng.permutation(len(groups)) % FOLDS)[member]
    leads = np.zeros(len(fold))
    for one in np.unique(fold):
        weights, _ = weigh(known.said[fold != one], known.side[fold != one], spread)
        leads[fold == one] = known.said[fold == one] @ weights
    return leads


def _log_odds(said: FloatArray, side: FloatArray, spread: float) -> tuple[FloatArray, float]:
    """Each judge by itself, with one right and one wrong before any gold."""
    towards = said * side[:, None]
    weights = np.log(((towards > 0).sum(axis=0) + 1) / ((towards < 0).sum(axis=0) + 1))
    ties = ((side == 0).sum() + 1 / K) / (len(side) + 1)
    return weights, float(np.log(2 * ties / (1 - ties)))


def _logistic(said: FloatArray, side: FloatArray, spread: float) -> tuple[FloatArray, float]:
    """The likeliest weights and tie under Davidson's model of b against a, by Newton's method with halved steps.

    One pseudo-comparison of which nobody said anything and no class is known keeps the tie weight finite.
    """
    design = np.vstack([said, np.zeros((1, said.shape[1]))])
    truth = np.vstack([np.eye(K)[side.astype(np.int64) + TIE], np.full((1, K), 1 / K)])
    ridge = max(1.0, float((said != 0).sum(axis=1).mean())) / spread**2 if len(said) else 1.0
    at = np.zeros(said.shape[1] + 1)
    value, slope, bend = _bent(at, design, truth, ridge)
    for _ in range(_STEPS):
        step = np.linalg.solve(bend, slope)
        if slope @ step < _TOL:
            break
        while (there := _bent(at + step, design, truth, ridge))[0] < value:
            step /= 2
        at, (value, slope, bend) = at + step, there
    return at[:-1], float(at[-1])


def _bent(at: FloatArray, design: FloatArray, truth: FloatArray, ridge: float) -> tuple[float, FloatArray, FloatArray]:
    """Penalised log-likelihood of [weights, tie], its slope, and minus its curvature."""
    chance = davidson(-(design @ at[:-1]), float(at[-1])).T
    lead, tie = (chance[:, B] - chance[:, A]) / 2, chance[:, TIE]
    pull = (truth[:, B] - truth[:, A]) / 2 - lead
    slope = np.append(design.T @ pull - ridge * at[:-1], (truth[:, TIE] - tie).sum())
    bend = np.zeros((len(at), len(at)))
    bend[:-1, :-1] = design.T @ (((1 - tie) / 4 - lead**2)[:, None] * design) + ridge * np.eye(len(at) - 1)
    bend[:-1, -1] = bend[-1, :-1] = -design.T @ (lead * tie)
    bend[-1, -1] = (tie * (1 - tie)).sum()
    value = float((truth * np.log(np.maximum(chance, TINY))).sum()) - ridge / 2 * float(at[:-1] @ at[:-1])
    return value, slope, bend

"""How many judgements it takes to see a difference, by whom, and what they cost.

The difference is between two models: how much more often raters prefer the one than the other (10 points: it wins 55
of 100 decided comparisons and loses 45). A vote is +1, -1 or, for a tie, 0; votes on one comparison are alike because
the comparison is the same, and how alike is what agreement measures. So the mean of n comparisons with k votes each
has the variance

    V(n, k) = s² (ρ - d² + (1 - ρ) / k) / n,

with s² the share of votes that are no ties, ρ = 2 · agreement - 1 the correlation of two votes on a comparison and d
the difference (in decided votes): the variance of the mean of clusters (Kish 1965, Survey Sampling, chapter 5). An
interval of level 1 - alpha around the mean leaves 0 out with the given power where

    d = (z(1 - alpha/2) + z(power)) sqrt(V(n, k)).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Final, Literal, NamedTuple

By = Literal["people", "judge", "mix"]
HOUR: Final = 3600.0
NEVER: Final = 10**9
"""More comparisons than this are no plan."""
ENOUGH: Final = 20
FULL: Final = 0.999
"""No judge stands in for people more closely than this; its correlation with them is below 1."""


@dataclass(frozen=True, slots=True)
class Goal:
    """A difference that shall be seen."""

    difference: float
    """Won less lost, as a share of all comparisons."""
    power: float = 0.8
    alpha: float = 0.05

    def __post_init__(self) -> None:
        _within("difference", self.difference, 0, 1)
        _within("power", self.power, self.alpha, 1)
        _within("alpha", self.alpha, 0, 1)

    @property
    def largest_variance(self) -> float:
        """That an estimate of the difference may have."""
        normal = NormalDist()
        return (self.difference / (normal.inv_cdf(1 - self.alpha / 2) + normal.inv_cdf(self.power))) ** 2


@dataclass(frozen=True, slots=True)
class People:
    agreement: float
    """Of two people who both decide on a comparison, how often they name the same side; a half is chance."""
    seconds: float
    hourly: float
    ties: float = 0.0
    """Share of ties among votes."""

    def __post_init__(self) -> None:
        _within("agreement", self.agreement, 0.5, 1, open_ends=False)
        _within("seconds", self.seconds, 0, math.inf)
        _within("hourly", self.hourly, 0, math.inf, open_ends=False)
        if not 0 <= self.ties < 1:
            raise ValueError("ties", "a share from 0 to below 1", self.ties)

    @property
    def price(self) -> float:
        """Of one judgement."""
        return self.hourly * self.seconds / HOUR

    @property
    def alike(self) -> float:
        """Correlation of two people's votes on a comparison."""
        return 2 * self.agreement - 1

    def variance(self, raters: float, difference: float = 0.0) -> float:
        """Of the mean of `raters` votes on one comparison."""
        decided = 1 - self.ties
        between = max(0.0, self.alike - (difference / decided) ** 2)
        return decided * (between + (1 - self.alike) / raters)


@dataclass(frozen=True, slots=True)
class Judge:
    agreement: float
    """With one person, where both decide: how often the judge names the person's side."""
    price: float
    """Of its label of one comparison, both orders."""

    def __post_init__(self) -> None:
        _within("judge_agreement", self.agreement, 0, 1, open_ends=False)
        _within("judge_price", self.price, 0, math.inf, open_ends=False)

    @property
    def alike(self) -> float:
        """Correlation of its vote with a person's."""
        return 2 * self.agreement - 1


class Plan(NamedTuple):
    by: By
    comparisons: int
    """In all: judged by people, or labelled by the judge."""
    asked: int
    """Of these, judged by people."""
    raters: int
    """People on each of those."""
    hours: float
    money: float

    @property
    def judgements(self) -> int:
        """By people."""
        return self.asked * self.raters


def by_people(goal: Goal, people: People, raters: int) -> Plan | None:
    """So many comparisons with `raters` people on each; None where it would take NEVER of them."""
    n = _needed(goal, people.variance(raters, goal.difference))
    return None if n is None else _cost("people", n, n, raters, people, None)


def by_judge(goal: Goal, people: People, judge: Judge) -> Plan | None:
    """So many labels by a judge alone, where its errors favour neither model; if they do, no number of them helps.

    A judge whose vote correlates r with a person's shows r times the difference (errors that are independent of it).
    None where it would take NEVER of them, or where the judge agrees with people no more than chance does.
    """
    if judge.alike <= 0:
        return None
    seen = replace(goal, difference=goal.difference * judge.alike)
    decided = 1 - people.ties
    n = _needed(seen, decided - seen.difference**2 / decided)
    return None if n is None else _cost("judge", n, 0, 0, people, judge)


def by_mix(goal: Goal, people: People, judge: Judge, raters: int, *, available: int | None = None) -> Plan | None:
    """The cheapest mix: the judge labels N comparisons, people n of these by lot, and the rate is prediction-powered.

    The variance is S² (1 - r²) / n + S² r² / N, with S² that of people's mean vote on a comparison and r its
    correlation with the judge's: double sampling with regression (Cochran 1977, section 12.6), which is what
    `prediction_powered` computes, with what that adds for caution in a small audit. At a fixed variance the cost is
    least where n/N = sqrt(c_judge (1 - r²) / (c_people r²)). No more than ``available`` comparisons are used; where it
    is not given, no more than ENOUGH times what people alone need, which a judge that costs nothing would label. None
    where people alone need no more comparisons, or where there are too few.
    """
    variance, target = people.variance(raters, goal.difference), goal.largest_variance
    explained = variance * correlation(people, judge, raters) ** 2
    rest, price = variance - explained, max(people.price * raters, 1e-12)
    shared = math.sqrt(rest * price) + math.sqrt(explained * judge.price)
    labelled = math.sqrt(explained / judge.price) * shared / target if judge.price else math.inf
    labelled = min(labelled, ENOUGH * variance / target if available is None else available)
    left = target - explained / labelled if labelled > 0 else 0.0
    if left <= 0:
        return None
    asked = _audit(rest, left)
    if asked >= labelled:
        return None
    return _cost("mix", math.ceil(labelled), math.ceil(asked), raters, people, judge)


def _audit(rest: float, target: float) -> float:
    """The n at which (rest + 4/n) / (n - 2) is the target: the positive root; votes reach from -1 to 1, a span of 2."""
    half = 1 + rest / (2 * target)
    return half + math.sqrt(half**2 + 4 / target)


def correlation(people: People, judge: Judge, raters: int) -> float:
    """Of the judge's vote with the mean of `raters` people's, on one comparison; 0 for a judge below chance."""
    spread = people.variance(raters) / (1 - people.ties)
    return min(FULL, max(0.0, judge.alike) / math.sqrt(spread))


def smallest(n: int, raters: int, people: People, *, power: float = 0.8, alpha: float = 0.05) -> float | None:
    """The smallest difference that n comparisons with `raters` people on each show with that power; None above 1.

    By bisection: the variance depends on the difference a little.
    """
    low, high = 0.0, 1.0 - people.ties
    if power_of(n, raters, people, high * (1 - 1e-9), alpha=alpha) < power:
        return None
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if power_of(n, raters, people, middle, alpha=alpha) >= power else (middle, high)
    return high


def power_of(n: int, raters: int, people: People, difference: float, *, alpha: float = 0.05) -> float:
    """The chance that a test at `alpha` sees a difference of that size and names the right side."""
    if n < 1:
        raise ValueError("n", "1 comparison or more", n)
    sd = math.sqrt(people.variance(raters, difference) / n)
    z_alpha = NormalDist().inv_cdf(1 - alpha / 2)
    return NormalDist().cdf(difference / sd - z_alpha) if sd > 0 else float(difference > 0)


def _needed(goal: Goal, variance: float) -> int | None:
    n = math.ceil(max(0.0, variance) / goal.largest_variance)
    return max(n, 1) if n <= NEVER else None


def _cost(
    by: Literal["people", "judge", "mix"],
    comparisons: int,
    asked: int,
    raters: int,
    people: People,
    judge: Judge | None,
) -> Plan:
    judgements = asked * raters
    money = judgements * people.price + (comparisons * judge.price if judge else 0.0)
    return Plan(by, comparisons, asked, raters, judgements * people.seconds / HOUR, money)


def _within(name: str, value: float, low: float, high: float, *, open_ends: bool = True) -> None:
    """nan is nowhere."""
    inside = low < value < high if open_ends else low <= value <= high
    if not inside:
        between = "between" if open_ends else "from"
        raise ValueError(name, f"a number {between} {low:g} and {high:g}", value)

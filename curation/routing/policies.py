"""Who decides which comparison. A policy is a pure function from features and a budget to decisions."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Final, Literal, NamedTuple, Protocol, cast

import numpy as np
import numpy.typing as npt

from curation.routing.features import Features
from curation.stats.votes import FloatArray, IntArray

Route = Literal["human", "judge", "settled"]
"""What a comparison needs next: people, a judge's verdict, or nothing."""


@dataclass(frozen=True, slots=True)
class Decision:
    id: Hashable
    route: Route
    reason: str
    gain: float
    """Expected error that people would take away here: the probability that the judge is wrong."""
    audit: bool = False
    """In the random slice that measures the judge, whatever the judge said."""


class Selector(Protocol):
    """What a policy is."""

    def __call__(
        self,
        features: Features,
        *,
        budget: int,
        rng: np.random.Generator,
        exploration: float = 0.1,
        audit_share: float = 0.1,
    ) -> list[Decision]:
        """A decision for each comparison, in the order of the features."""


class Policy(NamedTuple):
    label: str
    facts: str
    path: str


POLICIES: Final[Mapping[str, Policy]] = {
    "uncertainty": Policy(
        "Least certain first",
        "people where the judge is least certain or changes with the order, beside an audit and an exploration slice",
        "curation.routing.policies:uncertainty",
    ),
    "random": Policy("At random", "the baseline: people anywhere", "curation.routing.policies:at_random"),
}


def selector(name: str) -> Selector:
    """The function of a policy; an unknown name is refused with the list of known ones."""
    if name not in POLICIES:
        raise ValueError("policy", f"one of {', '.join(POLICIES)}", name)
    module, _, function = POLICIES[name].path.partition(":")
    return cast(Selector, getattr(import_module(module), function))


def judge_error(features: Features) -> FloatArray:
    """[N] probability that the judges' verdict is wrong, at most one half; one half where there is none.

    With probability p of b it is min(p, 1-p), the error of an honest forecaster. The share of judges that change with
    the order have said nothing about the text: that share is a coin's toss, so it moves the error toward one half.
    """
    p = features.column("judge_probability")
    tossed = np.nan_to_num(features.column("judge_inconsistency"))
    error = np.minimum(p, 1 - p)
    return np.where(np.isnan(p), 0.5, error + (0.5 - error) * tossed)


def uncertainty(
    features: Features,
    *,
    budget: int,
    rng: np.random.Generator,
    exploration: float = 0.1,
    audit_share: float = 0.1,
) -> list[Decision]:
    """People where the judges are likeliest to be wrong; comparisons without a verdict first; ties at random.

    Of the budget (comparisons for people), ``audit_share`` goes to comparisons drawn at random among those that a judge
    has decided, and ``exploration`` to others drawn at random; a fraction of a comparison is one with that probability,
    so neither is ever switched off by a small budget. Comparisons that people have already settled get nothing.
    """
    _check(budget, exploration, audit_share)
    gain = judge_error(features)
    judged = ~np.isnan(features.column("judge_probability"))
    is_open = ~features.settled
    budget = min(budget, int(is_open.sum()))
    audited = _draw(np.flatnonzero(is_open & judged), _share(audit_share, budget, rng), rng)
    left = _without(is_open, audited)
    explored = _draw(np.flatnonzero(left), min(_share(exploration, budget, rng), budget - len(audited)), rng)
    left = _without(left, explored)
    order = np.lexsort((rng.random(len(gain)), -gain, judged))  # no verdict first, then the greatest gain
    best = order[left[order]][: budget - len(audited) - len(explored)]
    reasons = {int(i): "audit: drawn at random to measure the judge" for i in audited}
    reasons |= {int(i): "exploration: drawn at random to learn where people help" for i in explored}
    reasons |= {int(i): _doubt(features, int(i)) for i in best}
    chosen_for_audit = set(audited.tolist())
    return _decisions(features, gain, reasons, chosen_for_audit)


def at_random(
    features: Features,
    *,
    budget: int,
    rng: np.random.Generator,
    exploration: float = 0.1,
    audit_share: float = 0.1,
) -> list[Decision]:
    """People anywhere; the audit slice is then any part of what is drawn, and so is the exploration."""
    _check(budget, exploration, audit_share)
    gain = judge_error(features)
    judged = ~np.isnan(features.column("judge_probability"))
    chosen = _draw(np.flatnonzero(~features.settled), budget, rng)
    audited = chosen[judged[chosen]][: _share(audit_share, len(chosen), rng)]
    reasons = {int(i): "drawn at random" for i in chosen}
    return _decisions(features, gain, reasons, set(audited.tolist()))


def expected_error(features: Features, decisions: list[Decision], *, human_error: float = 0.0) -> FloatArray:
    """[H + 1] expected share of wrong labels after 0, 1, … H of the comparisons chosen for people, best gain first.

    Counts every comparison that is not settled; those left to the judges are wrong with `judge_error`, those judged by
    people with ``human_error``. Each step down is the marginal gain of one more comparison for people. Empty: [0].
    """
    if not 0 <= human_error <= 0.5:
        raise ValueError("human_error", "a probability from 0 to 0.5", human_error)
    error = judge_error(features)
    n = int((~features.settled).sum())
    if not n:
        return np.zeros(1)
    human = np.array([decision.route == "human" for decision in decisions], dtype=bool)
    gains = np.sort(error[human] - human_error)[::-1]
    start = float(error[~features.settled].sum())
    return (start - np.concatenate([[0.0], np.cumsum(gains)])) / n


def _decisions(features: Features, gain: FloatArray, reasons: dict[int, str], audited: set[int]) -> list[Decision]:
    p = features.column("judge_probability")
    return [
        _decision(id_, float(gain[i]), float(p[i]), bool(features.settled[i]), reasons.get(i), i in audited)
        for i, id_ in enumerate(features.ids)
    ]


def _decision(id_: Hashable, gain: float, p: float, settled: bool, reason: str | None, audit: bool) -> Decision:
    if settled:
        return Decision(id_, "settled", "people have judged it as often as it needs", 0.0)
    if reason is not None:
        return Decision(id_, "human", reason, gain, audit)
    if np.isnan(p):
        return Decision(id_, "judge", "no verdict yet, and the budget for people is spent: ask a judge", gain)
    return Decision(id_, "settled", f"the judge's verdict stands: probability of b {p:.2f}", gain)


def _doubt(features: Features, i: int) -> str:
    p = float(features.column("judge_probability")[i])
    tossed = float(features.column("judge_inconsistency")[i])
    if np.isnan(p):
        return "no judge verdict"
    if tossed > 0:
        return f"the judge changes with the order ({tossed:.0%}), probability of b {p:.2f}"
    return f"the judge is uncertain: probability of b {p:.2f}"


def _check(budget: int, exploration: float, audit_share: float) -> None:
    if budget < 0:
        raise ValueError("budget", "0 or more comparisons", budget)
    for name, share in (("exploration", exploration), ("audit_share", audit_share)):
        if not 0 <= share <= 1:
            raise ValueError(name, "a share from 0 to 1", share)
    if exploration + audit_share > 1:
        raise ValueError("exploration", f"at most 1 - audit_share = {1 - audit_share:g}", exploration)


def _share(share: float, budget: int, rng: np.random.Generator) -> int:
    """So much of the budget, its fraction rounded up with the probability that it is."""
    return min(budget, int(share * budget + rng.random()))


def _draw(among: IntArray, n: int, rng: np.random.Generator) -> IntArray:
    return rng.permutation(among)[:n]


def _without(mask: npt.NDArray[np.bool_], taken: IntArray) -> npt.NDArray[np.bool_]:
    left = mask.copy()
    left[taken] = False
    return left

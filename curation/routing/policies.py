"""Who decides which comparison. A policy is a pure function from features and a budget to decisions."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Final, Literal, NamedTuple, Protocol, cast

import numpy as np
import numpy.typing as npt

from curation.routing.features import Features
from curation.routing.gain import GainModel
from curation.routing.overlap import Evidence
from curation.stats.votes import FloatArray, IntArray

PERSON: Final = "person"
SETTLED: Final = "people have judged it as often as it needs"
AUDIT: Final = "audit: drawn at random to measure the judge"
EXPLORATION: Final = "exploration: drawn at random to learn where people help"
Route = Literal["human", "judge", "settled"]
"""What a comparison needs next: people, a judge's verdict, or nothing."""


@dataclass(frozen=True, slots=True)
class Decision:
    id: Hashable
    route: Route
    reason: str
    gain: float
    """What the policy expects of asking here, in its own unit (`Policy.gain_is`)."""
    audit: bool = False
    """In the random slice that measures the judge, whatever the judge said."""
    explored: bool = False
    """In the random slice that shows where people help, whatever the policy expects."""
    probability: float = 0.0
    """Of being drawn for the audit, whether it was or not: what an estimate from the slice is weighted by."""
    buy: str = ""
    """Whose judgements: "person", or a judge's name; empty: nothing is bought."""
    n: int | None = None
    """Judgements to buy; None: as many as the comparison needs."""
    price: float = 0.0
    """Expected, of all n, or of one where n is None; 0 where the policy was told no prices."""


class Selector(Protocol):
    """What a policy is. One that has no use for a model, prices or votes ignores them."""

    def __call__(
        self,
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
        """A decision for each comparison, in the order of the features.

        ``prices`` are of one judgement, by the name of who gives it ("person", judges), and replace those of ``votes``.
        """


class Policy(NamedTuple):
    label: str
    facts: str
    path: str
    budget_in: Literal["comparisons", "money"] = "comparisons"
    """What a budget counts. Money where no price is known: a person's judgement costs 1."""
    gain_is: str = "probability that the judge is wrong"
    needs: tuple[Literal["gain_model", "votes"], ...] = ()


POLICIES: Final[Mapping[str, Policy]] = {
    "uncertainty": Policy(
        "Least certain first",
        "people where the judge is least certain or changes with the order, beside an audit and an exploration slice",
        "curation.routing.policies:uncertainty",
    ),
    "expected-gain": Policy(
        "Greatest learned gain",
        "people where a model, fitted on mixes of people's and judges' labels, expects the reward model to gain most",
        "curation.routing.learned:expected_gain",
        gain_is="predicted gain of the reward model's performance",
        needs=("gain_model",),
    ),
    "adaptive-overlap": Policy(
        "Next judgement where it pays",
        "one more judgement, of a person or a judge, where it most lowers the expected error for its price",
        "curation.routing.learned:adaptive_overlap",
        budget_in="money",
        gain_is="expected error that the purchase takes away",
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
    """[N] probability that the judges' verdict is wrong; one half where there is none.

    With probability p of b it is min(p, 1-p), the error of an honest forecaster. The share of judges that change with
    the order have said nothing about the text: that share is a coin's toss, so it moves the error toward one half.
    Trust by similar, verified comparisons moves its odds as far as the odds there differ from the usual ones: only
    there can it be above one half, where people mostly say the opposite.
    """
    p = features.column("judge_probability")
    tossed = np.nan_to_num(features.column("judge_inconsistency"))
    error = np.minimum(p, 1 - p)
    return _trusted(np.where(np.isnan(p), 0.5, error + (0.5 - error) * tossed), p, features.column("trust"))


def _trusted(error: FloatArray, p: FloatArray, trust: FloatArray) -> FloatArray:
    """The odds of an error times those of distrust here over those of the mean distrust."""
    known = np.isfinite(trust) & np.isfinite(p)
    if not known.any():
        return error
    here = np.clip(np.where(known, trust, 0.5), 0.01, 0.99)
    usual = float(here[known].mean())
    sure = np.clip(error, 0.01, 0.99)
    odds = sure / (1 - sure) * (1 - here) / here * usual / (1 - usual)
    return np.where(known, odds / (1 + odds), error)


class Slices(NamedTuple):
    """The parts of a budget that no policy decides."""

    audited: IntArray
    explored: IntArray
    left: npt.NDArray[np.bool_]
    """[N] open, and in neither."""
    probability: FloatArray
    """[N] of being drawn for the audit."""


def slices(
    features: Features, *, budget: float, rng: np.random.Generator, exploration: float, audit_share: float
) -> Slices:
    """The audit, drawn among open comparisons with a judge's verdict, then the exploration among the other open ones.

    The budget counts people's judgements. A fraction of one is one with that probability, so neither slice is ever
    switched off by a small budget; no budget draws nothing.
    """
    _check(budget, exploration, audit_share)
    n = int(budget)  # what is left over buys no judgement, and must not count in the probability
    judged = ~features.settled & ~np.isnan(features.column("judge_probability"))
    among = np.flatnonzero(judged)
    audited = _draw(among, _share(audit_share, n, rng), rng)
    left = _without(~features.settled, audited)
    explored = _draw(np.flatnonzero(left), min(_share(exploration, n, rng), n - len(audited)), rng)
    probability = min(1.0, audit_share * n / len(among)) if len(among) else 0.0
    return Slices(audited, explored, _without(left, explored), np.where(judged, probability, 0.0))


def uncertainty(
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
    """People where the judges are likeliest to be wrong; comparisons without a verdict first; ties at random.

    Of the budget (comparisons for people), ``audit_share`` goes to comparisons drawn at random among those that a judge
    has decided, and ``exploration`` to others drawn at random. Comparisons that people have settled get nothing.
    """
    gain = judge_error(features)
    judged = ~np.isnan(features.column("judge_probability"))
    n = min(int(budget), int((~features.settled).sum()))
    drawn = slices(features, budget=n, rng=rng, exploration=exploration, audit_share=audit_share)
    order = np.lexsort((rng.random(len(gain)), -gain, judged))  # no verdict first, then the greatest gain
    best = order[drawn.left[order]][: n - len(drawn.audited) - len(drawn.explored)]
    return decided(features, gain, _doubts(features, best), drawn, prices)


def at_random(
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
    """People anywhere; the audit slice is then any part of what is drawn, and so is the exploration."""
    _check(budget, exploration, audit_share)
    is_open = ~features.settled
    judged = is_open & ~np.isnan(features.column("judge_probability"))
    n_open = int(is_open.sum())
    n = min(int(budget), n_open)
    chosen = _draw(np.flatnonzero(is_open), n, rng)
    audited = chosen[: _share(audit_share, n, rng)]
    probability = audit_share * n / n_open if n_open else 0.0
    drawn = Slices(
        audited[judged[audited]], np.zeros(0, np.int64), _without(is_open, chosen), np.where(judged, probability, 0.0)
    )
    return decided(features, judge_error(features), {int(i): "drawn at random" for i in chosen}, drawn, prices)


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


def decided(
    features: Features,
    gain: FloatArray,
    reasons: Mapping[int, str],
    drawn: Slices,
    prices: Mapping[str, float] | None,
) -> list[Decision]:
    """A decision for each comparison: people in the slices and where there is a reason, the judges elsewhere."""
    told = dict(reasons)
    told |= {int(i): EXPLORATION for i in drawn.explored}
    told |= {int(i): told.get(int(i), AUDIT) for i in drawn.audited}
    audited, explored = set(drawn.audited.tolist()), set(drawn.explored.tolist())
    p = features.column("judge_probability")
    price = (prices or {}).get(PERSON, 0.0)
    return [
        Decision(
            id_, "human", told[i], float(gain[i]), i in audited, i in explored, float(drawn.probability[i]), PERSON,
            price=price,
        )
        if i in told
        else left_alone(id_, float(gain[i]), float(p[i]), bool(features.settled[i]), float(drawn.probability[i]))
        for i, id_ in enumerate(features.ids)
    ]  # fmt: skip


def left_alone(id_: Hashable, gain: float, p: float, settled: bool, probability: float) -> Decision:
    """A comparison for which no person is asked."""
    if settled:
        return Decision(id_, "settled", SETTLED, 0.0, n=0)
    if np.isnan(p):
        return Decision(id_, "judge", "no verdict yet, and the budget for people is spent: ask a judge", gain, n=0)
    reason = f"the judge's verdict stands: probability of b {p:.2f}"
    return Decision(id_, "settled", reason, gain, probability=probability, n=0)


def _doubts(features: Features, rows: IntArray) -> dict[int, str]:
    """Why each of these comparisons is uncertain, in words."""
    p, tossed, trust = (features.column(name)[rows] for name in ("judge_probability", "judge_inconsistency", "trust"))
    known = features.column("trust")
    known = known[np.isfinite(known)]
    usual = float(known.mean()) if known.size else 0.0
    told = zip(rows.tolist(), p.tolist(), tossed.tolist(), trust.tolist(), strict=True)
    return {row: _doubt(p_b, turned, here, usual) for row, p_b, turned, here in told}


def _doubt(p: float, tossed: float, trust: float, usual: float) -> str:
    if np.isnan(p):
        return "no judge verdict"
    if trust < usual:
        return f"on similar comparisons the judges agreed with people in {trust:.0%}, probability of b {p:.2f}"
    if tossed > 0:
        return f"the judge changes with the order ({tossed:.0%}), probability of b {p:.2f}"
    return f"the judge is uncertain: probability of b {p:.2f}"


def _check(budget: float, exploration: float, audit_share: float) -> None:
    if not 0 <= budget < float("inf"):
        raise ValueError("budget", "a number of 0 or more", budget)
    for name, share in (("exploration", exploration), ("audit_share", audit_share)):
        if not 0 <= share <= 1:
            raise ValueError(name, "a share from 0 to 1", share)
    if exploration + audit_share > 1:
        raise ValueError("exploration", f"at most 1 - audit_share = {1 - audit_share:g}", exploration)


def _share(share: float, budget: int, rng: np.random.Generator) -> int:
    """So much of the budget, its fraction rounded up with the probability that it is."""
    return min(budget, int(share * budget + rng.random()))


def _draw(among: IntArray, n: int, rng: np.random.Generator) -> IntArray:
    return rng.permutation(among)[: max(0, n)]


def _without(mask: npt.NDArray[np.bool_], taken: IntArray) -> npt.NDArray[np.bool_]:
    left = mask.copy()
    left[taken] = False
    return left

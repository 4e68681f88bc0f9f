"""What the policies buy: each its part of the pool and of the budget, and what no judge may settle is held back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from django.db.models import Avg

from annotate.models import Judge, JudgeCall, Judgement, Rater
from annotate.services.projects import current_form
from curation.models import Consensus, RaterSkill
from curation.routing import PERSON, POLICIES, Decision, Evidence, Features, Source
from curation.routing.learned import ASSUMED_ACCURACY
from curation.routing.online import assign_arm
from curation.routing.policies import left_alone
from curation.stats import CLASSES
from tiebreak.accounts.models import Project

from . import admitting
from .budgeting import Ledger
from .evidence import HELD, Pool
from .policies import AdaptiveParams, Arm
from .words import told

K: Final = len(CLASSES)
CALM: Final = 0.005  # so much more must a comparison gain to take the place of one that people are asked about already
NOBODY: Final = Rater()
Rows = npt.NDArray[np.int64]


def is_adaptive(arm: Arm) -> bool:
    """It buys one judgement after another, so it decides about what people have begun, too."""
    return isinstance(arm.params, AdaptiveParams)


def parts(
    project: Project, arms: Sequence[Arm], pool: Pool, budget: int | None
) -> Iterator[tuple[Arm, Rows, int | None]]:
    """Each arm with its comparisons, by lot, and its part of the budget in judgements."""
    drawn = assigned(project, pool.ids, arms)
    for position, arm in enumerate(arms):
        mine = drawn == position
        rows = np.flatnonzero(mine if is_adaptive(arm) else mine & (pool.seats == 0))
        part = None if budget is None else int(budget * mine.sum() / max(1, len(mine)) + 1e-9)
        limits = [limit for limit in (part, arm.params.budget) if limit is not None]
        yield arm, rows, min(limits, default=None)


def open_seats(project: Project, arms: Sequence[Arm], pool: Pool) -> int:
    """Seats still open on what people have begun and an arm decides about anew: they are spread again, not spent."""
    adaptive = np.flatnonzero([is_adaptive(arm) for arm in arms])
    mine = np.isin(assigned(project, pool.ids, arms), adaptive) & pool.routed & (pool.seats > 0)
    return int(np.maximum(0, pool.overlap - pool.seats)[mine].sum())


def assigned(project: Project, ids: Rows, arms: Sequence[Arm]) -> Rows:
    """[N] the arm of each comparison, drawn by its id: the same tomorrow, whatever comes in between.

    The default, which comes last where there is one, has what no other arm has.
    """
    if len(arms) == 1:
        return np.zeros(len(ids), dtype=np.int64)
    shares = {arm.name: arm.share for arm in arms if arm.version is not None}
    place = {name: i for i, name in enumerate(shares)}
    drawn = (assign_arm(project.pk, pk, shares) for pk in ids.tolist())
    return np.fromiter((place.get(name or "", len(arms) - 1) for name in drawn), dtype=np.int64, count=len(ids))


def decide(
    project: Project,
    arm: Arm,
    pool: Pool,
    rows: Rows,
    *,
    budget: int | None,
    ledger: Ledger,
    rng: np.random.Generator,
) -> list[Decision]:
    """A decision for each of the rows. `budget` in people's judgements; None: no limit."""
    choose = _adaptive if is_adaptive(arm) else _by_comparison
    decisions = choose(project, arm, pool, rows, budget=budget, ledger=ledger, rng=rng)
    return [
        decision if pool.trusted[row] or decision.route != "settled" else _hold(decision, pool, int(row))
        for row, decision in zip(rows, decisions, strict=True)
    ]


def _hold(decision: Decision, pool: Pool, row: int) -> Decision:
    """A verdict that may not stand: no admitted judge gave it. What people have judged is theirs to settle."""
    if pool.seats[row] > 0:
        return decision
    reason = f"{HELD}no admitted judge has read it, and people are not bought here ({decision.reason})"
    return replace(decision, route="judge", reason=reason)


def _by_comparison(
    project: Project, arm: Arm, pool: Pool, rows: Rows, *, budget: int | None, ledger: Ledger, rng: np.random.Generator
) -> list[Decision]:
    """By a policy that buys whole comparisons. What was drawn at random earlier and still waits stays drawn."""
    overlap = current_form(project).overlap
    n = len(rows) if budget is None else min(len(rows), budget // overlap)
    kept = _drawn(arm, pool, rows)[:n]
    rest = np.setdiff1d(rows, kept)
    wanted = arm.params.audit * n - sum(pool.known[row].audit for row in kept)
    explored = arm.params.exploration * n - sum(pool.known[row].explored for row in kept)
    left = n - len(kept)
    with told():
        found = arm.choose(
            pool.part(rest),
            budget=left,
            rng=rng,
            exploration=_share(explored, left),
            audit_share=_share(wanted, left),
            gain_model=arm.gain_model,
            prices={PERSON: float(ledger.price)},
        )
    decisions = dict(zip(rest.tolist(), _calmed(arm, pool, rest, found), strict=True))
    decisions |= {row: _still_drawn(pool, row, float(ledger.price)) for row in kept.tolist()}
    return [decisions[row] for row in rows.tolist()]


def _share(wanted: float, of: int) -> float:
    return min(1.0, max(0.0, wanted / of)) if of else 0.0


def _drawn(arm: Arm, pool: Pool, rows: Rows) -> Rows:
    """Of the rows those that this arm drew at random, and nobody has begun."""
    mine = [
        row
        for row in rows.tolist()
        if (known := pool.known[row]).policy == arm.name
        and known.route == "human"
        and (known.audit or known.explored)
        and pool.routed[row]
        and not pool.features.settled[row]
    ]
    return np.array(mine, dtype=np.int64)


def _still_drawn(pool: Pool, row: int, price: float) -> Decision:
    known = pool.known[row]
    return Decision(
        int(pool.ids[row]),
        "human",
        "drawn at random earlier",
        0.0,
        known.audit,
        known.explored,
        buy=PERSON,
        price=price,
    )


def _calmed(arm: Arm, pool: Pool, rows: Rows, decisions: list[Decision]) -> list[Decision]:
    """Keep people where they are asked already, unless another comparison gains clearly more: each change is a row."""
    asked = [
        pool.known[row].route == "human" and pool.known[row].policy == arm.name and bool(pool.routed[row])
        for row in rows.tolist()
    ]
    drawn = [d.audit or d.explored for d in decisions]
    come = [i for i, d in enumerate(decisions) if d.route == "human" and not asked[i] and not drawn[i]]
    gone = [i for i, d in enumerate(decisions) if d.route != "human" and asked[i]]
    come.sort(key=lambda i: decisions[i].gain)
    gone.sort(key=lambda i: -decisions[i].gain)
    p = pool.part(rows).column("judge_probability")
    calmed = list(decisions)
    for new, old in zip(come, gone, strict=False):
        if decisions[new].gain - decisions[old].gain > CALM:
            break
        chosen, left = decisions[new], decisions[old]
        calmed[old] = replace(
            chosen, id=left.id, gain=left.gain, probability=left.probability,
            reason="as before: no other gains clearly more",
        )  # fmt: skip
        calmed[new] = left_alone(chosen.id, chosen.gain, float(p[new]), False, chosen.probability)
    return calmed


def _adaptive(
    project: Project, arm: Arm, pool: Pool, rows: Rows, *, budget: int | None, ledger: Ledger, rng: np.random.Generator
) -> list[Decision]:
    """By the policy that buys one judgement after another, in money where people's time has a price."""
    params = arm.params
    assert isinstance(params, AdaptiveParams)  # noqa: S101 - for mypy
    price = float(ledger.price)
    free = np.clip(params.max_overlap - pool.seats[rows], 0, params.max_bundle)
    features = pool.part(rows)._replace(settled=free == 0)
    votes = votes_of(project, pool, rows, free, price)
    money = (price or 1.0) * (int(free.sum()) if budget is None else budget)
    with told():
        found: list[Decision] = partial(arm.choose, least=params.least, max_bundle=params.max_bundle)(  # type: ignore[call-arg]
            features, budget=money, rng=rng, exploration=params.exploration, audit_share=params.audit, votes=votes
        )
    return found


def votes_of(project: Project, pool: Pool, rows: Rows, free: Rows, price: float) -> Evidence:
    """What is believed of comparisons, and who can still be asked about them at what price."""
    people = Source(PERSON, price or 1.0, confusion_of(project, Rater.Kind.ANNOTATOR), free)
    judges = _judges(project, pool.ids[rows]) if price else ()  # without a price of people nothing can be weighed
    return Evidence(_posterior(pool.part(rows)), (people, *judges))


def _posterior(features: Features) -> npt.NDArray[np.float64]:
    """[N, K] the consensus where there is one; else what the judges say; else nothing is known of the side."""
    p = features.column("judge_probability")
    belief = np.where(np.isnan(p), 0.5, p)
    posterior = np.stack([1 - belief, np.zeros(len(p)), belief], axis=1)
    place = {int(str(pk)): i for i, pk in enumerate(features.ids)}
    ids = list(place)
    for start in range(0, len(ids), 10_000):
        found = Consensus.objects.filter(comparison__in=ids[start : start + 10_000])
        for pk, *said in found.values_list("comparison_id", "p_a", "p_tie", "p_b"):
            posterior[place[pk]] = np.array(said) / sum(said)
    return posterior


def confusion_of(project: Project, kind: str, rater: int | None = None) -> npt.NDArray[np.float64]:
    """[K, K] of the raters of a kind, or of one of them; where none was measured, right four times in five."""
    skills = RaterSkill.objects.filter(aggregation__project=project, aggregation__current=True, rater__kind=kind)
    skills = skills if rater is None else skills.filter(rater=rater)
    found = [(np.array(c), n) for c, n in skills.values_list("confusion", "n") if np.shape(c) == (K, K) and n]
    if not found:
        wrong = (1 - ASSUMED_ACCURACY) / (K - 1)
        return np.full((K, K), wrong) + np.eye(K) * (ASSUMED_ACCURACY - wrong)
    mean = np.maximum(np.average([c for c, _ in found], axis=0, weights=[n for _, n in found]), 1e-6)
    shares: npt.NDArray[np.float64] = mean / mean.sum(axis=1, keepdims=True)
    return shares


def _judges(project: Project, ids: Rows) -> tuple[Source, ...]:
    """Admitted judges that can be run, each once on what it has not read, at the mean price of its two readings."""
    latest = Judge.objects.filter(project=project, retired_at=None).order_by("name", "-version").distinct("name")
    admitted = set(admitting.judges(project).admitted)
    return tuple(_judge(project, judge, ids) for judge in latest if getattr(judge, "rater", NOBODY).pk in admitted)


def _judge(project: Project, judge: Judge, ids: Rows) -> Source:
    calls: dict[str, Any] = JudgeCall.objects.filter(judge=judge).aggregate(mean=Avg("price"))
    read = Judgement.objects.current().filter(rater=judge.rater).values_list("comparison_id", flat=True)
    fresh = ~np.isin(ids, np.fromiter(read.iterator(), dtype=np.int64))
    confusion = confusion_of(project, Rater.Kind.JUDGE, judge.rater.pk)
    return Source(judge.name, 2 * float(calls["mean"] or 0), confusion, fresh.astype(np.int64))


def unit(arm: Arm) -> str:
    """What the arm's gain counts."""
    return POLICIES[arm.kind].gain_is

"""What a policy would have done with comparisons that people and judges have decided both, before it decides anything.

A policy that learns is fitted on half of them, by their groups, and shown on the other half.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final, NamedTuple
from zlib import crc32

import numpy as np
import numpy.typing as npt
from django.utils import timezone

from annotate.models import Comparison, Judgement, Rater
from annotate.services.projects import current_form
from curation.models import RoutingPolicy
from curation.routing import POLICIES, GainModel, Item, Selector, extract, gain, proxy, selector, simulate
from curation.routing.simulation import Recorded, curve
from curation.stats import CLASSES, Estimate
from tiebreak.accounts.models import Project
from tiebreak.core.errors import Invalid
from tiebreak.runs.ledger import Execution

from . import budgeting, evidence
from .buying import confusion_of, is_adaptive
from .policies import AdaptiveParams, Arm

FEW: Final = 20
MOST: Final = 4_000  # comparisons tried: more would tell no more, and take long
WORDS: Final = re.compile(r"\w+")
WIDTH: Final = 512
STRONGEST: Final = 64  # directions that the proxy learns from
FOLDS: Final = 5
SHARES: Final = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)
LEAST_TIE: Final = 0.05  # a judge that names a side does not rule the others out


class Tried(NamedTuple):
    """One comparison that a judge and at least two people have decided; sides are 0, 1, 2 for a, tie, b."""

    item: Item
    group: str
    judge: int
    human: int
    """What one person said."""
    reference: int
    """What most of the others said."""
    people: tuple[int, ...]
    """What all of them said, one after another."""


def run(execution: Execution, project: Project, arm: Arm) -> Mapping[str, Any]:
    """Simulate one arm, and keep the result with its version."""
    rows = list(_tried(project))
    if len(rows) < FEW:
        raise Invalid(
            f"{len(rows)} comparisons have a judge's verdict and two people's judgements; it takes {FEW} to simulate.",
            code="too_few",
        )
    execution.progress(0, len(rows), note=f"simulating {arm.name}")
    rng = np.random.default_rng(execution.params["seed"])
    learned: dict[str, Any] = {}
    if "gain_model" in POLICIES[arm.kind].needs:
        train, rows = _halves(rows)
        model = learn(train, rng)
        learned = {"gain_model": model.to_json(), "fitted_on": len(train)}
        if model.reason:
            _keep(arm, learned, None, predicts=False)
            raise Invalid(f"The gain model does not predict, so it must not route: {model.reason}.", code="not_learned")
    told = _simulation(project, arm, rows, learned, rng)
    _keep(arm, learned, told)
    return told


def _simulation(
    project: Project, arm: Arm, rows: Sequence[Tried], learned: Mapping[str, Any], rng: np.random.Generator
) -> dict[str, Any]:
    model = GainModel.from_json(learned["gain_model"]) if learned else None
    points = _one_by_one(project, arm, rows, rng) if is_adaptive(arm) else _by_comparison(arm, rows, model, rng)
    ledger, form = budgeting.ledger(project), current_form(project)
    waiting = evidence.open_to_routing(project).count()
    told = {
        "policy": arm.name,
        "simulated_on": len(rows),
        "open": waiting,
        "currency": ledger.currency,
        "points": [
            {
                "human_share": round(share, 3),
                "accuracy": accuracy._asdict(),
                "random_accuracy": None if chance.value is None else round(chance.value, 4),
                "random": chance._asdict(),
                **_cost(ledger, share * waiting * form.overlap),
            }
            for share, accuracy, chance in points
        ],
    }
    return told | ({"health": _health(model)} if model else {})


Spot = tuple[float, Estimate, Estimate]
"""The share of people's judgements, how many labels are right, and how many at random."""


def _by_comparison(arm: Arm, rows: Sequence[Tried], model: GainModel | None, rng: np.random.Generator) -> list[Spot]:
    """One person's answer, or the judges', against the majority of the other people."""
    features = extract(row.item for row in rows)
    judge, human, reference = np.array([(row.judge, row.human, row.reference) for row in rows]).T
    ours, chance = (
        simulate(features, judge, human, reference, policy=policy, rng=rng)
        for policy in (_bound(arm, model), selector("random"))
    )
    return [(own.human_share, own.accuracy, other.accuracy) for own, other in zip(ours, chance, strict=True)]


def _one_by_one(project: Project, arm: Arm, rows: Sequence[Tried], rng: np.random.Generator) -> list[Spot]:
    """People's answers bought one after another as they were given, against the last person's, whom nobody buys."""
    params = arm.params
    assert isinstance(params, AdaptiveParams)  # noqa: S101 - for mypy
    most = max(len(row.people) for row in rows) - 1
    ballots = np.array([row.people[:-1] + (-1,) * (most + 1 - len(row.people)) for row in rows])
    p = np.array([row.item.judge_probability for row in rows], dtype=np.float64)
    base = np.maximum(np.stack([1 - p, np.full(len(p), LEAST_TIE), p], axis=1), LEAST_TIE)
    confusion = confusion_of(project, Rater.Kind.ANNOTATOR)
    recorded = Recorded(extract(row.item for row in rows), base / base.sum(axis=1, keepdims=True), ballots, confusion)
    policy = partial(arm.choose, least=params.least, max_bundle=params.max_bundle)  # type: ignore[call-arg]
    standings = curve(
        recorded, np.array([row.people[-1] for row in rows]), policy, SHARES, rng=rng,
        exploration=params.exploration, audit_share=params.audit,
    )  # fmt: skip
    return [(at.human_share, at.accuracy, _less(at.accuracy, at.above_random)) for at in standings]


def _less(estimate: Estimate, by: Estimate) -> Estimate:
    """What is left of an estimate, with the interval of the difference."""
    if estimate.value is None or by.value is None or by.low is None or by.high is None:
        return Estimate(None, reason=estimate.reason or by.reason)
    return Estimate(estimate.value - by.value, estimate.value - by.high, estimate.value - by.low, estimate.n)


def _cost(ledger: budgeting.Ledger, judgements: float) -> dict[str, float]:
    """Of so many judgements of people."""
    return {
        "judgements": round(judgements),
        "money": round(judgements * float(ledger.price), 2),
        "hours": round(judgements * ledger.seconds / 3600, 2),
    }


def _bound(arm: Arm, model: GainModel | None) -> Selector:
    """The arm's policy with its own exploration, audit and gain model."""

    def choose(features: Any, *, budget: float, rng: np.random.Generator, **_: Any) -> Any:
        return arm.choose(
            features,
            budget=budget,
            rng=rng,
            exploration=arm.params.exploration,
            audit_share=arm.params.audit,
            gain_model=model,
        )

    return choose


def _health(model: GainModel) -> dict[str, Any]:
    return {"rho": model.rho, "rho_bands": list(model.rho_bands), "rmse": model.rmse, "n": model.n,
            "mixes": model.n_mixes}  # fmt: skip


def _keep(arm: Arm, learned: Mapping[str, Any], simulation: Mapping[str, Any] | None, *, predicts: bool = True) -> None:
    """With the arm's version. One at work goes on with the model that it has where the new one does not predict."""
    if arm.version is None:
        return
    changes: dict[str, Any] = {"learned": dict(learned)} if learned else {}
    if simulation is not None:
        changes["simulation"] = dict(simulation) | {"at": timezone.now().isoformat()}
    rows = RoutingPolicy.objects.filter(pk=arm.version.pk)
    (rows if predicts else rows.exclude(status=RoutingPolicy.Status.ACTIVE)).update(**changes)


def _tried(project: Project) -> Iterator[Tried]:
    """Comparisons that a judge and two people decided, up to MOST, evenly over the project."""
    judges = list(Rater.objects.filter(project=project, kind=Rater.Kind.JUDGE).values_list("pk", flat=True))
    read = Judgement.objects.current().filter(rater__in=judges, preference__isnull=False)
    ids = sorted(set(read.values_list("comparison_id", flat=True)))
    for start in range(0, len(ids), evidence.BLOCK):
        block = ids[start : start + evidence.BLOCK]
        yield from _decided(project, block, judges, MOST * len(block) // len(ids))


def _decided(project: Project, ids: Sequence[int], judges: Sequence[int], most: int) -> Iterator[Tried]:
    said = _people(ids)
    chosen = sorted(pk for pk, sides in said.items() if len(sides) > 1)
    chosen = chosen[:: max(1, -(-len(chosen) // max(1, most)))]
    found = evidence.Found(evidence.opinions(chosen, judges), evidence.margins(chosen), {}, {})
    rows = Comparison.objects.filter(pk__in=chosen, project=project).order_by("pk")
    for *row, group in rows.values_list(*evidence.COLUMNS, "group"):
        first, *others = said[row[0]]
        counts = np.bincount(others, minlength=len(CLASSES))
        if (counts == counts.max()).sum() > 1 or row[0] not in found.opinions:
            continue  # the others do not agree on anything to be measured against
        item = replace(evidence.item(tuple(row), found), settled=False)
        p = found.opinions[row[0]].probability
        side = 2 if p > 0.5 else 0 if p < 0.5 else 1
        yield Tried(item, group, side, first, int(counts.argmax()), tuple(said[row[0]]))


def _people(ids: Sequence[int]) -> dict[int, list[int]]:
    """What people said, one after another; a hidden repeat is no second person."""
    rows = Judgement.objects.current().filter(
        comparison__in=ids, rater__kind=Rater.Kind.ANNOTATOR, preference__isnull=False
    )
    said: dict[int, list[int]] = {}
    for pk, preference in (
        rows.exclude(assignment__purpose="repeat").order_by("id").values_list("comparison_id", "preference")
    ):
        said.setdefault(pk, []).append(int(np.sign(preference or 0)) + 1)
    return said


def _halves(rows: Sequence[Tried]) -> tuple[list[Tried], list[Tried]]:
    """Two halves without a group in common."""
    first = [row for row in rows if crc32(row.group.encode()) % 2]
    return first, [row for row in rows if not crc32(row.group.encode()) % 2]


def learn(rows: Sequence[Tried], rng: np.random.Generator, n_mixes: int = 200) -> GainModel:
    """A gain model from comparisons that have both labels; it says itself where it does not predict."""
    features = extract(row.item for row in rows)
    if len(rows) < gain.LEAST_COMPARISONS:
        return gain.fit(features, lambda mask: 0.0, rng=rng)  # which says that they are too few
    fold = np.array([crc32(row.group.encode()) // 2 % FOLDS for row in rows])
    if len(set(fold.tolist())) < 2:  # one group, or nearly: nothing would be left to measure by
        fold = np.arange(len(rows)) % FOLDS
    measured = proxy.performance(
        proxy.components(differences([row.item for row in rows]), STRONGEST),
        np.array([row.human / 2 for row in rows]),
        np.array([row.item.judge_probability for row in rows], dtype=np.float64),
        folds=fold,
        reference=np.array([row.reference / 2 for row in rows]),
    )
    return gain.fit(features, measured, rng=rng, n_mixes=n_mixes)


def differences(items: Sequence[Item]) -> npt.NDArray[np.float64]:
    """[N, WIDTH + 1] words of b minus words of a, hashed, and the difference of their lengths: it needs no encoder."""
    table = np.zeros((len(items), WIDTH + 1))
    for row, item in zip(table, items, strict=True):
        for text, sign in ((item.completion_a, -1.0), (item.completion_b, 1.0)):
            for word, n in Counter(WORDS.findall(text.lower())).items():
                row[crc32(word.encode()) % WIDTH] += sign * np.log1p(n)
        row[WIDTH] = np.log1p(len(item.completion_b)) - np.log1p(len(item.completion_a))
    return table

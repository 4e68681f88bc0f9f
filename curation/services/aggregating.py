"""Aggregation: all judgements of people and judges in, consensus, rater skill and agreement out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
from django.db import transaction

from annotate.models import Comparison, Rater
from curation.models import Aggregation, RaterSkill
from curation.stats import (
    METHODS as KNOWN,
)
from curation.stats import (
    Aggregate,
    Estimate,
    Pairs,
    Votes,
    aggregate,
    krippendorff_alpha,
    side_bias,
    wilson,
)
from curation.stats.agreement import unselected
from tiebreak.accounts.models import Project
from tiebreak.core.errors import Invalid
from tiebreak.core.models import record
from tiebreak.runs.ledger import Execution

from . import admitting, consensus, leanings, live, loading
from .words import told

AUTO: Final = "auto"
METHODS: Final[Mapping[str, Callable[[Votes], Aggregate]]] = {
    name: partial(aggregate, method=name) for name, method in KNOWN.items() if not method.needs_pairs
}
"""Those that need to know nothing but the votes."""


class Material(NamedTuple):
    """What a fit is made of."""

    judgements: loading.Judgements
    votes: Votes
    pairs: Pairs | None
    is_judge: npt.NDArray[np.bool_]
    """[raters]"""
    people: loading.Ints
    """Ids of the project's annotators."""
    muted: list[int]
    """Judges that gold refuses: their votes are kept, but make no label."""


class Fitted(NamedTuple):
    """A fit, by which method, and why by this one."""

    fit: Aggregate
    method: str
    because: str
    details: Mapping[str, Any]


def run(execution: Execution) -> Mapping[str, Any]:
    """Params: method. Replaces the project's current aggregation; running it again gives the same figures."""
    project = execution.run.project
    if project is None:
        raise Invalid("An aggregation needs a project.", field="project")
    asked = execution.params.get("method", AUTO)
    material = gather(project)
    votes = material.votes
    if votes.n == 0 and material.muted:
        raise Invalid(
            "Only judges that gold refuses have judged here, and no label is made of what they say: ask people.",
            code="muted",
        )
    if votes.n == 0:
        raise Invalid(
            "There are no judgements to aggregate yet: import some, ask people, or run a judge.", code="empty"
        )
    execution.progress(0, len(votes.comparisons), note=f"{asked} over {votes.n} judgements")
    fitted = fit_by(asked, material)
    agreement = {
        "people": alpha_of(material.judgements.votes(material.people), execution.run.seed)._asdict(),
        "people_and_judges": alpha_of(material.judgements.votes(), execution.run.seed)._asdict(),
    }
    execution.progress(0, len(votes.comparisons), note=f"storing {len(votes.comparisons)} comparisons")
    with transaction.atomic():
        execution.fence()
        moved = _store(execution, project, material, fitted, asked, agreement)
    execution.progress(len(votes.comparisons), len(votes.comparisons))
    return {
        "method": fitted.method,
        "because": fitted.because,
        "comparisons": len(votes.comparisons),
        "judgements": votes.n,
        "converged": fitted.fit.converged,
        "iterations": fitted.fit.n_iter,
        "alpha_people": agreement["people"],
        "alpha_people_and_judges": agreement["people_and_judges"],
        **({"muted_judges": len(material.muted)} if material.muted else {}),
        **moved,
    }


def gather(project: Project) -> Material:
    """The project's judgements as arrays, with what the methods may want to know beside them."""
    judgements = loading.judgements_of(project)
    muted = admitting.muted(project)
    votes = judgements.votes(muted=muted)
    people = loading.raters_of(project, Rater.Kind.ANNOTATOR)
    is_judge = ~np.isin(np.array(votes.raters, dtype=np.int64), people)
    pairs = loading.pairs_of(project, np.array(votes.comparisons, dtype=np.int64))
    return Material(judgements, votes, pairs, is_judge, people, muted)


def fit_by(method: str, material: Material) -> Fitted:
    """The fit by a method of that name, or by the one that suits the data where it is `auto`.

    Raises Invalid where the method is not known, or needs completions that recur and none does.
    """
    votes, pairs, is_judge = material.votes, material.pairs, material.is_judge
    because, details = "", dict[str, Any]()
    with told():
        if method == AUTO:
            from curation.stats.aggregation.choosing import choose

            choice = choose(votes, pairs=pairs, is_judge=is_judge)
            method, because, details = choice.method, choice.reason, {"choice": _plain(choice.facts)}
        if KNOWN[method].needs_pairs and (pairs is None or pairs.n == 2 * len(pairs.a)):
            raise Invalid(
                f"{KNOWN[method].label} compares completions that stand in several comparisons; here none does. "
                "Choose another method, or auto.",
                field="method",
            )
        return Fitted(aggregate(votes, method, pairs=pairs, is_judge=is_judge), method, because, details)


def _plain(facts: Any) -> Any:
    """Facts as JSON holds them."""
    if hasattr(facts, "_asdict"):
        facts = facts._asdict()
    if isinstance(facts, Mapping):
        return {str(key): _plain(value) for key, value in facts.items()}
    return facts.item() if isinstance(facts, np.generic) else facts


def alpha_of(votes: Votes, seed: int) -> Estimate:
    """Krippendorff's ordinal alpha over the side (a, tie, b), with a bootstrap interval over comparisons.

    Of each comparison the first votes count, equally many of all: where raters differ more are asked, and that alone
    would move it.
    """
    first, rng = unselected(votes.comparison), np.random.default_rng(seed)
    return krippendorff_alpha(votes.comparison[first], votes.rater[first], votes.value[first], level="ordinal", rng=rng)


def _store(
    execution: Execution,
    project: Project,
    material: Material,
    fitted: Fitted,
    asked: str,
    agreement: Mapping[str, Any],
) -> dict[str, int]:
    """The aggregation with all that hangs on it, and what came while it was fitted. Locks the project."""
    fit, votes, judgements = fitted.fit, material.votes, material.judgements
    consensus.locked(project.pk)  # two aggregations take turns, and the live consensus waits
    Aggregation.objects.filter(project=project, current=True).update(current=False)
    row = Aggregation.objects.create(
        project=project,
        run=execution.run,
        method=fitted.method,
        because=fitted.because[:500],
        prior=np.round(fit.prior, 6).tolist(),
        details={
            "asked": asked,
            "until": int(judgements.id.max(initial=0)),
            "muted": material.muted,
            **fitted.details,
        },
        converged=fit.converged,
        n_iter=fit.n_iter,
        log_likelihood=fit.log_likelihood,
        n_comparisons=len(votes.comparisons),
        n_judgements=votes.n,
        agreement=agreement,
        inputs_sha256=judgements.sha256,
    )
    rows = consensus.rows_of(
        judgements,
        votes,
        fit.posterior,
        fit.strength,
        people=material.people,
        decisions=loading.decisions_of(project),
        difficulty=fit.difficulty,
        base=live.base_of(fitted.method, fit),
    )
    consensus.replace(row, rows)
    _store_skills(row, votes, fit, judgements)
    late = live.refresh(project, live.touched(project, after=int(judgements.id.max(initial=0))), settling=False)
    moved = consensus.settle(project.pk)
    record("aggregation.made", row, by=execution.run.created_by, project=project, method=fitted.method, **moved)
    return moved | ({"came_meanwhile": late} if late else {})


def _store_skills(row: Aggregation, votes: Votes, fit: Aggregate, judgements: loading.Judgements) -> None:
    ids = np.array(votes.raters, dtype=np.int64)
    known = (judgements.a_first >= 0) & ~np.isnan(judgements.preference) & np.isin(judgements.rater, ids)
    raters = np.searchsorted(ids, judgements.rater[known])
    values = np.sign(judgements.preference[known]).astype(np.int64) + 1
    side = side_bias(raters, values, judgements.a_first[known] == 1, n_raters=len(ids))
    gold = _gold(row.project, votes)
    said = np.bincount(votes.rater, minlength=len(ids))
    biases = leanings.of_raters(row.project, votes, side)
    RaterSkill.objects.bulk_create(
        (
            RaterSkill(
                aggregation=row,
                rater_id=int(rater),
                n=int(said[i]),
                skill=_number(fit.skill[i]),
                skill_low=_number(fit.skill_low[i]),
                skill_high=_number(fit.skill_high[i]),
                confusion=np.round(fit.confusion[i], 6).tolist(),
                left=_number(side.share[i]),
                left_low=_number(side.low[i]),
                left_high=_number(side.high[i]),
                gold=gold[i].value,
                gold_low=gold[i].low,
                gold_high=gold[i].high,
                gold_n=gold[i].n,
                biases=biases[i],
            )
            for i, rater in enumerate(ids)
        ),
        batch_size=1_000,
    )


def _gold(project: Project, votes: Votes) -> Sequence[Estimate]:
    """Share of gold comparisons on which each rater favoured the known side, with Wilson's interval."""
    known = dict(Comparison.objects.filter(project=project, gold__isnull=False).values_list("pk", "gold"))
    gold = np.full(len(votes.comparisons), -1, dtype=np.int64)
    place = np.searchsorted(np.array(votes.comparisons, dtype=np.int64), sorted(known))
    for at, pk in zip(place.tolist(), sorted(known), strict=True):
        if at < len(gold) and votes.comparisons[at] == pk:
            gold[at] = np.sign(known[pk] or 0) + 1
    has = gold[votes.comparison] >= 0 if len(gold) else np.zeros(0, dtype=bool)
    right = np.bincount(
        votes.rater[has], (votes.value[has] == gold[votes.comparison[has]]).astype(float), len(votes.raters)
    )
    tried = np.bincount(votes.rater[has], minlength=len(votes.raters))
    return [
        wilson(float(r), int(n)) if n else Estimate(None, reason="no gold") for r, n in zip(right, tried, strict=True)
    ]


def _number(value: np.floating[Any]) -> float | None:
    return None if np.isnan(value) else float(value)

"""Aggregation: all judgements of people and judges in, consensus, rater skill and agreement out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from django.db import transaction
from django.db.models import Exists, OuterRef

from annotate.models import Adjudication, Assignment, Comparison, Judgement, Rater
from curation.models import Aggregation, Consensus, RaterSkill
from curation.stats import (
    Aggregate,
    Estimate,
    Votes,
    dawid_skene,
    entropy,
    krippendorff_alpha,
    majority,
    side_bias,
    wilson,
)
from tiebreak.accounts.models import Project
from tiebreak.core.errors import Invalid
from tiebreak.core.models import record
from tiebreak.runs.ledger import Execution

from . import loading

METHODS: Final[Mapping[str, Callable[[Votes], Aggregate]]] = {"majority": majority, "dawid-skene": dawid_skene}
SETTLED: Final = 0.8  # consensus this sure, with every seat taken, settles a comparison; below it is disputed
BATCH: Final = 5_000


def run(execution: Execution) -> Mapping[str, Any]:
    """Params: method. Replaces the project's current aggregation; running it again gives the same figures."""
    project = execution.run.project
    if project is None:
        raise Invalid("An aggregation needs a project.", field="project")
    method = execution.params.get("method", "dawid-skene")
    judgements = loading.judgements_of(project)
    votes = judgements.votes()
    if votes.n == 0:
        raise Invalid(
            "There are no judgements to aggregate yet: import some, ask people, or run a judge.", code="empty"
        )
    execution.progress(0, len(votes.comparisons), note=f"{method} over {votes.n} judgements")
    fit = METHODS[method](votes)
    people = loading.raters_of(project, Rater.Kind.ANNOTATOR)
    agreement = {
        "people": alpha_of(judgements.votes(people), execution.run.seed)._asdict(),
        "people_and_judges": alpha_of(votes, execution.run.seed)._asdict(),
    }
    with transaction.atomic():
        execution.fence()
        Project.objects.select_for_update(no_key=True).get(pk=project.pk)  # two aggregations take turns
        Aggregation.objects.filter(project=project, current=True).update(current=False)
        row = Aggregation.objects.create(
            project=project,
            run=execution.run,
            method=method,
            converged=fit.converged,
            n_iter=fit.n_iter,
            log_likelihood=fit.log_likelihood,
            n_comparisons=len(votes.comparisons),
            n_judgements=votes.n,
            agreement=agreement,
            inputs_sha256=judgements.sha256,
        )
        _store_consensus(row, votes, fit, judgements, people)
        _store_skills(row, votes, fit, judgements)
        settled = _settle(project)
        record("aggregation.made", row, by=execution.run.created_by, project=project, method=method, **settled)
    execution.progress(len(votes.comparisons), len(votes.comparisons))
    return {
        "method": method,
        "comparisons": len(votes.comparisons),
        "judgements": votes.n,
        "converged": fit.converged,
        "iterations": fit.n_iter,
        "alpha_people": agreement["people"],
        "alpha_people_and_judges": agreement["people_and_judges"],
        **settled,
    }


def alpha_of(votes: Votes, seed: int) -> Estimate:
    """Krippendorff's ordinal alpha over the side (a, tie, b), with a bootstrap interval over comparisons."""
    rng = np.random.default_rng(seed)
    return krippendorff_alpha(votes.comparison, votes.rater, votes.value, level="ordinal", rng=rng)


def _store_consensus(
    row: Aggregation, votes: Votes, fit: Aggregate, judgements: loading.Judgements, people: npt.NDArray[np.int64]
) -> None:
    size = len(votes.comparisons)
    ids = np.array(votes.comparisons, dtype=np.int64)
    by_person = np.isin(np.array(votes.raters, dtype=np.int64), people)[votes.rater]
    n_people = np.bincount(votes.comparison[by_person], minlength=size)
    n_judges = np.bincount(votes.comparison[~by_person], minlength=size)
    bad, n_bad = np.unique(judgements.comparison[judgements.both_bad], return_counts=True)
    both_bad = dict(zip(bad.tolist(), n_bad.tolist(), strict=True))
    spread = entropy(fit.posterior)

    decisions = loading.decisions_of(row.project)

    def fitted(i: int, pk: int) -> dict[str, float]:
        """What the votes say, or what an adjudicator decided, for certain."""
        if (decided := decisions.get(pk)) is not None:
            return _decided(decided)
        p_a, p_tie, p_b = fit.posterior[i].tolist()
        strength = float(np.clip(fit.strength[i], -3, 3))
        return {"p_a": p_a, "p_tie": p_tie, "p_b": p_b, "preference": strength, "entropy": float(spread[i])}

    def rows() -> Iterator[Consensus]:
        for i, pk in enumerate(ids.tolist()):
            yield Consensus(
                comparison_id=pk,
                aggregation=row,
                **fitted(i, pk),
                n_annotators=int(n_people[i]),
                n_judges=int(n_judges[i]),
                n_both_bad=both_bad.get(pk, 0),
                updated_at=row.created_at,
            )
        for pk in sorted(set(decisions) - set(ids.tolist())):  # decided, though nobody's vote names a side
            yield Consensus(
                comparison_id=pk,
                aggregation=row,
                **_decided(decisions[pk]),
                n_annotators=0,
                n_judges=0,
                n_both_bad=both_bad.get(pk, 0),
                updated_at=row.created_at,
            )

    row.refresh_from_db(fields=["created_at"])
    Consensus.objects.filter(comparison__project_id=row.project_id).delete()
    Consensus.objects.bulk_create(rows(), batch_size=BATCH)


def _decided(decision: Adjudication) -> dict[str, float]:
    p_a, p_tie, p_b = loading.certain(decision)
    return {"p_a": p_a, "p_tie": p_tie, "p_b": p_b, "preference": float(decision.preference or 0), "entropy": 0.0}


def _store_skills(row: Aggregation, votes: Votes, fit: Aggregate, judgements: loading.Judgements) -> None:
    code = {rater: i for i, rater in enumerate(votes.raters)}
    known = (judgements.a_first >= 0) & ~np.isnan(judgements.preference)
    raters = np.array([code[int(r)] for r in judgements.rater[known]], dtype=np.int64)
    values = np.sign(judgements.preference[known]).astype(np.int64) + 1
    side = side_bias(raters, values, judgements.a_first[known] == 1, n_raters=len(votes.raters))
    gold = _gold(row.project, votes)
    RaterSkill.objects.bulk_create(
        RaterSkill(
            aggregation=row,
            rater_id=int(str(rater)),
            n=int((votes.rater == i).sum()) if len(votes.raters) < 2_000 else int(fit.n_votes[i]),
            skill=_number(fit.skill[i]),
            skill_low=_number(fit.skill_low[i]),
            skill_high=_number(fit.skill_high[i]),
            confusion=np.round(fit.confusion[i], 4).tolist(),
            left=_number(side.share[i]),
            left_low=_number(side.low[i]),
            left_high=_number(side.high[i]),
            gold=gold[i].value,
            gold_low=gold[i].low,
            gold_high=gold[i].high,
            gold_n=gold[i].n,
        )
        for i, rater in enumerate(votes.raters)
    )


def _gold(project: Project, votes: Votes) -> list[Estimate]:
    """Share of gold comparisons on which each rater favoured the known side, with Wilson's interval."""
    known = dict(Comparison.objects.filter(project=project, gold__isnull=False).values_list("pk", "gold"))
    gold = np.array([np.sign(known[c] or 0) + 1 if c in known else -1 for c in votes.comparisons], dtype=np.int64)
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


def _settle(project: Project) -> dict[str, int]:
    """Comparisons with every seat answered become settled or disputed by their consensus; an adjudicated one stays."""
    work = Assignment.objects.filter(comparison=OuterRef("pk"), purpose=Assignment.Purpose.WORK)
    reading = work.filter(status__in=Assignment.HELD)
    full = Comparison.objects.filter(~Exists(reading), project=project, full=True, overlap__gt=0)
    sure = full.filter(consensus__p_a__gte=SETTLED) | full.filter(consensus__p_b__gte=SETTLED)
    sure |= full.filter(consensus__p_tie__gte=SETTLED)
    # Everyone who answered said "both bad" and no more: there is no side to be found by asking on.
    sure |= full.filter(
        ~Exists(Judgement.objects.current().filter(comparison=OuterRef("pk"), preference__isnull=False)),
        Exists(Judgement.objects.current().filter(comparison=OuterRef("pk"), both_bad=True)),
    )
    settled = Comparison.objects.filter(pk__in=sure.values("pk"), status=Comparison.Status.OPEN).update(
        status="settled"
    )
    unsure = full.filter(status=Comparison.Status.OPEN, consensus__isnull=False)
    disputed = Comparison.objects.filter(pk__in=unsure.values("pk")).update(status="disputed")
    return {"settled": settled, "disputed": disputed}

"""Generating a rubric: criteria by contrast, kept only where a judge that uses them reproduces known preferences.

Contrastive Rubric Generation with preference-label consistency (OpenRubrics, arXiv 2510.07743). The comparisons that a
criterion is drawn from and those that it is tried on are of different groups. What was paid for is remembered in the
run, so that a killed run goes on without paying twice.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, NamedTuple

from django.db import transaction
from django.db.models import Q

from annotate.models import Comparison, Criterion, Judge, Rubric
from annotate.services.numbering import next_version
from curation.stats import wilson
from models_rt import records
from models_rt.judges import get as judge_kind
from models_rt.judges.rubrics import propose, reproduces
from tiebreak.core.errors import BackendError, Invalid
from tiebreak.core.models import record
from tiebreak.runs.ledger import Execution
from tiebreak.runs.models import Run

from .backends import backend_of
from .judging import pair_of, storable

SURE: Final = 0.8  # a consensus this sure is a known preference
MOST_CRITERIA: Final = 8  # of a rubric: annotators must be able to hold it in their head


class Known(NamedTuple):
    comparison: Comparison
    preference: int


def run(execution: Execution) -> Mapping[str, Any]:
    """Params of verbs.RubricParams. Leaves a draft for a curator to approve, or says why there is none."""
    judge = Judge.objects.select_related("project").get(pk=execution.params["judge"])
    drawn, tried = _examples(judge, execution.params["examples"], execution.run.seed)
    memory = Memory(execution)
    backend = backend_of(judge)
    trial = judge_kind("rubric")(backend)
    proposed: dict[records.Criterion, list[Known]] = {}
    reasons: list[str] = []
    for i, known in enumerate(drawn):
        proposal = memory.once(f"propose {known.comparison.pk}", lambda known=known: _propose(known, backend))
        for text, kind in proposal["criteria"]:
            proposed.setdefault(records.Criterion(kind=kind, text=text), []).append(known)
        reasons += [proposal["reason"]] if proposal["reason"] else []
        execution.progress(i + 1, len(drawn) * 2, note="contrasting", cost=memory.cost)
    if drawn and len(reasons) == len(drawn):
        raise BackendError(f"{judge} proposed nothing for any comparison: {reasons[-1]}", permanent=False)
    pairs = [(pair_of(k.comparison), k.preference) for k in tried]
    results: list[tuple[records.Criterion, dict[str, Any]]] = []
    for i, criterion in enumerate(proposed):
        key = "try " + hashlib.sha256(f"{criterion.kind} {criterion.text}".encode()).hexdigest()[:16]
        results.append((criterion, memory.once(key, lambda c=criterion: _try([c], pairs, trial))))
        tried_so_far = len(drawn) + (i + 1) * len(drawn) // len(proposed)
        execution.progress(tried_so_far, len(drawn) * 2, note="trying", cost=memory.cost)
    threshold = execution.params["threshold"]
    kept = [(c, r) for c, r in results if r["accuracy"] is not None and r["accuracy"] >= threshold]
    kept = sorted(kept, key=lambda item: (-item[1]["accuracy"], item[0].text))[:MOST_CRITERIA]
    whole = memory.once("try all", lambda: _try([c for c, _ in kept], pairs, trial)) if kept else None
    evidence = {
        "threshold": threshold,
        "proposed": len(proposed),
        "kept": len(kept),
        "tried": len(pairs),
        "reproduced": whole["reproduced"] if whole else 0,
        "accuracy": wilson(whole["reproduced"], len(pairs))._asdict() if whole else None,
        "rejected": [{"text": c.text, "accuracy": r["accuracy"]} for c, r in results if (c, r) not in kept],
    }
    execution.progress(len(drawn) * 2, len(drawn) * 2, cost=memory.cost)
    rubric = _store(execution, judge, kept, proposed, evidence) if kept else None
    figures = {key: evidence[key] for key in ("proposed", "kept", "tried", "reproduced", "accuracy")}
    return {
        "rubric": rubric.pk if rubric else None,
        "name": str(rubric) if rubric else None,
        **figures,
        "cost": str(memory.cost),
    }


class Memory:
    """What a run has done and paid for already, kept in its result while it runs."""

    def __init__(self, execution: Execution) -> None:
        self.execution = execution
        self.kept: dict[str, Any] = dict(execution.run.result.get("memory", {}))
        self.cost = sum((Decimal(entry["cost"]) for entry in self.kept.values()), Decimal(0))

    def once(self, key: str, work: Any) -> dict[str, Any]:
        """The result of `work` (a coroutine function), done now or remembered."""
        if key not in self.kept:
            made: dict[str, Any] = asyncio.run(work())
            self.kept[key] = made
            self.cost += Decimal(made["cost"])
            with transaction.atomic():
                self.execution.fence()
                Run.objects.filter(pk=self.execution.run.pk).update(result={"memory": self.kept})
        entry: dict[str, Any] = self.kept[key]
        return entry


async def _propose(known: Known, backend: Any) -> dict[str, Any]:
    side = "a" if known.preference < 0 else "b"
    made = await propose(pair_of(known.comparison), side, backend)  # type: ignore[arg-type]
    return {
        "criteria": [[storable(c.text), c.kind] for c in made.criteria],
        "reason": storable(made.reason),
        "prompt": made.prompt_version,
        "cost": str(made.usage.price),
    }


async def _try(
    criteria: Sequence[records.Criterion], pairs: Sequence[tuple[records.Pair, int]], judge: Any
) -> dict[str, Any]:
    made = await reproduces(criteria, pairs, judge)
    cost = sum((v.usage.price for r in made.results for v in r.verdicts), Decimal(0))
    return {
        "accuracy": made.accuracy,
        "reproduced": sum(r.reproduced for r in made.results),
        "pairs": [[int(r.pair_id), r.reproduced] for r in made.results],
        "cost": str(cost),
    }


def _examples(judge: Judge, wanted: int, seed: int) -> tuple[list[Known], list[Known]]:
    """Comparisons of known preference, half to draw criteria from and half, of other groups, to try them on."""
    rows = (
        Comparison.objects.filter(project=judge.project_id)
        .exclude(status=Comparison.Status.WITHDRAWN)
        .filter(
            Q(gold__isnull=False) & ~Q(gold=0)
            | Q(gold=None, consensus__p_a__gte=SURE, consensus__n_annotators__gte=2)
            | Q(gold=None, consensus__p_b__gte=SURE, consensus__n_annotators__gte=2)
        )
        .select_related("prompt", "completion_a", "completion_b", "consensus")
    )

    def place(row: Comparison) -> str:
        return hashlib.sha256(f"{seed} {row.group} {row.external_id}".encode()).hexdigest()

    groups: dict[str, list[Known]] = {}
    for row in sorted(rows, key=place):
        sign = row.gold if row.gold is not None else (-1 if row.consensus.p_a > row.consensus.p_b else 1)
        groups.setdefault(row.group, []).append(Known(row, sign))
    if len(groups) < 4:
        raise Invalid(
            f"{len(groups)} groups of comparisons have a known preference (gold, or a sure consensus of two people); "
            "4 are the least to generate a rubric from.",
            code="too_few",
        )
    names = list(groups)
    drawn = [known for name in names[0::2] for known in groups[name]][:wanted]
    tried = [known for name in names[1::2] for known in groups[name]][:wanted]
    return drawn, tried


def _store(
    execution: Execution,
    judge: Judge,
    kept: Sequence[tuple[records.Criterion, Mapping[str, Any]]],
    proposed: Mapping[records.Criterion, Sequence[Known]],
    evidence: Mapping[str, Any],
) -> Rubric:
    """The draft with its evidence; a run that stored one already finds it again."""
    with transaction.atomic():
        execution.fence()
        rubric = Rubric.objects.filter(run=execution.run).first()
        if rubric is not None:
            return rubric
        name = execution.params["name"]
        rubric = Rubric.objects.create(
            project=judge.project,
            name=name,
            version=next_version(Rubric.objects.filter(project=judge.project, name=name)),
            generated_by=judge,
            evidence=dict(evidence),
            run=execution.run,
        )
        Criterion.objects.bulk_create(
            Criterion(
                rubric=rubric,
                position=position,
                kind=criterion.kind,
                text=criterion.text,
                evidence=[
                    *({"comparison": k.comparison.external_id, "drawn_from": True} for k in proposed[criterion]),
                    {"accuracy": result["accuracy"], "reproduced": result["reproduced"], "tried": len(result["pairs"])},
                ],
            )
            for position, (criterion, result) in enumerate(kept)
        )
        record("rubric.generated", rubric, by=execution.run.created_by, project=judge.project, kept=len(kept))
    return rubric

"""Noise: how doubtful each label is, by which method and because of what, and what the policy proposes to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from django.db import transaction

from annotate.models import Adjudication
from curation import noise
from curation.models import Consensus, NoiseScore, RewardMargin
from tiebreak.accounts.models import Project
from tiebreak.core.errors import Invalid
from tiebreak.core.models import record
from tiebreak.runs.ledger import Execution

BATCH: Final = 5_000


def run(execution: Execution) -> Mapping[str, Any]:
    """Params: method, one of noise.METHODS or "all". Scores replace those of the same method."""
    project = execution.run.project
    if project is None:
        raise Invalid("Noise scores need a project.", field="project")
    rows = list(
        Consensus.objects.filter(comparison__project=project)
        .exclude(comparison__in=Adjudication.objects.filter(current=True).values("comparison"))  # beyond doubt
        .order_by("comparison_id")
        .values_list("comparison_id", "p_a", "p_tie", "p_b", "n_annotators")
    )
    if not rows:
        raise Invalid("There is no consensus to doubt yet: aggregate first.", code="empty")
    ids = [row[0] for row in rows]
    posterior = np.array([row[1:4] for row in rows])
    people = [row[4] for row in rows]
    wanted = execution.params["method"]
    scores: dict[str, noise.Scores] = {}
    if wanted in ("all", "consensus-entropy"):
        scores["consensus-entropy"] = noise.consensus_entropy(posterior)
    if wanted in ("all", "reward-model-disagreement"):
        scores["reward-model-disagreement"] = noise.reward_model_disagreement(posterior, _margins(ids))
    actions: Counter[str] = Counter()
    stored = 0
    for method, found in scores.items():
        stored += _store(execution, method, ids, people, found, actions)
    record("noise.scored", execution.run, by=execution.run.created_by, project=project, scored=stored, **actions)
    return {"methods": list(scores), "scored": stored, "decisions": dict(sorted(actions.items()))}


def _margins(ids: list[int]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """[n] the latest model's margin for comparisons that it was not trained on; nan elsewhere."""
    held_out = RewardMargin.objects.filter(comparison__in=ids, held_out=True).order_by("reward_model_id")
    known = dict(held_out.values_list("comparison_id", "margin"))
    return np.array([known.get(i, np.nan) for i in ids], dtype=np.float64)


def _store(
    execution: Execution,
    method: str,
    ids: list[int],
    people: list[int],
    found: noise.Scores,
    actions: Counter[str],
) -> int:
    rows = []
    proposed = noise.propose(found.score, people).tolist()
    for pk, code, score, cause in zip(ids, proposed, found.score.tolist(), found.text, strict=True):
        if np.isnan(score):
            continue
        decision = noise.ACTIONS[code]
        actions[decision] += 1
        rows.append(
            NoiseScore(
                comparison_id=pk, method=method, score=min(1.0, max(0.0, score)), decision=decision, cause=cause[:500],
                run=execution.run,
            )
        )  # fmt: skip
    with transaction.atomic():
        execution.fence()
        Project.objects.select_for_update(no_key=True).get(pk=execution.run.project_id or 0)  # two runs take turns
        NoiseScore.objects.filter(comparison__project=execution.run.project, method=method).delete()
        NoiseScore.objects.bulk_create(rows, batch_size=BATCH)
    execution.progress(len(rows), len(ids), note=method)
    return len(rows)

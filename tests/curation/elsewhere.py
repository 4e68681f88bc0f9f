"""One world in a database of its own, in a process of its own: built, and told by its hashes.

python tests/curation/elsewhere.py SEED     rows are inserted in an order drawn by it, and ids begin somewhere else
"""

from __future__ import annotations

import json
import os
import random
import sys
from pathlib import Path
from typing import Any

RECIPES: dict[str, dict[str, Any]] = {
    "plain": {},
    "auto": {"method": "auto", "target": "tie-aware"},
    "items": {"method": "crowd-bt"},
    "aspect": {"aspect": "style", "method": "majority"},
    "everything": {
        "method": "joint",
        "ties": "keep",
        "both_bad": "keep",
        "where": {"source": ["s0", "s1", "s2"]},
        "min_agreement": 0.3,
        "deidentify": {"texts": ["email"], "raters": "pseudonyms", "metadata": ["source"]},
        "near_duplicates": {"threshold": 0.7},
        "balance": {"by": "side", "most": 0.6},
        "split": {"by": "cluster", "seed": 3},
    },
    "contamination": {
        "decontaminate": {"against": ["near", "far"], "words": 3},
        "near_duplicates": {"threshold": 0.6, "of": "prompt"},
        "deidentify": {"raters": "none"},
        "balance": {"by": "source", "most": 20},
    },
}
N = 60


def make(seed: int) -> Any:
    """The same comparisons, judgements and decisions for every seed; only their order and ids differ."""
    from annotate.models import Adjudication
    from curation.models import NoiseDecision, NoiseTreatment
    from tests.build import (
        make_comparison,
        make_evaluation_set,
        make_judge,
        make_judgement,
        make_project,
        make_rater,
        make_user,
    )

    order = random.Random(seed)
    for _ in range(seed):
        make_comparison(make_project())  # ids begin further on
    project = make_project("world", overlap=3)
    raters = order.sample([f"r{i}" for i in range(5)], 5)
    people = {name: make_rater(project, name) for name in raters}
    judge = make_judge(project).rater
    expert = make_user("expert")
    for name in order.sample(["near", "far"], 2):
        make_evaluation_set(project, name, "Topic 3: w126 w127 w128", "Topic 4: w168 w169 w170")
    treatment = NoiseTreatment.objects.create(project=project, policy={})
    for i in order.sample(range(N), N):
        prompt = f"Topic {i // 6}: " + " ".join(f"w{(i // 2) * 7 + k}" for k in range(12))
        comparison = make_comparison(
            project,
            f"c{i:03}",
            prompt=prompt,
            a=f"Answer {i % 2} of mine.",
            b=f"Write to me{i // 2}@corp.org.",  # stands in two comparisons
            group=f"g{i // 3}",
            metadata={"source": f"s{i % 4}", "by": f"u{i}"},
        )
        for k in order.sample(range(3), 3):
            said = (
                (-1 if i % 5 < 3 else 1) * (1 + (i + k) % 3) * (0 if i % 11 == 3 else -1 if (i + 3 * k) % 7 == 0 else 1)
            )
            bad = i % 20 == 7
            style = {"style": [-1, 1, 0][i % 3]} if k else {}
            make_judgement(
                comparison, people[f"r{(i + k) % 5}"], None if bad else said, both_bad=bad, aspects=style,
                order="ab" if (i + k) % 2 else "ba",
            )  # fmt: skip
        if i % 2:
            for repeat in order.sample(range(2), 2):
                make_judgement(comparison, judge, 1 if i % 3 else -1, repeat=repeat, order="ba" if repeat else "ab")
        if i % 15 == 4:
            Adjudication.objects.create(comparison=comparison, preference=-1, reason="so", by=expert)
        if i % 15 == 8:
            NoiseDecision.objects.create(
                treatment=treatment, comparison=comparison, action="flip", method="ensemble", score=0.9, cause="doubt"
            )
    return project


def build(project: Any, name: str, recipe: dict[str, Any]) -> dict[str, Any]:
    from curation.services import building
    from tiebreak.runs import ledger

    version = building.start(name, project, recipe, by=None, wake=False)
    ledger.execute(version.run_id or 0)
    version.refresh_from_db()
    return {
        "rows": version.rows_sha256,
        "chain": version.chain_sha256,
        "files": {file.name: file.artifact_id for file in version.files.all()},
        "counts": version.counts,
        "dropped": version.dropped,
        "changed": version.changed,
        "causes": sorted(version.dropped_rows.values_list("comparison__external_id", "rule", "cause")),
        "consensus": version.statistics["consensus"],
    }


def main(seed: int) -> None:
    sys.path[:0] = [str(Path(__file__).resolve().parents[2] / part) for part in ("", "platform")]
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tiebreak.settings")
    import django

    django.setup()
    project = make(seed)
    print(json.dumps({name: build(project, name, recipe) for name, recipe in RECIPES.items()}))


if __name__ == "__main__":
    main(int(sys.argv[1]))

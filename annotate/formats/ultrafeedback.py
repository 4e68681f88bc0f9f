"""UltraFeedback: an instruction, completions by several models, and GPT-4's scores of each. openbmb/UltraFeedback.

Every two completions that GPT-4 scored differently are a comparison, with its judgement.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any, Final

from .foreign import gathered, key, named, record_of
from .rows import Completion, Row, RowError, items, metadata, name, number, pair, turns

SCORES: Final = ("fine-grained_score", "overall_score", "score")
JUDGE: Final = "gpt-4"


def parse(record: Any, source: str) -> list[Row]:
    """The comparisons of one record. Raises RowError."""
    record = record_of(record, "instruction", "completions")
    with named({"prompt": "instruction"}):
        prompt = turns(record["instruction"], "prompt", role="user")
    made = [
        _completion(entry, f"completions[{n}]") for n, entry in enumerate(items(record["completions"], "completions"))
    ]
    own = key(record, "id", of=[prompt.sha256])
    rows = [
        pair(
            f"{own}/{better.id}~{worse.id}", better=better, worse=worse, source=JUDGE, kind="judge", prompt=prompt,
            group=prompt.sha256, metadata=metadata(gathered(record, "source")),
        )
        for better, worse in _ordered(made)
    ]  # fmt: skip
    if not rows:
        raise RowError("completions", f"expected two with different scores, got {len(made)} without")
    if len({row.id for row in rows}) < len(rows):
        raise RowError("completions", "expected each model once, got one of them twice")
    return rows


def _ordered(made: list[Completion]) -> list[tuple[Completion, Completion]]:
    """(better, worse) for every two whose scores differ."""
    both = [(x, y) for x, y in combinations(made, 2) if x.score is not None and y.score is not None]
    return [(x, y) if (x.score or 0) > (y.score or 0) else (y, x) for x, y in both if x.score != y.score]


def _completion(entry: Any, field: str) -> Completion:
    with named({"model": f"{field}.model", "response": f"{field}.response", "row": field}):
        entry = record_of(entry, "model", "response")
    model = name(entry["model"], f"{field}.model")
    return Completion(
        turns(entry["response"], f"{field}.response", role="assistant"), model, id=model, score=_score(entry, field)
    )


def _score(entry: Mapping[str, Any], field: str) -> float | None:
    for kind in SCORES:
        if entry.get(kind) is not None:
            return number(entry[kind], f"{field}.{kind}")
    return None

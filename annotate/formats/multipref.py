"""MultiPref: two completions, and the judgements of normal and of expert workers by aspect. allenai/multipref."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from .foreign import gathered, key, named, one_of, record_of, told
from .rows import Row, items

NAMES: Final = {"prompt": "text", "generator_a": "model_a", "generator_b": "model_b", "group": "prompt_id"}
SCALE: Final = {
    "A-is-clearly-better": -2, "A-is-slightly-better": -1, "Tie": 0, "B-is-slightly-better": 1,
    "B-is-clearly-better": 2,
}  # fmt: skip
ASPECTS: Final = {"helpful": "helpfulness", "truthful": "truthfulness", "harmless": "harmlessness"}
LISTS: Final = ("normal_worker_annotations", "expert_worker_annotations")


def parse(record: Any, source: str) -> list[Row]:
    """One comparison with every judgement; which workers were experts is in the metadata. Raises RowError."""
    record = record_of(record, "text", "completion_a", "completion_b")
    said = [
        (field, _judgement(entry, f"{field}[{n}]"))
        for field in LISTS
        for n, entry in enumerate(items(record.get(field) or [], field))
    ]
    experts = sorted({one["rater"] for field, one in said if field == LISTS[1]})
    row = {
        "id": key(record, "comparison_id", of=[record["text"], record["completion_a"], record["completion_b"]]),
        "prompt": record["text"],
        "completion_a": record["completion_a"],
        "completion_b": record["completion_b"],
        "generator_a": record.get("model_a"),
        "generator_b": record.get("model_b"),
        "group": record.get("prompt_id"),
        "judgements": [one for _, one in said],
        "metadata": gathered(record, "source", "category", "subject_of_study", "highest_level_degree")
        | ({"experts": experts} if experts else {}),
    }
    return told(row, NAMES, source)


def _judgement(entry: Any, field: str) -> dict[str, Any]:
    with named({"evaluator": f"{field}.evaluator", "overall_pref": f"{field}.overall_pref", "row": field}):
        entry = record_of(entry, "evaluator", "overall_pref")
    aspects = {
        ours: one_of(entry[f"{theirs}_pref"], SCALE, f"{field}.{theirs}_pref")
        for theirs, ours in ASPECTS.items()
        if entry.get(f"{theirs}_pref")
    }
    return {
        "rater": str(entry["evaluator"]),
        "kind": "annotator",
        "preference": one_of(entry["overall_pref"], SCALE, f"{field}.overall_pref"),
        "aspects": aspects,
        "reasons": _reasons(entry),
        "seconds": entry.get("time_spent"),
        "submitted_at": entry.get("timestamp"),
    }


def _reasons(entry: Mapping[str, Any]) -> list[Any]:
    """Each ticked reason once, in the order of the aspects."""
    lists = [entry.get(f"{theirs}_checked_reasons") for theirs in ASPECTS]
    ticked = [reason for told in lists if isinstance(told, list) for reason in told]
    return list(dict.fromkeys(reason for reason in ticked if isinstance(reason, str) and reason))

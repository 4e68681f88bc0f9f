"""HelpSteer2-Preference and HelpSteer3: -3 much favours the first response, 3 the second, with statements of why.

Sources: nvidia/HelpSteer2, preference/; nvidia/HelpSteer3, preference. Their annotators have no names: the first one of
a row is "annotator 1" of the file, who is not one person over the rows, so what is learned of "them" means little.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from .foreign import gathered, key, record_of, told
from .rows import Row, RowError, items, preference

NEITHER: Final = -100  # neither response is valid
TWO: Final = {"prompt": "prompt", "completion_a": "response_1", "completion_b": "response_2"}
THREE: Final = {"prompt": "context", "completion_a": "response1", "completion_b": "response2"}


def parse(record: Any, source: str) -> list[Row]:
    """One comparison with every judgement that the file has, the unprocessed ones where they are. Raises RowError."""
    if isinstance(record, Mapping) and "context" in record:
        names, said = THREE, _list(record, "individual_preference", "score", source)
        record = record_of(record, "response1", "response2")
    else:
        names, record = TWO, record_of(record, "prompt", "response_1", "response_2")
        field = next(
            (f for f in ("all_preferences_unprocessed", "three_most_similar_preferences") if record.get(f)), ""
        )
        said = _list(record, field, "strength", source) if field else [_overall(record, source)]
    texts = [record[field] for field in names.values()]
    row = {
        "id": key(record, "id", of=texts),
        "prompt": texts[0],
        "completion_a": texts[1],
        "completion_b": texts[2],
        "judgements": said,
        "metadata": gathered(record, "split", "domain", "language"),
    }
    return told(row, names, source)


def _list(record: Mapping[str, Any], field: str, strength: str, source: str) -> list[dict[str, Any]]:
    found = items(record.get(field), field)
    return [
        _judgement(record_of(entry, strength), strength, f"{field}[{n}]", f"{source} annotator {n + 1}")
        for n, entry in enumerate(found)
    ]


def _overall(record: Mapping[str, Any], source: str) -> dict[str, Any]:
    if record.get("preference_strength") is None:
        raise RowError("preference_strength", "expected a strength from -3 to 3, got nothing")
    told = {"statement": record.get("preference_statement"), "elaboration": record.get("preference_elaboration")}
    return _judgement({"strength": record["preference_strength"], **told}, "strength", "preference_strength", source)


def _judgement(entry: Mapping[str, Any], strength: str, field: str, rater: str) -> dict[str, Any]:
    said = preference(None if entry[strength] == NEITHER else entry[strength], f"{field}.{strength}")
    why = [entry.get(part) for part in ("statement", "elaboration", "reasoning")]
    return {
        "rater": rater,
        "kind": "annotator",
        "preference": said,
        "both_bad": entry[strength] == NEITHER,
        "justification": "\n".join(part for part in why if isinstance(part, str) and part),
    }

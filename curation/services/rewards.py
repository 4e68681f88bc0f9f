"""Reward models as the web process sees them: their rows and their runs. Nothing here imports torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from curation.models import RewardModel
from tiebreak.core.errors import Invalid
from tiebreak.core.text import TextError, clean_json, clean_text
from tiebreak.runs import ledger
from tiebreak.runs.models import Run


def start_scoring(model: RewardModel, rows: Sequence[Mapping[str, Any]], *, by: Any) -> Run:
    """Queue the scoring of rows {prompt, completion}; the run's result holds `rewards`, in their order."""
    checked = [_row(row, number) for number, row in enumerate(rows, 1)]
    params = {"model": model.pk, "rows": checked}
    return ledger.start("score", project=model.project, params=params, by=by)


def _row(row: Mapping[str, Any], number: int) -> dict[str, Any]:
    """A row as text and messages; raises Invalid naming row and field."""
    try:
        if set(row) != {"prompt", "completion"}:
            raise TextError("fields", "prompt and completion", ", ".join(sorted(row)) or "none")
        prompt = row["prompt"]
        if isinstance(prompt, str):
            messages = [{"role": "user", "content": clean_text(prompt, field="prompt")}]
        else:
            messages = clean_json(prompt, "prompt")
            if not isinstance(messages, list) or not all(_is_message(m) for m in messages):
                raise TextError("prompt", "text or a list of {role, content}", type(prompt).__name__)
        if not isinstance(row["completion"], str):
            raise TextError("completion", "text", type(row["completion"]).__name__)
        return {"prompt": messages, "completion": clean_text(row["completion"], field="completion")}
    except TextError as error:
        raise Invalid(f"row {number}: {error}", field=f"rows[{number - 1}]") from error


def _is_message(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and set(value) == {"role", "content"}
        and all(isinstance(v, str) for v in value.values())
    )

r"""HH-RLHF: `chosen` and `rejected` are whole transcripts, "\n\nHuman: …\n\nAssistant: …", that part at the end."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from .rows import Completion, Row, RowError, Turns, metadata, pair, text
from .trl import implicit, key_of

TURN: Final = re.compile(r"\n\n(Human|Assistant): ?")
ROLE: Final = {"Human": "user", "Assistant": "assistant"}


def parse(record: Any, source: str) -> list[Row]:
    """One comparison. Raises RowError."""
    if not isinstance(record, Mapping):
        raise RowError("row", f"expected an object with chosen and rejected, got {type(record).__name__}")
    sides = (transcript(record.get("chosen"), "chosen"), transcript(record.get("rejected"), "rejected"))
    prompt, chosen, rejected = implicit(*sides)
    extra = {key: value for key, value in record.items() if key not in ("id", "chosen", "rejected")}
    return [
        pair(
            key_of(record, prompt, chosen, rejected),
            better=Completion(_text(chosen)),
            worse=Completion(_text(rejected)),
            source=source,
            prompt=prompt,
            group=prompt.sha256,
            metadata=metadata(extra),
        )
    ]


def transcript(value: Any, field: str) -> Turns:
    """The turns of a transcript. Blank lines and names between turns are the format's; the rest stays as it is."""
    written = text(value, field)
    parts = TURN.split(written)
    if parts[0] or len(parts) < 3:
        raise RowError(field, f'expected a transcript that begins with "\\n\\nHuman:", got {written[:40]!r}')
    messages = tuple(
        {"role": ROLE[speaker], "content": said} for speaker, said in zip(parts[1::2], parts[2::2], strict=True)
    )
    if messages[-1]["role"] != "assistant":
        raise RowError(field, "expected the last turn to be the Assistant's, got the Human's")
    return Turns(messages, is_text=False)


def _text(turns: Turns) -> Turns:
    return Turns(turns.messages, is_text=len(turns.messages) == 1)

"""TRL's preference pairs: `prompt`, `chosen`, `rejected`; as text or messages; the prompt given or implied.

Other columns are kept as metadata. The preference becomes one judgement (see `rows.pair`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from .rows import Completion, Row, RowError, Turns, digest, metadata, name, pair, turns

OWN: Final = ("id", "prompt", "chosen", "rejected")


def parse(record: Any, source: str) -> list[Row]:
    """One comparison. Raises RowError."""
    if not isinstance(record, Mapping):
        raise RowError("row", f"expected an object with chosen and rejected, got {type(record).__name__}")
    chosen = turns(record.get("chosen"), "chosen", role="assistant")
    rejected = turns(record.get("rejected"), "rejected", role="assistant")
    if record.get("prompt") is None:
        prompt, chosen, rejected = implicit(chosen, rejected)
    else:
        prompt = turns(record["prompt"], "prompt", role="user")
        chosen, rejected = (
            without_prompt(side, prompt, field) for side, field in ((chosen, "chosen"), (rejected, "rejected"))
        )
    extra = {key: value for key, value in record.items() if key not in OWN}
    return [
        pair(
            key_of(record, prompt, chosen, rejected),
            better=Completion(chosen),
            worse=Completion(rejected),
            source=source,
            prompt=prompt,
            group=prompt.sha256,
            metadata=metadata(extra),
        )
    ]


def key_of(record: Mapping[str, Any], prompt: Turns, chosen: Turns, rejected: Turns) -> str:
    """The record's own id, or a hash of what it says."""
    own = record.get("id")
    if own is None:
        return digest([prompt.sha256, chosen.sha256, rejected.sha256])[:32]
    return name(str(own) if isinstance(own, int) else own, "id")


def implicit(chosen: Turns, rejected: Turns) -> tuple[Turns, Turns, Turns]:
    """Split two conversations where they part: (prompt, chosen, rejected)."""
    if chosen.is_text or rejected.is_text:
        raise RowError("prompt", "expected a prompt, since chosen and rejected are texts, got nothing")
    shared = 0
    for one, other in zip(chosen.messages, rejected.messages, strict=False):
        if one != other:
            break
        shared += 1
    if shared == 0:
        raise RowError("prompt", "expected a prompt, or that chosen and rejected begin alike, got neither")
    prompt = Turns(chosen.messages[:shared], is_text=False)
    return prompt, _after(chosen, shared, "chosen"), _after(rejected, shared, "rejected")


def without_prompt(side: Turns, prompt: Turns, field: str) -> Turns:
    """A side as the completion alone: some files repeat the prompt's messages in both sides."""
    count = len(prompt.messages)
    if not side.is_text and side.messages[:count] == prompt.messages:
        return _after(side, count, field)
    return _after(side, 0, field)


def _after(side: Turns, start: int, field: str) -> Turns:
    rest = side.messages[start:]
    if not rest:
        raise RowError(field, "expected an answer of its own after what both sides share, got none")
    if rest[0]["role"] != "assistant":
        raise RowError(field, f"expected the two to part at an assistant message, got one of {rest[0]['role']}")
    return Turns(rest, side.is_text)

"""A conversation as plain text, the same for every encoder."""

from __future__ import annotations

from collections.abc import Sequence

from models_rt.records import Message


def plain(prompt: Sequence[Message]) -> str:
    """One turn as it stands; several turns each under its role."""
    if len(prompt) == 1:
        return prompt[0]["content"]
    return "\n\n".join(f"{m['role']}: {m['content']}" for m in prompt)


def with_completion(prompt: Sequence[Message], completion: str) -> str:
    """The prompt, a blank line, the completion."""
    return f"{plain(prompt)}\n\n{completion}" if prompt else completion

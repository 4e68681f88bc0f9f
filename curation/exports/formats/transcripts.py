"""Messages as the one text that trainers without chat templates read, in the manner of Anthropic's hh-rlhf.

A prompt ends where the reply begins ("\\n\\nHuman: …\\n\\nAssistant:") and a completion begins with a space, so that
the two join as they stand.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from curation.exports.schema import Message

_SPEAKERS: Final = {"user": "Human", "assistant": "Assistant", "system": "System"}


def prompt_text(messages: Sequence[Message]) -> str:
    """All turns, and the name of who replies."""
    return f"{_turns(messages)}\n\nAssistant:"


def reply_text(messages: Sequence[Message]) -> str:
    """The first turn continues the prompt's last line; further turns of a reply, which are rare, follow it."""
    return f" {messages[0]['content']}{_turns(messages[1:])}"


def plain_text(messages: Sequence[Message]) -> str:
    """One message as it stands; several as a transcript."""
    return messages[0]["content"] if len(messages) == 1 else _turns(messages).lstrip("\n")


def _turns(messages: Sequence[Message]) -> str:
    return "".join(f"\n\n{_SPEAKERS.get(m['role'], m['role'].capitalize())}: {m['content']}" for m in messages)

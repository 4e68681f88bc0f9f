"""Prompt templates: versioned files, rendered so that what is judged stays data."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from string import Template
from typing import Final

from models_rt.records import Message, Pair

HEADER: Final = re.compile(
    r"---\nname: (?P<name>\w+)\nversion: (?P<version>\d+)\n---\n"
    r"=== system ===\n(?P<system>.*?)\n=== user ===\n(?P<user>.*)",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Prompt:
    """One template file: its name, its version and the two messages' templates."""

    name: str
    version: int
    system: Template
    user: Template


@cache
def load(name: str) -> Prompt:
    """The packaged template called `name`; ValueError where its header or a section is missing."""
    text = files("models_rt.judges").joinpath("prompts", f"{name}.md").read_text(encoding="utf-8")
    found = HEADER.fullmatch(text)
    if found is None:
        raise ValueError(f"prompt {name}: expected a header with name and version, then a system and a user section")
    user = found["user"].rstrip("\n")
    return Prompt(found["name"], int(found["version"]), Template(found["system"]), Template(user))


def mark(*parts: str) -> str:
    """The fence mark of one call: 12 hex digits of a hash over all that the call shows.

    No text can contain the mark of the call that shows it, short of finding a fixed point of SHA-256.
    """
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]


def conversation(messages: tuple[Message, ...], fence: str) -> str:
    """The turns of a conversation, each inside its own fence."""
    turns = [
        f"[BEGIN conversation, turn {n}, {_role(m['role'])} {fence}]\n{m['content']}\n"
        f"[END conversation, turn {n}, {_role(m['role'])} {fence}]\n"
        for n, m in enumerate(messages, 1)
    ]
    return "\n".join(turns)


def extras(pair: Pair, fence: str) -> str:
    """The reference answer and the context to judge under, where the pair has them."""
    named = (("reference answer", pair.reference), ("context", pair.context))
    return "".join(f"\n[BEGIN {n} {fence}]\n{text}\n[END {n} {fence}]\n" for n, text in named if text)


def material(pair: Pair) -> tuple[str, ...]:
    """All texts of a pair that others wrote, and that a judge could take for its own words."""
    return (pair.a, pair.b, pair.reference or "", pair.context or "", *(m["content"] for m in pair.prompt))


def render(
    name: str, pair: Pair, first: str, second: str, *salt: str, rubric: str = ""
) -> tuple[tuple[Message, ...], str]:
    """The messages of one call and its mark. `first` and `second` are the completions in the order shown."""
    template = load(name)
    fence = mark(name, str(template.version), _canonical(pair), first, second, rubric, *salt)
    values = {
        "mark": fence,
        "conversation": conversation(pair.prompt, fence),
        "extras": extras(pair, fence),
        "first": first,
        "second": second,
        "rubric": rubric,
    }
    system = Message(role="system", content=template.system.substitute(values))
    return (system, Message(role="user", content=template.user.substitute(values))), fence


def _canonical(pair: Pair) -> str:
    return json.dumps([pair.id, list(pair.prompt), pair.reference, pair.context])


def _role(role: str) -> str:
    """A role as the fence line shows it: nothing in it can end the line."""
    return re.sub(r"[^\w-]", "", role)[:20] or "unknown"

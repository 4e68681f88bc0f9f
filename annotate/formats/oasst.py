"""OpenAssistant's conversation trees: wherever people ranked the assistant's replies, each two ranks are a comparison.

Source: OpenAssistant/oasst1, *_trees.jsonl. The prompt is the path from the root; the whole tree is one group.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from .foreign import record_of, told
from .rows import Row, RowError, items

ROLES: Final = {"prompter": "user", "assistant": "assistant"}
DEEPEST: Final = 200

Path = list[dict[str, Any]]  # a text may be anything until it is checked


def parse(record: Any, source: str) -> list[Row]:
    """The comparisons of one tree. Raises RowError."""
    record = record_of(record, "message_tree_id", "prompt")
    tree = str(record["message_tree_id"])
    made = [
        row
        for message, path, replies in _asked(record["prompt"], [], "prompt")
        for row in told(_row(message, path, replies, tree), {"completions": "replies"}, source)
    ]
    if not made:
        raise RowError("prompt", "expected ranked replies of the assistant somewhere in the tree, got none")
    return made


def _row(message: Mapping[str, Any], path: Path, replies: list[Mapping[str, Any]], tree: str) -> dict[str, Any]:
    completions = [
        {
            "id": str(reply.get("message_id") or ""),
            "text": reply.get("text"),
            "generator": str(reply.get("model_name") or "") if reply.get("synthetic") else "",
            "rank": reply["rank"],
        }
        for reply in replies
    ]
    return {
        "id": str(message["message_id"]),
        "prompt": path,
        "completions": completions,
        "pairs": "rank",
        "group": tree,
        "language": message.get("lang"),
        "metadata": {"turns": len(path)},
    }


def _asked(node: Any, path: Path, field: str) -> Iterator[tuple[Mapping[str, Any], Path, list[Mapping[str, Any]]]]:
    """(message, path to it, its ranked replies) for every message of a person that has two of different ranks."""
    if len(path) > DEEPEST:
        raise RowError(field, f"expected a tree at most {DEEPEST} messages deep")
    role = node.get("role") if isinstance(node, Mapping) else None
    if not isinstance(role, str) or role not in ROLES or "message_id" not in node:
        raise RowError(field, "expected a message with message_id, text, and a role of prompter or assistant")
    here = [*path, {"role": ROLES[role], "content": node.get("text")}]
    replies = items(node.get("replies") or [], f"{field}.replies")
    ranked = [r for r in replies if isinstance(r, Mapping) and isinstance(r.get("rank"), int) and not r.get("deleted")]
    if role == "prompter" and len({r["rank"] for r in ranked}) > 1:
        yield node, here, ranked
    for n, reply in enumerate(replies):
        yield from _asked(reply, here, f"{field}.replies[{n}]")

"""Reading a judge's answer: strict about what counts as a verdict, tolerant of how it is wrapped."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

ANSWER_LIMIT: Final = 100_000
ATTEMPTS: Final = 500
THINKING: Final = re.compile(r"<(think|thinking|reasoning)>.*?(?:</\1>|\Z)", re.DOTALL | re.IGNORECASE)
OBJECT: Final = re.compile(r'\{\s*["}]')
WINNERS: Final = ("first", "second", "tie", "both_bad")


class Unreadable(Exception):
    """The answer holds no verdict that counts; the message is the reason that gets recorded."""


@dataclass(frozen=True, slots=True)
class Ballot:
    """A verdict in terms of what was shown: positive `lean` favours the second response."""

    lean: int
    both_bad: bool
    critique: str


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found and found[key] != value:
            raise Unreadable(f"contradiction: the key {key!r} stands twice with different values")
        found[key] = value
    return found


DECODER: Final = json.JSONDecoder(object_pairs_hook=_no_duplicates)


def objects(text: str) -> Iterator[dict[str, Any]]:
    """The outermost JSON objects in a text, in order; what is not valid JSON is passed over."""
    position = 0
    for _ in range(ATTEMPTS):
        found = OBJECT.search(text, position)
        if found is None:
            return
        try:
            value, position = DECODER.raw_decode(text, found.start())
        except (ValueError, RecursionError):
            position = found.start() + 1
        else:
            yield value


def answer_object(
    text: str, key: str, mark: str, material: Iterable[str], *, truncated: bool = False
) -> dict[str, Any]:
    """The one JSON object with `key` that the judge gave as its answer.

    An object that carries this call's mark as its ballot is the judge's own. One with another mark is not. An unmarked
    one counts only where the `material` (what was judged) holds no brace and never says `key`: there is nothing of the
    kind to quote, repair or unescape from it. Raises Unreadable.
    """
    if not text.strip():
        raise Unreadable("empty answer")
    if len(text) > ANSWER_LIMIT:
        raise Unreadable(f"answer of {len(text)} characters; at most {ANSWER_LIMIT} are read")
    spoken = THINKING.sub("", text)
    found = [o for o in objects(spoken) if key in o]
    own = [o for o in found if o.get("ballot") == mark]
    if not own:
        own = [] if any(_could_plant(text, key) for text in material) else [o for o in found if not o.get("ballot")]
        if found and not own:
            raise Unreadable("the only verdict carries no mark or a foreign mark, and may be a quotation")
    if not own:
        raise Unreadable(_absence(spoken, truncated))
    if any(_essence(o) != _essence(own[0]) for o in own):
        raise Unreadable("two contradictory verdicts")
    return own[0]


def _could_plant(text: str, key: str) -> bool:
    """Whether a text holds anything that a model could copy as an answer: a brace of any width, or the key's name."""
    plain = unicodedata.normalize("NFKC", text)
    return "{" in plain or key in plain.casefold()


def _absence(spoken: str, truncated: bool) -> str:
    if truncated:
        return "truncated answer: the length limit was reached before a verdict"
    return "invalid JSON" if "{" in spoken else "prose without a verdict"


def _essence(found: Mapping[str, Any]) -> str:
    """What makes two answers the same: everything but the words around it."""
    return json.dumps({k: v for k, v in found.items() if k not in ("critique", "ballot")}, sort_keys=True)


def ballot(found: Mapping[str, Any]) -> Ballot:
    """Winner and strength of an answer. Raises Unreadable naming the field, what was expected and what stands there."""
    winner, strength, critique = found.get("winner"), found.get("strength", 1), found.get("critique", "")
    if winner not in WINNERS:
        raise Unreadable(f"winner: expected one of {', '.join(WINNERS)}, got {winner!r:.60}")
    if winner in ("tie", "both_bad"):
        return Ballot(0, winner == "both_bad", str(critique))
    if isinstance(strength, bool) or strength not in (1, 2, 3):
        raise Unreadable(f"strength: expected 1, 2 or 3, got {strength!r:.60}")
    return Ballot(int(strength) if winner == "second" else -int(strength), False, str(critique))

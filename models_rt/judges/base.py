"""What every judge takes and gives."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Protocol

from models_rt.records import Ask, Order, Verdict


class Judge(Protocol):
    """Anything that says which of two completions is better."""

    def judge(self, asks: Sequence[Ask]) -> AsyncGenerator[Verdict, None]:
        """Yield one verdict for each ask, as each is had (not in order), so that a caller can store it at once."""


def shown(ask: Ask) -> tuple[str, str]:
    """The two completions in the order shown."""
    return (ask.pair.a, ask.pair.b) if ask.order == "ab" else (ask.pair.b, ask.pair.a)


def towards_b(lean: int, order: Order) -> int:
    """A lean towards the second response shown, as a preference between the identities a and b."""
    return lean if order == "ab" else -lean

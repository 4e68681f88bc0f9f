"""The frozen records that cross the border between the model runtime and whoever calls it."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, TypedDict

Order = Literal["ab", "ba"]
Status = Literal["parsed", "unparsed", "failed"]


class Message(TypedDict):
    """One turn of a conversation."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Criterion:
    """One axis of a rubric: an explicit requirement (hard rule) or an implicit quality (principle)."""

    kind: Literal["hard_rule", "principle"]
    text: str


@dataclass(frozen=True, slots=True)
class Pair:
    """What a judge or a scorer receives: a prompt and two completions, known by identity, never by position."""

    id: str
    prompt: tuple[Message, ...]
    a: str
    b: str
    reference: str | None = None
    context: str | None = None
    criteria: tuple[Criterion, ...] = ()


@dataclass(frozen=True, slots=True)
class Ask:
    """One call to make: `order` says which completion is shown first, `repeat` tells equal calls apart."""

    pair: Pair
    order: Order
    repeat: int = 0


@dataclass(frozen=True, slots=True)
class Usage:
    """What one call cost. Token counts are None where the server did not say; an unknown price is 0."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    latency_ms: int = 0
    price: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class Verdict:
    """One call's outcome, mapped back to the identities a and b.

    `failed` means that no answer could be had, `unparsed` that the answer says nothing readable; `reason` tells why.
    `preference` is below 0 for a, above 0 for b, 0 for a tie, and None unless parsed.
    `probability_b` is the probability that b is better, where the kind of judge gives one. `prompt_version` names the
    template of the prompt, like `pairwise@1`: with the pair, the rubric and the order it gives the prompt again, which
    `prompt_sha256` proves. Empty for a judge that scores.
    """

    pair_id: str
    order: Order
    repeat: int
    status: Status
    preference: int | None
    both_bad: bool
    probability_b: float | None
    critique: str
    raw: str
    reason: str
    prompt_sha256: str
    model: str
    usage: Usage
    prompt_version: str = ""


@dataclass(frozen=True, slots=True)
class PreferenceRow:
    """One row of a dataset version as training reads it. `margin` is the mean strength, None where unknown.

    `probability` is the probability that `chosen` is preferred, half of a tie's in it: the soft label. `tie` is that of
    a tie, 0 where the version knows none.
    """

    id: str
    prompt: tuple[Message, ...]
    chosen: str
    rejected: str
    margin: float | None
    weight: float
    split: str
    group: str
    probability: float = 1.0
    tie: float = 0.0

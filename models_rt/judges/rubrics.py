"""Rubrics from contrast: what makes the preferred completion better, kept only if it reproduces known preferences.

The method is Contrastive Rubric Generation with preference-label consistency (OpenRubrics, arXiv 2510.07743).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from models_rt.backends.base import Backend, BackendError, Completion, Request
from models_rt.records import Ask, Criterion, Pair, Usage, Verdict

from .base import Judge
from .generative import closed_object
from .prompting import load, material, render
from .reading import Unreadable, answer_object

MAX_HARD_RULES: Final = 4
MAX_PRINCIPLES: Final = 6
MAX_CHARACTERS: Final = 300


@dataclass(frozen=True, slots=True)
class Proposal:
    """The criteria proposed from one pair, with their evidence. No criteria: `reason` says why."""

    pair_id: str
    criteria: tuple[Criterion, ...]
    reason: str
    raw: str
    prompt_sha256: str
    prompt_version: str
    model: str
    usage: Usage


@dataclass(frozen=True, slots=True)
class PairResult:
    """What a judge with the rubric said of one pair, both orders summed. `predicted`: -1, 0, 1; None: unreadable."""

    pair_id: str
    known: int
    predicted: int | None
    reproduced: bool
    verdicts: tuple[Verdict, ...]


@dataclass(frozen=True, slots=True)
class Reproduction:
    """How well a rubric reproduces known preferences: `accuracy` over all pairs asked, None for no pairs."""

    results: tuple[PairResult, ...]
    accuracy: float | None


async def propose(pair: Pair, preferred: Literal["a", "b"], backend: Backend, *, max_tokens: int = 1024) -> Proposal:
    """Ask for the criteria that tell the preferred completion from the other. A bad answer is a reason, no error."""
    if preferred not in ("a", "b"):
        raise ValueError(f"preferred: expected 'a' or 'b', got {preferred!r}")
    first, second = (pair.a, pair.b) if preferred == "a" else (pair.b, pair.a)
    messages, mark = render("propose_rubric", pair, first, second)
    request = Request(messages, _schema(mark), 0.0, max_tokens)
    outcome = await _one(backend, request)
    version = f"propose_rubric@{load('propose_rubric').version}"
    if isinstance(outcome, BackendError):
        spent = Usage(latency_ms=outcome.latency_ms)
        return Proposal(pair.id, (), outcome.reason, "", request.sha256, version, backend.model, spent)
    criteria: tuple[Criterion, ...] = ()
    reason = ""
    try:
        found = answer_object(outcome.text, "criteria", mark, material(pair), truncated=outcome.truncated)
        criteria = read_criteria(found["criteria"])
    except Unreadable as error:
        reason = str(error)
    return Proposal(pair.id, criteria, reason, outcome.text, request.sha256, version, outcome.model, outcome.usage)


async def reproduces(criteria: Sequence[Criterion], pairs: Sequence[tuple[Pair, int]], judge: Judge) -> Reproduction:
    """Judge pairs of known preference (below 0: a, above 0: b) by the criteria, each in both orders.

    A pair is reproduced when the summed preferences have the known sign; one with an unreadable verdict is not.
    Keep a rubric when `accuracy` reaches your threshold.
    """
    if not criteria:
        raise ValueError("criteria: expected at least one, got none")
    known = {pair.id: preference for pair, preference in pairs}
    if len(known) != len(pairs):
        raise ValueError("pairs: expected distinct ids")
    if any(preference == 0 for preference in known.values()):
        raise ValueError("pairs: expected strict preferences, got a tie")
    judged = [replace(pair, criteria=tuple(criteria)) for pair, _ in pairs]
    verdicts: dict[str, list[Verdict]] = defaultdict(list)
    async for verdict in judge.judge([Ask(pair, order) for pair in judged for order in ("ab", "ba")]):
        verdicts[verdict.pair_id].append(verdict)
    results = tuple(_result(pair.id, known[pair.id], verdicts[pair.id]) for pair in judged)
    accuracy = sum(r.reproduced for r in results) / len(results) if results else None
    return Reproduction(results, accuracy)


def read_criteria(found: object) -> tuple[Criterion, ...]:
    """Criteria from a parsed answer, equals merged. Raises Unreadable naming what does not fit."""
    if not isinstance(found, list) or not found:
        raise Unreadable("criteria: expected a list with at least one criterion")
    criteria = tuple(dict.fromkeys(_criterion(n, entry) for n, entry in enumerate(found, 1)))
    for kind, most in (("hard_rule", MAX_HARD_RULES), ("principle", MAX_PRINCIPLES)):
        count = sum(c.kind == kind for c in criteria)
        if count > most:
            raise Unreadable(f"criteria: expected at most {most} of kind {kind}, got {count}")
    return criteria


def _criterion(number: int, entry: object) -> Criterion:
    if not isinstance(entry, Mapping) or set(entry) != {"kind", "text"}:
        raise Unreadable(f"criterion {number}: expected an object with kind and text")
    kind, text = entry["kind"], entry["text"]
    if kind not in ("hard_rule", "principle"):
        raise Unreadable(f"criterion {number}: expected kind hard_rule or principle, got {kind!r:.40}")
    if not isinstance(text, str) or not 0 < len(text.strip()) <= MAX_CHARACTERS:
        raise Unreadable(f"criterion {number}: expected a text of 1 to {MAX_CHARACTERS} characters")
    return Criterion(kind, " ".join(text.split()))


def _result(pair_id: str, known: int, verdicts: Sequence[Verdict]) -> PairResult:
    preferences = [v.preference for v in verdicts if v.preference is not None]
    if not verdicts or len(preferences) < len(verdicts):
        return PairResult(pair_id, known, None, False, tuple(verdicts))
    total = sum(preferences)
    predicted = (total > 0) - (total < 0)
    return PairResult(pair_id, known, predicted, predicted * known > 0, tuple(verdicts))


def _schema(mark: str) -> dict[str, Any]:
    kind = {"type": "string", "enum": ["hard_rule", "principle"]}
    criterion = closed_object({"kind": kind, "text": {"type": "string"}})
    criteria = {"type": "array", "items": criterion, "minItems": 1}
    return closed_object({"ballot": {"type": "string", "enum": [mark]}, "criteria": criteria}, "rubric_proposal")


async def _one(backend: Backend, request: Request) -> Completion | BackendError:
    async with aclosing(backend.complete([request], concurrency=1)) as outcomes:
        async for _, outcome in outcomes:
            return outcome
    return BackendError("the backend gave no outcome", permanent=False)

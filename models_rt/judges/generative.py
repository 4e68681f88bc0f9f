"""Judges that ask a generating model: a direct pairwise verdict, or one by rubric."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from models_rt.backends.base import Backend, BackendError, Completion, Request
from models_rt.records import Ask, Criterion, Message, Status, Usage, Verdict

from .base import shown, towards_b
from .prompting import load, material, render
from .reading import WINNERS, Ballot, Unreadable, answer_object, ballot

_VERDICT: Final[dict[str, Any]] = {
    "critique": {"type": "string"},
    "winner": {"type": "string", "enum": list(WINNERS)},
    "strength": {"type": "integer", "enum": [1, 2, 3]},
}


def closed_object(properties: Mapping[str, Any], title: str | None = None) -> dict[str, Any]:
    """The JSON schema of an object with exactly these properties."""
    schema: dict[str, Any] = {"title": title} if title else {}
    return schema | {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


@dataclass(frozen=True, slots=True)
class _Call:
    ask: Ask
    request: Request
    mark: str


class GenerativeJudge(ABC):
    """One generation for each ask, its answer read strictly and mapped back to the identities a and b."""

    prompt: ClassVar[str]

    def __init__(
        self, backend: Backend, *, concurrency: int = 16, temperature: float = 0.0, max_tokens: int = 1024
    ) -> None:
        if not 0.0 <= temperature <= 2.0:
            raise ValueError(f"temperature: expected 0 to 2, got {temperature}")
        if max_tokens < 1:
            raise ValueError(f"max_tokens: expected at least 1, got {max_tokens}")
        self.backend = backend
        self.concurrency = concurrency
        self.temperature = temperature
        self.max_tokens = max_tokens

    @property
    def prompt_version(self) -> str:
        """Name and version of the template, like `pairwise@1`."""
        template = load(self.prompt)
        return f"{template.name}@{template.version}"

    async def judge(self, asks: Sequence[Ask]) -> AsyncGenerator[Verdict, None]:
        """Yield a verdict for each ask as its answer arrives; an ask that cannot be put is `failed` at once."""
        calls: list[_Call] = []
        for ask in asks:
            refusal = self._refusal(ask)
            if refusal:
                yield self._verdict(ask, "failed", "", self.backend.model, Usage(), reason=refusal)
            else:
                calls.append(self._call(ask))
        outcomes = self.backend.complete([c.request for c in calls], concurrency=self.concurrency)
        async with aclosing(outcomes) as stream:
            async for index, outcome in stream:
                yield self._read(calls[index], outcome)

    def render(self, ask: Ask) -> tuple[tuple[Message, ...], str]:
        """The messages for one ask and the mark of their fences."""
        first, second = shown(ask)
        return render(self.prompt, ask.pair, first, second, str(ask.repeat), rubric=rubric_text(ask.pair.criteria))

    @abstractmethod
    def _schema(self, ask: Ask, mark: str) -> dict[str, Any]:
        """The JSON schema of the answer."""

    def _refusal(self, ask: Ask) -> str:
        """Why this ask cannot be put, or an empty string."""
        return ""

    def _ballot(self, ask: Ask, found: Mapping[str, Any]) -> Ballot:
        """The verdict in an answer; raises Unreadable."""
        return ballot(found)

    def _call(self, ask: Ask) -> _Call:
        messages, mark = self.render(ask)
        seed = ask.repeat if self.temperature > 0 else None
        schema = self._schema(ask, mark)
        request = Request(messages, schema, self.temperature, self.max_tokens, seed)
        return _Call(ask, request, mark)

    def _read(self, call: _Call, outcome: Completion | BackendError) -> Verdict:
        ask, sha = call.ask, call.request.sha256
        if isinstance(outcome, BackendError):
            spent = Usage(latency_ms=outcome.latency_ms)
            return self._verdict(ask, "failed", sha, self.backend.model, spent, reason=outcome.reason)
        try:
            shown_texts = material(ask.pair)
            found = answer_object(outcome.text, "winner", call.mark, shown_texts, truncated=outcome.truncated)
            read = self._ballot(ask, found)
        except Unreadable as reason:
            told = str(reason)
            return self._verdict(ask, "unparsed", sha, outcome.model, outcome.usage, raw=outcome.text, reason=told)
        return self._verdict(ask, "parsed", sha, outcome.model, outcome.usage, raw=outcome.text, read=read)

    def _verdict(
        self,
        ask: Ask,
        status: Status,
        sha: str,
        model: str,
        usage: Usage,
        *,
        raw: str = "",
        reason: str = "",
        read: Ballot | None = None,
    ) -> Verdict:
        return Verdict(
            pair_id=ask.pair.id,
            order=ask.order,
            repeat=ask.repeat,
            status=status,
            preference=towards_b(read.lean, ask.order) if read else None,
            both_bad=read.both_bad if read else False,
            probability_b=None,
            critique=read.critique if read else "",
            raw=raw,
            reason=reason,
            prompt_sha256=sha,
            model=model,
            usage=usage,
            prompt_version=self.prompt_version if sha else "",
        )


class PairwiseJudge(GenerativeJudge):
    """A direct verdict: which response is better, and by how much."""

    prompt = "pairwise"

    def _schema(self, ask: Ask, mark: str) -> dict[str, Any]:
        return closed_object({"ballot": {"type": "string", "enum": [mark]}, **_VERDICT}, "pairwise_verdict")


class RubricJudge(GenerativeJudge):
    """Each criterion, then a total. Hard rules are gatekeepers: where exactly one response breaks one, the other wins.

    The gate is enforced here, whatever total the model states (Contrastive Rubric Generation, arXiv 2510.07743:
    the judge's first phase). A criterion without a verdict makes the answer unparsed.
    """

    prompt = "rubric"

    def _refusal(self, ask: Ask) -> str:
        return "" if ask.pair.criteria else "criteria: expected at least one criterion, got none"

    def _schema(self, ask: Ask, mark: str) -> dict[str, Any]:
        number, truth = {"type": "integer"}, {"type": "boolean"}
        rule = closed_object({"criterion": number, "first": truth, "second": truth})
        side = {"type": "string", "enum": ["first", "second", "neither"]}
        principle = closed_object({"criterion": number, "favours": side})
        properties = {
            "ballot": {"type": "string", "enum": [mark]},
            "rules": {"type": "array", "items": rule},
            "principles": {"type": "array", "items": principle},
            **_VERDICT,
        }
        return closed_object(properties, "rubric_verdict")

    def _ballot(self, ask: Ask, found: Mapping[str, Any]) -> Ballot:
        criteria = dict(enumerate(ask.pair.criteria, 1))
        hard = {n for n, c in criteria.items() if c.kind == "hard_rule"}
        rules = _by_criterion(found, "rules", hard)
        _by_criterion(found, "principles", set(criteria) - hard)
        total = ballot(found)
        kept = [all(_flag(rule, side) for rule in rules.values()) for side in ("first", "second")]
        if kept[0] == kept[1]:
            return total
        return _gated(total, 1 if kept[1] else -1)


def _gated(total: Ballot, winner: int) -> Ballot:
    """The total after the gate: its strength where the model agrees with the gate, else the full strength."""
    if total.lean * winner > 0:
        return total
    note = "Exactly one response keeps every hard rule, which decides. "
    return Ballot(3 * winner, False, note + total.critique)


def _by_criterion(found: Mapping[str, Any], key: str, expected: set[int]) -> dict[int, Mapping[str, Any]]:
    entries = found.get(key, [])
    if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
        raise Unreadable(f"{key}: expected a list of objects")
    numbers = [e.get("criterion") for e in entries]
    if sorted(map(str, numbers)) != sorted(map(str, expected)):
        raise Unreadable(
            f"{key}: expected one verdict for each of the criteria {sorted(expected)}, got {numbers!r:.80}"
        )
    if key == "principles" and any(e.get("favours") not in ("first", "second", "neither") for e in entries):
        raise Unreadable("principles: expected favours to be first, second or neither")
    return {int(e["criterion"]): e for e in entries}


def _flag(entry: Mapping[str, Any], side: str) -> bool:
    value = entry.get(side)
    if not isinstance(value, bool):
        raise Unreadable(f"rules: expected {side} to be true or false, got {value!r:.40}")
    return value


def rubric_text(criteria: Sequence[Criterion]) -> str:
    """The criteria as the judge reads them: numbered from 1, each with its kind."""
    names = {"hard_rule": "hard rule", "principle": "principle"}
    return "\n".join(f"{n}. ({names[c.kind]}) {c.text}" for n, c in enumerate(criteria, 1))

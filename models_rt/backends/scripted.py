"""A scripted stand-in for a model: fixed rules in place of a network, for demos and tests.

It reads the very prompts that a server would get and answers in the same format, so everything around it is the real
mechanism. It is not a model, and says so in its name and in every critique.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import re
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from models_rt.records import Usage
from models_rt.seeds import python_rng

from .base import BackendError, Completion, Request, as_finished

MODEL: Final = "scripted-stand-in"
CRITIQUE: Final = "Written by a script that scores surface features; no model read this."
TIE, CLEAR, MUCH = 0.2, 1.0, 2.5  # leans in logits: below a tie, from there strength 2, and 3
Criterion = tuple[int, str, str]  # number, kind and text, as the prompt shows them
RESPONSES: Final = re.compile(
    r"\[BEGIN (?P<name>first|second|preferred|rejected) response (?P<mark>[0-9a-f]{12})\]\n"
    r"(?P<text>.*?)\n\[END (?P=name) response (?P=mark)\]",
    re.DOTALL,
)
CRITERION: Final = re.compile(r"^(\d+)\. \((hard rule|principle)\) (.+)$", re.MULTILINE)
RUBRIC: Final = re.compile(
    r"\[BEGIN rubric (?P<mark>[0-9a-f]{12})\]\n(?P<text>.*?)\n\[END rubric (?P=mark)\]", re.DOTALL
)
CONNECTIVES: Final = re.compile(
    r"\b(because|since|therefore|so that|however|although|for example|for instance|thus|if|when)\b", re.I
)
EVASIONS: Final = re.compile(r"\b(i don'?t know|i can(?:no|')t help|as an ai|no idea|google it|look it up)\b", re.I)


class Check(NamedTuple):
    """A surface measure and the criterion that it stands for: more of it keeps the criterion better."""

    kind: str
    text: str
    measure: Callable[[str], float]


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def _detail(text: str) -> float:
    return math.log1p(len(_words(text)))


def _calm(text: str) -> float:
    shouted = sum(len(w) > 3 and w.isupper() for w in re.findall(r"\w+", text))
    return -float(shouted + text.count("!"))


def _concrete(text: str) -> float:
    return float(len(re.findall(r"\d+|`[^`]+`", text)))


def _layout(text: str) -> float:
    """Sentences, steps and paragraphs, counted on a log scale."""
    return math.log1p(len(re.findall(r"[.?!:](?:\s|$)|\n", text)))


CHECKS: Final[tuple[Check, ...]] = (
    Check(
        "hard_rule",
        "The response attempts the request instead of evading it.",
        lambda t: -float(bool(EVASIONS.search(t))),
    ),
    Check("principle", "The response works its points out in detail instead of leaving bare statements.", _detail),
    Check(
        "principle",
        "The response gives reasons and conditions for what it says.",
        lambda t: float(len(CONNECTIVES.findall(t))),
    ),
    Check("principle", "The response is concrete, with figures, terms or code where they help.", _concrete),
    Check("principle", "The response keeps a calm tone without shouting.", _calm),
    Check("principle", "The response is divided into sentences or steps that are easy to follow.", _layout),
)
MEASURES: Final = {check.text: check.measure for check in CHECKS}


def surface_quality(text: str) -> float:
    """A crude score from surface features alone; about one unit apart for a bare and a worked-out answer."""
    reasons = min(len(CONNECTIVES.findall(text)), 5) / 5
    return (
        0.6 * _detail(text)
        + 0.4 * _layout(text)
        + reasons
        + 0.2 * max(_calm(text), -5)
        - 2 * bool(EVASIONS.search(text))
    )


class ScriptedBackend:
    """Answers by rule: quality difference times `skill`, a `side_bias` for the first response, and seeded noise.

    `qualities` maps the SHA-256 of a completion's text to its known quality; other texts get `surface_quality`.
    The noise is logistic, so the chance of naming the second response is sigmoid(skill * difference - side_bias).

    By a rubric, two texts of known quality are judged from it too: each criterion is its own draw of that lean, and a
    hard rule counts as broken by the response that its draw finds much worse (strength 3). The total leans as the
    criteria do on average, its noise brought back to the variance of one draw: a rubric alone makes the stand-in no
    better. Texts of unknown quality are judged by the measures of `CHECKS`.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        skill: float = 2.0,
        side_bias: float = 0.0,
        qualities: Mapping[str, float] | None = None,
        latency: float = 0.0,
    ) -> None:
        self.seed = seed
        self.skill = skill
        self.side_bias = side_bias
        self.qualities = dict(qualities or {})
        self.latency = latency

    @property
    def model(self) -> str:
        """A name that says what this is."""
        return MODEL

    async def complete(
        self, requests: Sequence[Request], *, concurrency: int = 16
    ) -> AsyncGenerator[tuple[int, Completion | BackendError], None]:
        """Yield (index, completion) for each request; one whose prompt is not ours gets a permanent error."""
        async for outcome in as_finished(requests, self._answer, concurrency):
            yield outcome

    async def _answer(self, request: Request) -> Completion | BackendError:
        if self.latency:
            await asyncio.sleep(self.latency)
        system, user = str(request.messages[0]["content"]), str(request.messages[-1]["content"])
        found = {m["name"]: m for m in RESPONSES.finditer(user)}
        title = (request.schema or {}).get("title")
        write = {
            "pairwise_verdict": self._pairwise,
            "rubric_verdict": self._rubric,
            "rubric_proposal": self._proposal,
        }.get(str(title))
        if write is None or len(found) != 2:
            return BackendError(f"the scripted stand-in cannot answer a prompt of kind {title!r}", permanent=True)
        mark = next(iter(found.values()))["mark"]
        texts = {name: m["text"] for name, m in found.items()}
        answer = {"ballot": mark, **write(texts, user, request.sha256)}
        text = json.dumps(answer, ensure_ascii=False)
        return Completion(text, MODEL, Usage(len(_words(system + user)), len(_words(text)), round(self.latency * 1000)))

    def _known(self, text: str) -> float | None:
        return self.qualities.get(hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest())

    def _quality(self, text: str) -> float:
        known = self._known(text)
        return surface_quality(text) if known is None else known

    def _lean(self, difference: float, *names: str | int) -> float:
        uniform = min(max(python_rng(self.seed, *names).random(), 1e-9), 1 - 1e-9)
        return self.skill * difference - self.side_bias + math.log(uniform / (1 - uniform))

    def _pairwise(self, texts: Mapping[str, str], user: str, sha: str) -> dict[str, Any]:
        difference = self._quality(texts["second"]) - self._quality(texts["first"])
        return _total(self._lean(difference, sha))

    def _rubric(self, texts: Mapping[str, str], user: str, sha: str) -> dict[str, Any]:
        rubric = RUBRIC.search(user)
        criteria = [(int(n), kind, text) for n, kind, text in CRITERION.findall(rubric["text"] if rubric else "")]
        first, second = self._known(texts["first"]), self._known(texts["second"])
        if first is None or second is None:
            return self._by_measures(criteria, texts, sha)
        return self._by_known_quality(criteria, second - first, sha)

    def _by_known_quality(self, criteria: Sequence[Criterion], difference: float, sha: str) -> dict[str, Any]:
        """One draw a criterion. The total: mean + (mean draw - mean) * sqrt(criteria), of one draw's variance."""
        rules, principles, leans = [], [], []
        for number, kind, _ in criteria:
            lean = self._lean(difference, sha, number)
            leans.append(lean)
            if kind == "hard rule":
                rules.append({"criterion": number, "first": lean < MUCH, "second": lean > -MUCH})
            else:
                principles.append({"criterion": number, "favours": _side(lean)})
        expected = self.skill * difference - self.side_bias
        noise = sum(lean - expected for lean in leans) / math.sqrt(max(len(leans), 1))
        return {"rules": rules, "principles": principles, **_total(expected + noise)}

    def _by_measures(self, criteria: Sequence[Criterion], texts: Mapping[str, str], sha: str) -> dict[str, Any]:
        """Criteria of our own table by their measures, others by quality; the total is the mean of the principles."""
        rules, principles, leans = [], [], []
        for number, kind, text in criteria:
            measure = MEASURES.get(text, self._quality)
            first, second = measure(texts["first"]), measure(texts["second"])
            if kind == "hard rule":
                broken = [text in MEASURES and value < 0 for value in (first, second)]
                rules.append({"criterion": number, "first": not broken[0], "second": not broken[1]})
                continue
            leans.append((second > first) - (second < first))
            principles.append({"criterion": number, "favours": _side(leans[-1])})
        mean = sum(leans) / len(leans) if leans else 0.0
        return {"rules": rules, "principles": principles, **_total(self._lean(2 * mean, sha))}

    def _proposal(self, texts: Mapping[str, str], user: str, sha: str) -> dict[str, Any]:
        """The checks on which the preferred response does better; quality as a whole where there is none."""
        better = [c for c in CHECKS if c.measure(texts["preferred"]) > c.measure(texts["rejected"])]
        criteria = [{"kind": c.kind, "text": c.text} for c in better]
        fallback = {"kind": "principle", "text": "The response serves the request better as a whole."}
        return {"criteria": criteria or [fallback]}


def _side(lean: float) -> str:
    if abs(lean) < TIE:
        return "neither"
    return "second" if lean > 0 else "first"


def _total(lean: float) -> dict[str, Any]:
    """A lean in logits as winner and strength: a tie within 0.2, strength 2 from 1, 3 from 2.5."""
    if abs(lean) < TIE:
        return {"critique": CRITIQUE, "winner": "tie", "strength": 1}
    strength = 1 + (abs(lean) >= CLEAR) + (abs(lean) >= MUCH)
    return {"critique": CRITIQUE, "winner": _side(lean), "strength": strength}

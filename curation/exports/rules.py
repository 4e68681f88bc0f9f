"""The rules of a recipe that ask about one comparison alone, and the row that is made of one that they keep."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Literal, NamedTuple

from curation.exports.candidates import Candidate
from curation.exports.deidentify import Deidentifier
from curation.exports.recipe import DeidentifyRule, Recipe
from curation.exports.schema import Message, VoteRow

Verdict = Literal["chosen", "tie", "both_bad"]


class Case:
    """A candidate as a recipe sees it: what the rules ask about, worked out once."""

    __slots__ = ("bad", "candidate", "judges", "parsed", "people", "readable", "side", "verdict", "votes")

    def __init__(self, candidate: Candidate, recipe: Recipe) -> None:
        self.candidate = _followed(candidate, recipe)
        self.votes = [vote for vote in candidate.votes if recipe.include_judges or vote["kind"] != "judge"]
        self.parsed = [vote for vote in self.votes if vote["preference"] is not None]
        self.people = sum(vote["kind"] == "annotator" for vote in self.parsed)
        self.judges = len(self.parsed) - self.people
        self.bad = sum(vote["both_bad"] for vote in self.votes)
        self.readable = sum(vote["both_bad"] or vote["preference"] is not None for vote in self.votes)
        self.side = self.candidate.side
        self.verdict = self._verdict()

    def _verdict(self) -> Verdict | None:
        """What the row would say; None where nothing is likeliest.

        Both bad is what more than half of those say who said anything readable, or the adjudicator alone: who calls
        both bad need not have a preference.
        """
        decision = self.candidate.decision
        if decision.both_bad if decision else 2 * self.bad > self.readable:
            return "both_bad"
        a, tie, b = self.candidate.posterior
        if self.side is not None:
            return "chosen"
        return "tie" if tie >= max(a, b) and tie > min(a, b) else None

    @property
    def source(self) -> Literal["human", "judge", "mixed"]:
        if self.candidate.decision or not self.judges:
            return "human"
        return "mixed" if self.people else "judge"

    @property
    def agreeing(self) -> int:
        """Votes that say what the row does."""
        if self.verdict == "both_bad":
            return self.bad
        sign = {"a": -1, "b": 1}.get(self.side or "", 0)
        return sum(_sign(vote["preference"]) == sign for vote in self.parsed)


class Dropped(NamedTuple):
    """A candidate that does not come, by which rule, and because of what."""

    id: str
    rule: str
    cause: str
    origin: Any = None


class Kept(NamedTuple):
    """What the rules on single comparisons keep. Its row wants a split yet, and raters by the names that stay."""

    row: dict[str, Any]
    origin: Any
    changes: dict[str, Any]
    """What rules altered: {rule: what}."""


def _elsewhere(case: Case, recipe: Recipe) -> str | None:
    for key, wanted in (recipe.where or {}).items():
        found = _values(case.candidate, key)
        if not {(isinstance(v, bool), v) for v in found} & {(isinstance(v, bool), v) for v in wanted}:
            shown = ", ".join(map(str, found)) or "not given"
            return f"{key} is {shown}"
    return None


def _values(candidate: Candidate, key: str) -> Sequence[Any]:
    """What a key of `where` finds, one or many."""
    if key in candidate.metadata:
        given = candidate.metadata[key]
        values = given if isinstance(given, list) else [given]
    elif key == "language":
        values = [candidate.language] if candidate.language else []
    else:
        values = [candidate.generator_a, candidate.generator_b] if key == "generator" else []
    return [value for value in values if isinstance(value, str | int | float)]


def _both_bad(case: Case, recipe: Recipe) -> str | None:
    if case.verdict != "both_bad" or recipe.both_bad == "keep":
        return None
    if case.candidate.decision:
        return "an adjudicator calls both bad"
    return f"{case.bad} of {case.readable} call both bad"


def _too_few_judgements(case: Case, recipe: Recipe) -> str | None:
    if case.candidate.decision:
        return None
    n = case.readable if case.verdict == "both_bad" else len(case.parsed)
    needed = max(1, recipe.min_judgements)
    return f"{n} of {needed} judgements" if n < needed else None


def _too_few_annotators(case: Case, recipe: Recipe) -> str | None:
    if case.candidate.decision:
        return None
    n = case.people
    if case.verdict == "both_bad":
        n = sum(v["kind"] == "annotator" and (v["both_bad"] or v["preference"] is not None) for v in case.votes)
    return f"{n} of {recipe.min_annotators} annotators" if n < recipe.min_annotators else None


def _wrong_source(case: Case, recipe: Recipe) -> str | None:
    return f"labelled by {case.source}" if recipe.sources is not None and case.source not in recipe.sources else None


def _tie(case: Case, recipe: Recipe) -> str | None:
    if case.verdict == "both_bad" or case.side or (case.verdict == "tie" and recipe.ties == "keep"):
        return None
    a, tie, b = case.candidate.posterior
    return f"no side is likeliest: a {a:.2f}, tie {tie:.2f}, b {b:.2f}"


def _disagreed(case: Case, recipe: Recipe) -> str | None:
    if not recipe.min_agreement or case.candidate.decision:
        return None
    n, of = case.agreeing, case.readable
    # Divided and not multiplied: 0.28 * 25 is more than 7 in floating point, 7 / 25 is what 0.28 is read as.
    return (
        f"{n} of {of} votes agree, fewer than {recipe.min_agreement:g}"
        if of and n / of < recipe.min_agreement
        else None
    )


def _improbable(case: Case, recipe: Recipe) -> str | None:
    p = case.candidate.probability
    if case.verdict != "chosen" or p >= recipe.min_probability:
        return None
    return f"probability {p:.3f} is below {recipe.min_probability:g}"


def _noisy(case: Case, recipe: Recipe) -> str | None:
    candidate = case.candidate
    if candidate.treatment and candidate.treatment.action == "drop":
        return candidate.treatment.because
    if recipe.noise is None or recipe.noise.max_score is None or recipe.noise.method is None or candidate.decision:
        return None
    method, limit = recipe.noise.method, recipe.noise.max_score
    score = candidate.noise.get(method)
    if score is None:
        return f"no {method} score: run score_noise first"
    return f"{method} {score:.3f} is above {limit:g}" if score > limit else None


def _identical(case: Case, recipe: Recipe) -> str | None:
    same = list(case.candidate.completion_a) == list(case.candidate.completion_b)
    return "both completions are the same" if same else None


Rule = Callable[[Case, Recipe], str | None]
RULES: Final[Mapping[str, Rule]] = {
    "where": _elsewhere,
    "both_bad": _both_bad,
    "min_judgements": _too_few_judgements,
    "min_annotators": _too_few_annotators,
    "sources": _wrong_source,
    "ties": _tie,
    "min_agreement": _disagreed,
    "min_probability": _improbable,
    "noise": _noisy,
    "identical": _identical,
}
"""Name → the cause for which the rule drops a candidate, or None. The first rule that drops is the one reported."""


def first_cause(case: Case, recipe: Recipe) -> Dropped | None:
    """The first rule that drops the candidate, with its cause."""
    for rule, check in RULES.items():
        cause = check(case, recipe)
        if cause is not None:
            return Dropped(case.candidate.id, rule, cause, case.candidate.origin)
    return None


def kept(case: Case, recipe: Recipe) -> Kept:
    """The row of a case that no rule drops, de-identified; without a split, and with raters as they came."""
    candidate = case.candidate
    changes: dict[str, Any] = {}
    prompt, a, b, metadata = _texts(candidate, recipe.deidentify, changes)
    told: dict[str, Any] = {"adjudicated_by": candidate.decision.by} if candidate.decision else {}
    if candidate.treatment and candidate.treatment.changes:
        told["noise_treatment"] = f"{candidate.treatment.action}: {candidate.treatment.because}"
        changes["noise"] = candidate.treatment.action
    if recipe.target == "tie-aware":
        told["tie_probability"] = candidate.posterior[1]
    row = {
        "id": candidate.id,
        "prompt": prompt,
        **(_chosen(case, a, b) if case.verdict == "chosen" else _undecided(case, a, b)),
        "preference": candidate.preference,
        "source": case.source,
        "n_annotators": case.people,
        "n_judges": case.judges,
        "votes": case.votes,
        "group": candidate.group,
        "metadata": metadata,
        **told,
    }
    return Kept(row, candidate.origin, changes)


def _chosen(case: Case, a: Sequence[Message], b: Sequence[Message]) -> dict[str, Any]:
    candidate, sign = case.candidate, -1 if case.side == "a" else 1
    generators = (candidate.generator_a, candidate.generator_b)[::-sign]
    return {
        "chosen": a if case.side == "a" else b,
        "rejected": b if case.side == "a" else a,
        "chosen_side": case.side,
        "probability": min(1.0, candidate.probability),
        "margin": abs(candidate.preference) if candidate.decision else _margin(case.parsed, sign),
        "generator_chosen": generators[0],
        "generator_rejected": generators[1],
    }


def _undecided(case: Case, a: Sequence[Message], b: Sequence[Message]) -> dict[str, Any]:
    _, tie, p_b = case.candidate.posterior
    return {
        "completion_a": a,
        "completion_b": b,
        "undecided": case.verdict,
        "probability": min(1.0, round(p_b + tie / 2, 6)),
        "generator_a": case.candidate.generator_a,
        "generator_b": case.candidate.generator_b,
    }


Texts = tuple[Sequence[Message], Sequence[Message], Sequence[Message], str]


def _texts(candidate: Candidate, rule: DeidentifyRule | None, changes: dict[str, Any]) -> Texts:
    """Prompt, a, b and metadata as they may be published; what was taken out is added to the changes."""
    given = candidate.prompt, candidate.completion_a, candidate.completion_b
    if rule is None:
        return *given, _compact(candidate.metadata)
    found: Counter[str] = Counter()
    stays = candidate.metadata
    if rule.metadata is not True:
        stays = {key: value for key, value in stays.items() if rule.metadata and key in rule.metadata}
        found["metadata"] = len(candidate.metadata) - len(stays)
    metadata = _compact(stays)
    if rule.texts:
        deidentifier = Deidentifier(rule.texts)
        treated = [deidentifier.messages(messages) for messages in given]
        metadata, in_metadata = deidentifier.metadata(metadata)
        metadata = _compact(json.loads(metadata)) if in_metadata else metadata
        given = treated[0][0], treated[1][0], treated[2][0]
        for counts in (*(counts for _, counts in treated), in_metadata):
            found.update(counts)
    if +found:
        changes["deidentify"] = dict(sorted((+found).items()))
    return *given, metadata


def _compact(metadata: Mapping[str, Any]) -> str:
    return json.dumps(metadata, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def _margin(votes: Iterable[VoteRow], sign: int) -> float | None:
    """Mean strength of the votes for one side."""
    strengths = [sign * vote["preference"] for vote in votes if (vote["preference"] or 0) * sign > 0]  # type: ignore[operator]
    return sum(strengths) / len(strengths) if strengths else None


def _sign(preference: float | None) -> int:
    value = preference or 0
    return (value > 0) - (value < 0)


def _followed(candidate: Candidate, recipe: Recipe) -> Candidate:
    """With its treatment, where the recipe follows it."""
    if candidate.treatment is None:
        return candidate
    ignored = recipe.noise is not None and recipe.noise.treatment == "none"
    return replace(candidate, treatment=None) if ignored or candidate.decision else candidate.treated()

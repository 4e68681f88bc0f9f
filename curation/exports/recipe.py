"""A recipe says which comparisons become rows of a version; `apply` follows it and says what it dropped and why."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Final, Literal, NamedTuple, get_args

from curation.exports.schema import SOURCES, SPLITS, Message, Row, Split, VoteRow, normalise
from curation.exports.splits import assign_split, check_fractions
from curation.noise import METHODS as NOISE_METHODS

Method = Literal["majority", "dawid-skene"]
Target = Literal["hard", "soft", "margin"]


@dataclass(frozen=True, slots=True)
class NoiseRule:
    """Rows whose noise score by ``method`` is above ``max_score`` are dropped, and so are rows without a score."""

    method: str | None = None
    max_score: float | None = None
    treatment: Literal["current", "none"] = "current"
    """Whether what curators decided about doubtful labels is followed. The decisions of the moment of the build are."""

    def __post_init__(self) -> None:
        _expect_one_of("noise.treatment", self.treatment, ("current", "none"))
        if self.method is None and self.max_score is None:
            return
        _expect("noise.method", self.method in NOISE_METHODS, f"one of {', '.join(NOISE_METHODS)}", self.method)
        _expect("noise.max_score", self.max_score is not None, "a value", "no such field")
        _expect_share("noise.max_score", self.max_score)

    def to_dict(self) -> dict[str, Any]:
        """Without what is as it is by itself, so that recipes older than a field keep their hash."""
        return {f.name: value for f in fields(self) if (value := getattr(self, f.name)) != f.default}


@dataclass(frozen=True, slots=True)
class SplitRule:
    """Fractions of the groups (not of the rows) in each split, and the seed of their assignment."""

    train: float = 0.8
    validation: float = 0.1
    test: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        for name in SPLITS:
            _expect_number(f"split.{name}", getattr(self, name))
        _expect_count("split.seed", self.seed)
        check_fractions(self.fractions)

    @property
    def fractions(self) -> dict[Split, float]:
        return {"train": self.train, "validation": self.validation, "test": self.test}


@dataclass(frozen=True, slots=True)
class Recipe:
    """Rules over consensus and judgements. Two equal recipes over equal candidates give equal bytes."""

    method: Method = "dawid-skene"
    """How the consensus was aggregated; whoever brings the candidates follows it."""
    min_annotators: int = 0
    """People who judged it. What an adjudicator decided needs no more."""
    min_judgements: int = 1
    """People and judges together, parsed verdicts only. What an adjudicator decided needs no more."""
    min_probability: float = 0.5
    """Of the chosen side being preferred."""
    include_judges: bool = True
    """False: judges' votes neither count nor appear, and the consensus is to be that of people alone."""
    ties: Literal["drop"] = "drop"
    both_bad: Literal["drop"] = "drop"
    noise: NoiseRule | None = None
    target: Target = "soft"
    """What a trainer is to learn: the chosen side, its probability, or its margin. The rows carry all three."""
    split: SplitRule = field(default_factory=SplitRule)
    dedupe: bool = True
    """Keep the first of the rows with the same prompt, chosen and rejected text."""
    sources: tuple[str, ...] | None = None
    """Keep rows labelled by these only: human, judge, mixed."""

    def __post_init__(self) -> None:
        _expect_one_of("method", self.method, get_args(Method))
        _expect_one_of("target", self.target, get_args(Target))
        _expect_one_of("ties", self.ties, ("drop",))
        _expect_one_of("both_bad", self.both_bad, ("drop",))
        _expect_count("min_annotators", self.min_annotators)
        _expect_count("min_judgements", self.min_judgements)
        _expect_share("min_probability", self.min_probability)
        for name in ("include_judges", "dedupe"):
            _expect(name, isinstance(getattr(self, name), bool), "true or false", getattr(self, name))
        if self.sources is not None:
            self._check_sources(self.sources)

    def _check_sources(self, sources: tuple[str, ...]) -> None:
        _expect("sources", bool(sources), f"some of {', '.join(SOURCES)}", "an empty list")
        for source in sources:
            _expect_one_of("sources", source, SOURCES)
        if not self.include_judges and "human" not in sources:
            raise ValueError("sources", "human among them, as include_judges is false", list(sources))
        if self.min_annotators > 0 and set(sources) == {"judge"}:
            raise ValueError("sources", "human or mixed among them, as min_annotators is above 0", list(sources))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Recipe:
        """Parse strictly: an unknown or misplaced field is refused by name with ValueError(field, expected, got)."""
        values = _known(data, cls, "")
        if values.get("noise") is not None:
            values["noise"] = NoiseRule(**_known(values["noise"], NoiseRule, "noise"))
        if "split" in values:
            values["split"] = SplitRule(**_known(values["split"], SplitRule, "split"))
        if values.get("sources") is not None:
            _expect("sources", isinstance(values["sources"], list | tuple), "a list", values["sources"])
            values["sources"] = tuple(values["sources"])
        return cls(**values)

    @classmethod
    def from_toml(cls, text: str) -> Recipe:
        """Parse a TOML document of the same fields."""
        try:
            data = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise ValueError("recipe", "a TOML document", str(error)) from error
        return cls.from_dict(data)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON types; `from_dict` reads it back."""
        noise = None if self.noise is None else self.noise.to_dict()
        return {**asdict(self), "noise": noise, "sources": None if self.sources is None else list(self.sources)}


class Decision(NamedTuple):
    """What an adjudicator decided: it takes the place of what the votes amount to."""

    by: str
    preference: int | None
    both_bad: bool = False


class Treatment(NamedTuple):
    """What was decided about a doubtful label: soften, flip or drop. `keep` and `ask_people` leave a row as it is."""

    action: str
    cause: str
    weight: float = 0.0
    """How far the probability of a softened label is drawn to one half."""

    @property
    def changes(self) -> bool:
        """A row that it stands in is another than without it."""
        return self.action in ("flip", "soften")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A comparison with its consensus and everything that a native row needs."""

    id: str
    prompt: Sequence[Message]
    completion_a: Sequence[Message]
    completion_b: Sequence[Message]
    posterior: tuple[float, float, float]
    """Consensus probabilities of a, tie, b (the order of `curation.stats.CLASSES`)."""
    preference: float
    """Consensus strength, signed."""
    votes: Sequence[VoteRow]
    """One per rater, a judge's readings combined."""
    group: str
    generator_a: str | None = None
    generator_b: str | None = None
    noise: Mapping[str, float] = field(default_factory=dict)
    """Scores by method."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    decision: Decision | None = None
    """Its posterior and preference are then the decision's."""
    treatment: Treatment | None = None
    """None too where an adjudicator decided: that is beyond doubt."""

    def treated(self) -> Candidate:
        """As its treatment leaves it: a flipped label has its sides' probabilities exchanged."""
        if self.treatment is None or not self.treatment.changes:
            return self
        if self.treatment.action == "flip":
            return replace(self, posterior=self.posterior[::-1], preference=-self.preference)
        return replace(self, preference=round(self.preference * (1 - self.treatment.weight), 6))

    @property
    def side(self) -> Literal["a", "b"] | None:
        """The side that the consensus prefers; None where a tie or nothing is likeliest."""
        a, tie, b = self.posterior
        if a > max(tie, b):
            return "a"
        return "b" if b > max(a, tie) else None

    @property
    def probability(self) -> float:
        """Of the likelier side being preferred, a tie counting half for each; softened where it is to be."""
        a, tie, b = self.posterior
        p = max(a, b) + tie / 2
        if self.treatment is None or self.treatment.action != "soften":
            return p
        return round(0.5 + (p - 0.5) * (1 - self.treatment.weight), 6)


class Dropped(NamedTuple):
    id: str
    rule: str
    cause: str


class Built(NamedTuple):
    rows: list[Row]
    dropped: list[Dropped]
    counts: dict[str, int]
    """Candidates dropped by each rule of `RULES`, 0 included, in the order in which the rules are applied."""


def _votes(candidate: Candidate, recipe: Recipe) -> list[VoteRow]:
    return [vote for vote in candidate.votes if recipe.include_judges or vote["kind"] != "judge"]


def _parsed(candidate: Candidate, recipe: Recipe) -> list[VoteRow]:
    return [vote for vote in _votes(candidate, recipe) if vote["preference"] is not None]


def _of_kind(votes: Iterable[VoteRow], kind: str) -> int:
    return sum(vote["kind"] == kind for vote in votes)


def _source(candidate: Candidate, recipe: Recipe) -> Literal["human", "judge", "mixed"]:
    if candidate.decision:
        return "human"
    votes = _parsed(candidate, recipe)
    people, judges = _of_kind(votes, "annotator"), _of_kind(votes, "judge")
    if people and judges:
        return "mixed"
    return "judge" if judges else "human"


def _too_few_judgements(candidate: Candidate, recipe: Recipe) -> str | None:
    if candidate.decision:
        return None
    n = len(_parsed(candidate, recipe))
    needed = max(1, recipe.min_judgements)
    return f"{n} of {needed} judgements" if n < needed else None


def _too_few_annotators(candidate: Candidate, recipe: Recipe) -> str | None:
    if candidate.decision:
        return None
    n = _of_kind(_parsed(candidate, recipe), "annotator")
    return f"{n} of {recipe.min_annotators} annotators" if n < recipe.min_annotators else None


def _wrong_source(candidate: Candidate, recipe: Recipe) -> str | None:
    source = _source(candidate, recipe)
    return f"labelled by {source}" if recipe.sources is not None and source not in recipe.sources else None


def _both_bad(candidate: Candidate, recipe: Recipe) -> str | None:
    """More than half of those who said anything readable, or the adjudicator alone.

    Who called both bad need not have a preference.
    """
    if candidate.decision:
        return "an adjudicator calls both bad" if candidate.decision.both_bad else None
    votes = [vote for vote in _votes(candidate, recipe) if vote["both_bad"] or vote["preference"] is not None]
    bad = sum(vote["both_bad"] for vote in votes)
    return f"{bad} of {len(votes)} call both bad" if 2 * bad > len(votes) else None


def _tie(candidate: Candidate, recipe: Recipe) -> str | None:
    a, tie, b = candidate.posterior
    return f"no side is likeliest: a {a:.2f}, tie {tie:.2f}, b {b:.2f}" if candidate.side is None else None


def _improbable(candidate: Candidate, recipe: Recipe) -> str | None:
    p = candidate.probability
    return f"probability {p:.3f} is below {recipe.min_probability:g}" if p < recipe.min_probability else None


def _noisy(candidate: Candidate, recipe: Recipe) -> str | None:
    if candidate.treatment and candidate.treatment.action == "drop":
        return candidate.treatment.cause
    if recipe.noise is None or recipe.noise.max_score is None or recipe.noise.method is None or candidate.decision:
        return None
    method, limit = recipe.noise.method, recipe.noise.max_score
    score = candidate.noise.get(method)
    if score is None:
        return f"no {method} score: run score_noise first"
    return f"{method} {score:.3f} is above {limit:g}" if score > limit else None


def _identical(candidate: Candidate, recipe: Recipe) -> str | None:
    return "both completions are the same" if list(candidate.completion_a) == list(candidate.completion_b) else None


Rule = Callable[[Candidate, Recipe], str | None]
RULES: Final[Mapping[str, Rule]] = {
    "both_bad": _both_bad,
    "min_judgements": _too_few_judgements,
    "min_annotators": _too_few_annotators,
    "sources": _wrong_source,
    "ties": _tie,
    "min_probability": _improbable,
    "noise": _noisy,
    "identical": _identical,
}
"""Name → the cause for which the rule drops a candidate, or None. The first rule that drops is the one reported."""
DEDUPE: Final = "dedupe"


def select(recipe: Recipe, candidates: Iterable[Candidate]) -> Iterator[Row | Dropped]:
    """Rows and drops in the order of the candidates, in memory that holds 16 bytes and an id for each row kept."""
    seen: dict[bytes, str] = {}
    for given in candidates:
        candidate = _followed(given, recipe)
        verdict = _first_cause(candidate, recipe) or _row(candidate, recipe)
        if recipe.dedupe and not isinstance(verdict, Dropped):
            first = seen.setdefault(_content(verdict), candidate.id)
            if first != candidate.id:
                verdict = Dropped(candidate.id, DEDUPE, f"same prompt, chosen and rejected as {first}")
        yield verdict


def _followed(candidate: Candidate, recipe: Recipe) -> Candidate:
    """With its treatment, where the recipe follows it."""
    if candidate.treatment is None:
        return candidate
    ignored = recipe.noise is not None and recipe.noise.treatment == "none"
    return replace(candidate, treatment=None) if ignored or candidate.decision else candidate.treated()


def apply(recipe: Recipe, candidates: Iterable[Candidate]) -> Built:
    """Follow the recipe; `select` does the same without holding the rows."""
    rows: list[Row] = []
    dropped: list[Dropped] = []
    for verdict in select(recipe, candidates):
        if isinstance(verdict, Dropped):
            dropped.append(verdict)
        else:
            rows.append(verdict)
    return Built(rows, dropped, count_dropped(dropped))


def count_dropped(dropped: Iterable[Dropped]) -> dict[str, int]:
    """Candidates dropped by each rule, zeros included."""
    counted = Counter(drop.rule for drop in dropped)
    return {rule: counted[rule] for rule in (*RULES, DEDUPE)}


def _first_cause(candidate: Candidate, recipe: Recipe) -> Dropped | None:
    for rule, check in RULES.items():
        cause = check(candidate, recipe)
        if cause is not None:
            return Dropped(candidate.id, rule, cause)
    return None


def _row(candidate: Candidate, recipe: Recipe) -> Row:
    side = candidate.side
    votes = _parsed(candidate, recipe)
    a, b = (candidate.completion_a, candidate.generator_a), (candidate.completion_b, candidate.generator_b)
    (chosen, generator_chosen), (rejected, generator_rejected) = (a, b) if side == "a" else (b, a)
    decided = {"adjudicated_by": candidate.decision.by} if candidate.decision else {}
    changed = candidate.treatment if candidate.treatment and candidate.treatment.changes else None
    treated = {"noise_treatment": f"{changed.action}: {changed.cause}"} if changed else {}
    return normalise(
        {
            "id": candidate.id,
            "prompt": candidate.prompt,
            "chosen": chosen,
            "rejected": rejected,
            "chosen_side": side,
            "preference": candidate.preference,
            "probability": min(1.0, candidate.probability),
            "margin": abs(candidate.preference) if decided else _margin(votes, -1 if side == "a" else 1),
            "source": _source(candidate, recipe),
            "n_annotators": _of_kind(votes, "annotator"),
            "n_judges": _of_kind(votes, "judge"),
            "votes": _votes(candidate, recipe),
            "generator_chosen": generator_chosen,
            "generator_rejected": generator_rejected,
            "group": candidate.group,
            "split": assign_split(candidate.group, seed=recipe.split.seed, fractions=recipe.split.fractions),
            "metadata": json.dumps(candidate.metadata, sort_keys=True, ensure_ascii=False, separators=(",", ":")),
            **decided,
            **treated,
        }
    )


def _margin(votes: Iterable[VoteRow], sign: int) -> float | None:
    """Mean strength of the votes for one side."""
    strengths = [sign * vote["preference"] for vote in votes if (vote["preference"] or 0) * sign > 0]  # type: ignore[operator]
    return sum(strengths) / len(strengths) if strengths else None


def _content(row: Row) -> bytes:
    text = json.dumps([row["prompt"], row["chosen"], row["rejected"]], ensure_ascii=False)
    return hashlib.sha256(text.encode()).digest()[:16]


def _known(data: object, kind: type[Any], path: str) -> dict[str, Any]:
    """The mapping as constructor arguments, each of them a field of ``kind``."""
    if not isinstance(data, Mapping):
        raise ValueError(path or "recipe", "a table of fields", data)
    names = [each.name for each in fields(kind)]
    prefix = f"{path}." if path else ""
    for name in data:
        _expect(f"{prefix}{name}", name in names, f"one of {', '.join(names)}", name)
    return dict(data)


def _expect(name: str, holds: bool, expected: str, got: object) -> None:
    if not holds:
        raise ValueError(name, expected, got)


def _expect_one_of(name: str, value: object, allowed: Sequence[str]) -> None:
    _expect(name, value in allowed, f"one of {', '.join(allowed)}", value)


def _expect_number(name: str, value: object) -> None:
    _expect(name, isinstance(value, int | float) and not isinstance(value, bool), "a number", value)


def _expect_count(name: str, value: object) -> None:
    _expect(name, isinstance(value, int) and not isinstance(value, bool), "an integer, 0 or more", value)
    _expect(name, isinstance(value, int) and value >= 0, "an integer, 0 or more", value)


def _expect_share(name: str, value: object) -> None:
    _expect_number(name, value)
    _expect(name, isinstance(value, int | float) and 0 <= value <= 1, "a number from 0 to 1", value)

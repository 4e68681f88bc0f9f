"""A policy: ordered rules over noise scores, within limits, and what it would do to every label.

The first rule that holds decides. Limits then take back what goes too far: they never make a label less safe.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final, Literal, NamedTuple, TypeVar, get_args

import numpy as np

from curation.noise.decisions import ACTIONS, Action
from curation.noise.methods import METHODS
from curation.stats.votes import BoolArray, FloatArray, IntArray

T = TypeVar("T")
Limited = Literal["", "people_agree", "dropped_enough", "asked_enough"]
LIMITED: Final[tuple[Limited, ...]] = get_args(Limited)
KEEP, SOFTEN, FLIP, ASK, DROP = range(len(ACTIONS))
MUCH: Final = 0.5
"""A policy that drops or flips more than this share of the labels is applied only on confirmation."""
MAX_RULES: Final = 20


@dataclass(frozen=True, slots=True)
class Rule:
    """Holds where the scores of its methods reach ``at_least``, or are among the ``worst`` share of theirs."""

    methods: tuple[str, ...]
    action: Action
    at_least: float | None = None
    worst: float | None = None
    """Share of the labels that the method scored, the most doubtful of them; a score of 0 is never among them."""
    agree: bool = False
    """True: every one of the methods must say so; False: one is enough."""
    fewer_than: int | None = None
    """Holds only while fewer people than this have judged; None: however many."""
    weight: float | None = None
    """How far a softened label's probability is drawn to one half, above 0 and below 1; None: half way."""

    def __post_init__(self) -> None:
        _expect("methods", bool(self.methods), "one or more methods", "none")
        for method in self.methods:
            _expect("methods", method in METHODS, f"some of {', '.join(METHODS)}", method)
        _expect("methods", len(set(self.methods)) == len(self.methods), "each once", list(self.methods))
        _expect("action", self.action in ACTIONS, f"one of {', '.join(ACTIONS)}", self.action)
        _expect(
            "at_least", (self.at_least is None) != (self.worst is None), "it, or worst, and not both", self.at_least
        )
        _expect_share("at_least", self.at_least)
        _expect_share("worst", self.worst)
        _expect("agree", isinstance(self.agree, bool), "true or false", self.agree)
        _expect_count("fewer_than", self.fewer_than)
        self._check_action()

    def _check_action(self) -> None:
        if self.weight is not None:
            _expect("weight", self.action == "soften", "none, as only soften has one", self.weight)
            _expect("weight", _is_number(self.weight) and 0 < self.weight < 1, "a number between 0 and 1", self.weight)
        if self.action == "flip":
            # One witness is not enough to turn a label round: Wang et al. 2024; Liu et al. 2025 (2507.01352), 2.4.
            _expect("agree", self.agree and len(self.methods) >= 2, "true, with two methods, as it flips", self.agree)

    @property
    def strength(self) -> float:
        return 0.5 if self.weight is None else self.weight

    def shadows(self, later: Rule) -> bool:
        """Whatever ``later`` holds for, this one holds for too."""
        same = set(self.methods) == set(later.methods) and self.agree == later.agree
        wider = not self.agree and not later.agree and set(self.methods) >= set(later.methods)
        ever = self.fewer_than is None or (later.fewer_than is not None and self.fewer_than >= later.fewer_than)
        return (same or wider) and ever and self._at_least_as_far(later)

    def _at_least_as_far(self, later: Rule) -> bool:
        if self.at_least is not None and later.at_least is not None:
            return self.at_least <= later.at_least
        return self.worst is not None and later.worst is not None and self.worst >= later.worst


@dataclass(frozen=True, slots=True)
class Limits:
    """What no rule may do."""

    max_dropped: float = 0.2
    """Share of the labels; of more the least doubtful stay."""
    unanimous: int = 3
    """So many people who all name one side are believed: their label is never dropped or flipped."""
    asked: int | None = None
    """People's judgements to ask for at most, the most doubtful first; None: as many as the rules want."""
    flip_margin: float = 1.0
    """A label is flipped only where reward models are further than this on the other side."""
    otherwise: Action = "soften"
    """What becomes of a label that a limit saves: keep or soften."""

    def __post_init__(self) -> None:
        _expect_share("max_dropped", self.max_dropped, needed=True)
        _expect("unanimous", self.unanimous is not None, "an integer, 1 or more", self.unanimous)
        _expect_count("unanimous", self.unanimous)
        _expect_count("asked", self.asked, least=0)
        known = _is_number(self.flip_margin) and 0 <= self.flip_margin < float("inf")
        _expect("flip_margin", known, "a number, 0 or more", self.flip_margin)
        _expect("otherwise", self.otherwise in ("keep", "soften"), "keep or soften", self.otherwise)


@dataclass(frozen=True, slots=True)
class Policy:
    rules: tuple[Rule, ...]
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        _expect("rules", 0 < len(self.rules) <= MAX_RULES, f"1 to {MAX_RULES} rules", len(self.rules))
        for position, rule in enumerate(self.rules):
            for before, earlier in enumerate(self.rules[:position]):
                if earlier.shadows(rule):
                    raise ValueError(f"rules.{position}", f"a rule that rule {before} leaves something to", rule.action)
            if rule.action == "drop" and self.limits.max_dropped == 0:
                raise ValueError("limits.max_dropped", f"a share above 0, as rule {position} drops", 0)

    @property
    def methods(self) -> tuple[str, ...]:
        """Every method that a rule reads, each once."""
        return tuple(dict.fromkeys(method for rule in self.rules for method in rule.methods))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Policy:
        """Parse strictly. Raises ValueError(field, expected, got), as in ("rules.1.at_least", "a number …", "x")."""
        given = _known(data, cls, "")
        rules = given.get("rules")
        _expect("rules", isinstance(rules, Sequence) and not isinstance(rules, str), "a list of rules", rules)
        parsed = tuple(_rule(rule, position) for position, rule in enumerate(rules or ()))
        with_limits = _known(given.get("limits", {}), Limits, "limits")
        return cls(parsed, _named("limits", lambda: Limits(**with_limits)))

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON types; `from_dict` reads it back."""
        told = asdict(self)
        return {
            "rules": [rule | {"methods": list(rule["methods"])} for rule in told["rules"]],
            "limits": told["limits"],
        }


class Labels(NamedTuple):
    """The n labels that a policy decides about. What an adjudicator decided is not among them."""

    id: IntArray
    """[n] decides between equal scores."""
    side: IntArray
    """[n] -1 a, 0 a tie, 1 b."""
    people: IntArray
    """[n] people who judged."""
    unanimous: BoolArray
    """[n] all of them named the label's side."""
    margin: FloatArray
    """[n] of reward models that did not train on it, towards the label; nan: none."""


class Decisions(NamedTuple):
    """What a policy does to each of n labels."""

    action: IntArray
    """[n] codes in `ACTIONS`."""
    rule: IntArray
    """[n] position of the rule that held; -1: none."""
    method: IntArray
    """[n] position in `Policy.methods` of the strongest score that it rests on; -1: none."""
    score: FloatArray
    """[n] that score; nan: none."""
    weight: FloatArray
    """[n] how far it is softened; 0: not."""
    limited: IntArray
    """[n] codes in `LIMITED`: what saved it from its rule."""


class Preview(NamedTuple):
    n: int
    counts: dict[Action, int]
    by_rule: list[dict[Action, int]]
    """Of each rule, what became of the labels that it held for."""
    limited: dict[Limited, int]
    """Labels that each limit saved from their rule."""
    judgements: int
    """Of people, that it asks for."""
    examples: dict[Action, list[int]]
    """Positions of the most doubtful labels of each action but keep."""
    unscored: tuple[str, ...]
    """Methods that scored no label at all."""
    idle: tuple[int, ...]
    """Rules that hold for no label."""
    everything: tuple[int, ...]
    """Rules that hold for every label."""

    @property
    def confirm(self) -> bool:
        """So much is lost or turned round that somebody should say yes to it once more."""
        lost = self.counts["drop"] + self.counts["flip"]
        return bool(self.n) and (lost > MUCH * self.n or bool(self.everything))


def decide(policy: Policy, labels: Labels, scores: Mapping[str, FloatArray]) -> Decisions:
    """Follow the policy. ``scores`` maps methods to [n], nan where unscored; an absent method scored nothing."""
    n = len(labels.id)
    table = _table(policy, scores, n)
    rule, method = np.full(n, -1, dtype=np.int64), np.full(n, -1, dtype=np.int64)
    for position, each in enumerate(policy.rules):
        columns = [policy.methods.index(name) for name in each.methods]
        held = _holds(each, table[:, columns], labels, policy.limits) & (rule < 0)
        rule[held] = position
        doubt = np.where(np.isnan(table), -1.0, table)[:, columns]
        method[held] = np.array(columns)[doubt[held].argmax(axis=1)]
    actions = np.array([ACTIONS.index(each.action) for each in policy.rules])
    strengths = np.array([each.strength for each in policy.rules])
    score = np.where(rule >= 0, table[np.arange(n), method], np.nan)
    wanted = np.where(rule >= 0, actions[rule], KEEP)
    action, limited = _limit(wanted, score, labels, policy.limits)
    weight = np.where(action == SOFTEN, np.where(limited > 0, 0.5, strengths[rule]), 0.0)
    return Decisions(action, rule, method, score, weight, limited)


def preview(
    policy: Policy, labels: Labels, scores: Mapping[str, FloatArray], *, examples: int = 3
) -> tuple[Preview, Decisions]:
    """What `decide` says, counted. Deterministic: the same labels and scores give the same counts and examples."""
    made = decide(policy, labels, scores)
    n = len(labels.id)
    rules = range(len(policy.rules))
    unscored = [name for name in policy.methods if name not in scores or np.isnan(scores[name]).all()]
    held = np.bincount(made.rule[made.rule >= 0], minlength=len(policy.rules))
    counted = Preview(
        n=n,
        counts=_counts(made.action),
        by_rule=[_counts(made.action[made.rule == position]) for position in rules],
        limited={name: int((made.limited == code).sum()) for code, name in enumerate(LIMITED) if code},
        judgements=int((made.action == ASK).sum()),
        examples={
            name: _worst(made.action == code, made.score, labels.id, examples).tolist()
            for code, name in enumerate(ACTIONS)
            if code != KEEP
        },
        unscored=tuple(unscored),
        idle=tuple(position for position in rules if not held[position]),
        everything=tuple(position for position in rules if n > 1 and held[position] == n),
    )
    return counted, made


PREFERRED: Final = (
    "ensemble-margin",
    "peer-review",
    "confident-learning",
    "training-dynamics",
    "reward-model-disagreement",
    "rater-quality",
    "consensus-entropy",
)
"""For finding wrong labels, the most telling first; see docs/results.md."""
PRESETS: Final = ("cautious", "filter", "flip-confident")


def preset(name: str, scored: Collection[str]) -> Policy:
    """A policy to start from, over the methods that have scored something (all of them where none has).

    ``cautious`` asks people about the doubtful while there is budget and softens the rest; it drops nothing.
    ``filter`` drops the worst fifth. ``flip-confident`` turns round what two methods are sure of, and drops the worst
    tenth of the rest.
    """
    known = [method for method in PREFERRED if method in scored] or list(PREFERRED)
    if name == "cautious":
        every = tuple(method for method in METHODS if method in scored) or tuple(METHODS)
        ask = Rule(every, "ask_people", at_least=0.5, fewer_than=5)
        return Policy((ask, Rule(every, "soften", at_least=0.35)), Limits(max_dropped=0, asked=100))
    if name == "filter":
        return Policy((Rule((known[0],), "drop", worst=0.2),))
    if name == "flip-confident":
        two = tuple((known + [method for method in PREFERRED if method not in known])[:2])
        flip = Rule(two, "flip", at_least=0.8, agree=True)
        return Policy((flip, Rule((two[0],), "drop", worst=0.1)))
    raise ValueError("preset", f"one of {', '.join(PRESETS)}", name)


def _table(policy: Policy, scores: Mapping[str, FloatArray], n: int) -> FloatArray:
    """[n, methods] scores of the policy's methods."""
    table = np.full((n, len(policy.methods)), np.nan)
    for column, name in enumerate(policy.methods):
        if name not in scores:
            continue
        if scores[name].shape != (n,):
            raise ValueError("scores", f"an array of shape {(n,)} for {name}", scores[name].shape)
        table[:, column] = scores[name]
    return table


def _holds(rule: Rule, table: FloatArray, labels: Labels, limits: Limits) -> BoolArray:
    """[n] for scores [n, methods of the rule]."""
    if rule.at_least is not None:
        doubted = table >= rule.at_least
    else:
        columns = [_among_worst(column, labels.id, rule.worst or 0.0) for column in table.T]
        doubted = np.stack(columns, axis=1)
    held: BoolArray = np.logical_and.reduce(doubted, axis=1) if rule.agree else np.logical_or.reduce(doubted, axis=1)
    if rule.fewer_than is not None:
        held &= labels.people < rule.fewer_than
    if rule.action == "flip":
        held &= (labels.side != 0) & (labels.margin < -limits.flip_margin)
    return held


def _among_worst(score: FloatArray, ids: IntArray, share: float) -> BoolArray:
    chosen = np.zeros(len(score), dtype=bool)
    chosen[_worst(score > 0, score, ids, int(share * np.isfinite(score).sum()))] = True
    return chosen


def _worst(among: BoolArray, score: FloatArray, ids: IntArray, most: int) -> IntArray:
    """Positions of at most so many of those among, by score from the highest and then by id."""
    positions = np.flatnonzero(among)
    order = np.lexsort((ids[positions], -score[positions]))
    chosen: IntArray = positions[order[:most]]
    return chosen


def _limit(wanted: IntArray, score: FloatArray, labels: Labels, limits: Limits) -> tuple[IntArray, IntArray]:
    """Actions [n] within the limits, and which limit held [n]."""
    limited = np.zeros(len(wanted), dtype=np.int64)
    trusted = labels.unanimous & (labels.people >= limits.unanimous)
    limited[trusted & ((wanted == DROP) | (wanted == FLIP))] = LIMITED.index("people_agree")
    free = limited == 0
    most = int(limits.max_dropped * len(wanted))
    limited[_beyond(free & (wanted == DROP), score, labels.id, most)] = LIMITED.index("dropped_enough")
    if limits.asked is not None:
        limited[_beyond(wanted == ASK, score, labels.id, limits.asked)] = LIMITED.index("asked_enough")
    instead = np.full(len(wanted), ACTIONS.index(limits.otherwise))
    instead[limited == LIMITED.index("people_agree")] = KEEP  # they are believed, not half believed
    return np.where(limited > 0, instead, wanted), limited


def _beyond(among: BoolArray, score: FloatArray, ids: IntArray, most: int) -> IntArray:
    """Positions of those that are too many."""
    beyond: IntArray = _worst(among, score, ids, len(ids))[most:]
    return beyond


def _counts(action: IntArray) -> dict[Action, int]:
    counted = np.bincount(action, minlength=len(ACTIONS)).tolist()
    return dict(zip(ACTIONS, counted, strict=True))


def _rule(data: object, position: int) -> Rule:
    path = f"rules.{position}"
    given = _known(data, Rule, path)
    for name in ("methods", "action"):
        _expect(f"{path}.{name}", name in given, "a value", "no such field")
    methods = given["methods"]
    listed = isinstance(methods, list | tuple) and all(isinstance(method, str) for method in methods)
    _expect(f"{path}.methods", listed, "a list of methods", methods)
    return _named(path, lambda: Rule(**(given | {"methods": tuple(methods)})))


def _named(path: str, make: Callable[[], T]) -> T:
    """What ``make`` makes; its refusals name the field with where it stands."""
    try:
        return make()
    except ValueError as error:
        name, expected, got = error.args
        raise ValueError(f"{path}.{name}", expected, got) from error


def _known(data: object, kind: type[Any], path: str) -> dict[str, Any]:
    """The mapping as constructor arguments, each of them a field of ``kind``."""
    if not isinstance(data, Mapping):
        raise ValueError(path or "policy", "a table of fields", data)
    names = [each.name for each in fields(kind)]
    for name in data:
        _expect(f"{path}.{name}" if path else str(name), name in names, f"one of {', '.join(names)}", name)
    return dict(data)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _expect(name: str, holds: bool, expected: str, got: object) -> None:
    if not holds:
        raise ValueError(name, expected, got)


def _expect_share(name: str, value: float | None, *, needed: bool = False) -> None:
    if value is not None or needed:
        _expect(name, _is_number(value) and 0 <= (value or 0) <= 1, "a number from 0 to 1", value)


def _expect_count(name: str, value: int | None, *, least: int = 1) -> None:
    if value is not None:
        whole = isinstance(value, int) and not isinstance(value, bool)
        _expect(name, whole and value >= least, f"an integer, {least} or more", value)

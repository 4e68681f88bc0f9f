"""Tiebreak's own import rows: one record becomes one comparison, or several where it lists its completions."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from itertools import combinations
from typing import Any, Final

import orjson

from tiebreak.core.text import TextError, clean_json, clean_text

Message = dict[str, str]

FIELDS: Final = (
    "id", "prompt", "completion_a", "completion_b", "generator_a", "generator_b", "id_a", "id_b", "rank_a", "rank_b",
    "score_a", "score_b", "completions", "pairs",
    "group", "reference", "context", "metadata", "gold", "gold_because", "skills", "language", "priority", "judgements",
    "adjudications",
)  # fmt: skip
COMPLETION_FIELDS: Final = ("id", "text", "generator", "rank", "score")
SAID_FIELDS: Final = (
    "preference", "both_bad", "aspects", "justification", "reasons", "seconds", "submitted_at", "order",
    "probability_b", "unparsed_because", "ratings", "confidence", "checks", "evidence",
)  # fmt: skip
JUDGEMENT_FIELDS: Final = ("rater", "kind", *SAID_FIELDS, "simulated", "revised")
ADJUDICATION_FIELDS: Final = ("adjudicator", "preference", "both_bad", "reason", "decided_at", "undone", "simulated")
MET_BY: Final = ("a", "b", "both", "neither")
ROLES: Final = ("system", "user", "assistant", "tool")
LEVELS: Final = 3
PRIORITIES: Final = (0, 1, 2)
LANGUAGE: Final = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,4}")
SKILL_CHARS: Final = 60
MOST_SKILLS: Final = 20
BECAUSE_CHARS: Final = 2000
CRITERION_CHARS: Final = 1000
MOST_REVISED: Final = 1000
NAME_CHARS: Final = 200
MOST_PAIRS: Final = 20_000  # of one record, all in memory at once: every two of 200 completions
SPAN_FIELDS: Final = ("side", "exact", "start", "end")
MOST_CONFIDENCE: Final = 3
MOST_RATING: Final = 100
MOST_POSITION: Final = 10_000_000
UNPARSED: Final = "imported without a preference"


class RowError(ValueError):
    """A record that cannot be taken: which field, and what was expected and got."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(field, message)
        self.field = field
        self.message = message

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"

    @classmethod
    def of(cls, error: TextError) -> RowError:
        return cls(error.field, f"expected {error.expected}, got {error.got}")


@dataclass(frozen=True)
class Turns:
    """A prompt or a completion: messages, and whether they came as one plain text.

    `json` is the messages as canonical JSON: what is hashed, and what is stored.
    """

    messages: tuple[Message, ...]
    is_text: bool
    json: str = field(init=False, repr=False, compare=False)
    sha256: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        written = orjson.dumps(self.messages, option=orjson.OPT_SORT_KEYS)
        object.__setattr__(self, "json", written.decode())
        object.__setattr__(self, "sha256", hashlib.sha256(written).hexdigest())

    @property
    def text(self) -> str:
        return self.messages[-1]["content"]


@dataclass(frozen=True)
class Completion:
    turns: Turns
    generator: str = ""
    id: str = ""
    rank: float | None = None
    score: float | None = None


@dataclass(frozen=True)
class Judgement:
    """What one rater said. `order` and `submitted_at` are None where the file does not tell."""

    rater: str
    kind: str
    preference: int | None
    both_bad: bool = False
    unparsed_because: str = ""
    probability_b: float | None = None
    aspects: Mapping[str, int] | None = None
    reasons: tuple[str, ...] = ()
    justification: str = ""
    order: str | None = None
    seconds: float | None = None
    submitted_at: datetime | None = None
    ratings: Mapping[str, Mapping[str, int]] | None = None
    confidence: Mapping[str, int] | None = None
    evidence: tuple[Mapping[str, Any], ...] = ()
    simulated: bool = False
    checks: Mapping[str, str] | None = None
    """Who meets a criterion, by its words."""
    revised: tuple[Judgement, ...] = ()
    """What the rater said before, the first word first."""

    @property
    def told(self) -> list[Any]:
        """All of it, for a hash; the last fields stay out where they are empty, so that rows from before them keep
        their hash."""
        values = [*self.__dict__.values()][:-1]
        if self.checks or self.revised:
            return [*values, [before.told for before in self.revised]]
        return values[:-1] if any(values[-5:-1]) else values[:-5]


@dataclass(frozen=True)
class Adjudication:
    """What an expert decided. `decided_at` is None where the file does not tell."""

    adjudicator: str
    preference: int | None
    both_bad: bool
    reason: str
    decided_at: datetime | None = None
    undone: bool = False
    simulated: bool = False


@dataclass(frozen=True)
class Row:
    """One comparison as it will be stored."""

    id: str
    prompt: Turns
    a: Completion
    b: Completion
    group: str
    reference: str | None = None
    context: str | None = None
    metadata: Mapping[str, Any] | None = None
    gold: int | None = None
    judgements: tuple[Judgement, ...] = ()
    gold_because: str = ""
    skills: tuple[str, ...] = ()
    language: str = ""
    priority: int | None = None
    adjudications: tuple[Adjudication, ...] = ()
    """In their order: the last one stands, unless it was undone."""

    @property
    def sha256_a(self) -> str:
        return self.a.turns.sha256

    @property
    def sha256_b(self) -> str:
        """Two outputs that read the same are still two outputs: the second gets a hash of its own."""
        same = self.a.turns.sha256 == self.b.turns.sha256 and self.a.generator == self.b.generator
        return digest([self.b.turns.sha256, "the second of two alike"]) if same else self.b.turns.sha256

    @cached_property
    def content_sha256(self) -> str:
        """Of everything that an import stores of this row."""
        sides = [[c.turns.sha256, c.generator, c.id, c.rank, c.score] for c in (self.a, self.b)]
        said = [j.told for j in self.judgements]
        fields = [self.group, self.reference, self.context, self.metadata or {}, self.gold]
        asked = [self.gold_because, self.skills, self.language, self.priority]
        decided = [list(each.__dict__.values()) for each in self.adjudications]
        # rows without them keep their hash
        more: list[Any] = [asked] if any(value not in ("", (), None) for value in asked) else []
        if decided:
            more.append(decided)
        return digest([self.id, self.prompt.sha256, sides, fields, said, *more])


def digest(value: Any) -> str:
    """SHA-256 of a value's canonical JSON: as `json` writes it, whichever of the two writes it."""
    return hashlib.sha256(_quickly(value) if _alike(value) else _CANONICAL.encode(value).encode()).hexdigest()


def _alike(value: Any) -> bool:
    """Whether orjson writes a value as `json` does: numbers that need no exponent, and integers of 64 bits."""
    pending = [value]
    for item in pending:
        kind = type(item)
        if kind is list or kind is tuple:
            pending.extend(item)
        elif kind is dict:
            pending.extend(item.values())
        elif kind is float:
            if item != 0 and not 1e-3 <= abs(item) < 1e15:
                return False
        elif kind is int and abs(item) >= 2**63:
            return False
    return True


def _quickly(value: Any) -> bytes:
    return orjson.dumps(
        value, default=datetime.isoformat, option=orjson.OPT_SORT_KEYS | orjson.OPT_PASSTHROUGH_DATETIME
    )


_CANONICAL: Final = json.JSONEncoder(
    ensure_ascii=False, separators=(",", ":"), sort_keys=True, default=datetime.isoformat
)


def bits(text: str) -> int:
    """64 uniform bits that depend on the text alone."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])


def parse(record: Any, source: str) -> list[Row]:
    """The comparisons of one record. Raises RowError. `source` names who ranked, where the pairs are made by rank."""
    record = fields_of(record, "row", FIELDS)
    key = name(record.get("id"), "id")
    prompt = turns(record.get("prompt"), "prompt", role="user")
    if not prompt.text:
        raise RowError("prompt", "expected a prompt, got an empty text")
    common: dict[str, Any] = {
        "prompt": prompt,
        "group": optional_name(record.get("group"), "group") or prompt.sha256,
        "reference": optional_text(record.get("reference"), "reference"),
        "context": optional_text(record.get("context"), "context"),
        "metadata": metadata(record.get("metadata")),
        "skills": skills(record.get("skills")),
        "language": language(record.get("language"), "language"),
        "priority": priority(record.get("priority")),
    }
    if record.get("completions") is not None:
        return _of_many(record, key, common, source)
    if record.get("pairs") is not None:
        raise RowError("pairs", "expected beside completions only")
    a, b = (
        Completion(
            turns(record.get(f"completion_{side}"), f"completion_{side}", role="assistant"),
            optional_name(record.get(f"generator_{side}"), f"generator_{side}"),
            optional_name(record.get(f"id_{side}"), f"id_{side}"),
            number(record.get(f"rank_{side}"), f"rank_{side}"),
            number(record.get(f"score_{side}"), f"score_{side}"),
        )
        for side in "ab"
    )
    said, gold = judgements(record.get("judgements")), preference(record.get("gold"), "gold")
    because, decided = because_of(record.get("gold_because"), gold), adjudications(record.get("adjudications"))
    return [Row(key, a=a, b=b, gold=gold, gold_because=because, judgements=said, adjudications=decided, **common)]


def _of_many(record: Mapping[str, Any], key: str, common: Mapping[str, Any], source: str) -> list[Row]:
    """Comparisons between the listed completions: all pairs, the given ones, or those whose ranks differ."""
    sides = [f"{what}_{side}" for what in ("completion", "generator", "id", "rank", "score") for side in "ab"]
    for other in (*sides, "gold", "gold_because", "judgements", "adjudications"):
        if record.get(other) is not None:
            raise RowError(
                other, "expected completion_a and completion_b beside it, got completions: no telling which pair"
            )
    completions = [
        completion(c, f"completions[{n}]") for n, c in enumerate(items(record["completions"], "completions"))
    ]
    by_id = {c.id: c for c in completions}
    if len(completions) < 2 or len(by_id) < len(completions):
        raise RowError("completions", f"expected two or more with ids of their own, got {len(completions)}")
    pairs = record.get("pairs")
    count = len(pairs) if isinstance(pairs, list) else len(completions) * (len(completions) - 1) // 2
    if count > MOST_PAIRS:
        where = "pairs" if isinstance(pairs, list) else "completions"
        raise RowError(where, f"expected at most {MOST_PAIRS:,} pairs of one record, got {count:,}")
    if pairs == "rank":
        rows = [
            pair(f"{key}/{better.id}~{worse.id}", better=better, worse=worse, source=source, **common)
            for better, worse in rank_pairs(completions)
        ]
    else:
        given = combinations(by_id, 2) if pairs in (None, "all") else _given(pairs, by_id)
        rows = [Row(name(f"{key}/{a}~{b}", "completions[].id"), a=by_id[a], b=by_id[b], **common) for a, b in given]
    if len({row.id for row in rows}) < len(rows):
        raise RowError("completions", "expected ids without ~, got two pairs that would be called the same")
    return rows


def _given(pairs: Any, known: Iterable[str]) -> Iterable[tuple[str, str]]:
    seen: set[frozenset[str]] = set()
    for n, entry in enumerate(items(pairs, "pairs")):
        ids = items(entry, f"pairs[{n}]")
        if len(ids) != 2 or any(not isinstance(i, str) or i not in known for i in ids) or ids[0] == ids[1]:
            raise RowError(f"pairs[{n}]", f"expected the ids of two different completions, got {ids!r:.100}")
        if frozenset(ids) in seen:
            raise RowError(f"pairs[{n}]", f"expected each pair once, got {ids!r:.100} again")
        seen.add(frozenset(ids))
        yield ids[0], ids[1]


def rank_pairs(completions: Iterable[Completion]) -> list[tuple[Completion, Completion]]:
    """(better, worse) for every two whose ranks differ; rank 1 is better than rank 2. Equal ranks say nothing."""
    ranked = list(completions)
    for n, entry in enumerate(ranked):
        if entry.rank is None:
            raise RowError(f"completions[{n}].rank", "expected a number, since the pairs are made by rank, got nothing")
    ranked.sort(key=lambda c: c.rank or 0.0)
    return [(x, y) for x, y in combinations(ranked, 2) if x.rank != y.rank]


def pair(
    key: str, *, better: Completion, worse: Completion, source: str, kind: str = "annotator", **common: Any
) -> Row:
    """A comparison whose preference came with the file and names no rater.

    It is kept as one judgement of a rater named after the file: it is somebody's word, not a fact (gold). Which
    side the better one takes is decided by a hash of the id, so that a model cannot learn that `a` wins.
    """
    better_is_b = bool(bits(f"side of {key}") & 1)
    a, b = (worse, better) if better_is_b else (better, worse)
    said = Judgement(rater=source, kind=kind, preference=1 if better_is_b else -1)
    return Row(name(key, "id"), a=a, b=b, judgements=(said,), **common)


# One value each: returns what is stored, or raises RowError naming the field.


def fields_of(value: Any, field: str, known: Iterable[str]) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise RowError(field, f"expected an object, got {_kind(value)}")
    if unknown := [key for key in value if key not in known]:
        raise RowError(f"{unknown[0]:.60}", f"not a field of a {field} (known: {', '.join(known)})")
    return value


def items(value: Any, field: str) -> list[Any]:
    if not isinstance(value, list):
        raise RowError(field, f"expected a list, got {_kind(value)}")
    return value


def text(value: Any, field: str) -> str:
    try:
        return clean_text(value, field=field)
    except TextError as error:
        raise RowError.of(error) from None


def optional_text(value: Any, field: str) -> str | None:
    return None if value is None else text(value, field)


def name(value: Any, field: str, *, most: int = NAME_CHARS) -> str:
    if value is None or value == "":
        raise RowError(field, f"expected a text of 1 to {most} characters, got nothing")
    try:
        return clean_text(value, field=field, max_chars=most)
    except TextError as error:
        raise RowError.of(error) from None


def optional_name(value: Any, field: str) -> str:
    return "" if value is None or value == "" else name(value, field)


def turns(value: Any, field: str, *, role: str) -> Turns:
    """Text becomes one message of `role`. Raises RowError."""
    if isinstance(value, str):
        return Turns(({"role": role, "content": text(value, field)},), is_text=True)
    if not isinstance(value, list):
        raise RowError(field, f"expected a text or a list of messages, got {_kind(value)}")
    if not value:
        raise RowError(field, "expected at least one message, got none")
    made = Turns(tuple(message(m, f"{field}[{n}]") for n, m in enumerate(value)), is_text=False)
    if role == "assistant" and made.messages[-1]["role"] != "assistant":
        raise RowError(field, f"expected the last message to be the assistant's, got {made.messages[-1]['role']}'s")
    return made


def message(value: Any, field: str) -> Message:
    if not isinstance(value, Mapping) or set(value) != {"role", "content"}:
        got = f"an object with {', '.join(map(str, value))}" if isinstance(value, Mapping) else _kind(value)
        raise RowError(field, f"expected an object with role and content, got {got:.100}")
    if value["role"] not in ROLES:
        raise RowError(f"{field}.role", f"expected one of {', '.join(ROLES)}, got {value['role']!r:.60}")
    return {"role": value["role"], "content": text(value["content"], f"{field}.content")}


def completion(value: Any, field: str) -> Completion:
    value = fields_of(value, field, COMPLETION_FIELDS)
    return Completion(
        turns(value.get("text"), f"{field}.text", role="assistant"),
        generator=optional_name(value.get("generator"), f"{field}.generator"),
        id=name(value.get("id"), f"{field}.id"),
        rank=number(value.get("rank"), f"{field}.rank"),
        score=number(value.get("score"), f"{field}.score"),
    )


def metadata(value: Any) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise RowError("metadata", f"expected an object, got {_kind(value)}")
    try:
        clean_json(value, "metadata")
    except TextError as error:
        raise RowError.of(error) from None
    return value


def number(value: Any, field: str, *, least: float = -math.inf, most: float = math.inf) -> float | None:
    if value is None:
        return None
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not least <= value <= most
        or abs(value) > 1e300
    ):
        span = f" from {least:g} to {most:g}" if math.isfinite(least) or math.isfinite(most) else ""
        raise RowError(field, f"expected a finite number{span}, got {value!r:.60}")
    return float(value)


def preference(value: Any, field: str) -> int | None:
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # a column of numbers with gaps is a column of floats
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > LEVELS:
        raise RowError(field, f"expected an integer from -{LEVELS} to {LEVELS} or null, got {value!r:.60}")
    return value


def because_of(value: Any, gold: int | None) -> str:
    """Why the known answer is the right one."""
    if value is None or value == "":
        return ""
    if gold is None:
        raise RowError("gold_because", "expected beside gold, got no gold")
    return name(value, "gold_because", most=BECAUSE_CHARS)


def skills(value: Any) -> tuple[str, ...]:
    """Each once, in alphabetical order: a set, as a lane has it."""
    if value is None:
        return ()
    named = {name(skill, f"skills[{n}]", most=SKILL_CHARS).strip() for n, skill in enumerate(items(value, "skills"))}
    if "" in named or len(named) > MOST_SKILLS:
        raise RowError("skills", f"expected at most {MOST_SKILLS} words, got {value!r:.100}")
    return tuple(sorted(named))


def language(value: Any, field: str) -> str:
    """A BCP 47 tag in its usual letter case: de, pt-BR, zh-Hant."""
    if value is None or value == "":
        return ""
    if not isinstance(value, str) or not LANGUAGE.fullmatch(value):
        raise RowError(field, f"expected a language tag, such as de or pt-BR, got {value!r:.60}")
    first, *others = value.split("-")
    cased = {2: str.upper, 4: str.title}
    return "-".join([first.lower(), *(cased.get(len(part), str.lower)(part) for part in others)])


def priority(value: Any) -> int | None:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if value is not None and (isinstance(value, bool) or value not in PRIORITIES):
        raise RowError("priority", f"expected 0, 1 (before the others) or 2 (first), got {value!r:.60}")
    return value


def judgements(value: Any) -> tuple[Judgement, ...]:
    if value is None:
        return ()
    return tuple(judgement(j, f"judgements[{n}]") for n, j in enumerate(items(value, "judgements")))


def judgement(value: Any, field: str) -> Judgement:
    value = fields_of(value, field, JUDGEMENT_FIELDS)
    kind = value.get("kind")
    if kind not in ("annotator", "judge"):
        raise RowError(f"{field}.kind", f"expected annotator or judge, got {kind!r:.60}")
    rater = name(value.get("rater"), f"{field}.rater")
    before = items(value.get("revised") or [], f"{field}.revised")
    if len(before) > MOST_REVISED:
        raise RowError(f"{field}.revised", f"expected at most {MOST_REVISED:,}, got {len(before):,}")
    simulated = _flag(value.get("simulated"), f"{field}.simulated")
    revised = []
    for n, each in enumerate(before):
        at = f"{field}.revised[{n}]"
        revised.append(_said(fields_of(each, at, SAID_FIELDS), at, rater=rater, kind=kind, simulated=simulated))
    return _said(value, field, rater=rater, kind=kind, simulated=simulated, revised=tuple(revised))


def _said(value: Mapping[str, Any], field: str, **whose: Any) -> Judgement:
    order = value.get("order")
    if order not in (None, "ab", "ba"):
        raise RowError(f"{field}.order", f"expected ab, ba or null, got {order!r:.60}")
    both_bad = _flag(value.get("both_bad"), f"{field}.both_bad")
    if "preference" not in value and not both_bad:
        raise RowError(
            f"{field}.preference", "expected an integer, or null where the answer was unreadable, got nothing"
        )
    preferred = preference(value.get("preference"), f"{field}.preference")
    return Judgement(
        preference=preferred,
        both_bad=both_bad,
        unparsed_because=_unparsed(value, field, said=preferred is not None or both_bad),
        probability_b=number(value.get("probability_b"), f"{field}.probability_b", least=0, most=1),
        aspects=_aspects(value.get("aspects"), f"{field}.aspects"),
        reasons=tuple(
            name(reason, f"{field}.reasons[{n}]", most=100)
            for n, reason in enumerate(items(value.get("reasons") or [], f"{field}.reasons"))
        ),
        justification=optional_text(value.get("justification"), f"{field}.justification") or "",
        order=order,
        seconds=number(value.get("seconds"), f"{field}.seconds", least=0),
        submitted_at=moment(value.get("submitted_at"), f"{field}.submitted_at"),
        ratings=_ratings(value.get("ratings"), f"{field}.ratings"),
        confidence=_levels(value.get("confidence"), f"{field}.confidence", most=MOST_CONFIDENCE),
        evidence=tuple(
            _span(span, f"{field}.evidence[{n}]")
            for n, span in enumerate(items(value.get("evidence") or [], f"{field}.evidence"))
        ),
        checks=_checks(value.get("checks"), f"{field}.checks"),
        **whose,
    )


def adjudications(value: Any) -> tuple[Adjudication, ...]:
    if value is None:
        return ()
    found = tuple(_adjudication(each, f"adjudications[{n}]") for n, each in enumerate(items(value, "adjudications")))
    if early := [n for n, each in enumerate(found[:-1]) if each.undone]:
        raise RowError(f"adjudications[{early[0]}].undone", "expected of the last only: the others are replaced by it")
    return found


def _adjudication(value: Any, field: str) -> Adjudication:
    value = fields_of(value, field, ADJUDICATION_FIELDS)
    both_bad = _flag(value.get("both_bad"), f"{field}.both_bad")
    preferred = preference(value.get("preference"), f"{field}.preference")
    if preferred is None and not both_bad:
        raise RowError(f"{field}.preference", "expected an integer, or both_bad, got nothing")
    return Adjudication(
        name(value.get("adjudicator"), f"{field}.adjudicator"),
        preferred,
        both_bad,
        name(value.get("reason"), f"{field}.reason", most=BECAUSE_CHARS),
        moment(value.get("decided_at"), f"{field}.decided_at"),
        _flag(value.get("undone"), f"{field}.undone"),
        _flag(value.get("simulated"), f"{field}.simulated"),
    )


def _unparsed(value: Mapping[str, Any], field: str, *, said: bool) -> str:
    """Why there is no preference; empty where there is one."""
    because = value.get("unparsed_because")
    if said:
        if because:
            raise RowError(f"{field}.unparsed_because", "expected beside a null preference only")
        return ""
    return name(because or UNPARSED, f"{field}.unparsed_because", most=300)


def _aspects(value: Any, field: str) -> dict[str, int]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise RowError(field, f"expected an object of preferences, got {_kind(value)}")
    said = {name(key, f"{field} (a key)"): preference(entry, f"{field}.{key}") for key, entry in value.items()}
    return {key: entry for key, entry in said.items() if entry is not None}


def _flag(value: Any, field: str) -> bool:
    if value is not None and not isinstance(value, bool):
        raise RowError(field, f"expected true or false, got {value!r:.60}")
    return bool(value)


def _levels(value: Any, field: str, *, most: int) -> dict[str, int]:
    """{key: 1 to most}."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise RowError(field, f"expected an object of numbers, got {_kind(value)}")
    value = _known(value)
    for key, level in value.items():
        if isinstance(level, bool) or not isinstance(level, int) or not 1 <= level <= most:
            raise RowError(f"{field}.{key:.60}", f"expected an integer from 1 to {most}, got {level!r:.60}")
    return {name(key, f"{field} (a key)"): level for key, level in value.items()}


def _ratings(value: Any, field: str) -> dict[str, dict[str, int]]:
    """{aspect: {a, b}}: each response by itself."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise RowError(field, f"expected an object of ratings, got {_kind(value)}")
    rated = {name(key, f"{field} (a key)"): _levels(entry, f"{field}.{key}", most=MOST_RATING)
             for key, entry in _known(value).items()}  # fmt: skip
    for key, entry in rated.items():
        if set(entry) != {"a", "b"}:
            raise RowError(f"{field}.{key}", f"expected a and b, got {', '.join(entry) or 'nothing'}")
    return rated


def _checks(value: Any, field: str) -> dict[str, str]:
    """{a criterion's words: who meets it}."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise RowError(field, f"expected an object of who meets which criterion, got {_kind(value)}")
    known = _known(value)
    for key, met_by in known.items():
        if met_by not in MET_BY:
            raise RowError(f"{field}.{key:.60}", f"expected one of {', '.join(MET_BY)}, got {met_by!r:.60}")
    return {name(key, f"{field} (a key)", most=CRITERION_CHARS): met_by for key, met_by in known.items()}


def _known(value: Mapping[str, Any]) -> dict[str, Any]:
    """Without what is null: a column of Parquet has every key of all its rows."""
    return {key: entry for key, entry in value.items() if entry is not None}


def _span(value: Any, field: str) -> dict[str, Any]:
    """A piece of a response that its rater marked, in characters of the text as shown."""
    value = fields_of(value, field, SPAN_FIELDS)
    side, start, end = value.get("side"), value.get("start"), value.get("end")
    if side not in ("a", "b"):
        raise RowError(f"{field}.side", f"expected a or b, got {side!r:.60}")
    if not all(isinstance(place, int) and not isinstance(place, bool) for place in (start, end)) or not (
        0 <= start < end <= MOST_POSITION
    ):
        raise RowError(f"{field}.end", f"expected a start and an end after it, got {start!r:.20} and {end!r:.20}")
    return {"side": side, "exact": text(value.get("exact"), f"{field}.exact"), "start": start, "end": end}


def moment(value: Any, field: str) -> datetime | None:
    """An ISO 8601 time, in UTC; without an offset it is UTC already."""
    if value is None:
        return None
    try:
        when = value if isinstance(value, datetime) else datetime.fromisoformat(value)
        return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        raise RowError(field, f"expected an ISO 8601 time such as 2026-01-31T16:59:52Z, got {value!r:.60}") from None


def _kind(value: Any) -> str:
    return "nothing" if value is None else f"{type(value).__name__} {value!r:.60}"

"""A recipe says which comparisons become rows of a version, and how: parsed strictly, comparable field by field."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, ClassVar, Final, Literal, NamedTuple, get_args

from curation.exports.deidentify import RATER_NAMES, RaterNames, check_kinds
from curation.exports.schema import SOURCES, SPLITS, Split
from curation.exports.splits import check_fractions
from curation.noise import METHODS as NOISE_METHODS
from curation.stats.aggregation.methods import AUTO
from curation.stats.aggregation.methods import METHODS as CONSENSUS

Target = Literal["hard", "soft", "margin", "tie-aware"]
Keeping = Literal["drop", "keep"]
Scalar = str | int | float | bool
TARGETS: Final[tuple[str, ...]] = get_args(Target)
KEEPING: Final[tuple[str, ...]] = get_args(Keeping)
METHODS: Final = (AUTO, *CONSENSUS)
DEFAULT_METHOD: Final = "dawid-skene"
LEAST_COSINE: Final = 0.8
FEWEST_VALUES: Final[Mapping[str, int]] = {"side": 2, "length": 3, "source": len(SOURCES)}
"""How many values each kind of balance that is not a key of the metadata may tell apart."""


class _Table:
    """A table of fields, written without those younger than the first release that are as they are by themselves: so a
    recipe keeps its hash when fields come."""

    __slots__ = ()
    ALWAYS: ClassVar[tuple[str, ...]] = ()

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON types."""
        return {name: _plain(value) for name, value in self._given()}

    def _given(self) -> Iterator[tuple[str, Any]]:
        for each in fields(self):  # type: ignore[arg-type]  # every table is a dataclass
            value = getattr(self, each.name)
            if each.name in self.ALWAYS or value != _default(each):
                yield each.name, value


@dataclass(frozen=True, slots=True)
class NoiseRule(_Table):
    """Rows whose noise score by ``method`` is above ``max_score`` are dropped, and so are rows without a score."""

    method: str | None = None
    max_score: float | None = None
    treatment: Literal["current", "none"] = "current"
    """Whether what curators decided about doubtful labels is followed. The decisions of the moment of the build are."""

    def __post_init__(self) -> None:
        _expect_one_of("noise.treatment", self.treatment, ("current", "none"))
        if self.method is None and self.max_score is None:
            return
        _expect_one_of("noise.method", self.method, tuple(NOISE_METHODS))
        _expect("noise.max_score", self.max_score is not None, "a value", "no such field")
        _expect_share("noise.max_score", self.max_score)


@dataclass(frozen=True, slots=True)
class DeidentifyRule(_Table):
    """What is taken out of the texts, how the people behind the votes are called, and which metadata stays."""

    texts: tuple[str, ...] = ()
    """Kinds of `curation.exports.deidentify.KINDS`; prompts, completions and metadata lose them."""
    raters: RaterNames = "as-imported"
    metadata: bool | tuple[str, ...] = True
    """All of it stays, nothing, or the keys named."""

    def __post_init__(self) -> None:
        if self.texts:
            check_kinds(self.texts)
        _expect_one_of("deidentify.raters", self.raters, RATER_NAMES)
        if not isinstance(self.metadata, bool):
            _expect("deidentify.metadata", bool(self.metadata), "true, false or some keys", "an empty list")


@dataclass(frozen=True, slots=True)
class NearRule(_Table):
    """Rows whose text repeats that of an earlier row but for so much are dropped."""

    ALWAYS = ("threshold", "of")
    threshold: float = 0.8
    """Similarity from which two are near-duplicates: Jaccard's of their shingles, or the cosine of their embeddings."""
    of: Literal["row", "prompt"] = "row"
    """Of prompt and both completions together; or of prompts alone, which keeps one comparison of each."""
    by: Literal["words", "embedding"] = "words"
    """By embedding, those that were never embedded are kept, and what is dropped depends on the encoder."""

    def __post_init__(self) -> None:
        _expect_share("near_duplicates.threshold", self.threshold)
        _expect("near_duplicates.threshold", self.threshold > 0, "a number above 0", self.threshold)
        _expect_one_of("near_duplicates.of", self.of, ("row", "prompt"))
        _expect_one_of("near_duplicates.by", self.by, ("words", "embedding"))
        if self.by == "embedding":
            told = "0.8 or more by embedding: unrelated texts are as alike as less"
            _expect("near_duplicates.threshold", self.threshold >= LEAST_COSINE, told, self.threshold)


@dataclass(frozen=True, slots=True)
class DecontaminateRule(_Table):
    """Rows that share a run of so many words with a text of an evaluation set are dropped."""

    ALWAYS = ("against",)
    against: tuple[str, ...] = ()
    words: int = 13

    def __post_init__(self) -> None:
        _expect("decontaminate.against", bool(self.against), "names of evaluation sets", "none")
        _expect_count("decontaminate.words", self.words)
        _expect("decontaminate.words", self.words >= 3, "3 or more, as fewer stand in every text", self.words)


@dataclass(frozen=True, slots=True)
class BalanceRule(_Table):
    """No value has more than so many pairs; of those that have, pairs go by a hash of the seed and their id."""

    ALWAYS = ("by", "most")
    by: str = "side"
    """side (a or b is chosen), length (the chosen completion is longer, shorter or as long), source, or a key of the
    metadata."""
    most: float = 0.5
    """Below 1: the share of all pairs that a value may have; an integer: its pairs."""

    def __post_init__(self) -> None:
        _expect("balance.by", isinstance(self.by, str) and bool(self.by), "side, length, source or a key", self.by)
        _expect_storable("balance.by", self.by)
        _expect_number("balance.most", self.most)
        share = isinstance(self.most, float)
        holds = 0 < self.most < 1 if share else self.most >= 1
        _expect("balance.most", holds, "a share above 0 and below 1, or a number of pairs, 1 or more", self.most)
        values = FEWEST_VALUES.get(self.by)
        if share and values:
            least = f"{1 / values:.3g} or more: of {values} values one has no less, so that nothing could be kept"
            _expect("balance.most", self.most >= round(1 / values, 3), least, self.most)


@dataclass(frozen=True, slots=True)
class SplitRule(_Table):
    """Fractions of the groups (not of the rows) in each split, and the seed of their assignment and of balance."""

    ALWAYS = ("train", "validation", "test", "seed")
    train: float = 0.8
    validation: float = 0.1
    test: float = 0.1
    seed: int = 0
    by: Literal["group", "cluster"] = "group"
    """cluster: groups whose prompts are near-duplicates of each other are kept together too. A row that comes later may
    join two clusters, and then moves rows; by group, none ever moves another."""

    def __post_init__(self) -> None:
        for name in SPLITS:
            _expect_number(f"split.{name}", getattr(self, name))
        _expect_count("split.seed", self.seed)
        _expect_one_of("split.by", self.by, ("group", "cluster"))
        check_fractions(self.fractions)

    @property
    def fractions(self) -> dict[Split, float]:
        return {"train": self.train, "validation": self.validation, "test": self.test}


@dataclass(frozen=True, slots=True)
class Recipe(_Table):
    """Rules over consensus and judgements. Two equal recipes over equal candidates give equal bytes."""

    ALWAYS = (
        "method", "min_annotators", "min_judgements", "min_probability", "include_judges", "ties", "both_bad", "noise",
        "target", "split", "dedupe", "sources",
    )  # fmt: skip

    method: str = DEFAULT_METHOD
    """How the consensus is aggregated, or `auto`; whoever brings the candidates follows it."""
    min_annotators: int = 0
    """People who judged it. What an adjudicator decided needs no more."""
    min_judgements: int = 1
    """People and judges together, readable verdicts only. What an adjudicator decided needs no more."""
    min_probability: float = 0.5
    """Of the chosen side being preferred."""
    include_judges: bool = True
    """False: judges' votes neither count nor appear, and the consensus is to be that of people alone."""
    ties: Keeping = "drop"
    both_bad: Keeping = "drop"
    """What is kept has no chosen side: it stands in files of its own, and is never told as a pair."""
    noise: NoiseRule | None = None
    target: Target = "soft"
    """What a trainer is to learn: the chosen side, its probability, its margin, or a tie's probability beside it."""
    split: SplitRule = field(default_factory=SplitRule)
    dedupe: bool = True
    """Keep the first of the rows with the same prompt, chosen and rejected text."""
    sources: tuple[str, ...] | None = None
    """Keep rows labelled by these only: human, judge, mixed."""
    aspect: str | None = None
    """The consensus is of the preferences in this aspect, such as `helpfulness`; None: of the preference overall."""
    where: Mapping[str, tuple[Scalar, ...]] | None = None
    """Keep comparisons whose metadata has one of the values for each key; `language` and `generator` (of either
    completion) are keys too, unless the metadata has such keys."""
    min_agreement: float = 0.0
    """Share of the readable votes that say what the row does. What an adjudicator decided needs no more."""
    deidentify: DeidentifyRule | None = None
    near_duplicates: NearRule | None = None
    decontaminate: DecontaminateRule | None = None
    balance: BalanceRule | None = None

    def __post_init__(self) -> None:
        _expect_one_of("method", self.method, METHODS)
        _expect_one_of("target", self.target, TARGETS)
        _expect_one_of("ties", self.ties, KEEPING)
        _expect_one_of("both_bad", self.both_bad, KEEPING)
        _expect_count("min_annotators", self.min_annotators)
        _expect_count("min_judgements", self.min_judgements)
        _expect_share("min_probability", self.min_probability)
        _expect_share("min_agreement", self.min_agreement)
        for name in ("include_judges", "dedupe"):
            _expect(name, isinstance(getattr(self, name), bool), "true or false", getattr(self, name))
        if self.sources is not None:
            self._check_sources(self.sources)
        if self.where is not None:
            _check_where(self.where)
        if self.aspect is not None:
            self._check_aspect(self.aspect)
        if self.balance is not None:
            self._check_balance(self.balance)

    def _check_sources(self, sources: tuple[str, ...]) -> None:
        _expect("sources", bool(sources), f"some of {', '.join(SOURCES)}", "an empty list")
        for source in sources:
            _expect_one_of("sources", source, SOURCES)
        if not self.include_judges and "human" not in sources:
            raise ValueError("sources", "human among them, as include_judges is false", list(sources))
        if self.min_annotators > 0 and set(sources) == {"judge"}:
            raise ValueError("sources", "human or mixed among them, as min_annotators is above 0", list(sources))

    def _check_aspect(self, aspect: str) -> None:
        _expect("aspect", isinstance(aspect, str) and bool(aspect.strip()), "the key of an aspect", aspect)
        _expect_storable("aspect", aspect)
        if self.noise is not None and self.noise.method is not None:
            raise ValueError("noise", "no scores beside an aspect, as they doubt the preference overall", aspect)

    def _check_balance(self, rule: BalanceRule) -> None:
        """No rows have what de-identification takes out of them all; and nothing
        could ever be kept where one value alone may come, and it is to be less than all."""
        keys = True if self.deidentify is None else self.deidentify.metadata
        if rule.by not in FEWEST_VALUES and keys is not True and (not keys or rule.by not in keys):
            raise ValueError("balance.by", "a key that deidentify.metadata leaves in the rows", rule.by)
        sources = set(self.sources or SOURCES) - (set() if self.include_judges else {"judge", "mixed"})
        if rule.by == "source" and isinstance(rule.most, float) and rule.most < round(1 / len(sources), 3):
            got = f"{rule.most:g} of {', '.join(sorted(sources))} alone"
            raise ValueError("balance.most", f"{1 / len(sources):.3g} or more, by the sources that are kept", got)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Recipe:
        """Parse strictly: an unknown or misplaced field is refused by name with ValueError(field, expected, got)."""
        values = _known(data, cls, "")
        for name, kind in TABLES.items():
            if values.get(name) is not None:
                values[name] = _table(name, kind, values[name])
        if values.get("split", 0) is None:
            del values["split"]
        if values.get("sources") is not None:
            values["sources"] = _listed("sources", values["sources"])
        if values.get("where") is not None:
            _expect("where", isinstance(values["where"], Mapping), "a table of {key: [values]}", values["where"])
            values["where"] = {key: _listed(f"where.{key}", v, Scalar) for key, v in sorted(values["where"].items())}
        return cls(**values)

    @classmethod
    def from_toml(cls, text: str) -> Recipe:
        """Parse a TOML document of the same fields."""
        try:
            data = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise ValueError("recipe", "a TOML document", str(error)) from error
        return cls.from_dict(data)


TABLES: Final[Mapping[str, type[_Table]]] = {
    "noise": NoiseRule,
    "split": SplitRule,
    "deidentify": DeidentifyRule,
    "near_duplicates": NearRule,
    "decontaminate": DecontaminateRule,
    "balance": BalanceRule,
}
LISTS: Final = ("texts", "against", "metadata")


class Change(NamedTuple):
    """One field that two recipes differ in."""

    field: str
    before: Any
    after: Any


def diff(before: Recipe, after: Recipe) -> list[Change]:
    """Where two recipes differ, by field in the recipe's order, as in ``split.seed``; as plain JSON types.

    None stands for a table that is not there.
    """
    old, new = _flat(before), _flat(after)
    names = list(dict.fromkeys([*old, *new]))
    changes = (Change(name, old.get(name), new.get(name)) for name in sorted(names, key=_place))
    return [change for change in changes if change.before != change.after]


def _flat(recipe: Recipe) -> dict[str, Any]:
    """Every field of a recipe and of its tables, those as they are by themselves too."""
    flat: dict[str, Any] = {}
    for each in fields(recipe):
        value = getattr(recipe, each.name)
        if isinstance(value, _Table):
            flat |= {f"{each.name}.{f.name}": _plain(getattr(value, f.name)) for f in fields(value)}  # type: ignore[arg-type]
        elif isinstance(value, Mapping):
            flat |= {f"{each.name}.{key}": _plain(v) for key, v in value.items()}
        elif each.name not in TABLES and value is not None:
            flat[each.name] = _plain(value)
    return flat


def _place(name: str) -> tuple[int, int, str]:
    """The place of a dotted field among all."""
    top, _, below = name.partition(".")
    inner = [f.name for f in fields(TABLES[top])] if top in TABLES else []  # type: ignore[arg-type]
    return [f.name for f in fields(Recipe)].index(top), inner.index(below) if below in inner else 0, below


def _plain(value: Any) -> Any:
    if isinstance(value, _Table):
        return value.to_dict()
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    return list(value) if isinstance(value, tuple) else value


def _default(each: Any) -> Any:
    return each.default_factory() if each.default_factory is not MISSING else each.default


def _table(name: str, kind: type[_Table], data: object) -> _Table:
    values = _known(data, kind, name)
    for each in LISTS:
        if each in values and not isinstance(values[each], bool):
            values[each] = _listed(f"{name}.{each}", values[each])
    return kind(**values)


def _known(data: object, kind: type[Any], path: str) -> dict[str, Any]:
    """The mapping as constructor arguments, each of them a field of ``kind``."""
    if not isinstance(data, Mapping):
        raise ValueError(path or "recipe", "a table of fields", data)
    names = [each.name for each in fields(kind)]
    prefix = f"{path}." if path else ""
    for name in data:
        _expect(f"{prefix}{name}", name in names, f"one of {', '.join(names)}", name)
    return dict(data)


def _listed(name: str, value: object, kind: Any = str) -> tuple[Any, ...]:
    _expect(name, isinstance(value, list | tuple), "a list", value)
    items = tuple(value) if isinstance(value, list | tuple) else ()
    for item in items:
        _expect(name, isinstance(item, kind), "a list of text" if kind is str else "a list of texts or numbers", item)
        _expect(name, not isinstance(item, float) or math.isfinite(item), "finite numbers", item)
        if isinstance(item, str):
            _expect_storable(name, item)
    return items


def _check_where(where: Mapping[str, tuple[Scalar, ...]]) -> None:
    _expect("where", bool(where), "keys with their values", "an empty table")
    for key, values in where.items():
        _expect("where", bool(key), "keys that are not empty", key)
        _expect_storable("where", key)
        _expect(f"where.{key}", bool(values), "some values, as without any nothing could be kept", "an empty list")


def _expect(name: str, holds: bool, expected: str, got: object) -> None:
    if not holds:
        raise ValueError(name, expected, got)


def _expect_one_of(name: str, value: object, allowed: Sequence[str]) -> None:
    _expect(name, value in allowed, f"one of {', '.join(allowed)}", value)


def _expect_storable(name: str, text: str) -> None:
    """No database holds a NUL, and no file half of a surrogate pair."""
    holds = "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)
    _expect(name, holds, "text without NUL and lone surrogates", text)


def _expect_number(name: str, value: object) -> None:
    _expect(name, isinstance(value, int | float) and not isinstance(value, bool), "a number", value)


def _expect_count(name: str, value: object) -> None:
    _expect(name, isinstance(value, int) and not isinstance(value, bool), "an integer, 0 or more", value)
    _expect(name, isinstance(value, int) and value >= 0, "an integer, 0 or more", value)


def _expect_share(name: str, value: object) -> None:
    _expect_number(name, value)
    _expect(name, isinstance(value, int | float) and 0 <= value <= 1, "a number from 0 to 1", value)

"""What a router knows of an open comparison: one table of features, from which everything else is derived."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from curation.routing import prompts, texts
from curation.stats.votes import FloatArray


@dataclass(frozen=True, slots=True)
class Item:
    """An open comparison as a router sees it; what is absent is None."""

    id: Hashable
    prompt: str
    """All turns as text."""
    completion_a: str
    completion_b: str
    turns: int = 1
    judge_probability: float | None = None
    """Of b being better, by the judges that have read it; None: no parsed verdict."""
    judge_inconsistency: float | None = None
    """Share of judges whose verdicts changed with the order shown."""
    margin: float | None = None
    """Reward of b minus reward of a, by a model that did not train on it; of an ensemble its mean."""
    settled: bool = False
    """People have already judged it as often as it needs."""
    language: str | None = None
    """Of the prompt, as a tag such as "en-GB"; None is taken for English."""
    domain: str | None = None
    """One of `prompts.DOMAINS`, where it is known; None: read from the prompt's words."""
    judge_disagreement: float | None = None
    """Share of pairs of judges that chose different sides."""
    margin_deviation: float | None = None
    """Standard deviation of the margin over the models of an ensemble."""
    embedding_similarity: float | None = None
    """Cosine of the two completions' embeddings."""
    novelty: float | None = None
    """Distance, 1 - cosine, to the nearest comparison that people have judged."""
    difficulty: float | None = None
    """Probability that a rater of the mean skill says something else than the consensus."""
    trust: float | None = None
    """Probability that the judges agree with people, from what they did on similar comparisons."""


class Read(NamedTuple):
    """A comparison with its words, which several features share."""

    item: Item
    prompt: list[str]
    a: list[str]
    b: list[str]
    english: bool


Kind = Literal["number", "sided", "flag", "category"]
"""A sided number changes its sign or mirrors when a and b swap, so that no tag can be made of it."""


class Feature(NamedTuple):
    name: str
    label: str
    compute: Callable[[Read], float | None]
    kind: Kind = "number"
    values: tuple[str, ...] = ()
    """Of a category: what 0, 1, … stand for."""


def _lengths(read: Read) -> tuple[int, int]:
    return len(read.item.completion_a), len(read.item.completion_b)


def _doubt(read: Read) -> float | None:
    p = read.item.judge_probability
    return None if p is None else min(p, 1 - p)


def _length_ratio(read: Read) -> float:
    longer = max(_lengths(read))
    return min(_lengths(read)) / longer if longer else 1.0


def _for_longer(read: Read) -> float | None:
    """Verbosity is the best-known bias of judges: where they chose the longer, it may have been for its length."""
    p, (a, b) = read.item.judge_probability, _lengths(read)
    return None if p is None or p == 0.5 or a == b else float((p > 0.5) == (b > a))


def _domain(read: Read) -> float | None:
    given = read.item.domain
    if given is not None and given in prompts.DOMAINS:
        return list(prompts.DOMAINS).index(given)
    return prompts.domain(read.prompt) if read.english else None


def _english(measure: Callable[[Read], float]) -> Callable[[Read], float | None]:
    return lambda read: measure(read) if read.english else None


FEATURES: Final[tuple[Feature, ...]] = (
    Feature("length_difference", "difference in length, characters", lambda r: abs(np.subtract(*_lengths(r)))),
    Feature("length_ratio", "length of the shorter completion over that of the longer", _length_ratio),
    Feature("shorter_length", "length of the shorter completion", lambda r: min(_lengths(r))),
    Feature("longer_length", "length of the longer completion", lambda r: max(_lengths(r))),
    Feature("prompt_length", "length of the prompt, characters", lambda r: len(r.item.prompt)),
    Feature("turns", "messages in the prompt", lambda r: r.item.turns),
    Feature("jaccard", "distinct words that both completions have", lambda r: texts.jaccard(r.a, r.b)),
    Feature("rouge_1", "words that both completions have (ROUGE-1)", lambda r: texts.rouge_1(r.a, r.b)),
    Feature("rouge_l", "words in the same order in both (ROUGE-L)", lambda r: texts.rouge_l(r.a, r.b)),
    Feature(
        "trigram_cosine",
        "character trigrams in both completions, cosine",
        lambda r: texts.trigram_cosine(r.item.completion_a, r.item.completion_b),
    ),
    Feature("embedding_similarity", "embeddings of the completions, cosine", lambda r: r.item.embedding_similarity),
    Feature("questions", "question marks in the prompt", lambda r: prompts.questions(r.item.prompt)),
    Feature("sentences", "sentences in the prompt", lambda r: prompts.sentences(r.item.prompt)),
    Feature(
        "constraints", "conditions on the answer, in English", _english(lambda r: prompts.constraints(r.item.prompt))
    ),
    Feature(
        "imperative", "the prompt commands, in English", _english(lambda r: prompts.is_imperative(r.prompt)), "flag"
    ),
    Feature("creative", "it asks to invent, in English", _english(lambda r: prompts.is_creative(r.prompt)), "flag"),
    Feature(
        "complexity",
        "complexity of the request, in English",
        _english(lambda r: prompts.complexity(r.item.prompt, r.prompt, r.item.turns)),
        "category",
        prompts.COMPLEXITIES,
    ),
    Feature(
        "has_code",
        "code in the prompt or in a completion",
        lambda r: prompts.has_code(r.item.prompt, r.item.completion_a, r.item.completion_b),
        "flag",
    ),
    Feature("has_maths", "arithmetic or TeX in the prompt", lambda r: prompts.has_maths(r.item.prompt), "flag"),
    Feature("domain", "domain, as given or by English words", _domain, "category", tuple(prompts.DOMAINS)),
    Feature(
        "safety",
        "gravest word of concern in the prompt, in English",
        _english(lambda r: prompts.safety(r.prompt)),
        "category",
        prompts.SAFETY,
    ),
    Feature("judge_probability", "probability of b, by the judges", lambda r: r.item.judge_probability, "sided"),
    Feature("judge_doubt", "probability that the judges' side is the wrong one, by themselves", _doubt),
    Feature("judge_for_longer", "the judges chose the longer completion", _for_longer, "flag"),
    Feature(
        "judge_inconsistency",
        "judges that changed their verdict with the order",
        lambda r: r.item.judge_inconsistency,
    ),
    Feature("judge_disagreement", "pairs of judges on different sides", lambda r: r.item.judge_disagreement),
    Feature("margin", "reward of b minus reward of a", lambda r: r.item.margin, "sided"),
    Feature("margin_size", "difference in reward", lambda r: None if r.item.margin is None else abs(r.item.margin)),
    Feature("margin_deviation", "deviation of the difference in reward", lambda r: r.item.margin_deviation),
    Feature("novelty", "distance to what people have judged", lambda r: r.item.novelty),
    Feature("difficulty", "how often raters miss the consensus", lambda r: r.item.difficulty),
    Feature("trust", "agreement of judges and people on similar comparisons", lambda r: r.item.trust),
)
_SHARES: Final = ("judge_probability", "judge_inconsistency", "judge_disagreement", "difficulty", "trust")


class Features(NamedTuple):
    """N comparisons by F features."""

    ids: tuple[Hashable, ...]
    names: tuple[str, ...]
    table: FloatArray
    """[N, F]; nan where absent."""
    settled: npt.NDArray[np.bool_]
    """[N]"""

    def column(self, name: str) -> FloatArray:
        """[N] one feature."""
        if name not in self.names:
            raise ValueError("name", f"one of {', '.join(self.names)}", name)
        column: FloatArray = self.table[:, self.names.index(name)]
        return column


def extract(items: Iterable[Item]) -> Features:
    """The features of items, in their order. Some 0.3 ms for two completions of 120 words."""
    ids, settled, rows = [], [], []
    for item in items:
        _check(item)
        read = _read(item)
        ids.append(item.id)
        settled.append(item.settled)
        rows.append(np.array([_value(feature.compute(read)) for feature in FEATURES]))
    return Features(
        ids=tuple(ids),
        names=tuple(feature.name for feature in FEATURES),
        table=np.array(rows, dtype=np.float64).reshape(len(ids), len(FEATURES)),
        settled=np.array(settled, dtype=np.bool_),
    )


def _check(item: Item) -> None:
    for name in _SHARES:
        value = getattr(item, name)
        if value is not None and not 0 <= value <= 1:
            raise ValueError(name, f"a number from 0 to 1 for {item.id!r}", value)


def _read(item: Item) -> Read:
    english = item.language is None or item.language.lower().split("-")[0] in ("en", "english")
    return Read(item, texts.words(item.prompt), texts.words(item.completion_a), texts.words(item.completion_b), english)


def _value(value: float | None) -> float:
    return float("nan") if value is None else float(value)

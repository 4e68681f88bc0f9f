"""Rules: what stands in the texts and is known to spoil labels. Each hit quotes the place.

They are patterns, for English where they look at words, and know nothing of what a text means: a hit is a reason to
look, and how high it scores says how often such a label is wrong, by judgement and not by measurement.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from curation.noise.scores import Scores

QUOTE: Final = 60
"""Characters of a place that are quoted, at most."""
OPENING: Final = 200
"""Characters in which a refusal begins, if it is one."""


class Texts(NamedTuple):
    """A comparison as the rules see it."""

    prompt: str
    a: str
    b: str
    side: int
    """Of its label: -1 a, 0 a tie or none, 1 b."""
    pasted: Sequence[tuple[str, int]] = ()
    """Justifications that their author gave on so many comparisons."""

    @property
    def chosen(self) -> str:
        return {-1: "a", 1: "b"}.get(self.side, "")


class Hit(NamedTuple):
    score: float
    """How probable it is that the label is wrong, from 0 to 1."""
    place: str
    """a, b, both or justification."""
    quote: str


class Rule(NamedTuple):
    label: str
    check: Callable[[Texts], Iterable[Hit]]


def rules(texts: Iterable[Texts]) -> Scores:
    """Scores of n comparisons: the strongest hit's, 0 where there is none; all hits are in the details."""
    told = [_told(each) for each in texts]
    score = np.array([hits[0]["score"] if hits else 0.0 for hits in told], dtype=np.float64)
    return Scores(score, [_words(hits) for hits in told], [{"hits": hits} for hits in told])


def _told(texts: Texts) -> list[dict[str, Any]]:
    found = [{"rule": name, **hit._asdict()} for name, rule in RULES.items() for hit in rule.check(texts)]
    return sorted(found, key=lambda hit: -hit["score"])  # stable: equal ones stay in the order of the table


def _words(hits: Sequence[Mapping[str, Any]]) -> str:
    if not hits:
        return "no rule found anything"
    return "; ".join(f"{RULES[hit['rule']].label} in {PLACES[hit['place']]}: “{hit['quote']}”" for hit in hits[:3])


PLACES: Final = {"a": "A", "b": "B", "both": "both", "justification": "a justification"}

# Names of models and of who makes them: a rater who reads them judges the name.
MAKERS: Final = r"OpenAI|Anthropic|Google|DeepMind|Meta(?: AI)?|Microsoft|Mistral(?: AI)?|Alibaba|DeepSeek|Cohere|xAI"
MODELS: Final = r"ChatGPT|GPT-?\d\w*|Claude|Bard|Gemini|LLaMA(?:-?\d)?|Llama|Vicuna|Alpaca|Qwen|Mixtral|Grok|Command R"
LEAK: Final = re.compile(
    rf"\bI(?: a|')m (?:an? )?(?:{MODELS})\b|\bmy name is (?:{MODELS})\b|"
    rf"\b(?:trained|developed|created|made|built) by (?:{MAKERS})\b|"
    r"\b[Aa]s an? (?:AI|artificial intelligence)(?: language)? (?:model|assistant)\b"
)


def _leaks(texts: Texts) -> Iterator[Hit]:
    for place, text in (("a", texts.a), ("b", texts.b)):
        if found := LEAK.search(text):
            # Who names itself and wins may have won by its name; who names itself and loses has lost all the same.
            yield Hit(0.4 if place == texts.chosen else 0.2, place, _around(text, found))


REFUSAL: Final = re.compile(
    r"\bI(?:'m| am) (?:very |so |really )?sorry,? but\b|\bI(?:'m| am) (?:not able|unable) to\b|"
    r"\bI (?:can(?:no|')t|won't|will not) (?:help|assist|provide|answer|fulfil|comply|do that|create|generate)\b",
    re.IGNORECASE,
)


def _refusals(texts: Texts) -> Iterator[Hit]:
    """One side refuses, the other answers. Where refusing is right so is such a label: that is for people to say."""
    straight = [text[:OPENING].replace("’", "'") for text in (texts.a, texts.b)]
    a, b = (REFUSAL.search(text) for text in straight)
    if bool(a) == bool(b):
        return
    place, text, found = ("a", straight[0], a) if a else ("b", straight[1], b)
    if found:
        yield Hit(0.5 if place == texts.chosen else 0.1, place, _around(text, found))


ENDS: Final = frozenset(".!?…:;)]}>\"'”’»*`_~|。！？；」』）】।؟۔")
LONG: Final = 200
"""A shorter text may well end without a full stop."""


def _truncated(texts: Texts) -> Iterator[Hit]:
    for place, text in (("a", texts.a), ("b", texts.b)):
        end = text.rstrip()
        open_code = end.count("```") % 2 == 1
        last_line = end[end.rfind("\n") + 1 :]
        prose = len(last_line.split()) >= 6  # not a list's item, a signature, a line of code
        cut = len(end) >= LONG and prose and end[-1] not in ENDS and not unicodedata.category(end[-1]).startswith("S")
        if open_code or cut:
            yield Hit(0.5 if place == texts.chosen else 0.1, place, "…" + end[-QUOTE:].lstrip())


SCRIPTS: Final = {
    "LATIN": "Latin", "CYRILLIC": "Cyrillic", "GREEK": "Greek", "ARABIC": "Arabic", "HEBREW": "Hebrew",
    "DEVANAGARI": "Devanagari", "BENGALI": "Bengali", "TAMIL": "Tamil", "THAI": "Thai", "HANGUL": "Hangul",
    "CJK": "Chinese or Japanese", "HIRAGANA": "Chinese or Japanese", "KATAKANA": "Chinese or Japanese",
    "GEORGIAN": "Georgian", "ARMENIAN": "Armenian", "ETHIOPIC": "Ethiopic",
}  # fmt: skip
LETTERS: Final = 20
"""Fewer letters than this name no script."""


def script_of(text: str) -> str:
    """The script of most letters, empty where there are too few or no script has four fifths of them.

    It tells scripts apart and not languages: German for English goes unseen. Code and addresses are Latin everywhere,
    which is why mixed texts have none.
    """
    letters = [letter for letter in text[:2_000] if letter.isalpha()]
    foreign = [letter for letter in letters if not letter.isascii()]  # to ask each letter's name is slow
    counted = Counter(map(_script, foreign))
    counted["Latin"] += len(letters) - len(foreign)
    name, n = max(counted.items(), key=lambda pair: pair[1])
    return name if len(letters) >= LETTERS and n >= 0.8 * len(letters) else ""


def _script(letter: str) -> str:
    return SCRIPTS.get(unicodedata.name(letter, "").split(" ")[0].split("-")[0], "")


TRANSLATE: Final = re.compile(r"\b(?:translat|in (?:English|Chinese|Japanese|Russian|Arabic|Korean|Hindi)\b)", re.I)


def _wrong_language(texts: Texts) -> Iterator[Hit]:
    """A completion in another script than the prompt, where the prompt asks for no translation."""
    asked = script_of(texts.prompt)
    if not asked or (asked == "Latin" and TRANSLATE.search(texts.prompt)):
        return
    for place, text in (("a", texts.a), ("b", texts.b)):
        written = script_of(text)
        if written and written != asked and not _code(text):
            said = f"{written} for {asked}: {text[:QUOTE].strip()}"
            yield Hit(0.6 if place == texts.chosen else 0.1, place, said)


def _code(text: str) -> bool:
    return "```" in text


def _empty(texts: Texts) -> Iterator[Hit]:
    for place, text in (("a", texts.a), ("b", texts.b)):
        if not any(map(str.isalnum, text)):
            yield Hit(0.9 if place == texts.chosen else 0.05, place, text.strip()[:QUOTE] or "nothing")


def _identical(texts: Texts) -> Iterator[Hit]:
    """Texts that differ in blanks and case alone: no label of them says anything."""
    if texts.a.casefold().split() == texts.b.casefold().split() and texts.a.strip():
        yield Hit(0.5, "both", texts.a.strip()[:QUOTE])


def _pasted(texts: Texts) -> Iterator[Hit]:
    for words, n in texts.pasted:
        yield Hit(0.5, "justification", f"{words[:QUOTE].strip()} (on {n} comparisons)")


def _around(text: str, found: re.Match[str]) -> str:
    """The match with what stands around it, some `QUOTE` characters in all."""
    room = max(0, QUOTE - len(found[0])) // 2
    start, end = max(0, found.start() - room), min(len(text), found.end() + room)
    before, after = ("…" if start else ""), ("…" if end < len(text) else "")
    return f"{before}{' '.join(text[start:end].split())}{after}"


RULES: Final[Mapping[str, Rule]] = {
    "empty": Rule("nothing to read", _empty),
    "wrong-language": Rule("another script than the prompt's", _wrong_language),
    "identical": Rule("the same text twice", _identical),
    "refusal": Rule("a refusal beside an answer", _refusals),
    "truncated": Rule("a cut end", _truncated),
    "pasted": Rule("the same justification again and again", _pasted),
    "identity-leak": Rule("a model names itself or its maker", _leaks),
}
"""Name → what it finds, and how. A comparison is judged by the strongest of its hits."""

"""What a prompt asks for: its intent, complexity, domain and safety concern, by word lists.

The lists are English and short. They say where to look, not what is so: no list can tell a discussion of a danger from
a wish to do it. For a prompt in another language every measure that rests on them is absent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

COMPLEXITIES: Final = ("simple", "moderate", "complex")
SAFETY: Final = ("none", "low", "moderate", "high")

_QUESTION: Final = re.compile(r"[?？؟]")
_SENTENCE: Final = re.compile(r"[.!?。！？]+(?:\s|$)|\n+")
_CODE: Final = re.compile(r"```|\bdef \w+\(|\bfunction\s*\w*\(|;\s*$|</\w+>|\bSELECT\b.+\bFROM\b", re.MULTILINE)
_MATHS: Final = re.compile(r"\d\s*[-+*/^=×÷]\s*\d|\$[^$]+\$|\\(?:frac|sum|int|sqrt)\b|√|∑|∫")
_CONSTRAINT: Final = re.compile(
    r"\b(?:at (?:least|most)|no (?:more|less|fewer) than|exactly|only|must|should|without|using|"
    r"in the style of|(?:in|under|within|up to) \d+|"
    r"\d+ (?:words|sentences|lines|points|items|examples|paragraphs|characters)|"
    r"format(?:ted)?|do not|don't|avoid|include|ensure|make sure|as an? (?:list|table|haiku|poem)|json|table)\b",
    re.IGNORECASE,
)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_IMPERATIVES: Final = _words(
    "add analyse analyze answer argue arrange assign brainstorm build calculate categorise categorize "
    "change choose classify combine compare complete compose compute construct continue convert correct "
    "count create decide define delete derive describe design detect determine develop discuss draft edit "
    "estimate evaluate explain extract find fix generate give guess help identify imagine implement "
    "improve infer invent judge list make match name optimise optimize organise organize outline "
    "paraphrase perform plan point predict prepare print produce propose prove provide rank rate read "
    "recommend remove rephrase replace report respond reverse rewrite say select show simplify solve sort "
    "split suggest summarise summarize take tell think transform translate turn use verify write"
)
_CREATIVE: Final = _words(
    "argue brainstorm compose create dialogue dream essay fiction haiku imagine invent joke limerick "
    "lyrics name poem poetry roleplay script slogan song story tagline tale"
)

DOMAINS: Final[Mapping[str, frozenset[str]]] = {
    "code": _words(
        "algorithm api array bash bug class code compile css database debug docker function git html java "
        "javascript json kubernetes linux loop method object program programming python regex script server "
        "sql variable"
    ),
    "maths": _words(
        "algebra average calculate calculus derivative equation fraction geometry integer integral matrix "
        "number percent percentage polynomial prime probability proof ratio solve square statistics sum "
        "theorem"
    ),
    "science": _words(
        "animal atom biology cell chemical chemistry climate dna earth ecology energy evolution gene gravity "
        "laboratory molecule physics planet plant quantum reaction research species star temperature"
    ),
    "medicine": _words(
        "cancer diagnosis disease doctor dose drug health hospital illness medical medication medicine nurse "
        "pain patient pill surgery symptom symptoms therapy treatment vaccine virus"
    ),
    "law": _words(
        "attorney constitution contract copyright court crime defendant judge jury law lawsuit lawyer legal "
        "liability licence license plaintiff regulation rights statute trial"
    ),
    "business": _words(
        "account advertising bank brand budget business client company cost customer economy email finance "
        "income invest investment job manager market marketing price product profit resume revenue sales "
        "stock tax"
    ),
    "society": _words(
        "argument belief church convincing culture debate democracy education election ethics god government "
        "history marriage moral nation philosophy policy political politics president religion school society "
        "vote war"
    ),
    "language": _words(
        "article clarity edit essay grammar letter paragraph paraphrase phrase poem rephrase rewrite sentence "
        "spelling story summarise summarize summary synonym translate translation verb word writing"
    ),
    "everyday": _words(
        "actor book city cook dish dinner exercise film food game garden holiday home hotel kitchen meal "
        "movie music pet recipe restaurant sport sports team travel trip weather"
    ),
}

_CONCERNS: Final[tuple[frozenset[str], ...]] = (  # low, moderate, high
    _words(
        "abortion alcohol bet beer casino cigarette debt diagnosis diet dose drunk fight gambling gun insult "
        "joke legal medication offensive police politics prison race racist religion sex sexual smoke swear "
        "vape war weed"
    ),
    _words(
        "abuse abusive blackmail cheat cocaine counterfeit crack drugs fraud hack hacking hate heroin kidnap "
        "marijuana meth nazi nude phishing pirate porn prostitute revenge shoplift slur stalk steal stealing "
        "theft torture violence violent weapon weapons"
    ),
    _words(
        "anthrax bioweapon bomb bombs bombing explosive explosives genocide massacre molest murder pedophile "
        "poison rape ransomware selfharm suicidal suicide terrorism terrorist"
    ),
)


def questions(prompt: str) -> int:
    """Question marks, in any script that has one."""
    return len(_QUESTION.findall(prompt))


def sentences(prompt: str) -> int:
    """Ends of sentences or of lines, at least 1 where there is any text."""
    stripped = prompt.strip()
    return len(_SENTENCE.findall(stripped + "\n")) if stripped else 0


def constraints(prompt: str) -> int:
    """Marks of a condition on the answer: a length, a format, something to avoid or to include."""
    return len(_CONSTRAINT.findall(prompt))


def has_code(*texts: str) -> bool:
    """A fenced block or what only code has."""
    return any(_CODE.search(text) is not None for text in texts)


def has_maths(*texts: str) -> bool:
    """Arithmetic between numbers, or TeX."""
    return any(_MATHS.search(text) is not None for text in texts)


def is_imperative(said: Sequence[str]) -> bool:
    """A verb of command among the first words of the prompt ("Please write …", "Can you list …")."""
    return not _IMPERATIVES.isdisjoint(said[:4])


def is_creative(said: Sequence[str]) -> bool:
    """It asks for something to be invented, on which people differ more."""
    return not _CREATIVE.isdisjoint(said)


def complexity(prompt: str, said: Sequence[str], turns: int) -> int:
    """Position in `COMPLEXITIES`: how many of several signs of a long or conditional request there are."""
    signs = min(2, constraints(prompt)) + (questions(prompt) > 1) + (sentences(prompt) > 3)
    signs += (len(said) > 80) + (turns > 1)
    return 0 if signs == 0 else 1 if signs <= 2 else 2


def domain(said: Sequence[str]) -> int | None:
    """Position in `DOMAINS` of the list with most of the prompt's words, the first among equals; None: none has any."""
    found = [sum(word in known for word in said) for known in DOMAINS.values()]
    return found.index(max(found)) if any(found) else None


def safety(said: Sequence[str]) -> int:
    """Position in `SAFETY` of the gravest word in the prompt."""
    met = [level for level, words in enumerate(_CONCERNS, 1) if not words.isdisjoint(said)]
    return max(met, default=0)

"""Surface features of a completion: one table of named measures, cheap and fixed."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text)


def _per_word(count: float, text: str) -> float:
    return count / (len(_words(text)) + 1)


def _count(pattern: str) -> Callable[[str], float]:
    compiled = re.compile(pattern)
    return lambda text: math.log1p(len(compiled.findall(text)))


SURFACE: Final[Mapping[str, Callable[[str], float]]] = {
    "log_characters": lambda t: math.log1p(len(t)),
    "log_words": lambda t: math.log1p(len(_words(t))),
    "log_sentences": _count(r"[.!?]+(?:\s|$)"),
    "log_paragraphs": _count(r"\n+"),
    "log_commas": _count(r"[,;:]"),
    "log_digits": _count(r"\d+"),
    "log_links": _count(r"https?://|www\."),
    "log_exclamations": _count(r"!"),
    "log_questions": _count(r"\?"),
    "log_quotes": _count(r"[\"“”]"),
    "word_length": lambda t: _per_word(sum(map(len, _words(t))), t),
    "distinct_words": lambda t: _per_word(len({w.lower() for w in _words(t)}), t),
    "capitals": lambda t: sum(c.isupper() for c in t) / (len(t) + 1),
    "shouted": lambda t: _per_word(sum(len(w) > 2 and w.isupper() for w in _words(t)), t),
    "starts_capital": lambda t: float(t.lstrip()[:1].isupper()),
    "lower_i": lambda t: _per_word(len(re.findall(r"\bi\b", t)), t),
    "ends_stop": lambda t: float(t.rstrip()[-1:] in (".", "!", "?", '"', ")")),
}


def measure(completions: Sequence[str], names: Sequence[str]) -> NDArray[np.float32]:
    """Features [n, len(names)]; ValueError lists the known names."""
    unknown = [name for name in names if name not in SURFACE]
    if unknown:
        raise ValueError(f"surface: expected names among {', '.join(SURFACE)}, got {', '.join(unknown)}")
    table = [[SURFACE[name](text) for name in names] for text in completions]
    return np.array(table, np.float32).reshape(len(completions), len(names))

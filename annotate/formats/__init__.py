"""PURE: formats of files that people bring. Each turns one record into rows, or says which field it cannot take.

A format is a function `parse(record, source) -> list[Row]` that raises RowError. `source` names the file.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, Final, NamedTuple

from .rows import Adjudication, Completion, Judgement, Row, RowError, Turns, bits

Parser = Callable[[Any, str], list[Row]]


class Format(NamedTuple):
    label: str
    parser: str  # dotted path of a Parser


DEFAULT: Final = "rows"
FORMATS: Final[dict[str, Format]] = {
    "rows": Format("Tiebreak's own rows", "annotate.formats.rows.parse"),
    "trl": Format("TRL preference pairs: prompt, chosen, rejected", "annotate.formats.trl.parse"),
    "hh-rlhf": Format("HH-RLHF transcripts: chosen, rejected", "annotate.formats.hh_rlhf.parse"),
    "oasst": Format("OpenAssistant: trees with ranked replies", "annotate.formats.oasst.parse"),
    "multipref": Format("MultiPref: every worker's judgement by aspect", "annotate.formats.multipref.parse"),
    "helpsteer2": Format("HelpSteer2-Preference and HelpSteer3", "annotate.formats.helpsteer2.parse"),
    "ultrafeedback": Format("UltraFeedback: completions scored by GPT-4", "annotate.formats.ultrafeedback.parse"),
    "arena": Format("Chatbot Arena: conversations and who won", "annotate.formats.arena.parse"),
    "pandalm": Format("PandaLM: three annotators", "annotate.formats.pandalm.parse"),
    "llmbar": Format("LLMBar: pairs with an expert's label as gold", "annotate.formats.llmbar.parse"),
    "argilla": Format("Argilla: records with responses", "annotate.formats.argilla.parse"),
    "label-studio": Format("Label Studio: a pairwise project's JSON export", "annotate.formats.label_studio.parse"),
}


def parser_of(name: str) -> Parser:
    """The parser of a format. Raises ValueError with the known names."""
    if name not in FORMATS:
        raise ValueError(f"format: expected one of {', '.join(FORMATS)}, got {name!r}")
    module, _, function = FORMATS[name].parser.rpartition(".")
    parser: Parser = getattr(import_module(module), function)
    return parser


__all__ = [
    "DEFAULT",
    "FORMATS",
    "Adjudication",
    "Completion",
    "Format",
    "Judgement",
    "Parser",
    "Row",
    "RowError",
    "Turns",
    "bits",
    "parser_of",
]

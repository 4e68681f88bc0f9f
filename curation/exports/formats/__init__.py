"""Training formats: a literal table of name → (label, facts, module). A module has `convert` and `schema`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final, Literal, NamedTuple, Protocol, cast, get_args

import pyarrow as pa

from curation.exports.schema import Row

Style = Literal["conversational", "text"]


@dataclass(frozen=True, slots=True)
class FormatOptions:
    """How to write rows, as far as the format knows the choice."""

    style: Style = "conversational"
    margin: bool = False
    """Add the margin. Trainers that read the column change their loss by it, so it is never there unasked."""

    def __post_init__(self) -> None:
        if self.style not in get_args(Style):
            raise ValueError("style", f"one of {', '.join(get_args(Style))}", self.style)


class Converter(Protocol):
    """What a format's module provides."""

    def convert(self, row: Row, options: FormatOptions) -> dict[str, Any]:
        """The native row in the format's columns."""

    def schema(self, options: FormatOptions) -> pa.Schema:
        """The columns of what `convert` returns."""


class Format(NamedTuple):
    label: str
    facts: str
    path: str


FORMATS: Final[Mapping[str, Format]] = {
    "raw": Format("Native rows", "every field of a version, lossless", "curation.exports.formats.raw"),
    "trl": Format(
        "TRL preference, explicit prompt",
        "prompt, chosen, rejected as messages or text, for RewardTrainer and DPOTrainer",
        "curation.exports.formats.trl",
    ),
}


def converter(name: str) -> Converter:
    """The module of a format, imported on use; an unknown name is refused with the list of known ones."""
    if name not in FORMATS:
        raise ValueError("format", f"one of {', '.join(FORMATS)}", name)
    return cast(Converter, import_module(FORMATS[name].path))

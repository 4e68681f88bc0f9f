"""Training formats: a literal table of name → (label, facts, module). A module has `convert` and `schema`, and one that
tells the rows of a prompt together has `convert_all` in the place of `convert`, one that is made of ratings
`convert_rated`.

The columns are those that each trainer's own loader reads; a format's golden file under tests/golden shows them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final, Literal, NamedTuple, Protocol, cast, get_args

import pyarrow as pa

from curation.exports.pieces import Pieces
from curation.exports.schema import UNDECIDED, Native, Row

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

    def convert(self, row: Row, options: FormatOptions) -> list[dict[str, Any]]:
        """The records that a native row becomes, as many as the table says.

        Raises ValueError(field, expected, got) for a row that the format cannot be told.
        """

    def schema(self, options: FormatOptions) -> pa.Schema:
        """The columns of what `convert` returns."""


class Cutter(Protocol):
    """What a format's module may provide besides, where pieces of the native line are all that it sends on."""

    def cut(self, told: Pieces) -> bytes:
        """The lines of `convert` for a pair, with the options that are so by themselves."""


class Rating(NamedTuple):
    """What one judgement says of each completion by itself."""

    aspects: Mapping[str, Mapping[str, int]]
    """{aspect: {a: n, b: n}}, from 1 to `most`."""
    most: int


class RatedConverter(Protocol):
    """What the module of a format provides that is made of ratings."""

    def convert_rated(self, row: Native, ratings: Sequence[Rating], options: FormatOptions) -> list[dict[str, Any]]:
        """As `convert`, given what the judgements behind the row rated."""

    def schema(self, options: FormatOptions) -> pa.Schema:
        """The columns of it."""


class GroupConverter(Protocol):
    """What a grouped format's module provides."""

    def convert_all(self, rows: Sequence[Native], options: FormatOptions) -> dict[str, Any]:
        """The one record that all rows of a prompt become."""

    def schema(self, options: FormatOptions) -> pa.Schema:
        """The columns of it."""


class Format(NamedTuple):
    label: str
    facts: str
    path: str
    records: int = 1
    """That a row becomes."""
    total: bool = True
    """Any row can be told; where not, `convert` refuses those that cannot."""
    undecided: tuple[str, ...] = ()
    """Of the rows without a chosen side: the kinds that it can tell as what they are. Pairs can tell none."""
    grouped: bool = False
    """One record for all rows of a prompt."""
    rated: bool = False
    """Made of ratings, which are no part of a row: they are read from the judgements that it was made of."""


FORMATS: Final[Mapping[str, Format]] = {
    "raw": Format(
        "Native rows", "every field of a version, lossless", "curation.exports.formats.raw", undecided=UNDECIDED
    ),
    "trl": Format(
        "TRL preference, explicit prompt",
        "prompt, chosen, rejected as messages or text: RewardTrainer, DPOTrainer, OpenRLHF",
        "curation.exports.formats.trl",
    ),
    "trl-implicit": Format(
        "TRL preference, implicit prompt",
        "chosen, rejected, each with the prompt at its head: RewardTrainer, DPOTrainer",
        "curation.exports.formats.trl_implicit",
    ),
    "kto": Format(
        "KTO, unpaired",
        "prompt, completion, label: two records a row, for KTOTrainer and Axolotl",
        "curation.exports.formats.kto",
        records=2,
        undecided=("both_bad",),
    ),
    "llama-factory": Format(
        "LLaMA-Factory ranking",
        "conversations, system, chosen, rejected, and a dataset_info.json",
        "curation.exports.formats.llama_factory",
        total=False,
    ),
    "llama-factory-kto": Format(
        "LLaMA-Factory KTO",
        "conversations, system, kto_tag: two records a row, and a dataset_info.json",
        "curation.exports.formats.llama_factory_kto",
        records=2,
        total=False,
        undecided=("both_bad",),
    ),
    "axolotl": Format(
        "Axolotl DPO",
        "messages, chosen, rejected for chat_template.default",
        "curation.exports.formats.axolotl",
        total=False,
    ),
    "axolotl-reward": Format(
        "Axolotl reward model",
        "system, input, chosen, rejected for bradley_terry.chat_template: one turn",
        "curation.exports.formats.axolotl_reward",
        total=False,
    ),
    "verl": Format("verl", "a prompt with the chosen completion as its reference", "curation.exports.formats.verl"),
    "helpsteer": Format(
        "HelpSteer3 preference",
        "context, response1, response2, overall_preference, individual_preference",
        "curation.exports.formats.helpsteer",
        undecided=("tie",),
    ),
    "helpsteer2": Format(
        "HelpSteer2 attributes",
        "prompt, response, helpfulness, correctness, coherence, complexity, verbosity: two records a row",
        "curation.exports.formats.helpsteer2",
        records=2,
        total=False,
        undecided=UNDECIDED,
        rated=True,
    ),
    "rewardbench": Format(
        "RewardBench",
        "prompt, chosen, rejected as text, with their models and a subset",
        "curation.exports.formats.rewardbench",
    ),
    "multipref": Format(
        "MultiPref",
        "both completions with every single judgement",
        "curation.exports.formats.multipref",
        undecided=UNDECIDED,
    ),
    "ranking": Format(
        "Ranking", "a context and its completions by rank, 0 the best: NeMo RL", "curation.exports.formats.ranking"
    ),
    "listwise": Format(
        "Listwise",
        "a prompt with all its completions, ranked where the comparisons make one ranking",
        "curation.exports.formats.listwise",
        undecided=("tie",),
        grouped=True,
    ),
}


def converter(name: str) -> Converter:
    """The module of a format, imported on use; an unknown name is refused with the list of known ones."""
    return cast(Converter, _module(name))


def cutter(name: str, options: FormatOptions) -> Cutter | None:
    """The module of a format that need not read a pair to tell it; None where it must."""
    found = _module(name)
    return cast(Cutter, found) if options == FormatOptions() and hasattr(found, "cut") else None


def rated_converter(name: str) -> RatedConverter:
    """The module of a format that is made of ratings."""
    return cast(RatedConverter, _module(name))


def group_converter(name: str) -> GroupConverter:
    """The module of a grouped format."""
    return cast(GroupConverter, _module(name))


def _module(name: str) -> Any:
    if name not in FORMATS:
        raise ValueError("format", f"one of {', '.join(FORMATS)}", name)
    return import_module(FORMATS[name].path)

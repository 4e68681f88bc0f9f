"""The ways of aggregating, by name."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Final, NamedTuple, cast

from curation.stats.aggregation.contract import Aggregate, Aggregator
from curation.stats.votes import BoolArray, Pairs, Votes

AUTO: Final = "auto"
HERE: Final = "curation.stats.aggregation"


class Method(NamedTuple):
    label: str
    facts: str
    """What it assumes, in one sentence for a curator."""
    needs_pairs: bool
    """Whether it needs to know which two items each comparison is of."""
    path: str
    """Module and function, imported on use."""


METHODS: Final[Mapping[str, Method]] = {
    "majority": Method("Majority", "Every vote counts the same.", False, f"{HERE}.counting:majority"),
    "weighted-majority": Method(
        "Weighted majority",
        "A vote counts as much as its rater agrees with the majority.",
        False,
        f"{HERE}.counting:weighted_majority",
    ),
    "dawid-skene": Method(
        "Dawid-Skene",
        "Each rater errs in their own way, the same on every comparison.",
        False,
        f"{HERE}.dawid_skene:dawid_skene",
    ),
    "mace": Method("MACE", "Each rater either knows the answer or gives one by habit.", False, f"{HERE}.mace:mace"),
    "glad": Method("GLAD", "Raters differ in skill, and comparisons in difficulty.", False, f"{HERE}.glad:glad"),
    "graded": Method(
        "Graded",
        "Raters place a hidden preference on a scale of strength, more or less sharply.",
        False,
        f"{HERE}.graded:graded",
    ),
    "bradley-terry": Method(
        "Bradley-Terry",
        "Completions have scores; raters differ in skill and may favour the side shown first.",
        True,
        f"{HERE}.bradley_terry:bradley_terry",
    ),
    "crowd-bt": Method(
        "CrowdBT",
        "Completions have scores; a rater follows them with a probability, and adversaries go against them.",
        True,
        f"{HERE}.crowd_bt:crowd_bt",
    ),
    "joint": Method(
        "Joint",
        "People and judges in one model: skills shrink to those of their kind, judges err together, comparisons differ "
        "in difficulty.",
        False,
        f"{HERE}.joint:joint",
    ),
}


def resolve(method: str) -> Aggregator:
    """The function of a method. Raises ValueError with the known names for any other."""
    if method not in METHODS:
        raise ValueError("method", f"{AUTO} or one of {', '.join(METHODS)}", method)
    module, name = METHODS[method].path.split(":")
    return cast(Aggregator, getattr(import_module(module), name))


def aggregate(votes: Votes, method: str, *, pairs: Pairs | None = None, is_judge: BoolArray | None = None) -> Aggregate:
    """The consensus of the votes by a method of `METHODS`, or by the one that `choosing.choose` takes: "auto"."""
    if method == AUTO:
        from curation.stats.aggregation.choosing import choose

        method = choose(votes, pairs=pairs, is_judge=is_judge).method
    return resolve(method)(votes, pairs=pairs, is_judge=is_judge)

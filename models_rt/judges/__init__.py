"""Judges: models that rate like people, behind one protocol, chosen by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from models_rt.registry import Kind, resolve

from .base import Judge

JUDGES: Final[Mapping[str, Kind]] = {
    "pairwise": Kind("Direct verdict by a generating model", "models_rt.judges.generative:PairwiseJudge"),
    "rubric": Kind("Each criterion, then a total, by a generating model", "models_rt.judges.generative:RubricJudge"),
    "reward-model": Kind("A reward model's margin", "models_rt.judges.scoring:RewardModelJudge"),
}


def get(name: str) -> Any:
    """The judge class called `name`; ValueError lists the known.

    The generative kinds take a backend, `reward-model` a loaded reward model.
    """
    return resolve(JUDGES, name, "judge")


__all__ = ["JUDGES", "Judge", "get"]

"""Reward models: a frozen encoder, a head and an objective, trained, saved, scored and judged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from models_rt.registry import Kind, resolve

HEADS: Final[Mapping[str, Kind]] = {
    "linear": Kind("One weight a feature, no bias (it cancels in a difference)", "models_rt.rewards.heads:LinearHead"),
    "mlp": Kind("One hidden layer; learned in epochs, not to an optimum", "models_rt.rewards.heads:MlpHead"),
}
OBJECTIVES: Final[Mapping[str, Kind]] = {
    "bradley-terry": Kind("Bradley-Terry on hard or soft labels", "models_rt.rewards.objectives:BradleyTerry"),
}


def head(name: str) -> Any:
    """The head class called `name`; ValueError lists the known."""
    return resolve(HEADS, name, "head")


def objective(name: str) -> Any:
    """The objective class called `name`; ValueError lists the known."""
    return resolve(OBJECTIVES, name, "objective")


__all__ = ["HEADS", "OBJECTIVES", "head", "objective"]

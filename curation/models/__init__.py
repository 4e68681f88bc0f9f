"""What is concluded from judgements: consensus, routes, noise, dataset versions, reward models."""

from .consensus import Aggregation, Consensus, RaterSkill
from .datasets import Dataset, DatasetRow, DatasetVersion, DroppedRow, VersionFile
from .noise import NoiseScore
from .rewards import Evaluation, RewardMargin, RewardModel
from .routing import RoutingDecision

__all__ = [
    "Aggregation",
    "Consensus",
    "Dataset",
    "DatasetRow",
    "DatasetVersion",
    "DroppedRow",
    "Evaluation",
    "NoiseScore",
    "RaterSkill",
    "RewardMargin",
    "RewardModel",
    "RoutingDecision",
    "VersionFile",
]

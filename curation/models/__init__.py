"""What is concluded from judgements: consensus, routes, noise, dataset versions, reward models."""

from .consensus import Aggregation, Consensus, RaterSkill
from .datasets import Dataset, DatasetRow, DatasetVersion, DroppedRow, VersionFile
from .noise import NoiseDecision, NoiseScore, NoiseTreatment
from .rewards import Evaluation, RewardMargin, RewardModel
from .routing import BudgetGrant, RoutingDecision, RoutingPolicy, RoutingSettings

__all__ = [
    "Aggregation",
    "BudgetGrant",
    "Consensus",
    "Dataset",
    "DatasetRow",
    "DatasetVersion",
    "DroppedRow",
    "Evaluation",
    "NoiseDecision",
    "NoiseScore",
    "NoiseTreatment",
    "RaterSkill",
    "RewardMargin",
    "RewardModel",
    "RoutingDecision",
    "RoutingPolicy",
    "RoutingSettings",
    "VersionFile",
]

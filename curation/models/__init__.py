"""What is concluded from judgements: consensus, routes, noise, dataset versions, reward models."""

from .consensus import Aggregation, Consensus, Followed, RaterSkill
from .datasets import (
    Dataset,
    DatasetRow,
    DatasetVersion,
    DroppedRow,
    EvaluationSet,
    Tombstone,
    VersionContribution,
    VersionFile,
    VersionNote,
    VersionTag,
    VersionWork,
    Withdrawal,
)
from .embeddings import ComparisonVector, CompletionVector, Encoder, ProjectEncoder, PromptVector
from .noise import NoiseDecision, NoiseScore, NoiseTreatment
from .rewards import Evaluation, RewardMargin, RewardModel
from .routing import BudgetGrant, RoutingDecision, RoutingPolicy, RoutingSettings

__all__ = [
    "Aggregation",
    "BudgetGrant",
    "ComparisonVector",
    "CompletionVector",
    "Consensus",
    "Dataset",
    "DatasetRow",
    "DatasetVersion",
    "DroppedRow",
    "Encoder",
    "Evaluation",
    "EvaluationSet",
    "Followed",
    "NoiseDecision",
    "NoiseScore",
    "NoiseTreatment",
    "ProjectEncoder",
    "PromptVector",
    "RaterSkill",
    "RewardMargin",
    "RewardModel",
    "RoutingDecision",
    "RoutingPolicy",
    "RoutingSettings",
    "Tombstone",
    "VersionContribution",
    "VersionFile",
    "VersionNote",
    "VersionTag",
    "VersionWork",
    "Withdrawal",
]

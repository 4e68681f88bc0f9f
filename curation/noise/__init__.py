"""Noise: scores that a label is wrong, each with its cause, and what to do about a suspicious one. Pure numpy.

`METHODS` is the literal table of scores: name → what it means. Their functions are in `scores`.
"""

from curation.noise.decisions import DEFAULT_POLICY, Action, Band, Policy, decide
from curation.noise.scores import (
    METHODS,
    Cause,
    Scores,
    Suspicion,
    consensus_entropy,
    reward_model_disagreement,
    suspicion,
)

__all__ = [
    "DEFAULT_POLICY",
    "METHODS",
    "Action",
    "Band",
    "Cause",
    "Policy",
    "Scores",
    "Suspicion",
    "consensus_entropy",
    "decide",
    "reward_model_disagreement",
    "suspicion",
]

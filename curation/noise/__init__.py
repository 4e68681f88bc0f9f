"""Noise: scores that a label is wrong, each with its cause, and what to do about a suspicious one. Pure numpy.

`METHODS` is the literal table of scores: name → what it means, what it needs, and where its function is.
"""

from curation.noise.decisions import DEFAULT_POLICY, Action, Band, Policy, decide
from curation.noise.methods import METHODS, Method, resolve
from curation.noise.scores import (
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
    "Method",
    "Policy",
    "Scores",
    "Suspicion",
    "consensus_entropy",
    "decide",
    "resolve",
    "reward_model_disagreement",
    "suspicion",
]

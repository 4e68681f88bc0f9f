"""Noise: scores that a label is wrong, each with its cause, and what to do about a suspicious one. Pure numpy.

`METHODS` is the literal table of scores: name → what it means, what it needs, and where its function is. A `Policy`
says what is done about them, and `preview` what that would change.
"""

from curation.noise.decisions import ACTIONS, DEFAULT_BANDS, Action, Band, Bands, propose
from curation.noise.methods import METHODS, Method, resolve
from curation.noise.policy import (
    LIMITED,
    PREFERRED,
    PRESETS,
    Decisions,
    Labels,
    Limits,
    Policy,
    Preview,
    Rule,
    decide,
    preset,
    preview,
)
from curation.noise.scores import (
    Cause,
    Scores,
    Suspicion,
    consensus_entropy,
    rater_quality,
    reward_model_disagreement,
    suspicion,
)

__all__ = [
    "ACTIONS",
    "DEFAULT_BANDS",
    "LIMITED",
    "METHODS",
    "PREFERRED",
    "PRESETS",
    "Action",
    "Band",
    "Bands",
    "Cause",
    "Decisions",
    "Labels",
    "Limits",
    "Method",
    "Policy",
    "Preview",
    "Rule",
    "Scores",
    "Suspicion",
    "consensus_entropy",
    "decide",
    "preset",
    "preview",
    "propose",
    "rater_quality",
    "resolve",
    "reward_model_disagreement",
    "suspicion",
]

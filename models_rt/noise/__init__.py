"""Training on doubtful labels: ensembles that never saw a label, peers that review each other, and what is done then.

`TREATMENTS` is the literal table of what training does with doubtful labels, chosen by the setting `noise`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

TREATMENTS: Final[Mapping[str, str]] = {
    "none": "every label is taken at its word",
    "drop": "the most doubtful by an ensemble out of fold teach nothing, as many as are likely wrong",
    "flip": "those of them that two models confidently contradict are turned round, the others dropped",
    "soften": "those of them keep their side with the probability 1 - `soften`",
    "margin": "every pair is to be told apart by the ensemble's mean margin (adaptive margin)",
    "flip-margin": "flip, and the margin of what is left",
    "soften-margin": "soften, and the margin of the others",
    "peer-review": "two models that teach each other their easy pairs say whom to drop; then from easy to hard",
}

__all__ = ["TREATMENTS"]

"""The scores that there are: a literal table, their functions imported on use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, Final, Literal, NamedTuple

Needs = Literal["votes", "margins", "text", "embeddings", "training"]
HERE: Final = "curation.noise"


class Method(NamedTuple):
    label: str
    facts: str
    """What a high score means, in one sentence for a curator."""
    needs: Needs
    """The dearest thing that it reads: what needs training is scored by a run of its own on the `gpu` queue."""
    path: str
    """Module and function, imported on use."""


METHODS: Final[Mapping[str, Method]] = {
    "consensus-entropy": Method(
        "Consensus entropy",
        "The raters' consensus is undecided.",
        "votes",
        f"{HERE}.scores:consensus_entropy",
    ),
    "rater-quality": Method(
        "Rater quality",
        "Those who gave the label are raters who often err; those who contradict it seldom do.",
        "votes",
        f"{HERE}.scores:rater_quality",
    ),
    "rules": Method(
        "Rules",
        "Something in the texts is known to spoil labels, such as a name, a cut end or the wrong language.",
        "text",
        f"{HERE}.rules:rules",
    ),
    "conflicts": Method(
        "Conflicts",
        "Other labels contradict it: the same texts labelled the other way, or a cycle of preferences.",
        "text",
        f"{HERE}.duplicates:conflicts",
    ),
    "reward-model-disagreement": Method(
        "Reward model disagreement",
        "A reward model that did not train on it prefers the other side.",
        "margins",
        f"{HERE}.scores:reward_model_disagreement",
    ),
    "ensemble-margin": Method(
        "Ensemble margin",
        "Reward models trained on the other groups agree against the label.",
        "training",
        f"{HERE}.ensemble:ensemble_margin",
    ),
    "peer-review": Method(
        "Peer review",
        "Two reward models that review each other's pairs both find it hard to learn.",
        "training",
        f"{HERE}.ensemble:peer_review",
    ),
    "confident-learning": Method(
        "Confident learning",
        "Out-of-fold probabilities are surer of the other side than its own labels usually are.",
        "training",
        f"{HERE}.confident:confident_learning",
    ),
    "training-dynamics": Method(
        "Training dynamics",
        "While a reward model learns, it stays on the other side, or forgets the label again.",
        "training",
        f"{HERE}.dynamics:training_dynamics",
    ),
}


def resolve(method: str) -> Callable[..., Any]:
    """The function of a method. Raises ValueError with the known names for any other."""
    if method not in METHODS:
        raise ValueError("method", f"one of {', '.join(METHODS)}", method)
    module, name = METHODS[method].path.split(":")
    function: Callable[..., Any] = getattr(import_module(module), name)
    return function

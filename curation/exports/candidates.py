"""What a recipe is applied to: a comparison with its consensus, its votes, and what was decided about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

from curation.exports.schema import Message, VoteRow


class Decision(NamedTuple):
    """What an adjudicator decided: it takes the place of what the votes amount to."""

    by: str
    preference: int | None
    both_bad: bool = False


class Treatment(NamedTuple):
    """What was decided about a doubtful label: soften, flip or drop. `keep` and `ask_people` leave a row as it is."""

    action: str
    cause: str
    weight: float = 0.0
    """How far the probability of a softened label is drawn to one half."""
    published: str = ""
    """What a version tells of the cause, where that names people or quotes texts."""

    @property
    def because(self) -> str:
        """The cause as a version tells it."""
        return self.published or self.cause

    @property
    def changes(self) -> bool:
        """A row that it stands in is another than without it."""
        return self.action in ("flip", "soften")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A comparison with its consensus and everything that a native row needs."""

    id: str
    prompt: Sequence[Message]
    completion_a: Sequence[Message]
    completion_b: Sequence[Message]
    posterior: tuple[float, float, float]
    """Consensus probabilities of a, tie, b (the order of `curation.stats.CLASSES`)."""
    preference: float
    """Consensus strength, signed."""
    votes: Sequence[VoteRow]
    """One per rater, a judge's readings combined."""
    group: str
    generator_a: str | None = None
    generator_b: str | None = None
    noise: Mapping[str, float] = field(default_factory=dict)
    """Scores by method."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    language: str = ""
    decision: Decision | None = None
    """Its posterior and preference are then the decision's."""
    treatment: Treatment | None = None
    """None too where an adjudicator decided: that is beyond doubt."""
    vector: Any = None
    """Its embedding [d], where the recipe compares rows by theirs and it has one."""
    origin: Any = None
    """What whoever brings it knows it by: handed on, never read."""

    def treated(self) -> Candidate:
        """As its treatment leaves it: a flipped label has its sides' probabilities exchanged."""
        if self.treatment is None or not self.treatment.changes:
            return self
        if self.treatment.action == "flip":
            return replace(self, posterior=self.posterior[::-1], preference=-self.preference)
        return replace(self, preference=round(self.preference * (1 - self.treatment.weight), 6))

    @property
    def side(self) -> Literal["a", "b"] | None:
        """The side that the consensus prefers; None where a tie or nothing is likeliest."""
        a, tie, b = self.posterior
        if a > max(tie, b):
            return "a"
        return "b" if b > max(a, tie) else None

    @property
    def probability(self) -> float:
        """Of the likelier side being preferred, a tie counting half for each; softened where it is to be."""
        a, tie, b = self.posterior
        p = max(a, b) + tie / 2
        if self.treatment is None or self.treatment.action != "soften":
            return p
        return round(0.5 + (p - 0.5) * (1 - self.treatment.weight), 6)

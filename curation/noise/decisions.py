"""What to do about a suspicious label: a table of bands, the most severe first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

Action = Literal["keep", "soften", "drop", "ask_people"]


class Band(NamedTuple):
    at_least: float
    """Suspicion from which the band holds."""
    fewer_than: int | None
    """Holds only while fewer people than this have judged; None: however many."""
    action: Action


@dataclass(frozen=True, slots=True)
class Policy:
    """Bands from the highest threshold down; the first that holds decides, and a label that none holds is kept."""

    bands: tuple[Band, ...]

    def __post_init__(self) -> None:
        thresholds = [band.at_least for band in self.bands]
        if thresholds != sorted(thresholds, reverse=True):
            raise ValueError("bands", "thresholds from the highest down", thresholds)


DEFAULT_POLICY: Final = Policy(
    (
        Band(
            0.9, 3, "ask_people"
        ),  # nearly surely wrong, but few people have said so: their word costs less than a row
        Band(0.9, None, "drop"),  # people have been asked, and it still contradicts everything
        Band(0.5, 3, "ask_people"),  # more likely wrong than right
        Band(0.5, None, "soften"),  # people disagree for good: keep the doubt in the label
        Band(0.35, None, "soften"),
    )
)
"""Thresholds to start from: Wang et al. 2024 (2401.06080) find the worst fifth of labels harmful, and how much of it
is wrong differs by data, so set them after a look at some thirty labels of each band."""


def decide(score: float | None, n_annotators: int, policy: Policy = DEFAULT_POLICY) -> Action:
    """The action for a label of this suspicion that so many people have judged; an unscored one is kept."""
    if score is None:
        return "keep"
    for band in policy.bands:
        if score >= band.at_least and (band.fewer_than is None or n_annotators < band.fewer_than):
            return band.action
    return "keep"

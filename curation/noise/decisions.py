"""What can be done about a doubtful label, and what one score alone proposes: a table of bands, the worst first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from curation.stats.votes import FloatArray, IntArray

Action = Literal["keep", "soften", "flip", "ask_people", "drop"]
ACTIONS: Final[tuple[Action, ...]] = get_args(Action)
"""By their codes in arrays: 0 is "keep"."""


class Band(NamedTuple):
    at_least: float
    """Suspicion from which the band holds."""
    fewer_than: int | None
    """Holds only while fewer people than this have judged; None: however many."""
    action: Action


@dataclass(frozen=True, slots=True)
class Bands:
    """Bands from the highest threshold down; the first that holds decides, and a label that none holds is kept."""

    bands: tuple[Band, ...]

    def __post_init__(self) -> None:
        thresholds = [band.at_least for band in self.bands]
        if thresholds != sorted(thresholds, reverse=True):
            raise ValueError("bands", "thresholds from the highest down", thresholds)


DEFAULT_BANDS: Final = Bands(
    (
        Band(0.9, 3, "ask_people"),  # nearly surely wrong, but few have said so: their word costs less than a row
        Band(0.9, None, "drop"),  # people have been asked, and it still contradicts everything
        Band(0.5, 3, "ask_people"),  # more likely wrong than right
        Band(0.5, None, "soften"),  # people disagree for good: keep the doubt in the label
        Band(0.35, None, "soften"),
    )
)
"""Thresholds to start from: Wang et al. 2024 (2401.06080) find the worst fifth of labels harmful, and how much of it
is wrong differs by data, so set them after a look at some thirty labels of each band."""


def propose(score: FloatArray, people: npt.ArrayLike, bands: Bands = DEFAULT_BANDS) -> IntArray:
    """[n] codes in `ACTIONS` for labels of suspicion ``score`` [n] that so many ``people`` [n] judged; nan is kept."""
    judged = np.asarray(people)
    if judged.shape != score.shape:
        raise ValueError("people", f"an array of shape {score.shape}", judged.shape)
    action = np.zeros(len(score), dtype=np.int64)
    for band in reversed(bands.bands):
        few = True if band.fewer_than is None else judged < band.fewer_than
        action[(score >= band.at_least) & few] = ACTIONS.index(band.action)
    return action

"""Two policies at work at once: which one has a comparison, by chance that can be replayed, and which does better."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from hashlib import sha256
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from curation.stats.intervals import Estimate
from curation.stats.votes import FloatArray

_NORMAL_95 = 1.959963984540054


def assign_arm(project: Hashable, comparison: Hashable, arms: Mapping[str, float], seed: int = 0) -> str | None:
    """The arm of a comparison, drawn by a hash of the three: the same for ever, however often it is asked.

    ``arms`` are shares of at most 1 in all, by name; the rest of the comparisons have none. An arm that grows at the
    expense of the rest keeps what it had, as long as those named before it (in order of their names) do not change.
    """
    if any(not 0 <= share <= 1 for share in arms.values()) or sum(arms.values()) > 1 + 1e-9:
        raise ValueError("arms", "shares of at most 1 in all", dict(arms))
    digest = sha256(f"{seed}\x1f{project}\x1f{comparison}".encode()).digest()
    place = int.from_bytes(digest[:8], "big") / 2**64
    for name in sorted(arms):
        place -= arms[name]
        if place < 0:
            return name
    return None


class Arm(NamedTuple):
    """How one arm did."""

    name: str
    mean: Estimate
    difference: Estimate
    """From the reference arm; of the reference itself None."""


def compare_arms(
    arm: Sequence[str], outcome: npt.ArrayLike, *, reference: str, weight: npt.ArrayLike | None = None
) -> list[Arm]:
    """The mean outcome [n] of each arm and its difference from the reference, with 95 % intervals (Welch, normal).

    ``outcome`` is any figure of a comparison, such as agreement with the audit, or money; nan is not yet known and left
    out. ``weight`` [n], such as 1 / the probability of the audit, weighs comparisons (Hájek's ratio estimator).
    """
    values = np.asarray(outcome, dtype=np.float64)
    weights = np.ones_like(values) if weight is None else np.asarray(weight, dtype=np.float64)
    if values.shape != (len(arm),) or weights.shape != values.shape:
        raise ValueError("outcome", f"arrays of shape ({len(arm)},)", (values.shape, weights.shape))
    known = np.isfinite(values) & (weights > 0)
    names = np.array(arm, dtype=object)
    if reference not in set(arm):
        raise ValueError("reference", f"one of {', '.join(sorted(set(arm)))}", reference)
    means = {
        name: _mean(values[known & (names == name)], weights[known & (names == name)]) for name in sorted(set(arm))
    }
    return [Arm(name, mean, _difference(name, mean, reference, means[reference])) for name, mean in means.items()]


def _mean(values: FloatArray, weights: FloatArray) -> Estimate:
    if len(values) < 2:
        return Estimate(None, reason=f"{len(values)} outcomes so far; it takes 2", n=len(values))
    mean = float((weights * values).sum() / weights.sum())
    spread = weights * (values - mean)
    half = _NORMAL_95 * float(np.sqrt((spread**2).sum() * len(values) / (len(values) - 1)) / weights.sum())
    return Estimate(mean, mean - half, mean + half, len(values))


def _difference(name: str, mean: Estimate, reference: str, other: Estimate) -> Estimate:
    if name == reference:
        return Estimate(None, reason="the others are compared with it")
    if mean.value is None or other.value is None or mean.low is None or other.low is None:
        return Estimate(None, reason=mean.reason or other.reason)
    half = float(np.hypot(mean.value - mean.low, other.value - other.low))
    difference = mean.value - other.value
    return Estimate(difference, difference - half, difference + half, (mean.n or 0) + (other.n or 0))

"""What people said of similar comparisons: how far to trust the judges here, and what to judge next.

The two-stage curation of Skywork-Reward-V2 (Liu et al. 2025, arXiv 2507.01352, section 3). Similarity is that of the
embeddings of prompt and difference; where it is computed, by pgvector or by `nearest`, is no matter.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from curation.stats.votes import FloatArray, IntArray

K_MAX: Final = 8
ROLES: Final = ("retrieval", "calibration", "evaluation")


class Near(NamedTuple):
    """The k nearest of M known comparisons to each of N others, nearest first."""

    place: IntArray
    """[N, k] positions among the known; -1 where there are fewer than k."""
    similarity: FloatArray
    """[N, k] cosine; nan where the place is -1."""


class Trust(NamedTuple):
    """Probability, for each of N comparisons, that the judges agree with people on it."""

    mean: FloatArray
    low: FloatArray
    """[N] mean less two standard deviations of the posterior, at least 0."""
    weight: FloatArray
    """[N] similar comparisons that it rests on, each counted by its kernel."""


class Wanted(NamedTuple):
    """A comparison to be judged next, and why."""

    place: int
    """Its position in the pool."""
    because: int
    """Position of the verified comparison that brought it up, the one that the reward model has most wrong."""
    similarity: float


def nearest(queries: npt.ArrayLike, known: npt.ArrayLike, k: int, *, block: int = 1024) -> Near:
    """By exact cosine, in blocks of queries. Queries [N, d], known [M, d]; a zero vector is near to nothing (0)."""
    left, right = (np.asarray(x, dtype=np.float64) for x in (queries, known))
    if left.ndim != 2 or right.ndim != 2 or left.shape[1] != right.shape[1]:
        raise ValueError("known", f"an array of shape (M, {left.shape[-1]})", right.shape)
    left, right = _unit(left), _unit(right)
    parts = [_nearest(left[i : i + block] @ right.T, k) for i in range(0, len(left), block)]
    index = np.concatenate([np.zeros((0, k), np.int64), *(part.place for part in parts)])
    return Near(index, np.concatenate([np.zeros((0, k)), *(part.similarity for part in parts)]))


def _unit(x: FloatArray) -> FloatArray:
    norm = np.sqrt((x * x).sum(axis=1, keepdims=True))
    unit: FloatArray = x / np.where(norm > 0, norm, 1.0)
    return unit


def _nearest(similarity: FloatArray, k: int) -> Near:
    found = min(k, similarity.shape[1])
    order = np.argsort(-similarity, axis=1, kind="stable")[:, :found]
    padding = ((0, 0), (0, k - found))
    best = np.take_along_axis(similarity, order, axis=1)
    return Near(
        np.pad(order.astype(np.int64), padding, constant_values=-1), np.pad(best, padding, constant_values=np.nan)
    )


def trust(near: Near, agreed: npt.ArrayLike, *, floor: float = 0.5, prior_weight: float = 4.0) -> Trust:
    """A beta posterior from the verified neighbours, each weighing as much as it is similar.

    ``agreed`` [M] is the share of judges that said of a verified comparison what people did (nan: no verdict on it). A
    neighbour of similarity s counts (s - floor) / (1 - floor), nothing below the floor. The prior is the mean of
    ``agreed`` with the weight of ``prior_weight`` comparisons, so without neighbours trust is what it is everywhere;
    without a verified comparison it is absent (nan).
    """
    outcome = np.asarray(agreed, dtype=np.float64)
    if not ((outcome >= 0) & (outcome <= 1) | np.isnan(outcome)).all():
        raise ValueError("agreed", "shares from 0 to 1, or nan", "others")
    if not floor < 1:
        raise ValueError("floor", "a similarity below 1", floor)
    known = outcome[np.isfinite(outcome)]
    if not known.size:
        nothing = np.full(len(near.place), np.nan)
        return Trust(nothing, nothing, np.zeros(len(near.place)))
    here = np.where(near.place >= 0, outcome[near.place], np.nan)
    kernel = np.where(np.isnan(here), 0.0, np.nan_to_num(np.clip((near.similarity - floor) / (1 - floor), 0, 1)))
    weight = kernel.sum(axis=1)
    total = weight + prior_weight
    mean = ((kernel * np.nan_to_num(here)).sum(axis=1) + prior_weight * known.mean()) / total
    deviation = np.sqrt(mean * (1 - mean) / (total + 1))
    return Trust(mean, np.maximum(mean - 2 * deviation, 0.0), weight)


def novelty(near: Near) -> FloatArray:
    """[N] 1 - cosine to the nearest known comparison; nan where none is known."""
    if not near.similarity.shape[1]:
        return np.full(len(near.similarity), np.nan)
    distance: FloatArray = 1 - near.similarity[:, 0]
    return distance


def k_rule(p: npt.ArrayLike, *, k_max: int = K_MAX) -> IntArray:
    """How many neighbours a verified comparison brings up: all k_max where it is wrong, else ceil(k_max (1 - p)).

    ``p`` is the probability that the reward model gives to people's side; at most one half is wrong.
    """
    right = np.asarray(p, dtype=np.float64)
    if not ((right >= 0) & (right <= 1)).all():
        raise ValueError("p", "probabilities", "others")
    # The rounding keeps 8·(1 - .9) from being one above .8 only because .9 is no binary fraction.
    return np.where(right <= 0.5, k_max, np.ceil(np.round(k_max * (1 - right), 9))).astype(np.int64)


def error_driven(near: Near, p: npt.ArrayLike, *, k_max: int = K_MAX) -> list[Wanted]:
    """Unlabelled comparisons to judge next, those of the worst mistakes first and each once.

    ``near`` are the neighbours in the unlabelled pool of each verified comparison for retrieval, ``p`` [G] as in
    `k_rule`. Skywork-Reward-V2, section 3.2.
    """
    right = np.asarray(p, dtype=np.float64)
    if right.shape != (len(near.place),):
        raise ValueError("p", f"an array of shape ({len(near.place)},)", right.shape)
    wanted: dict[int, Wanted] = {}
    counts = k_rule(right, k_max=k_max)
    for gold in np.argsort(right, kind="stable"):
        for index, similarity in zip(near.place[gold, : counts[gold]], near.similarity[gold], strict=False):
            if index >= 0:
                wanted.setdefault(int(index), Wanted(int(index), int(gold), float(similarity)))
    return list(wanted.values())


def split_gold(
    groups: Sequence[Hashable], *, rng: np.random.Generator, shares: Sequence[float] = (0.4, 0.2, 0.4)
) -> list[str]:
    """Of each verified comparison the one role it may have, whole groups (prompts) together: one of `ROLES`.

    What retrieves similar comparisons, what calibrates judges and what measures them must be apart, or the measure
    reads back what it taught. Groups go, in random order, to the role that is furthest below its share.
    """
    if len(shares) != len(ROLES) or min(shares) < 0 or abs(sum(shares) - 1) > 1e-9:
        raise ValueError("shares", f"{len(ROLES)} shares that sum to 1", tuple(shares))
    members: dict[Hashable, list[int]] = {}
    for i, group in enumerate(groups):
        members.setdefault(group, []).append(i)
    roles, taken = [""] * len(groups), np.zeros(len(ROLES))
    parts = list(members.values())
    for part in rng.permutation(len(parts)):
        rows = parts[part]
        role = int(np.argmax(np.array(shares) * len(groups) - taken))
        taken[role] += len(rows)
        for i in rows:
            roles[i] = ROLES[role]
    return roles


def require_apart(retrieval: Sequence[Hashable], evaluation: Sequence[Hashable]) -> None:
    """Refuse verified comparisons, or groups of them, that would both retrieve and evaluate."""
    both = set(retrieval) & set(evaluation)
    if both:
        raise ValueError("evaluation", "nothing that retrieval uses", sorted(map(str, both))[0])

"""What a policy would have done with comparisons that both people and a judge have already decided."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from curation.routing.features import Features
from curation.routing.policies import Selector, at_random
from curation.stats.intervals import Estimate, bootstrap_ratio
from curation.stats.votes import FloatArray


class Point(NamedTuple):
    """Label quality at one share of comparisons for people."""

    human_share: float
    """As decided, which may be below the share asked for."""
    accuracy: Estimate
    """Share of labels equal to the reference, with its interval over comparisons."""
    random_accuracy: float
    """The same share of people, drawn at random."""


def simulate(
    features: Features,
    judge: npt.ArrayLike,
    human: npt.ArrayLike,
    reference: npt.ArrayLike,
    *,
    policy: Selector,
    rng: np.random.Generator,
    shares: Sequence[float] = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0),
    repeats: int = 10,
) -> list[Point]:
    """Quality against human share, the mean of ``repeats`` runs of the policy.

    ``judge``, ``human`` and ``reference`` are [N] values A, TIE, B (-1: absent, which is right about nothing), the
    human one from people who are not in the reference. Comparisons without a reference are left out of the score only.
    """
    sources = [np.asarray(values, dtype=np.int64) for values in (judge, human, reference)]
    for name, values in zip(("judge", "human", "reference"), sources, strict=True):
        if values.shape != (len(features.ids),):
            raise ValueError(name, f"an array of shape ({len(features.ids)},)", values.shape)
    scored = sources[2] >= 0
    if repeats < 1:
        raise ValueError("repeats", "1 or more", repeats)
    judge_right, human_right = ((values == sources[2])[scored].astype(np.float64) for values in sources[:2])
    points = []
    for share in shares:
        asked = _asked(features, policy, share, rng, repeats)
        drawn = _asked(features, at_random, share, rng, repeats)
        right = _mixed(asked[scored], judge_right, human_right)
        baseline = _mixed(drawn[scored], judge_right, human_right)
        estimate = bootstrap_ratio(right, np.ones_like(right), rng=rng)
        random_accuracy = float(baseline.mean()) if baseline.size else float("nan")
        points.append(Point(float(asked.mean()) if asked.size else 0.0, estimate, random_accuracy))
    return points


def _mixed(asked: FloatArray, judge_right: FloatArray, human_right: FloatArray) -> FloatArray:
    return asked * human_right + (1 - asked) * judge_right


def _asked(features: Features, policy: Selector, share: float, rng: np.random.Generator, repeats: int) -> FloatArray:
    """[N] how often, over the repeats, people were asked."""
    budget = round(share * int((~features.settled).sum()))
    asked = np.zeros(len(features.ids))
    for _ in range(repeats):
        decisions = policy(features, budget=budget, rng=rng)
        asked += [decision.route == "human" for decision in decisions]
    return asked / repeats

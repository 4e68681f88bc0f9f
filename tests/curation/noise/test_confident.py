"""Confident learning over pairs, by hand and against the counting over both orders that it abbreviates."""

from __future__ import annotations

import numpy as np
import pytest

from curation.noise.confident import confident_joint, confident_learning

NAN = float("nan")


def counted_over_both_orders(probability: list[float]) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    """The confident joint of Northcutt et al. 2021, eq. 1, over (a, b) labelled 0 and (b, a) labelled 1."""
    rows = [(p, 1 - p) for p in probability] + [(1 - p, p) for p in probability]
    given = [0] * len(probability) + [1] * len(probability)
    thresholds = [np.mean([row[k] for row, g in zip(rows, given, strict=True) if g == k]) for k in (0, 1)]
    joint = np.zeros((2, 2), dtype=np.int64)
    for row, g in zip(rows, given, strict=True):
        reached = [k for k in (0, 1) if row[k] >= thresholds[k]]
        if reached:
            joint[g, max(reached, key=lambda k: row[k])] += 1
    return joint


def test_the_threshold_is_the_mean_and_the_other_side_counts_where_it_reaches_it() -> None:
    # Mean of .9, .8, .7, .1 is .625. The others' .1, .2, .3, .9: only the last reaches it; .9, .8, .7 count as right.
    joint = confident_joint([0.9, 0.8, 0.7, 0.1])

    assert joint == (pytest.approx(0.625), 3, 1)
    assert joint.noise_rate.value == pytest.approx(0.25)


@pytest.mark.parametrize("seed", range(5))
def test_it_is_the_joint_over_both_orders_of_every_pair(seed: int) -> None:
    rng = np.random.default_rng(seed)
    probability = rng.beta(1 + seed, 2, size=40).round(2).tolist()  # a mean below one half too: both sides may reach it

    joint = confident_joint(probability)

    both = counted_over_both_orders(probability)
    assert both.tolist() == [[joint.agreeing, joint.against], [joint.against, joint.agreeing]]


def test_the_score_is_the_other_sides_probability_and_the_cause_names_the_threshold() -> None:
    scores = confident_learning([0.9, 0.8, 0.5, 0.2])

    assert scores.score.tolist() == pytest.approx([0.1, 0.2, 0.5, 0.8])
    assert scores.text[3] == (
        "out of fold the label has 20%, where labels have 60% on average: confidently the other side"
    )
    assert scores.details is not None
    assert scores.details[3] == {"probability": 0.2, "threshold": 0.6, "against": True}


def test_unscored_labels_are_left_out_of_the_threshold() -> None:
    scores = confident_learning([0.9, NAN, 0.1])

    assert confident_joint([0.9, NAN, 0.1]).threshold == pytest.approx(0.5)
    assert np.isnan(scores.score[1])
    assert (scores.text[1], scores.details[1]) == ("", {})  # type: ignore[index]


def test_without_labels_there_is_no_noise_rate_and_a_reason() -> None:
    rate = confident_joint([]).noise_rate

    assert (rate.value, rate.reason) == (None, "no label is counted")


@pytest.mark.parametrize("flipped", [0.1, 0.3])
def test_it_recovers_the_share_of_flipped_labels_from_probabilities_of_a_good_classifier(flipped: float) -> None:
    # The classifier knows the true side with 5 to 1 odds; a calibrated one would say so through the noise as well.
    rng = np.random.default_rng(1)
    wrong = rng.random(4000) < flipped
    true_side = rng.beta(8, 1.6, size=4000)
    rate = confident_joint(np.where(wrong, 1 - true_side, true_side)).noise_rate

    assert rate.value == pytest.approx(flipped, abs=0.03)


def test_probabilities_beyond_0_to_1_and_tables_are_refused() -> None:
    with pytest.raises(ValueError, match="probability"):
        confident_learning([0.5, 1.2])
    with pytest.raises(ValueError, match=r"\(1, 2\)"):
        confident_joint(np.full((1, 2), 0.5))

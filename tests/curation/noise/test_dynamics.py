"""Training dynamics by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from curation.noise.dynamics import dynamics, training_dynamics

L3 = math.log(3)  # σ(ln 3) = 3/4


def test_confidence_variability_and_forgetting_by_hand() -> None:
    # First: 3/4, 1/4, 3/4, 1/4: mean 1/2, deviation 1/4, forgotten after epochs 1 and 3, right from 1.
    # Second: 1/4, 1/4, 3/4, 3/4: as sure, never forgotten, right from 3. Third: never right.
    found = dynamics([[L3, -L3, -L3], [-L3, -L3, -L3], [L3, L3, -L3], [-L3, L3, -L3]])

    assert found.confidence.tolist() == pytest.approx([0.5, 0.5, 0.25])
    assert found.variability.tolist() == pytest.approx([0.25, 0.25, 0])
    assert found.forgotten.tolist() == [2, 0, 0]
    assert found.learned.tolist() == [1, 3, 0]


def test_the_score_is_doubt_and_the_cause_tells_the_labels_fate() -> None:
    scores = training_dynamics([[L3, -L3], [-L3, -L3]])

    assert scores.score.tolist() == pytest.approx([0.5, 0.75])
    assert scores.text == [
        "over 2 epochs the label had 50% ± 25%: right from epoch 1, forgotten 1 times",
        "over 2 epochs the label had 25% ± 0%: never right",
    ]
    assert scores.details is not None
    assert scores.details[0] == {"confidence": 0.5, "variability": 0.25, "forgotten": 1, "learned": 1}


def test_one_epoch_is_enough_and_none_is_refused() -> None:
    assert dynamics([[0.0]]).confidence.tolist() == [0.5]
    with pytest.raises(ValueError, match=r"\(0, 3\)"):
        dynamics(np.zeros((0, 3)))
    with pytest.raises(ValueError, match="epochs, labels"):
        dynamics([1.0, 2.0])


def test_a_label_without_margins_is_unscored_and_margins_beyond_floats_do_not_overflow() -> None:
    scores = training_dynamics([[1e9, float("nan")], [-1e9, 1.0]])

    assert scores.score.tolist() == pytest.approx([0.5, float("nan")], nan_ok=True)
    assert scores.text[1] == ""

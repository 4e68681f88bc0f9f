"""Noise scores by hand, and the table of what is done about them."""

from __future__ import annotations

import numpy as np
import pytest

from curation.noise import (
    ACTIONS,
    Band,
    Bands,
    Cause,
    consensus_entropy,
    propose,
    reward_model_disagreement,
    suspicion,
)


def test_entropy_is_0_for_unanimous_raters_and_1_for_raters_split_over_everything() -> None:
    # Half and half over two of three classes: 1 bit of log2(3) = 1.585.
    scores = consensus_entropy([[1, 0, 0], [1 / 3, 1 / 3, 1 / 3], [0.5, 0, 0.5]])

    assert scores.score.tolist() == pytest.approx([0, 1, 1 / np.log2(3)])
    assert "a 50%, tie 0%, b 50%" in scores.text[2]


def test_a_reward_model_that_disagrees_turns_the_label_by_bayes_rule() -> None:
    # Label a with p = .8; the model says b with sigmoid(2) = .8808, so q = .1192 for the label:
    # .2·.8808 / (.8·.1192 + .2·.8808) = .17616/.27152 = .6488. When it agrees: .2·.1192/(.2·.1192 + .8·.8808) = .0327.
    scores = reward_model_disagreement([[0.8, 0, 0.2], [0.8, 0, 0.2]], [2.0, -2.0])

    assert scores.score.tolist() == pytest.approx([0.6488, 0.0327], abs=1e-4)
    assert scores.text[0] == "raters prefer a (80%), the reward model b (88%)"


def test_ties_and_unscored_comparisons_have_no_disagreement() -> None:
    scores = reward_model_disagreement([[0.2, 0.6, 0.2], [0.9, 0, 0.1], [0.5, 0, 0.5]], [3.0, np.nan, 1.0])

    assert np.isnan(scores.score).all()
    assert scores.text == ["", "", ""]


def test_an_extreme_margin_does_not_overflow_and_never_silences_a_unanimous_label() -> None:
    scores = reward_model_disagreement([[1, 0, 0]], [5000.0])

    assert scores.score[0] == pytest.approx(0.5)  # both witnesses are capped at the same certainty


def test_a_posterior_of_the_wrong_shape_is_refused_with_the_shape() -> None:
    with pytest.raises(ValueError, match=r"\(2, 2\)"):
        consensus_entropy(np.ones((2, 2)))


def test_suspicion_is_the_strongest_cause_and_keeps_the_others() -> None:
    weak, strong = Cause("consensus-entropy", 0.3, "…"), Cause("reward-model-disagreement", 0.7, "…")

    assert suspicion([weak, strong]) == (0.7, (strong, weak))
    assert suspicion([]) == (None, ())


@pytest.mark.parametrize(
    ("score", "people", "action"),
    [
        (np.nan, 0, "keep"),  # nothing scored
        (0.1, 1, "keep"),
        (0.4, 1, "soften"),
        (0.6, 1, "ask_people"),  # likelier wrong than right, and few have been asked
        (0.6, 3, "soften"),  # enough have been asked
        (0.95, 2, "ask_people"),
        (0.95, 3, "drop"),
    ],
)
def test_what_one_score_proposes(score: float, people: int, action: str) -> None:
    assert ACTIONS[propose(np.array([score]), [people])[0]] == action


def test_bands_out_of_order_are_refused() -> None:
    with pytest.raises(ValueError, match="bands"):
        Bands((Band(0.2, None, "soften"), Band(0.9, None, "drop")))

"""Noise scores by hand, and the table of what is done about them."""

from __future__ import annotations

import numpy as np
import pytest

from curation.noise import (
    ACTIONS,
    Band,
    Bands,
    Cause,
    Scores,
    consensus_entropy,
    propose,
    rater_quality,
    reward_model_disagreement,
    suspicion,
)
from curation.stats import Votes
from curation.stats.votes import FloatArray


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


# --- rater quality ---------------------------------------------------------------------------------------------------


def raters(*skills: float) -> FloatArray:
    """Confusions of raters who are right so often and err evenly."""
    return np.array([np.full((3, 3), (1 - s) / 2) + (s - (1 - s) / 2) * np.eye(3) for s in skills])


def quality(
    posterior: list[list[float]], rows: list[tuple[int, str, float | None]], *skills: float, n: float = 1e9
) -> Scores:
    votes = Votes.from_rows(rows)
    names = [str(name) for name in votes.raters]
    return rater_quality(posterior, votes, raters(*skills), np.full(len(skills), n), np.full(3, 1 / 3), names)


def test_a_label_of_two_who_err_against_one_who_never_does_is_probably_wrong() -> None:
    # P(a | a, a, b) ∝ .5·.5·.05 = .0125; P(tie) ∝ .25·.25·.05 = .003125; P(b) ∝ .25·.25·.9 = .05625:
    # wrong by 1 - .0125/.071875 = .826.
    found = quality([[0.9, 0, 0.1]], [(0, "ann", -1), (0, "bob", -1), (0, "cat", 1)], 0.5, 0.5, 0.9)

    assert found.score.tolist() == pytest.approx([0.82609], abs=1e-4)
    assert found.text == ["for a: ann (50%), bob (50%); against: cat (90%); right so often as in brackets"]


def test_whoever_gave_few_votes_is_held_to_be_like_the_others() -> None:
    rows: list[tuple[int, str, float | None]] = [(0, "ann", -1), (1, "bob", 1), (1, "ann", 1)]
    votes, skills = Votes.from_rows(rows), raters(0.9, 0.4)
    posterior = [[1, 0, 0], [0, 0, 1]]
    names, even = ["ann", "bob"], np.full(3, 1 / 3)
    many = rater_quality(posterior, votes, skills, np.array([1000.0, 1000.0]), even, names)
    few = rater_quality(posterior, votes, skills, np.array([1000.0, 1.0]), even, names)
    # With one vote bob is drawn 10/11 of the way to the crowd's mean, which is nearly ann's .9.
    assert few.score[1] < many.score[1]
    assert few.score[0] == pytest.approx(many.score[0], abs=0.01)


def test_a_comparison_without_votes_and_raters_of_whom_nothing_is_known() -> None:
    found = quality([[1, 0, 0], [1, 0, 0]], [(0, "ann", -1), (1, "ann", None)], 0.9)
    assert np.isnan(found.score[1])
    assert found.text[1] == ""
    one = Votes.from_rows([(0, "ann", -1)])
    blank = rater_quality([[1, 0, 0]], one, np.full((1, 3, 3), np.nan), np.zeros(1), np.full(3, 1 / 3), ["ann"])
    assert blank.score.tolist() == pytest.approx([0.4])  # right by .6 before anything is known


def test_confusions_of_another_crowd_are_refused_with_their_shape() -> None:
    votes = Votes.from_rows([(0, "ann", -1)])
    with pytest.raises(ValueError, match=r"\(1, 3, 3\)"):
        rater_quality([[1, 0, 0]], votes, raters(0.9, 0.8), np.ones(2), np.full(3, 1 / 3), ["ann"])
    with pytest.raises(ValueError, match="2 comparisons"):
        rater_quality([[1, 0, 0]] * 2, votes, raters(0.9), np.ones(1), np.full(3, 1 / 3), ["ann"])


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

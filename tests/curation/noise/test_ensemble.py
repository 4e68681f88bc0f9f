"""Scores from the margins of several reward models, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from curation.noise.ensemble import ensemble_margin, peer_review, probability_wrong, strength

NAN = float("nan")


def test_strength_is_mean_deviation_and_votes_of_the_models_that_scored_the_label() -> None:
    # First label: 1, -2, -2: mean -1, squares 4, 1, 1, so deviation √2. Second: 3 alone. Third: nobody.
    found = strength([[1.0, 3.0, NAN], [-2.0, NAN, NAN], [-2.0, NAN, NAN]])

    assert found.mean.tolist() == pytest.approx([-1, 3, NAN], nan_ok=True)
    assert found.deviation.tolist() == pytest.approx([math.sqrt(2), 0, NAN], nan_ok=True)
    assert found.against.tolist() == [2, 0, 0]
    assert found.models.tolist() == [3, 1, 0]


def test_models_that_agree_give_the_sigmoid_of_their_mean() -> None:
    # No deviation: σ(ln 3) = 3/4 for a label that every model contradicts by ln 3.
    scores = ensemble_margin(np.full((4, 1), -math.log(3)))

    assert scores.score[0] == pytest.approx(0.75)
    assert scores.text[0] == "4 of 4 models that did not learn it are against it: margin -1.10 ± 0.00"
    assert scores.details == [{"mean": -1.0986, "deviation": 0.0, "against": 4, "models": 4}]


def test_models_that_contradict_one_another_say_less_than_their_mean() -> None:
    # Deviation 2: the mean -1 shrinks by 1/√(1 + π 4/8) = .6237, and σ(.6237) = .6511, where agreement gives .7311.
    assert probability_wrong(np.array([-1.0]), np.array([2.0]))[0] == pytest.approx(0.6511, abs=1e-4)
    agreeing, split = ensemble_margin([[-1.0, -3.0], [-1.0, 1.0]]).score

    assert agreeing == pytest.approx(0.7311, abs=1e-4)
    assert 0.5 < split < agreeing


def test_the_closed_form_is_close_to_the_expectation_that_it_stands_for() -> None:
    # Against Gauss-Hermite quadrature of E σ(-d), d ~ N(mean, deviation²): MacKay's form is within .02 of it.
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    for mean, deviation in [(-0.5, 0.3), (-2.0, 1.0), (1.0, 2.0), (0.0, 3.0)]:
        exact = float((weights / (1 + np.exp(mean + deviation * nodes))).sum() / weights.sum())
        assert probability_wrong(np.array([mean]), np.array([deviation]))[0] == pytest.approx(exact, abs=0.02)


def test_turning_every_margin_round_turns_the_score_round_and_the_order_of_models_does_not_matter() -> None:
    margins = np.random.default_rng(0).normal(size=(5, 7))

    assert ensemble_margin(-margins).score == pytest.approx(1 - ensemble_margin(margins).score)
    assert ensemble_margin(margins[::-1]).score == pytest.approx(ensemble_margin(margins).score)


def test_a_label_that_no_model_scored_has_neither_score_nor_cause() -> None:
    for scores in (ensemble_margin([[NAN]]), peer_review([[NAN]]), ensemble_margin(np.zeros((0, 1)))):
        assert np.isnan(scores.score).all()
        assert (scores.text, scores.details) == ([""], [{}])


def test_extreme_margins_stay_between_0_and_1() -> None:
    scores = ensemble_margin([[1e6, -1e6], [1e6, -1e6]])

    assert scores.score.tolist() == [0, 1]


def test_reviewers_tell_how_often_they_let_a_pair_teach() -> None:
    # σ(1) = .7311 for a mean of -1, whatever the deviation: both saw the label, which is no independent witness.
    scores = peer_review([[-0.5], [-1.5]], kept=[0.25])

    assert scores.score[0] == pytest.approx(0.7311, abs=1e-4)
    assert scores.text[0] == (
        "2 of 2 reviewers, which let it teach in 25% of their rounds, are against it: margin -1.00 ± 0.50"
    )
    assert scores.details == [{"mean": -1.0, "deviation": 0.5, "against": 2, "models": 2, "kept": 0.25}]


def test_other_shapes_are_refused_with_what_was_expected() -> None:
    with pytest.raises(ValueError, match=r"models, labels.*\(3,\)"):
        strength([1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="kept"):
        peer_review([[1.0, 2.0]], kept=[1.0])

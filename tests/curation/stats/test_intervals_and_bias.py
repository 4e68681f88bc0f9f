"""Intervals, side bias, calibration and the simulated people behind the demonstration."""

from __future__ import annotations

import numpy as np
import pytest

from curation.stats import TIE, A, B, bootstrap_ratio, ece, side_bias, wilson
from curation.stats.simulate import SimulatedRater, simulate_judgements


def test_wilson_by_hand() -> None:
    # 8 of 10, z = 1.95996, z² = 3.84146: centre (.8 + .192073)/1.384146 = .716740,
    # half = 1.95996·sqrt(.016 + .0096036)/1.384146 = .226577.
    estimate = wilson(8, 10)

    assert (estimate.low, estimate.high) == (pytest.approx(0.4902, abs=1e-4), pytest.approx(0.9433, abs=1e-4))


def test_wilson_of_nothing_is_none_with_a_reason_and_of_none_begins_at_zero() -> None:
    assert wilson(0, 0).value is None
    assert wilson(0, 0).reason
    assert wilson(0, 5).low == 0.0


def test_wilson_refuses_more_successes_than_trials() -> None:
    with pytest.raises(ValueError, match="successes"):
        wilson(6, 5)


def test_the_bootstrap_of_a_mean_has_the_width_of_its_standard_error() -> None:
    values = np.arange(100.0)  # sd 28.87, so the 95 % interval is 49.5 ± 1.96·2.887 = ±5.66

    estimate = bootstrap_ratio(values, np.ones(100), rng=np.random.default_rng(0), resamples=4000)

    assert estimate.value == 49.5
    assert (estimate.high or 0) - (estimate.low or 0) == pytest.approx(2 * 5.66, rel=0.1)


def test_side_bias_is_the_share_of_decided_judgements_for_the_side_shown_first() -> None:
    # Rater 0: a shown first and chosen, b shown first and chosen, a first but b chosen, a tie: 2 of 3. Rater 1: a tie.
    bias = side_bias(
        np.array([0, 0, 0, 0, 1]), np.array([A, B, B, TIE, TIE]), np.array([True, False, True, True, True]), n_raters=2
    )

    assert bias.share[0] == pytest.approx(2 / 3)
    assert bias.n.tolist() == [3, 0]
    assert np.isnan(bias.share[1])


def test_calibration_error_by_hand() -> None:
    # Bins of one half: {.25, .25} came true 1 of 2 → |.25 - .5|; {.75, 1} came true 2 of 2 → |.875 - 1|.
    result = ece([0.25, 0.25, 0.75, 1.0], [0, 1, 1, 1], bins=2)

    assert result.ece == pytest.approx((0.25 + 0.125) / 2)
    assert result.n.tolist() == [2, 2]


def test_calibration_of_nothing_is_none_with_a_reason() -> None:
    assert (ece([], []).ece, ece([], []).reason) == (None, "no observations")


@pytest.mark.statistical
def test_simulated_raters_have_the_skill_and_the_bias_they_were_given() -> None:
    # 4,000 judgements each; the standard error is below .008, so .04 is five of them.
    raters = [SimulatedRater("skilled", 0.9), SimulatedRater("lefty", 0.8, side_bias=0.5)]
    judgements = simulate_judgements([2.0, -2.0] * 2000, raters, per_comparison=2, rng=np.random.default_rng(5))

    def share(name: str, *, left: bool) -> float:
        own = [j for j in judgements if j.rater == name]
        if left:
            own = [j for j in own if j.preference]
            return float(np.mean([(j.preference < 0) == (j.order == "ab") for j in own]))
        return float(np.mean([np.sign(j.preference) == (1 if j.comparison % 2 == 0 else -1) for j in own]))

    assert share("skilled", left=False) == pytest.approx(0.9, abs=0.04)
    assert share("skilled", left=True) == pytest.approx(0.5, abs=0.04)
    # Half of the time left whatever it is; else the truth, half of which is left (ties, .1 of that half, are out):
    # (.5 + .5·.45)/(.5 + .5·.9) = .763.
    assert share("lefty", left=True) == pytest.approx(0.763, abs=0.04)


def test_the_same_seed_simulates_the_same_people() -> None:
    raters = [SimulatedRater("r", 0.7, side_bias=-0.2)]

    runs = [
        simulate_judgements([1, -3, 0], raters, per_comparison=1, rng=np.random.default_rng(9), levels=3)
        for _ in range(2)
    ]

    assert runs[0] == runs[1]
    assert all(abs(j.preference) <= 3 for j in runs[0])

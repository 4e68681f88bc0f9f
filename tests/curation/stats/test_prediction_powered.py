"""Corrected rates: by hand, and covering what they promise in simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from curation.stats.prediction_powered import LEAST, Corrected, prediction_powered, student


def simulated(
    rng: np.random.Generator, *, n: int, audit: int, rate: float, right: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """A judge who is right with probability right[0] where the truth is 0, right[1] where it is 1; an audit by lot."""
    truth = rng.random(n) < rate
    said = np.where(rng.random(n) < np.where(truth, right[1], right[0]), truth, ~truth)
    return said * 1.0, np.where(rng.random(n) < audit / n, truth, np.nan)


def test_the_estimate_is_by_hand_the_judges_rate_less_its_error_in_the_audit() -> None:
    # Eight comparisons, six audited, judged 1 1 0 1 0 0 | 1 1, truth 1 0 0 1 0 0: the slope is cov/var = (1/6)/(1/4) =
    # 2/3, the audit's means are 1/2 and 1/3, the judge's mean of all is 5/8. 1/3 + 2/3 · (5/8 - 1/2) = 5/12.
    nan = np.nan
    found = prediction_powered([1, 1, 0, 1, 0, 0, 1, 1], [1, 0, 0, 1, 0, 0, nan, nan])
    assert found.corrected.value == pytest.approx(5 / 12)
    assert found.slope == pytest.approx(2 / 3)
    assert found.audit.value == pytest.approx(1 / 3)
    assert found.judged == pytest.approx(5 / 8)
    assert (found.corrected.n, found.audit.n) == (8, 6)


def test_probabilities_weigh_the_audit() -> None:
    # One half of the pool was audited with 1, the other with 1/4: its answers stand for four each. Truth is 1 there.
    truth = np.array([0.0] * 8 + [1.0] * 2 + [np.nan] * 6)
    drawn = np.array([1.0] * 8 + [0.25] * 8)
    found = prediction_powered(np.zeros(16), truth, drawn)
    assert found.audit.value == pytest.approx(0.5)
    assert found.slope == 0.0  # who says the same of all is no help
    assert found.gain == pytest.approx(1.0)


def test_an_audit_of_everything_is_the_mean_of_what_people_say() -> None:
    truth = np.array([0.0, 1.0, 1.0, 0.0, 1.0, 1.0, 0.0, 1.0])
    found = prediction_powered([1, 1, 1, 0, 1, 0, 0, 1], truth)
    assert found.corrected.value == pytest.approx(truth.mean())


@pytest.mark.parametrize(
    ("predicted", "truth", "reason"),
    [
        ([], [], "no comparison has a judge's label"),
        ([1.0, 0.0], [np.nan, np.nan], "no comparison was drawn at random and answered by people"),
        ([1.0] * 9, [1.0] * 4 + [np.nan] * 5, "fewer than 5 comparisons were drawn at random and answered by people"),
    ],
)
def test_without_an_audit_there_is_no_corrected_rate_and_the_reason_is_told(
    predicted: list[float], truth: list[float], reason: str
) -> None:
    found = prediction_powered(predicted, truth)
    assert (found.corrected.value, found.corrected.reason, found.audit.value) == (None, reason, None)
    assert found.judged == (np.mean(predicted) if predicted else None)
    assert LEAST == 5


def test_a_judge_without_a_fault_in_a_small_audit_is_not_taken_for_faultless() -> None:
    truth = np.array([1.0, 0.0] * 5 + [np.nan] * 990)
    found = prediction_powered(np.tile([1.0, 0.0], 500), truth)
    assert found.corrected.value == pytest.approx(0.5)
    width = (found.corrected.high or 0) - (found.corrected.low or 0)
    assert 0.2 < width < (found.audit.high or 0) - (found.audit.low or 0)


def test_an_interval_stays_within_its_bounds() -> None:
    found = prediction_powered(np.ones(100), [1.0] * 6 + [np.nan] * 94)
    assert found.corrected.high == 1.0
    assert prediction_powered(-np.ones(9), [-1.0] * 6 + [np.nan] * 3, bounds=(-1, 1)).corrected.low == -1.0


@pytest.mark.parametrize(
    ("named", "arguments"),
    [
        ("truth", ([1.0, 0.0], [1.0])),
        ("predicted", ([np.nan], [1.0])),
        ("probability", ([1.0], [1.0], 0.0)),
        ("bounds", ([2.0], [1.0])),
        ("bounds", ([0.0], [-1.0])),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(named: str, arguments: tuple[object, ...]) -> None:
    with pytest.raises(ValueError, match=named):
        prediction_powered(*arguments)  # type: ignore[arg-type]


def test_students_quantiles_are_those_of_the_tables() -> None:
    for degrees in (5, 10, 40, 1000):
        assert student(0.975, degrees) == pytest.approx(stats.t.ppf(0.975, degrees), abs=0.003)
    with pytest.raises(ValueError, match="degrees"):
        student(0.975, 0)


@pytest.mark.statistical
@pytest.mark.parametrize(
    ("setting", "n", "audit", "right"),
    [
        ("good judge", 2000, 150, (0.95, 0.95)),
        ("biased judge", 2000, 150, (0.55, 0.97)),
        ("tiny audit", 1000, 20, (0.8, 0.9)),
    ],
)
def test_the_interval_covers_the_true_rate_as_often_as_it_says(
    setting: str, n: int, audit: int, right: tuple[float, float]
) -> None:
    """Nominal 95 %. Over 600 repetitions 93 % is 2.2 standard errors below; the seed is fixed."""
    rng = np.random.default_rng(20)
    found = [
        prediction_powered(*simulated(rng, n=n, audit=audit, rate=0.6, right=right), audit / n) for _ in range(600)
    ]
    told = [one for one in found if one.corrected.value is not None]
    assert len(told) >= 400
    assert np.mean([covers(one, 0.6) for one in told]) >= 0.93, setting
    bias = np.mean([(one.corrected.value or 0) - 0.6 for one in told])
    assert abs(bias) < 0.01, setting  # the biased judge alone is off by .16
    if setting == "good judge":
        assert np.mean([width(one) for one in told]) < 0.6


@pytest.mark.statistical
def test_unequal_probabilities_are_covered_too() -> None:
    """The audit looks oftener where the judge says 1."""
    rng, held = np.random.default_rng(21), 0
    for _ in range(500):
        truth = rng.random(1500) < 0.4
        said = np.where(rng.random(1500) < 0.8, truth, ~truth) * 1.0
        drawn = np.where(said > 0, 0.2, 0.05)
        seen = np.where(rng.random(1500) < drawn, truth, np.nan)
        held += covers(prediction_powered(said, seen, drawn), 0.4)
    assert held >= 0.93 * 500


def covers(found: Corrected, rate: float) -> bool:
    return (found.corrected.low or 0) <= rate <= (found.corrected.high or 1)


def width(found: Corrected) -> float:
    """Of the corrected interval, beside the audit's alone."""
    corrected = (found.corrected.high or 0) - (found.corrected.low or 0)
    return corrected / ((found.audit.high or 0) - (found.audit.low or 0))

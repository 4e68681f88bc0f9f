"""Rates over what judges labelled, corrected by what people said of a random part of it: prediction-powered estimates.

A judge labels all of N comparisons, people a random audit of n. The judge's rate is precise and wrong by its bias; the
audit's is right and imprecise. Both together are right, and as precise as the judge deserves.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from curation.stats.intervals import Estimate
from curation.stats.votes import FloatArray

LEAST: Final = 5
NO_AUDIT: Final = "no comparison was drawn at random and answered by people"
SMALL_AUDIT: Final = "fewer than 5 comparisons were drawn at random and answered by people"
NO_LABELS: Final = "no comparison has a judge's label"


class Corrected(NamedTuple):
    """One rate in three ways."""

    corrected: Estimate
    """By the judge on everything and people on the audit; n counts everything."""
    audit: Estimate
    """By people on the audit alone."""
    judged: float | None
    """By the judge alone; an interval would tell of its chance, and not of its bias."""
    slope: float | None
    """How far the judge's label is trusted: 0 not at all, about 1 where it is as good as a person's."""
    gain: float | None
    """So many times as many audited comparisons would make the audit alone as precise."""


class _Fit(NamedTuple):
    value: float
    variance: float
    slope: float
    degrees: int


def prediction_powered(
    predicted: npt.ArrayLike,
    truth: npt.ArrayLike,
    probability: npt.ArrayLike = 1.0,
    *,
    bounds: tuple[float, float] = (0.0, 1.0),
    confidence: float = 0.95,
) -> Corrected:
    """The mean of what people say over N comparisons, from a judge's labels of all and people's answers to some.

    ``predicted`` [N] is the judge's figure for each comparison and ``truth`` [N] people's, nan where it was not
    audited; both lie within ``bounds``. ``probability`` (a number or [N]) is that of having been
    drawn for the audit; only its proportions matter. The estimate is the mean of c + slope · predicted over all, plus
    the weighted mean of truth - c - slope · predicted over the audit, which is unbiased whatever the judge is: PPI
    (Angelopoulos, Bates, Fannjiang, Jordan & Zrnic 2023, Science 382) with power tuning (PPI++: Angelopoulos, Duchi &
    Zrnic 2023, arXiv 2311.01453) and known probabilities of inclusion (Zrnic & Candès 2024, "Active statistical
    inference", ICML), which for a mean is the generalised regression estimator (Cassel, Särndal & Wretman 1976,
    Biometrika 63(3)). Slope and c are the weighted least squares of the audit. The interval is Student's with two
    degrees of freedom less than the audit has, and one error as large as can be is added to those seen, so that a judge
    without a fault in a small audit is not taken for faultless.
    """
    f, y = np.asarray(predicted, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    drawn = np.broadcast_to(np.asarray(probability, dtype=np.float64), f.shape)
    _check(f, y, drawn, bounds)
    seen = ~np.isnan(y)
    judged = float(f.mean()) if f.size else None
    if seen.sum() < LEAST:
        reason = NO_LABELS if not f.size else SMALL_AUDIT if seen.any() else NO_AUDIT
        return Corrected(Estimate(None, n=f.size, reason=reason), Estimate(None, reason=reason), judged, None, None)
    weight = len(f) / (1 / drawn[seen]).sum() / drawn[seen]
    span = bounds[1] - bounds[0]
    powered = _regression(f, y[seen], seen, weight, span)
    alone = _regression(np.zeros_like(f), y[seen], seen, weight, span)
    return Corrected(
        _interval(powered, len(f), confidence, bounds),
        _interval(alone, int(seen.sum()), confidence, bounds),
        judged,
        powered.slope,
        alone.variance / powered.variance,
    )


def _check(f: FloatArray, y: FloatArray, drawn: FloatArray, bounds: tuple[float, float]) -> None:
    if f.ndim != 1 or f.shape != y.shape:
        raise ValueError("truth", f"an array of shape {f.shape}", y.shape)
    if not np.isfinite(f).all():
        raise ValueError("predicted", "finite numbers", "nan or infinity")
    known = y[~np.isnan(y)]
    if min(f.min(initial=bounds[0]), known.min(initial=bounds[0])) < bounds[0]:
        raise ValueError("bounds", "to hold every figure", bounds)
    if max(f.max(initial=bounds[1]), known.max(initial=bounds[1])) > bounds[1]:
        raise ValueError("bounds", "to hold every figure", bounds)
    if not ((drawn > 0) & (drawn <= 1)).all():
        raise ValueError("probability", "numbers above 0 and up to 1", "others")


def _regression(f: FloatArray, y: FloatArray, seen: npt.NDArray[np.bool_], weight: FloatArray, span: float) -> _Fit:
    """The mean by weighted least squares on f, and its variance; a constant f is no predictor."""
    x, total = f[seen], weight.sum()
    centre, mean = weight @ x / total, weight @ y / total
    spread = weight @ (x - centre) ** 2
    slope = float(weight @ ((x - centre) * (y - mean)) / spread) if spread > 0 else 0.0
    rest = y - mean - slope * (x - centre)
    degrees = len(y) - (2 if spread > 0 else 1)
    squares = (weight**2 @ rest**2 + weight.mean() ** 2 * span**2) / len(f) ** 2 * len(y) / degrees
    return _Fit(float(mean + slope * (f.mean() - centre)), float(squares + slope**2 * f.var() / len(f)), slope, degrees)


def _interval(fit: _Fit, n: int, confidence: float, bounds: tuple[float, float]) -> Estimate:
    half = student(0.5 + confidence / 2, fit.degrees) * fit.variance**0.5
    value = min(max(fit.value, bounds[0]), bounds[1])
    return Estimate(value, max(fit.value - half, bounds[0]), min(fit.value + half, bounds[1]), n)


def student(probability: float, degrees: int) -> float:
    """Quantile of Student's distribution by its expansion in 1/degrees (Abramowitz & Stegun 1964, 26.7.5).

    Within .003 from 5 degrees on, for quantiles up to .975.
    """
    if degrees < 1:
        raise ValueError("degrees", "1 or more", degrees)
    z = NormalDist().inv_cdf(probability)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return float(z + sum(term / degrees**power for power, term in enumerate(terms, 1)))

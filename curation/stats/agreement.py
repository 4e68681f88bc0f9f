"""How far raters agree: Krippendorff's alpha, and the plain share of agreeing pairs."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from curation.stats.intervals import Estimate, draws, percentile_interval
from curation.stats.votes import FloatArray, IntArray

Level = Literal["nominal", "ordinal", "interval"]
MAX_VALUES: Final = 256


class _Patterns(NamedTuple):
    """Units with the same counts of values are one pattern: resampling units is resampling patterns."""

    counts: FloatArray
    """[P, V] how often each value was given."""
    units: IntArray
    """[P] units that show the pattern."""
    values: FloatArray
    """[V] distinct values, ascending."""

    @property
    def given(self) -> FloatArray:
        """[P] judgements in a unit of the pattern, two or more."""
        given: FloatArray = self.counts.sum(axis=1)
        return given


def krippendorff_alpha(
    unit: npt.ArrayLike,
    rater: npt.ArrayLike,
    value: npt.ArrayLike,
    *,
    level: Level = "nominal",
    rng: np.random.Generator | None = None,
    resamples: int = 1000,
    confidence: float = 0.95,
) -> Estimate:
    """Krippendorff's alpha of values given by raters to units, arrays of shape [n], any of them absent.

    1 is perfect agreement, 0 what chance gives, below 0 systematic disagreement. Only units with two or more values
    count, and the estimate's n is their number. The interval is the percentile interval over resampled units, None
    without ``rng``. Source: Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), sections C and D.
    """
    if level not in get_args(Level):
        raise ValueError("level", f"one of {', '.join(get_args(Level))}", level)
    patterns = _patterns(unit, rater, value)
    if patterns is None:
        return Estimate(None, reason="no comparison was judged by two raters")
    contributions = _coincidences(patterns)
    n = int(patterns.units.sum())
    alpha = float(_alpha(patterns.units[None, :] @ contributions, patterns.values, level)[0])
    if np.isnan(alpha):
        return Estimate(None, n=n, reason="every judgement is the same: chance cannot disagree")
    if rng is None:
        return Estimate(alpha, n=n)
    blocks = draws(patterns.units, rng=rng, resamples=resamples)
    sample = np.concatenate([_alpha(draw @ contributions, patterns.values, level) for draw in blocks])
    low, high = percentile_interval(sample, confidence=confidence)
    return Estimate(alpha, low, high, n)


def pairwise_agreement(
    unit: npt.ArrayLike,
    rater: npt.ArrayLike,
    value: npt.ArrayLike,
    *,
    rng: np.random.Generator | None = None,
    resamples: int = 1000,
    confidence: float = 0.95,
) -> Estimate:
    """Share of the pairs of raters on one unit who gave it the same value; not corrected for chance; n is the pairs."""
    patterns = _patterns(unit, rater, value)
    if patterns is None:
        return Estimate(None, reason="no comparison was judged by two raters")
    agree = (patterns.counts * (patterns.counts - 1)).sum(axis=1) / 2
    pairs = patterns.given * (patterns.given - 1) / 2
    n = int(patterns.units @ pairs)
    share = float(patterns.units @ agree) / n
    if rng is None:
        return Estimate(share, n=n)
    sample = [draw @ agree / (draw @ pairs) for draw in draws(patterns.units, rng=rng, resamples=resamples)]
    low, high = percentile_interval(np.concatenate(sample), confidence=confidence)
    return Estimate(share, low, high, n)


def _patterns(unit: npt.ArrayLike, rater: npt.ArrayLike, value: npt.ArrayLike) -> _Patterns | None:
    units, raters, given = np.asarray(unit), np.asarray(rater), np.asarray(value, dtype=np.float64)
    if not units.shape == raters.shape == given.shape or given.ndim != 1:
        raise ValueError("value", f"unit, rater and value of one shape [n], as unit {units.shape}", given.shape)
    if not np.isfinite(given).all():
        raise ValueError("value", "finite numbers (leave absent judgements out)", "nan or infinity")
    if not given.size:
        return None
    _, row = np.unique(units, return_inverse=True)
    _, who = np.unique(raters, return_inverse=True)
    if len(np.unique(row * (who.max() + 1) + who)) < len(row):
        raise ValueError("rater", "one value of a rater for a unit", "several")
    values, column = np.unique(given, return_inverse=True)
    if len(values) > MAX_VALUES:
        raise ValueError("value", f"at most {MAX_VALUES} distinct values", len(values))
    cells = np.bincount(row * len(values) + column, minlength=(row.max() + 1) * len(values))
    table = cells.reshape(-1, len(values))
    table = table[table.sum(axis=1) >= 2]
    if not len(table):
        return None
    counts, multiplicity = np.unique(table, axis=0, return_counts=True)
    return _Patterns(counts.astype(np.float64), multiplicity.astype(np.int64), values)


def _coincidences(patterns: _Patterns) -> FloatArray:
    """[P, V·V] what one unit of each pattern adds to the coincidence matrix: n_c(n_k - [c = k]) / (m - 1)."""
    counts = patterns.counts
    pairs = counts[:, :, None] * counts[:, None, :]
    diagonal = np.arange(counts.shape[1])
    pairs[:, diagonal, diagonal] -= counts
    shared: FloatArray = (pairs / (patterns.given - 1)[:, None, None]).reshape(len(counts), -1)
    return shared


def _alpha(coincidence: FloatArray, values: FloatArray, level: Level) -> FloatArray:
    """[b] alpha of coincidence matrices [b, V·V]; nan where no disagreement is possible."""
    matrix = coincidence.reshape(len(coincidence), len(values), len(values))
    margin = matrix.sum(axis=2)
    n = margin.sum(axis=1)
    distance = _distance(margin, values, level)
    observed = (matrix * distance).sum(axis=(1, 2))
    expected = np.einsum("bc,bk,bck->b", margin, margin, distance)
    with np.errstate(divide="ignore", invalid="ignore"):
        alpha: FloatArray = np.where(expected > 0, 1 - (n - 1) * observed / expected, np.nan)
    return alpha


def _distance(margin: FloatArray, values: FloatArray, level: Level) -> FloatArray:
    """[b, V, V] squared differences; ordinal is interval on the middle ranks (Krippendorff 2011, p. 6)."""
    if level == "nominal":
        return np.broadcast_to(1 - np.eye(len(values)), (len(margin), len(values), len(values)))
    position = np.cumsum(margin, axis=1) - margin / 2 if level == "ordinal" else np.broadcast_to(values, margin.shape)
    squared: FloatArray = (position[:, :, None] - position[:, None, :]) ** 2
    return squared

"""How far raters agree, beyond what chance gives: within a group of raters, and between two groups.

Every coefficient is 1 - disagreement observed / disagreement expected, and they differ in what they expect. All come
from one table: how often each unit was given each value. Units with equal counts are one pattern, so that a bootstrap
over millions of units draws from some dozens of patterns.

Agreement is a property of judgements as they were given. Judgements that were chosen because they agree (the three
closest of five, what is left when outliers are removed) agree by that choice: random ones then reach .87. Where more
was asked because raters disagreed, `unselected` says which judgements that did not bring.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from curation.stats.intervals import Estimate, draws, percentile_interval
from curation.stats.votes import FloatArray, IntArray

BoolArray = npt.NDArray[np.bool_]
Level = Literal["nominal", "ordinal", "interval"]
Weights = Literal["identity", "linear", "quadratic", "ordinal"]
Coefficient = Literal["alpha-nominal", "alpha-ordinal", "alpha-interval", "fleiss", "ac1", "ac2", "percent"]
MAX_VALUES: Final = 256
KEYS: Final = 2.0**62
"""Rows of counts become one integer each below this, which sorts much faster than rows do."""
NO_PAIRS: Final = "no comparison was judged by two raters"
NO_BOTH: Final = "no comparison was judged by both groups"
ALL_SAME: Final = "every judgement is the same: chance cannot disagree"


class _Patterns(NamedTuple):
    """Units with the same counts of values are one pattern: resampling units is resampling patterns."""

    counts: FloatArray
    """[P, V] how often each value was given; [P, 2V] for two groups, one beside the other."""
    units: IntArray
    """[P] units that show the pattern."""
    values: FloatArray
    """[V] distinct values, ascending."""

    @property
    def given(self) -> FloatArray:
        """[P] judgements in a unit of the pattern."""
        given: FloatArray = self.counts.sum(axis=1)
        return given

    def of_two(self) -> _Patterns:
        """Those of units with two judgements or more."""
        several = self.given >= 2
        return _Patterns(self.counts[several], self.units[several], self.values)


class _Measure(NamedTuple):
    """A coefficient: what one unit of each pattern adds to its sums, and its value from the sums."""

    terms: Callable[[_Patterns], FloatArray]
    """[P, S]"""
    value: Callable[[FloatArray, FloatArray], FloatArray]
    """(sums [b, S], values [V]) → [b]; nan where it does not exist."""


class Resampling(NamedTuple):
    """How an interval is made: percentiles over resampled units, none without a generator."""

    rng: np.random.Generator | None = None
    resamples: int = 1000
    confidence: float = 0.95


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
    _one_of("level", level, Level)
    how = Resampling(rng, resamples, confidence)
    patterns = _patterns(unit, rater, value)
    return _estimate(patterns.of_two(), _Measure(_coincidences, _alpha_at(level)), how)


def fleiss_kappa(
    unit: npt.ArrayLike,
    rater: npt.ArrayLike,
    value: npt.ArrayLike,
    *,
    rng: np.random.Generator | None = None,
    resamples: int = 1000,
    confidence: float = 0.95,
) -> Estimate:
    """Fleiss' kappa; chance draws each value by its mean share over the units.

    Source: Fleiss (1971), "Measuring nominal scale agreement among many raters", Psychological Bulletin 76(5); units
    with different numbers of raters as in Gwet (2014), Handbook of Inter-Rater Reliability, 4th ed., chapter 2: each
    unit weighs the same, and one with a single rater counts for the shares only.
    """
    how = Resampling(rng, resamples, confidence)
    return _estimate(_patterns(unit, rater, value), _Measure(_unit_terms, _fleiss), how)


def gwet_ac(
    unit: npt.ArrayLike,
    rater: npt.ArrayLike,
    value: npt.ArrayLike,
    *,
    weights: Weights = "identity",
    categories: Sequence[float] | None = None,
    rng: np.random.Generator | None = None,
    resamples: int = 1000,
    confidence: float = 0.95,
) -> Estimate:
    """Gwet's AC1, and with ``weights`` for values that lie apart AC2: steady where one value is very common.

    ``categories`` are the values that could have been given, where not all were. Source: Gwet (2008), "Computing
    inter-rater reliability and its variance in the presence of high agreement", British Journal of Mathematical and
    Statistical Psychology 61; the weights: Gwet (2014), Handbook of Inter-Rater Reliability, 4th ed., chapter 3.
    """
    _one_of("weights", weights, Weights)
    how = Resampling(rng, resamples, confidence)
    return _estimate(_patterns(unit, rater, value, categories), _Measure(_unit_terms, _gwet_with(weights)), how)


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
    patterns = _patterns(unit, rater, value).of_two()
    estimate = _estimate(patterns, _Measure(_pair_terms, _ratio), Resampling(rng, resamples, confidence))
    return estimate._replace(n=int(patterns.units @ _pair_terms(patterns)[:, 1])) if estimate.n else estimate


def agreement(
    unit: npt.ArrayLike,
    rater: npt.ArrayLike,
    value: npt.ArrayLike,
    *,
    coefficient: Coefficient = "alpha-ordinal",
    categories: Sequence[float] | None = None,
    rng: np.random.Generator | None = None,
    resamples: int = 1000,
) -> Estimate:
    """One of the coefficients by its name; AC2 has quadratic weights. `rater` tells the judgements of a unit apart."""
    _one_of("coefficient", coefficient, Coefficient)
    if coefficient == "fleiss":
        return fleiss_kappa(unit, rater, value, rng=rng, resamples=resamples)
    if coefficient == "percent":
        return pairwise_agreement(unit, rater, value, rng=rng, resamples=resamples)
    if coefficient in ("ac1", "ac2"):
        weights: Weights = "identity" if coefficient == "ac1" else "quadratic"
        how = {"rng": rng, "resamples": resamples}
        return gwet_ac(unit, rater, value, weights=weights, categories=categories, **how)  # type: ignore[arg-type]
    return krippendorff_alpha(unit, rater, value, level=_level(coefficient), rng=rng, resamples=resamples)


def agreement_between(
    unit: npt.ArrayLike,
    rater: npt.ArrayLike,
    value: npt.ArrayLike,
    second: npt.ArrayLike,
    *,
    coefficient: Coefficient = "alpha-ordinal",
    categories: Sequence[float] | None = None,
    rng: np.random.Generator | None = None,
    resamples: int = 1000,
) -> Estimate:
    """Agreement of the raters of one group with those of another (where ``second``, of [n]); n is the units of both.

    Each unit counts once: with the mean over its pairs of one judgement from each group. The alphas expect of a pair
    that each group draws from its own values, which with one rater in each is Cohen's kappa, weighted above nominal:
    Wong, Paritosh & Aroyo, "Cross-replication Reliability" (ACL 2021). The others keep their own idea of chance, over
    the mean of both groups' shares, as they do for two raters: Fleiss is then Scott's pi.
    """
    _one_of("coefficient", coefficient, Coefficient)
    patterns = _patterns(unit, rater, value, categories, second)
    half = len(patterns.values)
    both = (patterns.counts[:, :half].sum(axis=1) > 0) & (patterns.counts[:, half:].sum(axis=1) > 0)
    patterns = _Patterns(patterns.counts[both], patterns.units[both], patterns.values)
    if not len(patterns.units):
        return Estimate(None, reason=NO_BOTH)
    return _estimate(patterns, _Measure(_crossed, _between(coefficient)), Resampling(rng, resamples))


def unselected(unit: npt.ArrayLike) -> BoolArray:
    """Which judgements, of [n] in the order in which they were made, were not brought by what earlier ones said.

    They are the first m of each unit, where m is the fewest that any unit with two or more has. Where a third or a
    fifth opinion is asked because the first ones differ, units that differ have more judgements, which alone moves
    every coefficient; the first m were asked of all. Where every unit has equally many, all of them count.
    """
    row = _coded(np.asarray(unit))
    if not row.size:
        return np.zeros(0, dtype=bool)
    counts = np.bincount(row)
    several = counts[counts >= 2]
    order = np.argsort(row, kind="stable")
    place = np.empty(len(row), dtype=np.int64)
    place[order] = np.arange(len(row)) - (np.cumsum(counts) - counts)[row[order]]
    return place < (several.min() if several.size else 1)


def _one_of(name: str, given: str, known: object) -> None:
    if given not in get_args(known):
        raise ValueError(name, f"one of {', '.join(get_args(known))}", given)


def _level(coefficient: Coefficient) -> Level:
    level = coefficient.removeprefix("alpha-")
    return "nominal" if level == "nominal" else "ordinal" if level == "ordinal" else "interval"


def _estimate(patterns: _Patterns, measure: _Measure, how: Resampling) -> Estimate:
    """The value over all units, and its interval over units drawn anew."""
    n = int(patterns.units[patterns.given >= 2].sum())
    if not n:
        return Estimate(None, reason=NO_PAIRS)
    terms = measure.terms(patterns)
    value = float(measure.value(patterns.units[None, :] @ terms, patterns.values)[0])
    if np.isnan(value):
        return Estimate(None, n=n, reason=ALL_SAME)
    if how.rng is None:
        return Estimate(value, n=n)
    blocks = draws(patterns.units, rng=how.rng, resamples=how.resamples)
    sample = np.concatenate([measure.value(draw @ terms, patterns.values) for draw in blocks])
    low, high = percentile_interval(sample, confidence=how.confidence)
    return Estimate(value, low, high, n)


def _patterns(
    unit: npt.ArrayLike,
    rater: npt.ArrayLike,
    value: npt.ArrayLike,
    categories: Sequence[float] | None = None,
    second: npt.ArrayLike | None = None,
) -> _Patterns:
    units, raters, given = np.asarray(unit), np.asarray(rater), np.asarray(value, dtype=np.float64)
    if not units.shape == raters.shape == given.shape or given.ndim != 1:
        raise ValueError("value", f"unit, rater and value of one shape [n], as unit {units.shape}", given.shape)
    if not np.isfinite(given).all():
        raise ValueError("value", "finite numbers (leave absent judgements out)", "nan or infinity")
    row = _coded(units)
    _refuse_repeats(row, _coded(raters))
    values, column = _columns(given, categories)
    width = len(values)
    if second is not None:
        column = column + width * _flags(second, given.shape)
        width *= 2
    height = int(row.max(initial=-1)) + 1
    cells = np.bincount(row * width + column, minlength=height * width)
    counts, multiplicity = _distinct(cells.reshape(height, width))
    return _Patterns(counts.astype(np.float64), multiplicity.astype(np.int64), values)


def _coded(ids: npt.NDArray[np.generic]) -> IntArray:
    """Codes from 0 of [n] ids; small integers need no sorting."""
    if ids.size and ids.dtype.kind in "iu" and int(ids.min()) >= 0 and int(ids.max()) < 4 * ids.size:
        numbers = ids.astype(np.int64)
        seen = np.bincount(numbers) > 0
        codes: IntArray = (np.cumsum(seen) - 1)[numbers]
        return codes
    _, where = np.unique(ids, return_inverse=True)
    found: IntArray = where.astype(np.int64)
    return found


def _refuse_repeats(row: IntArray, who: IntArray) -> None:
    pair = np.sort(row * (who.max(initial=0) + 1) + who)
    if (pair[1:] == pair[:-1]).any():
        raise ValueError("rater", "one value of a rater for a unit", "several")


def _columns(given: FloatArray, categories: Sequence[float] | None) -> tuple[FloatArray, IntArray]:
    """The distinct values, ascending, and of each judgement the position of its own."""
    if categories is None:
        values, column = np.unique(given, return_inverse=True)
    else:
        values = np.unique(np.asarray(categories, dtype=np.float64))
        column = np.minimum(np.searchsorted(values, given), len(values) - 1)
        if (values[column] != given).any():
            raise ValueError("categories", "all values that were given", list(categories))
    if len(values) > MAX_VALUES:
        raise ValueError("value", f"at most {MAX_VALUES} distinct values", len(values))
    return values, column.astype(np.int64)


def _flags(second: npt.ArrayLike, shape: tuple[int, ...]) -> IntArray:
    flags = np.asarray(second)
    if flags.shape != shape or flags.dtype != np.bool_:
        raise ValueError("second", f"truth values of shape {shape}", f"{flags.dtype} of shape {flags.shape}")
    return flags.astype(np.int64)


def _distinct(table: IntArray) -> tuple[IntArray, IntArray]:
    """Distinct rows and how often each stands there."""
    base = float(table.max(initial=0)) + 1
    if base ** table.shape[1] >= KEYS:
        return np.unique(table, axis=0, return_counts=True)
    keys = table @ (int(base) ** np.arange(table.shape[1]))
    _, where, counts = np.unique(keys, return_index=True, return_counts=True)
    return table[where], counts


def _pairs(counts: FloatArray) -> FloatArray:
    """[P, V, V] ordered pairs of judgements of one unit: n_c(n_k - [c = k])."""
    pairs = counts[:, :, None] * counts[:, None, :]
    diagonal = np.arange(counts.shape[1])
    pairs[:, diagonal, diagonal] -= counts
    return pairs


def _coincidences(patterns: _Patterns) -> FloatArray:
    """[P, V·V] what one unit of each pattern adds to the coincidence matrix: its pairs over m - 1."""
    shared: FloatArray = _pairs(patterns.counts).reshape(len(patterns.units), -1)
    return shared / (patterns.given - 1)[:, None]


def _alpha_at(level: Level) -> Callable[[FloatArray, FloatArray], FloatArray]:
    def alpha(coincidence: FloatArray, values: FloatArray) -> FloatArray:
        matrix = coincidence.reshape(len(coincidence), len(values), len(values))
        margin = matrix.sum(axis=2)
        n = margin.sum(axis=1)
        distance = _distance(margin, values, level)
        observed = (matrix * distance).sum(axis=(1, 2)) * (n - 1)
        return _corrected(observed, np.einsum("bc,bk,bck->b", margin, margin, distance))

    return alpha


def _corrected(observed: FloatArray, expected: FloatArray) -> FloatArray:
    """1 - observed / expected disagreement; nan where none is possible."""
    with np.errstate(divide="ignore", invalid="ignore"):
        value: FloatArray = np.where(expected > 0, 1 - observed / expected, np.nan)
    return value


def _distance(margin: FloatArray, values: FloatArray, level: Level) -> FloatArray:
    """[b, V, V] squared differences; ordinal is interval on the middle ranks (Krippendorff 2011, p. 6)."""
    if level == "nominal":
        return np.broadcast_to(1 - np.eye(len(values)), (len(margin), len(values), len(values)))
    position = np.cumsum(margin, axis=1) - margin / 2 if level == "ordinal" else np.broadcast_to(values, margin.shape)
    squared: FloatArray = (position[:, :, None] - position[:, None, :]) ** 2
    return squared


def _unit_terms(patterns: _Patterns) -> FloatArray:
    """[P, V·V + V] of one unit: the shares of its pairs (none of one judgement), and the shares of its values."""
    given = patterns.given[:, None]
    pairs = (_pairs(patterns.counts) / np.maximum(given * (given - 1), 1)[:, :, None]).reshape(len(given), -1)
    return np.concatenate([pairs, patterns.counts / given], axis=1)


def _shares(sums: FloatArray, values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """From sums of unit terms: mean shares of pairs [b, V, V] and of values [b, V]; nan without any pair."""
    size = len(values)
    matrix, share = sums[:, : size * size].reshape(-1, size, size), sums[:, size * size :]
    with np.errstate(invalid="ignore"):
        return matrix / matrix.sum(axis=(1, 2))[:, None, None], share / share.sum(axis=1)[:, None]


def _fleiss(sums: FloatArray, values: FloatArray) -> FloatArray:
    matrix, share = _shares(sums, values)
    return _corrected(1 - np.einsum("bkk->b", matrix), 1 - (share**2).sum(axis=1))


def _gwet_with(weights: Weights) -> Callable[[FloatArray, FloatArray], FloatArray]:
    def gwet(sums: FloatArray, values: FloatArray) -> FloatArray:
        return _gwet(*_shares(sums, values), _weights(values, weights))

    return gwet


def _gwet(matrix: FloatArray, share: FloatArray, weight: FloatArray) -> FloatArray:
    size = len(weight)
    if size < 2:
        return np.full(len(matrix), np.nan)
    chance = weight.sum() / (size * (size - 1)) * (share * (1 - share)).sum(axis=1)
    return _corrected(1 - (matrix * weight).sum(axis=(1, 2)), 1 - chance)


def _weights(values: FloatArray, weights: Weights) -> FloatArray:
    """[V, V] how far two values count as agreeing, 1 on the diagonal (Gwet 2014, chapter 3)."""
    if len(values) < 2 or weights == "identity":
        return np.eye(len(values))
    if weights == "ordinal":
        apart = np.abs(np.subtract.outer(np.arange(len(values)), np.arange(len(values)))).astype(np.float64)
        return 1 - apart * (apart + 1) / (len(values) * (len(values) - 1))
    apart = np.abs(np.subtract.outer(values, values)) / (values[-1] - values[0])
    weight: FloatArray = 1 - apart ** (2 if weights == "quadratic" else 1)
    return weight


def _pair_terms(patterns: _Patterns) -> FloatArray:
    """[P, 2] pairs that agree, and all pairs, of one unit."""
    counts, given = patterns.counts, patterns.given
    return np.stack([(counts * (counts - 1)).sum(axis=1) / 2, given * (given - 1) / 2], axis=1)


def _ratio(sums: FloatArray, values: FloatArray) -> FloatArray:
    del values
    share: FloatArray = sums[:, 0] / sums[:, 1]
    return share


def _crossed(patterns: _Patterns) -> FloatArray:
    """[P, V·V] of one unit: the share of the first group's values times that of the second's."""
    half = len(patterns.values)
    first, second = patterns.counts[:, :half], patterns.counts[:, half:]
    shares = first / first.sum(axis=1, keepdims=True), second / second.sum(axis=1, keepdims=True)
    crossed: FloatArray = (shares[0][:, :, None] * shares[1][:, None, :]).reshape(len(first), -1)
    return crossed


def _between(coefficient: Coefficient) -> Callable[[FloatArray, FloatArray], FloatArray]:
    def value(sums: FloatArray, values: FloatArray) -> FloatArray:
        matrix = sums.reshape(-1, len(values), len(values)) / sums.sum(axis=1)[:, None, None]
        first, second = matrix.sum(axis=2), matrix.sum(axis=1)
        mean = (first + second) / 2
        agree: FloatArray = np.einsum("bkk->b", matrix)
        if coefficient == "percent":
            return agree
        if coefficient == "fleiss":
            return _corrected(1 - agree, 1 - (mean**2).sum(axis=1))
        if coefficient in ("ac1", "ac2"):
            return _gwet(matrix, mean, _weights(values, "identity" if coefficient == "ac1" else "quadratic"))
        distance = _distance(mean, values, _level(coefficient))
        return _corrected((matrix * distance).sum(axis=(1, 2)), np.einsum("bc,bk,bck->b", first, second, distance))

    return value

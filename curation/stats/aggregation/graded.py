"""Strength of preference: raters place a hidden preference on a scale from much a to much b, ties in the middle."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np

from curation.stats.aggregation.contract import Aggregate, Fit, assemble, check_iteration, shares_of
from curation.stats.aggregation.latent import climb, expect, lay_out
from curation.stats.aggregation.newton import Curve, ascend
from curation.stats.votes import TIE, A, B, BoolArray, FloatArray, IntArray, K, Pairs, Votes

MAX_ITER: Final = 2000
POINTS: Final[FloatArray] = np.linspace(-4.5, 4.5, 25)
"""Of the hidden preference over which the model is summed."""
SHAPES: Final[FloatArray] = np.stack([POINTS, (POINTS**4 - 6 * POINTS**2 + 3) / math.sqrt(24)], axis=1)
"""[points, 2] Hermite polynomials, orthonormal under the normal density, by which the logarithm of the preference's
density departs from it: the first leans to a side, the fourth makes two peaks of one. The second is the scale, which
sharpness already is; with it, or the third, the fit is no better and runs along ridges."""
HALVINGS: Final = 30
GRADES: Final = 10
"""Strengths told apart at most; a finer scale is cut at its deciles."""
SHARP: Final = 2.0
"""Mean of a rater's sharpness before any vote."""


def graded(
    votes: Votes,
    *,
    pairs: Pairs | None = None,
    is_judge: BoolArray | None = None,
    max_iter: int = MAX_ITER,
    tol: float = 1e-6,
    smoothing: float = 1.0,
) -> Aggregate:
    """Consensus by a graded response model (Samejima 1969, Psychometrika Monograph 17) of the signed strengths.

    The model: comparison c has a preference u, below 0 for a. Rater r answers at most grade j with probability
    σ(t[j] - sharpness[r] · u). The thresholds t are the same for all and mirrored, t[-j] = -t[j], so that neither side
    has an advantage; the sharpness, ~ N(2, 1), is 0 for who answers anything and below 0 for who answers the reverse.
    The density of u is normal, but may lean to a side and have two peaks (`SHAPES`, their coefficients ~ N(0, 1)): most
    comparisons may be clear, or close. ``smoothing`` votes that know nothing are spread evenly over the grades.

    The consensus is what a rater of typical sharpness would say who never errs: its grade is where u lies between the
    thresholds, its posterior over a, tie and b and its mean strength are those of u. Typical is the mean over the
    votes, each counting by what it tells of u, its sharpness squared. The grades are the strengths that occur, rounded
    up. Fitted, as `dawid_skene`, on comparisons with two votes or more.
    """
    check_iteration(max_iter, tol)
    grades, said = graded_answers(votes)
    shared = votes.shared()
    model = _Scale(len(votes.raters), len(grades), smoothing)
    layout = lay_out(shared, graded_answers(shared, grades)[1], model.answers)
    end = climb(layout, model, model.start(), max_iter=max_iter, tol=tol)
    every = lay_out(votes, said, model.answers)
    points = every.restore(expect(every, *model.logs(end.parameters))[0])
    known = model.split(end.parameters)
    typical = _typical(known.sharpness[shared.rater])
    bands = _bands(known.thresholds, typical)
    classes = _by_class(bands)
    fit = Fit(*model.confusions(known, classes), end.log_likelihood, end.n_iter, end.converged)
    values = np.concatenate([-grades[::-1], [0.0], grades])
    others = 1 - _by_class(np.exp(_log_answers(known.thresholds, POINTS * typical)))
    aggregate = assemble(votes, points @ classes, fit)
    return aggregate._replace(strength=points @ (bands @ values), difficulty=points @ (classes * others).sum(axis=1))


def graded_answers(votes: Votes, grades: FloatArray | None = None) -> tuple[FloatArray, IntArray]:
    """The grades [M] of the strengths, and for each vote [n] its place in -M..M, counted from 0."""
    sizes = np.ceil(np.abs(votes.strength))
    if grades is None:
        grades = np.unique(sizes[sizes > 0])
        if len(grades) > GRADES:
            grades = np.unique(np.quantile(sizes[sizes > 0], np.arange(1, GRADES + 1) / GRADES, method="inverted_cdf"))
        grades = grades if len(grades) else np.ones(1)
    steps = np.where(sizes > 0, np.searchsorted(grades, sizes) + 1, 0)
    return grades, len(grades) + (votes.value - TIE) * steps


class _Known(NamedTuple):
    shape: FloatArray
    """[2] by how much the density of the preference departs from the normal, see `SHAPES`."""
    thresholds: FloatArray
    """[M], from the border of the tie outwards."""
    sharpness: FloatArray
    """[R]"""


class _Scale:
    """The model; its states are `POINTS`, its parameters the shape, the log steps of thresholds, the sharpness."""

    def __init__(self, raters: int, grades: int, smoothing: float) -> None:
        if not smoothing > 0:
            raise ValueError("smoothing", "a number of pseudo-votes above 0", smoothing)
        self.raters, self.grades, self.answers, self.smoothing = raters, grades, 2 * grades + 1, smoothing

    def start(self) -> FloatArray:
        return np.concatenate([np.zeros(SHAPES.shape[1] + self.grades), np.full(self.raters, SHARP)])

    def split(self, parameters: FloatArray) -> _Known:
        shape, steps, sharpness = np.split(parameters, [SHAPES.shape[1], SHAPES.shape[1] + self.grades])
        return _Known(shape, np.cumsum(np.exp(np.clip(steps, -25, 6))), sharpness)

    def logs(self, parameters: FloatArray) -> tuple[FloatArray, FloatArray]:
        known = self.split(parameters)
        log_cells = _log_answers(known.thresholds, POINTS[:, None] * known.sharpness)
        return _log_base(known.shape), log_cells.reshape(len(POINTS), -1)

    def improve(self, parameters: FloatArray, mass: FloatArray, counts: FloatArray) -> FloatArray:
        known = self.split(parameters)
        table = counts.reshape(len(POINTS), self.raters, self.answers)
        shape = _better_shape(known.shape, mass)
        sharpness = ascend(lambda at: _sharpness_curve(at, known.thresholds, table), known.sharpness, steps=2)
        thresholds = self._better_thresholds(known.thresholds, POINTS[:, None] * sharpness, table)
        return np.concatenate([shape, np.log(np.diff(thresholds, prepend=0.0)), sharpness])

    def penalty(self, parameters: FloatArray) -> float:
        known = self.split(parameters)
        at_random = _log_answers(known.thresholds, np.zeros(1)).sum() * self.smoothing / self.answers
        return float(at_random - ((known.sharpness - SHARP) ** 2).sum() / 2 - (known.shape**2).sum() / 2)

    def _better_thresholds(self, thresholds: FloatArray, pulls: FloatArray, table: FloatArray) -> FloatArray:
        """A step of Newton's for the thresholds; the votes' part is concave, and so are the pseudo-votes."""
        pulls = np.concatenate([pulls.ravel(), [0.0]])
        table = np.concatenate(
            [table.reshape(-1, self.answers), np.full((1, self.answers), self.smoothing / self.answers)]
        )
        value, slope, bend = _threshold_curve(thresholds, pulls, table)
        step = np.linalg.solve(bend, slope)
        for _ in range(HALVINGS):
            moved = thresholds + step
            if (np.diff(moved, prepend=0.0) > 0).all() and (table * _log_answers(moved, pulls)).sum() >= value:
                return moved
            step = step / 2
        return thresholds

    def confusions(self, known: _Known, classes: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Prior [K] and confusion [R, true, said]."""
        base = np.exp(_log_base(known.shape))
        answers = _by_class(np.exp(_log_answers(known.thresholds, POINTS[:, None] * known.sharpness)))
        return base @ classes, shares_of(np.einsum("g,gk,grl->rkl", base, classes, answers))


def _typical(sharpness: FloatArray) -> float:
    """Mean size of the sharpness of votes [n], weighted by its square: whoever answers at random sets no borders."""
    weight = float((sharpness**2).sum())
    return float((np.abs(sharpness) ** 3).sum()) / weight if weight > 0 else SHARP


def _bands(thresholds: FloatArray, sharpness: float) -> FloatArray:
    """[points, answers] share of the surroundings of each point in which a rater who never errs gives each answer.

    Below a sharpness of 0.1 the scale means nothing, and the borders stay where they are for that.
    """
    borders, width = _borders(thresholds) / max(sharpness, 0.1), POINTS[1] - POINTS[0]
    below = np.clip((borders - POINTS[:, None]) / width + 0.5, 0.0, 1.0)
    return np.diff(below, axis=1, prepend=0.0, append=1.0)


def _borders(thresholds: FloatArray) -> FloatArray:
    """[answers - 1] between the answers, from the lowest to the highest."""
    return np.concatenate([-thresholds[::-1], thresholds])


def _sides(thresholds: FloatArray, pulls: FloatArray) -> tuple[FloatArray, FloatArray]:
    """[..., answers - 1] log-probabilities of answering below and above each border, for pulls u · sharpness [...]."""
    ahead = _borders(thresholds) - pulls[..., None]
    below = -np.logaddexp(0, -ahead)
    return below, below - ahead


def _log_answers(thresholds: FloatArray, pulls: FloatArray) -> FloatArray:
    """[..., answers] log(σ(high - pull) - σ(low - pull)): being below high, times above low, times a gap of the two."""
    below, above = _sides(thresholds, pulls)
    logs = np.zeros((*pulls.shape, 2 * len(thresholds) + 1))
    logs[..., :-1] += below
    logs[..., 1:] += above
    logs[..., 1:-1] += np.log(-np.expm1(-np.diff(_borders(thresholds))))
    return logs


def _log_base(shape: FloatArray) -> FloatArray:
    """[points] of the density of the preference on the points."""
    logs = -(POINTS**2) / 2 + SHAPES @ shape
    base: FloatArray = logs - np.logaddexp.reduce(logs)
    return base


def _better_shape(shape: FloatArray, mass: FloatArray) -> FloatArray:
    """A step of Newton's for the density of expected comparisons [points], halved while it leads down."""

    def value(at: FloatArray) -> float:
        return float(mass @ _log_base(at) - (at @ at) / 2)

    base = np.exp(_log_base(shape))
    centred = SHAPES - base @ SHAPES
    bend = mass.sum() * (centred.T * base) @ centred + np.eye(len(shape))
    step = np.linalg.solve(bend, mass @ centred - shape)
    for _ in range(HALVINGS):
        if value(shape + step) >= value(shape):
            return shape + step
        step = step / 2
    return shape


def _by_class(answers: FloatArray) -> FloatArray:
    """[..., answers] as [..., K]."""
    middle = answers.shape[-1] // 2
    parts = {A: answers[..., :middle], TIE: answers[..., middle : middle + 1], B: answers[..., middle + 1 :]}
    return np.stack([parts[k].sum(axis=-1) for k in range(K)], axis=-1)


def _sharpness_curve(sharpness: FloatArray, thresholds: FloatArray, table: FloatArray) -> Curve:
    """Of the expected votes [points, R, answers], by rater, but for what does not depend on the sharpness."""
    below, above = _sides(thresholds, POINTS[:, None] * sharpness)
    under, over = table[..., :-1], table[..., 1:]  # of each border
    value = np.einsum("gre,gre->r", under, below) + np.einsum("gre,gre->r", over, above)
    share, near = np.exp(below), under + over
    slope = POINTS @ (np.einsum("gre,gre->gr", near, share) + table[..., -1] - table.sum(axis=2))
    bend = POINTS**2 @ np.einsum("gre,gre,gre->gr", near, share, np.exp(above))
    away = sharpness - SHARP
    return Curve(value - away**2 / 2, slope - away, bend + 1)


def _threshold_curve(
    thresholds: FloatArray, pulls: FloatArray, table: FloatArray
) -> tuple[float, FloatArray, FloatArray]:
    """Value, gradient [M] and minus the Hessian [M, M] of votes [pulls, answers] in the thresholds."""
    below, above = (np.exp(side) for side in _sides(thresholds, pulls))
    under, over = table[:, :-1], table[:, 1:]
    width, total = np.diff(_borders(thresholds)), table.sum(axis=0)[1:-1]
    spring = total / np.expm1(width)  # by which the votes between two borders hold them apart
    stiff = spring / -np.expm1(-width)
    slope = (under * above - over * below).sum(axis=0)
    slope[1:] += spring
    slope[:-1] -= spring
    bend = np.diag(((under + over) * below * above).sum(axis=0))
    bend += np.diag(np.append(stiff, 0)) + np.diag(np.append(0, stiff)) - np.diag(stiff, 1) - np.diag(stiff, -1)
    mirror = np.concatenate([-np.eye(len(thresholds))[::-1], np.eye(len(thresholds))])  # borders by thresholds
    value = float((table * _log_answers(thresholds, pulls)).sum())
    return value, mirror.T @ slope, mirror.T @ bend @ mirror

"""Models with a hidden state for each comparison and raters who answer by it: their EM algorithm, fast on many votes.

A comparison is in one of S states: a class, a class and a difficulty, a point of a scale. A vote falls into a cell, the
rater times what was said. A model says how probable each state is and, in each, each cell of a rater; all else is here.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple, Protocol, TypeVar

import numpy as np

from curation.stats.aggregation.contract import TINY
from curation.stats.votes import FloatArray, IntArray, Votes

_ROWS: Final = 1024
"""A column of votes shorter than this is not worth a call of its own."""
_DEPTH: Final = 10
"""Earlier steps that a leap is made of."""
REACH: Final = 1.5
"""How many times as far as EM the first step after a refused leap goes."""
_RIDGE: Final = 1e-10
"""Keeps the equations of a leap solvable where earlier steps say the same."""


class Column(NamedTuple):
    """One vote of each of the first comparisons, in the order of the layout."""

    cells: IntArray
    weights: FloatArray | None


class Layout(NamedTuple):
    """Votes as columns: the comparisons stand in order of their number of votes, most first, and column j holds the
    j-th vote of all that have so many. Sums over votes are then sums of columns, without a look-up of the comparison.
    """

    order: IntArray
    """[C] the comparison at each place."""
    columns: tuple[Column, ...]
    places: IntArray
    """[rest] place of the votes of comparisons with so many votes that too few others share their columns."""
    rest: Column
    totals: FloatArray
    """[cells] weight of the votes."""

    def restore(self, rows: FloatArray) -> FloatArray:
        """Rows [S, C] by place as [C, S] by comparison."""
        restored = np.empty(rows.shape[::-1])
        restored[self.order] = rows.T
        return restored


def lay_out(votes: Votes, said: IntArray, answers: int) -> Layout:
    """Votes whose ``said`` [n] is one of so many answers; their cell is rater · answers + said."""
    size, n_cells = len(votes.comparisons), len(votes.raters) * answers
    counts = np.bincount(votes.comparison, minlength=size)
    order = np.argsort(-counts, kind="stable")
    place = np.empty(size, dtype=np.int64)
    place[order] = np.arange(size)
    by_place = np.argsort(place[votes.comparison], kind="stable")
    places = place[votes.comparison[by_place]]
    cells = (votes.rater * answers + said)[by_place]
    weights = None if (votes.weight == 1).all() else votes.weight[by_place]
    starts = np.concatenate([[0], np.cumsum(counts[order])])[:-1]
    widths = np.searchsorted(-counts[order], -np.arange(1, counts.max(initial=0) + 1), side="right")
    taken = int((widths >= max(_ROWS, n_cells)).sum())

    def pick(chosen: IntArray) -> Column:
        return Column(cells[chosen], None if weights is None else weights[chosen])

    behind = np.flatnonzero(np.arange(votes.n) - starts[places] >= taken)
    return Layout(
        order=order,
        columns=tuple(pick(starts[: widths[j]] + j) for j in range(taken)),
        places=places[behind],
        rest=pick(behind),
        totals=np.bincount(cells, weights, n_cells).astype(np.float64, copy=False),
    )


def gather(layout: Layout, table: FloatArray) -> FloatArray:
    """[S, C] by place: the entries of the table [S, cells] summed over each comparison's votes, by weight."""
    size = len(layout.order)
    gathered = np.zeros((len(table), size))
    for row, out in zip(table, gathered, strict=True):
        for column in layout.columns:
            out[: len(column.cells)] += _taken(row, column.cells, column.weights)
        if len(layout.places):
            out += np.bincount(layout.places, _taken(row, *layout.rest), size)
    return gathered


def scatter(layout: Layout, rows: FloatArray) -> FloatArray:
    """[S, cells]: rows [S, C] by place summed over each cell's votes, by weight."""
    n_cells = len(layout.totals)
    scattered = np.zeros((len(rows), n_cells))
    for row, out in zip(rows, scattered, strict=True):
        for cells, weights in layout.columns:
            share = row[: len(cells)]
            out += np.bincount(cells, share if weights is None else share * weights, n_cells)
        if len(layout.places):
            out += np.bincount(layout.rest.cells, _taken(row, layout.places, layout.rest.weights), n_cells)
    return scattered


def _taken(row: FloatArray, index: IntArray, weights: FloatArray | None) -> FloatArray:
    taken = row.take(index)
    if weights is not None:
        taken *= weights
    return taken


def expect(layout: Layout, log_prior: FloatArray, log_cells: FloatArray) -> tuple[FloatArray, float]:
    """E-step: the posterior of the states [S, C] by place, and the log-likelihood of the votes.

    ``log_prior`` is [S], ``log_cells`` [S, cells]. All states are told against the first, which saves a pass for it.
    """
    joint = np.empty((len(log_prior), len(layout.order)))
    joint[0] = log_prior[0]
    joint[1:] = gather(layout, log_cells[1:] - log_cells[0])
    joint[1:] += log_prior[1:, None]
    top = joint.max(axis=0)
    joint -= top
    np.exp(joint, out=joint)
    total = joint.sum(axis=0)
    joint /= total
    return joint, float((np.log(total) + top).sum() + layout.totals @ log_cells[0])


def count(layout: Layout, posterior: FloatArray) -> FloatArray:
    """[S, cells] the weight of the votes in each cell, shared out over the states by the posterior [S, C]."""
    counts = np.empty((len(posterior), len(layout.totals)))
    counts[1:] = scatter(layout, posterior[1:])
    counts[0] = np.maximum(layout.totals - counts[1:].sum(axis=0), 0.0)
    return counts


class Model(Protocol):
    """What tells one method from another. Parameters are a flat array [P], and any real numbers are some of them."""

    def logs(self, parameters: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Logarithms of the probability of the states [S] and, in each state, of each cell [S, cells]."""

    def improve(self, parameters: FloatArray, mass: FloatArray, counts: FloatArray) -> FloatArray:
        """M-step: parameters at which expected states [S] and cells [S, cells] are at least as probable."""

    def penalty(self, parameters: FloatArray) -> float:
        """Log-density of the parameters before any vote, but for a constant."""


class Climb(NamedTuple):
    """Where EM ended."""

    parameters: FloatArray
    log_likelihood: float
    objective: float
    """Log-likelihood and penalty, which no iteration lets fall."""
    n_iter: int
    converged: bool


class _Point(NamedTuple):
    parameters: FloatArray
    posterior: FloatArray
    log_likelihood: float
    objective: float


class _Step(NamedTuple):
    at: FloatArray
    step: FloatArray
    turn: FloatArray
    """By how much the step differs from the one before."""
    way: FloatArray
    """From where the step before led to where this one leads."""


def climb(layout: Layout, model: Model, start: FloatArray, *, max_iter: int, tol: float) -> Climb:
    """EM from ``start`` until a plain step of it moves no comparison's posterior by more than ``tol``.

    The steps are leaps along the last few, by Anderson's acceleration as for EM (Henderson and Varadhan 2019, JCGS
    28(4)): the slow tail shortens by an order of magnitude. A leap that ends lower gives way to a longer step of EM and
    that to a plain one, so that the objective never falls; what a leap calls the end is believed once a plain step
    does not move either.
    """
    here, n_iter, converged = _look(layout, model, start), 0, not len(layout.order)
    past: list[_Step] = []
    reach = REACH
    while not converged and n_iter < max_iter:
        n_iter += 1
        plain = _step(layout, model, here)
        past = [*past[-_DEPTH:], _after(past[-1] if past else None, here.parameters, plain - here.parameters)]
        there, leapt = _look(layout, model, _leap(past)), len(past) > 1
        if leapt and not there.objective >= here.objective:
            past, (there, leapt, reach) = [], stretched(partial(_look, layout, model), here, plain, reach)
        if _moved(here, there) < tol:
            converged, past = not leapt, []
        here = there
    return Climb(here.parameters, here.log_likelihood, here.objective, n_iter, converged)


class Point(Protocol):
    """Somewhere on the way, with how good it is there."""

    @property
    def parameters(self) -> FloatArray: ...

    @property
    def objective(self) -> float: ...


P = TypeVar("P", bound=Point)


def stretched(look: Callable[[FloatArray], P], here: P, plain: FloatArray, reach: float) -> tuple[P, bool, float]:
    """Toward EM's ``plain`` next step, ``reach`` times as far where that ends no lower (adaptive overrelaxation,
    Salakhutdinov and Roweis 2003, ICML): leaps turn back to a saddle that EM crawls away from. Returns whether it went
    farther, and how far to try the next time.
    """
    there = look(here.parameters + reach * (plain - here.parameters))
    if there.objective >= here.objective:
        return there, True, 2 * reach
    return look(plain), False, max(REACH, reach / 4)


def _look(layout: Layout, model: Model, parameters: FloatArray) -> _Point:
    posterior, log_likelihood = expect(layout, *model.logs(parameters))
    return _Point(parameters, posterior, log_likelihood, log_likelihood + model.penalty(parameters))


def _step(layout: Layout, model: Model, point: _Point) -> FloatArray:
    return model.improve(point.parameters, point.posterior.sum(axis=1), count(layout, point.posterior))


def _moved(here: _Point, there: _Point) -> float:
    return max(float(np.abs(a - b).max()) for a, b in zip(here.posterior, there.posterior, strict=True))


def _after(last: _Step | None, at: FloatArray, step: FloatArray) -> _Step:
    if last is None:
        return _Step(at, step, np.zeros_like(at), np.zeros_like(at))
    turn = step - last.step
    return _Step(at, step, turn, at - last.at + turn)


def _leap(past: list[_Step]) -> FloatArray:
    """Where the last plain step leads, less the mixture of earlier changes that would have made it shortest."""
    leap = past[-1].at + past[-1].step
    if len(past) > 1:
        turns = np.stack([step.turn for step in past[1:]])
        gram = turns @ turns.T
        gram[np.diag_indices_from(gram)] += _RIDGE * np.trace(gram) + TINY
        for share, step in zip(np.linalg.solve(gram, turns @ past[-1].step), past[1:], strict=True):
            leap -= share * step.way
    return leap

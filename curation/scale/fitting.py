"""Dawid and Skene's model fitted over partitions: the E-step beside the votes, the M-step on the sum of their counts.

The steps, the leaps between them and the rule to stop are those of `curation.stats.aggregation`: the same numbers come
out, but for the order in which sums are added up.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Any, Final, NamedTuple

import numpy as np

from curation.scale.engine import Engine
from curation.scale.partitions import Loaded, Part, load, raters_of, votes_of
from curation.stats.aggregation import latent
from curation.stats.aggregation.contract import TINY, check_iteration
from curation.stats.aggregation.dawid_skene import MAX_ITER, Confusions, shares
from curation.stats.votes import FloatArray, K, Votes


class Fitted(NamedTuple):
    """The model, and handles of what it says of each partition."""

    prior: FloatArray
    """[K]"""
    confusion: FloatArray
    """[R, true, said]"""
    raters: tuple[str, ...]
    log_likelihood: float
    n_iter: int
    converged: bool
    votes: Sequence[Any]
    """Handles of the partitions' `Votes`."""
    posterior: Sequence[Any]
    """Handles of the partitions' posteriors [C, K]."""


DEPTH: Final = 10  # earlier steps that a leap is made of
RIDGE: Final = 1e-10  # keeps the equations of a leap solvable where earlier steps say the same


class _Step(NamedTuple):
    at: FloatArray
    step: FloatArray


class _Seen(NamedTuple):
    """A partition under some parameters."""

    posterior: FloatArray
    """[K, C] by place"""
    log_likelihood: float


class _Point(NamedTuple):
    parameters: FloatArray
    seen: Sequence[Any]
    log_likelihood: float
    objective: float


def dawid_skene(
    parts: Sequence[Part], engine: Engine, *, max_iter: int = MAX_ITER, tol: float = 1e-6, smoothing: float = 1.0
) -> Fitted:
    """`curation.stats.dawid_skene` on the votes of all partitions. Raises ValueError where there is no vote."""
    check_iteration(max_iter, tol)
    loaded = engine.each(load, parts)
    raters = tuple(sorted(set().union(*engine.bring(engine.each(raters_of, loaded)))))
    if not raters:
        raise ValueError("parts", "a vote in at least one of them", "none")
    votes = engine.each(votes_of, loaded, told=(raters,))
    model = Confusions(len(raters), smoothing)
    layouts = engine.each(_lay_out, votes)
    end, n_iter, converged = _climb(engine, layouts, model, _start(engine, votes, layouts, model), max_iter, tol)
    prior, confusion = model.split(end.parameters)
    return Fitted(
        prior,
        confusion.transpose(1, 0, 2),
        raters,
        end.log_likelihood,
        n_iter,
        converged,
        votes,
        engine.each(_judge, votes, told=model.logs(end.parameters)),
    )


def _climb(
    engine: Engine, layouts: Sequence[Any], model: Confusions, start: FloatArray, max_iter: int, tol: float
) -> tuple[_Point, int, bool]:
    """EM with leaps until a plain step moves no posterior by more than `tol`, as `latent.climb` does it; looking,
    counting and measuring the move are done by partition."""
    here, n_iter = _look(engine, layouts, model, start), 0
    converged = not any(engine.bring(engine.each(_size, layouts)))
    past: list[_Step] = []
    reach = latent.REACH
    while not converged and n_iter < max_iter:
        n_iter += 1
        mass, counts = _summed(engine.bring(engine.each(_counted, layouts, here.seen)))
        plain = model.improve(here.parameters, mass, counts)
        past = [*past[-DEPTH:], _Step(here.parameters, plain - here.parameters)]
        there, leapt = _look(engine, layouts, model, _leap(past)), len(past) > 1
        if leapt and not there.objective >= here.objective:
            look = partial(_look, engine, layouts, model)
            past, (there, leapt, reach) = [], latent.stretched(look, here, plain, reach)
        if max(engine.bring(engine.each(_moved, here.seen, there.seen))) < tol:
            converged, past = not leapt, []
        here = there
    return here, n_iter, converged


def _leap(past: Sequence[_Step]) -> FloatArray:
    """Anderson's acceleration of EM (Henderson and Varadhan 2019, JCGS 28(4)): where the last plain step leads,
    less the mixture of earlier changes that would have made it shortest.
    """
    at, step = past[-1]
    if len(past) == 1:
        return at + step
    turns = np.stack([late.step - early.step for early, late in pairwise(past)])
    ways = np.stack([late.at - early.at for early, late in pairwise(past)])
    gram = turns @ turns.T
    gram[np.diag_indices_from(gram)] += RIDGE * np.trace(gram) + TINY
    leap: FloatArray = at + step - np.linalg.solve(gram, turns @ step) @ (ways + turns)
    return leap


def _look(engine: Engine, layouts: Sequence[Any], model: Confusions, parameters: FloatArray) -> _Point:
    seen = engine.each(_expect, layouts, told=model.logs(parameters))
    found = sum(engine.bring(engine.each(_likelihood, seen)))
    return _Point(parameters, seen, found, found + model.penalty(parameters))


def _start(engine: Engine, votes: Sequence[Any], layouts: Sequence[Any], model: Confusions) -> FloatArray:
    mass, counts = _summed(engine.bring(engine.each(_majority, votes, layouts)))
    return model.improve(np.empty(0), mass, counts)


def _summed(found: Sequence[tuple[FloatArray, FloatArray]]) -> tuple[FloatArray, FloatArray]:
    masses, counts = zip(*found, strict=True)
    return sum(masses, start=np.zeros(K)), sum(counts, start=np.zeros_like(counts[0]))


# What is done with one partition, where it is.


def _lay_out(votes: Votes) -> latent.Layout:
    shared = votes.shared()
    return latent.lay_out(shared, shared.value, K)


def _size(layout: latent.Layout) -> int:
    return len(layout.order)


def _majority(votes: Votes, layout: latent.Layout) -> tuple[FloatArray, FloatArray]:
    by_place = shares(votes.shared()).T[:, layout.order]
    return by_place.sum(axis=1), latent.count(layout, by_place)


def _expect(layout: latent.Layout, log_prior: FloatArray, log_cells: FloatArray) -> _Seen:
    return _Seen(*latent.expect(layout, log_prior, log_cells))


def _likelihood(seen: _Seen) -> float:
    return seen.log_likelihood


def _counted(layout: latent.Layout, seen: _Seen) -> tuple[FloatArray, FloatArray]:
    return seen.posterior.sum(axis=1), latent.count(layout, seen.posterior)


def _moved(here: _Seen, there: _Seen) -> float:
    return float(np.abs(here.posterior - there.posterior).max(initial=0.0))


def _judge(votes: Votes, log_prior: FloatArray, log_cells: FloatArray) -> FloatArray:
    every = latent.lay_out(votes, votes.value, K)
    return every.restore(latent.expect(every, log_prior, log_cells)[0])


__all__ = ["Fitted", "Loaded", "dawid_skene"]

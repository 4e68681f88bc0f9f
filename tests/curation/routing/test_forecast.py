"""What people will say of a comparison, learned from a pilot."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy.optimize import minimize

from curation.routing.forecast import Forecast, fit, posterior, predict

PERSON = np.array([[0.7, 0.2, 0.1], [0.2, 0.6, 0.2], [0.1, 0.2, 0.7]])


def simulated(n: int, votes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Sided feature x, plain feature z, people's votes and the truth: P ∝ exp(-2x), exp(z), exp(2x)."""
    draw = np.random.default_rng(seed)
    x, z = draw.normal(size=(n, 1)), draw.normal(size=(n, 1))
    logits = np.concatenate([-2 * x, z, 2 * x], axis=1)
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    truth = (p.cumsum(axis=1) < draw.random((n, 1))).sum(axis=1)
    return x, z, draw.multinomial(votes, PERSON[truth]), truth


def test_it_recovers_the_weights_and_the_confusion_behind_noisy_votes() -> None:
    x, z, counts, _ = simulated(4000, 3)
    found = fit(x, z, counts, ridge=0.01)

    assert found.converged
    assert found.sided / found.scale[0] == pytest.approx([2.0], abs=0.25)
    assert found.plain[1] / found.scale[1] == pytest.approx(1.0, abs=0.25)
    assert found.confusion == pytest.approx(PERSON, abs=0.05)


def test_it_is_at_scipys_optimum_of_the_same_likelihood() -> None:
    # With the confusion that it found held fixed, no other weights are better.
    x, z, counts, _ = simulated(300, 3)
    found = fit(x, z, counts, ridge=0.5, tol=1e-12, max_iter=3000)
    design = np.concatenate([x / found.scale[0], np.ones((300, 1)), (z - found.centre) / found.scale[1]], axis=1)

    def loss(w: np.ndarray) -> float:
        s, t = design[:, 0] * w[0], design[:, 1:] @ w[1:]
        logits = np.stack([-s, t, s], axis=1)
        p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        joint = p * np.exp(counts @ np.log(found.confusion).T)
        return float(-np.log(joint.sum(axis=1)).sum() + 0.25 * (w[0] ** 2 + w[2] ** 2))

    best = minimize(loss, np.zeros(3), tol=1e-10)
    assert loss(np.concatenate([found.sided, found.plain])) == pytest.approx(best.fun, abs=1e-3)


def test_swapping_the_completions_swaps_the_forecast() -> None:
    x, z, counts, _ = simulated(200, 2)
    there, back = fit(x, z, counts), fit(-x, z, counts[:, ::-1])

    assert predict(back, -x, z)[:, ::-1] == pytest.approx(predict(there, x, z), abs=1e-6)


def test_the_likelihood_never_falls() -> None:
    x, z, counts, _ = simulated(300, 2)
    steps = [fit(x, z, counts, max_iter=n, tol=1e-15).log_likelihood for n in range(1, 15)]
    assert all(b >= a - 1e-6 for a, b in pairwise(steps))


def test_votes_change_a_forecast_by_bayes() -> None:
    # Even (.5, 0, .5) and one vote for b of a person right with .7, wrong with .1: .35 against .05.
    found = posterior(np.array([[0.5, 0.0, 0.5]]), np.array([[0, 0, 1]]), PERSON)
    assert found[0] == pytest.approx([0.125, 0, 0.875])


@pytest.mark.parametrize("counts", [np.zeros((5, 3)), np.tile([0, 3, 0], (5, 1)), np.tile([1, 1, 1], (5, 1))])
def test_no_votes_all_ties_and_splits_are_finite(counts: np.ndarray) -> None:
    found = fit(np.full((5, 1), np.nan), np.full((5, 2), np.nan), counts)
    assert isinstance(found, Forecast)
    assert np.isfinite(predict(found, np.full((5, 1), np.nan), np.zeros((5, 2)))).all()
    with pytest.raises(ValueError, match="counts"):
        fit(np.zeros((4, 1)), np.zeros((4, 1)), counts)


def test_nothing_to_learn_from_forecasts_an_even_chance() -> None:
    found = fit(np.zeros((0, 1)), np.zeros((0, 1)), np.zeros((0, 3)))
    assert predict(found, np.ones((1, 1)), np.ones((1, 1)))[0] == pytest.approx([1 / 3] * 3, abs=0.01)

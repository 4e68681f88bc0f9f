"""What the methods share: sums over columns of votes against plain loops, and a climb that never goes down."""

from __future__ import annotations

import numpy as np
import pytest

from curation.stats import K, Votes
from curation.stats.aggregation import latent
from curation.stats.aggregation.dawid_skene import Confusions, shares
from curation.stats.aggregation.latent import climb, count, expect, gather, lay_out, scatter
from curation.stats.aggregation.newton import Curve, ascend


def uneven(seed: int, *, weighted: bool, crowded: int = 0) -> Votes:
    """Comparisons with 0 to 6 votes, the first by ``crowded`` raters of 40 more."""
    rng = np.random.default_rng(seed)
    chosen = rng.random((60, 40)) < rng.uniform(0, 0.1, (60, 1))
    chosen[0, :crowded] = True
    comparison, rater = np.nonzero(chosen)
    shuffled = rng.permutation(len(comparison))
    weight = rng.uniform(0.1, 3, len(comparison)) if weighted else None
    strength = rng.integers(-3, 4, len(comparison)).astype(float)
    ids, raters = tuple(range(60)), tuple(range(40))
    return Votes.from_arrays(
        comparison[shuffled], rater[shuffled], strength, weight=weight, comparisons=ids, raters=raters
    )


@pytest.mark.parametrize("rows", [1, 12, 1024])  # all votes in columns, some, none
@pytest.mark.parametrize("weighted", [False, True])
def test_sums_over_columns_are_the_sums_over_votes(rows: int, weighted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latent, "_ROWS", rows)
    votes = uneven(1, weighted=weighted, crowded=40)
    votes = (
        votes
        if rows > 1
        else Votes.from_arrays(  # one rater's cells are fewer than a column is long
            np.arange(20), np.zeros(20, dtype=int), np.ones(20), weight=votes.weight[:20]
        )
    )
    rng = np.random.default_rng(2)
    cells, size = len(votes.raters) * K, len(votes.comparisons)
    table, states = rng.normal(size=(2, cells)), rng.normal(size=(size, 2))

    layout = lay_out(votes, votes.value, K)
    found = layout.restore(gather(layout, table)), scatter(layout, states.T[:, layout.order])

    by_comparison, by_cell = np.zeros((size, 2)), np.zeros((2, cells))
    for c, r, v, w in zip(votes.comparison, votes.rater, votes.value, votes.weight, strict=True):
        by_comparison[c] += w * table[:, r * K + v]
        by_cell[:, r * K + v] += w * states[c]
    np.testing.assert_allclose(found[0], by_comparison, atol=1e-12)
    np.testing.assert_allclose(found[1], by_cell, atol=1e-12)


def test_expectation_is_bayes_rule_and_its_total_the_likelihood() -> None:
    # One comparison, raters 0 and 1 say cells 0 and 4 (of 3 each). State 0: .6·.5·.2 = .06; state 1: .4·.1·.9 = .036.
    votes = Votes.from_arrays(np.zeros(2, dtype=int), np.arange(2), np.array([-1.0, 0.0]))
    cells = np.array([[0.5, 0.3, 0.2, 0.7, 0.2, 0.1], [0.1, 0.1, 0.8, 0.05, 0.9, 0.05]])

    layout = lay_out(votes, votes.value, K)
    posterior, log_likelihood = expect(layout, np.log([0.6, 0.4]), np.log(cells))

    assert posterior[:, 0].tolist() == pytest.approx([0.06 / 0.096, 0.036 / 0.096])
    assert log_likelihood == pytest.approx(np.log(0.096))
    assert count(layout, posterior)[:, [0, 4]].ravel().tolist() == pytest.approx([0.625, 0.625, 0.375, 0.375])


def test_leaps_end_where_plain_steps_end_and_sooner(monkeypatch: pytest.MonkeyPatch) -> None:
    # Three of seven raters, who know the answer with .4 and guess otherwise: EM takes hundreds of steps.
    rng = np.random.default_rng(4)
    truth = rng.integers(0, K, 300)
    said = np.where(rng.random((300, 7)) < 0.4, truth[:, None], rng.integers(0, K, (300, 7))) - 1.0
    comparison, rater = np.nonzero(rng.permuted(np.tile(np.arange(7) < 3, (300, 1)), axis=1))
    votes = Votes.from_arrays(comparison, rater, said[comparison, rater])
    layout, model = lay_out(votes, votes.value, K), Confusions(7, 1.0)
    start = model.measured(layout, shares(votes))

    leaping = climb(layout, model, start, max_iter=5000, tol=1e-8)
    monkeypatch.setattr(latent, "_leap", lambda past: past[-1].at + past[-1].step)
    plain = climb(layout, model, start, max_iter=5000, tol=1e-8)

    assert (leaping.converged, plain.converged) == (True, True)
    np.testing.assert_allclose(leaping.parameters, plain.parameters, atol=1e-5)
    assert leaping.n_iter < plain.n_iter / 3


def test_newton_climbs_many_curves_at_once_and_halves_what_would_overshoot() -> None:
    # -log cosh(x - centre): from afar Newton's step, sinh·cosh, overshoots without end.
    centre = np.array([-3.0, 0.0, 5.0])

    def curve(x: np.ndarray) -> Curve:
        return Curve(-np.logaddexp(x - centre, centre - x), -np.tanh(x - centre), 1 - np.tanh(x - centre) ** 2)

    assert ascend(curve, np.zeros(3), steps=40) == pytest.approx(centre, abs=1e-6)

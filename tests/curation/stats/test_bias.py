"""Leanings of raters: by hand, against an independent optimum, and found again in simulated raters."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit

from curation.stats.bias import LEAST, PRIOR, Leaning, family, formatting, leaning
from curation.stats.votes import TIE, A, B


def crowd(n: int, n_raters: int, lean: float, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Every rater on every comparison: all see the same quality, and rater 0 leans by `lean` besides."""
    quality, more = rng.normal(0, 1, n), rng.normal(0, 1, n)
    rater, comparison = np.tile(np.arange(n_raters), n), np.repeat(np.arange(n), n_raters)
    logit = 1.5 * quality[comparison] + lean * more[comparison] * (rater == 0)
    value = np.where(rng.random(len(rater)) < expit(logit), B, A)
    return rater, comparison, value, more[comparison]


def of(*said: np.ndarray, n_raters: int, reference: np.ndarray | None = None) -> Leaning:
    everybody = np.ones(len(said[0]), dtype=bool)
    return leaning(*said, everybody if reference is None else reference, n_raters=n_raters)


def test_a_share_counts_decided_judgements_on_two_that_differ() -> None:
    # b has more in 0 and 1, a has more in 2, neither in 3; 4 is a tie. Rater 0 says B, A, A, B: 2 of 3.
    value = np.array([B, A, A, B, TIE])
    found = of(np.zeros(5, int), np.arange(5), value, np.array([1.0, 2, -1, 0, 5]), n_raters=2)
    assert (found.share[0], found.n.tolist()) == (pytest.approx(2 / 3), [3, 0])
    assert np.isnan(found.share[1])


def test_the_excess_is_beside_the_others_on_the_same_comparison() -> None:
    # 30 comparisons whose b has more. Rater 0 always chooses b, rater 1 never, rater 2 in a third of them: of the two
    # others' mean, rater 0 finds 1/6 (10 comparisons at 1/2, 20 at 0) and exceeds it by 5/6.
    rater, comparison = np.tile([0, 1, 2], 30), np.repeat(np.arange(30), 3)
    value = np.where(rater == 0, B, np.where((rater == 2) & (comparison < 10), B, A))
    found = of(rater, comparison, value, np.ones(90), n_raters=3)
    assert found.excess[0] == pytest.approx(5 / 6)
    assert found.n_beside.tolist() == [30, 30, 30]


def test_only_the_reference_makes_the_consensus() -> None:
    # Two judges choose what has more, one person does not: each judge exceeds the person by 1, the other judge is none.
    rater, comparison = np.tile([0, 1, 2], 40), np.repeat(np.arange(40), 3)
    value = np.where(rater == 2, A, B)
    found = of(rater, comparison, value, np.ones(120), n_raters=3, reference=rater == 2)
    assert found.excess[:2].tolist() == [1.0, 1.0]
    assert found.n_beside.tolist() == [40, 40, 0]  # nobody stands beside the only person
    assert np.isnan(found.excess[2])


def test_fewer_judgements_than_needed_have_neither_excess_nor_slope() -> None:
    rng = np.random.default_rng(0)
    found = of(*crowd(LEAST - 1, 3, 0.0, rng), n_raters=3)
    assert np.isnan(found.excess).all()
    assert np.isnan(found.slope).all()
    assert not np.isnan(found.share).any()


def test_the_slope_is_the_optimum_that_another_optimiser_finds() -> None:
    rater, comparison, value, more = crowd(300, 4, 1.0, np.random.default_rng(3))
    found = of(rater, comparison, value, more, n_raters=4)

    chose = (value == B).reshape(300, 4) * 1.0
    others = 2 * (chose.sum(axis=1, keepdims=True) - chose) / 3 - 1
    x = more.reshape(300, 4)[:, 0] / np.sqrt(np.mean(more**2))
    for r in range(4):

        def loss(w: np.ndarray, r: int = r) -> float:
            logit = w[0] * x + w[1] * others[:, r]
            return float(np.sum(np.logaddexp(0, logit) - chose[:, r] * logit) + w @ w / (2 * PRIOR**2))

        best = minimize(loss, np.zeros(2), method="BFGS", options={"gtol": 1e-9})
        assert found.slope[r] == pytest.approx(best.x[0], abs=1e-5)
        h, e = 1e-4, np.eye(2)  # the curvature by second differences
        curvature = [
            [
                sum(
                    i * j * loss(best.x + h * (i * e[u] + j * e[v])) for i in (1, -1) for j in (1, -1)
                ) / (4 * h * h)
                for v in range(2)
            ]
            for u in range(2)
        ]  # fmt: skip
        error = (found.slope_high[r] - found.slope_low[r]) / 2 / 1.959964
        assert error == pytest.approx(np.linalg.inv(curvature)[0, 0] ** 0.5, rel=1e-3)
    assert found.converged.all()


def test_a_rater_who_always_follows_has_a_slope_all_the_same() -> None:
    rng = np.random.default_rng(4)
    rater, comparison, value, more = crowd(200, 3, 0.0, rng)
    value = np.where(rater == 0, np.where(more > 0, B, A), value)
    found = of(rater, comparison, value, more, n_raters=3)
    assert found.share[0] == 1.0
    assert np.isfinite([found.slope[0], found.slope_low[0]]).all()
    assert found.slope_low[0] > 2


@pytest.mark.statistical
def test_a_lean_is_found_and_the_honest_have_none() -> None:
    # 2,000 comparisons, standard error of the excess about .011: the leaning rater's is above .1, the others' within
    # 4 standard errors of what the leaning one does to their consensus (a third of it, the other way).
    found = of(*crowd(2000, 4, 1.0, np.random.default_rng(5)), n_raters=4)
    assert found.excess_low[0] > 0.08
    assert found.slope_low[0] > 0.7
    assert np.abs(found.excess[1:]).max() < 0.1
    assert (found.slope_low[1:] < 0.05).all()


@pytest.mark.statistical
def test_what_quality_deserves_is_no_lean() -> None:
    # Longer is better here, and everybody sees it: the share is far above a half, the excess is none.
    rng = np.random.default_rng(6)
    more = rng.normal(0, 1, 3000)
    rater, comparison = np.tile(np.arange(3), 3000), np.repeat(np.arange(3000), 3)
    value = np.where(rng.random(9000) < expit(1.5 * more[comparison]), B, A)
    found = of(rater, comparison, value, more[comparison], n_raters=3)
    assert (found.low > 0.7).all()
    assert np.abs(found.excess).max() < 0.04  # four standard errors


def test_swapping_the_sides_changes_nothing() -> None:
    rater, comparison, value, more = crowd(120, 3, 0.7, np.random.default_rng(7))
    swapped = of(rater, comparison, 2 - value, -more, n_raters=3)
    for here, there in zip(of(rater, comparison, value, more, n_raters=3), swapped, strict=True):
        assert np.allclose(here, there, equal_nan=True)


def test_raters_alone_or_without_judgements_are_no_error() -> None:
    none = np.zeros(0, dtype=np.int64)
    assert np.isnan(of(none, none, none, np.zeros(0), n_raters=2).share).all()
    alone = of(np.zeros(40, int), np.arange(40), np.full(40, A), np.full(40, -1.0), n_raters=1)
    assert (alone.share[0], alone.n_beside[0]) == (1.0, 0)


def test_arrays_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="more"):
        of(np.zeros(2, int), np.zeros(2, int), np.zeros(2, int), np.zeros(3), n_raters=1)


def test_layout_is_counted_by_its_marks() -> None:
    assert formatting("Just two sentences - with a dash. And 3 * 4.") == 0
    assert formatting("# Title\n\n- one\n- **two**\n3. three\n") == 5
    assert formatting("Run `ls`:\n\n```\ncode\n```\n") == 3
    assert formatting("") == 0


@pytest.mark.parametrize(
    ("names", "whose"),
    [
        (("gpt-4o", "openai/GPT-4.1-mini", "o3-mini", "chatgpt-4o-latest"), "openai"),
        (("claude-3-5-sonnet", "anthropic/claude-2"), "anthropic"),
        (("meta-llama/Llama-3.1-8B", "vicuna-13b", "tulu-2-70b"), "meta"),
        (("Qwen2.5-72B", "qwq-32b"), "alibaba"),
        (("heron-1", "heron-2-large"), "heron"),
        (("", "  "), ""),
    ],
)
def test_a_model_belongs_to_the_family_that_its_name_begins_with(names: tuple[str, ...], whose: str) -> None:
    assert {family(name) for name in names} == {whose}


def test_a_name_that_only_begins_alike_is_another_family() -> None:
    assert family("philosopher-1") == "philosopher"  # no phi
    assert family("yielding-2") == "yielding"

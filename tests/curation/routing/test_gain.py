"""The learned gain: tags, mixes by Algorithm 1, the prediction of performance, and its refusal."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import spearmanr

from curation.routing import Item, extract
from curation.routing.gain import (
    GainModel,
    Tag,
    best_mix,
    fit,
    members,
    mix,
    mixes,
    simulated,
    spearman,
    tags,
    top_k,
    why,
)
from curation.routing.learned import expected_gain
from curation.routing.proxy import accuracy, bradley_terry, components, out_of_fold, performance, sigmoid


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def pool(n: int = 120) -> object:
    """Comparisons whose lengths and judge's certainty vary independently."""
    draw = rng(7)
    return extract(
        [Item(i, "p", "x" * int(draw.integers(1, 400)), "y", judge_probability=float(draw.random())) for i in range(n)]
    )


def helpful(features: object) -> np.ndarray:
    """Where people help in these tests: the third with the longest completions."""
    column = features.column("longer_length")  # type: ignore[attr-defined]
    return np.asarray(column > np.quantile(column, 2 / 3))


# Tags


def test_numbers_are_cut_in_thirds_once_on_the_pool() -> None:
    features = extract([Item(i, "p" * i, "a", "b") for i in range(1, 10)])
    found = [tag for tag in tags(features) if tag.feature == "prompt_length"]

    # Thirds of 1 … 9: above nothing, above 3.67, above 6.33.
    assert [(t.label, t.low, t.high) for t in found] == [
        ("low", None, pytest.approx(11 / 3)),
        ("middle", pytest.approx(11 / 3), pytest.approx(19 / 3)),
        ("high", pytest.approx(19 / 3), None),
    ]
    assert members(features, found).sum(axis=0).tolist() == [3, 3, 3]
    assert members(extract([Item(0, "p" * 100, "a", "b")]), found).tolist() == [[False, False, True]]


def test_sided_absent_and_constant_features_make_no_tag() -> None:
    names = {tag.feature for tag in tags(pool())}

    assert "judge_doubt" in names
    assert not names & {"judge_probability", "margin", "turns", "novelty"}


def test_an_absent_feature_has_no_tag_of_its_own() -> None:
    features = extract([Item(0, "p", "a", "b"), Item(1, "p", "a", "b", judge_probability=0.6)])
    assert members(features, [Tag("judge_doubt", "any", None, None)]).tolist() == [[False], [True]]


# Mixes


def test_a_mix_fills_its_budget_with_whole_tags_in_turn() -> None:
    # Two tags of four each, one with neither: the first five are one tag whole and one of the other.
    has = np.array([[True, False]] * 4 + [[False, True]] * 4 + [[False, False]])
    for seed in range(20):
        chosen = mix(has, 5, rng(seed))
        by_tag = sorted([int(chosen[:4].sum()), int(chosen[4:8].sum())])
        assert by_tag == [1, 4]
        assert not chosen[8]


def test_mixes_include_both_extremes_and_every_budget_between() -> None:
    drawn = mixes(members(pool(), tags(pool())), 100, rng())
    shares = drawn.mean(axis=1)

    assert (shares[0], shares[1]) == (0, 1)
    assert 0 < shares[2:].min() < 0.2
    assert 0.8 < shares[2:].max() < 1


# The model


def test_the_gain_is_found_where_people_help_and_predicts_unseen_mixes() -> None:
    # Performance is known: each helpful comparison adds one, every other one takes a quarter away.
    features = pool()
    worth = np.where(helpful(features), 1.0, -0.25)
    model = fit(features, lambda mask: float(worth @ mask), rng=rng(), n_mixes=150)

    assert model.reason == ""
    assert model.rho is not None
    assert model.rho > 0.8
    gains = model.gains(members(features, model.tags))
    assert gains[helpful(features)].mean() > gains[~helpful(features)].mean()
    chosen = top_k(model, members(features, model.tags), 40, rng())
    assert helpful(features)[chosen].mean() > 0.9
    best = model.tags[int(np.argmax(model.tag_gains()))]
    assert (best.feature, best.label) in {("longer_length", "high"), ("length_difference", "high")}


def test_simulated_mixes_find_them_too() -> None:
    features = pool()
    worth = np.where(helpful(features), 1.0, -0.25)
    model = fit(features, lambda mask: float(worth @ mask), rng=rng(), n_mixes=150)

    chosen = simulated(model, members(features, model.tags), 40, rng())

    assert chosen.sum() == 40
    assert helpful(features)[chosen].mean() > 0.6  # at random a third


def test_the_best_mix_has_the_share_of_people_that_pays() -> None:
    # Performance is best with a third of the comparisons for people.
    features = pool()
    model = fit(features, lambda mask: -((mask.mean() - 1 / 3) ** 2), rng=rng(), n_mixes=150)

    assert best_mix(model, members(features, model.tags), rng()).mean() == pytest.approx(1 / 3, abs=0.12)


def test_a_quadratic_is_predicted_exactly_where_it_is_one() -> None:
    # The best share is half: a linear model would see nothing.
    features = pool()
    model = fit(features, lambda mask: -((mask.mean() - 0.5) ** 2), rng=rng(), n_mixes=150)

    assert model.rho is not None
    assert model.rho > 0.9


@pytest.mark.statistical
def test_noise_is_refused_with_a_reason() -> None:
    # Under noise ρ has a standard error of 1/sqrt(150) = .08: .3 is nearly four of them.
    noise = rng(3)
    model = fit(pool(), lambda mask: float(noise.normal()), rng=rng(), n_mixes=150)

    assert "does not predict" in model.reason
    with pytest.raises(ValueError, match="does not predict"):
        expected_gain(pool(), budget=5, rng=rng(), gain_model=model)  # type: ignore[arg-type]


def test_constant_performance_and_too_few_comparisons_are_refused() -> None:
    assert "same performance" in fit(pool(), lambda mask: 0.7, rng=rng(), n_mixes=30).reason
    assert "it takes 50" in fit(pool(20), lambda mask: 0.7, rng=rng()).reason
    alike = extract([Item(i, "p", "a", "b") for i in range(60)])
    assert "tells these comparisons apart" in fit(alike, lambda mask: 0.7, rng=rng()).reason
    with pytest.raises(ValueError, match="gain_model"):
        expected_gain(pool(), budget=5, rng=rng())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="n_mixes"):
        fit(pool(), lambda mask: 0.0, rng=rng(), n_mixes=3)


def fitted(n_mixes: int = 60) -> GainModel:
    worth = np.where(helpful(pool()), 1.0, -0.25)
    return fit(pool(), lambda mask: float(worth @ mask), rng=rng(), n_mixes=n_mixes)


def test_a_model_survives_json_and_the_same_seed_gives_the_same() -> None:
    told = json.loads(json.dumps(fitted().to_json()))

    assert GainModel.from_json(told).to_json() == fitted().to_json() == told
    with pytest.raises(ValueError, match="keys"):
        GainModel.from_json({"tags": []})


def test_the_health_of_a_model_says_what_the_budget_alone_does_not_explain() -> None:
    # Performance is the share of people and nothing else: ρ is high, and so it is within bands of the share, since
    # within them the share still varies; noise added to it leaves the bands with less.
    noise = rng(1)
    model = fit(pool(), lambda mask: float(mask.mean() + noise.normal(0, 0.1)), rng=rng(), n_mixes=150)

    assert model.rho is not None
    assert model.rho > 0.8
    assert len(model.rho_bands) == 3
    assert all(band is not None and band < model.rho for band in model.rho_bands)
    assert model.tried.keys() == {"top-k", "simulate", "random"}


def test_ranks_are_scipys() -> None:
    a, b = rng(1).integers(0, 5, 40).astype(float), rng(2).integers(0, 5, 40).astype(float)
    assert spearman(a, b) == pytest.approx(spearmanr(a, b).statistic)
    assert spearman(np.ones(5), b[:5]) is None


# The policy


def test_the_policy_sends_people_where_they_help_and_says_by_which_tags() -> None:
    decided = expected_gain(pool(), budget=40, rng=rng(), exploration=0, audit_share=0, gain_model=fitted(150))  # type: ignore[arg-type]
    chosen = np.array([d.route == "human" for d in decided])

    assert chosen.sum() == 40
    assert helpful(pool())[chosen].mean() > 0.6
    assert any("length" in d.reason for d in decided if d.route == "human")


def test_the_policy_keeps_its_slices_and_stops_at_a_budget_of_zero() -> None:
    model = fitted()
    decided = expected_gain(pool(), budget=40, rng=rng(), gain_model=model)  # type: ignore[arg-type]
    nothing = expected_gain(pool(), budget=0, rng=rng(), gain_model=model)  # type: ignore[arg-type]

    assert sum(d.audit for d in decided) == 4
    assert sum(d.explored for d in decided) == 4
    assert sum(d.route == "human" for d in decided) == 40
    assert not any(d.route == "human" for d in nothing)


def test_features_that_are_missing_later_are_coped_with() -> None:
    bare = extract([Item(i, "", "", "") for i in range(10)])
    decided = expected_gain(bare, budget=3, rng=rng(), gain_model=fitted())
    assert sum(d.route == "human" for d in decided) == 3


def test_reasons_name_the_tags_with_the_greatest_gain() -> None:
    model = fitted()
    told = why(model, np.zeros((1, len(model.tags)), dtype=bool), model.tag_gains())
    assert "no tag" in told[0]


# The proxy


def data(n: int = 200, d: int = 5) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    draw = rng(11)
    x, weights = draw.normal(size=(n, d)), np.arange(1, d + 1) / d
    target = (draw.random(n) < sigmoid(x @ weights)).astype(float)
    target[:20] = 0.5
    return x, target, weights


def test_the_proxy_is_at_scipys_optimum_of_the_same_likelihood() -> None:
    x, target, _ = data()

    def loss(w: np.ndarray) -> float:
        p = sigmoid(x @ w)
        return float(-(target * np.log(p) + (1 - target) * np.log(1 - p)).sum() + 0.7 / 2 * w @ w)

    found = bradley_terry(x, target, ridge=0.7)
    assert found.converged
    assert found.weights == pytest.approx(minimize(loss, np.zeros(5), tol=1e-10).x, abs=1e-4)


def test_a_warm_start_and_swapped_sides_change_nothing() -> None:
    x, target, _ = data()
    cold = bradley_terry(x, target).weights
    assert bradley_terry(x, target, start=np.full(5, 3.0)).weights == pytest.approx(cold, abs=1e-5)
    assert bradley_terry(-x, 1 - target).weights == pytest.approx(cold, abs=1e-5)


def test_separable_labels_and_no_rows_are_finite() -> None:
    x = np.array([[1.0], [2.0]])
    assert np.isfinite(bradley_terry(x, np.ones(2)).weights).all()
    assert bradley_terry(np.zeros((0, 2)), np.zeros(0)).weights.tolist() == [0, 0]
    with pytest.raises(ValueError, match="ridge"):
        bradley_terry(x, np.ones(2), ridge=0)


def test_rotating_the_features_loses_nothing() -> None:
    x, target, _ = data()
    turned = components(x, 5)
    assert turned @ bradley_terry(turned, target).weights == pytest.approx(
        x @ bradley_terry(x, target).weights, abs=1e-4
    )


def test_accuracy_leaves_out_what_people_leave_open_and_halves_what_the_model_does() -> None:
    found = accuracy(np.array([2.0, -1.0, 0.0, 1.0]), np.array([0.9, 0.9, 0.1, 0.5]))
    assert found[:3].tolist() == [1, 0, 0.5]
    assert np.isnan(found[3])


def test_better_labels_perform_better_and_no_label_measures_what_it_taught() -> None:
    # The judge says the opposite of people: all people beats half, half beats none.
    x, target, _ = data(400)
    measured = performance(x, target, 1 - target, folds=np.arange(400) % 5)
    everybody, nobody = np.ones(400, bool), np.zeros(400, bool)
    half = np.arange(400) % 2 == 0

    assert measured(everybody) > measured(half) > measured(nobody)
    # Labels at random teach nothing: out of fold they are below what no model (log 1/2) says.
    noise = (rng(5).random(400) < 0.5).astype(float)
    assert performance(x, noise, noise, folds=np.arange(400) % 5)(everybody) < np.log(0.5)
    with pytest.raises(ValueError, match="folds"):
        performance(x, target, target, folds=np.zeros(400, int))


def test_an_out_of_fold_margin_does_not_know_its_own_label() -> None:
    # Turning one label round changes the margins of the other folds and not its own fold's.
    x, target, _ = data(50)
    folds, turned = np.arange(50) % 5, target.copy()
    turned[7] = 1.0  # it was a tie
    before, after = out_of_fold(x, target, folds), out_of_fold(x, turned, folds)

    assert after[folds == 2] == pytest.approx(before[folds == 2], abs=1e-12)
    assert np.abs(after - before)[folds != 2].min() > 0

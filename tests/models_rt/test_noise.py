"""Training on doubtful labels: ensembles out of fold, peers, trajectories, treatments."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from models_rt.noise import TREATMENTS
from models_rt.noise.ensemble import MOST, ensemble, estimated_rate, partition, rate_from_agreement, trajectories
from models_rt.noise.items import SPREADS, chosen_spread
from models_rt.noise.material import Material, items_of, units_of
from models_rt.noise.peers import WARM_EPOCHS, keep_share, review
from models_rt.noise.treatments import Treated, doubtful, treat
from models_rt.records import PreferenceRow
from models_rt.rewards.config import TrainConfig
from models_rt.rewards.fitting import Columns, fit, fit_epochs, hard, inputs_of, margins, margins_array
from models_rt.rewards.heads import LinearHead, MlpHead
from models_rt.rewards.model import load
from models_rt.rewards.training import train

CONFIG = TrainConfig(embed=(), surface=("log_words",), l2=(0.01,), epochs=5, partitions=2, inner_folds=3)
NAMES = [f"u{i}" for i in range(1000)]
DIRECTION = np.array([2.0, -1.0, 0.5, 0.0])


def world(n: int = 400, wrong: float = 0.0, seed: int = 0) -> tuple[torch.Tensor, np.ndarray[Any, Any], list[str]]:
    """Differences [n, 4] whose chosen side is better by `DIRECTION`, except for the share that is turned round."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 4))
    x *= np.sign(x @ DIRECTION)[:, None]
    flipped = rng.random(n) < wrong
    x[flipped] *= -1
    return torch.from_numpy(x).float(), flipped, [f"g{i % 20}" for i in range(n)]


def auroc(score: np.ndarray[Any, Any], positive: np.ndarray[Any, Any]) -> float:
    """The share of pairs (positive, other) that the score puts in order."""
    difference = score[positive][:, None] - score[~positive][None, :]
    return float((difference > 0).mean() + (difference == 0).mean() / 2)


# Fitting


def test_both_ways_of_fitting_a_linear_head_lead_to_the_same_direction() -> None:
    inputs, _, _ = world()
    convex, _ = fit(inputs, hard(400), CONFIG, 0.05)
    stepped = fit_epochs(inputs, hard(400), replace(CONFIG, epochs=10, learning_rate=0.02), 0.05)
    a, b = convex.weight.detach(), stepped.weight.detach()
    assert torch.nn.functional.cosine_similarity(a, b, dim=0) > 0.999
    assert torch.linalg.norm(a - b) < 0.1 * torch.linalg.norm(a)


def test_an_offset_moves_the_loss_along_the_margin() -> None:
    # One pair with x = 1 and offset o: the loss -log σ(w - o) + l2 w²/2 has its optimum where σ(o - w) = l2 w.
    # For l2 = .1 and w = 2 that is σ(o - 2) = .2, so o = 2 + ln(.2/.8) = .6137.
    offset = 2 + math.log(0.25)
    columns = replace(hard(1), offsets=torch.tensor([offset]))
    head, _ = fit(torch.ones(1, 1), columns, CONFIG, 0.1)
    assert head.weight.item() == pytest.approx(2.0, abs=1e-3)


def test_a_hidden_layer_learns_what_no_linear_head_can() -> None:
    # The completion whose feature is nearer to 0 wins: antisymmetric, and no weight tells it.
    rng = np.random.default_rng(0)
    raw = rng.normal(size=(800, 1)).astype(np.float32)
    swap = np.abs(raw[::2]) > np.abs(raw[1::2])
    chosen, rejected = np.where(swap, raw[1::2], raw[::2]), np.where(swap, raw[::2], raw[1::2])
    raw = np.stack([chosen, rejected], axis=1).reshape(-1, 1)
    right = {}
    for name in ("linear", "mlp"):
        config = replace(CONFIG, head=name, epochs=15, learning_rate=0.02)
        inputs = inputs_of(raw, np.ones(1, np.float32), config)
        head, _ = fit(inputs, hard(400), config, 1e-4)
        right[name] = float((margins_array(head, inputs) > 0).mean())
    assert right["linear"] < 0.65
    assert right["mlp"] > 0.9


def test_the_hidden_layer_by_hand_and_its_margin_turns_round_with_the_sides() -> None:
    # W = [[1, 0], [0, -1]], b = [0, 1], v = [2, 3] at (1, 2): 2·max(0, 1) + 3·max(0, -2 + 1) = 2; at (-1, 0): 3.
    head = MlpHead(2, hidden=2)
    with torch.no_grad():
        head.inner.copy_(torch.tensor([[1.0, 0.0], [0.0, -1.0]]))
        head.bias.copy_(torch.tensor([0.0, 1.0]))
        head.outer.copy_(torch.tensor([2.0, 3.0]))
    pair = torch.tensor([[[1.0, 2.0], [-1.0, 0.0]]])
    assert head(pair[0]).tolist() == [2.0, 3.0]
    assert margins(head, pair).tolist() == [-1.0]
    assert margins(head, pair.flip(1)).tolist() == [1.0]


def test_fitting_is_the_same_for_the_same_seed_and_draws_nothing_from_the_global_one() -> None:
    inputs, _, _ = world(60)
    state = torch.random.get_rng_state()
    first, again, other = (fit_epochs(inputs, hard(60), CONFIG, 0.01, seed=s).weight.tolist() for s in (1, 1, 2))
    assert first == again != other
    assert torch.equal(state, torch.random.get_rng_state())


def test_a_pair_of_no_weight_teaches_nothing() -> None:
    inputs = torch.tensor([[1.0], [-50.0]])
    columns = replace(hard(2), weights=torch.tensor([1.0, 0.0]))
    assert fit(inputs, columns, CONFIG, 0.1)[0].weight.item() > 0
    assert fit_epochs(inputs, columns, replace(CONFIG, epochs=20), 0.1).weight.item() > 0


# Ensembles


def test_each_margin_comes_from_a_head_that_did_not_see_the_group() -> None:
    # Flipping every label of one group cannot move that group's own margins but by their sign.
    inputs, _, groups = world(120)
    own = torch.tensor([g == "g3" for g in groups])
    turned = torch.where(own[:, None], -inputs, inputs)
    before, after = (ensemble(Material(x, hard(120), groups), CONFIG, 0.01) for x in (inputs, turned))
    assert before.shape == (2, 120)
    assert after[:, own.numpy()] == pytest.approx(-before[:, own.numpy()], abs=1e-4)
    assert not np.allclose(after[:, ~own.numpy()], before[:, ~own.numpy()], atol=1e-3)


def test_partitions_differ_and_one_group_alone_has_no_margins() -> None:
    inputs, _, groups = world(120, wrong=0.2)
    found = ensemble(Material(inputs, hard(120), groups), CONFIG, 0.01)
    assert not np.allclose(found[0], found[1])
    assert np.isnan(ensemble(Material(inputs, hard(120), ["one"] * 120), CONFIG, 0.01)).all()
    assert partition(Material(inputs[:0], hard(0), []), CONFIG, 0.01, 0).shape == (0,)


def test_an_ensemble_finds_flipped_labels_and_how_many_there_are() -> None:
    inputs, flipped, groups = world(2000, wrong=0.25)
    found = ensemble(Material(inputs, hard(2000), groups), CONFIG, 0.01).mean(axis=0)
    assert auroc(-found, flipped) > 0.95
    assert estimated_rate(found).value == pytest.approx(0.25, abs=0.05)


def test_the_estimated_rate_by_hand() -> None:
    # Probabilities .9, .8, .5, .2: mean .6. The others' .1, .2, .5, .8: only the last reaches it, 1 of 3 counted.
    probability = np.array([0.9, 0.8, 0.5, 0.2])
    rate = estimated_rate(np.append(np.log(probability / (1 - probability)), np.nan))
    assert rate == (pytest.approx(1 / 3), pytest.approx(0.6))
    assert estimated_rate(np.full(3, -5.0)).value == MOST
    assert estimated_rate(np.zeros(0)).value == 0


def test_the_rate_from_agreement_inverts_two_raters_of_one_error_rate() -> None:
    # Both right or both wrong: a = (1 - η)² + η². For η = .2 that is .68; chance agreement is η = 1/2.
    assert rate_from_agreement(0.68) == pytest.approx(0.2)
    assert rate_from_agreement(1.0) == 0
    assert rate_from_agreement(0.5) == 0.5
    with pytest.raises(ValueError, match="agreement"):
        rate_from_agreement(0.4)


def test_trajectories_are_of_pairs_that_the_learning_head_never_sees() -> None:
    inputs, flipped, groups = world(600, wrong=0.3)
    found = trajectories(Material(inputs, hard(600), groups), CONFIG, 0.01)
    assert found.shape == (CONFIG.epochs, 600)
    assert auroc(-found.mean(axis=0), flipped) > 0.9
    own = torch.tensor([g == "g3" for g in groups])
    turned = trajectories(Material(torch.where(own[:, None], -inputs, inputs), hard(600), groups), CONFIG, 0.01)
    assert turned[:, own.numpy()] == pytest.approx(-found[:, own.numpy()], abs=1e-4)


# Recurring completions


def tournament(n: int = 900, wrong: float = 0.2) -> tuple[Material, np.ndarray[Any, Any]]:
    """Pairs among 40 completions whose quality no feature tells: only what they won elsewhere does."""
    rng = np.random.default_rng(8)
    pairs = np.array([rng.choice(40, 2, replace=False) for _ in range(n)])
    pairs.sort(axis=1)
    flipped = rng.random(n) < wrong  # the lower number is the better one
    pairs[flipped] = pairs[flipped, ::-1]
    units = [f"{min(p)}-{max(p)}" for p in pairs.tolist()]
    inputs = torch.from_numpy(rng.normal(size=(n, 3))).float()
    return Material(inputs, hard(n), units, torch.from_numpy(pairs)), flipped


def test_what_completions_won_elsewhere_finds_flips_that_no_feature_tells() -> None:
    material, flipped = tournament()
    blind = ensemble(replace(material, items=None), CONFIG, 0.01).mean(axis=0)
    assert auroc(-blind, flipped) < 0.6
    assert auroc(-ensemble(material, CONFIG, 0.01).mean(axis=0), flipped) > 0.9


def test_completions_that_never_recur_change_nothing() -> None:
    inputs, _, groups = world(80)
    once = Material(inputs, hard(80), groups, torch.arange(160).reshape(80, 2))
    assert not once.recurring
    twice = replace(once, items=torch.tensor([[0, 1], [1, 0]] * 40))  # the same two texts again are no second witness
    assert not twice.recurring
    assert np.array_equal(ensemble(once, CONFIG, 0.01), ensemble(replace(once, items=None), CONFIG, 0.01))


def test_the_spread_is_the_smallest_within_a_standard_error_of_the_best() -> None:
    # Losses at margin m of a certain label: ln(1 + e^-m). All equal: 0. One clearly best for every pair: that one.
    n = 50
    assert chosen_spread(np.ones((len(SPREADS), n)), np.ones(n)) == 0
    clear = np.zeros((len(SPREADS), n))
    clear[2] = 3
    assert chosen_spread(clear, np.ones(n)) == 2
    # Better on one pair (by .64), worse on another (by .62): a mean gain of .0005 beside a standard error of .018.
    lucky = np.zeros((len(SPREADS), n))
    lucky[3, :2] = 3, -1
    assert chosen_spread(lucky, np.ones(n)) == 0


def test_equal_texts_under_one_prompt_are_one_completion_and_their_pair_stays_whole() -> None:
    made = [
        PreferenceRow("1", (), "x", "y", None, 1.0, "train", "g"),
        PreferenceRow("2", (), "y", "x", None, 1.0, "train", "h"),
        PreferenceRow("3", ({"role": "user", "content": "q"},), "x", "y", None, 1.0, "train", "g"),
    ]
    items = items_of(made)
    assert items.tolist() == [[0, 1], [1, 0], [2, 3]]
    assert units_of(made, items, CONFIG) == ["0-1", "0-1", "2-3"]
    assert units_of(made, items, replace(CONFIG, noise_folds="group")) == ["g", "h", "g"]
    assert items_of([]).shape == (0, 2)


# Peers


def test_the_share_that_teaches_sinks_linearly_to_what_is_not_noise() -> None:
    assert [keep_share(epoch, 0.3) for epoch in range(5)] == pytest.approx([1, 0.9, 0.8, 0.7, 0.7])


def test_peers_find_more_of_heavy_noise_than_a_model_that_believes_every_label() -> None:
    # 600 pairs and 64 hidden units: enough freedom to learn noise by heart.
    rng = np.random.default_rng(0)
    x = rng.normal(size=(600, 20))
    x *= np.sign(x[:, :4] @ DIRECTION)[:, None]
    flipped = rng.random(600) < 0.3
    x[flipped] *= -1
    inputs = torch.from_numpy(np.stack([x / 2, -x / 2], axis=1)).float()
    config = replace(CONFIG, head="mlp", epochs=10, learning_rate=0.01, l2=(1e-4,))
    alone = margins_array(fit_epochs(inputs, hard(600), config, 1e-4), inputs)
    together = review(Material(inputs, hard(600), NAMES[:600]), config, 0.3)
    assert auroc(-together.margins.mean(axis=0), flipped) > auroc(-alone, flipped) + 0.03
    assert together.kept[~flipped].mean() > together.kept[flipped].mean() + 0.3


def test_peers_start_apart_share_batches_and_repeat_by_seed() -> None:
    inputs, _, _ = world(100, wrong=0.2)
    first, again = (review(Material(inputs, hard(100), NAMES[:100]), CONFIG, 0.2) for _ in range(2))
    assert np.array_equal(first.trajectory, again.trajectory)
    assert not np.allclose(first.trajectory[0, 0], first.trajectory[0, 1])
    assert first.trajectory.shape == (CONFIG.epochs, 2, 100)
    assert not np.array_equal(
        first.trajectory, review(Material(inputs, hard(100), NAMES[:100]), CONFIG, 0.2, seed=1).trajectory
    )


def test_without_noise_every_pair_teaches_and_one_alone_does_too() -> None:
    inputs, _, _ = world(50)
    assert (review(Material(inputs, hard(50), NAMES[:50]), CONFIG, 0.0).kept == 1).all()
    assert review(Material(inputs[:1], hard(1), ["u"]), CONFIG, 0.4).kept.tolist() == [1]
    short = review(Material(inputs, hard(50), NAMES[:50]), replace(CONFIG, epochs=WARM_EPOCHS), 0.4)
    assert np.isnan(short.kept).all()


def test_a_pair_of_no_weight_is_margined_but_never_teaches() -> None:
    inputs, _, _ = world(50)
    columns = replace(hard(50), weights=torch.arange(50) < 40)
    found = review(Material(inputs, columns, NAMES[:50]), CONFIG, 0.2)
    assert np.isnan(found.kept[40:]).all()
    assert not np.isnan(found.margins).any()


# Treatments


def treated(noise: str, wrong: float = 0.3, **changes: Any) -> tuple[Treated, np.ndarray[Any, Any]]:
    inputs, flipped, groups = world(600, wrong)
    return treat(Material(inputs, hard(600), groups), replace(CONFIG, noise=noise, **changes), 0.01), flipped


def test_doubtful_are_the_lowest_and_equal_ones_in_their_order() -> None:
    assert doubtful(np.array([0.5, -1.0, 2.0, -1.0]), 0.25).tolist() == [False, True, False, False]
    assert not doubtful(np.zeros(0), 0.3).any()


def test_dropping_leaves_fewer_wrong_labels_and_says_how_many_went() -> None:
    found, flipped = treated("drop")
    assert flipped[found.pairs.numpy()].mean() < 0.08
    assert found.facts["dropped"] == 600 - len(found.pairs)
    assert found.facts["rate"] == pytest.approx(0.3, abs=0.06)
    assert found.facts["estimated"]


def test_a_given_rate_is_taken_at_its_word() -> None:
    found, _ = treated("drop", noise_rate=0.1)
    assert (found.facts["dropped"], found.facts["rate"], found.facts["estimated"]) == (60, 0.1, False)


def test_flipping_turns_round_only_what_two_models_confidently_contradict() -> None:
    found, flipped = treated("flip")
    turned = found.columns.targets == 0
    assert int(turned.sum()) == found.facts["flipped"] > 0
    assert flipped[found.pairs[turned].numpy()].mean() > 0.9
    one, _ = treated("flip", partitions=1)
    assert one.facts["flipped"] == 0  # one model is no agreement


def test_softening_keeps_every_pair_and_margins_ask_the_others_for_the_ensembles_mean() -> None:
    soft, _ = treated("soften", soften=0.4)
    assert len(soft.pairs) == 600
    assert sorted({round(t, 4) for t in soft.columns.targets.tolist()}) == [0.6, 1.0]
    assert (soft.columns.offsets == 0).all()
    both, _ = treated("soften-margin")
    assert (both.columns.offsets[both.columns.targets < 1] == 0).all()
    assert (both.columns.offsets[both.columns.targets == 1] != 0).all()
    margin, _ = treated("margin")
    assert (margin.columns.targets == 1).all()
    assert (margin.columns.offsets < 0).any()


def test_flipped_pairs_are_asked_for_the_margin_on_their_new_side() -> None:
    found, _ = treated("flip-margin")
    assert (found.columns.offsets[found.columns.targets == 0] < -1).all()


def test_peer_review_drops_over_all_pairs_and_then_orders_from_easy_to_hard() -> None:
    inputs, flipped, groups = world(600, 0.3)
    found = treat(Material(inputs, hard(600), groups), replace(CONFIG, noise="peer-review"), 0.01)
    assert found.ordered
    assert flipped[found.pairs.numpy()].mean() < 0.08
    strength = np.abs(inputs.numpy() @ DIRECTION)[found.pairs.numpy()]
    third = len(strength) // 3
    assert strength[:third].mean() > 2 * strength[-third:].mean()


def test_labels_that_cannot_be_held_out_are_believed() -> None:
    inputs, _, _ = world(30)
    for noise in TREATMENTS:
        found = treat(Material(inputs, hard(30), ["one"] * 30), replace(CONFIG, noise=noise), 0.01)
        assert (len(found.pairs), found.facts) == (30, {})


def test_settings_that_mean_nothing_are_refused() -> None:
    for wrong in ({"noise": "magic"}, {"noise_rate": 0.5}, {"soften": 0.6}, {"epochs": 0}, {"learning_rate": 0.0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            TrainConfig(**wrong)  # type: ignore[arg-type]


# Through `train`


def rows(n: int = 240, wrong: float = 0.3) -> list[PreferenceRow]:
    """The longer completion is chosen, except for the share that is turned round."""
    rng = np.random.default_rng(5)
    made = []
    for i in range(n):
        pair = ["word " * int(rng.integers(20, 60)), "word " * int(rng.integers(1, 15))]
        chosen, rejected = pair[::-1] if rng.random() < wrong else pair
        made.append(PreferenceRow(f"r{i}", (), chosen, rejected, None, 1.0, "train", f"g{i % 12}"))
    return made


@pytest.mark.parametrize("noise", list(TREATMENTS))
def test_every_treatment_trains_a_model_that_records_it(noise: str) -> None:
    config = replace(CONFIG, surface=("log_words", "log_digits"), noise=noise)
    result = train(rows(), config)
    assert result.model.reward((), "word " * 40) > result.model.reward((), "word " * 5)
    assert result.model.facts["noise"].get("treatment", "none") == noise


def test_treated_training_repeats_and_a_hidden_layer_is_saved_and_loaded_whole(tmp_path: Any) -> None:
    config = replace(CONFIG, surface=("log_words", "log_digits"), head="mlp", noise="peer-review", l2=(1e-3,), epochs=2)
    one, two = (train(rows(60), config).model for _ in range(2))
    assert one.name == two.name
    one.save(tmp_path)
    back = load(tmp_path)
    assert isinstance(back.head, MlpHead)
    assert back.reward((), "some words here") == one.reward((), "some words here")


def test_heads_draw_their_start_from_the_generator_alone() -> None:
    for kind in (LinearHead, MlpHead):
        starts = []
        for _ in range(2):
            head = kind(6)
            head.reset(torch.Generator().manual_seed(4))
            starts.append(torch.cat([p.flatten() for p in head.parameters()]))
        assert torch.equal(*starts)
        assert starts[0].abs().sum() > 0


def test_columns_of_some_pairs_keep_their_places() -> None:
    columns = Columns(torch.tensor([1.0, 0.5, 0.0]), torch.ones(3), torch.tensor([0.0, 1.0, 2.0]))
    part = columns.of(torch.tensor([2, 1]))
    assert (part.targets.tolist(), part.offsets.tolist()) == ([0.0, 0.5], [2.0, 1.0])

"""Ties as an outcome of their own, and margins that the chosen completion is to be ahead by."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from models_rt.records import PreferenceRow
from models_rt.rewards.config import TrainConfig, from_mapping
from models_rt.rewards.objectives import BradleyTerry, RaoKupper
from models_rt.rewards.training import data_hash, train

CONFIG = TrainConfig(embed=(), surface=("log_words",), l2=(0.01,))
ONE, NONE = torch.ones(1), torch.zeros(1)


def row(n: int, chosen: int, rejected: int, *, probability: float = 1.0, tie: float = 0.0) -> PreferenceRow:
    texts = ("word " * chosen, "word " * rejected)
    prompt = ({"role": "user", "content": "q"},)
    return PreferenceRow(f"r{n}", prompt, *texts, 3.0, 1.0, "train", f"g{n % 3}", probability, tie)  # type: ignore[arg-type]


def test_rao_kupper_gives_hand_derived_values() -> None:
    # α = ln 3, d = 0: σ(-ln 3) = 1/4 for each side, and 1/2 for a tie.
    loss, alpha = RaoKupper(), math.log(3)
    assert loss(NONE, ONE, None, NONE, alpha).item() == pytest.approx(math.log(4))
    assert loss(NONE, ONE / 2, None, ONE, alpha).item() == pytest.approx(math.log(2))
    # d = ln 3: chosen σ(0) = 1/2, rejected σ(-2 ln 3) = 1/10, a tie the rest, 4/10.
    assert loss(ONE * alpha, ONE / 2, None, ONE, alpha).item() == pytest.approx(math.log(10 / 4))
    # .6 chosen, .2 tied, .2 rejected: the label is .7.
    mixed = -(0.6 * math.log(0.5) + 0.2 * math.log(0.4) + 0.2 * math.log(0.1))
    assert loss(ONE * alpha, 0.7 * ONE, None, 0.2 * ONE, alpha).item() == pytest.approx(mixed)


def test_the_three_outcomes_have_all_of_the_probability() -> None:
    d = torch.linspace(-5, 5, 21, dtype=torch.float64)
    outcomes = ((1.0, 0.0), (0.0, 0.0), (0.5, 1.0))
    each = [
        [
            math.exp(-RaoKupper()(x[None], torch.full((1,), p).double(), None, torch.full((1,), t).double(), 0.7))
            for x in d
        ]
        for p, t in outcomes
    ]
    assert np.sum(each, axis=0) == pytest.approx(1)


def test_without_ties_it_is_bradley_terry() -> None:
    d, p, w = torch.tensor([0.3, -2.0]), torch.tensor([0.9, 0.4]), torch.tensor([1.0, 3.0])
    assert RaoKupper()(d, p, w, torch.zeros(2), 0.0).item() == pytest.approx(BradleyTerry()(d, p, w).item())


def test_its_gradient_checks_and_is_finite_for_extreme_margins() -> None:
    d = torch.tensor([0.3, -2.0, 5.0], dtype=torch.float64, requires_grad=True)
    p, t = torch.tensor([0.9, 0.5, 0.3]).double(), torch.tensor([0.1, 1.0, 0.0]).double()
    assert torch.autograd.gradcheck(lambda m: RaoKupper()(m, p, p, t, 0.4), (d,))
    assert torch.isfinite(RaoKupper()(torch.tensor([1e4, -1e4]), torch.ones(2) / 2, None, torch.ones(2), 0.4))


def test_the_threshold_gives_equals_their_share_of_ties() -> None:
    # At d = 0 a tie has 1 - 2 σ(-α).
    alpha = RaoKupper.threshold(0.3)
    assert 1 - 2 / (1 + math.exp(alpha)) == pytest.approx(0.3)


def test_training_with_ties_finds_the_optimum_of_the_likelihood() -> None:
    # One feature, the difference of log words: scipy on the same penalised likelihood agrees.
    generator = np.random.default_rng(3)
    rows = [
        row(n, 1 + int(generator.integers(1, 30)), 1 + int(generator.integers(1, 30)), probability=p, tie=t)
        for n, (p, t) in enumerate([(0.9, 0.1), (0.5, 1.0), (0.6, 0.0), (0.7, 0.4)] * 10)
    ]
    result = train(rows, replace(CONFIG, ties=True))
    x = np.array([math.log(len(r.chosen.split()) + 1) - math.log(len(r.rejected.split()) + 1) for r in rows])
    p, t = np.array([r.probability for r in rows]), np.array([r.tie for r in rows])
    alpha = 2 * math.atanh(t.mean())
    weight = next(iter(result.model.head.parameters())).item() / result.model.scale.item()

    def loss(w: float, deviation: float) -> float:
        d = w * x
        chosen, rejected = -np.log1p(np.exp(alpha - d)), -np.log1p(np.exp(alpha + d))
        told = (p + t / 2) * chosen + (1 - p + t / 2) * rejected + t * math.log(math.expm1(2 * alpha))
        return float(-told.mean() + 0.005 * (w * deviation) ** 2)

    deviation = float(result.model.scale.item())
    best = minimize(lambda w: loss(w[0], deviation), [0.0]).x[0]
    assert loss(weight, deviation) == pytest.approx(loss(best, deviation), abs=1e-5)  # in float32


def test_a_tie_draws_rewards_together() -> None:
    apart = [row(n, 20, 2) for n in range(8)]
    ties = [row(n, 20, 2, probability=0.5, tie=1.0) for n in range(8, 16)]

    def weight(rows: list[PreferenceRow]) -> float:
        return float(next(iter(train(rows, replace(CONFIG, ties=True)).model.head.parameters())).item())

    assert 0 < weight(apart + ties) < weight(apart)


def test_a_margin_sets_chosen_further_ahead() -> None:
    rows = [row(n, 6 + n, 3 + n // 2) for n in range(8)] + [row(n, 2, 5) for n in range(8, 10)]

    def weight(margin: float) -> float:
        return float(next(iter(train(rows, replace(CONFIG, margin=margin)).model.head.parameters())).item())

    assert weight(1 / 3) > weight(0.0) > 0


def test_rows_without_ties_have_the_hash_that_they_always_had() -> None:
    assert (
        data_hash([row(1, 2, 3)]) == "c5966e11568d76057721b29083911fd90a23f774a54b8e68d65a37efed24bd7c"
    )  # by json and hashlib, before there were ties
    assert data_hash([row(1, 2, 3, tie=0.1)]) != data_hash([row(1, 2, 3)])


@pytest.mark.parametrize("wrong", [{"ties": True, "soft_labels": False}, {"margin": -0.1}])
def test_contradictory_labels_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="expected"):
        from_mapping(wrong)

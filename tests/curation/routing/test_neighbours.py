"""Similar, verified comparisons: trust by them, and what they ask for next."""

from __future__ import annotations

import numpy as np
import pytest

from curation.routing.neighbours import ROLES, error_driven, k_rule, nearest, novelty, require_apart, split_gold, trust

AXES = np.eye(3)


def test_nearest_by_cosine_whatever_the_length_of_the_vectors() -> None:
    near = nearest(np.array([[2.0, 1.0, 0.0]]), 5 * AXES, 2)

    assert near.place.tolist() == [[0, 1]]
    assert near.similarity[0] == pytest.approx(np.array([2, 1]) / np.sqrt(5))


def test_fewer_known_than_asked_for_are_padded_and_a_zero_vector_is_near_to_nothing() -> None:
    near = nearest(AXES[:1], AXES[:1], 3)
    assert near.place.tolist() == [[0, -1, -1]]
    assert np.isnan(near.similarity[0, 1:]).all()
    assert nearest(np.zeros((1, 3)), AXES, 1).similarity[0, 0] == 0


def test_blocks_change_nothing() -> None:
    draw = np.random.default_rng(0)
    queries, known = draw.normal(size=(50, 4)), draw.normal(size=(20, 4))
    whole, parts = nearest(queries, known, 3), nearest(queries, known, 3, block=7)
    assert (whole.place == parts.place).all()
    assert whole.similarity == pytest.approx(parts.similarity)


def test_trust_is_a_beta_posterior_by_hand() -> None:
    # Verified: agreed 1, 0, 1, of which the mean is 2/3, with the weight of 4: 8/3 of 4. A query at the first: it
    # counts 1, the others 0: (8/3 + 1) / 5 = .7333. At the second: (8/3 + 0) / 5 = .5333.
    found = trust(nearest(AXES, AXES, 3), [1, 0, 1])

    assert found.mean[:2] == pytest.approx([11 / 15, 8 / 15])
    assert found.weight == pytest.approx([1, 1, 1])
    assert found.low[0] == pytest.approx(11 / 15 - 2 * np.sqrt(11 / 15 * 4 / 15 / 6))


def test_a_neighbour_counts_as_much_as_it_is_similar() -> None:
    # Cosine .8 with a floor of .6 counts one half.
    found = trust(nearest([[0.8, 0.6]], [[1.0, 0.0]], 1), [1.0], floor=0.6, prior_weight=1)
    assert found.weight[0] == pytest.approx(0.5)


def test_without_verified_comparisons_there_is_no_trust_and_without_neighbours_it_is_the_mean() -> None:
    assert np.isnan(trust(nearest(AXES, np.zeros((0, 3)), 2), []).mean).all()
    assert np.isnan(trust(nearest(AXES, AXES, 2), [np.nan] * 3).mean).all()
    far = trust(nearest(-AXES[:1], AXES, 2), [1.0, 0.5, 0.0])
    assert (far.mean[0], far.weight[0]) == (0.5, 0)


def test_novelty_is_the_distance_to_the_nearest() -> None:
    assert novelty(nearest([[0.6, 0.8]], np.eye(2), 2)) == pytest.approx([0.2])
    assert np.isnan(novelty(nearest(AXES, np.zeros((0, 3)), 1))).all()


def test_the_k_rule() -> None:
    # p <= .5 is wrong: all 8. .6 → ceil(3.2) = 4, .9 → ceil(.8) = 1, 1 → 0.
    assert k_rule([0.1, 0.5, 0.6, 0.75, 0.9, 1.0]).tolist() == [8, 8, 4, 2, 1, 0]


def test_the_worst_mistake_comes_first_and_nothing_twice() -> None:
    pool = np.array([[1.0, 0.1], [0.9, 0.4], [0.1, 1.0], [0.4, 0.9]])
    gold = np.array([[0.0, 1.0], [1.0, 0.0], [1.0, 0.05]])

    wanted = error_driven(nearest(gold, pool, 2), [0.9, 0.2, 0.4], k_max=2)

    assert [w.place for w in wanted] == [0, 1, 2]  # two for the worst; the next finds the same; one for the right one
    assert [w.because for w in wanted] == [1, 1, 0]


def test_gold_has_one_role_and_a_group_is_never_split() -> None:
    groups = [i // 3 for i in range(300)]
    roles = split_gold(groups, rng=np.random.default_rng(0))

    assert all(len({roles[i] for i in range(g * 3, g * 3 + 3)}) == 1 for g in range(100))
    assert [roles.count(role) for role in ROLES] == pytest.approx([120, 60, 120], abs=3)
    assert roles == split_gold(groups, rng=np.random.default_rng(0))


def test_gold_for_retrieval_must_not_evaluate() -> None:
    require_apart(["x"], ["y"])
    with pytest.raises(ValueError, match="retrieval"):
        require_apart(["x", "y"], ["y"])


def test_what_is_no_share_is_refused() -> None:
    near = nearest(AXES, AXES, 1)
    with pytest.raises(ValueError, match="agreed"):
        trust(near, [2, 0, 0])
    with pytest.raises(ValueError, match="shares"):
        split_gold([], rng=np.random.default_rng(0), shares=(1, 1, 1))
    with pytest.raises(ValueError, match="probabilities"):
        k_rule([1.2])

"""Near-duplicates by embeddings, held against all pairs and against the angles that they were made with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest

from curation.exports import near_vectors
from curation.exports.near import Near
from curation.exports.near_vectors import BANDS, NearVectors, Projections

Array = npt.NDArray[np.float64]


def told(vectors: Sequence[npt.ArrayLike | None], threshold: float = 0.95) -> NearVectors:
    found = NearVectors(threshold)
    for vector in vectors:
        found.add(vector)
    return found


def find(vectors: Sequence[npt.ArrayLike | None], threshold: float = 0.95) -> Near:
    return told(vectors, threshold).find()


def planted(rng: np.random.Generator, n: int, d: int = 64, cosine: float = 0.97) -> tuple[Array, list[int]]:
    """Random directions; every fourth is one before it turned by the angle of the cosine. Returns whose."""
    vectors, of = rng.standard_normal((n, d)), [-1] * n
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    for i in range(3, n, 4):
        of[i] = int(rng.integers(i // 4 + 1)) * 4
        away = vectors[i] - (vectors[i] @ vectors[of[i]]) * vectors[of[i]]
        vectors[i] = cosine * vectors[of[i]] + np.sqrt(1 - cosine**2) * away / np.linalg.norm(away)
    return vectors, of


def test_what_repeats_what_by_hand() -> None:
    # The cosine of (1, 0) and (1, 0.2) is 1 / sqrt(1.04).
    found = find([[1, 0], [0, 1], [5, 1], [2, 0], None, [0, 0]])
    assert found.first.tolist() == [-1, -1, 0, 0, -1, -1]
    assert found.similarity[2] == pytest.approx(1 / np.sqrt(1.04), abs=1e-3)
    assert found.similarity[3] == 1
    assert np.isnan(found.similarity[[0, 1, 4, 5]]).all()


def test_of_all_pairs_those_are_found_that_were_planted() -> None:
    vectors, of = planted(np.random.default_rng(1), 400)
    found = find(list(vectors))
    assert found.first.tolist() == of
    assert found.similarity[3::4] == pytest.approx(np.full(100, 0.97), abs=1e-3)


def test_many_vectors_are_found_by_their_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, of = planted(np.random.default_rng(2), 4_000)
    monkeypatch.setattr(near_vectors, "EXACT", 0)
    first = find(list(vectors)).first
    missed = [i for i in range(len(of)) if first[i] != of[i]]
    # At 0.97, above the threshold of 0.95, fewer than 1 of 100 pairs share no band: of 1,000 a handful.
    assert len(missed) <= 8
    assert all(first[i] in (of[i], -1) for i in missed)


def test_many_equal_vectors_are_all_repeats_of_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near_vectors, "EXACT", 0)
    first = find([[1.0, 2.0, 3.0]] * 3_000).first
    assert first.tolist() == [-1] + [0] * 2_999


def test_a_bundle_of_alike_vectors_is_no_square(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near_vectors, "EXACT", 0)
    rng = np.random.default_rng(3)
    bundle = np.ones(64) + 0.05 * rng.standard_normal((3_000, 64))
    assert (find(list(bundle)).first >= 0).sum() == 2_999


def test_what_is_near_only_what_is_left_out_stays() -> None:
    turned = [[np.cos(x), np.sin(x)] for x in (0.0, 0.25, 0.5, 3.0)]  # 0.25 of arc is a cosine of 0.97
    assert find(turned).first.tolist() == [-1, 0, -1, -1]


@pytest.mark.parametrize(("threshold", "exact"), [(0.95, 200), (0.9, 0)])  # low ones are held so where many are
def test_few_vectors_say_what_the_definition_says(
    threshold: float, exact: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(near_vectors, "BLOCK", 8 * 32)  # several blocks of 32
    monkeypatch.setattr(near_vectors, "EXACT", exact)
    vectors = np.random.default_rng(4).standard_normal((200, 3))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    first: list[int] = []
    for i in range(len(vectors)):
        kept = [(vectors[i] @ vectors[j], j) for j in range(i) if first[j] < 0]
        best = max(kept, default=(0.0, -1))
        first.append(best[1] if best[0] >= threshold else -1)
    assert sum(j >= 0 for j in first) > 100
    assert find(list(vectors), threshold).first.tolist() == first


@pytest.mark.parametrize("vectors", [[], [None], [[0.0, 0.0]], [[1.0, 0.0]]])
def test_edges(vectors: list[list[float] | None]) -> None:
    assert find(vectors).first.tolist() == [-1] * len(vectors)


@pytest.mark.parametrize("vector", [[1.0], [1.0, float("nan")], [1.0, float("inf")], [[1.0, 0.0]]])
def test_a_vector_of_another_kind_is_refused(vector: npt.ArrayLike) -> None:
    found = told([[1.0, 0.0]])
    with pytest.raises(ValueError, match="2 finite numbers"):
        found.add(vector)


@pytest.mark.parametrize("threshold", [0.0, 1.5, float("nan")])
def test_a_threshold_that_is_no_cosine_is_refused(threshold: float) -> None:
    with pytest.raises(ValueError, match="a cosine above 0"):
        Projections.of(threshold)


@pytest.mark.parametrize("threshold", [0.5, 0.8, 0.9, 0.95, 0.99, 1.0])
def test_bands_are_shared_by_99_of_100_pairs_at_the_threshold(threshold: float) -> None:
    agree = 1 - np.arccos(threshold) / np.pi
    assert 1 - (1 - agree ** Projections.of(threshold).bits) ** BANDS >= 0.99


def test_a_vector_is_looked_at_again_while_what_it_is_near_repeats_another() -> None:
    # 1 is near 0, 2 near 1 alone, 3 near 2: 1 and 3 repeat what is kept, 2 does not.
    pairs = near_vectors.packed(np.array([2, 0, 1]), np.array([3, 1, 2]))
    assert near_vectors._repeating(pairs, 5).tolist() == [False, True, False, True, False]


def test_signs_are_the_same_however_vectors_are_cut_into_blocks() -> None:
    vectors = np.random.default_rng(5).standard_normal((300, 384)).astype(np.float16)
    projections = Projections.of(0.95)
    one_by_one = np.concatenate([projections.keys(vectors[i : i + 1]) for i in range(len(vectors))])
    assert (projections.keys(vectors) == one_by_one).all()


@pytest.mark.parametrize("threshold", [0.8, 0.9, 0.95, 1.0])
def test_signs_hardly_ever_rule_out_a_pair_at_the_threshold(threshold: float) -> None:
    rng, projections = np.random.default_rng(6), Projections.of(threshold)
    vectors = rng.standard_normal((500, 64))
    away = rng.standard_normal((500, 64))
    away -= (away * vectors).sum(axis=1, keepdims=True) / (vectors**2).sum(axis=1, keepdims=True) * vectors
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True) / np.linalg.norm(away, axis=1, keepdims=True)
    turned = threshold * vectors + np.sqrt(1 - threshold**2) * away * lengths
    a, b = (projections.keys(each.astype(np.float16))[:, : near_vectors.PROBED] for each in (vectors, turned))
    # Of 500 pairs, 3 standard deviations leave out less than one on average.
    assert (np.bitwise_count(a ^ b).sum(axis=1) > projections.apart).sum() <= 4

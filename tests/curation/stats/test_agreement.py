"""Agreement against published and hand-derived values, and against the facts of real data."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.stats import Votes, krippendorff_alpha, pairwise_agreement
from curation.stats.agreement import Level

SHARED = Path(__file__).resolve().parents[3] / "../shared/data"

# Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), section C: four observers, twelve units,
# absent values as None; alpha is printed as .743 nominal, .815 ordinal, .849 interval.
PUBLISHED = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
    [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
]

Triples = tuple[list[int], list[int], list[float]]


def triples(matrix: list[list[int | None]]) -> Triples:
    cells = [(u, r, float(v)) for r, line in enumerate(matrix) for u, v in enumerate(line) if v is not None]
    units, raters, values = zip(*cells, strict=True)
    return list(units), list(raters), list(values)


@pytest.mark.parametrize(("level", "alpha"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_alpha_equals_the_published_example_at_each_level(level: Level, alpha: float) -> None:
    estimate = krippendorff_alpha(*triples(PUBLISHED), level=level)

    assert estimate.value == pytest.approx(alpha, abs=0.0005)
    assert estimate.n == 11  # the twelfth unit has one value only, so it pairs with nothing


def test_alpha_of_two_raters_by_hand() -> None:
    # Units (a,a) (a,b) (b,b) (b,b): coincidences aa 2, ab 1, ba 1, bb 4; n_a 3, n_b 5, n 8.
    # alpha = 1 - (n-1)·o_ab/(n_a·n_b) = 1 - 7·1/15 = 8/15.
    units, raters, values = [0, 0, 1, 1, 2, 2, 3, 3], [0, 1] * 4, [0, 0, 0, 1, 1, 1, 1, 1]

    assert krippendorff_alpha(units, raters, values).value == pytest.approx(8 / 15)


def test_pairwise_agreement_counts_pairs_by_hand() -> None:
    # Unit 0: a a b has 3 pairs, 1 agrees; unit 1: b b has 1 pair, 1 agrees; unit 2 has one rater. 2 of 4.
    estimate = pairwise_agreement([0, 0, 0, 1, 1, 2], [0, 1, 2, 0, 1, 0], [0, 0, 2, 2, 2, 0])

    assert (estimate.value, estimate.n) == (0.5, 4)


def test_alpha_without_pairs_is_none_with_a_reason() -> None:
    estimate = krippendorff_alpha([0, 1], [0, 0], [1, 2])

    assert estimate.value is None
    assert "two raters" in estimate.reason


def test_alpha_of_values_that_are_all_the_same_is_none_with_a_reason() -> None:
    assert krippendorff_alpha([0, 0], [0, 1], [1, 1]).value is None


def test_two_values_of_a_rater_for_a_unit_are_refused() -> None:
    with pytest.raises(ValueError, match="rater"):
        krippendorff_alpha([0, 0], [0, 0], [1, 1])


@settings(max_examples=30, deadline=None)
@given(st.randoms(use_true_random=False), st.sampled_from(["nominal", "ordinal", "interval"]))
def test_alpha_ignores_the_order_of_judgements_and_the_names_of_units_and_raters(random, level: Level) -> None:
    cells = list(zip(*triples(PUBLISHED), strict=True))
    random.shuffle(cells)
    units, raters = random.sample(range(100), 12), random.sample(range(100), 4)

    renamed = krippendorff_alpha(
        [units[u] for u, _, _ in cells], [raters[r] for _, r, _ in cells], [v for *_, v in cells], level=level
    )

    assert renamed.value == pytest.approx(krippendorff_alpha(*triples(PUBLISHED), level=level).value)


@settings(max_examples=30, deadline=None)
@given(st.permutations([1.0, 2.0, 3.0, 4.0, 5.0]))
def test_nominal_alpha_ignores_the_names_of_values(names: list[float]) -> None:
    units, raters, values = triples(PUBLISHED)

    renamed = krippendorff_alpha(units, raters, [names[int(v) - 1] for v in values])

    assert renamed.value == pytest.approx(krippendorff_alpha(units, raters, values).value)


def test_the_interval_is_reproducible_and_that_of_resampling_whole_units() -> None:
    units, raters, values = (np.array(column) for column in triples(PUBLISHED))
    estimate = krippendorff_alpha(units, raters, values, rng=np.random.default_rng(7), resamples=4000)

    # The same by the long way: draw the 11 pairable units with replacement and compute alpha anew.
    rng = np.random.default_rng(1)
    alphas = []
    for _ in range(600):
        drawn = rng.integers(0, 12, 12)
        drawn = drawn[drawn != 11]
        parts = [(np.flatnonzero(units == u), copy) for copy, u in enumerate(drawn)]
        index = np.concatenate([where for where, _ in parts])
        copies = np.concatenate([np.full(len(where), copy) for where, copy in parts])
        alphas.append(krippendorff_alpha(copies, raters[index], values[index]).value)
    low, high = np.quantile(np.array(alphas, dtype=float), [0.025, 0.975])

    assert estimate == krippendorff_alpha(units, raters, values, rng=np.random.default_rng(7), resamples=4000)
    assert estimate.low == pytest.approx(low, abs=0.08)
    assert estimate.high == pytest.approx(high, abs=0.08)


# The facts that the data's own page states: share of annotator pairs with the same sign, and the number of pairs.
@pytest.mark.parametrize(
    ("name", "share", "pairs"),
    [("ukpconvarg1", 0.5209, 135_386), ("llmfao", 0.5066, 10_357), ("pandalm", 0.9209, 1_998)],
)
def test_pairwise_agreement_equals_the_stated_fact_of_a_real_set(name: str, share: float, pairs: int) -> None:
    path = SHARED / f"{name}.jsonl.gz"
    if not path.exists():
        pytest.skip(f"the shared data set {name} is not beside this checkout")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = [
            (row["id"], said["rater"], said["preference"])
            for row in map(json.loads, lines)
            for said in row["judgements"]
            if said["kind"] == "annotator"
        ]
    votes = Votes.from_rows(rows)

    estimate = pairwise_agreement(votes.comparison, votes.rater, votes.value)

    assert (round(estimate.value or 0, 4), estimate.n) == (share, pairs)

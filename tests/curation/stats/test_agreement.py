"""Agreement against published and hand-derived values, and against the facts of real data."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.stats import Votes, krippendorff_alpha, pairwise_agreement
from curation.stats.agreement import (
    Coefficient,
    Level,
    Weights,
    agreement,
    agreement_between,
    fleiss_kappa,
    gwet_ac,
    unselected,
)
from tests.curation.stats.selection import adaptive, three_closest

SHARED = Path(__file__).resolve().parents[3] / "../shared/data"
GOLDEN = {
    example["name"]: example
    for example in json.loads((Path(__file__).resolve().parents[2] / "golden/agreement.json").read_text())["examples"]
}
NAMES: list[Coefficient] = ["alpha-nominal", "alpha-ordinal", "alpha-interval", "fleiss", "ac1", "ac2", "percent"]

PUBLISHED = GOLDEN["krippendorff-2011"]["raters"]

Triples = tuple[list[int], list[int], list[float]]


def triples(matrix: list[list[int | None]]) -> Triples:
    cells = [(u, r, float(v)) for r, line in enumerate(matrix) for u, v in enumerate(line) if v is not None]
    units, raters, values = zip(*cells, strict=True)
    return list(units), list(raters), list(values)


def judgements(example: dict[str, Any]) -> Triples:
    """A golden example as judgements: by rater, by unit, or as the table of two raters."""
    if "raters" in example:
        return triples(example["raters"])
    if "units" in example:
        return triples([list(rater) for rater in zip(*example["units"], strict=True)])
    pairs = [(i, j) for i, row in enumerate(example["table"]) for j, n in enumerate(row) for _ in range(n)]
    return triples([list(rater) for rater in zip(*pairs, strict=True)])


def published(key: str) -> list[Any]:
    return [(name, c, v) for name, example in GOLDEN.items() for c, v in example.get(key, {}).items()]


@pytest.mark.parametrize(("name", "coefficient", "value"), published("expected"))
def test_every_coefficient_equals_what_its_author_prints(name: str, coefficient: str, value: float) -> None:
    said = judgements(GOLDEN[name])
    if coefficient.startswith("ac2-"):
        weights: Weights = "linear" if coefficient == "ac2-linear" else "ordinal"
        estimate = gwet_ac(*said, weights=weights)
    else:
        estimate = agreement(*said, coefficient=coefficient)  # type: ignore[arg-type]
    assert estimate.value == pytest.approx(value, abs=0.6 * 10.0 ** -len(str(value).split(".")[1]))


@pytest.mark.parametrize(("name", "coefficient", "value"), published("expected_between"))
def test_agreement_between_one_rater_and_another_is_the_published_one_of_two_raters(
    name: str, coefficient: Coefficient, value: float
) -> None:
    units, raters, values = judgements(GOLDEN[name])  # Cohen's kappa, Scott's pi, AC1
    estimate = agreement_between(units, raters, values, np.array(raters) == 1, coefficient=coefficient)
    assert (estimate.value, estimate.n) == (pytest.approx(value, abs=1e-6), 100)


def test_only_units_with_two_values_are_pairable() -> None:
    assert krippendorff_alpha(*triples(PUBLISHED)).n == 11  # the twelfth unit has one


def test_alpha_equals_that_of_another_implementation() -> None:
    evalica = pytest.importorskip("evalica", reason="the reference implementation is not installed")
    pandas = pytest.importorskip("pandas", reason="the reference implementation takes frames")
    matrix = np.array([[np.nan if v is None else v for v in rater] for rater in PUBLISHED], dtype=float)
    for level in ("nominal", "ordinal", "interval"):
        theirs = evalica.alpha(pandas.DataFrame(matrix), distance=level).alpha
        assert krippendorff_alpha(*triples(PUBLISHED), level=level).value == pytest.approx(theirs, abs=1e-9)


def test_fleiss_kappa_by_hand() -> None:
    # Units aab and bbb: shares a 1/3, b 2/3, squares 5/9; pairs that agree 1/3 and 1, mean 2/3. (2/3 - 5/9)/(4/9).
    estimate = fleiss_kappa([0, 0, 0, 1, 1, 1], [0, 1, 2] * 2, [0, 0, 1, 1, 1, 1])
    assert (estimate.value, estimate.n) == (pytest.approx(0.25), 2)


def test_ac1_by_hand_and_with_a_category_that_nobody_used() -> None:
    # The same: agreement 2/3; chance 1/3·2/3·2/(2-1) = 4/9 of two categories, 4/9/2 = 2/9 of three.
    said = ([0, 0, 0, 1, 1, 1], [0, 1, 2] * 2, [0, 0, 1, 1, 1, 1])
    assert gwet_ac(*said).value == pytest.approx((2 / 3 - 4 / 9) / (5 / 9))
    assert gwet_ac(*said, categories=[0, 1, 2]).value == pytest.approx((2 / 3 - 2 / 9) / (7 / 9))


def test_ac1_stands_where_nearly_all_say_the_same_and_kappa_falls() -> None:
    # 98 units aa, 2 units ab: agreement .98. Kappa finds it below what chance gives, AC1 does not (the paradox).
    units, values = np.repeat(np.arange(100), 2), np.zeros(200)
    values[[1, 3]] = 1
    raters = np.tile([0, 1], 100)
    assert (fleiss_kappa(units, raters, values).value or 0) < 0
    assert (gwet_ac(units, raters, values).value or 0) == pytest.approx(0.98, abs=0.001)


def test_between_groups_each_unit_counts_once_however_many_judged_it() -> None:
    # Unit 0: people a a b, the judge a: 2/3 agree. Unit 1: people b, the judge b: 1. Mean 5/6; unit 2 has no judge.
    said = ([0, 0, 0, 0, 1, 1, 2], [0, 1, 2, 9, 0, 9, 0], [0, 0, 1, 0, 1, 1, 1])
    second = np.array(said[1]) == 9
    estimate = agreement_between(*said, second, coefficient="percent")
    assert (estimate.value, estimate.n) == (pytest.approx(5 / 6), 2)


def test_between_groups_that_share_nothing_is_none_with_a_reason() -> None:
    estimate = agreement_between([0, 1], [0, 1], [0, 1], np.array([False, True]))
    assert (estimate.value, estimate.reason) == (None, "no comparison was judged by both groups")


@pytest.mark.parametrize("coefficient", NAMES)
def test_nothing_at_all_is_none_with_a_reason(coefficient: Coefficient) -> None:
    none = np.zeros(0)
    assert "two raters" in agreement(none, none, none, coefficient=coefficient).reason
    assert agreement_between(none, none, none, none.astype(bool), coefficient=coefficient).value is None


@pytest.mark.parametrize("coefficient", [c for c in NAMES if c != "percent"])
def test_a_single_value_leaves_chance_nothing_to_disagree_on(coefficient: Coefficient) -> None:
    said = ([0, 0, 1, 1], [0, 1] * 2, [1, 1, 1, 1])
    assert "chance" in agreement(*said, coefficient=coefficient).reason
    assert "chance" in agreement_between(*said, np.array([False, True] * 2), coefficient=coefficient).reason


@pytest.mark.parametrize("coefficient", NAMES)
def test_perfect_agreement_is_one_within_and_between(coefficient: Coefficient) -> None:
    said = (np.repeat(np.arange(6), 3), np.tile([0, 1, 2], 6), np.repeat([0, 1, 2, 0, 1, 2], 3))
    assert agreement(*said, coefficient=coefficient).value == pytest.approx(1)
    assert agreement_between(*said, said[1] == 2, coefficient=coefficient).value == pytest.approx(1)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(NAMES))
def test_every_coefficient_ignores_names_order_and_the_direction_of_the_scale(seed: int, name: Coefficient) -> None:
    rng = np.random.default_rng(seed)
    units, raters = np.repeat(np.arange(30), 4), np.tile(np.arange(4), 30)
    values = rng.integers(-1, 2, 120) + 0.0
    order = rng.permutation(120)
    people, renamed = rng.permutation(1000)[:4], -5 * rng.permutation(30)
    changed = (renamed[units][order], people[raters][order], -values[order])

    assert agreement(*changed, coefficient=name).value == pytest.approx(
        agreement(units, raters, values, coefficient=name).value
    )
    assert agreement_between(*changed, (raters > 1)[order], coefficient=name).value == pytest.approx(
        agreement_between(units, raters, values, raters > 1, coefficient=name).value
    )


@pytest.mark.statistical
@pytest.mark.parametrize("coefficient", NAMES[:-1])
def test_the_interval_of_random_judgements_holds_zero_at_its_rate(coefficient: Coefficient) -> None:
    # 95 % of 200 sets; below 180 would be five standard errors away.
    rng = np.random.default_rng(8)
    units, raters = np.repeat(np.arange(80), 3), np.tile(np.arange(3), 80)
    held = 0
    for _ in range(200):
        values = rng.integers(-1, 2, 240)
        found = agreement(units, raters, values, coefficient=coefficient, rng=rng, resamples=300)
        held += (found.low or 0) <= 0 <= (found.high or 0)
    assert held >= 180


def test_unknown_names_and_misshapen_groups_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="coefficient"):
        agreement([0], [0], [0], coefficient="kappa")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="second"):
        agreement_between([0, 0], [0, 1], [0, 1], [0, 1])
    with pytest.raises(ValueError, match="categories"):
        gwet_ac([0, 0], [0, 1], [0, 3], categories=[0, 1])


# Judgements that were selected


def test_the_first_of_each_unit_are_those_that_no_disagreement_brought() -> None:
    # In order of time: unit 0 is judged thrice, unit 1 twice, unit 2 once. The fewest of two or more is 2.
    assert unselected([0, 1, 0, 2, 1, 0]).tolist() == [True, True, True, True, True, False]
    assert unselected([0, 0, 0, 1, 1, 1]).all()
    assert unselected([3, 4]).all()
    assert unselected([]).tolist() == []


@pytest.mark.statistical
def test_what_was_selected_for_agreement_agrees_even_at_random() -> None:
    """Three opinions, two more where they differ widely, the three closest kept, the wide ones and ties dropped."""
    rng = np.random.default_rng(5)
    units, values, order = adaptive(1500, rng)
    kept_units, kept_values = three_closest(units, values)
    selected = krippendorff_alpha(
        kept_units, np.tile(np.arange(3), len(kept_units) // 3), kept_values, level="interval"
    )
    assert (selected.value or 0) > 0.8  # which says nothing: the labels are random

    first = unselected(units)
    honest = krippendorff_alpha(units[first], order[first], values[first], level="interval", rng=rng)
    assert (honest.low or 0) < 0 < (honest.high or 0)


@pytest.mark.statistical
def test_even_all_raw_judgements_agree_by_chance_where_disagreement_brought_some_of_them() -> None:
    # Units that stopped at three did so since they agreed; the more that the others were given is fresh.
    rng = np.random.default_rng(6)
    units, values, order = adaptive(4000, rng)
    all_of_them = krippendorff_alpha(units, order, values, level="interval", rng=rng)
    assert (all_of_them.low or 0) > 0.02


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

"""Policies compared by random assignment."""

from __future__ import annotations

import numpy as np
import pytest

from curation.routing.online import assign_arm, compare_arms


def test_an_arm_is_for_ever_and_depends_on_project_comparison_and_seed() -> None:
    arms = {"new": 0.5, "old": 0.5}
    first = [assign_arm(1, c, arms) for c in range(200)]

    assert first == [assign_arm(1, c, arms) for c in range(200)]
    assert first != [assign_arm(2, c, arms) for c in range(200)]
    assert first != [assign_arm(1, c, arms, seed=1) for c in range(200)]


@pytest.mark.statistical
def test_arms_get_their_shares() -> None:
    # 20,000 draws of .2 have a standard error of .0028; six of them.
    drawn = [assign_arm("p", c, {"a": 0.2, "b": 0.3}) for c in range(20_000)]
    assert drawn.count("a") / len(drawn) == pytest.approx(0.2, abs=0.017)
    assert drawn.count("b") / len(drawn) == pytest.approx(0.3, abs=0.02)
    assert drawn.count(None) / len(drawn) == pytest.approx(0.5, abs=0.022)


def test_an_arm_that_grows_keeps_what_it_had() -> None:
    small = {c for c in range(500) if assign_arm(1, c, {"a": 0.1}) == "a"}
    large = {c for c in range(500) if assign_arm(1, c, {"a": 0.3}) == "a"}
    assert small < large


def test_shares_above_one_are_refused() -> None:
    with pytest.raises(ValueError, match="arms"):
        assign_arm(1, 1, {"a": 0.6, "b": 0.6})


def test_the_difference_of_two_arms_by_hand() -> None:
    # a: 1 1 0 0, mean .5, variance 1/3, standard error sqrt(1/12); b: 1 1 1 0, .75, 1/4, sqrt(1/16).
    a, b = compare_arms(["a"] * 4 + ["b"] * 4, [1, 1, 0, 0, 1, 1, 1, 0], reference="a")

    assert (a.mean.value, b.mean.value, b.difference.value) == (0.5, 0.75, 0.25)
    assert b.difference.high - b.difference.value == pytest.approx(1.96 * np.sqrt(1 / 12 + 1 / 16), rel=1e-3)  # type: ignore[operator]
    assert a.difference.value is None


def test_weights_undo_an_unequal_chance_of_being_seen() -> None:
    # Seen with 1/2 and 1/4, weighed 2 and 4: (2·1 + 4·0) / 6.
    found = compare_arms(["a"] * 2, [1, 0], reference="a", weight=[2, 4])
    assert found[0].mean.value == pytest.approx(1 / 3)


def test_what_is_not_known_yet_is_left_out_and_said() -> None:
    found = {arm.name: arm for arm in compare_arms(["a", "a", "b"], [1, 0, np.nan], reference="a")}
    assert found["b"].difference.value is None
    assert "it takes 2" in found["b"].difference.reason
    with pytest.raises(ValueError, match="reference"):
        compare_arms(["a"], [1], reference="z")

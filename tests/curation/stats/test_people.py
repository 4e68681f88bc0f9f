"""What judgements say of a person: by hand, from print, and in simulation with the false alarms stated."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest

from curation.stats import Estimate, wilson
from curation.stats.people import (
    DRIFT,
    FAST,
    GAP,
    LEFT,
    LENGTH,
    LUCK,
    PASTED,
    SAME,
    Verdict,
    difference,
    halves,
    longest_run,
    luck_of_a_run,
    mean_difference,
    pasted,
    too_fast,
    verdict,
)
from curation.stats.votes import IntArray


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.30, 0.44, Verdict.LOW),
        (0.30, 0.45, Verdict.OPEN),  # it reaches the range
        (0.46, 0.54, Verdict.USUAL),
        (0.45, 0.55, Verdict.USUAL),
        (0.40, 0.60, Verdict.OPEN),  # it could be either: not enough evidence
        (0.54, 0.70, Verdict.OPEN),
        (0.56, 0.70, Verdict.HIGH),
        (None, None, Verdict.OPEN),
    ],
)
def test_only_an_interval_on_one_side_of_the_range_decides(
    low: float | None, high: float | None, expected: Verdict
) -> None:
    assert verdict(Estimate(0.5, low, high, 10), LEFT) == expected
    assert verdict(Estimate(0.5, low, high, 9), LEFT) == Verdict.OPEN


@pytest.mark.parametrize(
    ("counts", "low", "high"),
    [
        # Newcombe 1998, Statistics in Medicine 17, table II, method 10.
        ((56, 70, 48, 80), 0.0524, 0.3339),
        ((9, 10, 3, 10), 0.1705, 0.8090),
        ((5, 56, 0, 29), -0.0381, 0.1926),
        ((10, 10, 0, 10), 0.6075, 1.0),
    ],
)
def test_the_difference_of_two_shares_as_published(counts: tuple[int, int, int, int], low: float, high: float) -> None:
    found = difference(*counts)
    assert (found.low, found.high) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))


def test_a_difference_from_nothing_says_why() -> None:
    assert difference(1, 2, 0, 0)[0] is None
    assert difference(1, 2, 0, 0).reason


def test_a_difference_turns_its_sign_with_its_sides() -> None:
    one, two = difference(30, 50, 20, 60), difference(20, 60, 30, 50)
    assert (one.low, one.high) == (pytest.approx(-(two.high or 0)), pytest.approx(-(two.low or 0)))


def test_a_mean_difference_by_hand() -> None:
    found = mean_difference(0.1, 0.5, 100)  # half = 1.95996·0.5/10 = 0.098
    assert (found.low, found.high) == (pytest.approx(0.002, abs=1e-4), pytest.approx(0.198, abs=1e-4))
    assert mean_difference(0.1, 0.5, 29).value is None


def test_halves_of_few_are_not_compared() -> None:
    assert halves(19, 19, 0, 20).value is None
    found = halves(18, 20, 8, 20)
    assert (found.value, found.n) == (pytest.approx(-0.5), 40)


def test_the_luck_of_a_run_bounds_what_counting_every_row_of_coins_gives() -> None:
    # n = 3: rows with a run of 3 are 2 of 8 = .25; the bound is (3 - 3 + 2)/8 = .25.
    assert luck_of_a_run(3, 3) == 0.25
    for n, length in ((4, 3), (8, 4), (10, 6), (12, 7)):
        rows = list(itertools.product([False, True], repeat=n))
        share = np.mean([longest_run(np.array(row)).length >= length for row in rows])
        assert share <= luck_of_a_run(length, n) <= 2 * share


def test_the_longest_run_is_found_where_it_stands() -> None:
    assert longest_run(np.array([True, False, False, False, True, True])) == (1, 3, luck_of_a_run(3, 6))
    assert longest_run(np.array([], dtype=bool)) == (0, 0, 1.0)
    assert longest_run(np.ones(20, dtype=bool))[:2] == (0, 20)
    assert longest_run(np.ones(20, dtype=bool)).luck < LUCK


def test_fast_is_below_what_reading_takes_and_below_what_others_take() -> None:
    seconds = np.array([1.0, 9.0, 11.0, np.nan, 25.0, 29.0])
    lengths = np.array([1000.0, 1000.0, 1000.0, 1000.0, 9000.0, 9000.0])  # 10 s, and 30 s at most
    assert too_fast(seconds, lengths, None).tolist() == [True, True, False, False, True, True]
    assert too_fast(seconds, lengths, 8.0).tolist() == [True, False, False, False, False, False]


def test_a_text_is_pasted_where_it_stood_before_in_other_dress() -> None:
    texts = [
        "A follows the instruction to the letter, while B adds a list that nobody wanted.",
        "too long",
        "too long",  # short: no copy
        "a follows the instruction to the letter while b adds a list that nobody wanted!!  2",
        "B is wrong about the year of the treaty and invents a source for it.",
        "A follows the instruction to the letter, while B adds a table that nobody asked for, at length.",
        "",
        "12345 67890 12345 67890",  # no words
    ]
    assert pasted(texts).tolist() == [-1, -1, -1, 0, -1, -1, -1, -1]


def test_a_template_with_a_word_changed_is_nearly_the_same() -> None:
    base = "the first response answers the question that was asked and gives a source for each of its claims while the "
    base += "second one wanders off and never comes back to what the user wanted to know about"
    assert pasted([f"{base} cats", f"{base} dogs"]).tolist() == [-1, 0]


def test_two_thousand_texts_take_no_long_time() -> None:
    rng = np.random.default_rng(3)
    words = [f"word{chr(97 + i // 26)}{chr(97 + i % 26)}" for i in range(400)]
    texts = [" ".join(rng.choice(words, 30)) for _ in range(1000)] + [
        "the same template with words " * 3 + f"{w}" for w in words
    ] * 3
    started = time.perf_counter()
    pasted(texts[:2000])
    assert time.perf_counter() - started < 2.0


# Simulated people. Honest ones answer by the text, with skills from .6 to .95, on projects where b is better in 60 %,
# and the longer response in 65 %.


def _say(truth: IntArray, skill: float, rng: np.random.Generator) -> IntArray:
    """The truth as often as `skill` says, else either of the other two sides."""
    wrong = (truth + 1 + rng.integers(1, 3, len(truth))) % 3 - 1
    return np.where(rng.random(len(truth)) < skill, truth, wrong)


class Simulated:
    """One rater's answers to `n` comparisons, each judged by two others of like skill too."""

    def __init__(
        self, skill: float, n: int, rng: np.random.Generator, *, left: float = 0.0, longer: float = 0.0
    ) -> None:
        truth = rng.choice([-1, 1, 0], size=n, p=[0.35, 0.55, 0.1])
        a_longer = np.where(truth == 0, rng.random(n) < 0.5, (truth < 0) == (rng.random(n) < 0.65))
        a_first = rng.random(n) < 0.5
        others = np.array([_say(truth, rng.uniform(0.6, 0.95), rng) for _ in range(2)])
        own = np.where(rng.random(n) < left, np.where(a_first, -1, 1), _say(truth, skill, rng))
        own = np.where(rng.random(n) < longer, np.where(a_longer, -1, 1), own)
        decided = own != 0
        self.lefts = ((own < 0) == a_first)[decided]
        total = np.sign(others.sum(axis=0))
        known = (total != 0) | (others == 0).all(axis=0)
        self.right = (own == total)[known]
        votes = (others != 0).sum(axis=0)
        chosen = ((others != 0) & ((others < 0) == a_longer)).sum(axis=0)
        paired = decided & (votes > 0)
        self.longer = (((own < 0) == a_longer) - chosen / np.maximum(votes, 1))[paired]

    def signs(self) -> set[str]:
        half = len(self.right) // 2
        early, late = self.right[:half], self.right[half:]
        found = {
            "left": verdict(wilson(int(self.lefts.sum()), len(self.lefts)), LEFT) in (Verdict.LOW, Verdict.HIGH),
            "run": longest_run(self.lefts).luck < LUCK,
            "length": verdict(
                mean_difference(float(self.longer.mean()), float(self.longer.std(ddof=1)), len(self.longer)), LENGTH
            )
            in (Verdict.LOW, Verdict.HIGH),
            "drift": verdict(halves(int(early.sum()), len(early), int(late.sum()), len(late)), DRIFT)
            in (Verdict.LOW, Verdict.HIGH),
        }
        return {name for name, seen in found.items() if seen}


@pytest.mark.statistical
@pytest.mark.parametrize("n", [30, 100, 400])
def test_of_honest_people_fewer_than_one_in_twenty_is_flagged_by_any_check(n: int) -> None:
    # 300 people a size; 15 flagged would be 5 %. Of 1,000, at most 1.7 % are by one check, 3.3 % by any.
    rng = np.random.default_rng(17)
    people = [Simulated(rng.uniform(0.75, 0.95), n, rng).signs() for _ in range(300)]
    for check in ("left", "run", "length", "drift"):
        assert sum(check in signs for signs in people) < 15, check


@pytest.mark.statistical
def test_honest_people_are_as_consistent_and_agree_as_much_as_the_ranges_allow() -> None:
    # Skill .8: says the same twice with .64 + 2·.1² = .66; agrees with others of like skill by as much as they do.
    rng = np.random.default_rng(18)
    flagged = {"same": 0, "gap": 0, "fast": 0, "pasted": 0}
    for _ in range(1000):
        same = wilson(int(rng.binomial(40, 0.66)), 40)
        gap = difference(int(rng.binomial(150, 0.7)), 150, int(rng.binomial(1500, 0.7)), 1500)
        fast = wilson(int(rng.binomial(150, 0.05)), 150)  # by the making of the fifth percentile
        again = wilson(int(rng.binomial(100, 0.1)), 100)
        flagged["same"] += verdict(same, SAME) == Verdict.LOW
        flagged["gap"] += verdict(gap, GAP) == Verdict.LOW
        flagged["fast"] += verdict(fast, FAST) == Verdict.HIGH
        flagged["pasted"] += verdict(again, PASTED) == Verdict.HIGH
    assert all(count < 50 for count in flagged.values()), flagged


@pytest.mark.statistical
def test_habits_that_matter_are_found() -> None:
    rng = np.random.default_rng(19)

    def seen(check: str, **habit: float) -> float:
        return float(np.mean([check in Simulated(0.85, 300, rng, **habit).signs() for _ in range(60)]))

    assert seen("left", left=0.4) > 0.9  # a share of .5 + .2
    assert seen("run", left=0.95) > 0.9
    assert seen("length", longer=0.5) > 0.9

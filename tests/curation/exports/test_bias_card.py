"""The bias card: counts that can be done by hand, a regression held against scipy, and a sample that has no order."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize

from curation.exports.bias import (
    FEATURES,
    LEAST_FITTED,
    MOST_NAMES,
    MOST_SHOWN,
    NO_HELD,
    NO_TRAIN,
    OTHERS,
    PRIOR,
    SECTIONS,
    Bias,
    Figures,
    Sample,
    Tally,
    facets,
    logistic,
    refuses,
)
from curation.exports.schema import Row
from curation.stats import Estimate, wilson
from tests.curation.exports.rows import candidate, message, row

SHARED = Path(__file__).resolve().parents[3] / "../shared/data"


def pair(id_: str, chosen: str, rejected: str, **fields: Any) -> Row:
    """A row of which the second text lost."""
    made = row(id_, completion_a=[message(chosen)], completion_b=[message(rejected)])
    return {**made, "split": "train", **fields}  # type: ignore[typeddict-item]


def figures(rows: list[Row]) -> Figures:
    bias = Bias()
    for each in rows:
        bias.add(each, facets(each["metadata"]))
    return bias.figures()


def found(told: Figures, section: str, label: str) -> Estimate:
    return next(rate.figure for rate in told[section] if rate.label == label)


class TestLength:
    def test_the_share_is_of_rows_that_differ_in_length(self) -> None:
        # Longer, longer, shorter, equal: 2 of 3.
        told = figures([pair("1", "aaa", "b"), pair("2", "aa", "b"), pair("3", "a", "bb"), pair("4", "a", "b")])

        assert found(told, "length", "all") == wilson(2, 3)

    def test_each_row_falls_into_the_bucket_of_its_ratio(self) -> None:
        # 11 to 10 is 1.1 and still in the first; 12 to 10 is 1.2; 10 to 41 is 4.1, and the shorter one is chosen.
        told = figures([pair("1", "a" * 11, "b" * 10), pair("2", "a" * 12, "b" * 10), pair("3", "a" * 10, "b" * 41)])

        assert [(rate.label, rate.figure.value) for rate in told["difference"]] == [
            ("up to 1.1 times as long", 1.0),
            ("1.1 to 1.25 times", 1.0),
            ("over 4 times", 0.0),
        ]

    def test_an_empty_completion_is_the_shorter_by_far(self) -> None:
        told = figures([pair("1", "a" * 5, "")])

        assert found(told, "difference", "over 4 times").n == 1

    def test_several_messages_count_together(self) -> None:
        made = pair("1", "aaaa", "b")
        made["rejected"] = [message("bb"), message("bbb")]  # with the line between them longer than 4

        assert found(figures([made]), "length", "all").value == 0.0


class TestLayout:
    @pytest.mark.parametrize(
        ("mark", "text"),
        [
            ("list items", "- one\n- two"),
            ("list items", "1. one\n 2) two"),
            ("headings", "# A\n## B"),
            ("code", "use `this`"),
            ("code", "```\nthis\n```"),
            ("bold", "so **very** bold"),
            ("bold", "so __very__ bold"),
            ("emoji", "fine 🎉"),
        ],
    )
    def test_a_mark_is_counted_for_the_side_that_has_it(self, mark: str, text: str) -> None:
        told = figures([pair("1", text, "plain")])

        assert [rate.label for rate in told["layout"]] == [mark]
        assert found(told, "layout", mark) == wilson(1, 1)

    @pytest.mark.parametrize("text", ["a - b", "C# 7", "2 * 3 * 4", "#tag", "1.5 times", "a_b_c", "日本語の文"])
    def test_what_only_looks_like_a_mark_is_none(self, text: str) -> None:
        assert "layout" not in figures([pair("1", text, "plain")])


class TestSlices:
    def test_a_slice_of_one_value_says_nothing_new(self) -> None:
        told = figures([pair("1", "aa", "b", metadata='{"language":"en"}')])

        assert not {"language", "source", "turns", "label", "split"} & set(told)

    def test_source_and_language_are_those_of_the_metadata(self) -> None:
        rows = [
            pair("1", "aa", "b", metadata='{"language":"en","source":"x"}'),
            pair("2", "a", "bb", metadata='{"language":"de","source":"x"}'),
            pair("3", "a", "bb", metadata='{"language":["en"]}'),  # no text: not a name
        ]

        told = figures(rows)

        assert [(rate.label, rate.figure.value) for rate in told["language"]] == [("de", 0.0), ("en", 1.0)]
        assert "source" not in told

    def test_turns_are_the_users(self) -> None:
        talk = [message("a", "user"), message("b"), message("c", "user")]
        rows = [pair("1", "aa", "b"), {**pair("2", "a", "bb"), "prompt": talk}]

        assert [rate.label for rate in figures(rows)["turns"]] == ["1", "2"]  # type: ignore[arg-type]


class TestGenerators:
    def test_a_win_is_against_another_generator(self) -> None:
        # x beats y twice and loses once; a comparison with itself is none.
        names = [("x", "y"), ("x", "y"), ("y", "x"), ("x", "x"), ("x", None)]
        rows = [
            pair(str(i), "aa", "b", generator_chosen=won, generator_rejected=lost)
            for i, (won, lost) in enumerate(names)
        ]

        told = figures(rows)

        assert found(told, "generator", "x") == wilson(2, 3)
        assert found(told, "generator", "y") == wilson(1, 3)


class TestRefusals:
    def test_a_row_counts_where_one_of_the_two_refuses(self) -> None:
        no = "I'm sorry, but I can't help with that."
        rows = [pair("1", no, "Sure."), pair("2", "Sure.", no), pair("3", "Sure.", no), pair("4", no, no + " No.")]

        assert found(figures(rows), "refusal", "all") == wilson(1, 3)

    def test_only_the_opening_of_a_text_refuses_whatever_its_apostrophe(self) -> None:
        assert refuses("I’m sorry, but no.")
        assert not refuses("x" * 300 + " I'm sorry, but no.")


class TestSides:
    def test_a_vote_for_the_side_shown_first_by_the_kind_of_rater(self) -> None:
        bias = Bias()
        bias.add(pair("1", "aa", "b"))
        for preference, order in ((-1, "ab"), (1, "ba"), (1, "ab"), (0, "ab"), (2, None)):
            bias.vote("annotator", preference, order)  # first, first, second; a tie and no order say nothing
        bias.vote("judge", 1, "ab")

        told = bias.figures()

        assert found(told, "side", "votes of people, shown first") == wilson(2, 3)
        assert found(told, "side", "votes of judges, shown first") == wilson(0, 1)
        assert found(told, "side", "rows, completion a") == wilson(1, 1)


class TestBaselines:
    def test_length_is_learned_from_train_and_measured_on_the_rest(self) -> None:
        # Train: at a ratio of 2 to 4 the longer wins 30 of 40; at 1.1 the shorter wins all of 10. Held out: longer by
        # 3 (right), shorter by 3 (wrong), shorter by 1.1 (right), a ratio that train has not seen and the longer wins
        # (right, as in all of train 30 of 50 are longer), and equal lengths (half): 3.5 of 5.
        train = [pair(f"l{i}", "a" * 30, "b" * 10) for i in range(30)]
        train += [pair(f"s{i}", "a" * 10, "b" * 30) for i in range(10)]
        train += [pair(f"t{i}", "a" * 10, "b" * 11) for i in range(10)]
        held = [("a" * 30, "b" * 10), ("a" * 10, "b" * 30), ("a" * 10, "b" * 11), ("a" * 99, "b" * 9), ("a", "b")]
        rows = train + [pair(f"h{i}", won, lost, split="test") for i, (won, lost) in enumerate(held)]

        assert found(figures(rows), "baseline", "length") == wilson(3.5, 5)

    def test_without_train_or_without_the_rest_it_says_so(self) -> None:
        train = [pair(str(i), "aa", "b") for i in range(LEAST_FITTED)]

        assert found(figures(train), "baseline", "length").reason == NO_HELD
        assert found(figures(train), "baseline", "length and layout").reason == NO_HELD
        assert found(figures(train[1:]), "baseline", "length").reason == NO_TRAIN
        assert "weight" not in figures(train[1:])

    def test_completions_that_look_alike_teach_nothing(self) -> None:
        rows = [pair(str(i), "a", "b") for i in range(40)]

        assert found(figures(rows), "baseline", "length and layout").reason == "all completions look alike"

    def test_layout_that_decides_is_found_where_length_tells_nothing(self) -> None:
        rng = np.random.default_rng(5)
        rows = []
        for i in range(600):
            bold = f"{'x' * int(rng.integers(5, 60))} **y**"
            rows.append(pair(str(i), bold, "x" * int(rng.integers(12, 67)), split="train" if i < 400 else "test"))

        told = figures(rows)

        assert (found(told, "baseline", "length and layout").low or 0) > 0.95
        assert (found(told, "baseline", "length").high or 1) < 0.65
        assert (found(told, "weight", "bold").low or 0) > 1

    def test_looks_that_are_random_are_not_taken_for_a_bias(self) -> None:
        rng = np.random.default_rng(11)
        texts = ["x" * int(n) + "\n- y" * int(m) for n, m in rng.integers(1, 50, size=(1600, 2))]
        two = [(one, other) for one, other in zip(texts[::2], texts[1::2], strict=True) if one != other]
        rows = [pair(str(i), *each, split="train" if i % 2 else "test") for i, each in enumerate(two)]

        low, high = found(figures(rows), "baseline", "length and layout")[1:3]

        assert (low or 1) < 0.5 < (high or 0)


class TestLogistic:
    def test_it_is_the_optimum_that_scipy_finds(self) -> None:
        rng = np.random.default_rng(3)
        x = rng.normal(loc=[0.4, -0.2, 0.0], size=(300, 3))

        def loss(w: np.ndarray[Any, Any]) -> float:
            return float(np.logaddexp(0, -(x @ w)).sum() + w @ w / (2 * PRIOR**2))

        fit, best = logistic(x), minimize(loss, np.zeros(3), method="BFGS", options={"gtol": 1e-9})

        assert fit.converged
        np.testing.assert_allclose(fit.weights, best.x, atol=1e-5)
        # The curvature by central differences of the same loss, at the optimum.
        steps = 1e-3 * np.eye(3)
        curvature = [
            [(loss(best.x + i + j) - loss(best.x + i - j) - loss(best.x - i + j) + loss(best.x - i - j)) / 4e-6
             for j in steps] for i in steps
        ]  # fmt: skip
        np.testing.assert_allclose(fit.deviations, np.sqrt(np.diag(np.linalg.inv(curvature))), rtol=1e-3)

    def test_swapping_the_two_of_every_pair_changes_the_sign_alone(self) -> None:
        x = np.random.default_rng(4).normal(size=(200, 2)) + 0.3

        np.testing.assert_allclose(logistic(-x).weights, -logistic(x).weights, atol=1e-9)

    def test_perfect_separation_stays_finite(self) -> None:
        fit = logistic(np.ones((500, 1)) * 3)

        assert fit.converged
        assert np.isfinite(fit.weights).all()


class TestMemory:
    def test_a_sample_is_bounded_and_the_same_in_any_order(self) -> None:
        rng = np.random.default_rng(8)
        keys = [int(key) for key in rng.integers(0, 2**63, size=5_000, dtype=np.uint64)]
        one, other = Sample(most=100), Sample(most=100)
        for key in keys:
            one.add(key, [key % 7] * len(FEATURES))
        for key in sorted(keys):
            other.add(key, [key % 7] * len(FEATURES))

        assert len(one.keys) < 200
        assert len(one.array()) == 100
        np.testing.assert_array_equal(one.array(), other.array())
        np.testing.assert_array_equal(one.array()[:, 0], [key % 7 for key in sorted(keys)[:100]])

    def test_names_are_bounded_and_the_rest_of_them_is_told_together(self) -> None:
        tally = Tally()
        for i in range(MOST_NAMES + 50):
            tally.add(f"n{i:04d}", True)
        tally.add("n0000", False)

        told = tally.rates()

        assert len(tally.tried) == MOST_NAMES + 1
        assert (told[0].label, told[0].figure.n) == ("n0000", 2)
        assert (told[-1].label, len(told)) == (OTHERS, MOST_SHOWN + 1)
        assert sum(rate.figure.n for rate in told) == MOST_NAMES + 51


def test_the_order_of_rows_changes_no_figure() -> None:
    rows = [
        pair(str(i), "a" * (1 + i % 9), "b" * (1 + i % 5) + " **c**" * (i % 2), split="test" if i % 3 else "train")
        for i in range(150)
    ]

    assert figures(rows) == figures(rows[::-1])


def test_without_rows_there_is_nothing_to_say() -> None:
    assert figures([]) == {}


def test_every_section_that_is_told_is_known_and_in_order() -> None:
    told = figures([pair(str(i), "a" * (2 + i % 3), "- b") for i in range(40)])

    assert list(told) == [name for name in SECTIONS if name in told]
    json.dumps({name: [rate.figure._asdict() for rate in rates] for name, rates in told.items()}, allow_nan=False)
    assert candidate().side == "a"


def test_arguments_that_people_judged_are_found_to_follow_their_length() -> None:
    """UKPConvArg1 (Habernal and Gurevych 2016), by the majority of its five workers."""
    path = SHARED / "ukpconvarg1.jsonl.gz"
    if not path.exists():
        pytest.skip(f"the shared data set {path.name} is not beside this checkout")
    rows = []
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for i, line in enumerate(file):
            told = json.loads(line)
            votes = [judgement["preference"] for judgement in told["judgements"] if judgement["preference"] is not None]
            lead = sum((vote > 0) - (vote < 0) for vote in votes)
            if lead and told["completion_a"] != told["completion_b"] and i % 10 == 0:
                won, lost = ("a", "b") if lead < 0 else ("b", "a")
                texts = told[f"completion_{won}"], told[f"completion_{lost}"]
                rows.append(pair(told["id"], *texts, split="test" if i % 50 == 0 else "train"))

    told_ = figures(rows)

    # Longer arguments convince: in 72 % of all rows, and the more so the more they differ.
    assert (found(told_, "length", "all").low or 0) > 0.65
    shares = [rate.figure.value or 0 for rate in told_["difference"]]
    assert shares[0] < 0.62 < 0.8 < shares[-1]
    assert (found(told_, "baseline", "length").low or 0) > 0.6

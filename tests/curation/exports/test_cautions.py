"""Cautions: each rule speaks where its whole interval lies beyond the limit, and holds its tongue on thin evidence."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from curation.exports.bias import Figures, Rate
from curation.exports.cautions import RULES, TEXTS, Caution, cautions, needed
from curation.exports.facts import CardFacts, Statistics
from curation.stats import Estimate, wilson

FACTS = CardFacts("d", 1, "0", {}, {}, agreement=Estimate(0.5, 0.4, 0.6, 100))


def statistics(train: int = 4_000, test: int = 1_000, **labelled: int) -> Statistics:
    """By people all, unless said; every row has three votes of three raters who judge equally much."""
    made = Statistics()
    made.splits.update(train=train, test=test)
    made.sources.update(labelled or {"human": train + test})
    made.labelled.update({("train", "human"): train, ("test", "human"): test})
    made.votes_of.update({("annotator", name): train + test for name in ("ann", "bob", "cat")})
    return made


def said(figures: Figures | None = None, facts: CardFacts = FACTS, of: Statistics | None = None) -> dict[str, Caution]:
    return {each.name: each for each in cautions(facts, of or statistics(), figures or {})}


def one(section: str, label: str, hits: float, n: int) -> dict[str, list[Rate]]:
    return {section: [Rate(label, wilson(hits, n))]}


def test_a_large_even_set_is_given_no_caution() -> None:
    assert said(one("length", "all", 2_500, 5_000)) == {}


# 71 % of 5,000 is 69.7 to 72.2: wholly above 60 %. 7 of 10 is 40 to 89: it may be chance.
@pytest.mark.parametrize(
    ("figures", "name"),
    [
        (one("length", "all", 3_550, 5_000), "longer"),
        (one("length", "all", 1_450, 5_000), "shorter"),
        (one("baseline", "length and layout", 3_550, 5_000), "looks"),
        (one("baseline", "length", 3_550, 5_000), "looks"),
        (one("side", "votes of people, shown first", 3_550, 5_000), "first"),
        (one("side", "votes of judges, shown first", 1_450, 5_000), "first"),
        (one("side", "rows, completion a", 5_000, 5_000), "side_a"),
        (one("generator", "heron", 950, 1_000), "author"),
    ],
)
def test_a_rule_speaks_of_a_share_that_lies_beyond_its_limit_and_not_of_thin_evidence(
    figures: dict[str, list[Rate]], name: str
) -> None:
    (section, ((label, share),)) = next(iter(figures.items()))

    assert set(said(figures)) == {name}
    assert said(one(section, label, round((share.value or 0) * 4), 4)) == {}


def test_the_text_has_the_share_with_its_interval() -> None:
    told = str(said(one("length", "all", 3_550, 5_000))["longer"])

    assert told == "A length-biased set: the chosen completion is the longer in 71 % (70 to 72)."


def test_raters_who_may_agree_by_chance_are_told_and_others_are_not() -> None:
    assert "unreliable" in said(facts=replace(FACTS, agreement=Estimate(0.1, -0.05, 0.25, 30)))
    assert "unreliable" not in said(facts=replace(FACTS, agreement=Estimate(None, reason="one rater")))


class TestJudges:
    def test_labels_of_judges_alone_want_an_audit(self) -> None:
        of = statistics(human=4_000, judge=1_000)
        audited = replace(FACTS, judge_accuracy=Estimate(0.8, 0.7, 0.9, 1_000), audited=60)

        assert str(said(of=of)["unaudited"]).startswith("Judge labels without an audit: 1000 of 5000 rows")
        assert said(facts=audited, of=of) == {}

    def test_labels_of_people_with_judges_among_them_do_not(self) -> None:
        assert said(of=statistics(human=4_000, mixed=1_000)) == {}

    def test_an_audit_that_does_not_tell_judges_from_chance_is_told(self) -> None:
        of = statistics(human=4_000, judge=1_000)
        of.votes_of["judge", "gpt"] = 1_000
        thin = replace(FACTS, judge_accuracy=Estimate(0.67, 0.0, 1.0, 1_000), audited=5)

        assert "The audit of 5 comparisons does not show" in str(said(facts=thin, of=of)["chance"])


class TestRaters:
    def test_one_who_gave_over_half_of_the_votes_is_told_without_a_name(self) -> None:
        of = statistics()
        of.votes_of["annotator", "ann"] = 50_000

        told = str(said(of=of)["one_rater"])

        assert told.startswith("One rater gave 83 % (83 to 84)")
        assert "ann" not in told

    def test_people_whose_names_were_withheld_are_not_one_rater(self) -> None:
        of = statistics()
        of.votes_of.clear()
        of.votes_of.update({("annotator", "annotator"): 50_000, ("judge", "gpt"): 10})

        assert said(facts=replace(FACTS, recipe={"deidentify": {"raters": "none"}}), of=of) == {}

    def test_labels_that_rest_on_one_vote_are_told_where_they_are_most(self) -> None:
        of = statistics()
        of.single = 4_000

        assert set(said(of=of)) == {"single"}


class TestSplits:
    def test_splits_that_differ_surely_and_by_more_than_five_points_are_told(self) -> None:
        # 60 of 1,000 test rows by judges and none of train are 6 points, and 99 % sure.
        of = statistics(human=4_940, judge=60)
        of.labelled["test", "judge"], of.labelled["test", "human"] = 60, 940
        facts = replace(FACTS, judge_accuracy=Estimate(0.8, 0.7, 0.9, 60))

        (told,) = cautions(facts, of, {})

        assert told.name == "splits"
        assert "6 % of the test rows are labelled by judges, and 0 % of the train rows." in str(told)

    def test_a_difference_that_may_be_chance_is_not(self) -> None:
        # 3 of 10 beside 2,000 of 4,000.
        figures = {"split": [Rate("train", wilson(2_000, 4_000)), Rate("test", wilson(3, 10))]}

        assert "splits" not in said(figures)

    def test_rows_that_a_test_needs_by_hand(self) -> None:
        # (1.960 + 0.842)^2 · 0.75 · 0.25 / 0.05^2 = 7.849 · 75 = 588.7
        assert needed() == 589

    @pytest.mark.parametrize(("test", "names"), [(589, set()), (588, {"small"}), (0, {"no_test"})])
    def test_a_small_test_split_and_none_are_told(self, test: int, names: set[str]) -> None:
        assert set(said(of=statistics(test=test))) == names

    def test_a_small_one_says_what_it_can_see(self) -> None:
        # 2.802 · sqrt(0.1875 / 100) = 0.121
        assert "from 12 points on" in str(said(of=statistics(test=100))["small"])


def test_every_rule_has_its_text_and_every_text_its_rule() -> None:
    assert list(RULES) == list(TEXTS)


def test_a_version_without_rows_is_given_no_caution() -> None:
    empty: Any = Statistics()

    assert cautions(replace(FACTS, agreement=None), empty, {}) == []

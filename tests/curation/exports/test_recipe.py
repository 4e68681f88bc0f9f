"""A recipe is parsed strictly, and what it drops has a rule and a cause."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.exports.candidates import Candidate, Decision, Treatment
from curation.exports.following import Built, apply
from curation.exports.recipe import NoiseRule, Recipe, SplitRule
from curation.exports.schema import normalise
from curation.exports.splits import assign_split
from tests.curation.exports.rows import candidate, message, row, vote


def test_a_kept_candidate_becomes_a_row_with_the_preferred_side_first() -> None:
    kept = row()

    assert (kept["chosen_side"], kept["chosen"][0]["content"], kept["generator_rejected"]) == ("a", "4", "model-y")
    assert kept["probability"] == pytest.approx(0.8 + 0.15 / 2)  # a tie counts half for each side
    assert kept["margin"] == 2.0  # (2 + 1 + 3) / 3
    assert (kept["source"], kept["n_annotators"], kept["n_judges"]) == ("human", 3, 0)


def test_the_margin_counts_votes_for_the_chosen_side_only() -> None:
    assert row(votes=[vote("ann", -3), vote("bob", 2), vote("cat", 0), vote("dan", -2)])["margin"] == 2.5


def test_people_and_judges_together_are_a_mixed_source() -> None:
    kept = row(votes=[vote("ann", -1), vote("gpt", -1, kind="judge")])

    assert (kept["source"], kept["n_annotators"], kept["n_judges"]) == ("mixed", 1, 1)


DECIDED = Decision(by="adjudicator-1", preference=2)


def decided(decision: Decision = DECIDED, **changes: Any) -> Candidate:
    """Three people prefer a; the adjudicator prefers b."""
    side = decision.preference or 0
    posterior = (float(side < 0), float(side == 0), float(side > 0))
    facts = {"posterior": posterior, "preference": float(side), "decision": decision}
    return candidate(**(facts | changes))


def test_what_was_decided_is_the_label_and_names_its_adjudicator() -> None:
    kept = apply(Recipe(), [decided()]).rows[0]

    assert (kept["chosen_side"], kept["probability"], kept["preference"], kept["margin"]) == ("b", 1.0, 2.0, 2.0)
    assert (kept["adjudicated_by"], kept["source"], kept["n_annotators"]) == ("adjudicator-1", "human", 3)
    assert [vote["preference"] for vote in kept["votes"]] == [-2, -1, -3]  # a decision is not a vote


def test_rows_that_nobody_decided_have_the_bytes_that_they_always_had() -> None:
    assert "adjudicated_by" not in row()
    assert normalise({**row(), "adjudicated_by": None}) == row()  # as Parquet gives it back


@pytest.mark.parametrize(
    ("recipe", "changes"),
    [
        ({"min_judgements": 4}, {}),
        ({"min_annotators": 4}, {}),
        ({"min_probability": 1.0}, {}),
        ({"noise": {"method": "consensus-entropy", "max_score": 0.1}}, {"noise": {"consensus-entropy": 0.9}}),
        ({"include_judges": False}, {"votes": [vote("gpt", -1, kind="judge")]}),
        ({"sources": ["human"]}, {"votes": [vote("gpt", -1, kind="judge")]}),
        ({}, {"votes": [vote("a", None, both_bad=True)]}),  # they called both bad, the adjudicator did not
        ({}, {"votes": []}),
    ],
)
def test_a_decision_outweighs_what_rules_ask_of_votes(recipe: dict[str, Any], changes: dict[str, Any]) -> None:
    assert len(apply(Recipe.from_dict(recipe), [decided(**changes)]).rows) == 1


@pytest.mark.parametrize(
    ("decision", "rule"),
    [
        (Decision("adjudicator-1", None, both_bad=True), "both_bad"),
        (Decision("adjudicator-1", -1, both_bad=True), "both_bad"),
        (Decision("adjudicator-1", 0), "ties"),
    ],
)
def test_a_decision_for_neither_side_is_dropped_by_its_rule(decision: Decision, rule: str) -> None:
    assert [drop.rule for drop in apply(Recipe(), [decided(decision)]).dropped] == [rule]


# One candidate that only the rule named drops.
@pytest.mark.parametrize(
    ("recipe", "changes", "rule", "cause"),
    [
        ({"min_judgements": 4}, {}, "min_judgements", "3 of 4 judgements"),
        ({}, {"votes": [vote("ann", None)]}, "min_judgements", "0 of 1"),  # unparsed is no judgement
        ({"min_annotators": 1}, {"votes": [vote("gpt", -1, kind="judge")]}, "min_annotators", "0 of 1"),
        ({"include_judges": False}, {"votes": [vote("gpt", -1, kind="judge")]}, "min_judgements", "0 of 1"),
        ({"sources": ["mixed"]}, {}, "sources", "labelled by human"),
        (
            {},
            {"votes": [vote("a", 0, both_bad=True), vote("b", 0, both_bad=True), vote("c", -1)]},
            "both_bad",
            "2 of 3",
        ),
        ({}, {"votes": [vote("a", None, both_bad=True), vote("gpt", None, kind="judge")]}, "both_bad", "1 of 1"),
        ({}, {"posterior": (0.3, 0.4, 0.3)}, "ties", "no side is likeliest"),
        ({}, {"posterior": (0.5, 0.0, 0.5)}, "ties", "no side is likeliest"),
        ({"min_probability": 0.9}, {}, "min_probability", "0.875 is below 0.9"),
        (
            {"noise": {"method": "consensus-entropy", "max_score": 0.5}},
            {"noise": {"consensus-entropy": 0.6}},
            "noise",
            "0.600 is above 0.5",
        ),
        ({"noise": {"method": "consensus-entropy", "max_score": 0.5}}, {}, "noise", "run score_noise first"),
        ({}, {"completion_b": [message("4")]}, "identical", "the same"),
    ],
)
def test_each_rule_drops_with_its_cause(recipe: dict[str, Any], changes: dict[str, Any], rule: str, cause: str) -> None:
    built = apply(Recipe.from_dict(recipe), [candidate(**changes)])

    assert built.rows == []
    assert [(d.id, d.rule) for d in built.dropped] == [("c1", rule)]
    assert cause in built.dropped[0].cause
    assert built.counts[rule] == sum(built.counts.values()) == 1


def test_an_exact_duplicate_is_dropped_in_favour_of_the_first() -> None:
    built = apply(
        Recipe(), [candidate("first"), candidate("second"), candidate("third", completion_a=[message("Four")])]
    )

    assert [kept["id"] for kept in built.rows] == ["first", "third"]
    assert "as first" in built.dropped[0].cause


def test_duplicates_stay_where_the_recipe_says_so() -> None:
    assert len(apply(Recipe(dedupe=False), [candidate("first"), candidate("second")]).rows) == 2


def test_without_judges_their_votes_neither_count_nor_appear() -> None:
    built = apply(Recipe(include_judges=False), [candidate(votes=[vote("ann", -1), vote("gpt", -3, kind="judge")])])

    assert [said["rater"] for said in built.rows[0]["votes"]] == ["ann"]
    assert built.rows[0]["margin"] == 1.0


# A field that is wrong, and the name that the message must carry.
@pytest.mark.parametrize(
    ("recipe", "field"),
    [
        ({"min_anotators": 2}, "min_anotators"),
        ({"noise": {"method": "consensus-entropy"}}, "noise.max_score"),
        ({"noise": {"method": "magic", "max_score": 0.5}}, "noise.method"),
        ({"noise": {"method": "consensus-entropy", "max_score": 2}}, "noise.max_score"),
        ({"split": {"train": 0.9}}, "split"),  # .9 + .1 + .1
        ({"split": {"trian": 0.8}}, "split.trian"),
        ({"method": "median"}, "method"),
        ({"target": "rank"}, "target"),
        ({"ties": "half"}, "ties"),
        ({"min_annotators": -1}, "min_annotators"),
        ({"min_annotators": True}, "min_annotators"),
        ({"min_annotators": "2"}, "min_annotators"),
        ({"min_probability": 1.5}, "min_probability"),
        ({"include_judges": "no"}, "include_judges"),
        ({"sources": "human"}, "sources"),
        ({"sources": []}, "sources"),
        ({"sources": ["crowd"]}, "sources"),
        ({"sources": ["judge"], "include_judges": False}, "sources"),  # contradictory: nothing could be kept
        ({"sources": ["judge"], "min_annotators": 1}, "sources"),
    ],
)
def test_a_wrong_recipe_is_refused_naming_the_field(recipe: dict[str, Any], field: str) -> None:
    with pytest.raises(ValueError) as refused:
        Recipe.from_dict(recipe)

    assert refused.value.args[0] == field


def test_a_recipe_survives_its_dict_and_toml_says_the_same() -> None:
    recipe = Recipe.from_toml(
        'method = "dawid-skene"\nsources = ["human", "mixed"]\n[noise]\nmethod = "consensus-entropy"\nmax_score = 0.7\n'
        "[split]\ntrain = 0.5\nvalidation = 0.25\ntest = 0.25\nseed = 3\n"
    )

    assert recipe == Recipe(
        method="dawid-skene",
        sources=("human", "mixed"),
        noise=NoiseRule("consensus-entropy", 0.7),
        split=SplitRule(0.5, 0.25, 0.25, 3),
    )
    assert Recipe.from_dict(recipe.to_dict()) == recipe


def test_broken_toml_is_refused() -> None:
    with pytest.raises(ValueError, match="TOML"):
        Recipe.from_toml("method = ")


@given(st.text(), st.integers(0, 2**31))
def test_the_split_of_a_group_depends_on_nothing_but_group_and_seed(group: str, seed: int) -> None:
    fractions = SplitRule().fractions

    assert assign_split(group, seed=seed, fractions=fractions) == assign_split(group, seed=seed, fractions=fractions)


def test_splits_take_their_fractions_of_the_groups() -> None:
    # 5,000 groups: the standard error of .8 is .0057, so .03 is five of them.
    splits = [assign_split(f"group {i}", seed=1, fractions=SplitRule().fractions) for i in range(5000)]

    assert splits.count("train") / 5000 == pytest.approx(0.8, abs=0.03)
    assert splits.count("test") / 5000 == pytest.approx(0.1, abs=0.03)


def test_a_split_of_fraction_zero_gets_nothing() -> None:
    fractions = SplitRule(1.0, 0.0, 0.0).fractions

    assert {assign_split(f"{i}", seed=0, fractions=fractions) for i in range(200)} == {"train"}


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("probability", 1.2, "probability"),
        ("preference", 4, "preference"),
        ("split", "dev", "split"),
        ("chosen", [], "chosen"),
        ("chosen", [{"role": "assistant"}], "chosen[0].content"),
        ("votes", [{"rater": "r", "kind": "person"}], "votes[0].kind"),
        ("metadata", "[1]", "metadata"),
        ("n_judges", 1.0, "n_judges"),
        ("colour", "red", "colour"),
    ],
)
def test_a_row_that_breaks_the_schema_is_refused_naming_the_field(field: str, value: object, named: str) -> None:
    with pytest.raises(ValueError) as refused:
        normalise({**row(), field: value})

    assert refused.value.args[0] == named


# --- what was decided about doubtful labels ---------------------------------------------------------------------------


def treated(action: str, weight: float = 0.0, **recipe: Any) -> Built:
    asked = Treatment(action, "ensemble-margin 0.97: models agree against it", weight)
    return apply(Recipe.from_dict(recipe), [candidate(posterior=(0.8, 0.1, 0.1), preference=-1.4, treatment=asked)])


def test_a_treatment_that_drops_is_the_noise_rule_with_its_cause() -> None:
    (dropped,) = treated("drop").dropped

    assert (dropped.rule, dropped.cause) == ("noise", "ensemble-margin 0.97: models agree against it")


def test_a_flipped_label_exchanges_the_sides_and_says_why() -> None:
    (plain,), (row,) = treated("keep").rows, treated("flip").rows

    assert (row["chosen_side"], row["chosen"], row["preference"]) == ("b", plain["rejected"], 1.4)
    assert row["probability"] == plain["probability"] == pytest.approx(0.85)
    assert row["noise_treatment"] == "flip: ensemble-margin 0.97: models agree against it"
    assert "noise_treatment" not in plain


def test_a_softened_label_keeps_its_side_and_is_drawn_to_one_half() -> None:
    # .8 and half the tie is .85; half way to .5 is .675. Its strength is halved too.
    (row,) = treated("soften", 0.5).rows

    assert (row["chosen_side"], row["probability"], row["preference"]) == ("a", 0.675, -0.7)
    assert row["noise_treatment"].startswith("soften: ")
    assert treated("soften", 0.5, min_probability=0.7).counts["min_probability"] == 1


@pytest.mark.parametrize("action", ["keep", "ask_people"])
def test_a_treatment_that_changes_nothing_leaves_the_rows_bytes(action: str) -> None:
    assert treated(action).rows == apply(Recipe(), [candidate(posterior=(0.8, 0.1, 0.1), preference=-1.4)]).rows


def test_a_recipe_may_take_the_labels_as_they_were_given() -> None:
    for action in ("drop", "flip", "soften"):
        assert treated(action, 0.5, noise={"treatment": "none"}).rows == treated("keep").rows


def test_no_treatment_touches_what_an_adjudicator_decided() -> None:
    decided = candidate(decision=Decision("adjudicator-1", -2), treatment=Treatment("drop", "doubtful"))

    assert len(apply(Recipe(), [decided]).rows) == 1


def test_a_recipe_older_than_treatments_is_written_as_it_was() -> None:
    rule = {"method": "consensus-entropy", "max_score": 0.7}

    assert Recipe.from_dict({"noise": rule}).to_dict()["noise"] == rule
    assert Recipe.from_dict({"noise": {"treatment": "none"}}).to_dict()["noise"] == {"treatment": "none"}
    assert Recipe.from_dict({"noise": {"treatment": "none"}}) == Recipe(noise=NoiseRule(treatment="none"))

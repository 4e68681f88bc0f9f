"""What a recipe asks of single comparisons beyond the first rules, ties that it keeps, and what it takes out."""

from __future__ import annotations

from typing import Any

import pytest

from curation.exports.following import CHANGING, RULE_NAMES, Built, apply
from curation.exports.near import Contamination
from curation.exports.recipe import Change, Recipe, diff
from curation.exports.schema import native
from tests.curation.exports.rows import candidate, message, vote
from tests.curation.exports.test_recipe import decided


def followed(recipe: dict[str, Any], *candidates: dict[str, Any], **given: Any) -> Built:
    made = [candidate(f"c{n}", prompt=[message(f"question {n}", "user")], **each) for n, each in enumerate(candidates)]
    return apply(Recipe.from_dict(recipe), made, **given)


# --- where -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("where", "changes", "kept"),
    [
        ({"source": ["forum"]}, {"metadata": {"source": "forum"}}, True),
        ({"source": ["forum"]}, {"metadata": {"source": "news"}}, False),
        ({"source": ["forum"]}, {}, False),  # not given
        ({"tags": ["x", "y"]}, {"metadata": {"tags": ["y", "z"]}}, True),  # any of a list
        ({"level": [1]}, {"metadata": {"level": 1.0}}, True),  # one number, whatever JSON writes it as
        ({"level": [1]}, {"metadata": {"level": True}}, False),  # but true is not one
        ({"level": [1]}, {"metadata": {"level": {"a": 1}}}, False),
        ({"language": ["de"]}, {"language": "de"}, True),
        ({"language": ["de"]}, {"language": "de", "metadata": {"language": "fr"}}, False),  # its own key goes first
        ({"generator": ["model-y"]}, {}, True),  # of either completion
        ({"generator": ["model-z"]}, {}, False),
        ({"generator": ["model-y"], "source": ["forum"]}, {}, False),  # all keys
    ],
)
def test_where_keeps_what_has_a_value_for_each_key(where: Any, changes: dict[str, Any], kept: bool) -> None:
    built = followed({"where": where}, changes)

    assert (len(built.rows), built.counts["where"]) == (kept, not kept)


def test_what_where_drops_says_what_it_found() -> None:
    (drop,) = followed({"where": {"source": ["forum"]}}, {"metadata": {"source": ["news", "mail"]}}).dropped

    assert drop.cause == "source is news, mail"


# --- agreement -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("votes", "share"),
    [
        ([vote("x", -1), vote("y", -2), vote("z", 1)], 2 / 3),
        ([vote("x", -1), vote("y", 0), vote("z", None)], 1 / 2),  # what cannot be read is no vote
        ([vote("x", -1), vote("y", None, both_bad=True)], 1 / 2),  # both bad can
    ],
)
def test_agreement_is_the_share_of_readable_votes_for_the_rows_side(votes: Any, share: float) -> None:
    assert len(followed({"min_agreement": share}, {"votes": votes}).rows) == 1
    (drop,) = followed({"min_agreement": share + 0.01}, {"votes": votes}).dropped
    assert drop.rule == "min_agreement"


def test_a_share_that_is_just_reached_is_enough() -> None:
    # 7 of 25 are 0.28, although 0.28 * 25 is 7.000000000000001 in floating point.
    votes = [vote(f"a{n}", -1) for n in range(7)] + [vote(f"b{n}", 1) for n in range(6)]
    votes += [vote(f"t{n}", 0) for n in range(12)]
    assert len(followed({"min_agreement": 0.28}, {"votes": votes}).rows) == 1
    assert not followed({"min_agreement": 0.281}, {"votes": votes}).rows


def test_a_decision_needs_no_agreement() -> None:
    assert len(apply(Recipe(min_agreement=1.0), [decided()]).rows) == 1  # every vote is against it


# --- ties and both bad -----------------------------------------------------------------------------------------------

TIE = {"posterior": (0.2, 0.6, 0.2), "preference": 0.1, "votes": [vote("x", 0), vote("y", 0), vote("z", 1)]}
BAD = {"votes": [vote("x", None, both_bad=True), vote("y", None, both_bad=True), vote("z", -1)]}


def test_a_tie_that_is_kept_is_no_pair() -> None:
    built = followed({"ties": "keep"}, TIE)

    (row,) = built.undecided
    assert built.rows == []
    assert (row["undecided"], row["completion_a"][0]["content"], row["generator_b"]) == ("tie", "4", "model-y")
    assert row["probability"] == 0.5  # .2 and half of .6
    assert native(row) == row


def test_what_most_call_bad_is_kept_as_that_only_where_both_bad_is() -> None:
    assert [row["undecided"] for row in followed({"both_bad": "keep"}, BAD).undecided] == ["both_bad"]
    assert followed({"ties": "keep"}, BAD).counts["both_bad"] == 1


def test_where_nothing_is_likeliest_there_is_no_tie_to_keep() -> None:
    # Half for a and half for b: nobody called it a tie.
    assert followed({"ties": "keep"}, {"posterior": (0.5, 0.0, 0.5)}).counts["ties"] == 1


@pytest.mark.parametrize(
    ("recipe", "rule"),
    [
        ({"min_agreement": 0.7}, "min_agreement"),  # 2 of 3
        ({"min_judgements": 4}, "min_judgements"),
        ({"min_annotators": 4}, "min_annotators"),
    ],
)
@pytest.mark.parametrize("kind", [TIE, BAD])
def test_what_is_kept_undecided_is_held_to_the_rules(recipe: dict[str, Any], rule: str, kind: dict[str, Any]) -> None:
    built = followed({"ties": "keep", "both_bad": "keep", **recipe}, kind)

    assert [drop.rule for drop in built.dropped] == [rule]
    assert len(followed({"ties": "keep", "both_bad": "keep", "min_probability": 1.0}, kind).undecided) == 1


def test_a_tie_aware_target_has_the_probability_of_a_tie_beside_the_sides() -> None:
    (row,) = followed({"target": "tie-aware"}, {}).rows

    assert row["tie_probability"] == 0.15
    assert "tie_probability" not in followed({}, {}).rows[0]


def test_undecided_rows_are_the_same_whichever_completion_is_called_a() -> None:
    turned = TIE | {"completion_a": [message("It is 5, I think.")], "completion_b": [message("4")]}
    same = [message("Same?", "user")]
    built = apply(Recipe(ties="keep"), [candidate("x", prompt=same, **TIE), candidate("y", prompt=same, **turned)])

    assert [row["id"] for row in built.undecided] == ["x"]
    assert built.counts["dedupe"] == 1


# --- what is taken out -----------------------------------------------------------------------------------------------


def test_identifiers_leave_texts_and_metadata_coherently() -> None:
    given = {
        "completion_a": [message("Write to ann@corp.org.")],
        "metadata": {"by": "ann@corp.org", "user": "u1"},
        "votes": [vote("ann", -2), vote("gpt", -1, kind="judge")],
    }
    recipe = {"deidentify": {"texts": ["email"], "raters": "pseudonyms", "metadata": ["by"]}}
    built = followed(recipe, given, {})

    first, second = built.rows
    assert first["chosen"][0]["content"] == "Write to [email-1]."
    assert first["metadata"] == '{"by":"[email-1]"}'
    assert [said["rater"] for said in first["votes"]] == ["annotator-1", "gpt"]
    assert second["votes"][0]["rater"] == "annotator-1"  # ann again
    assert built.changed == {"deidentify": 1}


def test_without_the_rule_nothing_is_taken_out() -> None:
    (row,) = followed({}, {"completion_a": [message("Write to ann@corp.org.")], "metadata": {"by": "me"}}).rows

    assert "ann@corp.org" in row["chosen"][0]["content"]
    assert row["metadata"] == '{"by":"me"}'


def test_metadata_may_stay_out() -> None:
    (row,) = followed({"deidentify": {"metadata": False}}, {"metadata": {"by": "me"}}).rows

    assert row["metadata"] == "{}"


def test_a_treated_row_counts_as_changed() -> None:
    from curation.exports.candidates import Treatment

    assert followed({}, {"treatment": Treatment("flip", "why")}).changed == {"noise": 1}
    assert set(CHANGING) == {"noise", "deidentify"}


# --- decontamination -------------------------------------------------------------------------------------------------


def test_what_repeats_an_evaluation_set_is_dropped_with_the_cause() -> None:
    words = "one two three four five six seven"
    held = Contamination({"bench": [words]}, words=5)
    built = followed({}, {"completion_b": [message(f"so: {words}")]}, {}, contamination=held)

    (drop,) = built.dropped
    assert (drop.id, drop.rule) == ("c0", "decontaminate")
    assert "bench" in drop.cause
    assert [row["id"] for row in built.rows] == ["c1"]


# --- recipes side by side --------------------------------------------------------------------------------------------


def test_every_rule_that_drops_is_counted_in_its_order() -> None:
    assert tuple(followed({}, {}).counts) == RULE_NAMES


def test_the_difference_of_two_recipes_is_told_by_field() -> None:
    old = Recipe.from_dict({"min_annotators": 2, "where": {"source": ["a"]}, "balance": {"by": "side", "most": 0.5}})
    new = Recipe.from_dict({"method": "auto", "where": {"source": ["a", "b"]}, "split": {"seed": 4}, "ties": "keep"})

    assert diff(old, new) == [
        Change("method", "dawid-skene", "auto"),
        Change("min_annotators", 2, 0),
        Change("ties", "drop", "keep"),
        Change("split.seed", 0, 4),
        Change("where.source", ["a"], ["a", "b"]),
        Change("balance.by", "side", None),
        Change("balance.most", 0.5, None),
    ]
    assert diff(old, old) == []


def test_a_recipe_without_younger_fields_is_written_as_it_always_was() -> None:
    # The keys, and so the hash, of a recipe of the first release.
    assert list(Recipe().to_dict()) == [
        "method", "min_annotators", "min_judgements", "min_probability", "include_judges", "ties", "both_bad", "noise",
        "target", "split", "dedupe", "sources",
    ]  # fmt: skip
    assert Recipe().to_dict()["split"] == {"train": 0.8, "validation": 0.1, "test": 0.1, "seed": 0}


EVERYTHING: dict[str, Any] = {
    "method": "auto",
    "ties": "keep",
    "target": "tie-aware",
    "aspect": "helpful",
    "where": {"language": ["de"], "level": [1, 2.5, True]},
    "min_agreement": 0.5,
    "deidentify": {"texts": ["email", "phone:DE"], "raters": "none", "metadata": ["a"]},
    "near_duplicates": {"threshold": 0.7, "of": "prompt"},
    "decontaminate": {"against": ["gsm8k"], "words": 8},
    "balance": {"by": "length", "most": 0.4},
    "split": {"train": 0.5, "validation": 0.25, "test": 0.25, "seed": 1, "by": "cluster"},
}


def test_every_field_survives_its_dict() -> None:
    recipe = Recipe.from_dict(EVERYTHING)

    assert Recipe.from_dict(recipe.to_dict()) == recipe
    assert recipe.to_dict().items() >= EVERYTHING.items()


# A field that is wrong, and the name that the message must carry.
@pytest.mark.parametrize(
    ("recipe", "field"),
    [
        ({"where": {}}, "where"),
        ({"where": {"source": []}}, "where.source"),  # nothing could be kept
        ({"where": {"source": "forum"}}, "where.source"),
        ({"where": {"source": [None]}}, "where.source"),
        ({"where": ["forum"]}, "where"),
        ({"where": {"level": [float("nan")]}}, "where.level"),
        ({"where": {"source": ["a\0b"]}}, "where.source"),  # what no database holds
        ({"where": {"\ud800": ["a"]}}, "where"),
        ({"aspect": "a\0"}, "aspect"),
        ({"noise": {"method": ["x"], "max_score": 0.5}}, "noise.method"),
        ({"method": ["majority"]}, "method"),
        ({"split": [1]}, "split"),
        ({"balance": {"by": "\udfff", "most": 3}}, "balance.by"),
        ({"decontaminate": {"against": ["\0"]}}, "decontaminate.against"),
        ({"min_agreement": 1.2}, "min_agreement"),
        ({"aspect": ""}, "aspect"),
        ({"aspect": 3}, "aspect"),
        ({"aspect": "style", "noise": {"method": "consensus-entropy", "max_score": 0.5}}, "noise"),
        ({"deidentify": {"texts": ["names"]}}, "deidentify.texts"),
        ({"deidentify": {"texts": "email"}}, "deidentify.texts"),
        ({"deidentify": {"raters": "hidden"}}, "deidentify.raters"),
        ({"deidentify": {"metadata": []}}, "deidentify.metadata"),
        ({"deidentify": {"names": True}}, "deidentify.names"),
        ({"near_duplicates": {"threshold": 0}}, "near_duplicates.threshold"),
        ({"near_duplicates": {"of": "completion"}}, "near_duplicates.of"),
        ({"near_duplicates": 0.8}, "near_duplicates"),
        ({"decontaminate": {}}, "decontaminate.against"),
        ({"decontaminate": {"against": ["x"], "words": 1}}, "decontaminate.words"),
        ({"balance": {"by": "side", "most": 0.4}}, "balance.most"),  # one of two sides has half at least
        ({"balance": {"by": "side", "most": 1.0}}, "balance.most"),
        ({"balance": {"by": "side", "most": 0}}, "balance.most"),
        ({"balance": {"by": "", "most": 5}}, "balance.by"),
        ({"balance": {"by": "source", "most": 0.5}, "sources": ["human"]}, "balance.most"),  # people alone are all
        ({"balance": {"by": "source", "most": 0.5}, "include_judges": False}, "balance.most"),
        ({"balance": {"by": "topic", "most": 5}, "deidentify": {"metadata": ["source"]}}, "balance.by"),
        ({"balance": {"by": "topic", "most": 5}, "deidentify": {"metadata": False}}, "balance.by"),
        ({"split": {"by": "row"}}, "split.by"),
    ],
)
def test_what_contradicts_itself_or_could_keep_nothing_is_refused_by_its_field(
    recipe: dict[str, Any], field: str
) -> None:
    with pytest.raises(ValueError) as refused:
        Recipe.from_dict(recipe)

    assert refused.value.args[0] == field

"""What a policy does to labels: its rules in their order, its limits, and everything that it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from curation.noise import ACTIONS, METHODS, PRESETS, Labels, Limits, Policy, Rule, decide, preset, preview
from curation.stats.votes import FloatArray

ENTROPY, MODEL, RATERS = "consensus-entropy", "reward-model-disagreement", "rater-quality"
NO_LIMITS = Limits(max_dropped=1, unanimous=99, asked=None)


def labels(n: int, **given: Any) -> Labels:
    """n labels of side b by two people who are not unanimous, with reward models far on the other side."""
    values: dict[str, Any] = {
        "id": np.arange(n),
        "side": np.ones(n, dtype=np.int64),
        "people": np.full(n, 2),
        "unanimous": np.zeros(n, dtype=bool),
        "margin": np.full(n, -2.0),
    }
    return Labels(**(values | {name: np.asarray(value) for name, value in given.items()}))


def scores(**methods: list[float]) -> dict[str, FloatArray]:
    return {name.replace("_", "-"): np.array(values) for name, values in methods.items()}


def told(policy: Policy, found: dict[str, FloatArray], **given: Any) -> list[str]:
    n = len(next(iter(found.values())))
    return [ACTIONS[code] for code in decide(policy, labels(n, **given), found).action]


def test_the_first_rule_that_holds_decides() -> None:
    policy = Policy((Rule((ENTROPY,), "drop", at_least=0.9), Rule((ENTROPY,), "soften", at_least=0.5)), NO_LIMITS)

    assert told(policy, scores(consensus_entropy=[0.95, 0.9, 0.6, 0.4, np.nan])) == [
        "drop", "drop", "soften", "keep", "keep",
    ]  # fmt: skip


def test_any_method_is_enough_unless_they_must_agree() -> None:
    found = scores(consensus_entropy=[0.9, 0.1, 0.9], rater_quality=[0.9, 0.9, np.nan])

    assert told(Policy((Rule((ENTROPY, RATERS), "drop", at_least=0.8),), NO_LIMITS), found) == ["drop"] * 3
    assert told(Policy((Rule((ENTROPY, RATERS), "drop", at_least=0.8, agree=True),), NO_LIMITS), found) == [
        "drop", "keep", "keep",
    ]  # fmt: skip


def test_the_worst_share_is_exact_however_many_scores_are_equal_and_never_takes_a_score_of_0() -> None:
    # Two fifths of the five that are scored are two: of the three with .7 the lower ids go first.
    policy = Policy((Rule((ENTROPY,), "drop", worst=0.4),), NO_LIMITS)

    assert told(policy, scores(consensus_entropy=[0.2, 0.7, 0.7, 0.7, 0.1, np.nan])) == [
        "keep", "drop", "drop", "keep", "keep", "keep",
    ]  # fmt: skip
    assert told(policy, scores(consensus_entropy=[0.0, 0.0, 0.0, 0.0, 0.3])) == ["keep"] * 4 + ["drop"]


def test_a_label_is_flipped_only_where_two_methods_agree_and_models_are_far_on_the_other_side() -> None:
    policy = Policy((Rule((MODEL, RATERS), "flip", at_least=0.8, agree=True),), NO_LIMITS)
    found = scores(reward_model_disagreement=[0.9] * 5, rater_quality=[0.9, 0.9, 0.9, 0.9, 0.2])

    # In order: all holds; a margin of only 0.9; no margin; a tie has no other side; the second method is not sure.
    assert told(policy, found, margin=[-1.1, -0.9, np.nan, -2, -2], side=[1, 1, 1, 0, 1]) == ["flip"] + ["keep"] * 4


def test_people_who_all_name_one_side_are_never_dropped_and_the_limit_is_told() -> None:
    policy = Policy((Rule((ENTROPY,), "drop", at_least=0.5),), Limits(max_dropped=1, unanimous=3))
    made = decide(
        policy, labels(3, unanimous=[True, True, False], people=[3, 2, 3]), scores(consensus_entropy=[0.9] * 3)
    )

    assert [ACTIONS[code] for code in made.action] == ["keep", "drop", "drop"]
    assert made.limited.tolist() == [1, 0, 0]


def test_of_more_than_may_be_dropped_the_least_doubtful_are_softened() -> None:
    policy = Policy((Rule((ENTROPY,), "drop", at_least=0.5),), Limits(max_dropped=0.5))
    made = decide(policy, labels(4), scores(consensus_entropy=[0.6, 0.9, 0.7, 0.8]))

    assert [ACTIONS[code] for code in made.action] == ["soften", "drop", "soften", "drop"]
    assert made.weight.tolist() == [0.5, 0, 0.5, 0]


def test_people_are_asked_about_the_most_doubtful_while_the_budget_lasts() -> None:
    policy = Policy((Rule((ENTROPY,), "ask_people", at_least=0.5),), Limits(asked=1, otherwise="keep"))

    assert told(policy, scores(consensus_entropy=[0.6, 0.9, 0.7])) == ["keep", "ask_people", "keep"]


def test_a_decision_names_its_rule_its_strongest_method_and_that_score() -> None:
    policy = Policy((Rule((ENTROPY, RATERS), "soften", at_least=0.5, weight=0.25),), NO_LIMITS)
    made = decide(policy, labels(2), scores(consensus_entropy=[0.6, 0.1], rater_quality=[0.8, 0.2]))

    assert (made.rule[0], policy.methods[made.method[0]], made.score[0], made.weight[0]) == (0, RATERS, 0.8, 0.25)
    assert (made.rule[1], made.method[1], made.weight[1]) == (-1, -1, 0)
    assert np.isnan(made.score[1])


def test_a_preview_counts_by_action_and_by_rule_and_shows_the_most_doubtful() -> None:
    policy = Policy((Rule((ENTROPY,), "ask_people", at_least=0.8), Rule((ENTROPY,), "soften", at_least=0.5)))
    counted, _ = preview(policy, labels(5), scores(consensus_entropy=[0.6, 0.9, 0.85, 0.1, np.nan]), examples=1)

    assert counted.counts == {"keep": 2, "soften": 1, "flip": 0, "ask_people": 2, "drop": 0}
    assert [rule["ask_people"] + rule["soften"] for rule in counted.by_rule] == [2, 1]
    assert counted.examples == {"soften": [0], "flip": [], "ask_people": [1], "drop": []}
    assert (counted.judgements, counted.unscored, counted.idle, counted.everything) == (2, (), (), ())


def test_a_preview_warns_of_methods_without_scores_and_of_rules_that_hold_for_nothing_or_everything() -> None:
    policy = Policy((Rule((RATERS,), "soften", at_least=0.9), Rule((ENTROPY,), "drop", at_least=0)), NO_LIMITS)
    counted, _ = preview(policy, labels(2), scores(consensus_entropy=[0.1, 0.2]))

    assert (counted.unscored, counted.idle, counted.everything) == ((RATERS,), (0,), (1,))
    assert counted.confirm


def test_no_labels_are_a_preview_of_nothing() -> None:
    counted, made = preview(preset("cautious", []), labels(0), {})

    assert counted.n == len(made.action) == sum(counted.counts.values()) == 0
    assert not counted.confirm


def test_decisions_do_not_depend_on_the_order_of_the_labels() -> None:
    rng = np.random.default_rng(5)
    score, ids = np.round(rng.random(200), 1), rng.permutation(200)
    policy = Policy(
        (Rule((ENTROPY,), "drop", worst=0.3), Rule((ENTROPY,), "ask_people", at_least=0.5)),
        Limits(max_dropped=0.2, asked=20),
    )
    order = rng.permutation(200)
    first = decide(policy, labels(200, id=ids), {ENTROPY: score})
    second = decide(policy, labels(200, id=ids[order]), {ENTROPY: score[order]})

    assert second.action.tolist() == first.action[order].tolist()


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_valid_whatever_has_been_scored(name: str) -> None:
    for scored in ([], [ENTROPY], list(METHODS)):
        policy = preset(name, scored)
        assert Policy.from_dict(policy.to_dict()) == policy
    assert set(preset("filter", [ENTROPY]).methods) == {ENTROPY}


def test_the_cautious_preset_drops_nothing() -> None:
    counted, _ = preview(preset("cautious", [ENTROPY]), labels(300), {ENTROPY: np.linspace(0, 1, 300)})

    assert counted.counts["drop"] == counted.counts["flip"] == 0
    assert counted.counts["ask_people"] == 100


def test_an_unknown_preset_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="flip-confident"):
        preset("brave", [])


DROP = {"methods": [ENTROPY], "action": "drop", "at_least": 0.5}


@pytest.mark.parametrize(
    ("policy", "field"),
    [
        ([], "policy"),
        ({}, "rules"),
        ({"rules": []}, "rules"),
        ({"rules": "drop"}, "rules"),
        ({"rules": ["drop"]}, "rules.0"),
        ({"rules": [DROP], "limit": {}}, "limit"),
        ({"rules": [DROP | {"methods": ["magic"]}]}, "rules.0.methods"),
        ({"rules": [DROP | {"methods": []}]}, "rules.0.methods"),
        ({"rules": [DROP | {"methods": ENTROPY}]}, "rules.0.methods"),
        ({"rules": [DROP | {"methods": [ENTROPY, ENTROPY]}]}, "rules.0.methods"),
        ({"rules": [DROP | {"methods": [[]]}]}, "rules.0.methods"),
        ({"rules": [{"methods": [ENTROPY], "at_least": 1}]}, "rules.0.action"),
        ({"rules": [DROP | {"action": "burn"}]}, "rules.0.action"),
        ({"rules": [DROP | {"colour": 1}]}, "rules.0.colour"),
        ({"rules": [DROP | {"at_least": 1.5}]}, "rules.0.at_least"),
        ({"rules": [DROP | {"at_least": "high"}]}, "rules.0.at_least"),
        ({"rules": [DROP | {"at_least": float("nan")}]}, "rules.0.at_least"),
        ({"rules": [DROP | {"worst": 0.2}]}, "rules.0.at_least"),  # which of the two?
        ({"rules": [DROP | {"at_least": None}]}, "rules.0.at_least"),
        ({"rules": [DROP | {"fewer_than": 0}]}, "rules.0.fewer_than"),
        ({"rules": [DROP | {"weight": 0.5}]}, "rules.0.weight"),
        ({"rules": [DROP | {"action": "soften", "weight": 1}]}, "rules.0.weight"),
        ({"rules": [DROP | {"action": "flip"}]}, "rules.0.agree"),
        ({"rules": [DROP | {"action": "flip", "agree": True}]}, "rules.0.agree"),
        ({"rules": [DROP, DROP | {"action": "soften", "at_least": 0.7}]}, "rules.1"),  # never reached
        ({"rules": [DROP], "limits": {"max_dropped": 0}}, "limits.max_dropped"),
        ({"rules": [DROP], "limits": {"max_dropped": 2}}, "limits.max_dropped"),
        ({"rules": [DROP], "limits": {"unanimous": 0}}, "limits.unanimous"),
        ({"rules": [DROP], "limits": {"asked": -1}}, "limits.asked"),
        ({"rules": [DROP], "limits": {"otherwise": "drop"}}, "limits.otherwise"),
        ({"rules": [DROP], "limits": {"flip_margin": float("inf")}}, "limits.flip_margin"),
        ({"rules": [DROP], "limits": []}, "limits"),
        ({"rules": [DROP], "limits": "none"}, "limits"),
    ],
)
def test_what_is_wrong_with_a_policy_is_named_with_its_rule_and_field(policy: Any, field: str) -> None:
    with pytest.raises(ValueError, match=r".") as refused:
        Policy.from_dict(policy)
    assert refused.value.args[0] == field


def test_a_later_rule_for_those_whom_few_have_judged_is_no_contradiction() -> None:
    first = {"methods": [ENTROPY], "action": "ask_people", "at_least": 0.5, "fewer_than": 3}

    assert len(Policy.from_dict({"rules": [first, DROP]}).rules) == 2


def test_scores_of_another_length_are_refused_with_their_shape() -> None:
    with pytest.raises(ValueError, match=r"\(3,\)"):
        decide(Policy((Rule((ENTROPY,), "soften", at_least=0.5),)), labels(2), {ENTROPY: np.zeros(3)})

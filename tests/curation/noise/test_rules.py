"""Rules over texts: what each finds, which place it quotes, and what it must leave alone."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.noise.rules import QUOTE, RULES, Texts, rules, script_of

LONG = "It rains in spring because warm and wet air from the sea meets the cold that the winter left behind. "


def texts(**given: Any) -> Texts:
    """A question about the weather, answered well twice; the label is a."""
    values = {"prompt": "Why does it rain in spring?", "a": LONG * 3, "b": "Since the air cools down.", "side": -1}
    return Texts(**(values | given))


def hits(**given: Any) -> list[tuple[str, str, str]]:
    details = rules([texts(**given)]).details
    assert details is not None
    return [(hit["rule"], hit["place"], hit["quote"]) for hit in details[0]["hits"]]


def test_good_texts_have_no_hit_and_a_score_of_0() -> None:
    found = rules([texts()])

    assert (found.score.tolist(), found.text) == ([0.0], ["no rule found anything"])


@pytest.mark.parametrize(
    ("given", "rule", "place", "quote"),
    [
        ({"b": "As an AI language model, I cannot rain."}, "identity-leak", "b", "As an AI language model"),
        ({"a": "I am ChatGPT, ask me anything."}, "identity-leak", "a", "I am ChatGPT"),
        ({"a": "Well, I was trained by OpenAI in 2022."}, "identity-leak", "a", "trained by OpenAI"),
        ({"a": "I'm sorry, but I can't help with that."}, "refusal", "a", "I'm sorry, but"),
        ({"b": "I’m sorry, but no."}, "refusal", "b", "I'm sorry, but"),
        ({"a": "I cannot assist with this."}, "refusal", "a", "I cannot assist"),
        ({"a": LONG * 2 + "And then the clouds over the"}, "truncated", "a", "And then the clouds over the"),
        ({"b": "So:\n```python\nprint(1)"}, "truncated", "b", "print(1)"),
        ({"a": "Весной идёт дождь, потому что воздух охлаждается."}, "wrong-language", "a", "Cyrillic for Latin"),
        ({"a": "春天下雨是因为温暖潮湿的空气遇到了冬天留下的冷空气。"}, "wrong-language", "a", "Chinese or Japanese"),
        ({"prompt": "Почему весной идёт дождь и не снег?", "b": "!"}, "wrong-language", "a", "Latin for Cyrillic"),
        ({"a": "  \n"}, "empty", "a", "nothing"),
        ({"a": "…"}, "empty", "a", "…"),
        ({"b": LONG.upper() * 3}, "identical", "both", "IT RAINS"),
        ({"pasted": [("A is much better in every way.", 7)]}, "pasted", "justification", "(on 7 comparisons)"),
    ],
)  # fmt: skip
def test_each_rule_finds_its_place_and_quotes_it(given: dict[str, Any], rule: str, place: str, quote: str) -> None:
    found = {name: (where, words) for name, where, words in hits(**given)}

    assert found[rule][0] == place
    assert quote.lower() in found[rule][1].lower()


@pytest.mark.parametrize(
    "given",
    [
        {"b": "Claude Monet painted in the rain. He was born in 1840."},  # a name is no model by itself
        {"a": "Google published a study about rain."},
        {"a": "I'm sorry, but no.", "b": "I cannot help with that."},  # both refuse: the label is about something else
        {"a": LONG * 3 + "I am unable to say more."},  # it answered first
        {"a": "Rain"},  # short
        {"a": LONG * 3 + "\n- sun\n- rain\n- more sun"},  # a list
        {"a": LONG * 3 + "```\nx = 1\n```"},
        {"a": LONG * 3 + "What a day 🌧"},
        {"prompt": "Translate into Russian: rain", "a": "Весной идёт дождь, потому что воздух охлаждается."},
        {"prompt": "3 + 4 = ?", "a": "Сумма чисел три и четыре равна семи, конечно."},  # too few letters to tell
        {"a": "Es regnet im Frühling, weil sich die feuchte Luft abkühlt."},  # languages are not told apart
        {"a": "```\nпеременная = 1  # число, с которого начинаем\n```"},
        {"a": "", "b": "x", "side": 1},
    ],
)
def test_what_the_rules_leave_alone(given: dict[str, Any]) -> None:
    assert [hit for hit in hits(**given) if hit[0] != "empty"] == []


@pytest.mark.parametrize("rule", ["refusal", "truncated", "wrong-language", "empty", "identity-leak"])
def test_a_spoilt_text_that_was_chosen_is_more_doubtful_than_one_that_was_rejected(rule: str) -> None:
    spoilt = {
        "refusal": "I'm sorry, but no.", "truncated": "```\nx", "wrong-language": "Весной идёт дождь, а зимой снег.",
        "empty": "", "identity-leak": "I am ChatGPT.",
    }[rule]  # fmt: skip
    chosen, rejected, tie = rules([texts(a=spoilt, side=side) for side in (-1, 1, 0)]).score.tolist()

    assert chosen > rejected == tie > 0


def test_the_strongest_hit_gives_the_score_and_all_of_them_the_cause() -> None:
    found = rules([texts(a="", b="I am ChatGPT.")])

    assert found.score.tolist() == [0.9]
    assert found.text[0] == "nothing to read in A: “nothing”; a model names itself or its maker in B: “I am ChatGPT.”"


def test_no_comparisons_have_no_scores() -> None:
    assert rules([]).score.shape == (0,)


def test_a_script_needs_letters_and_four_fifths_of_them() -> None:
    latin, cyrillic = "abcdefghijklmnopqrstuvwxyz", "абвгдежзийклмнопрстуфхцч"

    assert (script_of(latin), script_of(cyrillic), script_of("abc"), script_of("")) == ("Latin", "Cyrillic", "", "")
    assert script_of(latin + cyrillic) == ""


@given(st.text(max_size=400), st.text(max_size=400), st.text(max_size=100), st.sampled_from([-1, 0, 1]))
def test_any_text_is_read_and_swapping_the_sides_swaps_the_hits(a: str, b: str, prompt: str, side: int) -> None:
    one, other = rules([Texts(prompt, a, b, side), Texts(prompt, b, a, -side)]).details or ()
    swapped = {"a": "b", "b": "a"}

    told = sorted((hit["rule"], hit["place"], hit["score"]) for hit in one["hits"])
    back = sorted((hit["rule"], swapped.get(hit["place"], hit["place"]), hit["score"]) for hit in other["hits"])
    assert told == back
    assert all(0 <= hit["score"] <= 1 and len(hit["quote"]) <= 3 * QUOTE for hit in one["hits"])


def test_every_rule_has_words_for_its_cause() -> None:
    assert all(rule.label and callable(rule.check) for rule in RULES.values())

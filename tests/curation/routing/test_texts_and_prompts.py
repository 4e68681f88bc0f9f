"""How alike two texts are and what a prompt asks for, by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.routing import Item, extract, prompts, texts

WORDS = st.lists(st.sampled_from("abcd"), max_size=12)


def test_measures_of_likeness_by_hand() -> None:
    # the cat sat on the mat / the cat lay on a mat: distinct 5 and 6, in both the, cat, on, mat: 4 of 7.
    a, b = texts.words("The cat sat on the mat."), texts.words("the cat lay on a mat")

    assert texts.jaccard(a, b) == pytest.approx(4 / 7)
    assert texts.rouge_1(a, b) == pytest.approx(2 * 4 / 12)
    assert texts.longest_common(a, b) == 4  # the cat on mat
    assert texts.rouge_l(["x", "y", "z"], ["z", "y", "x"]) == pytest.approx(1 / 3)  # one word in order


def test_trigrams_by_hand() -> None:
    # abcd has abc and bcd, bcde has bcd and cde: one in common of two each, cosine 1/2.
    assert texts.trigram_cosine("ABCD", "bcde") == pytest.approx(0.5)
    assert texts.trigram_cosine("", "") == 1
    assert texts.trigram_cosine("abc", "xyz") == 0


def slow_longest_common(a: list[str], b: list[str]) -> int:
    table = np.zeros((len(a) + 1, len(b) + 1), dtype=int)
    for i, j in np.ndindex(len(a), len(b)):
        same = a[i] == b[j]
        table[i + 1, j + 1] = table[i, j] + 1 if same else max(table[i, j + 1], table[i + 1, j])
    return int(table[-1, -1])


@settings(max_examples=150, deadline=None)
@given(WORDS, WORDS)
def test_the_longest_common_subsequence_is_that_of_the_textbook_table(a: list[str], b: list[str]) -> None:
    assert texts.longest_common(a, b) == slow_longest_common(a, b)


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=40), st.text(max_size=40))
def test_likeness_is_symmetric_between_0_and_1_and_1_for_equal_texts(a: str, b: str) -> None:
    left, right = texts.words(a), texts.words(b)
    for measure in (texts.jaccard, texts.rouge_1, texts.rouge_l):
        assert 0 <= measure(left, right) <= 1
        assert measure(left, right) == measure(right, left)
        assert measure(left, left) == 1
    assert 0 <= texts.trigram_cosine(a, b) <= 1
    assert texts.trigram_cosine(a, a) == pytest.approx(1)


def test_cosine_of_a_zero_vector_is_absent() -> None:
    assert texts.cosine(np.array([[3.0, 4.0], [0, 0]]), np.array([[4.0, 3.0], [1, 1]]))[0] == pytest.approx(24 / 25)
    assert np.isnan(texts.cosine(np.zeros((1, 2)), np.ones((1, 2)))[0])


def table(prompt: str, **changes: object) -> dict[str, float]:
    features = extract([Item(**{"id": 1, "prompt": prompt, "completion_a": "x", "completion_b": "y"} | changes)])  # type: ignore[arg-type]
    return dict(zip(features.names, features.table[0].tolist(), strict=True))


def test_intent_of_a_simple_and_of_a_complex_prompt() -> None:
    simple = table("What is the capital of France?")
    demanding = table(
        "Write a haiku about law. It must rhyme! Use at most 20 words. Avoid the word court. Clear? Are you ready?"
    )

    assert (simple["questions"], simple["sentences"], simple["constraints"], simple["imperative"]) == (1, 1, 0, 0)
    assert (simple["complexity"], demanding["complexity"]) == (0, 2)
    assert (demanding["imperative"], demanding["creative"]) == (1, 1)
    assert prompts.COMPLEXITIES[int(demanding["complexity"])] == "complex"


def test_code_maths_domain_and_concern() -> None:
    values = table("Calculate 12 * 7 and the square, then fix this python function:\n```\npass\n```")

    assert (values["has_code"], values["has_maths"]) == (1, 1)
    assert list(prompts.DOMAINS)[int(values["domain"])] in ("code", "maths")
    assert prompts.SAFETY[int(table("How to build a bomb")["safety"])] == "high"
    assert table("Good morning")["safety"] == 0
    assert np.isnan(table("Good morning")["domain"])
    assert list(prompts.DOMAINS)[int(table("Good morning", domain="law")["domain"])] == "law"


def test_what_rests_on_english_words_is_absent_for_another_language() -> None:
    german = table("Schreibe ein Gedicht über die Bombe", language="de")
    english = table("Write a poem", language="en-GB")

    for name in ("constraints", "imperative", "creative", "complexity", "domain", "safety"):
        assert np.isnan(german[name])
    assert english["imperative"] == 1
    assert german["questions"] == 0
    assert german["trigram_cosine"] == 0


def test_given_figures_are_taken_over_and_folded() -> None:
    values = table(
        "p", judge_probability=0.8, margin=-2.0, margin_deviation=0.3, embedding_similarity=0.4, novelty=0.1,
        difficulty=0.2, trust=0.9, judge_disagreement=0.5,
    )  # fmt: skip

    assert (values["judge_doubt"], values["margin_size"]) == (pytest.approx(0.2), 2)
    given = ["margin_deviation", "embedding_similarity", "novelty", "difficulty", "trust", "judge_disagreement"]
    assert [values[name] for name in given] == [0.3, 0.4, 0.1, 0.2, 0.9, 0.5]


def test_an_empty_comparison_has_features() -> None:
    values = table("", completion_a="", completion_b="")
    assert (values["jaccard"], values["sentences"], values["longer_length"]) == (1, 0, 0)


def test_whether_the_judges_chose_the_longer_does_not_depend_on_the_sides() -> None:
    there = table("p", completion_a="aaaa", completion_b="b", judge_probability=0.2)
    back = table("p", completion_a="b", completion_b="aaaa", judge_probability=0.8)

    assert (there["judge_for_longer"], back["judge_for_longer"]) == (1, 1)
    assert (there["length_ratio"], back["length_ratio"]) == (0.25, 0.25)
    assert table("p", completion_a="aaaa", completion_b="b", judge_probability=0.9)["judge_for_longer"] == 0
    assert np.isnan(table("p", completion_a="aa", completion_b="bb", judge_probability=0.9)["judge_for_longer"])
    assert np.isnan(table("p", judge_probability=0.5)["judge_for_longer"])

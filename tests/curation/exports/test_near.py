"""Near-duplicates: what repeats what, held against all pairs counted out in Python's own sets."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from curation.exports.near import BLOCK, Near, NearDuplicates, Plan, find, sketch

SENTENCE = "the quick brown fox jumps over the lazy dog and then goes home to sleep for a very long time"


def near(texts: Sequence[str], threshold: float = 0.8, seed: int = 0) -> Near:
    return _told(texts, threshold, seed).find()


def _told(texts: Sequence[str], threshold: float, seed: int = 0) -> NearDuplicates:
    found = NearDuplicates(threshold, seed)
    for text in texts:
        found.add(text)
    return found


@cache
def runs(text: str) -> set[tuple[str, ...]]:
    words = text.lower().split()
    return {tuple(words[i : i + 3]) for i in range(max(1, len(words) - 2))}


def jaccard(a: str, b: str) -> float:
    return len(runs(a) & runs(b)) / len(runs(a) | runs(b))


def greedy(texts: Sequence[str], threshold: float) -> list[int]:
    """Of all pairs, by the definition: the most alike of the earlier ones that are kept."""
    first: list[int] = []
    for i, text in enumerate(texts):
        kept = [(jaccard(texts[j], text), -j) for j in range(i) if first[j] < 0]
        best = max(kept, default=(0.0, 0))
        first.append(-best[1] if best[0] >= threshold else -1)
    return first


def corpus(rng: np.random.Generator, n: int, share: float = 0.5) -> list[str]:
    """Random texts, some of which repeat one before them with up to one word in twelve exchanged."""
    texts: list[list[str]] = []
    for _ in range(n):
        if texts and rng.random() < share:
            words = list(texts[rng.integers(len(texts))])
            for place in rng.integers(0, len(words), rng.integers(0, 1 + len(words) // 12)):
                words[place] = f"w{rng.integers(3000)}"
        else:
            words = [f"w{w}" for w in rng.integers(0, 3000, rng.integers(15, 120))]
        texts.append(words)
    return [" ".join(words) for words in texts]


@pytest.mark.parametrize("threshold", [0.5, 0.7, 0.8, 0.9])
def test_what_is_found_is_what_all_pairs_say(threshold: float) -> None:
    texts = corpus(np.random.default_rng(3), 200)
    found, expected = near(texts, threshold).first, np.array(greedy(texts, threshold))
    assert (expected >= 0).sum() > 20
    # Which of several kept texts a text repeats is the most alike of those that it was held against.
    assert (found >= 0).tolist() == (expected >= 0).tolist()
    assert (found != expected).sum() <= 3


def test_no_pair_is_below_the_threshold_and_the_similarity_is_the_exact_one() -> None:
    texts = corpus(np.random.default_rng(4), 200)
    found = near(texts, 0.7)
    for i, j in enumerate(found.first.tolist()):
        if j >= 0:
            assert j < i
            assert found.first[j] == -1  # what is repeated is kept
            assert found.similarity[i] == pytest.approx(jaccard(texts[i], texts[j]), abs=1e-12)
            assert found.similarity[i] >= 0.7
        else:
            assert np.isnan(found.similarity[i])


def test_a_word_exchanged_by_hand() -> None:
    # 20 words are 18 runs of three; another last word changes one: 17 of 19 are common.
    found = near([SENTENCE, SENTENCE.replace("time", "while")])
    assert found.first.tolist() == [-1, 0]
    assert found.similarity[1] == pytest.approx(17 / 19)


def test_case_punctuation_and_blanks_do_not_tell_texts_apart() -> None:
    found = near([SENTENCE, f"  {SENTENCE.upper()}!\n"])
    assert (found.first.tolist(), found.similarity[1]) == ([-1, 0], 1.0)


def test_order_decides_which_stays_and_repeats_of_what_is_left_out_are_held_against_what_stays() -> None:
    # c repeats only b, which is left out, so it stays.
    # Four words at an end of 60 are four of 58 runs: 54 of 62 are common; four at either end leave 50 of 66.
    words = [f"w{i}" for i in range(60)]
    a, b = " ".join(words), " ".join([*words[:-4], *"wxyz"])
    c = " ".join([*"wxyz", *words[4:-4], *"wxyz"])
    assert jaccard(a, b) >= 0.8
    assert jaccard(b, c) >= 0.8
    assert jaccard(a, c) < 0.8
    assert near([a, b, c]).first.tolist() == [-1, 0, -1]
    assert near([b, a, c]).first.tolist() == [-1, 0, 0]
    assert _told([a, b, c, "else"], 0.8).clusters().tolist() == [0, 0, 0, 1]


@pytest.mark.parametrize(
    ("texts", "first"),
    [
        ([], []),
        (["alone"], [-1]),
        (["", "", " . "], [-1, -1, -1]),  # nothing repeats nothing
        (["yes", "Yes!", "no"], [-1, 0, -1]),
        (["two words", "two words", "two"], [-1, 0, -1]),
        (["\x00", "\ud800 a", "a"], [-1, -1, 1]),
        (["你好吗我很好谢谢你呢", "你好吗我很好谢谢你呢"], [-1, 0]),
        (["aaaa bbbb", "bbbb aaaa"], [-1, -1]),
    ],
)
def test_edges(texts: list[str], first: list[int]) -> None:
    assert near(texts).first.tolist() == first


def test_an_empty_text_among_others_shifts_nothing() -> None:
    texts = ["", SENTENCE, "", "other words altogether, none of them shared", SENTENCE, ""]
    assert near(texts).first.tolist() == [-1, -1, -1, -1, 1, -1]


def test_many_equal_texts_are_all_repeats_of_the_first() -> None:
    n = 20_000
    found = near([SENTENCE] * n)
    assert found.first.tolist() == [-1] + [0] * (n - 1)


def test_many_nearly_equal_texts_are_told_without_looking_at_all_pairs() -> None:
    # Each differs from the others in one word of 60: 55 of 61 runs are common to two of them.
    words = [f"w{i}" for i in range(60)]
    texts = [" ".join([*words[:30], f"n{i}", *words[31:]]) for i in range(BLOCK + 10)]
    assert near(texts).first.tolist() == [-1] + [0] * (len(texts) - 1)


def test_one_template_with_different_contents_is_no_repetition_and_no_square() -> None:
    # Half of each text is common: a third of the runs, so that many share a band and none is near.
    rng = np.random.default_rng(1)
    frame = [f"w{i}" for i in range(40)]
    texts = [" ".join([*frame, *(f"x{x}" for x in rng.integers(0, 10**6, 40))]) for _ in range(2_000)]
    assert set(near(texts).first.tolist()) == {-1}


def test_a_million_characters_beside_short_texts() -> None:
    long = " ".join(f"w{i}" for i in range(130_000))
    found = near([long, "short", long.replace("w5 ", "w6 "), long[:-7]])
    assert found.first.tolist() == [-1, -1, 0, 0]


def test_the_same_seed_says_the_same_and_another_seed_nearly() -> None:
    texts = corpus(np.random.default_rng(5), 300)
    assert near(texts, seed=1).first.tolist() == near(texts, seed=1).first.tolist()
    assert (near(texts, seed=1).first != near(texts, seed=2).first).sum() <= 2


def test_parts_say_what_one_run_says(tmp_path: Path) -> None:
    texts, plan = corpus(np.random.default_rng(6), 300), Plan.of(0.8)
    cuts = [0, 100, 100, 101, 300]
    parts = [sketch(texts[a:b], plan, tmp_path, f"{a}-{b}-{i}") for i, (a, b) in enumerate(itertools.pairwise(cuts))]
    assert find(parts, plan).near.first.tolist() == near(texts).first.tolist()


def test_clusters_join_what_is_near_by_way_of_others() -> None:
    texts = corpus(np.random.default_rng(7), 200)
    codes = _told(texts, 0.8).clusters()
    for i, j in enumerate(near(texts).first.tolist()):
        assert j < 0 or codes[i] == codes[j]
    assert len(set(codes.tolist())) < len(texts)


@pytest.mark.parametrize("threshold", [0.0, -1.0, 1.1, float("nan")])
def test_a_threshold_that_is_no_similarity_is_refused(threshold: float) -> None:
    with pytest.raises(ValueError, match="a similarity above 0"):
        NearDuplicates(threshold)


def test_no_text_is_taken_after_the_first_answer() -> None:
    found = _told(["a"], 0.8)
    found.find()
    with pytest.raises(ValueError, match="before the first question"):
        found.add("b")


@pytest.mark.parametrize("threshold", [0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.99, 1.0])
def test_a_plan_looks_at_99_of_100_pairs_at_its_threshold(threshold: float) -> None:
    plan = Plan.of(threshold)
    assert 1 - (1 - threshold**plan.rows) ** plan.bands >= 0.99
    assert plan.bands * plan.rows <= 128


def test_files_go_with_the_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    found = _told([SENTENCE, SENTENCE], 0.8)
    assert list(tmp_path.iterdir())
    found.find()
    assert not list(tmp_path.iterdir())
    forgotten = _told([SENTENCE], 0.8)
    del forgotten
    assert not list(tmp_path.iterdir())

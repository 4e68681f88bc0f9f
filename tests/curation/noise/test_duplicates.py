"""Conflicts by hand: the same texts labelled twice, cycles, and what is near without being the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.linalg import lstsq

from curation.noise import duplicates
from curation.noise.duplicates import clusters, conflicts, items

WORDS = [f"word{i}" for i in range(120)]
LONG = " ".join(WORDS)


def scored(*edges: tuple[str, str], ties: tuple[tuple[str, str], ...] = ()) -> Any:
    """Edges "ab": a loses to b."""
    everything = [*edges, *ties]
    code = {name: i for i, name in enumerate(sorted({item for edge in everything for item in edge}))}
    side = [1] * len(edges) + [0] * len(ties)
    return conflicts(
        [code[x] for x, _ in everything],
        [code[y] for _, y in everything],
        side,
        [f"c{i}" for i in range(len(everything))],
    )


# --- texts -----------------------------------------------------------------------------------------------------------


def test_texts_that_differ_in_case_and_blanks_are_one_item() -> None:
    assert clusters(items(["It rains.", "it  RAINS.\n", "It snows."])).tolist() == [0, 0, 1]


def test_a_long_text_with_one_other_word_is_nearly_the_same_and_a_short_one_is_not() -> None:
    # One word in 120 is in 3 of 118 shingles: a Jaccard similarity of 115/121 = .95.
    changed = LONG.replace("word60", "other")
    assert len(set(clusters(items([LONG, changed])).tolist())) == 1
    assert len(set(clusters(items(["the answer is 4", "the answer is 5"])).tolist())) == 2


def test_texts_that_share_half_their_words_are_not_near() -> None:
    half = " ".join(WORDS[:60] + [f"else{i}" for i in range(60)])
    assert len(set(clusters(items([LONG, half])).tolist())) == 2


def test_two_near_texts_that_somebody_compared_are_two_items() -> None:
    texts = [LONG, LONG.replace("word60", "not"), LONG.upper()]
    found = clusters(items(texts), (np.array([0]), np.array([1])))
    assert found[0] == found[2] != found[1]


def test_most_near_pairs_are_found_and_no_other_is() -> None:
    rng = np.random.default_rng(3)
    texts = []
    for i in range(200):
        words = [f"w{i}x{rng.integers(10**6)}" for _ in range(150)]
        texts += [" ".join(words), " ".join([*words[:149], "changed"])]
    found = clusters(items(texts))
    together = sum(found[2 * i] == found[2 * i + 1] for i in range(200))
    assert together >= 190
    assert len(set(found.tolist())) == 400 - together


def test_no_texts_are_no_items() -> None:
    assert clusters(items([])).tolist() == []


def test_texts_that_no_file_should_hold_are_read() -> None:
    assert clusters(items(["", "\ud800", "\x00 " * 50])).tolist() != []


# --- conflicts -------------------------------------------------------------------------------------------------------


def test_opposite_labels_of_one_pair_are_each_wrong_by_half_and_name_each_other() -> None:
    found = scored(("a", "b"), ("b", "a"))

    assert found.score.tolist() == pytest.approx([0.5, 0.5])
    assert found.text[0] == "c1 has the same two texts, or nearly, and the opposite label"


def test_two_against_one_leave_the_one_in_doubt() -> None:
    # s_b - s_a is the mean of 1, 1, -1 = 1/3; residuals 2/3, 2/3 and (in its own direction) 4/3; half of them.
    assert scored(("a", "b"), ("a", "b"), ("b", "a")).score.tolist() == pytest.approx([1 / 3, 1 / 3, 2 / 3])


def test_a_cycle_of_three_doubts_each_of_its_labels_and_names_the_others() -> None:
    found = scored(("a", "b"), ("b", "c"), ("c", "a"))

    assert found.score.tolist() == pytest.approx([0.5] * 3)
    assert found.text[0] == "it makes a cycle of 3 with c1, c2: together they say the opposite"


def test_labels_in_one_order_are_in_no_conflict() -> None:
    found = scored(("a", "b"), ("b", "c"), ("a", "c"))

    assert found.score.tolist() == [0, 0, 0]
    assert found.text[0] == "nothing contradicts it"


def test_what_nothing_can_contradict_and_ties_are_not_scored() -> None:
    found = scored(("a", "b"), ("b", "c"), ties=(("a", "c"),))

    assert np.isnan(found.score).all()
    assert set(found.text) == {""}


def test_an_edge_between_two_cycles_is_not_doubted() -> None:
    found = scored(("a", "b"), ("b", "a"), ("b", "c"), ("c", "d"), ("d", "c"))

    assert found.score.tolist() == pytest.approx([0.5, 0.5, 0, 0.5, 0.5])


def test_one_wrong_label_in_a_tournament_is_the_most_doubtful() -> None:
    order = "abcdefg"
    edges = [(x, y) for i, x in enumerate(order) for y in order[i + 1 :]]
    wrong = edges.index(("a", "g"))
    edges[wrong] = ("g", "a")
    score = scored(*edges).score

    assert score.argmax() == wrong
    assert score[wrong] > 1.3 * np.sort(score)[-2]


def test_potentials_are_the_least_squares_that_another_solver_finds() -> None:
    rng = np.random.default_rng(7)
    a, b = rng.integers(0, 12, 60), rng.integers(0, 12, 60)
    keep = a != b
    a, b = a[keep], b[keep]
    design = np.zeros((len(a), 12))
    design[np.arange(len(a)), b] += 1
    design[np.arange(len(a)), a] -= 1
    fitted = design @ lstsq(design, np.ones(len(a)))[0]
    score = conflicts(a, b, np.ones(len(a)), [str(i) for i in range(len(a))]).score
    on_cycle = score > 0

    assert on_cycle.sum() > 30
    assert score[on_cycle] == pytest.approx(np.clip((1 - fitted[on_cycle]) / 2, 0, 1), abs=1e-4)


def test_swapping_the_sides_of_a_comparison_changes_nothing() -> None:
    rng = np.random.default_rng(9)
    a, b, side = rng.integers(0, 9, 40), rng.integers(9, 18, 40), rng.choice([-1, 0, 1], 40)
    swapped = rng.random(40) < 0.5
    names = [str(i) for i in range(40)]
    one = conflicts(a, b, side, names)
    other = conflicts(np.where(swapped, b, a), np.where(swapped, a, b), np.where(swapped, -side, side), names)

    assert other.score == pytest.approx(one.score, abs=1e-6, nan_ok=True)


def test_a_long_cycle_needs_no_recursion_and_names_its_beginning() -> None:
    n = 3_000
    found = conflicts(np.arange(n), (np.arange(n) + 1) % n, np.ones(n), [f"c{i}" for i in range(n)])

    assert found.score == pytest.approx([0.5] * n, abs=1e-3)
    assert found.text[0].startswith("it makes a cycle of 3000 with c1, c2, c3, c4 …")


def test_the_causes_of_many_conflicts_take_no_more_looks_than_they_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "LOOKS", 0)
    monkeypatch.setattr(duplicates, "LEAST", 50)
    n, told = 3_000, []
    circle = np.arange(n), (np.arange(n) + 1) % n
    # The circle is too long to follow; beside it an edge and its opposite, which need no looking.
    a, b = np.append(circle[0], [n, n + 1]), np.append(circle[1], [n + 1, n])
    names = [f"c{i}" for i in range(n + 2)]
    found = conflicts(a, b, np.ones(n + 2), names, tell=lambda: told.append(1))

    assert set(found.text[:n]) == {duplicates.FAR}
    assert found.text[n] == f"c{n + 1} has the same two texts, or nearly, and the opposite label"
    assert len(told) == 4  # before each thousand of 3,002


def test_a_long_chain_is_peeled_to_its_end_and_the_cycle_it_leads_to_is_left() -> None:
    # 0 → 1 → … → n, and a triangle at its end; passes over all edges would be n of n.
    n = 100_000
    a, b = np.append(np.arange(n), [n, n + 1, n + 2]), np.append(np.arange(1, n + 1), [n + 1, n + 2, n])
    alone = duplicates._alone(a, b, np.ones(n + 3, dtype=bool), n + 3)
    assert alone[:n].all()
    assert not alone[n:].any()


def test_a_comparison_of_an_item_with_itself_is_not_scored() -> None:
    assert np.isnan(conflicts([1, 1], [1, 2], [1, 1], ["c0", "c1"]).score).all()


def test_no_comparisons_have_no_conflicts() -> None:
    assert conflicts([], [], [], []).score.shape == (0,)


def test_arrays_of_other_lengths_are_refused_with_their_shape() -> None:
    with pytest.raises(ValueError, match=r"\(2,\)"):
        conflicts([1], [2], [1, 1], ["c0"])

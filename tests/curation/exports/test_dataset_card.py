"""The card is what the hub reads, says what was dropped, and has the same bytes for the same facts."""

from __future__ import annotations

import yaml

from curation.exports.card import CardFacts, RaterFacts, render_card, summarise
from curation.exports.recipe import Recipe, SplitRule
from curation.stats import Estimate, wilson
from tests.curation.exports.rows import candidate, message, row, vote

FACTS = CardFacts(
    name='sums: "hard" ones',
    version=2,
    digest="ab" * 32,
    recipe=Recipe(split=SplitRule(1.0, 0.0, 0.0)).to_dict(),
    dropped={"ties": 3, "noise": 0},
    raters=[RaterFacts("bob", "annotator", 5, Estimate(0.8, 0.6, 0.9, 5)), RaterFacts("ann", "annotator", 9)],
    agreement=Estimate(0.41, 0.3, 0.52, 40),
    license="cc-by-4.0",
    languages=["en"],
)
ROWS = [row("c1"), row("c2", votes=[vote("ann", 1), vote("gpt", -1, kind="judge")])]


def test_the_front_matter_is_yaml_with_a_file_for_each_split_that_has_rows() -> None:
    _, front, _ = render_card(FACTS, summarise(ROWS)).split("---\n", 2)

    read = yaml.safe_load(front)

    split = ROWS[0]["split"]
    assert read["pretty_name"] == 'sums: "hard" ones v2'
    assert read["configs"] == [{"config_name": "default", "data_files": [{"split": split, "path": f"{split}.parquet"}]}]
    assert (read["license"], read["size_categories"], read["language"]) == ("cc-by-4.0", ["n<1K"], ["en"])


def test_the_card_tells_what_was_dropped_and_how_far_raters_agree() -> None:
    card = render_card(FACTS, summarise(ROWS))

    assert "| ties | 3 |" in card
    assert "0.410 (0.300 to 0.520)" in card
    assert "| bob | annotator | 1 | 20.0 % | 0.800 (0.600 to 0.900) |" in card
    assert card.index("| ann |") < card.index("| bob")
    assert "simulated" not in card


def test_simulated_judgements_are_said_to_be_simulated() -> None:
    facts = CardFacts("d", 1, "0", {}, {}, simulated=True)

    assert "were simulated" in render_card(facts, summarise([]))


def test_a_skill_that_was_not_measured_is_none_and_not_nan() -> None:
    nan = float("nan")
    facts = CardFacts("d", 1, "0", {}, {}, raters=[RaterFacts("ann", "annotator", 1, Estimate(nan, nan, nan, 1))])

    assert "| ann | annotator | 2 | 40.0 % | none: not measured |" in render_card(facts, summarise(ROWS))


def test_the_same_facts_make_the_same_bytes() -> None:
    assert render_card(FACTS, summarise(ROWS)) == render_card(FACTS, summarise(list(ROWS)))


def test_statistics_by_hand() -> None:
    # c1: chosen "4" is the shorter; three people, order ab, all for a: the side shown first, 3 of 3.
    # c2: ann for b (shown second), the judge for a: 1 of 2 first. Together 4 of 5 first, 1 of 5 votes by a judge.
    statistics = summarise(ROWS)

    assert statistics.bias.longer["length"].rate("all").figure == wilson(0, 2)
    assert statistics.bias.first.rate("annotator").figure == wilson(3, 4)
    assert statistics.bias.first.rate("judge").figure == wilson(1, 1)
    assert (statistics.judge_votes, statistics.votes) == (1, 5)
    assert dict(statistics.sources) == {"human": 1, "mixed": 1}


def test_completions_of_equal_length_say_nothing_about_length() -> None:
    same = row(completion_b=[message("5")])

    assert "length" not in summarise([same]).bias.figures()
    assert candidate().side == "a"

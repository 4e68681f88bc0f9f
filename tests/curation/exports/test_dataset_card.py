"""The card is what the hub reads, says what was dropped, and has the same bytes for the same facts."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from curation.exports.bias import Rate
from curation.exports.card import CardFacts, RaterFacts, Statistics, render_card, summarise
from curation.exports.facts import Cost, EvaluationFacts, Guidelines, JudgeFacts
from curation.exports.files import write_parquet
from curation.exports.recipe import Recipe, SplitRule
from curation.exports.schema import UNDECIDED_SCHEMA, undecided
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


GOLDEN = Path(__file__).parents[2] / "golden" / "card.md"
NO = "I'm sorry, but I can't help with that."


def undecided_row(of: Any) -> Any:
    kept = ("prompt", "source", "n_annotators", "n_judges", "votes", "group", "split", "metadata")
    own = {"completion_a": [message("x")], "completion_b": [message("y")], "generator_a": None, "generator_b": None}
    said = {"id": "t", "undecided": "tie", "preference": 0.0, "probability": 0.5}
    return undecided({**{name: of[name] for name in kept}, **own, **said})


def whole() -> tuple[CardFacts, Statistics]:
    """Facts and rows that make every section of the card."""
    rows: list[Any] = []
    for i in range(60):
        split = ("train", "train", "train", "test")[i % 4]
        answer = NO if i % 10 == 0 else f"It is {i}.\n- **surely** `{i}`\n- and so on"
        votes = [vote("ann", -2), vote("bob", -1), vote("gpt", 1 if i % 5 == 0 else -1, kind="judge")]
        made = row(
            f"c{i:02d}", completion_a=[message(answer)], completion_b=[message("No idea." + "." * (i % 7))],
            votes=votes,
            group=f"g{i}", metadata={"language": ("en", "de")[i % 3 == 0], "source": "own" if i % 2 else "arena"},
        )  # fmt: skip
        rows.append({**made, "split": split})
    rows.append(undecided_row(rows[0]))
    facts = replace(
        FACTS,
        name="sums",
        chain="cd" * 32,
        recipe_sha256="ef" * 32,
        code_version="1.2.3",
        recipe={
            **FACTS.recipe,
            "decontaminate": {"against": ["arc"], "words": 13},
            "near_duplicates": {"threshold": 0.8, "of": "row"},
        },
        dropped={"ties": 3, "decontaminate": 2, "near_duplicates": 4, "noise": 0},
        changed={"deidentify": 7},
        agreements=[Rate("judges with people", Estimate(0.3, 0.1, 0.5, 40))],
        judges=[JudgeFacts("gpt v1", "pairwise", "gpt-x", "", 60, Estimate(0.8, 0.7, 0.9, 30), ["pairwise@1"])],
        judge_accuracy=Estimate(0.78, 0.7, 0.86, 60),
        audited=30,
        muted=["coin v1"],
        method="dawid-skene",
        because="every comparison has three votes",
        guidelines=[Guidelines(2, "12" * 32, 100), Guidelines(None, "", 20)],
        cost=Cost(120, 100, 5400.0, 60, 60, "0.42", "18.5", "EUR"),
        evaluations=[EvaluationFacts("arc", 1172, "34" * 32, 2)],
        withdrawn={"rater": 1},
        files={"train": ["train-00000-of-00002.parquet", "train-00001-of-00002.parquet"], "test": ["test.parquet"]},
        undecided_files={"train": ["train.undecided.parquet"]},
    )  # fmt: skip
    return facts, summarise(rows)


def test_the_whole_card_is_its_golden_file() -> None:
    assert render_card(*whole()) == GOLDEN.read_text("utf-8")


def test_the_hub_knows_every_field_of_the_front_matter() -> None:
    from huggingface_hub import DatasetCard, DatasetCardData

    card = DatasetCard(render_card(*whole()))

    told = card.data.to_dict()
    known = set(vars(DatasetCardData())) | {"tags", "configs", "license_name"}  # which the hub documents beside
    assert set(told) <= known, set(told) - known
    assert (told["license"], told["language"], told["size_categories"]) == ("cc-by-4.0", ["en", "de"], ["n<1K"])
    assert card.text.lstrip().startswith("# sums, version 2")


def test_datasets_loads_the_folder_by_its_card(tmp_path: Path) -> None:
    """As it is pushed: pairs by default, and rows without a chosen side only by a name of their own."""
    from datasets import load_dataset

    facts, statistics = whole()
    tie = undecided_row(row("t"))
    (tmp_path / "README.md").write_text(render_card(facts, statistics), "utf-8")
    for name in (*facts.files["train"], *facts.files["test"]):
        write_parquet(tmp_path / name, [row(name)])
    write_parquet(tmp_path / "train.undecided.parquet", [tie], schema=UNDECIDED_SCHEMA)

    pairs = load_dataset(str(tmp_path), cache_dir=str(tmp_path / "cache"))
    apart = load_dataset(str(tmp_path), "undecided", cache_dir=str(tmp_path / "cache"))

    assert {split: len(rows) for split, rows in pairs.items()} == {"train": 2, "test": 1}
    assert apart["train"]["undecided"] == ["tie"]


@pytest.mark.parametrize(
    ("given", "license_", "name"),
    [("CC-BY-4.0", "cc-by-4.0", None), ("Our own, v2", "other", "our-own-v2"), ("", "other", "unnamed")],
)
def test_a_licence_that_the_hub_does_not_know_goes_by_its_name(given: str, license_: str, name: str | None) -> None:
    front = render_card(replace(FACTS, license=given), summarise(ROWS)).split("---\n", 2)[1]

    read = yaml.safe_load(front)

    assert (read["license"], read.get("license_name")) == (license_, name)


def test_languages_are_told_to_the_hub_by_their_codes_alone() -> None:
    names = ["en-GB", "de", "German", "en", "zh_Hant"]
    rows = [row(f"c{i}", metadata={"language": name}) for i, name in enumerate(names)]

    front = render_card(replace(FACTS, languages=()), summarise(rows)).split("---\n", 2)[1]

    assert yaml.safe_load(front)["language"] == ["de", "en", "zh"]  # the commonest first, else by name


def test_names_cannot_break_the_card() -> None:
    bad = "x | y\n# z <script>alert(1)</script> [a](javascript:b) `c` ```"
    rows = [row("c1", votes=[vote(bad, -1)], generator_a=bad, metadata={"source": bad, "language": bad})]
    rows.append(row("c2", votes=[vote("ann", -1)], metadata={"source": "own", "language": "en"}))
    facts = replace(FACTS, name="d", recipe={"where": {"source": [bad]}}, raters=[RaterFacts(bad, "annotator", 1)])

    card = render_card(facts, summarise(rows))

    assert "\n# z" not in card
    prose, _, fenced = card.partition("````json")
    assert "<script>" not in prose.replace("\\<script\\>", "")
    assert fenced.count("````") == 1
    assert "| x \\| y # z" in card


def test_sections_of_which_there_is_nothing_to_say_are_absent() -> None:
    card = render_card(CardFacts("d", 1, "0", {}, {}), summarise([]))

    for title in ("Know", "Left out", "Raters", "Judges", "Bias", "Guidelines", "Cost", "Withdrawals", "How to load"):
        assert f"## {title}" not in card
    assert "Not held against any evaluation set" in card


def test_a_rater_who_has_no_vote_in_the_rows_is_not_named() -> None:
    facts = replace(FACTS, raters=[*FACTS.raters, RaterFacts("ghost", "annotator", 900)])

    assert "ghost" not in render_card(facts, summarise(ROWS))


def test_names_that_were_withheld_are_not_counted_as_one_person() -> None:
    rows = [row("c1", votes=[vote("annotator", -1), vote("annotator", -2)])]

    card = render_card(replace(FACTS, recipe={"deidentify": {"raters": "none"}}), summarise(rows))

    assert "Names withheld; 2 votes in the rows." in card


def test_costs_that_are_not_known_are_said_to_be_unknown() -> None:
    untimed = Cost(10, 0, 0.0, 4, 0, "0", None, "USD")
    timed = replace(FACTS, cost=untimed._replace(timed=10, seconds=3600.0))

    assert "| people's active time | unknown | known of 0 of 10 judgements |" in render_card(
        replace(FACTS, cost=untimed), summarise(ROWS)
    )
    assert "| that time in money | unknown | the project sets no hourly rate |" in render_card(timed, summarise(ROWS))


if __name__ == "__main__" and sys.argv[1:] == ["--write"]:
    GOLDEN.write_text(render_card(*whole()), "utf-8")

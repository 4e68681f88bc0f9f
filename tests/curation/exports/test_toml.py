"""Recipes as TOML: what is written is read back to the letter."""

from __future__ import annotations

import tomllib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from curation.exports.recipe import Recipe
from curation.exports.toml import written

scalars = st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False)
texts = st.text("ab-_1 .=[]#\"'\\\n\t\r\x01\x7f\u0085\u2028é😀", max_size=8)
values = scalars | texts | st.lists(scalars | texts, max_size=3)
tables = st.dictionaries(texts, values, max_size=4)


@given(st.dictionaries(texts, values | tables, max_size=5))
def test_whatever_json_holds_is_read_back_as_it_was(data: dict[str, Any]) -> None:
    assert tomllib.loads(written(data)) == data


def test_lines_come_before_tables_and_nothing_is_left_out() -> None:
    data = {
        "split": {"train": 0.9, "by": "cluster"},
        "method": "glad",
        "where": {"a topic": ["law", 1]},
        "aspect": None,
    }
    assert written(data) == (
        'method = "glad"\n\n[split]\ntrain = 0.9\nby = "cluster"\n\n[where]\n"a topic" = ["law", 1]\n'
    )


def test_a_recipe_comes_back_as_the_same_recipe() -> None:
    recipe = Recipe.from_dict(
        {
            "where": {"topic": ["law", 3, True], "a.b": ['say "x"']},
            "deidentify": {"texts": ["email"], "metadata": ["topic"]},
            "near_duplicates": {},
            "split": {"train": 1, "validation": 0, "test": 0},
        }
    )
    assert Recipe.from_toml(written(recipe.to_dict())) == recipe

"""Figures as the curator's pages write them: pure, no database."""

from __future__ import annotations

from decimal import Decimal

import pytest

from curation.stats import Estimate, wilson
from curation.templatetags import figures


@pytest.mark.parametrize(
    ("value", "words"),
    [(None, "–"), (0, "tie"), (-2, "A +2"), (3, "B +3"), (1.61794, "B +1.62"), (-0.5, "A +0.5")],
)
def test_a_preference_names_its_side_and_strength(value: float | None, words: str) -> None:
    assert figures.preference(value) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(None, "–"), (0.04, "0.0 s"), (9.96, "10.0 s"), (42, "42 s"), (61, "1 min 1 s"), (3_725, "1 h 2 min")],
)
def test_a_duration_is_said_as_people_say_it(seconds: float | None, words: str) -> None:
    assert figures.duration(seconds) == words


@pytest.mark.parametrize(
    ("amount", "words"),
    [(None, "–"), (Decimal(0), "0.00"), (Decimal("0.00123456"), "0.001235"), (Decimal("1234.5"), "1,234.50")],
)
def test_an_amount_has_the_digits_that_it_needs(amount: Decimal | None, words: str) -> None:
    assert figures.money(amount) == words


def test_a_share_stands_with_its_interval() -> None:
    # Wilson, 8 of 10, z = 1.96: centre (0.8 + 0.19207) / 1.38415 = 0.71674, half 0.22657: 0.490 to 0.943
    share = wilson(8, 10)
    assert (figures.percent(share), figures.interval(share)) == ("80%", "49–94, n 10")
    assert figures.interval(share, "number") == "0.49–0.94, n 10"


def test_an_interval_that_reaches_below_nothing_is_readable() -> None:
    assert figures.interval(Estimate(0.24, -0.0006, 0.5, 34)) == "0 to 50, n 34"


def test_a_figure_that_does_not_exist_says_why() -> None:
    missing = Estimate(None, reason="no <gold> yet")
    assert figures.percent(missing) == "–"
    assert figures.interval(missing) == "no <gold> yet"
    assert "no &lt;gold&gt; yet" in figures.measured(missing)


def test_a_card_is_shown_without_what_machines_read() -> None:
    assert figures.body('---\nlicense: "other"\n---\n\n# Name\n\n---\nend') == "# Name\n\n---\nend"
    assert figures.body("# Name\n---\n") == "# Name\n---\n"
    assert figures.body("---\nnever closed") == "---\nnever closed"


def test_nested_results_become_words() -> None:
    said = figures.plain(
        {"a_b": 0.123456, "on": True, "list": [1, None], "share": {"value": 0.5, "low": 0.4, "high": 0.6}}
    )
    assert said == "a b 0.1235, on yes, list 1, –, share 0.500 (0.400–0.600)"

"""What the strict content security policy and readers with poor sight need of every template and of the stylesheet."""

import re
from itertools import product
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEMPLATES = sorted((ROOT / "templates").rglob("*.html"))
CSS = (ROOT / "platform/tiebreak/static/tiebreak/app.css").read_text()
TOKENS = {
    name: (light, dark)
    for name, light, dark in re.findall(r"--([a-z-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\)", CSS)
}
CODE = re.findall(r"^\.code .*color: light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\)", CSS, re.M)


def contrast(one: str, other: str) -> float:
    """The WCAG 2 contrast ratio of two colours: (L1 + 0.05) / (L2 + 0.05), L being relative luminance."""

    def luminance(colour: str) -> float:
        channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_contrast_is_measured_as_the_guideline_defines_it() -> None:
    # Black on white: (1 + 0.05) / (0 + 0.05) = 21. The guideline's well-known grey #767676 on white: 4.54.
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.005)


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_template_has_inline_script_style_or_handler(path: Path) -> None:
    text = path.read_text()
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:|hx-on|hx-vals=.js:", text, re.I)
    assert not re.search(r"<script(?![^>]*\ssrc=)", text, re.I)


PAIRS = [
    *product(["ink", "ink-soft", "accent", "good", "warn", "bad"], ["paper", "sunken", "raised"]),
    *((tone, f"{tone}-soft") for tone in ("accent", "good", "warn", "bad")),
    *(("ink", f"{tone}-soft") for tone in ("accent", "good", "warn", "bad")),
    ("accent-ink", "accent"),
]


@pytest.mark.parametrize(("text", "ground"), PAIRS)
def test_text_stands_out_from_its_ground_in_both_themes(text: str, ground: str) -> None:
    for theme in (0, 1):
        assert contrast(TOKENS[text][theme], TOKENS[ground][theme]) >= 4.5


@pytest.mark.parametrize("ground", ["paper", "raised"])
def test_the_edges_of_controls_can_be_seen_in_both_themes(ground: str) -> None:
    for theme in (0, 1):
        assert contrast(TOKENS["line-strong"][theme], TOKENS[ground][theme]) >= 3


def test_code_colours_stand_out_from_the_ground_of_code_in_both_themes() -> None:
    assert len(CODE) > 20
    for colours in CODE:
        for theme in (0, 1):
            assert contrast(colours[theme], TOKENS["sunken"][theme]) >= 4.5

"""Every preset is a form that could be saved as it stands, with guidelines to read and a sample to look at."""

from __future__ import annotations

import pytest

from annotate.models import Form
from annotate.rendering import render
from annotate.services import asked
from annotate.services.presets import DEFAULT, PRESETS, preset_of, sample_like
from tiebreak.accounts.models import Project

names = pytest.mark.parametrize("name", PRESETS)


@names
def test_a_preset_passes_the_checks_of_a_form(name: str) -> None:
    project = Project(slug="x", name="X")
    form = asked.filled(Form(project=project, number=1), preset_of(name).form())
    assert form.guidelines


@names
def test_a_preset_has_words_guidelines_and_a_sample_that_render(name: str) -> None:
    preset = preset_of(name)
    assert str(preset.label)
    assert str(preset.line).endswith(".")
    assert len(preset.form()["guidelines"].split()) > 100
    assert preset.sample.left != preset.sample.right
    for text in (preset.form()["guidelines"], preset.sample.prompt, preset.sample.left, preset.sample.right):
        assert render(text).mode == "markdown"


@names
def test_guidelines_name_every_control_that_the_form_offers_and_none_that_it_hides(name: str) -> None:
    fields = preset_of(name).form()
    assert ("**How sure.**" in fields["guidelines"]) == fields.get("confidence", False)
    assert ("from 1 to" in fields["guidelines"]) == any(a["kind"] == "rating" for a in fields.get("aspects", []))
    assert fields.get("allow_both_bad", True) or "Both bad" not in fields["guidelines"]
    for aspect in fields.get("aspects", []):
        stems = aspect["key"][:4], aspect["label"].lower()[:4]
        assert any(stem in fields["guidelines"].lower() for stem in stems), aspect


@names
def test_a_form_made_from_a_preset_is_shown_on_its_sample(name: str) -> None:
    form = asked.filled(Form(project=Project(slug="x", name="X"), number=1), preset_of(name).form())
    assert sample_like(form) == preset_of(name).sample


def test_the_presets_that_were_promised_are_there() -> None:
    assert list(PRESETS) == ["general", "multipref", "helpsteer", "safety", "summarisation", "code", "images"]
    assert DEFAULT in PRESETS
    with pytest.raises(ValueError, match="general, multipref"):
        preset_of("chess")


def test_the_seven_points_are_seven() -> None:
    from annotate.policies import screen_values

    fields = preset_of("helpsteer").fields
    assert len(screen_values(fields["levels"], allow_tie=fields.get("allow_tie", True))) == 7

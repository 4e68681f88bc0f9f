"""Forms to begin with: each a kind of comparison that many projects make, with guidelines and one sample to look at.

A preset is only a first form: everything in it can be changed, and nothing remembers which one a project began with.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import Any, Final, NamedTuple

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from annotate.models import Form

Words = str | Promise


class Sample(NamedTuple):
    """A comparison to show a form on where a project has none of its own."""

    prompt: str
    left: str
    right: str
    context: str | None = None


class Preset(NamedTuple):
    label: Words
    line: Words
    fields: Mapping[str, Any]
    """Of the form; what is left out takes the form's default."""
    sample: Sample
    guidelines: str
    """The name of a file in annotate/presets."""

    def form(self) -> dict[str, Any]:
        """The fields of a first form, guidelines included."""
        text = (files("annotate") / "presets" / self.guidelines).read_text("utf-8")
        return {**self.fields, "guidelines": text}


def _prefer(key: str, label: str) -> dict[str, str]:
    return {"key": key, "label": label, "kind": "preference"}


def _rate(key: str, label: str) -> dict[str, str]:
    return {"key": key, "label": label, "kind": "rating"}


PRESETS: Final[Mapping[str, Preset]] = {
    "general": Preset(
        _("General comparison"),
        _("Which response is better, and by how much? Three strengths, ties, reasons; the place to begin."),
        {
            "reasons": [
                "follows the request",
                "wrong or made up",
                "incomplete",
                "clearer",
                "too long",
                "too short",
                "tone",
                "format",
            ],
        },
        Sample(
            "How do I keep basil alive on a kitchen window sill?",
            "Give it at least six hours of light, water it from below when the top of the soil is dry, and pinch "
            "off the tips every week so that it grows bushy. Shop-bought pots hold far too many plants: **split one"
            " into three or four**.",
            "Basil is a wonderful herb that has been grown for thousands of years. It likes sun and water. Make "
            "sure that you water it every day, and enjoy your fresh basil!",
        ),
        "general.md",
    ),
    "multipref": Preset(
        _("Helpful, truthful, harmless"),
        _("Three aspects and the whole, each with how sure you are. After the design of the MultiPref set."),
        {
            "levels": 2,
            "allow_both_bad": False,
            "aspects": [
                _prefer("helpfulness", "Helpful"),
                _prefer("truthfulness", "Truthful"),
                _prefer("harmlessness", "Harmless"),
            ],
            "confidence": True,
            "reasons": [
                "more complete",
                "fewer errors",
                "admits doubt",
                "safer",
                "refuses without need",
                "easier to read",
            ],
        },
        Sample(
            "My grandmother takes blood thinners. Can she drink cranberry juice?",
            "A glass now and then is usually seen as fine, but large amounts have been linked to stronger bleeding "
            "with warfarin. Which medicine does she take? Her pharmacist can say for sure, and should know before "
            "she drinks it daily.",
            "Yes, cranberry juice is natural and cannot interact with medicines. She can drink as much as she likes.",
        ),
        "multipref.md",
    ),
    "helpsteer": Preset(
        _("Seven points with justification"),
        _("Five ratings for each response, then seven points and a written reason. After the design of HelpSteer2."),
        {
            "levels": 3,
            "allow_both_bad": True,
            "aspects": [
                _rate("helpfulness", "Helpful"),
                _rate("correctness", "Correct"),
                _rate("coherence", "Coherent"),
                _rate("complexity", "Complex"),
                _rate("verbosity", "Wordy"),
            ],
            "rating_max": 5,
            "justification": "required",
            "min_justification": 40,
        },
        Sample(
            "Explain why the sky is blue, to somebody who finished school long ago.",
            "Sunlight is made of all colours. On its way through the air it bumps into molecules far smaller than "
            "its waves, and these scatter short waves, the blue ones, much more than long ones. So blue light comes"
            " to your eye from everywhere in the sky, and the rest comes straight from the sun.",
            "The sky is blue because it reflects the ocean. At sunset the ocean is darker, so that the sky turns red.",
        ),
        "helpsteer.md",
    ),
    "safety": Preset(
        _("Safety"),
        _("Which response does less harm, and still helps? With tags for refusals of both kinds."),
        {
            "levels": 2,
            "aspects": [_prefer("harm", "Less harmful"), _prefer("help", "More helpful")],
            "reasons": [
                "gives working instructions",
                "encourages harm",
                "demeans people",
                "private data",
                "refuses without need",
                "lectures",
                "offers a safe way",
                "points to help",
            ],
            "justification": "optional",
        },
        Sample(
            "I found my neighbour's wifi password on a note. How do I use it without being noticed?",
            "I will not help with staying unnoticed on somebody else's network. Ask them: many people share gladly,"
            " or would for a few coins a month. If money is short, libraries and some providers offer cheap or free"
            " access.",
            "No. That is illegal, and you should be ashamed of asking.",
        ),
        "safety.md",
    ),
    "summarisation": Preset(
        _("Summarisation"),
        _("Two summaries of one text: faithful, covering, brief. Evidence is highlighted in the summaries."),
        {
            "aspects": [
                _prefer("faithful", "Faithful"),
                _prefer("coverage", "Covers what matters"),
                _prefer("brief", "Brief"),
            ],
            "reasons": [
                "says what the text does not",
                "misses the main point",
                "repeats itself",
                "too long",
                "hard to follow",
            ],
            "evidence": True,
        },
        Sample(
            "Summarise in one sentence.\n\n> The footbridge over the mill stream stays closed until May. Divers "
            "found two of its six piles worn through; the town had hoped to reopen it before the spring market. "
            "Cyclists are sent over the old weir, walkers may also use the ford when the water is low.",
            "The footbridge stays closed until May, since two of its six piles are worn through; cyclists and "
            "walkers have ways around it.",
            "The footbridge collapsed and will be rebuilt in May, in time for the spring market.",
        ),
        "summarisation.md",
    ),
    "code": Preset(
        _("Code"),
        _("Two pieces of code: which would you merge? Working, right, safe, readable."),
        {
            "aspects": [_prefer("works", "Works"), _prefer("readable", "Readable"), _prefer("explained", "Explained")],
            "reasons": [
                "does not run",
                "fails at an edge",
                "wrong language or version",
                "insecure",
                "slow",
                "hard to read",
                "more than was asked",
                "better explained",
            ],
        },
        Sample(
            "Write a Python function that returns the median of a list of numbers.",
            "```python\ndef median(values):\n    ordered = sorted(values)\n    middle = len(ordered) // 2\n"
            "    if len(ordered) % 2:\n        return ordered[middle]\n"
            "    return (ordered[middle - 1] + ordered[middle]) / 2\n```\n\nAn empty list raises `IndexError`.",
            "```python\ndef median(values):\n    values.sort()\n    return values[len(values) // 2]\n```\n\n"
            "This works for every list.",
        ),
        "code.md",
    ),
    "images": Preset(
        _("Image pair"),
        _("Two images made for one description: as described, well made, pleasing."),
        {
            "levels": 2,
            "aspects": [
                _prefer("described", "As described"),
                _prefer("made", "Well made"),
                _prefer("pleasing", "Pleasing"),
            ],
            "reasons": [
                "something is missing",
                "something was added",
                "wrong count",
                "broken hands or faces",
                "unreadable letters",
            ],
            "evidence": False,
        },
        Sample(
            "A red bicycle leaning against a yellow wall, one bird on the saddle, late light.",
            "![A red bicycle at a yellow wall with a bird on its saddle](upload:sample-left)",
            "![Two bicycles at an orange wall, without a bird](upload:sample-right)",
        ),
        "images.md",
    ),
}
DEFAULT: Final = "general"


def preset_of(name: str) -> Preset:
    """Raises ValueError with the known names."""
    try:
        return PRESETS[name]
    except KeyError:
        raise ValueError(f"preset: expected one of {', '.join(PRESETS)}, got {name!r}") from None


def sample_like(form: Form) -> Sample:
    """A sample to show a form on: that of the preset which asks for the same aspects, else the general one."""
    keys = {aspect["key"] for aspect in form.aspects}
    same = (p for p in PRESETS.values() if keys and keys == {aspect["key"] for aspect in p.fields.get("aspects", [])})
    return next(same, PRESETS[DEFAULT]).sample

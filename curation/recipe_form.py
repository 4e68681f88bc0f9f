"""The form of a recipe: its fields are named as in the recipe, so that a refusal stands beside what it names."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any, Final

from django import forms
from django.forms import BoundField
from django.utils.translation import gettext_lazy as _

from annotate.models import Comparison, Form
from curation.exports.deidentify import RATER_NAMES
from curation.exports.recipe import METHODS, TABLES, TARGETS, Recipe
from curation.exports.toml import written
from curation.models import EvaluationSet
from curation.noise import METHODS as NOISE
from curation.stats.aggregation.methods import METHODS as CONSENSUS
from tiebreak.accounts.models import Project
from tiebreak.core.errors import DomainError, Invalid

from .services.words import told

LOOKED_AT: Final = 500
"""Comparisons whose metadata is looked through for keys to choose from."""
SHOWN: Final = 6
SWITCHES: Final = {"near_duplicates": "threshold", "decontaminate": "against", "balance": "by"}
"""The field that a table stands or falls with."""
KEEPING: Final = [("drop", _("leave them out")), ("keep", _("keep them, in files of their own"))]
TARGET_WORDS: Final = {
    "soft": _("soft: probability of the chosen side"),
    "hard": _("hard: the chosen side alone"),
    "margin": _("margin: how much better it is"),
    "tie-aware": _("tie-aware: with the probability of a tie"),
}
SOURCE_WORDS: Final = {
    "human": _("people alone"),
    "judge": _("judges alone"),
    "mixed": _("people and judges"),
}
KIND_WORDS: Final = {
    "login": _("passwords and logins in addresses"),
    "email": _("e-mail addresses"),
    "iban": _("bank accounts (IBAN)"),
    "card": _("payment cards"),
    "ip": _("IP addresses"),
    "phone": _("telephone numbers"),
}
RATER_WORDS: Final = {
    "as-imported": _("by the names that they came with"),
    "pseudonyms": _("by pseudonyms"),
    "none": _("not at all"),
}


class NumberField(forms.FloatField):
    """A number as it was written: 1 stays an integer, as the recipe it came from has it."""

    def __init__(self, label: Any, *, help_text: Any = "", most: float | None = None) -> None:
        attrs = {"step": "any", "min": 0, "class": "tiny"} | ({} if most is None else {"max": most})
        super().__init__(label=label, required=False, help_text=help_text, widget=forms.NumberInput(attrs=attrs))

    def to_python(self, value: Any) -> Any:
        number = super().to_python(value)
        return int(str(value)) if number is not None and re.fullmatch(r"\s*-?\d{1,15}\s*", str(value)) else number


def _choice(label: Any, choices: Iterable[tuple[str, Any]], *, help_text: Any = "") -> forms.ChoiceField:
    return forms.ChoiceField(label=label, choices=list(choices), required=False, help_text=help_text)


def _ticks(label: Any, choices: Iterable[tuple[str, Any]], *, help_text: Any = "") -> forms.MultipleChoiceField:
    return forms.MultipleChoiceField(
        label=label, choices=list(choices), required=False, help_text=help_text, widget=forms.CheckboxSelectMultiple
    )


def _text(label: Any, *, help_text: Any = "", **attrs: Any) -> forms.CharField:
    widget = forms.TextInput(attrs={"dir": "auto", **attrs})
    return forms.CharField(label=label, required=False, max_length=1000, help_text=help_text, widget=widget)


def _yes(label: Any) -> forms.BooleanField:
    return forms.BooleanField(label=label, required=False)


def _fields(project: Project, given: Mapping[str, Any]) -> dict[Any, dict[str, forms.Field]]:
    """Every field by its name in the recipe, in groups. What is given is among the choices, known here or not."""
    aspects = _aspects(project)
    sets = {name: name for name in EvaluationSet.objects.filter(project=project).values_list("name", flat=True)}
    methods = [
        ("auto", _("what the data’s shape asks for")),
        *((n, CONSENSUS[n].label) for n in METHODS[1:]),
    ]
    where = forms.CharField(
        label=_("Only comparisons whose metadata say"),
        required=False,
        max_length=20_000,
        widget=forms.Textarea(attrs={"rows": 3, "class": "code", "spellcheck": "false", "dir": "auto"}),
        help_text=_('A key a line, such as topic = ["law", "code"]; language and generator are keys too.'),
    )
    return {
        _("What goes in"): {
            "where": where,
            "sources": _ticks(_("Labelled by"), SOURCE_WORDS.items(), help_text=_("None ticked: by anybody.")),
            "include_judges": _yes(_("Judges’ votes count")),
            "aspect": _choice(_("Which preference"), [("", _("overall")), *_with(aspects, given.get("aspect"))]),
        },
        _("Labels"): {
            "method": _choice(_("Consensus by"), methods),
            "target": _choice(_("What a trainer learns"), ((name, TARGET_WORDS[name]) for name in TARGETS)),
            "ties": _choice(_("Ties"), KEEPING),
            "both_bad": _choice(_("Both bad"), KEEPING),
        },
        _("Quality"): {
            "min_annotators": NumberField(_("People, at least")),
            "min_judgements": NumberField(_("People and judges, at least")),
            "min_agreement": NumberField(_("Share of votes that agree, at least"), most=1),
            "min_probability": NumberField(_("Probability of the chosen side, at least"), most=1),
            "noise.method": _choice(
                _("Leave out what is doubtful by"),
                [
                    ("", _("no score")),
                    *((name, _(method.label)) for name, method in NOISE.items()),
                ],
            ),
            "noise.max_score": NumberField(_("A score above"), most=1),
            "noise.treatment": _choice(
                _("What curators decided about doubtful labels"),
                [("current", _("is followed")), ("none", _("is ignored"))],
            ),
        },
        _("Texts"): {
            "deidentify.texts": _ticks(
                _("Take out of texts and metadata"), _with(KIND_WORDS, *given.get("deidentify.texts", ()))
            ),
            "deidentify.raters": _choice(_("Call raters"), ((name, RATER_WORDS[name]) for name in RATER_NAMES)),
            "deidentify.metadata": _choice(
                _("Metadata"),
                [
                    ("all", _("all of it stays")),
                    ("none", _("none of it stays")),
                    ("keys", _("these keys stay")),
                ],
            ),
            "deidentify.keys": _text(_("Keys that stay"), help_text=_("With commas between.")),
        },
        _("Duplicates and contamination"): {
            "dedupe": _yes(_("Keep the first of the same prompt, chosen and rejected")),
            "near_duplicates.threshold": NumberField(
                _("Near-duplicates from a similarity of"),
                most=1,
                help_text=_("Such as 0.8; empty: all stay."),
            ),
            "near_duplicates.of": _choice(
                _("Compared are"),
                [("row", _("prompts with both completions")), ("prompt", _("prompts alone"))],
            ),
            "near_duplicates.by": _choice(
                _("Compared by"), [("words", _("their words")), ("embedding", _("their embeddings, from 0.8 on"))]
            ),
            "decontaminate.against": _ticks(
                _("Leave out what repeats a text of"),
                _with(sets, *given.get("decontaminate.against", ())),
                help_text="" if sets else _("There is no evaluation set yet."),
            ),
            "decontaminate.words": NumberField(_("So many words in a row"), help_text=_("Empty: 13.")),
        },
        _("Balance"): {
            "balance.by": _text(
                _("No value may have too many of"),
                help_text=_("side, length, source or a key of the metadata; empty: no balance."),
                list="balance-keys",
            ),
            "balance.most": NumberField(
                _("At most"),
                help_text=_("A share such as 0.5, or a number of pairs such as 1000."),
            ),
        },
        _("Split"): {
            "split.train": NumberField(_("Train"), most=1),
            "split.validation": NumberField(_("Validation"), most=1),
            "split.test": NumberField(_("Test"), most=1),
            "split.seed": NumberField(_("Seed")),
            "split.by": _choice(
                _("Kept together"),
                [("group", _("groups")), ("cluster", _("groups whose prompts are alike"))],
            ),
        },
    }


def _with(known: Mapping[str, Any], *given: str | None) -> list[tuple[str, Any]]:
    """What is known, and what the recipe has beside it."""
    return [*known.items(), *((name, name) for name in given if name and name not in known)]


def _aspects(project: Project) -> dict[str, str]:
    form = Form.objects.filter(project=project, current=True).first()
    asked = form.aspects if form else []
    return {a["key"]: a.get("label") or a["key"] for a in asked if a.get("kind", "preference") == "preference"}


class RecipeForm(forms.Form):
    """A dataset's name, and every field of a recipe; filled in from a recipe, or bound to what was sent."""

    name = forms.SlugField(
        label=_("Dataset"),
        max_length=64,
        required=False,
        help_text=_("A name that exists gets a new version; a new one starts at 1."),
    )
    toml = forms.CharField(
        label=_("A recipe as TOML"),
        required=False,
        max_length=100_000,
        widget=forms.Textarea(attrs={"rows": 8, "class": "code", "spellcheck": "false"}),
    )

    def __init__(self, data: Any = None, *, project: Project, recipe: Recipe | None = None, name: str = "") -> None:
        initial = initial_of(recipe or Recipe())
        super().__init__(data, initial={"name": name, **initial})
        if data is not None:
            given = {each: data.getlist(each) for each in ("deidentify.texts", "decontaminate.against")}
            initial = {**given, "aspect": data.get("aspect")}
        self._groups = _fields(project, initial)
        for group in self._groups.values():
            self.fields |= group

    @property
    def groups(self) -> list[tuple[str, list[BoundField]]]:
        return [(title, [self[name] for name in group]) for title, group in self._groups.items()]

    def recipe(self) -> Recipe | None:
        """The recipe that the fields say; None where they say none, with the errors beside them."""
        if not self.is_valid():
            return None
        try:
            with told():
                return Recipe.from_dict(self._data())
        except Invalid as error:
            self.blame(error)
        return None

    def blame(self, error: DomainError) -> None:
        """Put a refusal beside the field that it names, or the first of the table that it is about."""
        named = str(error.params.get("field") or "")
        head = named.partition(".")[0]
        beside = next((f for f in self.fields if f == named), None) or next(
            (f for f in self.fields if f == head or f.startswith(f"{head}.")), None
        )
        text = error.message.removeprefix(f"{named}: ") if beside == named else error.message
        self.add_error(beside, text[:1].upper() + text[1:])

    def _data(self) -> dict[str, Any]:
        """As `Recipe.from_dict` reads it: what is empty is left out."""
        said = {name: value for name, value in self.cleaned_data.items() if value not in (None, "", [], {})}
        data: dict[str, Any] = {}
        for name, value in said.items():
            table, dot, key = name.partition(".")
            if dot:
                data.setdefault(table, {})[key] = value
            elif name not in ("name", "toml"):
                data[name] = value
        data["deidentify"] = _deidentify(data.get("deidentify", {}))
        if data.get("noise") == {"treatment": "current"}:
            del data["noise"]
        for table, switch in SWITCHES.items():
            if switch not in data.get(table, {}):
                data.pop(table, None)
        return {name: value for name, value in data.items() if value is not None}

    def clean_where(self) -> dict[str, Any]:
        try:
            return tomllib.loads(self.cleaned_data["where"])
        except tomllib.TOMLDecodeError as error:
            expected = _('Expected a key a line, such as topic = ["law", "code"]: %(error)s')
            raise forms.ValidationError(expected, params={"error": error}) from None

    def clean(self) -> dict[str, Any]:
        said = super().clean() or self.cleaned_data
        if said.get("balance.most") is not None and not said.get("balance.by"):
            self.add_error("balance.by", _("Say of what: side, length, source or a key."))
        if said.get("noise.max_score") is not None and not said.get("noise.method"):
            self.add_error("noise.method", _("Choose by which score."))
        if said.get("noise.method") and said.get("noise.max_score") is None and "noise.max_score" not in self.errors:
            self.add_error("noise.max_score", _("Say above which score a comparison is left out, such as 0.6."))
        if said.get("deidentify.keys", "").strip() and said.get("deidentify.metadata") != "keys":
            self.add_error("deidentify.metadata", _("Keys are named, but this says something else of them."))
        if said.get("deidentify.metadata") == "keys" and not said.get("deidentify.keys", "").strip(" ,"):
            self.add_error("deidentify.keys", _("Name at least one key, or choose that none stays."))
        return said


def _deidentify(said: Mapping[str, Any]) -> dict[str, Any] | None:
    keys = [key.strip() for key in said.get("keys", "").split(",") if key.strip()]
    metadata = {"none": False, "keys": keys}.get(said.get("metadata", ""), True)
    told = {"texts": said.get("texts", []), "raters": said.get("raters") or "as-imported", "metadata": metadata}
    return None if told == {"texts": [], "raters": "as-imported", "metadata": True} else told


def initial_of(recipe: Recipe) -> dict[str, Any]:
    """A recipe as the values of the form's fields."""
    told: dict[str, Any] = {}
    for each in fields(recipe):
        value = getattr(recipe, each.name)
        if each.name in TABLES:
            below = fields(value) if value is not None else ()
            told |= {f"{each.name}.{f.name}": getattr(value, f.name) for f in below}
        else:
            told[each.name] = value
    told["where"] = written({key: list(values) for key, values in (recipe.where or {}).items()}).rstrip("\n")
    told |= _metadata(told.get("deidentify.metadata", True))
    return {name: list(value) if isinstance(value, tuple) else value for name, value in told.items()}


def _metadata(stays: bool | tuple[str, ...]) -> dict[str, str]:
    if isinstance(stays, bool):
        return {"deidentify.metadata": "all" if stays else "none", "deidentify.keys": ""}
    return {"deidentify.metadata": "keys", "deidentify.keys": ", ".join(stays)}


def read(text: str) -> Recipe:
    """A recipe that was pasted: TOML, or JSON as a manifest has it. Raises Invalid naming the field."""
    with told():
        if not text.lstrip().startswith("{"):
            return Recipe.from_toml(text)
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValueError("recipe", "a JSON object", str(error)) from None
        return Recipe.from_dict(data)


def keys_of(project: Project) -> dict[str, list[str]]:
    """Keys of the metadata with some of their values, as the first comparisons have them."""
    found: dict[str, dict[str, None]] = {}
    ordered = Comparison.objects.filter(project=project).order_by("external_id")  # as an index has them
    some = ordered.values_list("metadata", flat=True)[:LOOKED_AT]
    for metadata in some:
        for key, value in metadata.items():
            if isinstance(value, str | int | float) and len(str(value)) <= 40:
                found.setdefault(key, {})[json.dumps(value, ensure_ascii=False)] = None
    return {key: list(values)[:SHOWN] for key, values in sorted(found.items())}

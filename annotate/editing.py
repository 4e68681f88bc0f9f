"""The editor of a form, as Django's forms: its fields in groups, what was typed as values, and values as words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from django import forms
from django.utils.datastructures import MultiValueDict
from django.utils.functional import Promise
from django.utils.text import slugify
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from annotate.models import Form, Rubric
from annotate.services import asked
from annotate.services.presets import DEFAULT, PRESETS
from tiebreak.accounts.models import Project

LEVELS: Final = [
    (1, gettext_lazy("1: better")),
    (2, gettext_lazy("2: slightly better, much better")),
    (3, gettext_lazy("3: slightly better, better, much better")),
]
JUSTIFICATION: Final = [
    (Form.Justification.OFF, gettext_lazy("not asked")),
    (Form.Justification.OPTIONAL, gettext_lazy("asked, may stay empty")),
    (Form.Justification.REQUIRED, gettext_lazy("must be given")),
]
ORDERING: Final = [
    (Form.Ordering.RANDOM, gettext_lazy("by chance")),
    (Form.Ordering.SEQUENCE, gettext_lazy("in the order of import")),
    (Form.Ordering.MIXED, gettext_lazy("every part equally often, by chance within it")),
]
KINDS: Final = [
    ("preference", gettext_lazy("which is better")),
    ("rating", gettext_lazy("rate each")),
]
CHOICES: Final[Mapping[str, Mapping[Any, Any]]] = {
    "levels": dict(LEVELS),
    "justification": dict(JUSTIFICATION),
    "ordering": dict(ORDERING),
}
EMPTY_ROWS: Final = 2


class Group(NamedTuple):
    """Fields that stand together on the page."""

    slug: str
    title: str | Promise
    line: str | Promise
    names: Sequence[str]


GROUPS: Final = [
    Group(
        "asked",
        gettext_lazy("What is asked"),
        gettext_lazy("What an annotator says of two responses."),
        (
            *("levels", "allow_tie", "allow_both_bad", "aspects", "rating_max", "confidence", "reasons"),
            *("justification", "min_justification", "evidence", "rubric", "checklist"),
        ),
    ),
    Group(
        "guidelines",
        gettext_lazy("Guidelines"),
        gettext_lazy("Markdown. Annotators open them beside their work, and are told when they change."),
        ("guidelines",),
    ),
    Group(
        "queue",
        gettext_lazy("Who gets what"),
        gettext_lazy("How many people judge a comparison, in which order they come, and how long they may hold one."),
        (
            *("overlap", "max_overlap", "ordering", "mix_by", "lease_seconds", "session_quota", "daily_quota"),
            *("revise_minutes",),
        ),
    ),
    Group(
        "quality",
        gettext_lazy("Quality"),
        gettext_lazy("Gold is a comparison whose answer is known. Annotators cannot tell it from the others."),
        ("gold_rate", "repeat_rate", "practice_size", "qualification_size", "pass_mark", "pause_below"),
    ),
    Group(
        "sight",
        gettext_lazy("Who sees what"),
        gettext_lazy("Nobody is ever shown which model wrote a response, nor what other annotators said."),
        ("show_reference", "show_quality", "blind_adjudication"),
    ),
]


class Percent(forms.FloatField):
    """A share from 0 to 1, typed and shown in percent."""

    def __init__(self, *, most: float, **options: Any) -> None:
        super().__init__(min_value=0, max_value=most, step_size=None, **options)

    def prepare_value(self, value: Any) -> Any:
        return f"{round(value * 100, 4):g}" if isinstance(value, int | float) else value

    def clean(self, value: Any) -> float | None:
        percent = super().clean(value)
        return None if percent is None else round(percent / 100, 6)

    def widget_attrs(self, widget: forms.Widget) -> dict[str, Any]:
        return super().widget_attrs(widget) | {"step": "any", "inputmode": "decimal"}


class Listed(forms.CharField):
    """Words, typed one a line or between commas."""

    def __init__(self, *, between: str, **options: Any) -> None:
        self.between = between
        super().__init__(required=False, **options)

    def prepare_value(self, value: Any) -> Any:
        joint = "\n" if self.between == "\n" else f"{self.between} "
        return joint.join(value) if isinstance(value, list) else value

    def clean(self, value: Any) -> list[str]:
        text = super().clean(value).replace("\r\n", "\n")
        words = (word.strip() for word in text.split(self.between))
        return list(dict.fromkeys(word for word in words if word))


class AspectRows(forms.Widget):
    """Rows of three controls that are sent as three lists; the template draws them."""

    def value_from_datadict(self, data: Any, files: Any, name: str) -> list[dict[str, str]]:
        lists = [
            data.getlist(f"aspect_{part}") if hasattr(data, "getlist") else [] for part in ("key", "label", "kind")
        ]
        rows = (
            {"key": key.strip(), "label": label.strip(), "kind": kind} for key, label, kind in zip(*lists, strict=False)
        )
        return [row for row in rows if row["key"] or row["label"]]


class AspectsField(forms.Field):
    """Aspects; a row without a key gets one from its label."""

    widget = AspectRows

    def clean(self, value: Any) -> list[dict[str, str]]:
        return [
            row | {"key": row["key"] or slugify(row["label"])[:60] or f"aspect-{n}"} for n, row in enumerate(value, 1)
        ]


def _number(field: str, label: Any, help_text: Any = "", *, required: bool = True) -> forms.IntegerField:
    least, most = asked.BETWEEN["overlap" if field == "max_overlap" else field]
    return forms.IntegerField(label=label, help_text=help_text, min_value=least, max_value=most, required=required)


def _tick(label: Any, help_text: Any = "") -> forms.BooleanField:
    return forms.BooleanField(label=label, help_text=help_text, required=False)


class FormEditor(forms.Form):
    """Every field of a project's form. What fits together is the service's question; what was typed, this one's."""

    began_from = forms.IntegerField(widget=forms.HiddenInput, min_value=1)

    levels = forms.TypedChoiceField(label=gettext_lazy("Strengths on each side"), choices=LEVELS, coerce=int)
    allow_tie = _tick(gettext_lazy("A tie may be chosen"))
    allow_both_bad = _tick(gettext_lazy("“Both bad” may be ticked"))
    aspects = AspectsField(
        label=gettext_lazy("Aspects"),
        required=False,
        help_text=gettext_lazy("Each is asked by itself. Empty a row to remove it. The key names it in exports."),
    )
    rating_max = _number("rating_max", gettext_lazy("Ratings go up to"))
    confidence = _tick(
        gettext_lazy("Ask how sure they are"), gettext_lazy("1 to 3, for each aspect and for the answer")
    )
    reasons = Listed(
        between="\n",
        label=gettext_lazy("Reason tags"),
        widget=forms.Textarea({"rows": 6}),
        help_text=gettext_lazy("One a line, at most 30."),
    )
    justification = forms.ChoiceField(label=gettext_lazy("Justification"), choices=JUSTIFICATION)
    min_justification = _number(
        "min_justification", gettext_lazy("At least so many characters"), gettext_lazy("of a justification; 0: any")
    )
    evidence = _tick(gettext_lazy("Passages may be marked as evidence"))
    rubric = forms.ModelChoiceField(
        Rubric.objects.none(),
        label=gettext_lazy("Rubric"),
        required=False,
        empty_label=gettext_lazy("none"),
        help_text=gettext_lazy("Approved ones can be chosen."),
    )
    checklist = _tick(gettext_lazy("The rubric is ticked"), gettext_lazy("each criterion: met by A, B, both, neither"))

    guidelines = forms.CharField(
        label=gettext_lazy("Guidelines"),
        required=False,
        strip=False,
        max_length=asked.MAX_GUIDELINES,
        widget=forms.Textarea({"rows": 16, "dir": "auto"}),
    )

    overlap = _number("overlap", gettext_lazy("Annotators for each comparison"))
    max_overlap = _number(
        "max_overlap",
        gettext_lazy("More where they disagree, up to"),
        gettext_lazy("Empty: never more."),
        required=False,
    )
    ordering = forms.ChoiceField(label=gettext_lazy("Order"), choices=ORDERING)
    mix_by = Listed(
        between=",",
        label=gettext_lazy("Parts to mix"),
        widget=forms.TextInput,
        help_text=gettext_lazy("Metadata whose values are the parts, such as source, difficulty. At most three."),
    )
    lease_seconds = _number(
        "lease_seconds", gettext_lazy("Lease, in seconds"), gettext_lazy("how long one is held without a sign of life")
    )
    session_quota = _number("session_quota", gettext_lazy("Judgements in a session"), gettext_lazy("0: no end"))
    daily_quota = _number("daily_quota", gettext_lazy("Judgements a day"), gettext_lazy("0: no end"))
    revise_minutes = _number(
        "revise_minutes", gettext_lazy("Answers may be changed for"), gettext_lazy("minutes after they were given")
    )

    gold_rate = Percent(label=gettext_lazy("Hidden gold, %"), most=50)
    repeat_rate = Percent(
        label=gettext_lazy("Hidden repeats, %"), most=50, help_text=gettext_lazy("asked again with the sides swapped")
    )
    practice_size = _number(
        "practice_size", gettext_lazy("Practice"), gettext_lazy("gold with feedback at first; 0: none")
    )
    qualification_size = _number(
        "qualification_size", gettext_lazy("Qualification"), gettext_lazy("gold to pass before real work; 0: none")
    )
    pass_mark = Percent(label=gettext_lazy("Pass mark, %"), most=100)
    pause_below = Percent(
        label=gettext_lazy("Pause below, %"),
        most=100,
        required=False,
        help_text=gettext_lazy("of hidden gold right, once that is sure. Empty: nobody is paused."),
    )

    show_reference = _tick(gettext_lazy("Annotators see the reference answer"))
    show_quality = _tick(gettext_lazy("Annotators see their own figures"))
    blind_adjudication = _tick(gettext_lazy("Adjudicators see no names beside the judgements"))

    def __init__(self, data: MultiValueDict[str, Any] | None = None, *, project: Project, **options: Any) -> None:
        super().__init__(data, auto_id="field-%s", label_suffix="", **options)
        rubric = self.fields["rubric"]
        assert isinstance(rubric, forms.ModelChoiceField)  # noqa: S101 - for mypy
        rubric.queryset = Rubric.objects.filter(project=project, status=Rubric.Status.APPROVED)

    @classmethod
    def of(cls, form: Form, values: Mapping[str, Any] | None = None) -> FormEditor:
        """The editor as a form stands, or as `values` would change it."""
        initial = asked.values(form) | dict(values or {}) | {"began_from": form.number}
        return cls(project=form.project, initial=initial)

    def values(self) -> dict[str, Any]:
        """What was typed, by the fields of a form; call it once the editor is valid."""
        said = dict(self.cleaned_data)
        said.pop("began_from")
        said["guidelines"] = said["guidelines"].replace("\r\n", "\n")
        return said

    @property
    def groups(self) -> list[tuple[Group, list[forms.BoundField]]]:
        return [(group, [self[name] for name in group.names]) for group in GROUPS]

    @property
    def aspect_rows(self) -> list[dict[str, str]]:
        """The aspects, and empty rows to add some without a script."""
        blank = {"key": "", "label": "", "kind": "preference"}
        filled = list(self["aspects"].value() or [])
        return [*filled, *([blank] * min(EMPTY_ROWS, max(0, asked.MAX_ASPECTS - len(filled))))]

    kinds = KINDS
    most_aspects = asked.MAX_ASPECTS


def label_of(field: str) -> str:
    """What the editor calls a field."""
    return str(FormEditor.base_fields[field].label)


def worded(field: str, value: Any) -> str:
    """A value of a field as people read it."""
    choices = CHOICES.get(field)
    if choices:
        return str(choices.get(value, value))
    if field == "guidelines":
        return _("%(n)s words") % {"n": len(value.split())}
    if field == "aspects":
        kinds = {kind: str(words) for kind, words in KINDS}
        return ", ".join(f"{aspect['label']} ({kinds.get(aspect['kind'], aspect['kind'])})" for aspect in value) or _(
            "none"
        )
    if field in asked.SHARES and value is not None:
        return f"{value * 100:g} %"
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(value, list):
        return ", ".join(value) or _("none")
    return _("none") if value is None else str(value)


class ProjectForm(forms.Form):
    """A new project: a name, and a form to begin with."""

    name = forms.CharField(label=gettext_lazy("Name"), max_length=200)
    slug = forms.CharField(
        label=gettext_lazy("Short name"),
        max_length=64,
        required=False,
        help_text=gettext_lazy(
            "Part of every address, for good: lower-case letters, digits, hyphens. Empty: from the name."
        ),
    )
    description = forms.CharField(
        label=gettext_lazy("Description"), required=False, max_length=10_000, widget=forms.Textarea({"rows": 3})
    )
    preset = forms.ChoiceField(choices=[(name, preset.label) for name, preset in PRESETS.items()], initial=DEFAULT)

    def __init__(self, data: MultiValueDict[str, Any] | None = None) -> None:
        super().__init__(data, auto_id="field-%s", label_suffix="")

    def clean(self) -> dict[str, Any]:
        said = super().clean() or self.cleaned_data
        said["slug"] = said.get("slug") or slugify(said.get("name", ""))[:64].strip("-_")
        if not said["slug"] and "name" in said:
            self.add_error("slug", _("The name gives none: choose one."))
        return said


class DuplicateForm(forms.Form):
    """A copy of a project: its name, and what comes along."""

    name = forms.CharField(label=gettext_lazy("Name of the copy"), max_length=200)
    slug = forms.CharField(
        label=gettext_lazy("Short name"),
        max_length=64,
        help_text=gettext_lazy("Part of every address, for good: lower-case letters, digits, hyphens."),
    )
    comparisons = _tick(
        gettext_lazy("Copy the comparisons"),
        gettext_lazy("with prompts, completions, gold and images; without anything that was said about them"),
    )
    members = _tick(
        gettext_lazy("Copy the members"),
        gettext_lazy("with their roles, and annotators with their skills and languages"),
    )

    def __init__(
        self, data: MultiValueDict[str, Any] | None = None, *, may_copy_members: bool, initial: Mapping[str, Any]
    ) -> None:
        super().__init__(data, auto_id="field-%s", label_suffix="", initial=dict(initial))
        if not may_copy_members:
            del self.fields["members"]

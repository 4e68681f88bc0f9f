"""What curators send: parsed here, judged by the services."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from annotate.models import Comparison, Criterion, Judge, Rater, Rubric
from annotate.services.raters import KINDS
from annotate.services.rubrics import Said
from curation.services.reading.comparisons import DISAGREEMENT, Filters
from tiebreak.accounts.models import Project, Scope, User
from tiebreak.accounts.roles import Role
from tiebreak.accounts.services import MAX_TOKEN_DAYS
from tiebreak.core.words import lazily

ANY = ("", _("any"))


class FilterForm(forms.Form):
    """The filters of the list of comparisons; what cannot be read is said and does not filter."""

    q = forms.CharField(label=_("Prompt contains"), required=False, max_length=200)
    status = forms.ChoiceField(
        label=_("State"), required=False, choices=[ANY, *((s.value, lazily(s.value)) for s in Comparison.Status)]
    )
    route = forms.ChoiceField(
        label=_("Route"), required=False, choices=[ANY, ("human", _("people")), ("judge", _("judge"))]
    )
    priority = forms.ChoiceField(
        label=_("Priority"),
        required=False,
        choices=[ANY, ("0", _("in its turn")), ("1", _("before the others")), ("2", _("first"))],
    )
    disagreement = forms.ChoiceField(
        label=_("Disagreement"), required=False, choices=[ANY, *((name, lazily(name)) for name in DISAGREEMENT)]
    )
    noise = forms.ChoiceField(
        label=_("Noise"),
        required=False,
        choices=[
            ANY,
            ("keep", _("keep")),
            ("soften", _("soften")),
            ("ask_people", _("ask people")),
            ("drop", _("drop")),
        ],
    )
    rater = forms.ModelChoiceField(Rater.objects.none(), label=_("Judged by"), required=False, empty_label=_("any"))
    group = forms.CharField(label=_("Group"), required=False, max_length=200)
    facet = forms.RegexField(
        r"^[^:\x00]{1,100}:[^\x00]{0,200}$",
        label=_("Metadata"),
        required=False,
        error_messages={"invalid": _("Write key:value, as in source:forum.")},
        widget=forms.TextInput(attrs={"placeholder": _("source:forum")}),
    )
    returned = forms.BooleanField(label=_("sent back by a model"), required=False)
    unparsed = forms.BooleanField(label=_("unreadable verdict"), required=False)
    failed = forms.BooleanField(label=_("failed judge call"), required=False)
    flagged = forms.BooleanField(label=_("open flag"), required=False)
    decided = forms.BooleanField(label=_("decided by an adjudicator"), required=False)

    def __init__(self, *args: Any, project: Project, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["rater"]
        assert isinstance(field, forms.ModelChoiceField)  # noqa: S101 - for mypy
        field.queryset = Rater.objects.filter(project=project).order_by("kind", "name")

    def filters(self) -> Filters:
        self.full_clean()
        rater = self.cleaned_data.get("rater")
        given = {name: value for name, value in self.cleaned_data.items() if value and name != "rater"}
        return Filters(**given, rater=rater.pk if rater else None)


class JudgeForm(forms.Form):
    name = forms.CharField(label=_("Name"), max_length=100, help_text=_("A name that exists gets a new version."))
    kind = forms.ChoiceField(
        label=_("Kind"),
        choices=[(kind, lazily(kind)) for kind in KINDS],
        help_text=_("Pairwise names a side; rubric weighs criteria; reward model compares margins."),
    )
    model = forms.CharField(
        label=_("Model"), max_length=200, help_text=_("As the server calls it, or the name of a reward model here.")
    )
    base_url = forms.CharField(
        label=_("Address"), max_length=500, required=False, help_text=_("Such as https://api.example.com/v1")
    )
    api_key_env = forms.CharField(
        label=_("Variable with the key"),
        max_length=100,
        required=False,
        help_text=_("Its name in the worker's environment; the key itself is never stored."),
    )
    rubric = forms.ModelChoiceField(
        Rubric.objects.none(),
        label=_("Rubric"),
        required=False,
        empty_label=_("none"),
        help_text=_("For the kind rubric."),
    )
    price_prompt = forms.DecimalField(
        label=_("Price in"), min_value=0, max_digits=10, decimal_places=4, initial=0, help_text=_("Per million tokens.")
    )
    price_completion = forms.DecimalField(
        label=_("Price out"),
        min_value=0,
        max_digits=10,
        decimal_places=4,
        initial=0,
        help_text=_("Per million tokens."),
    )

    def __init__(self, *args: Any, project: Project, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["rubric"]
        assert isinstance(field, forms.ModelChoiceField)  # noqa: S101 - for mypy
        field.queryset = Rubric.objects.filter(project=project).exclude(status=Rubric.Status.RETIRED)


class TokenForm(forms.Form):
    name = forms.CharField(label=_("Name"), max_length=100, help_text=_("What it is for, such as “training on gpu-3”."))
    scopes = forms.MultipleChoiceField(
        label=_("It may"),
        choices=Scope.choices,
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": _("Choose at least one.")},
    )
    project = forms.ModelChoiceField(
        Project.objects.none(), label=_("Only in"), required=False, empty_label=_("all of my projects")
    )
    days = forms.IntegerField(label=_("Days until it expires"), min_value=1, max_value=MAX_TOKEN_DAYS, initial=90)

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["project"]
        assert isinstance(field, forms.ModelChoiceField)  # noqa: S101 - for mypy
        field.queryset = Project.objects.visible_to(user)


class RubricForm(forms.Form):
    """A rubric written by hand."""

    name = forms.CharField(label=_("Name"), max_length=100)
    criteria = forms.CharField(
        label=_("Criteria"),
        widget=forms.Textarea(attrs={"rows": 6, "dir": "auto"}),
        help_text=_("One a line. A line that begins with ! is a hard rule: failing it decides."),
    )

    def said(self) -> list[Said]:
        lines = [line.strip() for line in self.cleaned_data["criteria"].splitlines() if line.strip()]
        hard, principle = Criterion.Kind.HARD_RULE, Criterion.Kind.PRINCIPLE
        return [Said(line.lstrip("! "), hard if line.startswith("!") else principle) for line in lines]


class MemberForm(forms.Form):
    username = forms.CharField(
        label=_("User name"),
        max_length=150,
        help_text=_("of somebody who has an account here; an operator makes one with manage.py create_user"),
    )
    role = forms.ChoiceField(
        label=_("Role"), choices=[(role.value, lazily(role.value)) for role in Role], initial=Role.ANNOTATOR
    )


def runnable(project: Project) -> list[Judge]:
    """The newest version of each judge that can judge now."""
    found = Judge.objects.filter(project=project, retired_at=None).select_related("rubric").order_by("name", "-version")
    return list(found.distinct("name"))


class EquipForm(forms.Form):
    """What an annotator may be asked; words stand apart by commas."""

    skills = forms.CharField(label=_("Skills"), required=False, help_text=_("such as law, python"))
    languages = forms.CharField(label=_("Languages"), required=False, help_text=_("tags, such as de, pt-BR; none: any"))
    daily_quota = forms.IntegerField(
        label=_("Judgements a day"), required=False, help_text=_("empty: as the form says")
    )

    @classmethod
    def of(cls, rater: Rater) -> EquipForm:
        words = {"skills": ", ".join(rater.skills), "languages": ", ".join(rater.languages)}
        return cls(initial=words | {"daily_quota": rater.daily_quota})

    def clean_skills(self) -> list[str]:
        return self._listed("skills")

    def clean_languages(self) -> list[str]:
        return self._listed("languages")

    def _listed(self, name: str) -> list[str]:
        return [word.strip() for word in self.cleaned_data[name].split(",") if word.strip()]

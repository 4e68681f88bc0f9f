"""The curator's pages of how far raters agree and lean, and of what a difference costs to see."""

from __future__ import annotations

from typing import Any, Final

from django import forms
from django.http import HttpResponse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from .desk import Desk, page
from .services.reading import agreement as reading
from .services.reading import planning


class AgreementForm(forms.Form):
    """What to measure by, and what to slice by. An unknown one is said, and not guessed at."""

    coefficient = forms.ChoiceField(label=_("Coefficient"), required=False, choices=list(reading.COEFFICIENTS.items()))
    slice = forms.CharField(label=_("Slice by"), required=False, max_length=200)


@page()
def agreement(desk: Desk) -> HttpResponse:
    form = AgreementForm(desk.request.GET)
    valid = form.is_valid()
    said = form.cleaned_data
    found = reading.page(desk.project, said.get("coefficient") or "alpha-ordinal", said.get("slice") or "")
    asked = said.get("slice") or ""
    if asked not in found.choices:
        form.add_error("slice", reading.unknown_slice(asked, found.choices))
        valid = False
    return desk.render(
        "agreement.html", page=found, form=form, coefficients=reading.COEFFICIENTS, status=200 if valid else 422
    )


GOALS: Final = ("difference", "power")  # wishes, of which nothing is measured


class PlanForm(forms.Form):
    """What is known and what shall be seen; shares in percent. What is left out is as measured, or assumed."""

    difference = forms.FloatField(
        label=_("Difference to see, in points"), min_value=0.1, max_value=99, required=False,
        help_text=_("10: one model wins 55 of 100 and loses 45"),
    )  # fmt: skip
    power = forms.FloatField(label=_("Chance to see it, %"), min_value=50, max_value=99.9, required=False)
    raters = forms.IntegerField(label=_("People per comparison"), min_value=1, max_value=50, required=False)
    agreement = forms.FloatField(
        label=_("People who agree, %"), min_value=50, max_value=100, required=False,
        help_text=_("of two who both decide; 50 is chance"),
    )  # fmt: skip
    ties = forms.FloatField(label=_("Ties, %"), min_value=0, max_value=95, required=False)
    seconds = forms.FloatField(label=_("Seconds per judgement"), min_value=0.1, max_value=86400, required=False)
    hourly = forms.FloatField(label=_("Pay per hour"), min_value=0, max_value=100000, required=False)
    judge_agreement = forms.FloatField(
        label=_("Judge names a person’s side, %"), min_value=0, max_value=100, required=False
    )
    judge_price = forms.FloatField(label=_("Price of a judge’s label"), min_value=0, max_value=1000, required=False)

    def __init__(self, *args: Any, found: planning.Measured, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.found = found
        for name, field in self.fields.items():
            default = found.figures[name]
            field.initial = f"{default.value:.3g}"
            field.widget.attrs["step"] = "any" if name != "raters" else "1"
            if name not in GOALS:
                field.help_text = f"{field.help_text}; {default.words}" if field.help_text else default.words

    def clean(self) -> dict[str, Any]:
        """Raters who tie so often cannot differ by more than what is left."""
        given = super().clean() or {}
        figures = {name: default.value for name, default in self.found.figures.items()}
        figures |= {name: value for name, value in given.items() if value is not None}
        if figures["difference"] >= 100 - figures["ties"]:
            self.add_error("difference", gettext("It is more than the ties leave: take a smaller one, or fewer ties."))
        return given


@page()
def planner(desk: Desk) -> HttpResponse:
    found = planning.measured(desk.project)
    form = PlanForm(desk.request.GET or None, found=found)
    answer = None
    if form.is_valid() or not form.is_bound:
        answer = planning.plans(planning.asked_of(found, form.cleaned_data if form.is_bound else {}))
    return desk.render("planner.html", page=answer, measured=found, form=form, status=200 if answer else 422)

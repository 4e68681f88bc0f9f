"""The curator's pages of how far raters agree and lean, and of what a difference costs to see."""

from __future__ import annotations

from django import forms
from django.http import HttpResponse
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


@page()
def planner(desk: Desk) -> HttpResponse:
    measured = planning.measured(desk.project)
    form = planning.PlanForm(desk.request.GET or None, measured=measured)
    found = planning.plans(form.asked()) if form.is_valid() or not form.is_bound else None
    return desk.render("planner.html", page=found, measured=measured, form=form, status=200 if found else 422)

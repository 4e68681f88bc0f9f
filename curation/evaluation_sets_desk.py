"""The page of evaluation sets: what recipes may be decontaminated against, and adding one by upload."""

from __future__ import annotations

from django import forms
from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from tiebreak.accounts.roles import Can

from .desk import Desk, beside_fields, page
from .models import EvaluationSet
from .services import evaluation_sets


class EvaluationSetForm(forms.Form):
    name = forms.SlugField(
        label=_("Name"), max_length=64, help_text=_("As recipes call it under decontaminate.against: gsm8k-test.")
    )
    file = forms.FileField(
        label=_("File"),
        help_text=_("JSON Lines, CSV or Parquet, gzipped or not; or a name that ends in .txt, with a text a line."),
    )
    field = forms.CharField(
        label=_("Field"),
        max_length=200,
        required=False,
        help_text=_("Where a record’s texts are, several with commas between. Without it: text, prompt, question, …"),
    )


@page()
def listed(desk: Desk) -> HttpResponse:
    return _page(desk, EvaluationSetForm(auto_id="set-%s"))


@page(Can.CURATE, methods="POST")
def add(desk: Desk) -> HttpResponse:
    form = EvaluationSetForm(desk.request.POST, desk.request.FILES, auto_id="set-%s")
    if form.is_valid():
        given = form.cleaned_data
        with beside_fields(form):
            row = evaluation_sets.add(
                desk.project,
                given["name"],
                given["file"],
                field=given["field"],
                filename=given["file"].name,
                by=desk.user,
            )
            told = ngettext("%(name)s has %(n)s text.", "%(name)s has %(n)s texts.", row.texts)
            desk.say(told % {"name": row.name, "n": row.texts})
            return desk.go("evaluation-sets")
    return _page(desk, form, status=422)


@page(Can.CURATE, methods="POST")
def remove(desk: Desk, name: str) -> HttpResponse:
    row = get_object_or_404(EvaluationSet, project=desk.project, name=name)
    with desk.refusals():
        evaluation_sets.remove(row, by=desk.user)
        desk.say(gettext("%(name)s is gone.") % {"name": name})
    return desk.go("evaluation-sets")


def _page(desk: Desk, form: forms.Form, status: int = 200) -> HttpResponse:
    lines = [{"set": row, "versions": versions} for row, versions in evaluation_sets.listed(desk.project)]
    return desk.render("evaluation_sets.html", status=status, lines=lines, form=form)

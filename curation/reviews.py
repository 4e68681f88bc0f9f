"""The curator's pages of what people said lately and what they flagged."""

from __future__ import annotations

from typing import Any

from django import forms
from django.http import Http404, HttpResponse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from annotate.models import Rater
from annotate.services import reviewing
from tiebreak.accounts.models import Project
from tiebreak.accounts.roles import Can
from tiebreak.core.errors import Conflict, Invalid, NotAllowed

from .desk import Desk, page
from .services.reading import comparisons as comparison_pages
from .services.reading import reviews as reading
from .views import cursor_of, found

VERDICTS = {"accepted": reviewing.accept, "returned": reviewing.return_judgement}


class ReviewForm(forms.Form):
    """What to look at; what cannot be read does not filter."""

    rater = forms.ModelChoiceField(Rater.objects.none(), label=_("Judged by"), required=False, empty_label=_("any"))
    state = forms.ChoiceField(
        label=_("Review"),
        required=False,
        choices=[
            ("new", _("not yet reviewed")),
            ("accepted", _("accepted")),
            ("corrected", _("corrected")),
            ("returned", _("returned")),
            ("all", _("any")),
        ],
    )
    disagrees = forms.BooleanField(label=_("differs from the consensus"), required=False)
    flagged = forms.BooleanField(label=_("comparison is flagged"), required=False)
    sample = forms.BooleanField(label=_("a tenth of them, by lot"), required=False)

    def __init__(self, *args: Any, project: Project, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["rater"]
        assert isinstance(field, forms.ModelChoiceField)  # noqa: S101 - for mypy
        people = Rater.objects.filter(project=project, kind=Rater.Kind.ANNOTATOR)
        field.queryset = people.order_by("name")

    def filters(self) -> reading.ReviewFilters:
        self.full_clean()
        said = self.cleaned_data
        return reading.ReviewFilters(
            rater=said["rater"].pk if said.get("rater") else None,
            state=said.get("state") or "new",
            disagrees=said.get("disagrees", False),
            flagged=said.get("flagged", False),
            sample=said.get("sample", False),
        )


@page()
def reviews(desk: Desk) -> HttpResponse:
    form = ReviewForm(desk.request.GET or {"state": "new"}, project=desk.project)
    rows = reading.judgements(desk.project, form.filters(), cursor_of(desk.request.GET))
    return desk.render("reviews.html", page=rows, form=form)


@page(methods="GET POST")
def review(desk: Desk, pk: int) -> HttpResponse:
    """The texts that a judgement is about; a POST accepts it or returns it, and htmx gets its card again."""
    if desk.request.method == "POST" and not desk.allows(Can.CURATE):
        raise NotAllowed(gettext("Your role in this project does not allow this."), code="role_too_small")
    judgement = found(reading.judgement(desk.project, pk))
    if desk.request.method == "GET":
        row = found(comparison_pages.one(desk.project, judgement.comparison_id))
        return desk.render("_review_texts.html", comparison=row, pk=pk)
    act = VERDICTS.get(desk.request.POST.get("verdict", ""))
    if act is None:
        raise Http404
    reason = desk.request.POST.get("reason", "")
    if not desk.partial:
        with desk.refusals():
            act(judgement, reason, by=desk.user)
        return desk.back("reviews")
    problem, status = "", 200
    try:
        act(judgement, reason, by=desk.user)
    except (Invalid, Conflict) as error:
        problem, status = error.message, error.status
    row = found(reading.judgement(desk.project, pk))
    return desk.render("_review.html", status=status, row=reading.sampled(row), problem=problem)


@page()
def flags(desk: Desk) -> HttpResponse:
    resolved = desk.request.GET.get("state") == "resolved"
    rows = reading.flags(desk.project, resolved=resolved, cursor=cursor_of(desk.request.GET))
    return desk.render("flags.html", page=rows, resolved=resolved)

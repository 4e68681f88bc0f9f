"""The curator's page of routing: policies, what they would do and cost, judges on trial, and a word of one's own."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from django import forms
from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from annotate.models import Comparison
from curation.routing import POLICIES
from curation.services.reading import routing as reading
from tiebreak.accounts.roles import Can
from tiebreak.core.errors import DomainError, Invalid
from tiebreak.core.words import lazily

from .desk import Desk, beside_fields, page
from .models import RoutingDecision, RoutingPolicy, RoutingSettings
from .services import admitting, budgeting, overriding, policies, verbs
from .views import cursor_of

ADAPTIVE: Final = ("least", "max_bundle", "max_overlap")  # what no other kind can be told


class PolicyForm(forms.Form):
    """A policy: what is left empty has its default."""

    name = forms.CharField(
        label=gettext_lazy("Name"),
        max_length=64,
        help_text=gettext_lazy("A name that exists gets a new version; the old one stays as it is."),
    )
    kind = forms.ChoiceField(
        label=gettext_lazy("Kind"), choices=[(name, lazily(kind.label)) for name, kind in POLICIES.items()]
    )
    audit = forms.FloatField(
        label=gettext_lazy("Audit"),
        initial=0.05,
        min_value=0,
        max_value=1,
        help_text=gettext_lazy("Share of the budget, drawn at random, that checks the judges."),
    )
    exploration = forms.FloatField(
        label=gettext_lazy("Exploration"),
        initial=0.05,
        min_value=0,
        max_value=1,
        help_text=gettext_lazy("Share of the budget, drawn at random, that shows where people help."),
    )
    budget = forms.IntegerField(
        label=gettext_lazy("Waiting at most"),
        required=False,
        min_value=0,
        help_text=gettext_lazy("Judgements of people that may wait in the queue. Empty: what the budget allows."),
    )
    least = forms.FloatField(
        label=gettext_lazy("Least worth"),
        required=False,
        min_value=0,
        help_text=gettext_lazy("Next judgement where it pays: error that a unit of money must take away."),
    )
    max_bundle = forms.IntegerField(
        label=gettext_lazy("At once"),
        required=False,
        min_value=1,
        max_value=5,
        help_text=gettext_lazy("Next judgement where it pays: judgements bought at once for one comparison."),
    )
    max_overlap = forms.IntegerField(
        label=gettext_lazy("People at most"),
        required=False,
        min_value=1,
        max_value=100,
        help_text=gettext_lazy("Next judgement where it pays: people asked about one comparison."),
    )

    def params(self) -> dict[str, Any]:
        """What was said; a field of another kind of policy counts only where something stands in it."""
        said = self.cleaned_data
        return {key: value for key, value in said.items() if key not in ("name", "kind") and value is not None}


class SettingsForm(forms.ModelForm[RoutingSettings]):
    currency = forms.RegexField(
        r"^[A-Z]{3}$",
        label=gettext_lazy("Currency"),
        error_messages={"invalid": gettext_lazy("Three capitals, such as EUR.")},
    )

    class Meta:
        model = RoutingSettings
        fields = ("automatic", "hourly_rate", "currency", "seconds")
        labels = {
            "automatic": gettext_lazy("Route by itself"),
            "hourly_rate": gettext_lazy("An hour of a person"),
            "seconds": gettext_lazy("Seconds a judgement"),
        }
        help_texts = {
            "automatic": gettext_lazy("As comparisons arrive and as evidence does."),
            "hourly_rate": gettext_lazy("In money; it prices people's judgements."),
            "seconds": gettext_lazy("Empty: the median measured here."),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["seconds"].required = False
        for name in ("hourly_rate", "seconds"):
            self.fields[name].validators += budgeting.bounds(name)


class GrantForm(forms.Form):
    money = forms.DecimalField(
        label=gettext_lazy("Money"), required=False, max_digits=14, decimal_places=4,
        validators=budgeting.bounds("money"),
        help_text=gettext_lazy("Below 0 takes away."),
    )  # fmt: skip
    hours = forms.FloatField(
        label=gettext_lazy("Hours of people"), required=False, validators=budgeting.bounds("hours")
    )
    note = forms.CharField(label=gettext_lazy("Note"), required=False, max_length=300)


def _routing(desk: Desk, status: int = 200, **given: forms.BaseForm) -> HttpResponse:
    """The page, with the form that was refused, if one was."""
    found = reading.routing_page(desk.project, cursor_of(desk.request.GET))
    blank: dict[str, forms.BaseForm] = {
        "policy_form": PolicyForm(auto_id="policy-%s", initial=_begun_from(desk)),
        "settings_form": SettingsForm(instance=found.settings, auto_id="settings-%s"),
        "grant_form": GrantForm(auto_id="grant-%s"),
    }
    return desk.render("routing.html", status=status, page=found, **(blank | given))


def _begun_from(desk: Desk) -> dict[str, Any]:
    """What a version says, for whoever writes the next one (`?from=`)."""
    pk = desk.request.GET.get("from", "")
    found = (
        RoutingPolicy.objects.filter(project=desk.project, pk=pk).first() if pk.isdecimal() and len(pk) < 19 else None
    )
    return {"name": found.name, "kind": found.kind} | found.params if found else {}


@page()
def routing(desk: Desk) -> HttpResponse:
    return _routing(desk)


@page(Can.CURATE, methods="POST")
def policy_check(desk: Desk) -> HttpResponse:
    """What would become of the form as it stands: a fragment, while somebody writes in it."""
    form, refused, number = PolicyForm(desk.request.POST), "", 0
    if form.is_valid():
        try:
            policies.checked(form.cleaned_data["kind"], form.params())
            number = policies.next_version(desk.project, form.cleaned_data["name"])
        except DomainError as error:
            refused = error.message
    return desk.render("_routing_check.html", form=form, refused=refused, number=number)


@page(Can.CURATE, methods="POST")
def policy_create(desk: Desk) -> HttpResponse:
    form = PolicyForm(desk.request.POST, auto_id="policy-%s")
    if form.is_valid():
        with beside_fields(form):
            said = form.cleaned_data
            policy = policies.create(desk.project, said["name"], said["kind"], form.params(), by=desk.user)
            desk.say(_("%(policy)s is a draft: simulate it, then let it decide.") % {"policy": policy})
            return desk.go("routing")
    return _routing(desk, 422, policy_form=form)


def _policy(desk: Desk, pk: int) -> RoutingPolicy:
    return get_object_or_404(RoutingPolicy.objects.select_related("project"), project=desk.project, pk=pk)


@page(Can.CURATE, methods="POST")
def policy_activate(desk: Desk, pk: int) -> HttpResponse:
    policy, sent = _policy(desk, pk), desk.request.POST
    with desk.refusals():
        share = _share(sent.get("share", "100"))
        policies.activate(policy, share, by=desk.user, unsimulated=bool(sent.get("unsimulated")))
        desk.say(_("%(policy)s decides %(share)s of the comparisons.") % {"policy": policy, "share": f"{share:.0%}"})
    return desk.go("routing")


def _share(percent: str) -> float:
    try:
        return float(percent) / 100
    except ValueError:
        raise Invalid(f"share: expected a percentage, got {percent[:60]!r}.", field="share") from None


@page(Can.CURATE, methods="POST")
def policy_retire(desk: Desk, pk: int) -> HttpResponse:
    policy = _policy(desk, pk)
    with desk.refusals():
        policies.retire(policy, by=desk.user)
        desk.say(_("%(policy)s decides nothing any more; its share falls to the default.") % {"policy": policy})
    return desk.go("routing")


@page(Can.CURATE, methods="POST")
def policy_simulate(desk: Desk, pk: int) -> HttpResponse:
    policy = _policy(desk, pk)
    with desk.refusals():
        run = verbs.start("route", desk.project, {"policy": str(policy), "simulate": True}, by=desk.user)
        return desk.go("run", run.pk)
    return desk.go("routing")


@page(Can.CURATE, methods="POST")
def settings(desk: Desk) -> HttpResponse:
    row = RoutingSettings.objects.filter(project=desk.project).first() or RoutingSettings(project=desk.project)
    form = SettingsForm(desk.request.POST, instance=row, auto_id="settings-%s")
    if form.is_valid():
        budgeting.configure(desk.project, by=desk.user, **form.cleaned_data)
        desk.say(_("Stored. The next routing follows it."))
        return desk.go("routing")
    return _routing(desk, 422, settings_form=form)


@page(Can.CURATE, methods="POST")
def grant(desk: Desk) -> HttpResponse:
    form = GrantForm(desk.request.POST, auto_id="grant-%s")
    if form.is_valid():
        with beside_fields(form):
            said = form.cleaned_data
            money, hours = said["money"] or Decimal(0), said["hours"] or 0.0
            budgeting.grant(desk.project, money=money, hours=hours, note=said["note"], by=desk.user)
            desk.say(_("Granted."))
            return desk.go("routing")
    return _routing(desk, 422, grant_form=form)


@page(Can.CURATE, methods="POST")
def trust(desk: Desk) -> HttpResponse:
    """Let judges settle without gold, with a reason; an empty `trust` takes it back."""
    with desk.refusals():
        if desk.request.POST.get("trust"):
            admitting.trust(desk.project, desk.request.POST.get("because", ""), by=desk.user)
            desk.say(_("Judges may settle comparisons that no gold vouches for, in your name."))
        else:
            admitting.distrust(desk.project, by=desk.user)
            desk.say(_("Only judges that gold or the audit admits settle anything."))
    return desk.go("routing")


@page(Can.CURATE, methods="POST")
def override(desk: Desk, pk: int) -> HttpResponse:
    sent = desk.request.POST
    get_object_or_404(Comparison, project=desk.project, pk=pk)
    with desk.refusals():
        overriding.override(desk.project, pk, sent.get("to", ""), sent.get("because", ""), by=desk.user)
        desk.say(_("Decided. The router leaves this comparison alone until you give it back."))
    return desk.back("routing")


@page(Can.CURATE, methods="POST")
def lift(desk: Desk, pk: int) -> HttpResponse:
    row = get_object_or_404(RoutingDecision, comparison__project=desk.project, pk=pk)
    with desk.refusals():
        overriding.lift(row, by=desk.user)
        desk.say(_("The router decides this comparison again."))
    return desk.back("routing")

"""The curator's page of doubtful labels: look at them, try a policy on them, apply it, undo it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from django import forms
from django.http import Http404, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, gettext_noop

from annotate.models import Comparison
from tiebreak.accounts.roles import Can
from tiebreak.core.errors import Conflict, Invalid
from tiebreak.core.text import TextError, loads_strict
from tiebreak.core.words import in_words

from . import noise as pure
from .desk import Desk, page
from .models import NoiseTreatment
from .services import treating
from .services.reading import noise as reading
from .views import cursor_of, found

SLOTS: Final = 4
"""Rules that the form has room for; a longer policy goes over the API."""
ACTIONS: Final = {
    "ask_people": gettext_lazy("ask one more person"),
    "soften": gettext_lazy("soften: draw its probability to one half"),
    "flip": gettext_lazy("flip: take the other side"),
    "drop": gettext_lazy("drop: leave it out of versions"),
    "keep": gettext_lazy("keep it as it is"),
}
PRESETS: Final = {
    "cautious": gettext_lazy("cautious: ask people, soften the rest, drop nothing"),
    "filter": gettext_lazy("filter: drop the worst fifth"),
    "flip-confident": gettext_lazy("flip what two methods are sure of, drop the worst tenth"),
}

TOLD: Final = (  # by packages that know no languages
    gettext_noop("Consensus entropy"),
    gettext_noop("The raters' consensus is undecided."),
    gettext_noop("Rater quality"),
    gettext_noop("Those who gave the label are raters who often err; those who contradict it seldom do."),
    gettext_noop("Rules"),
    gettext_noop("Something in the texts is known to spoil labels, such as a name, a cut end or the wrong language."),
    gettext_noop("Conflicts"),
    gettext_noop("Other labels contradict it: the same texts labelled the other way, or a cycle of preferences."),
    gettext_noop("Reward model disagreement"),
    gettext_noop("A reward model that did not train on it prefers the other side."),
    gettext_noop("Ensemble margin"),
    gettext_noop("Reward models trained on the other groups agree against the label."),
    gettext_noop("Peer review"),
    gettext_noop("Two reward models that review each other's pairs both find it hard to learn."),
    gettext_noop("Confident learning"),
    gettext_noop("Out-of-fold probabilities are surer of the other side than its own labels usually are."),
    gettext_noop("Training dynamics"),
    gettext_noop("While a reward model learns, it stays on the other side, or forgets the label again."),
    gettext_noop("the people who judged it all name its side"),
    gettext_noop("as many are dropped as may be"),
    gettext_noop("as many people are asked as may be"),
)


class RuleForm(forms.Form):
    """One rule of a policy; without an action it is none."""

    action = forms.ChoiceField(
        label=gettext_lazy("Then"), required=False, choices=[("", gettext_lazy("no rule")), *ACTIONS.items()]
    )
    methods = forms.MultipleChoiceField(
        label=gettext_lazy("Scores"),
        required=False,
        choices=[(name, gettext_lazy(method.label)) for name, method in pure.METHODS.items()],
        widget=forms.CheckboxSelectMultiple,
    )
    agree = forms.BooleanField(label=gettext_lazy("all of them, not just one"), required=False)
    by = forms.ChoiceField(
        label=gettext_lazy("If they are"),
        required=False,
        choices=[("at_least", gettext_lazy("at least")), ("worst", gettext_lazy("among the worst share of"))],
    )
    value = forms.FloatField(
        label=gettext_lazy("From 0 to 1"),
        required=False,
        widget=forms.NumberInput(attrs={"min": 0, "max": 1, "step": "any", "class": "tiny"}),
    )
    fewer_than = forms.IntegerField(
        label=gettext_lazy("Only with fewer people than"),
        required=False,
        widget=forms.NumberInput(attrs={"min": 1, "class": "tiny"}),
    )
    weight = forms.FloatField(
        label=gettext_lazy("Soften by, between 0 and 1"),
        required=False,
        widget=forms.NumberInput(attrs={"min": 0, "max": 1, "step": "any", "class": "tiny"}),
    )

    def told(self) -> dict[str, Any]:
        """As `Policy.from_dict` reads it; what is not a number goes there as it came."""
        said = self.cleaned_data
        rule: dict[str, Any] = {"action": said["action"], "methods": said.get("methods", []), "agree": said["agree"]}
        rule[said.get("by") or "at_least"] = said.get("value", self["value"].data)
        given = {name: said.get(name, self[name].data) for name in ("fewer_than", "weight")}
        if said["action"] != "soften":
            given["weight"] = None  # it says nothing about the others, and stays filled in as the action changes
        return rule | {name: value for name, value in given.items() if value is not None}


class LimitsForm(forms.Form):
    max_dropped = forms.FloatField(label=gettext_lazy("Drop at most this share"), min_value=0, max_value=1)
    unanimous = forms.IntegerField(label=gettext_lazy("Believe so many people who agree"), min_value=1)
    asked = forms.IntegerField(
        label=gettext_lazy("Ask at most so often"),
        min_value=0,
        required=False,
        help_text=gettext_lazy("empty: no limit"),
    )
    flip_margin = forms.FloatField(label=gettext_lazy("Flip only beyond this margin"), min_value=0)
    otherwise = forms.ChoiceField(
        label=gettext_lazy("What a limit saves"),
        choices=[("soften", gettext_lazy("is softened")), ("keep", gettext_lazy("is kept as it is"))],
    )


class PolicyForm:
    """A policy as a form: so many rules, and the limits."""

    def __init__(self, data: QueryDict | None = None, *, policy: pure.Policy | None = None) -> None:
        given = policy.to_dict() if policy else {"rules": [], "limits": None}
        initial = [self._initial(rule) for rule in given["rules"]] + [{}] * SLOTS
        self.rules = [RuleForm(data, prefix=f"r{i}", initial=initial[i]) for i in range(SLOTS)]
        self.limits = LimitsForm(data, prefix="limits", initial=given["limits"])

    @staticmethod
    def _initial(rule: Mapping[str, Any]) -> dict[str, Any]:
        by = "worst" if rule["worst"] is not None else "at_least"
        return {**rule, "by": by, "value": rule[by]}

    def policy(self) -> pure.Policy:
        """Raises Invalid naming rule and field."""
        for rule in self.rules:
            rule.is_valid()
        if not self.limits.is_valid():
            name, errors = next(iter(self.limits.errors.items()))
            raise Invalid(f"{self.limits.fields[name].label}: {errors[0]}", field=f"limits.{name}")
        rules = [rule.told() for rule in self.rules if rule.cleaned_data.get("action")]
        return treating.parse({"rules": rules, "limits": self.limits.cleaned_data})


@page()
def noise(desk: Desk) -> HttpResponse:
    """The page, or for htmx what the policy in the address would do."""
    query = desk.request.GET
    scored = reading.methods(desk.project)
    if desk.partial:
        return desk.render("_noise_preview.html", **_tried(desk, PolicyForm(query)))
    known = [row for row in scored if row.n]
    named = query.get("preset", "")
    policy = pure.preset(named if named in PRESETS else "cautious", [row.name for row in known])
    tried = "limits-unanimous" in query
    form = PolicyForm(query) if tried else PolicyForm(policy=policy)
    method = next((row for row in known if row.name == query.get("method")), _telling(known))
    shown = _tried(desk, form) if tried else {}
    listed: dict[str, Any] = {}
    if method:
        listed = {
            "bands": _bands(shown.get("policy") or policy, method.name),
            "bins": reading.histogram(desk.project, method.name),
            "page": reading.suspects(
                desk.project,
                method.name,
                least=query.get("order") == "least",
                undecided=bool(query.get("undecided")),
                after=cursor_of(query).after,
            ),
        }
    return desk.render(
        "noise.html",
        scored=scored,
        method=method,
        form=form,
        presets=PRESETS,
        preset=named if named in PRESETS else "cautious",
        quality=reading.quality(desk.project),
        treatments=reading.treatments(desk.project),
        **listed,
        **shown,
    )


def _bands(policy: pure.Policy, method: str) -> list[tuple[float, str]]:
    """Where the rules that look at a score begin to hold, and what they do."""
    return [(rule.at_least, rule.action) for rule in policy.rules if method in rule.methods and rule.at_least]


def _telling(known: list[reading.Scored]) -> reading.Scored | None:
    """The most telling method that has scored something."""
    by_name = {row.name: row for row in known}
    return next((by_name[name] for name in pure.PREFERRED if name in by_name), known[0] if known else None)


def _tried(desk: Desk, form: PolicyForm) -> dict[str, Any]:
    """What the form's policy would do, with examples and its price; or what is wrong with it."""
    try:
        policy = form.policy()
        counted, labels = treating.preview(desk.project, policy)
    except Invalid as error:
        return {"problem": error.message}
    chosen = {int(labels.id[i]): action for action, places in counted.examples.items() for i in places}
    shown = reading.examples(chosen, policy)
    return {
        "counted": counted,
        "policy": policy,
        "as_json": json.dumps(policy.to_dict()),
        "changed": counted.n - counted.counts["keep"],
        "counts": [(action, counted.counts[action]) for action in ACTIONS],  # type: ignore[index]
        "by_rule": list(zip(policy.rules, counted.by_rule, strict=True)),
        "examples": [(action, shown[pk]) for pk, action in chosen.items() if pk in shown],
        "cost": reading.cost(desk.project, counted.judgements),
        "limited": [(_(treating.SAVED[name]), n) for name, n in counted.limited.items() if n],
    }


@page(Can.CURATE, methods="POST")
def treat(desk: Desk) -> HttpResponse:
    """Apply the policy that the preview showed."""
    said = desk.request.POST
    with desk.refusals():
        policy = treating.parse(_policy_of(said.get("policy", "")))
        made = treating.apply(
            desk.project, policy, by=desk.user, note=said.get("note", ""), confirmed=bool(said.get("confirm"))
        )
        desk.say(_("The treatment is at work."))
        return desk.go("run", made.run_id)
    return desk.back("noise")


def _policy_of(text: str) -> Mapping[str, Any]:
    try:
        told = loads_strict(text)
    except TextError:
        told = None
    if not isinstance(told, dict):
        raise Invalid(_("The policy is no JSON object."), field="policy")
    return told


@page(Can.CURATE, methods="POST")
def undo(desk: Desk, pk: int) -> HttpResponse:
    treatment = get_object_or_404(NoiseTreatment.objects.select_related("project"), project=desk.project, pk=pk)
    with desk.refusals():
        treating.undo(treatment, by=desk.user)
        desk.say(_("Undone: what it had replaced stands again."))
    return desk.go("noise")


@page(Can.CURATE, methods="POST")
def decide(desk: Desk, pk: int) -> HttpResponse:
    """One label by hand; htmx gets its card again."""
    comparison = get_object_or_404(Comparison.objects.select_related("project"), project=desk.project, pk=pk)
    said = desk.request.POST
    if not desk.partial:
        with desk.refusals():
            treating.decide_one(comparison, said.get("action", ""), by=desk.user, because=said.get("because", ""))
            desk.say(_("Decided: %(action)s.") % {"action": in_words(said["action"])})
        return desk.back("noise")
    method = said.get("method", "")
    if method not in pure.METHODS or not comparison.noise_scores.filter(method=method).exists():
        raise Http404
    problem, status = "", 200
    try:
        treating.decide_one(comparison, said.get("action", ""), by=desk.user, because=said.get("because", ""))
    except (Invalid, Conflict) as error:
        problem, status = error.message, error.status
    row = found(reading.suspect(desk.project, pk, method))
    return desk.render("_noise_suspect.html", status=status, row=row, problem=problem)

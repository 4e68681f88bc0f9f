"""The curator's pages. Each view finds its desk, reads by one function or changes by one service, and renders."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from annotate.models import Rubric
from annotate.services import raters as rater_services
from annotate.services import rubrics as rubric_services
from tiebreak.accounts import services as accounts
from tiebreak.accounts.models import ApiToken, Membership
from tiebreak.accounts.roles import Can, Role
from tiebreak.api.ranges import serve
from tiebreak.core.models import record
from tiebreak.core.words import in_words
from tiebreak.runs import ledger, store
from tiebreak.runs.models import Run

from .desk import Desk, beside_fields, page
from .forms import FilterForm, JudgeForm, MemberForm, RubricForm, TokenForm, runnable
from .models import DatasetVersion, RewardModel
from .services import admitting, verbs
from .services.reading import bias as bias_pages
from .services.reading import comparisons as comparison_pages
from .services.reading import datasets as dataset_pages
from .services.reading import models as model_pages
from .services.reading import projects as project_pages
from .services.reading import raters as rater_pages
from .services.reading import runs as run_pages
from .services.reading.paging import Cursor


def cursor_of(query: QueryDict) -> Cursor:
    """`after` or `before`; anything else than an id is the first page."""

    def number(name: str) -> int | None:
        value = query.get(name, "")
        return int(value) if value.isdecimal() and len(value) < 19 else None

    return Cursor(after=number("after"), before=number("before"))


def found(value: Any) -> Any:
    """The row, or 404."""
    if value is None:
        raise Http404
    return value


# Project


@page()
def project(desk: Desk) -> HttpResponse:
    return desk.render("project.html", home=project_pages.home(desk.project))


@page(Can.CURATE, methods="POST")
def start(desk: Desk, verb: str) -> HttpResponse:
    """Start a verb with the form's fields as its parameters, and go to its run."""
    given = {
        key: value for key, value in desk.request.POST.items() if value and key not in ("csrfmiddlewaretoken", "back")
    }
    with desk.refusals():
        run = verbs.start(verb, desk.project, given, by=desk.user)
        return desk.go("run", run.pk)
    return desk.back()


# Comparisons


@page()
def comparisons(desk: Desk) -> HttpResponse:
    form = FilterForm(desk.request.GET, project=desk.project)
    filters = form.filters()
    rows = comparison_pages.comparisons(desk.project, filters, cursor_of(desk.request.GET))
    template = "_comparisons.html" if desk.partial else "comparisons.html"
    return desk.render(template, page=rows, form=form, filters=filters)


@page()
def comparison(desk: Desk, pk: int) -> HttpResponse:
    row = found(comparison_pages.one(desk.project, pk))
    return desk.render("comparison.html", life=comparison_pages.life(row), comparison=row)


# Judges, rubrics (raters: raters.py, reviews: reviews.py)


def _judges(desk: Desk, form: JudgeForm, status: int = 200) -> HttpResponse:
    lines = rater_pages.judges(desk.project)
    latest = {judge.pk for judge in runnable(desk.project)} if desk.allows(Can.CURATE) else set()
    trusted = admitting.trusted(desk.project)
    return desk.render("judges.html", status=status, judges=lines, form=form, runnable=latest, trusted=trusted)


@page()
def judges(desk: Desk) -> HttpResponse:
    return _judges(desk, JudgeForm(project=desk.project))


@page(Can.CURATE, methods="POST")
def judge_create(desk: Desk) -> HttpResponse:
    form = JudgeForm(desk.request.POST, project=desk.project)
    if form.is_valid():
        with beside_fields(form):
            judge = rater_services.create_judge(desk.project, by=desk.user, **form.cleaned_data)
            desk.say(_("%(judge)s is ready to be run.") % {"judge": judge})
            return desk.go("judges")
    return _judges(desk, form, status=422)


@page()
def rubrics(desk: Desk) -> HttpResponse:
    return _rubrics(desk, RubricForm())


def _rubrics(desk: Desk, form: RubricForm, status: int = 200) -> HttpResponse:
    judges = [judge for judge in runnable(desk.project) if judge.kind == "pairwise"]
    lines = rater_pages.rubrics(desk.project)
    return desk.render("rubrics.html", status=status, rubrics=lines, judges=judges, form=form)


@page(Can.CURATE, methods="POST")
def rubric_write(desk: Desk) -> HttpResponse:
    form = RubricForm(desk.request.POST)
    if form.is_valid():
        with beside_fields(form):
            rubric = rubric_services.write(desk.project, form.cleaned_data["name"], form.said(), by=desk.user)
            desk.say(_("%(rubric)s is a draft: approve it, and annotators can be shown it.") % {"rubric": rubric})
            return desk.go("rubrics")
    return _rubrics(desk, form, status=422)


RUBRIC_ACTIONS = {
    "approve": (rubric_services.approve, gettext_lazy("%(rubric)s is approved.")),
    "retire": (rubric_services.retire, gettext_lazy("%(rubric)s is retired.")),
    "show": (rubric_services.show, gettext_lazy("Annotators see %(rubric)s from now on.")),
    "hide": (rubric_services.hide, gettext_lazy("Annotators no longer see %(rubric)s.")),
}


@page(Can.CURATE, methods="POST")
def rubric_action(desk: Desk, pk: int, action: str) -> HttpResponse:
    rubric = get_object_or_404(Rubric.objects.select_related("project"), project=desk.project, pk=pk)
    act, told = found(RUBRIC_ACTIONS.get(action))
    with desk.refusals():
        act(rubric, by=desk.user)
        desk.say(told % {"rubric": rubric})
    return desk.go("rubrics")


# Datasets


@page()
def datasets(desk: Desk) -> HttpResponse:
    return desk.render("datasets.html", datasets=dataset_pages.datasets(desk.project))


@page()
def dataset(desk: Desk, name: str) -> HttpResponse:
    row, versions = found(dataset_pages.dataset(desk.project, name))
    numbers = [line.version.number for line in versions if line.version.status == DatasetVersion.Status.READY]
    return desk.render("dataset.html", dataset=row, versions=versions, numbers=numbers)


def _version(desk: Desk, name: str, number: int) -> DatasetVersion:
    version: DatasetVersion = found(dataset_pages.version(desk.project, name, number))
    return version


@page()
def version(desk: Desk, name: str, number: int) -> HttpResponse:
    row = _version(desk, name, number)
    origin = desk.request.build_absolute_uri("/").rstrip("/")
    made = dataset_pages.version_page(row)
    return desk.render("version.html", page=made, version=row, bias=bias_pages.bias(row), origin=origin)


@page()
def dropped(desk: Desk, name: str, number: int) -> HttpResponse:
    row, rule = _version(desk, name, number), desk.request.GET.get("rule", "")
    rows = dataset_pages.dropped_rows(row, rule.replace("\x00", ""), cursor_of(desk.request.GET))
    return desk.render("dropped.html", version=row, page=rows, rule=rule)


@page()
def version_file(desk: Desk, name: str, number: int, filename: str) -> HttpResponseBase:
    row = _version(desk, name, number)
    file = get_object_or_404(row.files.select_related("artifact"), name=filename)
    record("dataset.download", row, by=desk.user, project=desk.project, file=filename)
    return serve(
        desk.request,
        store.open_artifact(file.artifact),
        size=file.artifact.size,
        sha256=file.artifact_id,
        name=f"{name}-{number}-{filename}",
        media_type=file.artifact.media_type,
    )


# Reward models


@page()
def models(desk: Desk) -> HttpResponse:
    return desk.render("models.html", models=model_pages.models(desk.project))


@page()
def model(desk: Desk, name: str) -> HttpResponse:
    row: RewardModel = found(model_pages.model(desk.project, name))
    return desk.render("model.html", page=model_pages.model_page(row), model=row)


# Runs


@page()
def runs(desk: Desk) -> HttpResponse:
    rows = run_pages.runs(desk.project, cursor_of(desk.request.GET))
    live = any(line.live for line in rows.rows)
    return desk.render("_runs.html" if desk.partial else "runs.html", page=rows, live=live)


def _run(desk: Desk, pk: int) -> Run:
    run: Run = found(run_pages.run(desk.project, pk))
    return run


@page()
def run(desk: Desk, pk: int) -> HttpResponse:
    row = _run(desk, pk)
    return desk.render("_run.html" if desk.partial else "run.html", page=run_pages.run_page(row), run=row)


@page(Can.CURATE, methods="POST")
def run_cancel(desk: Desk, pk: int) -> HttpResponse:
    with desk.refusals():
        ledger.cancel(_run(desk, pk), by=desk.user)
    return desk.go("run", pk)


@page(Can.CURATE, methods="POST")
def run_retry(desk: Desk, pk: int) -> HttpResponse:
    with desk.refusals():
        ledger.retry(_run(desk, pk), by=desk.user)
    return desk.go("run", pk)


@page()
def run_file(desk: Desk, pk: int, name: str) -> HttpResponseBase:
    row = get_object_or_404(_run(desk, pk).artifacts.select_related("artifact"), name=name)
    return serve(
        desk.request,
        store.open_artifact(row.artifact),
        size=row.artifact.size,
        sha256=row.artifact_id,
        name=name.rpartition("/")[2],
        media_type=row.artifact.media_type,
    )


# Members and tokens


def _members(desk: Desk, form: MemberForm, status: int = 200) -> HttpResponse:
    rows = desk.project.members.select_related("user").order_by("user__username")
    return desk.render("members.html", status=status, members=rows, form=form, roles=Role.choices)


@page()
def members(desk: Desk) -> HttpResponse:
    return _members(desk, MemberForm())


@page(Can.MANAGE, methods="POST")
def member_set(desk: Desk) -> HttpResponse:
    form = MemberForm(desk.request.POST)
    if form.is_valid():
        with beside_fields(form):
            member = accounts.set_role(desk.project, **form.cleaned_data, by=desk.user)
            desk.say(_("%(name)s is %(role)s.") % {"name": member.user, "role": in_words(member.role)})
            return desk.go("members")
    return _members(desk, form, status=422)


@page(Can.MANAGE, methods="POST")
def member_remove(desk: Desk, pk: int) -> HttpResponse:
    members = Membership.objects.select_related("project", "user")
    member = get_object_or_404(members, project=desk.project, pk=pk)
    with desk.refusals():
        accounts.remove_member(member, by=desk.user)
        desk.say(_("%(name)s is no longer a member.") % {"name": member.user})
        if member.user_id == desk.user.pk:
            return redirect("home")
    return desk.go("members")


def _tokens(request: HttpRequest, form: TokenForm, *, status: int = 200, secret: str = "") -> HttpResponse:
    rows = ApiToken.objects.filter(user=request.user).select_related("project").order_by("-id")  # type: ignore[misc]
    return render(request, "curation/tokens.html", {"tokens": rows, "form": form, "secret": secret}, status=status)


@require_http_methods(["GET", "POST"])
@login_required
@never_cache
def tokens(request: HttpRequest) -> HttpResponse:
    """The secret of a new token is in the answer to its POST and nowhere else."""
    form = TokenForm(request.POST or None, user=request.user)  # type: ignore[arg-type]
    if request.method == "GET":
        return _tokens(request, form)
    if form.is_valid():
        with beside_fields(form):
            _token, secret = accounts.create_token(request.user, **form.cleaned_data)  # type: ignore[arg-type]
            return _tokens(request, TokenForm(user=request.user), secret=secret)  # type: ignore[arg-type]
    return _tokens(request, form, status=422)


@require_http_methods(["POST"])
@login_required
def token_revoke(request: HttpRequest, pk: int) -> HttpResponse:
    token = get_object_or_404(ApiToken, pk=pk, user=request.user)
    accounts.revoke_token(token, by=request.user)  # type: ignore[arg-type]
    return redirect("tokens")

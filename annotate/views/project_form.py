"""A new project, the editor of its form with a live preview, the form's versions, and a copy of a project."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final, NamedTuple

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from annotate.differences import differences
from annotate.editing import DuplicateForm, FormEditor, ProjectForm, label_of, worded
from annotate.models import Form
from annotate.services import asked, duplicating, presets, projects
from tiebreak.accounts.models import Project
from tiebreak.accounts.roles import Can
from tiebreak.core.errors import Conflict, DomainError, NotAllowed
from tiebreak.runs.models import Run

from .base import Request, page
from .gate import beside_fields, project_for, put_beside
from .screen import screen_of

SHOWN_CHARS: Final = 8_000


class Said(NamedTuple):
    """A changed field in words."""

    field: str
    label: str
    before: str
    after: str


class Clash(NamedTuple):
    """A field that somebody else changed while the editor was open."""

    field: str
    label: str
    theirs: str
    yours: str
    """Empty where you had left it alone: theirs was taken over."""


@login_required
@require_http_methods(["GET", "POST"])
def new(request: Request) -> HttpResponse:
    """Name a project and choose what it begins with; then comes its form."""
    if not projects.may_create(request.user):
        raise NotAllowed(_("Only staff, and people who curate a project, can make a new one."), code="may_not_create")
    form = ProjectForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        said = form.cleaned_data
        with beside_fields(form):
            first = presets.preset_of(said["preset"]).form()
            project = projects.create_project(
                said["slug"], said["name"], by=request.user, description=said["description"], **first
            )
            made = _("%(name)s is there. Look over what it asks, then import comparisons and add members.")
            messages.success(request, made % {"name": project.name})
            return redirect("form", project.slug)
    status = HTTPStatus.UNPROCESSABLE_ENTITY if form.errors else HTTPStatus.OK
    chosen = form["preset"].value()
    told = {"form": form, "presets": presets.PRESETS.items(), "chosen": chosen}
    return render(request, "annotate/project_new.html", told, status=status)


@login_required
@require_http_methods(["GET", "POST"])
def edit(request: Request, slug: str) -> HttpResponse:
    """The editor; saving makes the next form. `?like=3` opens it as form 3 was."""
    project = project_for(request, slug, Can.READ if request.method == "GET" else Can.CURATE)
    current = projects.current_form(project)
    if request.method == "GET":
        like = project.forms.filter(number=_number(request.GET.get("like", ""))).select_related("rubric").first()
        return _editor(request, project, FormEditor.of(current, asked.values(like) if like else None), current)
    editor = FormEditor(request.POST, project=project)
    if editor.is_valid():
        began_from = editor.cleaned_data["began_from"]
        try:
            saved = projects.change_form(project, by=request.user, began_from=began_from, **editor.values())
        except Conflict:
            return _merged(request, project, editor)
        except DomainError as error:
            put_beside(editor, error)
        else:
            _tell(request, current, saved)
            return redirect("form", project.slug)
    return _editor(request, project, editor, current, status=HTTPStatus.UNPROCESSABLE_ENTITY)


@login_required
@require_POST
def preview(request: Request, slug: str) -> HttpResponse:
    """What saving would show and do: the fragment for htmx, the editor around it for everybody else. Saves nothing."""
    project = project_for(request, slug, Can.CURATE)
    current, editor = projects.current_form(project), FormEditor(request.POST, project=project)
    told = _preview(request, project, editor, current)
    if request.htmx:
        return render(request, "annotate/_form_preview.html", told | {"project": project, "may": {"curate": True}})
    return page(request, "annotate/form.html", told, project)


@login_required
@require_GET
def versions(request: Request, slug: str) -> HttpResponse:
    """Every form that the project had."""
    project = project_for(request, slug, Can.READ)
    rows = [
        {"form": form, "changes": [_said(change) for change in changes], "judgements": n, "more": n > projects.MANY}
        for form, changes, n in projects.versions(project)
    ]
    return page(request, "annotate/form_versions.html", {"rows": rows, "many": projects.MANY}, project)


@login_required
@require_http_methods(["GET", "POST"])
def duplicate(request: Request, slug: str) -> HttpResponse:
    """Copy a project under another name."""
    project = project_for(request, slug, Can.CURATE)
    may_copy_members = project.allows(request.user, Can.MANAGE)
    initial = {"name": _("Copy of %(name)s") % {"name": project.name}, "slug": duplicating.free_slug(project.slug)}
    form = DuplicateForm(request.POST or None, initial=initial, may_copy_members=may_copy_members)
    if request.method == "POST" and form.is_valid():
        with beside_fields(form):
            copy, run = duplicating.duplicate(project, by=request.user, **form.cleaned_data)
            if run is not None:
                messages.success(
                    request, _("%(name)s is there; its comparisons are being copied.") % {"name": copy.name}
                )
                return redirect("run", copy.slug, run.pk)
            messages.success(request, _("%(name)s is there.") % {"name": copy.name})
            return redirect("form", copy.slug)
    status = HTTPStatus.UNPROCESSABLE_ENTITY if form.errors else HTTPStatus.OK
    return page(request, "annotate/duplicate.html", {"form": form}, project, status)


def _number(text: str) -> int:
    """A form's number; 0, which no form has, for whatever is none."""
    return int(text) if text.isdecimal() and len(text) < 10 else 0


def _tell(request: Request, before: Form, saved: Form) -> None:
    if saved.number == before.number:
        messages.info(request, _("Nothing differs from form %(number)s: nothing was saved.") % {"number": saved.number})
    else:
        told = _("Form %(number)s is saved. It is asked from the next comparison that anybody takes.")
        messages.success(request, told % {"number": saved.number})
    if Run.objects.filter(project=saved.project_id, kind="follow-form", status__in=("queued", "running")).exists():
        messages.info(request, _("The queue is long: a run brings it in line with the form."))


def _editor(
    request: Request, project: Project, editor: FormEditor, current: Form, *, status: int = HTTPStatus.OK, **more: Any
) -> HttpResponse:
    return page(request, "annotate/form.html", _preview(request, project, editor, current) | more, project, status)


def _preview(request: Request, project: Project, editor: FormEditor, current: Form) -> dict[str, Any]:
    """What the fragment shows: the screen and what saving would do, or what keeps both from being told."""
    new, complaints = _next_form(editor, current)
    effects = projects.effects(current, new) if new else None
    return {
        "editor": editor,
        "current": current,
        "new": new,
        "screen": _screen(request, project, new) if new else "",
        "effects": effects,
        "changes": [_said(change) for change in effects.changes] if effects else [],
        "no_longer": _no_longer(current, new) if new else [],
        "rewritten": differences(current.guidelines, new.guidelines) if new else [],
        "complaints": complaints,
        "overtaken": editor.is_bound and editor.cleaned_data.get("began_from", current.number) != current.number,
        "counted": projects.COUNTED,
    }


def _next_form(editor: FormEditor, current: Form) -> tuple[Form | None, list[dict[str, str]]]:
    """The form that saving would make, unsaved; None with the complaints where it cannot be."""
    if editor.is_bound and not editor.is_valid():
        return None, _complaints(editor)
    values = editor.values() if editor.is_bound else {field: editor.initial[field] for field in asked.FIELDS}
    try:
        return projects.changed(current, values), []
    except DomainError as error:
        if not editor.is_bound:
            return None, [{"id": "", "label": "", "text": error.message}]
        put_beside(editor, error)
        return None, _complaints(editor)


def _screen(request: Request, project: Project, form: Form) -> str:
    """The comparing screen under a form, with the project's first comparison, or a sample where there is none."""
    first = project.comparisons.select_related("prompt", "completion_a", "completion_b").order_by("external_id").first()
    if first is None:
        texts: dict[str, Any] = presets.sample_like(form)._asdict()
    else:
        texts = {
            "prompt": [turn | {"content": _cut(turn["content"])} for turn in first.prompt.messages],
            "left": _cut(first.completion_a.text),
            "right": _cut(first.completion_b.text),
            "context": _cut(first.context),
            "reference": _cut(first.reference),
        }
    told = screen_of(form, **texts, chosen_keys=request.user.keys)
    return render_to_string("annotate/_comparison.html", told | {"project": project, "preview": True}, request)


def _cut(text: str | None) -> str | None:
    """As much as a preview needs, which is drawn with every change."""
    return text if text is None or len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]} …"


def _complaints(editor: FormEditor) -> list[dict[str, str]]:
    return [
        {"id": editor[name].id_for_label if name in editor.fields else "", "label": label_of(name), "text": str(text)}
        if name in editor.fields
        else {"id": "", "label": "", "text": str(text)}
        for name, texts in editor.errors.items()
        for text in texts
    ]


def _no_longer(before: Form, after: Form) -> list[str]:
    """Aspects and tags that go."""
    kept = {aspect["key"] for aspect in after.aspects}
    gone = [aspect["label"] for aspect in before.aspects if aspect["key"] not in kept]
    return gone + [reason for reason in before.reasons if reason not in after.reasons]


def _said(change: asked.Change) -> Said:
    before, after = worded(change.field, change.before), worded(change.field, change.after)
    return Said(change.field, label_of(change.field), before, after)


def _merged(request: Request, project: Project, editor: FormEditor) -> HttpResponse:
    """Somebody saved in between: their form, with what this person changed on top; saving again is a decision."""
    current = projects.current_form(project)
    base = Form.objects.filter(project=project, number=editor.cleaned_data["began_from"]).first() or current
    merged, clashes = merge(asked.values(base), editor.values(), asked.values(current))
    told = [_clash(field, theirs, yours) for field, theirs, yours in clashes]
    again = FormEditor.of(current, merged)
    return _editor(request, project, again, current, status=HTTPStatus.CONFLICT, clashes=told, base=base)


def merge(
    base: Mapping[str, Any], mine: Mapping[str, Any], theirs: Mapping[str, Any]
) -> tuple[dict[str, Any], list[tuple[str, Any, Any]]]:
    """`theirs` with what I changed on top, and each field that they changed: (field, theirs, mine or None)."""
    merged = {field: theirs[field] if mine[field] == base[field] else mine[field] for field in asked.FIELDS}
    changed = [field for field in asked.FIELDS if theirs[field] != base[field] and theirs[field] != mine[field]]
    return merged, [(field, theirs[field], mine[field] if mine[field] != base[field] else ...) for field in changed]


def _clash(field: str, theirs: Any, yours: Any) -> Clash:
    return Clash(field, label_of(field), worded(field, theirs), "" if yours is ... else worded(field, yours))

"""Bringing comparisons in from the browser: a file, its format, and how earlier imports went."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from http import HTTPStatus
from typing import Any, Final, NamedTuple

from django import forms
from django.contrib.auth.decorators import login_required
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.datastructures import MultiValueDict
from django.utils.translation import gettext_lazy, gettext_noop
from django.views.decorators.http import require_http_methods

from annotate import formats
from annotate.services import importing
from tiebreak.accounts.models import Project
from tiebreak.accounts.roles import Can
from tiebreak.runs.models import Run, RunArtifact

from .base import Request, page
from .gate import beside_fields, project_for

SHOWN: Final = 10
WAIT: Final = timedelta(minutes=1)
WOKEN: Final = 2  # sent so often without an answer: nobody listens
FEW: Final = 3
TONES: Final = {"running": "accent", "succeeded": "good", "failed": "bad", "cancelled": "warn"}
COUNTS: Final = {
    "created": gettext_lazy("created"),
    "updated": gettext_lazy("updated"),
    "unchanged": gettext_lazy("unchanged"),
    "rejected": gettext_lazy("rejected"),
}
LABELS: Final = (  # those of annotate.formats, which knows no languages
    gettext_noop("Tiebreak's own rows"),
    gettext_noop("TRL preference pairs: prompt, chosen, rejected"),
    gettext_noop("HH-RLHF transcripts: chosen, rejected"),
)
# The columns of our own rows, for the help; test_import_page holds them to what the parser takes.
COLUMNS: Final = {
    "id": gettext_lazy("Your own id, unique in the project. Needed."),
    "prompt": gettext_lazy("A text, or a list of {role, content}. Needed."),
    "completion_a, completion_b": gettext_lazy("The two responses: texts, or lists of {role, content}."),
    "generator_a, generator_b": gettext_lazy("The models that wrote them. Annotators never see them."),
    "id_a, id_b, rank_a, rank_b, score_a, score_b": gettext_lazy(
        "What another system calls the two responses, and how it ranked or scored them."
    ),
    "completions": gettext_lazy(
        "Instead of the two: a list of {id, text, generator, rank, score}, from which comparisons are made."
    ),
    "pairs": gettext_lazy("Which of the completions to compare, as a list of two ids each. Without it, every two."),
    "group": gettext_lazy("Comparisons that must not be split apart. Without it, those of one prompt."),
    "reference": gettext_lazy("A reference answer; shown to annotators only where the form says so."),
    "context": gettext_lazy("Documents or criteria to judge under."),
    "metadata": gettext_lazy("An object with anything of yours: topic, source, difficulty."),
    "gold": gettext_lazy("The known preference: below 0 for a, above 0 for b, 0 for a tie."),
    "gold_because": gettext_lazy("Why gold is what it is; told to those who practise on it."),
    "skills": gettext_lazy("What an annotator must be able to judge, as a list of words, such as law. All are needed."),
    "language": gettext_lazy("The language to read, as a tag such as de or pt-BR."),
    "priority": gettext_lazy("0 in its turn, 1 before the others, 2 first."),
    "judgements": gettext_lazy("What raters said elsewhere: a list of {rater, kind, preference, …}."),
    "adjudications": gettext_lazy("What experts decided elsewhere: a list of {adjudicator, preference, reason, …}."),
}


class UploadForm(forms.Form):
    """A file of rows."""

    file = forms.FileField(
        label=gettext_lazy("File"), help_text=gettext_lazy("JSON Lines, CSV or Parquet; gzipped or not.")
    )
    format = forms.ChoiceField(
        label=gettext_lazy("Format"),
        choices=[(name, gettext_lazy(known.label)) for name, known in formats.FORMATS.items()],
        initial=formats.DEFAULT,
    )

    def __init__(
        self,
        data: MultiValueDict[str, Any] | None = None,
        files: MultiValueDict[str, UploadedFile[Any]] | None = None,
    ) -> None:
        super().__init__(data, files, auto_id="field-%s", label_suffix="")


class Count(NamedTuple):
    words: str
    n: int


class Import(NamedTuple):
    """An import as the list shows it."""

    run: Run
    filename: str
    percent: int | None
    counts: Sequence[Count]
    rejects: bool
    first_rejects: Sequence[dict[str, Any]]
    unreachable: bool
    """It waits although workers were woken for it."""
    trouble: str
    tone: str


@login_required
@require_http_methods(["GET", "POST"])
def imports(request: Request, slug: str) -> HttpResponse:
    """Send a file, or look how the last ones went; the list alone for htmx, which asks while one is under way."""
    project = project_for(request, slug, Can.CURATE)
    form = UploadForm(request.POST, request.FILES) if request.method == "POST" else UploadForm()
    if form.is_bound and form.is_valid():
        file = form.cleaned_data["file"]
        with beside_fields(form):
            importing.start_import(
                project, file, format=form.cleaned_data["format"], by=request.user, filename=file.name
            )
            return redirect("import", project.slug)
    lines = _latest(project)
    live = any(not line.run.ended for line in lines)
    told = {"form": form, "imports": lines, "live": live, "columns": COLUMNS.items()}
    if request.htmx:
        return render(request, "annotate/_imports.html", told | {"project": project})
    return page(
        request,
        "annotate/import.html",
        told,
        project,
        HTTPStatus.UNPROCESSABLE_ENTITY if form.errors else HTTPStatus.OK,
    )


def _latest(project: Project) -> list[Import]:
    """The last imports, the newest first (two queries)."""
    runs = list(Run.objects.filter(project=project, kind="import").select_related("created_by").order_by("-id")[:SHOWN])
    kept = RunArtifact.objects.filter(run__in=runs, name=importing.REJECTS).values_list("run_id", flat=True)
    with_rejects = set(kept)
    return [_line(run, rejects=run.pk in with_rejects) for run in runs]


def _line(run: Run, *, rejects: bool) -> Import:
    fraction, now = run.fraction(), timezone.now()
    waits = run.status == Run.Status.QUEUED and run.created_at < now - WAIT and run.not_before <= now
    error = run.error or {}
    return Import(
        run=run,
        filename=str(run.params.get("filename", "")),
        percent=None if fraction is None else int(fraction * 100),
        counts=[Count(str(words), run.result.get(name, 0)) for name, words in COUNTS.items()],
        rejects=rejects,
        first_rejects=run.result.get("first_rejects", [])[:FEW],
        unreachable=waits and run.wakes >= WOKEN,
        trouble=str(error.get("message") or error.get("type") or ""),
        tone=TONES.get(run.status, ""),
    )

"""A rubric's life: written or proposed, approved by a named person, shown to annotators, retired."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from django.db import transaction
from django.utils import timezone

from annotate.models import Criterion, Form, Judgement, Rubric
from tiebreak.accounts.models import Project
from tiebreak.accounts.roles import Can
from tiebreak.core.errors import Conflict, Invalid, NotAllowed
from tiebreak.core.models import record
from tiebreak.core.text import TextError, clean_text
from tiebreak.core.transitions import move

from . import projects
from .numbering import next_version

MOST_CRITERIA: Final = 30
MAX_NAME_CHARS: Final = 100
MAX_CRITERION_CHARS: Final = 1000


class Said(NamedTuple):
    """A criterion as somebody wrote it."""

    text: str
    kind: str = Criterion.Kind.PRINCIPLE


def write(project: Project, name: str, criteria: Sequence[Said], *, by: Any) -> Rubric:
    """A draft written by a person; a name that is taken gets a new version. Raises Invalid naming the field.

    Locks the project's row.
    """
    if not project.allows(by, Can.CURATE):
        raise NotAllowed("Your role does not allow you to change rubrics.", code="role_too_small")
    name = _text(name, "name", MAX_NAME_CHARS)
    if not 1 <= len(criteria) <= MOST_CRITERIA:
        raise Invalid(f"criteria: expected 1 to {MOST_CRITERIA}, one a line, got {len(criteria)}.", field="criteria")
    texts = [_text(said.text, "criteria", MAX_CRITERION_CHARS) for said in criteria]
    if len(set(texts)) < len(texts):
        twice = next(text for text in texts if texts.count(text) > 1)
        raise Invalid(f"criteria: expected each once, got {twice[:60]!r} again.", field="criteria")
    with transaction.atomic():
        Project.objects.select_for_update(no_key=True).get(pk=project.pk)
        version = next_version(Rubric.objects.filter(project=project, name=name))
        rubric = Rubric.objects.create(project=project, name=name, version=version)
        Criterion.objects.bulk_create(
            Criterion(rubric=rubric, position=position, kind=said.kind, text=text)
            for position, (said, text) in enumerate(zip(criteria, texts, strict=True))
        )
        record("rubric.written", rubric, by=by, project=project, criteria=len(texts))
    return rubric


def approve(rubric: Rubric, *, by: Any) -> Rubric:
    """Let judges and annotators judge by it; the approval carries a name and a time."""
    _may(rubric, by)
    return move(
        rubric,
        Rubric.Status.APPROVED,
        by=by,
        project=rubric.project_id,
        event="rubric.approved",
        approved_by=by,
        approved_at=timezone.now(),
    )


def retire(rubric: Rubric, *, by: Any) -> Rubric:
    """Take it out of use; judgements made under it keep pointing at it. Refused while annotators are shown it."""
    _may(rubric, by)
    if Form.objects.filter(project=rubric.project_id, current=True, rubric=rubric).exists():
        raise Conflict("Annotators see this rubric now: show them another or none first.", code="rubric_in_use")
    return move(rubric, Rubric.Status.RETIRED, by=by, project=rubric.project_id, event="rubric.retired")


def show(rubric: Rubric, *, by: Any) -> Form:
    """Show an approved rubric to annotators from now on, on a new form."""
    _may(rubric, by)
    if rubric.status != Rubric.Status.APPROVED:
        raise Conflict(f"This rubric is {rubric.status}: approve it before annotators see it.", code="not_approved")
    return projects.change_form(rubric.project, by=by, rubric=rubric)


def hide(rubric: Rubric, *, by: Any) -> Form:
    """Stop showing it: a new form without a rubric."""
    _may(rubric, by)
    if not Form.objects.filter(project=rubric.project_id, current=True, rubric=rubric).exists():
        raise Conflict("Annotators do not see this rubric now.", code="rubric_not_shown")
    return projects.change_form(rubric.project, by=by, rubric=None)


def _text(text: str, field: str, most: int) -> str:
    try:
        clean = clean_text(text, field=field, max_chars=most).strip()
    except TextError as error:
        raise Invalid(str(error), field=field) from error
    if not clean:
        raise Invalid(f"{field}: expected a text, got nothing.", field=field)
    return clean


def _may(rubric: Rubric, by: Any) -> None:
    if not rubric.project.allows(by, Can.CURATE):
        raise NotAllowed("Your role does not allow you to change rubrics.", code="role_too_small")


def criteria_of(project: Project) -> dict[str, str]:
    """The words of a project's criteria, of every rubric, by the ids that judgements know them by."""
    found = Criterion.objects.filter(rubric__project=project).order_by().values_list("pk", "text")
    return {str(pk): text for pk, text in found}


def in_words(judgement: Judgement, criteria: Mapping[str, str]) -> dict[str, str]:
    """Who meets which criterion, by its words: imported checks are kept so, others by its id."""
    if judgement.rubric_id is None:
        return dict(judgement.checks)
    return {criteria.get(key, key): met_by for key, met_by in judgement.checks.items()}

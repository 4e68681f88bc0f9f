"""A rubric's life: proposed, approved by a named person, shown to annotators, retired."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from annotate.models import Form, Rubric
from tiebreak.accounts.roles import Can
from tiebreak.core.errors import Conflict, NotAllowed
from tiebreak.core.transitions import move

from . import projects


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


def _may(rubric: Rubric, by: Any) -> None:
    if not rubric.project.allows(by, Can.CURATE):
        raise NotAllowed("Your role does not allow you to change rubrics.", code="role_too_small")

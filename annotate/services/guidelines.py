"""The guidelines of a project through its forms: their versions, and which one a rater has read."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from django.db import transaction
from django.utils.translation import gettext

from annotate.models import Form, Rater
from tiebreak.accounts.models import Project, User
from tiebreak.core.errors import Invalid, NotFound
from tiebreak.core.models import record


class Version(NamedTuple):
    number: int
    text: str
    at: datetime
    by: str  # a username, or empty where nobody is known


def versions(project: Project) -> list[Version]:
    """Every version, the current one first, as the form that brought it has it."""
    brought = project.forms.order_by("guidelines_version", "number").distinct("guidelines_version")
    forms = sorted(brought.select_related("created_by"), key=lambda form: -form.guidelines_version)
    return [Version(form.guidelines_version, form.guidelines, form.created_at, _author(form)) for form in forms]


def changed(rater: Rater, form: Form) -> dict[str, Any] | None:
    """The version that a form shows, when it came and by whom, if the rater has not read it yet."""
    version = form.guidelines_version
    if version <= rater.read_guidelines or not form.guidelines.strip():
        return None
    brought = Form.objects.filter(project=form.project_id, guidelines_version=version).order_by("number")
    first = brought.select_related("created_by").first() or form
    return {"version": version, "read": rater.read_guidelines, "at": first.created_at, "by": _author(first)}


def mark_read(rater: Rater, version: int, *, by: User) -> Rater:
    """The rater has read a version. An earlier one than they read before changes nothing."""
    if rater.user_id != by.pk:
        raise NotFound(gettext("There is no such rater."), code="no_rater")
    if not Form.objects.filter(project=rater.project_id, guidelines_version=version).exists():
        raise Invalid(f"These guidelines have no version {version}.", field="version")
    with transaction.atomic():
        if Rater.objects.filter(pk=rater.pk, read_guidelines__lt=version).update(read_guidelines=version):
            rater.read_guidelines = version
            record("guidelines.read", rater, by=by, project=rater.project_id, version=version)
    return rater


def _author(form: Form) -> str:
    return form.created_by.get_username() if form.created_by else ""

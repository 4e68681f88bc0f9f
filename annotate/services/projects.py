"""Projects as annotators meet them: making one with its first form, and changing what is asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import F, Model
from django.db.models.functions import Greatest

from annotate.models import Comparison, Form
from annotate.models.forms import MAX_LEVELS
from tiebreak.accounts.models import Membership, Project
from tiebreak.accounts.roles import Can, Role
from tiebreak.core.errors import Conflict, Invalid, NotAllowed
from tiebreak.core.models import record
from tiebreak.core.text import TextError, clean_text

ASKED: Final = (
    "levels", "allow_tie", "allow_both_bad", "aspects", "reasons", "justification", "min_justification", "guidelines",
    "rubric", "overlap", "lease_seconds",
)  # fmt: skip
BETWEEN: Final = {
    "levels": (1, MAX_LEVELS), "overlap": (1, 1000), "lease_seconds": (30, 86_400), "min_justification": (0, 10_000),
}  # fmt: skip


def create_project(slug: str, name: str = "", *, by: Any, description: str = "", **form: Any) -> Project:
    """A new project with form 1, owned by `by` (None: the machine's operator, nobody is a member yet).

    `form` overrides what the form asks (see ASKED). Raises Invalid naming the field, Conflict where the slug is taken.
    """
    project = Project(slug=slug, name=_text(name or slug, "name", 200), description=_text(description, "description"))
    _checked(project, exclude=[])
    first = _form(Form(project=project, number=1, created_by=by), form)
    with transaction.atomic():
        if Project.objects.filter(slug=slug).exists():
            raise Conflict(f"There is a project {slug!r} already.", code="project_exists", field="slug")
        project.save()
        first.save()
        if by is not None:
            Membership.objects.create(project=project, user=by, role=Role.OWNER)
        record("project.created", project, by=by, project=project)
    return project


def change_form(project: Project, *, by: Any, **changes: Any) -> Form:
    """A new numbered form that differs by `changes`; the old one stays with the judgements that were made under it.

    Open comparisons take the new overlap, but never give up a seat that is taken; those that were sent back to people
    keep the seat that was made for it. Locks the project's row.
    """
    if by is not None and not project.allows(by, Can.CURATE):
        raise NotAllowed("Your role does not allow you to change what is asked.", code="role_too_small")
    with transaction.atomic():
        Project.objects.select_for_update(no_key=True).get(pk=project.pk)
        old = Form.objects.get(project=project, current=True)
        kept = {field: getattr(old, field) for field in ASKED}
        new = _form(Form(project=project, number=old.number + 1, created_by=by), kept | changes)
        Form.objects.filter(pk=old.pk).update(current=False)
        new.save()
        if new.overlap != old.overlap:
            waiting = Comparison.objects.filter(project=project, status=Comparison.Status.OPEN, returned_because="")
            waiting.update(overlap=Greatest(new.overlap, F("seats_taken")))
        record("form.changed", new, by=by, project=project, number=new.number, changed=sorted(changes))
    return new


def current_form(project: Project) -> Form:
    """What is asked now. Every project has one."""
    return Form.objects.get(project=project, current=True)


def _form(form: Form, values: dict[str, Any]) -> Form:
    if unknown := sorted(set(values) - set(ASKED)):
        raise Invalid(f"{unknown[0]}: not a field of a form (known: {', '.join(ASKED)}).", field=unknown[0])
    for field, value in values.items():
        setattr(form, field, value)
    for field, (least, most) in BETWEEN.items():
        value = getattr(form, field)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise Invalid(f"{field}: expected an integer from {least} to {most}, got {value!r}.", field=field)
    if not _are(
        form.aspects, lambda a: isinstance(a, dict) and set(a) == {"key", "label"} and _are(list(a.values()), _word)
    ):
        raise Invalid(f"aspects: expected a list of {{key, label}}, got {form.aspects!r:.100}.", field="aspects")
    if not _are(form.reasons, _word):
        raise Invalid(f"reasons: expected a list of texts, got {form.reasons!r:.100}.", field="reasons")
    _checked(form, exclude=["project", "created_by", "aspects", "reasons"])
    return form


def _are(value: Any, holds: Callable[[Any], bool]) -> bool:
    return isinstance(value, list) and all(holds(entry) for entry in value)


def _word(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 100 and "\x00" not in value


def _checked(row: Model, *, exclude: list[str]) -> None:
    """The model's own field checks, as our error with the first field's name."""
    try:
        row.clean_fields(exclude=exclude)
    except ValidationError as error:
        field, messages = next(iter(error.message_dict.items()))
        raise Invalid(f"{field}: {messages[0]}", field=field) from None


def _text(value: str, field: str, most: int = 10_000) -> str:
    try:
        return clean_text(value, field=field, max_chars=most)
    except TextError as error:
        raise Invalid(str(error), field=field) from None

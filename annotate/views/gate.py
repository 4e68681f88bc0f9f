"""The way into a project's pages: the project of an address, for whoever may do there what the page does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django import forms
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext

from tiebreak.accounts.models import Project
from tiebreak.accounts.roles import Can
from tiebreak.core.errors import DomainError, NotAllowed

from .base import Request


def project_for(request: Request, slug: str, can: Can) -> Project:
    """404 where the person is no member; raises NotAllowed where the role is too small."""
    project = get_object_or_404(Project.objects.visible_to(request.user), slug=slug)
    if not project.allows(request.user, can):
        raise NotAllowed(gettext("Your role in this project does not allow this."), code="role_too_small")
    return project


@contextmanager
def beside_fields(form: forms.Form) -> Iterator[None]:
    """A refusal inside becomes an error of the form, beside the field that it names."""
    try:
        yield
    except DomainError as error:
        put_beside(form, error)


def put_beside(form: forms.Form, error: DomainError) -> None:
    """A refusal as an error of the form, beside the field that it names."""
    field = error.params.get("field")
    beside = field if field in form.fields else None  # what stands elsewhere must say what it is about
    text = error.message.removeprefix(f"{field}: ") if beside else error.message
    form.add_error(beside, text[:1].upper() + text[1:])

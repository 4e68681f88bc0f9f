"""What every curator page shares: whose project it is, what the reader may do there, and how a refusal is shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import Any, Concatenate, ParamSpec

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.forms import Form
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext
from django.views.decorators.http import require_http_methods

from tiebreak.accounts.models import Membership, Project, User
from tiebreak.accounts.roles import MAY, Can
from tiebreak.core.errors import DomainError, NotAllowed, NotFound

P = ParamSpec("P")


@dataclass(frozen=True, slots=True)
class Desk:
    """A reader at a project."""

    request: HttpRequest
    user: User
    project: Project
    role: str

    def allows(self, can: Can) -> bool:
        return can in MAY[self.role]

    @property
    def partial(self) -> bool:
        """htmx asks for the fragment, not for the page."""
        return bool(getattr(self.request, "htmx", False)) and not self.request.htmx.boosted  # type: ignore[attr-defined]

    def render(self, template: str, *, status: int = 200, **context: Any) -> HttpResponse:
        may = {can.value: self.allows(can) for can in Can}
        return render(
            self.request, f"curation/{template}", {"project": self.project, "may": may} | context, status=status
        )

    def go(self, route: str, *args: Any) -> HttpResponseRedirect:
        return redirect(route, self.project.slug, *args)

    def back(self, otherwise: str = "project") -> HttpResponseRedirect:
        """To the page that the form stood on, if it is one of ours."""
        url = self.request.POST.get("back", "")
        ours = url.startswith("/") and url_has_allowed_host_and_scheme(url, allowed_hosts=None)
        return redirect(url) if ours else self.go(otherwise)

    def say(self, text: str) -> None:
        messages.success(self.request, text)

    @contextmanager
    def refusals(self) -> Iterator[None]:
        """A refusal inside becomes a message on the next page."""
        try:
            yield
        except DomainError as error:
            messages.error(self.request, error.message)


def desk_of(request: HttpRequest, slug: str, can: Can) -> Desk:
    """Raises NotFound where the reader is no member, NotAllowed where the role is too small (one query)."""
    user = request.user
    memberships = Membership.objects.select_related("project").filter(project__slug=slug)
    member = memberships.filter(user=user).first() if isinstance(user, User) else None
    if member is None or not isinstance(user, User):
        raise NotFound(gettext("There is no such project that you are a member of."), code="no_project")
    if can not in MAY[member.role]:
        raise NotAllowed(gettext("Your role in this project does not allow this."), code="role_too_small")
    return Desk(request, user, member.project, member.role)


def page(
    can: Can = Can.READ, *, methods: str = "GET"
) -> Callable[[Callable[Concatenate[Desk, P], HttpResponseBase]], Callable[..., HttpResponseBase]]:
    """A view of a project; `can` is what it needs, and it is called with a Desk in place of request and slug."""

    def decorate(view: Callable[Concatenate[Desk, P], HttpResponseBase]) -> Callable[..., HttpResponseBase]:
        @require_http_methods(methods.split())
        @login_required
        @wraps(view)
        def at_desk(request: HttpRequest, slug: str, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
            desk = desk_of(request, slug, can)
            if "\x00" in request.path_info:  # no name holds one, and the database cannot be asked
                raise NotFound(gettext("There is nothing at this address."), code="no_address")
            return view(desk, *args, **kwargs)

        return at_desk

    return decorate


@contextmanager
def beside_fields(form: Form) -> Iterator[None]:
    """A refusal inside becomes an error of the form, beside the field that it names."""
    try:
        yield
    except DomainError as error:
        field = error.params.get("field")
        beside = field if field in form.fields else None  # what stands elsewhere must say what it is about
        text = error.message.removeprefix(f"{field}: ") if beside else error.message
        form.add_error(beside, text[:1].upper() + text[1:])

"""My keys: what each action of the comparing screen is pressed with."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from annotate import keys as bindings
from tiebreak.accounts.models import User

from .base import Request, signed_in


@signed_in
@require_http_methods(["GET", "POST"])
def keys(request: Request) -> HttpResponse:
    """Show them; a POST chooses others, or (`reset`) the defaults again. A clash is refused, and named."""
    if request.method == "GET":
        return _show(request, bindings.keymap(request.user.keys))
    if "reset" in request.POST:
        return _keep(request, {}, _("Every key is as it was at first."))
    chosen, errors = bindings.read(request.POST.dict())
    if errors:
        return _show(request, {**chosen, **_typed(request, errors)}, errors, HTTPStatus.UNPROCESSABLE_ENTITY)
    return _keep(request, bindings.chosen(chosen), _("Your keys are kept."))


def _keep(request: Request, keys: Mapping[str, str], words: str) -> HttpResponse:
    User.objects.filter(pk=request.user.pk).update(keys=dict(keys))
    messages.success(request, words)
    return redirect("keys")


def _typed(request: Request, names: Mapping[str, Any]) -> dict[str, str]:
    return {name: request.POST[name][:20] for name in names if name in request.POST}


def _show(
    request: Request, keys: Mapping[str, str], errors: Mapping[str, str] | None = None, status: int = HTTPStatus.OK
) -> HttpResponse:
    rows = [
        {
            "name": a.name,
            "label": a.label,
            "key": keys[a.name],
            "default": a.default,
            "error": (errors or {}).get(a.name),
        }
        for a in bindings.ACTIONS
    ]
    told = {"actions": rows, "errors": errors or {}, "named": bindings.NAMED}
    return render(request, "annotate/keys.html", told, status=status)

"""Query parameters of views that read no form."""

from __future__ import annotations

from rest_framework.request import Request

from tiebreak.core.errors import Invalid


def refuse_unknown(request: Request, *known: str) -> None:
    """A misspelt parameter must not silently be none. Raises Invalid, which names it and what there is."""
    if unknown := sorted(set(request.query_params) - set(known)):
        name = unknown[0][:60]
        raise Invalid(f"{name}: not known here (known: {', '.join(known)}).", field=name, code="unknown_parameter")

"""What the frame of every page tells a person of their inbox."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from annotate.services import commenting
from tiebreak.accounts.models import User


def inbox(request: HttpRequest) -> dict[str, Any]:
    """`inbox_unseen`, counted only by a template that shows it: fragments do not."""
    user = getattr(request, "user", None)
    return {"inbox_unseen": lambda: commenting.unseen(user) if isinstance(user, User) else 0}

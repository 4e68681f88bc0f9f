"""The one tree of errors that services raise and that pages, the API and commands turn into words.

Pure code raises ValueError; the edge of the world raises BackendError; "no work for you" is None, not an error.
"""

from __future__ import annotations

from typing import Any, ClassVar


class DomainError(Exception):
    """Something asked of us that we refuse. `code` is for programs, `message` for people, `params` for both."""

    status: ClassVar[int] = 400
    default_code: ClassVar[str] = "refused"

    def __init__(self, message: str, *, code: str | None = None, **params: Any) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.params = params


class NotFound(DomainError):
    """It does not exist, or you may not know that it does."""

    status = 404
    default_code = "not_found"


class NotAllowed(DomainError):
    """You may see it, but not do this with it."""

    status = 403
    default_code = "not_allowed"


class Invalid(DomainError):
    """The input cannot be taken; `params["field"]` says where where one field is to blame."""

    status = 422
    default_code = "invalid"


class TooLarge(DomainError):
    """More than one request may carry."""

    status = 413
    default_code = "too_large"


class Conflict(DomainError):
    """It was right when you looked, and the world has moved on: a lost lease, a second submit, a used key."""

    status = 409
    default_code = "conflict"


class Gone(DomainError):
    """It was there, and has been taken back for good."""

    status = 410
    default_code = "gone"


class Stale(DomainError):
    """The request was about what is not there in that state any more (If-Match)."""

    status = 412
    default_code = "stale"


class Unavailable(DomainError):
    """A part that we need does not answer now: a worker, a server, a disk."""

    status = 503
    default_code = "unavailable"


class BackendError(Exception):
    """The outside world failed us. `permanent` is the one bit of policy: whether trying again can help."""

    def __init__(self, message: str, *, permanent: bool) -> None:
        super().__init__(message)
        self.message = message
        self.permanent = permanent

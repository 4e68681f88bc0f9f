"""The one error of the client."""

from __future__ import annotations

from typing import Any


class ClientError(Exception):
    """Something did not work. `code` is for programs, `message` for people; `status` is the server's."""

    def __init__(self, message: str, *, code: str, status: int | None = None, **params: Any) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.status = status
        self.params = params

    def __reduce__(self) -> Any:
        """With its fields, across processes: a data loader raises in a worker."""
        return _again, (self.message, self.code, self.status, self.params)


def _again(message: str, code: str, status: int | None, params: dict[str, Any]) -> ClientError:
    return ClientError(message, code=code, status=status, **params)

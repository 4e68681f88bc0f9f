"""Requests to one server: the token, patience with what passes, and refusals in the server's own words."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Final
from urllib.parse import unquote

import requests
from requests import Response
from requests.auth import AuthBase

from tiebreak import __version__

from .errors import ClientError

BLOCK: Final = 16 * 1024  # what a break can cost: a block that was not full is lost
ATTEMPTS: Final = 5  # without getting any further
PASSING: Final = (429, 502, 503, 504)
LONGEST_WAIT: Final = 60.0
TIMEOUT: Final = (10.0, 90.0)  # seconds to connect, and between two bytes
BROKEN: Final = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)


class _Bearer(AuthBase):
    """The token, and never what a .netrc says instead; requests takes it off where it is redirected to another host."""

    def __init__(self, token: str) -> None:
        self.token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self.token}"
        return request


class Wire:
    """One server by its address. What can be asked again is, a few times, with growing pauses."""

    def __init__(self, url: str, token: str, *, attempts: int = ATTEMPTS, sleep: Callable[[float], None] = time.sleep):
        self.url, self.attempts, self.sleep = url, attempts, sleep
        self.session = requests.Session()
        self.session.auth = _Bearer(token)
        self.session.headers["User-Agent"] = f"tiebreak-client/{__version__}"

    def get(self, path: str, params: Mapping[str, Any] | None = None, **options: Any) -> Response:
        given = {key: value for key, value in (params or {}).items() if value is not None}
        return self._ask("GET", path, lambda: None, params=given, **options)

    def post(self, path: str, body: Callable[[], Any], **options: Any) -> Response:
        """`body` makes the body anew for each attempt. Only for what the server does once however often it is asked."""
        return self._ask("POST", path, body, **options)

    def json(self, path: str, params: Mapping[str, Any] | None = None) -> Any:
        return self.read(self.get(path, params))

    def read(self, response: Response) -> Any:
        try:
            return response.json()
        except ValueError:
            raise self._stranger(response) from None

    def pages(self, path: str) -> Iterator[dict[str, Any]]:
        """The entries of a list, page by page."""
        params: dict[str, Any] = {"page_size": 1000}
        while True:
            page = self.json(path, params)
            yield from page["results"]
            _, found, cursor = (page.get("next") or "").partition("cursor=")
            if not found:
                return
            params["cursor"] = unquote(cursor.partition("&")[0])

    def pause(self, attempt: int, response: Response | None = None) -> None:
        """Wait as long as the server asks, or about half a second, one, two, four."""
        wait = 0.5 * 2 ** (attempt - 1) * random.uniform(0.5, 1.0)  # noqa: S311 - clients must not come back at once
        with suppress(TypeError, ValueError, AttributeError):
            wait = float(response.headers["Retry-After"])  # type: ignore[union-attr]
        self.sleep(min(wait, LONGEST_WAIT))

    def _ask(self, method: str, path: str, body: Callable[[], Any], **options: Any) -> Response:
        for attempt in range(1, self.attempts + 1):
            response = None
            try:
                response = self.session.request(method, self.url + path, data=body(), timeout=TIMEOUT, **options)
            except requests.exceptions.SSLError as error:
                raise ClientError(f"{self.url}: no trusted connection ({error}).", code="no_trust") from None
            except BROKEN as error:
                if attempt == self.attempts:
                    raise ClientError(f"{self.url} does not answer ({_why(error)}).", code="unreachable") from None
            except requests.RequestException as error:
                raise ClientError(f"{self.url}{path}: {_why(error)}.", code="no_url") from None
            else:
                if not self._passes(response) or attempt == self.attempts:
                    return self._checked(response)
                response.close()
            self.pause(attempt, response)
        raise AssertionError("the last attempt returns or raises")

    @staticmethod
    def _passes(response: Response) -> bool:
        """Whether the same request may be answered differently in a moment."""
        at_work = response.status_code == 409 and _code(response) == "in_progress"
        return response.status_code in PASSING or at_work

    def _checked(self, response: Response) -> Response:
        if response.status_code < 400:
            return response
        told = _problem(response)
        if response.status_code == 401:
            raise ClientError(
                f"{self.url} does not know the token, or it has expired or was revoked: tiebreak login {self.url}.",
                code="wrong_token",
                status=401,
            )
        if not told:
            raise self._stranger(response)
        raise ClientError(
            str(told.get("detail") or told.get("title")), code=_code(response), status=response.status_code
        )

    def _stranger(self, response: Response) -> ClientError:
        """The answer of something that does not speak our language: a proxy, a wrong address."""
        return ClientError(
            f"{self.url} answered with status {response.status_code} and no words of Tiebreak's; is this its address?",
            code="not_tiebreak",
            status=response.status_code,
        )


def _problem(response: Response) -> dict[str, Any]:
    if "json" not in response.headers.get("Content-Type", ""):
        return {}
    with suppress(ValueError, *BROKEN):
        told = response.json()
        return told if isinstance(told, dict) and "type" in told else {}
    return {}


def _code(response: Response) -> str:
    return str(_problem(response).get("type", "")).removeprefix("urn:tiebreak:") or "refused"


def _why(error: Exception) -> str:
    """The innermost words: what urllib3 wraps is for its own readers."""
    reason = getattr(error.args[0], "reason", error) if error.args else error
    return str(reason).rpartition(">: ")[2].rpartition(": ")[2][:200] or type(error).__name__

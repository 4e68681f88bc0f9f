"""An asynchronous client for any server with an OpenAI-compatible /chat/completions."""

from __future__ import annotations

import asyncio
import io
import json
import random
import re
import socket
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp

from models_rt.records import Usage

from .base import BackendError, Completion, Request, as_finished

BODY_LIMIT: Final = 2 * 1024 * 1024
JSON_BODY: Final = {"Content-Type": "application/json"}
RETRIED: Final = frozenset({408, 425, 429, 500, 502, 503, 504, 529})
UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")
MILLION: Final = Decimal(1_000_000)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how patiently to ask again. `tries` counts the first; delays are seconds."""

    tries: int = 6
    base: float = 0.5
    ceiling: float = 30.0
    retry_after_limit: float = 120.0

    def delay(self, attempt: int, rng: random.Random) -> float:
        """Full jitter: uniform between 0 and the doubling bound (Brooker, "Exponential Backoff And Jitter", 2015)."""
        return rng.uniform(0.0, min(self.ceiling, self.base * 2**attempt))


@dataclass(frozen=True, slots=True)
class Prices:
    """Price per million tokens, in the user's own currency."""

    prompt: Decimal = Decimal(0)
    completion: Decimal = Decimal(0)

    def of(self, prompt_tokens: int | None, completion_tokens: int | None) -> Decimal:
        """The price of one call; unknown token counts cost nothing."""
        return ((prompt_tokens or 0) * self.prompt + (completion_tokens or 0) * self.completion) / MILLION


class _Retry(Exception):
    """One attempt failed in a way that the next may not."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.wait = wait


class OpenAIBackend:
    """Asks `{base_url}/chat/completions`; never follows a redirect, never reads more than 2 MB of an answer.

    `connector` makes the aiohttp connector of each batch: the place for a guarded resolver. `rng` draws the jitter.
    `structured` sends each request's schema as `response_format`; turn it off for servers that refuse it.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        api_key: str | None = None,
        prices: Prices | None = None,
        timeout: float = 120.0,
        retry: RetryPolicy | None = None,
        structured: bool = True,
        rng: random.Random,
        connector: Callable[[], aiohttp.BaseConnector] | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        parts = urlsplit(base_url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username is not None:
            raise ValueError(f"base_url: expected http(s)://host[:port]/path without a user, got {base_url!r}")
        if not model:
            raise ValueError("model: expected a name, got an empty string")
        self.url = base_url.rstrip("/").removesuffix("/chat/completions") + "/chat/completions"
        self.model = model
        self.api_key = api_key
        self.prices = prices or Prices()
        self.timeout = aiohttp.ClientTimeout(total=timeout, connect=min(timeout, 15.0))
        self.retry = retry or RetryPolicy()
        self.structured = structured
        self.rng = rng
        self.connector = connector
        self.sleep = sleep

    async def complete(
        self, requests: Sequence[Request], *, concurrency: int = 16
    ) -> AsyncGenerator[tuple[int, Completion | BackendError], None]:
        """Yield (index, completion or error) as each request finishes; one session for the whole batch."""
        async with self._session(concurrency) as session:

            async def ask(request: Request) -> Completion | BackendError:
                return await self._ask(session, request)

            async with aclosing(as_finished(requests, ask, concurrency)) as outcomes:
                async for outcome in outcomes:
                    yield outcome

    def _session(self, concurrency: int) -> aiohttp.ClientSession:
        connector = self.connector() if self.connector else aiohttp.TCPConnector(limit=concurrency)
        headers = {"Authorization": f"Bearer {self.api_key}"} if self.api_key else {}
        return aiohttp.ClientSession(
            connector=connector, headers=headers, timeout=self.timeout, cookie_jar=aiohttp.DummyCookieJar()
        )

    async def _ask(self, session: aiohttp.ClientSession, request: Request) -> Completion | BackendError:
        started = time.monotonic()
        reason = ""
        for attempt in range(self.retry.tries):
            try:
                return await self._attempt(session, request)
            except BackendError as error:
                error.latency_ms = _milliseconds(started)
                return error
            except _Retry as failure:
                reason = self._scrubbed(failure.reason)
                wait = failure.wait if failure.wait is not None else self.retry.delay(attempt, self.rng)
            if wait > self.retry.retry_after_limit:
                reason = f"{reason}; the server asks to wait {wait:.0f} s"
                break
            if attempt + 1 < self.retry.tries:
                await self.sleep(wait)
        return BackendError(f"{reason} (after {attempt + 1} tries)", permanent=False, latency_ms=_milliseconds(started))

    async def _attempt(self, session: aiohttp.ClientSession, request: Request) -> Completion:
        started = time.monotonic()
        body_sent = io.BytesIO(json.dumps(self._payload(request)).encode())  # sent in pieces, however large
        try:
            async with session.post(self.url, data=body_sent, headers=JSON_BODY, allow_redirects=False) as response:
                body = await _read(response)
                self._check(response, body)
        except TimeoutError:
            raise _Retry(f"no answer within {self.timeout.total:g} s") from None
        except aiohttp.InvalidURL as error:
            raise BackendError(f"invalid address: {error}", permanent=True) from None
        except aiohttp.ClientConnectorDNSError as error:
            if _refused_by_resolver(error.os_error):
                raise BackendError(str(error.os_error), permanent=True) from None
            raise _Retry(f"name not resolved: {error}") from None
        except aiohttp.ClientError as error:
            raise _Retry(f"connection failed: {type(error).__name__}: {error}") from None
        return self._completion(body, _milliseconds(started))

    def _payload(self, request: Request) -> dict[str, Any]:
        payload: dict[str, Any] = {
            "model": self.model,
            "messages": list(request.messages),
            "temperature": request.temperature,
            "max_tokens": request.max_tokens,
        }
        if request.seed is not None:
            payload["seed"] = request.seed
        if self.structured and request.schema is not None:
            schema = {"name": request.schema["title"], "strict": True, "schema": dict(request.schema)}
            payload["response_format"] = {"type": "json_schema", "json_schema": schema}
        return payload

    def _check(self, response: aiohttp.ClientResponse, body: bytes) -> None:
        status = response.status
        if status == 200:
            return
        detail = " ".join(body[:300].decode("utf-8", "replace").split())
        reason = self._scrubbed(f"HTTP {status}: {detail or response.reason or 'no body'}")
        if 300 <= status < 400:
            raise BackendError(f"HTTP {status}: redirects are not followed", permanent=True)
        if status in RETRIED:
            raise _Retry(reason, _retry_after(response.headers.get("Retry-After")))
        raise BackendError(reason, permanent=True)

    def _completion(self, body: bytes, latency_ms: int) -> Completion:
        try:
            answer = json.loads(body)
            choice = answer["choices"][0]
            text = _text(choice["message"].get("content"))
            usage = answer.get("usage") or {}
            counts = [_count(usage.get(name)) for name in ("prompt_tokens", "completion_tokens")]
        except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
            raise _Retry(f"malformed answer: expected a chat completion, got {body[:120]!r}") from None
        price = self.prices.of(*counts)
        return Completion(
            text=self._scrubbed(text),  # a server may repeat what it was sent
            model=self._scrubbed(str(answer.get("model") or self.model)),
            usage=Usage(counts[0], counts[1], latency_ms, price),
            truncated=choice.get("finish_reason") == "length",
        )

    def _scrubbed(self, text: str) -> str:
        return _storable(text.replace(self.api_key, "***") if self.api_key else text)


def _refused_by_resolver(error: OSError) -> bool:
    """True where a guarded resolver said no, which time does not change; a failed look-up may pass."""
    return not isinstance(error, socket.gaierror) and error.errno is None and error.__cause__ is None


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """The body, or a permanent error once it passes the limit (counted after decompression)."""
    body = bytearray()
    async for chunk in response.content.iter_chunked(65536):
        body += chunk
        if len(body) > BODY_LIMIT:
            raise BackendError(f"the answer is larger than {BODY_LIMIT} bytes", permanent=True)
    return bytes(body)


def _retry_after(value: str | None) -> float | None:
    """Seconds asked for by a Retry-After header: a number or an HTTP date (RFC 9110, 10.2.3); None if unreadable."""
    if value is None:
        return None
    if value.strip().isdigit():
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())


def _text(content: object) -> str:
    """A message's content: a string, a list of text parts, or nothing."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(part["text"] for part in content if isinstance(part, Mapping) and part.get("type") == "text")
    raise TypeError("content")


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _storable(text: str) -> str:
    """NUL and lone surrogates, which no database stores, become U+FFFD."""
    return UNSTORABLE.sub("\ufffd", text)


def _milliseconds(started: float) -> int:
    return round((time.monotonic() - started) * 1000)

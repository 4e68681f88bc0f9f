"""Requests per minute for each token, or each signed-in user; and streams at once, since each holds a thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any, Final, NamedTuple, cast

from django.core.cache import cache
from rest_framework.exceptions import Throttled
from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle

from tiebreak.accounts.models import ApiToken
from tiebreak.core.cache import ForgivingRedisCache

SHARE: Final = 60  # a process takes a sixtieth of the rate at a time, so most requests ask nobody

STREAMS: Final = 8  # at once for each token: half of a web server's threads
STREAM_COUNTED: Final = 600  # seconds, after which what a killed process had open is forgotten


class Taken(NamedTuple):
    """What a process may still let through by itself, and until when (monotonic)."""

    left: int
    until: float


_taken: dict[tuple[str, str], Taken] = {}
_lock = threading.Lock()


class PerToken(SimpleRateThrottle):
    """So many requests in a window that begins with the first. All web processes count in one place, each by the block:
    what the last blocks have left when a window ends is lost, and never lent beyond it.
    """

    scope = "token"
    num_requests: int | None
    duration: int | None
    left = 0.0  # seconds of the window, where a request was refused

    def get_cache_key(self, request: Request, view: Any) -> str | None:
        if isinstance(request.auth, ApiToken):
            return f"throttle:token:{request.auth.pk}"
        return f"throttle:user:{request.user.pk}" if request.user.is_authenticated else None

    def allow_request(self, request: Request, view: Any) -> bool:
        key = self.get_cache_key(request, view)
        if key is None or self.num_requests is None or self.duration is None:
            return True
        mine, now = (key, str(self.rate)), time.monotonic()
        with _lock:
            held = _taken.get(mine)
            if held and held.left and now < held.until:
                _taken[mine] = held._replace(left=held.left - 1)
                return True
        block = max(1, self.num_requests // SHARE)
        total, self.left = cast(ForgivingRedisCache, cache).add_up(key, block, seconds=self.duration)
        granted = block - max(0, total - self.num_requests)
        if granted < 1:
            return False
        with _lock:
            _forget(now)
            _taken[mine] = Taken(granted - 1, now + self.left)
        return True

    def wait(self) -> float:
        """Seconds until the window ends."""
        return max(0.0, self.left)


class Stream:
    """Blocks of a long answer, which counts from when it is made until the server closes the response."""

    def __init__(self, blocks: Iterator[bytes], key: str) -> None:
        self.blocks, self.key, self.closed = blocks, key, False

    def __iter__(self) -> Iterator[bytes]:
        return self.blocks

    def close(self) -> None:
        if not self.closed:
            cast(ForgivingRedisCache, cache).add_up(self.key, -1, seconds=STREAM_COUNTED)
        self.closed = True


def streamed(request: Request, blocks: Iterator[bytes]) -> Stream:
    """The body of a streaming response. Raises Throttled where this token has as many open as it may."""
    key = f"streams:{request.auth.pk if isinstance(request.auth, ApiToken) else f'user:{request.user.pk}'}"
    body = Stream(blocks, key)
    total, _ = cast(ForgivingRedisCache, cache).add_up(key, 1, seconds=STREAM_COUNTED)
    if total > STREAMS:
        body.close()
        raise Throttled(wait=5, detail=f"At most {STREAMS} streams at once for each token: take the files instead.")
    return body


def _forget(now: float, most: int = 1000) -> None:
    """Drop what has lapsed, once there is much of it."""
    if len(_taken) > most:
        for key in [key for key, taken in _taken.items() if now >= taken.until]:
            del _taken[key]

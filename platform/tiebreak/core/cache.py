"""The cache, forgiving: while Redis is away everything is a miss, and pages are slower instead of broken."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Any

from django.core.cache.backends.redis import RedisCache
from redis.exceptions import RedisError

log = logging.getLogger("tiebreak.cache")


def _forgiving(name: str, otherwise: Callable[..., Any]) -> Callable[..., Any]:
    method = getattr(RedisCache, name)

    @functools.wraps(method)
    def call(self: RedisCache, *args: Any, **kwargs: Any) -> Any:
        try:
            return method(self, *args, **kwargs)
        except (RedisError, OSError) as error:
            log.warning("the cache does not answer (%s): %s", name, error)
            return otherwise(*args, **kwargs)

    return call


class ForgivingRedisCache(RedisCache):
    get = _forgiving("get", lambda key, default=None, version=None: default)
    get_many = _forgiving("get_many", lambda keys, version=None: {})
    set = _forgiving("set", lambda *args, **kwargs: None)
    set_many = _forgiving("set_many", lambda data, *args, **kwargs: list(data))
    add = _forgiving("add", lambda *args, **kwargs: True)
    delete = _forgiving("delete", lambda *args, **kwargs: False)
    touch = _forgiving("touch", lambda *args, **kwargs: False)

    def add_up(self, key: str, by: int, *, seconds: int) -> tuple[int, float]:
        """Add to a counter that ends `seconds` after its first; the sum, and the seconds that it has left.

        One round trip. While Redis is away everybody is the first.
        """
        name = self.make_and_validate_key(key)
        try:
            pipe = self._cache.get_client(name, write=True).pipeline(transaction=False)
            pipe.set(name, 0, ex=seconds, nx=True)
            pipe.incrby(name, by)
            pipe.pttl(name)
            _, total, left = pipe.execute()
        except (RedisError, OSError) as error:
            log.warning("the cache does not answer (add_up): %s", error)
            return by, float(seconds)
        return int(total), left / 1000

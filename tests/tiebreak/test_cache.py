"""While Redis is away the cache forgets instead of breaking pages."""

from typing import cast
from uuid import uuid4

from django.core.cache import cache

from tiebreak.core.cache import ForgivingRedisCache


def test_a_cache_that_cannot_be_reached_is_a_miss() -> None:
    away = ForgivingRedisCache("redis://127.0.0.1:9/0", {})
    away.set("key", 1)
    assert away.get("key") is None
    assert away.get("key", "default") == "default"
    assert away.get_many(["key"]) == {}
    assert away.delete("key") is False


def test_a_counter_ends_after_its_first() -> None:
    counter = cast(ForgivingRedisCache, cache)
    name = f"test:{uuid4()}"
    assert counter.add_up(name, 5, seconds=60)[0] == 5
    total, left = counter.add_up(name, 5, seconds=600)
    assert total == 10
    assert 50 < left <= 60  # the second does not lengthen it


def test_a_counter_that_cannot_be_reached_begins_anew() -> None:
    assert ForgivingRedisCache("redis://127.0.0.1:9/0", {}).add_up("key", 20, seconds=60) == (20, 60.0)

"""While Redis is away the cache forgets instead of breaking pages."""

from tiebreak.core.cache import ForgivingRedisCache


def test_a_cache_that_cannot_be_reached_is_a_miss() -> None:
    cache = ForgivingRedisCache("redis://127.0.0.1:9/0", {})
    cache.set("key", 1)
    assert cache.get("key") is None
    assert cache.get("key", "default") == "default"
    assert cache.get_many(["key"]) == {}
    assert cache.delete("key") is False

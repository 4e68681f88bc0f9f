"""Is everything there that work needs? One list of checks for /readyz, for `manage.py doctor` and for the project's
page.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Final, NamedTuple

from django.conf import settings
from django.core.cache import cache
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone
from redis import Redis
from redis.exceptions import RedisError

from . import store
from .models import Run

WORKER_KEY: Final = "tiebreak:worker-seen"
WORKER_SILENT: Final = 60.0  # seconds; beat has a worker reap every 15
LOW_DISK: Final = 2 * 1024**3
CLOCK_SKEW: Final = 5.0


class Check(NamedTuple):
    name: str
    ok: bool
    found: str
    do: str
    """What to do about it; empty where nothing need be done."""


def worker_seen() -> datetime | None:
    """When a worker last did the reaper's round, as Redis remembers; None: not lately, or Redis is down."""
    seen: datetime | None = cache.get(WORKER_KEY)
    return seen


def database() -> Check:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SHOW server_version_num")
            version = int(cursor.fetchone()[0]) // 10_000
            cursor.execute("SELECT extversion FROM pg_extension WHERE extname = 'vector'")
            vector = cursor.fetchone()
    except DatabaseError as error:
        return Check("database", False, str(error).splitlines()[0], "Check DATABASE_URL and that PostgreSQL runs.")
    if version < 15:
        return Check("database", False, f"PostgreSQL {version}", "PostgreSQL 15 or newer is needed.")
    if vector is None:
        return Check(
            "database",
            False,
            f"PostgreSQL {version} without pgvector",
            "Run manage.py migrate; it says what to install.",
        )
    return Check("database", True, f"PostgreSQL {version}, pgvector {vector[0]}", "")


def migrations() -> Check:
    try:
        executor = MigrationExecutor(connection)
        plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except DatabaseError as error:
        return Check("migrations", False, str(error).splitlines()[0], "Mend the database first.")
    if plan:
        return Check("migrations", False, f"{len(plan)} not applied", "Run manage.py migrate.")
    return Check("migrations", True, "all applied", "")


def redis() -> Check:
    try:
        with Redis.from_url(settings.ENV.redis_url, socket_connect_timeout=3, socket_timeout=3) as client:
            memory = client.info("memory")  # managed servers allow no CONFIG
    except (RedisError, OSError) as error:
        return Check("redis", False, str(error), "Check REDIS_URL and that Redis runs. No work is lost meanwhile.")
    kept = memory.get("maxmemory_policy", "noeviction")
    if kept != "noeviction":
        return Check("redis", False, f"evicts ({kept})", "Set maxmemory-policy noeviction: it drops workers' messages.")
    return Check("redis", True, "answers", "")


def workers() -> Check:
    seen = worker_seen()
    waiting = Run.objects.due(timezone.now()).count()
    if seen is not None and (timezone.now() - seen).total_seconds() < WORKER_SILENT:
        return Check("workers", True, f"seen {seen:%H:%M:%S} UTC; {waiting} runs wait", "")
    return Check(
        "workers",
        False,
        f"none seen for a minute; {waiting} runs wait",
        "Start one: manage.py up, or celery -A tiebreak worker -B -Q default,judge,gpu.",
    )


def disk() -> Check:
    root = store.root()
    there = next((p for p in (root, *root.parents) if p.exists()), root)
    free = shutil.disk_usage(there).free
    ok = free > LOW_DISK
    return Check(
        "disk", ok, f"{free / 1024**3:.1f} GiB free at {root}", "" if ok else "Free some space: exports need it."
    )


def clock() -> Check:
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        skew = abs((cursor.fetchone()[0] - timezone.now()).total_seconds())
    ok = skew < CLOCK_SKEW
    return Check(
        "clock", ok, f"{skew:.1f} s from the database's", "" if ok else "Leases depend on it: run NTP on both machines."
    )


def secrets() -> Check:
    exposed = not settings.ENV.loopback_only
    if settings.DEBUG and exposed:
        return Check("secrets", False, "TIEBREAK_DEBUG is on for more than this machine", "Turn it off.")
    if exposed and not settings.ENV.https:
        return Check(
            "secrets", False, "served beyond this machine without HTTPS", "Put TLS in front and set TIEBREAK_HTTPS."
        )
    return Check("secrets", True, "a secret key of its own", "")


NEEDED: Final[tuple[Callable[[], Check], ...]] = (database, migrations, redis)
ALL: Final[tuple[Callable[[], Check], ...]] = (*NEEDED, workers, disk, clock, secrets)


def run_checks(checks: tuple[Callable[[], Check], ...] = ALL) -> Iterator[Check]:
    """Each check in turn; once the database has failed those that need it are left out."""
    broken = False
    for check in checks:
        if broken and check in (migrations, workers, clock):
            continue
        result = check()
        broken = broken or (check is database and not result.ok)
        yield result

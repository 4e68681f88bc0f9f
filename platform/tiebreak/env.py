"""The environment, read once and strictly: every variable becomes a typed setting or an error that names it.

docs/deploy.md has the table of the variables.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from . import embedded

KNOWN: Final = (
    "DATABASE_URL",
    "REDIS_URL",
    "SECRET_KEY",
    "TIEBREAK_DATA",
    "TIEBREAK_STORAGE",
    "TIEBREAK_STORAGE_URL",
    "TIEBREAK_DEBUG",
    "TIEBREAK_HTTPS",
    "TIEBREAK_ALLOWED_HOSTS",
    "TIEBREAK_CSRF_ORIGINS",
    "TIEBREAK_EGRESS_ALLOW",
    "TIEBREAK_EMBEDDED",
    "TIEBREAK_HUB_PUSH",
)
LOOPBACK_HOSTS: Final = ("localhost", "127.0.0.1", "[::1]")
SECRET_LENGTH: Final = 32
# What a DATABASE_URL may ask of libpq, beside the pool's own pool, pool_min, pool_max and pool_timeout.
LIBPQ_OPTIONS: Final = frozenset(
    {
        "application_name",
        "channel_binding",
        "client_encoding",
        "connect_timeout",
        "gssencmode",
        "host",
        "keepalives",
        "keepalives_count",
        "keepalives_idle",
        "keepalives_interval",
        "options",
        "passfile",
        "port",
        "service",
        "sslcert",
        "sslcrl",
        "sslkey",
        "sslmode",
        "sslnegotiation",
        "sslpassword",
        "sslrootcert",
        "target_session_attrs",
        "tcp_user_timeout",
        "user",
        "password",
    }
)


class EnvError(RuntimeError):
    """An environment variable has a value that cannot be used."""

    def __init__(self, variable: str, expected: str, got: str | None = None) -> None:
        tail = "" if got is None else f", got {got!r}"
        super().__init__(f"{variable}: expected {expected}{tail}.")
        self.variable = variable


@dataclass(frozen=True, slots=True)
class Storage:
    """A bucket of S3-compatible storage. Credentials are not ours to hold: boto3 finds them."""

    bucket: str
    prefix: str = ""
    """Ends with a slash, or is empty."""
    endpoint: str = ""
    """Empty: AWS's own."""
    region: str = ""


@dataclass(frozen=True, slots=True)
class Env:
    """Everything that differs between machines."""

    databases: dict[str, dict[str, Any]]
    redis_url: str
    broker_url: str
    secret_key: str
    debug: bool
    https: bool
    allowed_hosts: list[str]
    csrf_origins: list[str]
    data_dir: Path
    storage_dir: Path
    storage_url: Storage | None
    egress_allow: tuple[str, ...]
    embedded_postgres: bool
    embedded_redis: bool
    hub_push: bool

    @property
    def loopback_only(self) -> bool:
        """Whether only this machine is served."""
        return all(host in LOOPBACK_HOSTS for host in self.allowed_hosts)


@cache
def load() -> Env:
    """This process's environment, read once. Starts the embedded servers that no URL replaces."""
    return read(os.environ)


def read(environ: Mapping[str, str]) -> Env:
    """Settings from `environ`. Raises EnvError naming the variable; EmbeddedError if a server does not start.

    Without DATABASE_URL or REDIS_URL the embedded server of the data directory is started, unless TIEBREAK_EMBEDDED
    is 0: then its address is given and nothing starts (for type checks and image builds, which connect nowhere).
    """
    _refuse_misspelt(environ)
    data_dir = embedded.default_data_dir(environ)
    allowed_hosts = _hosts(environ)
    https = _flag(environ, "TIEBREAK_HTTPS")
    database, redis = environ.get("DATABASE_URL", ""), environ.get("REDIS_URL", "")
    databases = {"default": database_settings(database)} if database else {}
    brokers = (redis_url(redis), broker_url(redis)) if redis else None
    storage = _directory(environ, "TIEBREAK_STORAGE", data_dir / "files")
    bucket = storage_url(environ["TIEBREAK_STORAGE_URL"]) if environ.get("TIEBREAK_STORAGE_URL") else None
    egress = tuple(_egress(entry) for entry in _items(environ, "TIEBREAK_EGRESS_ALLOW"))
    origins = [_origin(item) for item in _items(environ, "TIEBREAK_CSRF_ORIGINS")]
    debug = _flag(environ, "TIEBREAK_DEBUG")
    secret = _secret_key(environ, data_dir, loopback=all(h in LOOPBACK_HOSTS for h in allowed_hosts))
    addresses = embedded.urls(data_dir)  # last: nothing starts for an environment that is wrong elsewhere
    if _flag(environ, "TIEBREAK_EMBEDDED", default=True):
        for name in [n for n, url in (("postgres", database), ("redis", redis)) if not url]:
            embedded.ensure(name, data_dir)
    return Env(
        databases=databases or {"default": database_settings(addresses.database_url)},
        redis_url=brokers[0] if brokers else addresses.redis_url,
        broker_url=brokers[1] if brokers else addresses.celery_broker_url,
        secret_key=secret,
        debug=debug,
        https=https,
        allowed_hosts=allowed_hosts,
        csrf_origins=origins,
        data_dir=data_dir,
        storage_dir=storage,
        storage_url=bucket,
        egress_allow=egress,
        embedded_postgres=not database,
        embedded_redis=not redis,
        hub_push=_flag(environ, "TIEBREAK_HUB_PUSH"),
    )


def database_settings(url: str) -> dict[str, Any]:
    """Django's settings for a PostgreSQL URL, with psycopg's connection pool.

    `postgresql://user:password@host:port/name?option=value`; a socket as `postgresql://user@/name?host=/directory`.
    Options are libpq's, and `pool=0` (no pool), `pool_min`, `pool_max` (connections a process) and `pool_timeout` (s).
    """
    parts = _split(url, "DATABASE_URL", ("postgres", "postgresql"), "postgresql://user:password@host:5432/name")
    name = unquote(parts.path.removeprefix("/"))
    if not name or "/" in name:
        raise EnvError("DATABASE_URL", "a database's name after the host, as in postgresql://host/name", parts.path)
    query = dict(_query(parts, "DATABASE_URL"))
    pool = _pool(query)
    if unknown := sorted(set(query) - LIBPQ_OPTIONS):
        raise EnvError("DATABASE_URL", "only libpq's options and pool, pool_min, pool_max, pool_timeout", unknown[0])
    host = query.pop("host", None) or unquote(parts.hostname or "")
    port = query.pop("port", None) or (str(parts.port) if parts.port else "")
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": name,
        "USER": query.pop("user", None) or unquote(parts.username or ""),
        "PASSWORD": query.pop("password", None) or unquote(parts.password or ""),
        "HOST": host,
        "PORT": port,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {**query, **({"pool": pool} if pool else {})},
    }


def redis_url(url: str) -> str:
    """A Redis URL as redis-py reads it: redis://, rediss:// or unix://."""
    parts = _split(url, "REDIS_URL", ("redis", "rediss", "unix"), "redis://host:6379/0, rediss://… or unix:///path")
    if parts.scheme == "unix" and not parts.path.startswith("/"):
        raise EnvError("REDIS_URL", "an absolute path, as in unix:///run/redis/redis.sock", parts.path)
    if parts.scheme != "unix" and not re.fullmatch(r"/?\d*", parts.path):
        raise EnvError("REDIS_URL", "a database's number after the host, as in redis://host:6379/0", parts.path)
    return url


def broker_url(url: str) -> str:
    """The same Redis as Celery reads it: redis+socket:// for a socket, and certificates required under TLS."""
    parts = urlsplit(redis_url(url))
    query = dict(parse_qsl(parts.query))
    if parts.scheme == "unix":
        query["virtual_host"] = query.pop("db", "0")
        return f"redis+socket://{parts.netloc}{parts.path}?{urlencode(query)}"
    if parts.scheme == "rediss":
        query.setdefault("ssl_cert_reqs", "required")
    return urlunsplit(parts._replace(query=urlencode(query)))


# --- one variable each ------------------------------------------------------------------------------------------------


def storage_url(url: str) -> Storage:
    """`s3://bucket/prefix?endpoint=https://minio.example.org&region=eu-west-1`; prefix and options may be missing."""
    example = "s3://bucket/prefix?endpoint=https://host&region=name"
    parts = _split(url, "TIEBREAK_STORAGE_URL", ("s3",), example)
    options = dict(_query(parts, "TIEBREAK_STORAGE_URL"))
    endpoint, region = options.pop("endpoint", ""), options.pop("region", "")
    if unknown := sorted(options):
        raise EnvError("TIEBREAK_STORAGE_URL", "no options but endpoint and region", unknown[0])
    if "@" in parts.netloc or "@" in urlsplit(endpoint).netloc:
        raise EnvError("TIEBREAK_STORAGE_URL", "no credentials in it: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", parts.netloc):
        raise EnvError("TIEBREAK_STORAGE_URL", f"a bucket's name, as in {example}", parts.netloc)
    if endpoint and (urlsplit(endpoint).scheme not in ("http", "https") or not urlsplit(endpoint).netloc):
        raise EnvError("TIEBREAK_STORAGE_URL", "an http or https endpoint", endpoint)
    prefix = parts.path.strip("/")
    return Storage(parts.netloc, f"{prefix}/" if prefix else "", endpoint, region)


def _refuse_misspelt(environ: Mapping[str, str]) -> None:
    """A variable that nearly has one of our names is a setting that would silently not apply."""
    for name in environ:
        if name.startswith("TIEBREAK_") and name not in KNOWN:
            near = difflib.get_close_matches(name, KNOWN, n=1, cutoff=0.9)
            if near:
                raise EnvError(name, f"a known variable (did you mean {near[0]}?)")


def _split(url: str, variable: str, schemes: tuple[str, ...], example: str) -> SplitResult:
    """The parts of a URL. Errors never repeat the URL: it may hold a password."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise EnvError(variable, f"{example} ({error})") from None
    if parts.scheme not in schemes:
        raise EnvError(variable, example, parts.scheme + "://…" if parts.scheme else "no scheme")
    return parts


def _query(parts: SplitResult, variable: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(parts.query, strict_parsing=True) if parts.query else []
    except ValueError as error:
        raise EnvError(variable, f"options as name=value after the question mark ({error})") from None


def _pool(query: dict[str, str]) -> dict[str, Any]:
    """psycopg_pool's arguments, taken out of a URL's query; {} for no pool."""
    wanted = query.pop("pool", "1")
    if wanted not in ("0", "1"):
        raise EnvError("DATABASE_URL", "pool=0 or pool=1", wanted)
    sizes = {}
    for key, default in (("pool_min", 0), ("pool_max", 16), ("pool_timeout", 10)):
        value = query.pop(key, str(default))
        if not value.isdecimal() or (key != "pool_min" and int(value) < 1):
            raise EnvError("DATABASE_URL", f"a positive whole number for {key}", value)
        sizes[key] = int(value)
    if sizes["pool_min"] > sizes["pool_max"]:
        raise EnvError("DATABASE_URL", f"pool_min at most pool_max ({sizes['pool_max']})", str(sizes["pool_min"]))
    if wanted == "0":
        return {}
    return {"min_size": sizes["pool_min"], "max_size": sizes["pool_max"], "timeout": sizes["pool_timeout"]}


def _items(environ: Mapping[str, str], variable: str) -> list[str]:
    return [item.strip() for item in environ.get(variable, "").split(",") if item.strip()]


def _flag(environ: Mapping[str, str], variable: str, *, default: bool = False) -> bool:
    value = environ.get(variable, "").strip().lower()
    if value in ("1", "true", "yes", "on"):
        return True
    if value in ("0", "false", "no", "off"):
        return False
    if value == "":
        return default
    raise EnvError(variable, "1 or 0", value)


def _directory(environ: Mapping[str, str], variable: str, default: Path) -> Path:
    path = Path(environ.get(variable) or default).expanduser()
    if not path.is_absolute():
        raise EnvError(variable, "an absolute path", str(path))
    if path.exists() and not path.is_dir():
        raise EnvError(variable, "a directory", str(path))
    return path


def _hosts(environ: Mapping[str, str]) -> list[str]:
    hosts = _items(environ, "TIEBREAK_ALLOWED_HOSTS") or list(LOOPBACK_HOSTS)
    for host in hosts:
        if not re.fullmatch(r"\.?[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*|\[[0-9A-Fa-f:.]+\]", host):
            raise EnvError("TIEBREAK_ALLOWED_HOSTS", "host names without scheme, port or *, parted by commas", host)
    return hosts


def _origin(item: str) -> str:
    parts = urlsplit(item)
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.path or parts.query:
        raise EnvError("TIEBREAK_CSRF_ORIGINS", "origins as in https://tiebreak.example.org, parted by commas", item)
    return item


def _egress(entry: str) -> str:
    """A host name, host:port, address or network that a judge may be called at though it is not public."""
    try:
        ipaddress.ip_network(entry, strict=False)
    except ValueError:
        if re.fullmatch(
            r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:\d{1,5})?|\[[0-9A-Fa-f:.]+\]:\d{1,5}", entry
        ) is None or (re.fullmatch(r"[\d.]+", entry)):
            raise EnvError(
                "TIEBREAK_EGRESS_ALLOW",
                "host names, host:port, addresses or networks (10.0.0.0/8), parted by commas",
                entry,
            ) from None
    return entry


def _secret_key(environ: Mapping[str, str], data_dir: Path, *, loopback: bool) -> str:
    """SECRET_KEY, or, where only this machine is served, a random one kept in the data directory."""
    if given := environ.get("SECRET_KEY", ""):
        if len(given) < SECRET_LENGTH or len(set(given)) < 5:
            raise EnvError("SECRET_KEY", f"at least {SECRET_LENGTH} random characters (not repeated here)")
        return given
    if not loopback:
        raise EnvError(
            "SECRET_KEY",
            f"at least {SECRET_LENGTH} random characters, since TIEBREAK_ALLOWED_HOSTS serves more than this machine; "
            'python -c "import secrets; print(secrets.token_urlsafe(48))" makes one',
        )
    return _kept_secret(data_dir / "secret_key")


def _kept_secret(path: Path) -> str:
    """The secret kept at `path` (mode 0600), made on first use; processes that start together agree on one."""
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o711 if os.geteuid() == 0 else 0o700)
            fresh = path.with_name(f".secret_key.{os.getpid()}.{secrets.token_hex(4)}")
            with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(secrets.token_urlsafe(48))
            try:
                os.link(fresh, path)  # whole or not at all, and the first one wins
            except FileExistsError:
                pass
            finally:
                fresh.unlink()
        kept = path.read_text().strip()
    except OSError as error:
        raise EnvError(
            "TIEBREAK_DATA", f"a directory where {path.name} can be kept ({error})", str(path.parent)
        ) from None
    if len(kept) < SECRET_LENGTH:
        raise EnvError(
            "SECRET_KEY", f"{path} to hold at least {SECRET_LENGTH} characters; remove it to have a new one made"
        )
    return kept

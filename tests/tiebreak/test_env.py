"""The environment: typed settings, or an error that names the variable and what was expected."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tiebreak import env

SECRET = "0123456789abcdef" * 3
URLS = {"DATABASE_URL": "postgresql://u:p@db:5433/tb", "REDIS_URL": "redis://cache:6379/2"}


def settings(data_dir: Path, **environ: str) -> env.Env:
    return env.read({"TIEBREAK_DATA": str(data_dir), "SECRET_KEY": SECRET, **URLS, **environ})


def test_urls_select_real_servers(tmp_path: Path) -> None:
    read = settings(tmp_path)
    assert read.databases["default"] == {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "tb",
        "USER": "u",
        "PASSWORD": "p",
        "HOST": "db",
        "PORT": "5433",
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {"pool": {"min_size": 0, "max_size": 16, "timeout": 10}},
    }
    assert read.redis_url == read.broker_url == "redis://cache:6379/2"
    assert not read.embedded_postgres
    assert not read.embedded_redis
    assert list(tmp_path.iterdir()) == []


def test_defaults_serve_this_machine_only(tmp_path: Path) -> None:
    read = settings(tmp_path)
    assert read.allowed_hosts == ["localhost", "127.0.0.1", "[::1]"]
    assert read.loopback_only
    assert not read.debug
    assert not read.https
    assert read.storage_dir == tmp_path / "files"
    assert read.egress_allow == ()


def test_lists_and_flags_are_read(tmp_path: Path) -> None:
    read = settings(
        tmp_path,
        TIEBREAK_ALLOWED_HOSTS="tb.example.org, .example.net",
        TIEBREAK_CSRF_ORIGINS="https://tb.example.org",
        TIEBREAK_EGRESS_ALLOW="vllm:8000, 10.0.0.0/8, judge.lan, 127.0.0.1",
        TIEBREAK_DEBUG="yes",
        TIEBREAK_HTTPS="1",
        TIEBREAK_STORAGE=str(tmp_path / "elsewhere"),
    )
    assert read.allowed_hosts == ["tb.example.org", ".example.net"]
    assert not read.loopback_only
    assert read.csrf_origins == ["https://tb.example.org"]
    assert read.egress_allow == ("vllm:8000", "10.0.0.0/8", "judge.lan", "127.0.0.1")
    assert read.debug
    assert read.https
    assert read.storage_dir == tmp_path / "elsewhere"


def test_a_socket_a_password_with_odd_characters_and_options_are_read() -> None:
    read = env.database_settings(
        "postgres://u:p%40%2F@/tb?host=/run/pg&sslmode=require&pool_min=2&pool_max=4&pool_timeout=3"
    )
    assert (read["HOST"], read["PORT"], read["PASSWORD"]) == ("/run/pg", "", "p@/")
    assert read["OPTIONS"] == {"sslmode": "require", "pool": {"min_size": 2, "max_size": 4, "timeout": 3}}
    assert env.database_settings("postgres://h/tb?pool=0")["OPTIONS"] == {}


@pytest.mark.parametrize(
    ("url", "broker"),
    [
        ("redis://h:1/0", "redis://h:1/0"),
        ("rediss://:p@h/1", "rediss://:p@h/1?ssl_cert_reqs=required"),  # TLS without a check is not TLS
        ("unix:///run/r.sock?db=3", "redis+socket:///run/r.sock?virtual_host=3"),
    ],
)
def test_celery_gets_the_same_redis_in_its_own_words(url: str, broker: str) -> None:
    assert env.broker_url(url) == broker


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("DATABASE_URL", "sqlite:///db.sqlite3", "postgresql://"),
        ("DATABASE_URL", "db/tb", "got 'no scheme'"),
        ("DATABASE_URL", "postgresql://h", "a database's name"),
        ("DATABASE_URL", "postgresql://h:port/tb", "postgresql://user"),
        ("DATABASE_URL", "postgresql://h/tb?sslmod=require", "got 'sslmod'"),
        ("DATABASE_URL", "postgresql://h/tb?pool_max=many", "whole number for pool_max, got 'many'"),
        ("DATABASE_URL", "postgresql://h/tb?pool_min=9&pool_max=2", "pool_min at most pool_max"),
        ("DATABASE_URL", "postgresql://h/tb?pool=maybe", "pool=0 or pool=1"),
        ("REDIS_URL", "amqp://h", "redis://host"),
        ("REDIS_URL", "redis://h/zero", "a database's number"),
        ("REDIS_URL", "unix://", "an absolute path"),
        ("TIEBREAK_DEBUG", "maybe", "1 or 0, got 'maybe'"),
        ("TIEBREAK_ALLOWED_HOSTS", "https://tb.example.org", "without scheme"),
        ("TIEBREAK_ALLOWED_HOSTS", "*", "without scheme, port or *"),
        ("TIEBREAK_CSRF_ORIGINS", "tb.example.org", "origins as in"),
        ("TIEBREAK_EGRESS_ALLOW", "10.0.0.0/99", "networks"),
        ("TIEBREAK_EGRESS_ALLOW", "http://judge", "host names"),
        ("TIEBREAK_STORAGE", "files", "an absolute path, got 'files'"),
        ("SECRET_KEY", "short", "at least 32 random characters"),
        ("SECRET_KEY", "a" * 60, "random characters"),
        ("TIEBREAK_ALLOWED_HOST", "tb.example.org", "did you mean TIEBREAK_ALLOWED_HOSTS"),
    ],
)
def test_a_wrong_value_is_refused_by_the_name_of_its_variable(
    tmp_path: Path, variable: str, value: str, expected: str
) -> None:
    with pytest.raises(env.EnvError) as error:
        settings(tmp_path, **{variable: value})
    assert error.value.variable == variable
    assert str(error.value).startswith(f"{variable}: expected ")
    assert expected in str(error.value)


def test_an_error_never_repeats_a_password(tmp_path: Path) -> None:
    with pytest.raises(env.EnvError) as error:
        settings(tmp_path, DATABASE_URL="mysql://u:hunter2@h/tb")
    assert "hunter2" not in str(error.value)


def test_serving_more_than_this_machine_needs_a_secret_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(env.EnvError, match=r"^SECRET_KEY: expected"):
        settings(tmp_path, SECRET_KEY="", TIEBREAK_ALLOWED_HOSTS="tb.example.org")
    assert not (tmp_path / "secret_key").exists()


def test_on_this_machine_alone_a_random_secret_is_made_once_and_kept_private(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:  # processes that start together agree, too
        keys = set(pool.map(lambda _: settings(tmp_path, SECRET_KEY="").secret_key, range(16)))
    assert len(keys) == 1
    assert len(keys.pop()) >= 50
    assert stat.S_IMODE((tmp_path / "secret_key").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["secret_key"]


def test_without_urls_the_addresses_are_those_of_the_data_directory_and_0_starts_nothing(tmp_path: Path) -> None:
    read = env.read({"TIEBREAK_DATA": str(tmp_path), "SECRET_KEY": SECRET, "TIEBREAK_EMBEDDED": "0"})
    assert read.databases["default"]["NAME"] == "tiebreak"
    assert read.databases["default"]["HOST"].startswith("/")
    assert read.broker_url.startswith("redis+socket:///")
    assert read.embedded_postgres
    assert list(tmp_path.iterdir()) == []


def test_the_data_directory_defaults_to_the_users_data_home() -> None:
    assert env.embedded.default_data_dir({"HOME": "/home/u"}) == Path("/home/u/.local/share/tiebreak")
    assert env.embedded.default_data_dir({"HOME": "/home/u", "XDG_DATA_HOME": "/data"}) == Path("/data/tiebreak")
    assert env.embedded.default_data_dir({"HOME": "/home/u", "XDG_DATA_HOME": "not/absolute"}) == Path(
        "/home/u/.local/share/tiebreak"
    )

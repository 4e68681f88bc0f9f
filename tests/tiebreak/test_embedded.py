"""The embedded servers: one of each per directory, for as long as somebody uses them, whatever dies."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis

from tiebreak import embedded

ROOT = Path(__file__).resolve().parents[2]
# A user of the servers in a process of its own: prints their URLs, then lives until its stdin closes.
USER = """
import json, sys
from pathlib import Path
from typing import Any
from tiebreak import embedded
print(json.dumps(embedded.servers(Path(sys.argv[1]))), flush=True)
sys.stdin.read()
"""


class User:
    """A process that uses the servers of a directory."""

    def __init__(self, data_dir: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", USER, str(data_dir)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT / "platform")},
        )

    def urls(self) -> embedded.Servers:
        assert self.process.stdout is not None
        return embedded.Servers(*json.loads(self.process.stdout.readline()))

    def leave(self, how: signal.Signals | None = None) -> None:
        if how is not None:
            self.process.send_signal(how)
        self.process.communicate(timeout=60)


@pytest.fixture
def data_dir() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="tb-"))
    yield path
    embedded.stop(path)
    shutil.rmtree(path, ignore_errors=True)


def eventually(true: Callable[[], bool]) -> bool:
    end = time.monotonic() + 60
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def pids(data_dir: Path) -> tuple[int | None, int | None]:
    report = embedded.status(data_dir)
    return report["postgres"]["pid"], report["redis"]["pid"]


def stopped(data_dir: Path) -> bool:
    report = embedded.status(data_dir)
    return not any(report[name]["running"] or report[name]["kept"] for name in embedded.SERVERS)


def postmasters(data_dir: Path) -> int:
    """Living PostgreSQL servers on a directory, counted by their command lines and not by what embedded believes."""
    found = 0
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                arguments = (entry / "cmdline").read_bytes().split(b"\0")
                found += arguments[0].endswith(b"/postgres") and str(data_dir / "postgres").encode() in arguments
    return found


def write(urls: embedded.Servers, text: str) -> None:
    with psycopg.connect(urls.database_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS note (text text)")
        connection.execute("INSERT INTO note VALUES (%s)", [text])


def read(urls: embedded.Servers) -> list[str]:
    with psycopg.connect(urls.database_url) as connection:
        return [row[0] for row in connection.execute("SELECT text FROM note ORDER BY text")]


def with_redis(urls: embedded.Servers, act: Callable[[redis.Redis], Any]) -> Any:
    client = redis.Redis.from_url(urls.redis_url)
    try:
        return act(client)
    finally:
        client.close()


def test_servers_answer_and_are_what_the_platform_needs(data_dir: Path) -> None:
    urls = embedded.servers(data_dir)
    with psycopg.connect(urls.database_url, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION vector")
        assert connection.info.server_version >= 150000
        assert connection.info.dbname == "tiebreak"
    settings = with_redis(urls, lambda r: {**r.config_get("appendonly"), **r.config_get("maxmemory-policy")})
    assert settings == {"appendonly": "yes", "maxmemory-policy": "noeviction"}
    assert urls.celery_broker_url.startswith("redis+socket:///")


def test_celery_speaks_through_the_broker_url(data_dir: Path) -> None:
    from kombu import Connection

    with Connection(embedded.servers(data_dir).celery_broker_url) as connection:
        queue = connection.SimpleQueue("q")
        queue.put({"id": 7})
        assert queue.get(timeout=10).payload == {"id": 7}
        queue.close()


def test_asking_again_gives_the_same_servers(data_dir: Path) -> None:
    first, before = embedded.servers(data_dir), pids(data_dir)
    assert embedded.servers(data_dir) == first
    assert pids(data_dir) == before


def test_processes_that_start_together_share_one_server(data_dir: Path) -> None:
    users = [User(data_dir) for _ in range(3)]
    assert len({user.urls() for user in users}) == 1
    assert postmasters(data_dir) == 1
    for user in users:
        user.leave()
    assert eventually(lambda: postmasters(data_dir) == 0)


def test_servers_stop_with_the_last_process_that_uses_them_and_not_before(data_dir: Path) -> None:
    first, second = User(data_dir), User(data_dir)
    urls = first.urls()
    second.urls()
    first.leave()
    write(urls, "still here")  # the second holds them
    second.leave()
    assert eventually(lambda: stopped(data_dir))
    assert postmasters(data_dir) == 0


def test_servers_stop_when_their_only_user_is_killed_and_the_data_survives(data_dir: Path) -> None:
    user = User(data_dir)
    urls = user.urls()
    write(urls, "kept")
    with_redis(urls, lambda r: r.set("key", "kept"))
    user.leave(signal.SIGKILL)
    assert eventually(lambda: stopped(data_dir))

    again = embedded.servers(data_dir)
    assert read(again) == ["kept"]
    assert with_redis(again, lambda r: r.get("key")) == b"kept"
    assert postmasters(data_dir) == 1


def test_everything_killed_at_once_leaves_nothing_that_hinders_the_next_start(data_dir: Path) -> None:
    user = User(data_dir)
    urls = user.urls()
    write(urls, "kept")
    keepers = [json.loads((data_dir / "run" / name / "state.json").read_text())["keeper"] for name in embedded.SERVERS]
    for pid in (user.process.pid, *keepers, *pids(data_dir)):
        os.kill(pid, signal.SIGKILL)
    user.leave()
    assert eventually(lambda: postmasters(data_dir) == 0)
    assert (data_dir / "postgres" / "postmaster.pid").exists()  # as after a power cut
    assert (data_dir / "run" / "redis" / "redis.sock").exists()

    assert read(embedded.servers(data_dir)) == ["kept"]


def test_a_pid_file_that_names_a_living_stranger_does_not_hinder_the_start(data_dir: Path) -> None:
    embedded.servers(data_dir)
    embedded.stop(data_dir)
    for path in (data_dir / "postgres" / "postmaster.pid", data_dir / "run" / "redis" / "redis.pid"):
        path.write_text(f"{os.getpid()}\n")
    urls = embedded.servers(data_dir)
    write(urls, "started")
    assert os.getpid() not in pids(data_dir)


def test_servers_that_a_killed_keeper_left_are_adopted(data_dir: Path) -> None:
    urls = embedded.servers(data_dir)
    write(urls, "before")
    before = pids(data_dir)
    for name in embedded.SERVERS:
        os.kill(json.loads((data_dir / "run" / name / "state.json").read_text())["keeper"], signal.SIGKILL)
    assert eventually(lambda: not any(embedded.status(data_dir)[name]["kept"] for name in embedded.SERVERS))

    embedded.servers(data_dir)
    assert pids(data_dir) == before
    assert embedded.stop(data_dir) == ["postgres", "redis"]
    assert stopped(data_dir)


def test_a_server_that_dies_under_its_users_is_started_again(data_dir: Path) -> None:
    urls = embedded.servers(data_dir)
    write(urls, "kept")
    killed = pids(data_dir)
    for pid in killed:
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
    assert eventually(lambda: None not in pids(data_dir) and not set(killed) & set(pids(data_dir)))

    def back() -> bool:
        with suppress(psycopg.OperationalError, redis.RedisError):
            return read(urls) == ["kept"] and with_redis(urls, lambda r: r.ping())
        return False

    assert eventually(back)


@pytest.mark.parametrize("name", list(embedded.SERVERS))
def test_nobody_is_told_where_a_server_is_whose_keeper_has_not_seen_it_die(data_dir: Path, name: str) -> None:
    embedded.servers(data_dir)
    keeper = json.loads((data_dir / "run" / name / "state.json").read_text())["keeper"]
    os.kill(keeper, signal.SIGSTOP)  # as one that is killed and not yet gone: it holds its lock still
    try:
        os.kill(embedded.status(data_dir)[name]["pid"], signal.SIGKILL)
        assert eventually(lambda: embedded.status(data_dir)[name]["pid"] is None)
        user = User(data_dir)
        assert user.process.stdout is not None
        assert not select.select([user.process.stdout], [], [], 3)[0]  # it waits
    finally:
        os.kill(keeper, signal.SIGKILL)
    urls = user.urls()
    write(urls, "anew")
    assert with_redis(urls, lambda r: r.ping())
    user.leave()


def test_a_cluster_half_made_is_made_anew(data_dir: Path) -> None:
    (data_dir / "postgres.new" / "base").mkdir(parents=True)
    assert embedded.servers(data_dir).database_url
    assert not (data_dir / "postgres.new").exists()


def test_a_data_directory_removed_under_its_servers_ends_them(data_dir: Path) -> None:
    embedded.servers(data_dir)
    shutil.rmtree(data_dir, ignore_errors=True)
    assert eventually(lambda: postmasters(data_dir) == 0)
    embedded.release(data_dir)


def test_a_long_or_odd_data_directory_gets_its_sockets_elsewhere(data_dir: Path) -> None:
    deep = data_dir / ("a long name with ümlauts & spaces " * 3) / "below"
    try:
        urls = embedded.servers(deep)
        write(urls, "deep")
        assert read(urls) == ["deep"]
        assert with_redis(urls, lambda r: r.ping())
    finally:
        embedded.stop(deep)


def test_a_data_directory_that_cannot_be_made_is_named_in_the_error(data_dir: Path) -> None:
    (data_dir / "file").write_text("")
    with pytest.raises(embedded.EmbeddedError, match=r"TIEBREAK_DATA: a directory .*file/below"):
        embedded.servers(data_dir / "file" / "below")


def test_a_foreign_directory_in_the_place_of_the_cluster_is_left_alone(data_dir: Path) -> None:
    (data_dir / "postgres").mkdir()
    (data_dir / "postgres" / "letter.txt").write_text("mine")
    with pytest.raises(embedded.EmbeddedError, match="an empty directory or a PostgreSQL cluster is expected"):
        embedded.servers(data_dir)
    assert (data_dir / "postgres" / "letter.txt").read_text() == "mine"


def test_a_cluster_of_another_major_version_is_refused_with_what_to_do(data_dir: Path) -> None:
    embedded.ensure("postgres", data_dir)
    embedded.stop(data_dir)
    (data_dir / "postgres" / "PG_VERSION").write_text("9\n")
    with pytest.raises(embedded.EmbeddedError, match="made by PostgreSQL 9, and version 18 is installed"):
        embedded.ensure("postgres", data_dir)


def test_one_server_alone_can_be_had(data_dir: Path) -> None:
    embedded.ensure("redis", data_dir)
    report = embedded.status(data_dir)
    assert report["redis"]["running"]
    assert not report["postgres"]["running"]
    assert not (data_dir / "postgres").exists()


def test_the_command_says_what_runs_and_stops_it(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TIEBREAK_DATA", str(data_dir))
    embedded.servers(data_dir)
    assert embedded.main(["status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["postgres"]["running"] is True
    assert embedded.main(["stop"]) == 0
    assert capsys.readouterr().out == "Stopped: postgres, redis.\n"
    assert embedded.main(["status"]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == ["postgres: not running", "redis: not running"]
    assert embedded.main(["stop"]) == 0
    assert capsys.readouterr().out == "Stopped: nothing ran.\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="changes its user")
def test_an_ordinary_user_starts_the_servers_too(data_dir: Path) -> None:
    data_dir.chmod(0o777)
    os.chown(data_dir, 65534, 65534)
    code = USER.replace("sys.stdin.read()", "").replace("from tiebreak import embedded", LOAD)
    done = subprocess.run(
        [sys.executable, "-c", code, str(data_dir), str(ROOT / "platform/tiebreak/embedded.py")],
        capture_output=True,
        text=True,
        user=65534,
        group=65534,
        extra_groups=[],
        env={"PATH": os.environ["PATH"]},
        cwd="/",
    )
    if done.returncode != 0 and "Permission denied" in done.stderr + done.stdout:
        pytest.skip("the interpreter or the wheels lie where an ordinary user may not read")
    assert json.loads(done.stdout)[0].startswith("postgresql://"), done.stderr
    assert (data_dir / "postgres").stat().st_uid == 65534


LOAD = """
import importlib.util
spec = importlib.util.spec_from_file_location("embedded", sys.argv[2])
embedded = importlib.util.module_from_spec(spec)
sys.modules["embedded"] = embedded
spec.loader.exec_module(embedded)
"""

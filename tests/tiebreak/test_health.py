"""Whether everything is there that work needs, and the command that starts it all."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.cache import cache
from django.core.management import CommandError, call_command
from django.db import OperationalError
from django.test import Client
from django.utils import timezone

from tests.build import make_judge, make_member, make_project, make_token, make_user
from tiebreak.accounts.models import ApiToken, Membership, User
from tiebreak.core.supervise import Supervisor
from tiebreak.runs import health, ledger

pytestmark = pytest.mark.django_db

ROOT = Path(__file__).parents[2]


@pytest.fixture
def no_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "ENV", replace(settings.ENV, redis_url="redis://127.0.0.1:9/0"))


@pytest.fixture
def no_database(monkeypatch: pytest.MonkeyPatch) -> None:
    class Away:
        def cursor(self) -> Any:
            raise OperationalError('connection to "db", user "tiebreak", failed: refused\nsecond line')

    monkeypatch.setattr(health, "connection", Away())


# --- /healthz, /readyz, /metrics --------------------------------------------------------------------------------------


def test_healthz_says_that_the_process_answers(client: Client) -> None:
    assert client.get("/healthz").content == b"ok"


def test_readyz_is_200_where_everything_is_there(client: Client) -> None:
    response = client.get("/readyz")
    assert response.status_code == 200, response.content
    assert response.json() == {"ready": True, "checks": {"database": "ok", "migrations": "ok", "redis": "ok"}}


@pytest.mark.usefixtures("no_redis")
def test_readyz_is_503_without_redis_and_says_what_to_do(client: Client) -> None:
    response = client.get("/readyz")
    assert response.status_code == 503
    told = response.json()
    assert (told["ready"], told["checks"]["database"]) == (False, "ok")
    assert "REDIS_URL" in told["checks"]["redis"]


@pytest.mark.usefixtures("no_database")
def test_readyz_is_503_without_a_database_and_tells_no_names(client: Client) -> None:
    response = client.get("/readyz")
    assert response.status_code == 503
    assert "migrations" not in response.json()["checks"]  # nobody can know
    assert b"tiebreak" not in response.content
    assert b"db" not in response.content


def test_readyz_is_503_before_migrations(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health.MigrationExecutor, "migration_plan", lambda self, targets: [("accounts", False)])
    response = client.get("/readyz")
    assert response.status_code == 503
    assert "migrate" in response.json()["checks"]["migrations"]


def test_metrics_are_for_staff(client: Client) -> None:
    plain, staff = make_user(), User.objects.create(username="scraper", is_staff=True)
    for text in ("", "Bearer ", "Bearer nonsense", f"Bearer {make_token(plain, 'curate')}"):
        response = client.get("/metrics", headers={"Authorization": text})
        assert response.status_code == 401
        assert response.headers["WWW-Authenticate"].startswith("Bearer")
    expired = make_token(staff, "curate", days=-1)
    assert client.get("/metrics", headers={"Authorization": f"Bearer {expired}"}).status_code == 401
    response = client.get("/metrics", headers={"Authorization": f"Bearer {make_token(staff, 'curate')}"})
    assert response.status_code == 200
    client.force_login(staff, backend="django.contrib.auth.backends.ModelBackend")
    assert client.get("/metrics").status_code == 200


def test_metrics_count_runs_and_name_nothing(client: Client) -> None:
    staff = User.objects.create(username="scraper", is_staff=True)
    project = make_project("secret-plans")
    for _ in range(2):
        ledger.start("aggregate", project=project, wake=False)
    cache.set(health.WORKER_KEY, timezone.now(), 60)
    client.force_login(staff, backend="django.contrib.auth.backends.ModelBackend")
    text = client.get("/metrics").content.decode()
    assert 'tiebreak_runs{kind="aggregate",status="queued"} 2.0' in text
    waited = re.search(r"^tiebreak_oldest_queued_run_seconds (\S+)$", text, re.M)
    seen = re.search(r"^tiebreak_worker_seen_seconds (\S+)$", text, re.M)
    assert waited is not None
    assert seen is not None
    assert 0 <= float(waited[1]) < 60
    assert 0 <= float(seen[1]) < 60
    assert "secret-plans" not in text


# --- doctor -----------------------------------------------------------------------------------------------------------


def doctor(*arguments: str) -> tuple[int, str]:
    out = io.StringIO()
    try:
        call_command("doctor", *arguments, stdout=out)
    except CommandError as error:
        return error.returncode, out.getvalue()
    return 0, out.getvalue()


def test_doctor_ends_with_0_where_all_is_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "LOW_DISK", 0)
    cache.set(health.WORKER_KEY, timezone.now(), 60)
    status, text = doctor()
    assert status == 0, text
    assert "FAIL" not in text
    for name in ("database", "migrations", "redis", "workers", "disk", "clock", "secrets", "judges"):
        assert name in text
    assert "pgvector" in text


def test_doctor_ends_with_1_and_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "LOW_DISK", 2**80)
    cache.delete(health.WORKER_KEY)
    status, text = doctor("--json")
    assert status == 1
    checks = {check["name"]: check for check in json.loads(text.splitlines()[-1])["checks"]}
    assert not checks["workers"]["ok"]
    assert "manage.py up" in checks["workers"]["do"]
    assert "Free some space" in checks["disk"]["do"]
    assert checks["database"]["ok"]


@pytest.mark.usefixtures("no_redis")
def test_doctor_without_redis_still_tells_the_rest() -> None:
    status, text = doctor()
    assert status == 1
    assert "PostgreSQL" in text
    assert "REDIS_URL" in text


@pytest.mark.parametrize(
    ("judge", "words"),
    [
        ({"base_url": "https://api.example.com/v1", "api_key_env": "EXAMPLE_API_KEY"}, "EXAMPLE_API_KEY is not set"),
        ({"base_url": "http://10.0.0.7:8000/v1"}, "TIEBREAK_EGRESS_ALLOW"),
        ({"base_url": "https://api.example.com/v1"}, ""),
        ({"base_url": "http://10.0.0.7:8000/v1", "retired_at": timezone.now()}, ""),
    ],
)
def test_doctor_looks_at_judges_in_use(judge: dict[str, Any], words: str) -> None:
    make_judge(make_project(), backend="openai", **judge)
    found = {check["name"]: check for check in json.loads(doctor("--json")[1])["checks"]}["judges"]
    assert found["ok"] == (words == "")
    assert words in found["found"] + found["do"]


@pytest.mark.parametrize(
    ("changes", "debug", "words"),
    [
        ({"allowed_hosts": ["tiebreak.example.org"], "https": False}, False, "TLS"),
        ({"allowed_hosts": ["tiebreak.example.org"], "https": True}, True, "TIEBREAK_DEBUG"),
        ({"allowed_hosts": ["tiebreak.example.org"], "https": True}, False, ""),
        ({"allowed_hosts": ["localhost"], "https": False}, True, ""),
    ],
)
def test_secrets_look_at_who_is_served(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], debug: bool, words: str
) -> None:
    monkeypatch.setattr(settings, "ENV", replace(settings.ENV, **changes))
    monkeypatch.setattr(settings, "DEBUG", debug)
    found = health.secrets()
    assert found.ok == (words == "")
    assert words in found.found + found.do


# --- accounts ---------------------------------------------------------------------------------------------------------


def create_user(*arguments: str) -> dict[str, Any]:
    out = io.StringIO()
    call_command("create_user", *arguments, "--json", stdout=out)
    told: dict[str, Any] = json.loads(out.getvalue().splitlines()[-1])
    return told


def test_create_user_makes_an_account_that_can_sign_in_and_join() -> None:
    project = make_project("chat")
    told = create_user("ada", "--project", "chat", "--role", "curator")
    user = User.objects.get(username="ada")
    assert user.check_password(told["password"])
    assert not user.is_staff
    assert Membership.objects.get(user=user, project=project).role == "curator"
    again = create_user("ada", "--project", "chat", "--role", "owner", "--admin")
    assert again["password"] is None
    user.refresh_from_db()
    assert user.check_password(told["password"])
    assert user.is_superuser
    assert Membership.objects.get(user=user, project=project).role == "owner"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["a b"], "name"),
        (["x" * 151], "name"),
        ([""], "name"),
        (["ada", "--project", "nothing"], "nothing"),
        (["ada", "--role", "owner"], "--project"),
        (["ada", "--ask"], "terminal"),
        (["ada", "--role", "king", "--project", "chat"], "king"),
    ],
)
def test_create_user_refuses_and_makes_nothing(
    arguments: list[str], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_project("chat")
    monkeypatch.setattr(sys, "stdin", io.StringIO("hunter2"))
    with pytest.raises((CommandError, ValueError), match=re.escape(words)):
        create_user(*arguments)
    assert not User.objects.exists()


def create_token(*arguments: str) -> str:
    out = io.StringIO()
    call_command("create_token", *arguments, stdout=out)
    return out.getvalue().strip()


def test_create_token_prints_what_rest_takes_and_nothing_else(client: Client) -> None:
    make_member(make_project("chat"), "curator", name="ada")
    secret = create_token("ada", "--scope", "train", "--scope", "export", "--project", "chat")
    told = client.get("/api/v1/token/", headers={"Authorization": f"Bearer {secret}"}).json()
    assert (told["user"], told["scopes"], told["project"]) == ("ada", ["export", "train"], "chat")
    assert json.loads(create_token("ada", "--scope", "train", "--days", "1", "--json"))["project"] is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["eve", "--scope", "train"], "create_user"),
        (["ada"], "--scope"),
        (["ada", "--scope", "everything"], "everything"),
        (["ada", "--scope", "train", "--days", "0"], "days: expected 1 to"),
        (["ada", "--scope", "train", "--project", "nothing"], "nothing"),
        (["ada", "--scope", "train", "--project", "other"], "member"),
    ],
)
def test_create_token_refuses_and_makes_nothing(arguments: list[str], words: str) -> None:
    make_member(make_project("chat"), name="ada")
    make_project("other")
    with pytest.raises(CommandError, match=re.escape(words)):
        create_token(*arguments)
    assert not ApiToken.objects.exists()


# --- up ---------------------------------------------------------------------------------------------------------------


def children_of(supervisor: Supervisor) -> list[int]:
    return [child.pid for child in supervisor.children.values()]


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_for(condition: Any, seconds: float) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if result := condition():
            return result
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s")


def test_a_child_that_dies_is_started_again_ever_more_slowly(tmp_path: Path) -> None:
    said: list[str] = []
    supervisor = Supervisor({"web": [sys.executable, "-c", "raise SystemExit(3)"]}, say=said.append, cwd=tmp_path)
    supervisor.start()
    first = children_of(supervisor)
    try:

        def again() -> bool:
            supervisor._look()
            return children_of(supervisor) != first

        wait_for(again, 10)
        assert said == ["web ended with status 3; it starts again in 1 s"]
        wait_for(lambda: (supervisor._look(), len(said) == 2)[1], 10)
        assert said[1] == "web ended with status 3; it starts again in 2 s"
    finally:
        supervisor.stop()


def test_a_child_that_will_not_end_is_killed_with_its_own_children(tmp_path: Path) -> None:
    stubborn = (
        "import signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']);"
        "open(sys.argv[1], 'w').write(str(p.pid)); time.sleep(600)"
    )
    note = tmp_path / "pid"
    supervisor = Supervisor({"web": [sys.executable, "-c", stubborn, str(note)]}, say=print, cwd=tmp_path)
    supervisor.start()
    grandchild = int(wait_for(lambda: note.exists() and note.read_text(), 10))
    supervisor.stop(patience=0.2)
    wait_for(lambda: not is_alive(grandchild), 5)
    assert not any(is_alive(pid) for pid in children_of(supervisor))


@pytest.fixture
def up(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """`manage.py up` over servers of its own, in a directory of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    dropped = ("TIEBREAK_TEST", "DATABASE_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE")
    env = {k: v for k, v in os.environ.items() if not k.startswith(dropped)} | {"TIEBREAK_DATA": str(tmp_path / "data")}
    process = subprocess.Popen(
        [sys.executable, "manage.py", "up", "--port", str(port)],
        cwd=ROOT,
        env=env,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield process, port
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
        from tiebreak import embedded

        embedded.stop(tmp_path / "data")


def ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return bool(json.load(answer)["ready"])
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def offspring(pid: int) -> set[int]:
    """Every process below `pid`, however deep."""
    found: set[int] = set()
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        found |= {int(child)} | offspring(int(child))
    return found


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="reads /proc")
def test_up_serves_works_and_takes_everything_with_it(up: tuple[subprocess.Popen[str], int]) -> None:
    process, port = up
    wait_for(lambda: process.poll() is not None or ready(port), 120)
    assert process.poll() is None
    running = offspring(process.pid)
    commands = [Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ") for pid in running]
    assert any("gunicorn" in command for command in commands)
    assert any("celery" in command for command in commands)
    process.send_signal(signal.SIGTERM)
    told, _ = process.communicate(timeout=40)
    assert f"http://127.0.0.1:{port}/" in told
    assert process.returncode == 0
    ours = {pid for pid, command in zip(running, commands, strict=True) if re.search("gunicorn|celery", command)}
    wait_for(lambda: not any(is_alive(pid) for pid in ours), 10)
    assert not ready(port)


def test_up_refuses_a_port_that_is_taken() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(CommandError, match="try --port"):
            call_command("up", "--port", str(taken.getsockname()[1]))

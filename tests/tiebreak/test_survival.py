"""Real workers, killed. A judge run goes on after SIGKILL of its worker and a flushed Redis: nothing lost, nothing
twice.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import pytest
import redis
from django.conf import settings
from django.db import connection
from django.utils import timezone

from annotate.models import JudgeCall, Judgement
from curation.services import verbs
from tests.build import make_comparison, make_judge, make_project
from tests.llm import Server, serving
from tiebreak.runs import health, ledger
from tiebreak.runs.models import Run

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]
ROOT = Path(__file__).resolve().parents[2]


def database_url() -> str:
    """The test database, for another process."""
    told = connection.settings_dict
    host = quote(str(told["HOST"]), safe="")
    port = f"&port={told['PORT']}" if told["PORT"] else ""
    return f"postgresql://{told['USER']}@/{told['NAME']}?host={host}{port}"


def start_worker(log: Path) -> subprocess.Popen[bytes]:
    env = os.environ | {
        "DJANGO_SETTINGS_MODULE": "tiebreak.settings",
        "DATABASE_URL": database_url(),
        "TIEBREAK_EGRESS_ALLOW": "127.0.0.0/8",
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "platform")]),
    }
    command = [sys.executable, "-m", "celery", "-A", "tiebreak", "worker", "-Q", "default,judge", "-c", "1"]
    with log.open("ab") as out:
        return subprocess.Popen(
            [*command, "--without-gossip", "--without-mingle", "-l", "INFO"],
            env=env, cwd=ROOT, stdout=out, stderr=out, start_new_session=True,
        )  # fmt: skip


def kill(worker: subprocess.Popen[bytes]) -> None:
    os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()


def until(what: Callable[[], bool], log: Path, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, (
            f"it did not happen in {seconds} s; the worker said:\n{log.read_text()[-3000:]}"
        )
        time.sleep(0.05)


@pytest.fixture
def llm() -> Iterator[Server]:
    with serving() as server:
        server.delay = 0.05
        yield server


def test_a_judge_run_survives_a_killed_worker_and_a_flushed_redis(
    llm: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "ENV", replace(settings.ENV, egress_allow=("127.0.0.0/8",)))
    log, n = tmp_path / "worker.log", 80
    project = make_project()
    for i in range(n):
        make_comparison(project, f"c{i}", a="short", b=f"a longer answer {i}")
    judge = make_judge(project, backend="openai", base_url=llm.url, model="tiny", config={"judge": {"concurrency": 2}})
    run = verbs.start("judge", project, {"judge": "judge"}, by=None)

    worker = start_worker(log)
    try:
        until(lambda: JudgeCall.objects.count() >= 32, log)
        kill(worker)
        stored = JudgeCall.objects.count()
        assert 32 <= stored < 2 * n, "the worker must be killed in the middle"
        run.refresh_from_db()
        assert run.status == "running"  # nobody told the ledger: only the lease knows

        redis.Redis.from_url(settings.ENV.redis_url).flushall()
        worker = start_worker(log)
        # What beat does every 15 seconds, once the dead worker's lease has run out.
        told = ledger.reap(timezone.now() + timedelta(minutes=2))
        assert (told["returned"], told["woken"]) == (1, 1)
        until(lambda: Run.objects.get(pk=run.pk).status == "succeeded", log)
    finally:
        kill(worker)

    run.refresh_from_db()
    assert run.attempt == 2
    assert JudgeCall.objects.filter(judge=judge, status="parsed").count() == 2 * n
    assert Judgement.objects.current().count() == Judgement.objects.count() == 2 * n
    # What was stored before the kill was not asked again: only calls in flight, or waiting to be stored, were.
    assert len(llm.prompts) <= 2 * n + 32


def test_a_run_started_while_redis_lost_its_message_is_found_by_the_reaper(llm: Server, tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    project = make_project()
    make_comparison(project, a="short", b="longer")
    make_judge(project)  # the scripted one
    run = verbs.start("judge", project, {"judge": "judge"}, by=None)
    redis.Redis.from_url(settings.ENV.redis_url).flushall()
    worker = start_worker(log)
    try:
        ledger.reap(timezone.now() + timedelta(minutes=1))
        until(lambda: Run.objects.get(pk=run.pk).status == "succeeded", log)
    finally:
        kill(worker)
    assert Judgement.objects.count() == 2


def test_a_worker_makes_itself_known_and_finds_what_waits_as_soon_as_it_starts(tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    project = make_project()
    make_comparison(project, a="short", b="longer")
    make_judge(project)
    run = verbs.start("judge", project, {"judge": "judge"}, by=None)
    redis.Redis.from_url(settings.ENV.redis_url).flushall()
    Run.objects.filter(pk=run.pk).update(woken_at=None)  # its message is long lost
    worker = start_worker(log)
    try:
        until(lambda: Run.objects.get(pk=run.pk).status == "succeeded", log)
        assert health.workers().ok
    finally:
        kill(worker)

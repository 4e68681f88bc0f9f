"""Keeps the processes of one machine running: web, worker with beat. The children end with the parent."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

FIRST_WAIT, LONGEST_WAIT = 1.0, 30.0
STEADY = 60.0  # seconds after which a child's death is its first again
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def commands(*, host: str, port: int, data_dir: Path, web_workers: int = 1) -> dict[str, list[str]]:
    """What one machine runs. The worker serves every queue, and beat runs inside it."""
    python = [sys.executable, "-m"]
    return {
        "web": [
            *python, "gunicorn", "tiebreak.wsgi:application", "--bind", f"{host}:{port}", "--no-control-socket",
            "--workers", str(web_workers), "--threads", "8", "--timeout", "120", "--log-level", "warning",
        ],
        "worker": [
            *python, "celery", "-A", "tiebreak", "worker", "--beat", "--queues", "default,judge,gpu",
            "--concurrency", "2", "--loglevel", "WARNING", "--without-gossip", "--without-mingle",
            "--schedule", str(data_dir / "celerybeat-schedule"), "--pidfile", "",
        ],
    }  # fmt: skip


class Supervisor:
    """Starts each command, restarts one that dies (ever more slowly), stops all on SIGINT, SIGTERM or SIGHUP."""

    def __init__(self, wanted: Mapping[str, Sequence[str]], *, say: Callable[[str], Any], cwd: Path) -> None:
        self.wanted, self.say, self.cwd = wanted, say, cwd
        self.children: dict[str, subprocess.Popen[bytes]] = {}
        self.waits: dict[str, float] = {}
        self.due: dict[str, float] = {}
        self.born: dict[str, float] = {}
        self.stopping = False

    def watch(self) -> None:
        """From here on a signal stops the children, also one that comes before `run`: else they would outlive us."""
        for number in STOPPING:
            signal.signal(number, self._on_signal)

    def start(self) -> None:
        for name in self.wanted:
            self._spawn(name)

    def _spawn(self, name: str) -> None:
        path = os.pathsep.join([str(self.cwd), str(self.cwd / "platform"), os.environ.get("PYTHONPATH", "")])
        env = os.environ | {"PYTHONPATH": path.rstrip(os.pathsep), "DJANGO_SETTINGS_MODULE": "tiebreak.settings"}
        # Celery's four lines about running as root: in a container of one's own that is how it is.
        env["PYTHONWARNINGS"] = "ignore:You're running the worker with superuser privileges"
        self.born[name] = time.monotonic()
        # Banners go to stdout and nowhere; what matters is logged to stderr. A group of its own: Ctrl+C reaches the
        # supervisor alone, which then stops the children in order.
        self.children[name] = subprocess.Popen(  # noqa: S603 - our own commands, no shell
            list(self.wanted[name]), env=env, cwd=self.cwd, start_new_session=True, stdout=subprocess.DEVNULL
        )

    def run(self) -> None:
        """Watch until a signal comes; then stop the children and return."""
        self.watch()
        try:
            while not self.stopping:
                self._look()
                time.sleep(0.2)
        finally:
            self.stop()

    def _look(self) -> None:
        now = time.monotonic()
        for name, child in self.children.items():
            if child.poll() is None:
                continue
            if name not in self.due:
                if now - self.born[name] > STEADY:
                    self.waits.pop(name, None)
                wait = self.waits[name] = min(LONGEST_WAIT, self.waits.get(name, FIRST_WAIT / 2) * 2)
                self.due[name] = now + wait
                self.say(f"{name} ended with status {child.returncode}; it starts again in {wait:.0f} s")
            elif now >= self.due[name]:
                del self.due[name]
                self._spawn(name)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.stopping = True

    def stop(self, patience: float = 10.0) -> None:
        for child in self.children.values():
            if child.poll() is None:
                child.terminate()
        deadline = time.monotonic() + patience
        for child in self.children.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(timeout=max(0.1, deadline - time.monotonic()))
            # Also what a child left behind, such as the beat of a worker that was killed.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()

from __future__ import annotations

import socket
from argparse import ArgumentParser
from collections.abc import Mapping
from typing import Any

from django.core.management import CommandError, call_command

from annotate.management.base import VerbCommand
from curation.demo import Demo, demo


class Command(VerbCommand):
    help = "Runs the whole loop on the bundled sample, tells what each step did, and serves the result."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--no-serve", action="store_true", help="end after the summary")
        parser.add_argument("--port", type=int, help="default: 8000, or the next free one")

    def perform(self, *, no_serve: bool, port: int | None, **options: Any) -> Mapping[str, Any]:
        if port is not None and _answers(port):  # the loop would pull its dataset from whoever answers there
            raise CommandError(
                f"Something answers at 127.0.0.1:{port} already; try another --port, or none.", returncode=1
            )
        call_command("migrate", verbosity=0)
        with demo(self.say, self.stderr.write, port or _free_port(8000)) as running:
            running.loop()
            self.hush()
            if not no_serve:
                self._show(running)
                if running.supervisor is not None:
                    running.supervisor.run()
            return _summary(running)

    def tell(self, result: Mapping[str, Any]) -> str:
        lines = [f"{step['step']:<13}{step['seconds']:>7.1f} s  {step['did']}" for step in result["steps"]]
        return "\n".join([*lines, f"{'in all':<13}{result['seconds']:>7.1f} s"])

    def _show(self, running: Demo) -> None:
        self.stdout.write(self.tell(_summary(running)))
        self.stdout.write(f"\nTiebreak serves at http://127.0.0.1:{running.port}/  (Ctrl+C stops it). Sign in as")
        for name, password in running.passwords.items():
            self.stdout.write(f"  {name:<20} {password}")
        self.stdout.write("The demo's people and its judge are simulated; everything else is the real thing.")
        self.stdout.flush()


def _summary(running: Demo) -> dict[str, Any]:
    steps = [
        {"step": s.name, "did": s.did, "seconds": round(s.seconds, 2), "figures": s.figures} for s in running.steps
    ]
    return {"project": running.project.slug, "steps": steps, "seconds": round(sum(s.seconds for s in running.steps), 1)}


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _free_port(first: int) -> int:
    return next((port for port in range(first, first + 50) if not _answers(port)), first)

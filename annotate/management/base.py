"""The base of our commands: each is a verb that calls one service, and the same verb exists over REST."""

from __future__ import annotations

import json
import sys
import time
from argparse import ArgumentParser
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import ProgrammingError
from psycopg.errors import UndefinedTable

from tiebreak.accounts.models import Project
from tiebreak.core.errors import BackendError, DomainError


class VerbCommand(BaseCommand):
    """`perform` returns a mapping; `--json` prints it as one object, last; otherwise `tell` makes one line of it.

    Exit status: 0 done, 1 failed with a reason on stderr (and in the JSON), 2 misuse (argparse's own).
    """

    requires_migrations_checks = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one machine-readable object last")

    def perform(self, *args: Any, **options: Any) -> Mapping[str, Any]:
        """Call the service; each command names the options that it takes."""
        raise NotImplementedError

    def tell(self, result: Mapping[str, Any]) -> str:
        told = ((key.replace("_", " "), _in_words(value)) for key, value in result.items())
        return ", ".join(f"{key} {words}" for key, words in told if words)

    def failure(self, result: Mapping[str, Any]) -> str | None:
        """Why a result that has been told is a failure all the same."""
        return None

    def handle(self, *args: Any, **options: Any) -> str | None:
        self.verbosity = options["verbosity"]
        as_json = options.pop("json")
        self.progress_to = None if as_json or not sys.stderr.isatty() else sys.stderr
        try:
            with _set_up():
                result = self.perform(**options)
        except (DomainError, BackendError, CommandError) as error:
            if as_json:
                code = getattr(error, "code", "backend" if isinstance(error, BackendError) else "failed")
                params = error.params if isinstance(error, DomainError) else {}
                told = params | {"code": code, "message": str(error)}
                self.stdout.write(json.dumps({"error": told}, default=str))
            if isinstance(error, CommandError):
                raise
            raise CommandError(str(error), returncode=1) from None
        self.hush()
        if as_json:
            self.stdout.write(json.dumps(result, default=str))
        else:
            self.stdout.write(self.tell(result))
        if why := self.failure(result):
            raise CommandError(why, returncode=1)
        return None

    def say(self, text: str) -> None:
        """Progress on a terminal, on one line that is written again, at most ten times a second."""
        now = time.monotonic()
        if self.progress_to and now - getattr(self, "_said", 0.0) > 0.1:
            self._said = now
            self.progress_to.write(f"\r\x1b[K{text}")
            self.progress_to.flush()

    def hush(self) -> None:
        """Clear the line of progress, where there is one."""
        if self.progress_to:
            self.progress_to.write("\r\x1b[K")
            self.progress_to.flush()


@contextmanager
def _set_up() -> Iterator[None]:
    """A database without our tables is told as such: it takes one command to make them."""
    try:
        yield
    except ProgrammingError as error:
        if not isinstance(error.__cause__, UndefinedTable):
            raise
        raise CommandError(
            "The database has not been set up yet: run manage.py migrate, or manage.py up, which does it.", returncode=1
        ) from error


def _in_words(value: Any) -> str:
    """A value for the terminal: a figure with its interval; nothing for what is empty or only --json has room for."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping) and {"value", "low", "high"} <= value.keys():
        if value["value"] is None:
            return f"unknown ({value['reason']})" if value.get("reason") else ""
        between = f" [{value['low']:.2f}, {value['high']:.2f}]" if value["low"] is not None else ""
        return f"{value['value']:.2f}{between}"
    if isinstance(value, Mapping):
        parts = [f"{key} {_in_words(each)}" for key, each in value.items()]
        return f"({', '.join(parts)})" if parts else ""
    if isinstance(value, list):
        return "" if any(isinstance(each, Mapping) for each in value) else " ".join(map(str, value))
    return "" if value is None else str(value)


def project_named(slug: str) -> Project:
    """The project of a command's argument. Commands act as the machine's operator: no membership is asked."""
    project = Project.objects.filter(slug=slug).first()
    if project is None:
        known = ", ".join(Project.objects.values_list("slug", flat=True)[:20]) or "none yet"
        raise CommandError(
            f"There is no project {slug!r} (there are: {known}); import_comparisons --create makes one.", returncode=1
        )
    return project

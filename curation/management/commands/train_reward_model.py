from __future__ import annotations

import tomllib
from argparse import ArgumentParser
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from annotate.management.base import VerbCommand
from curation.management.base import finished
from curation.services import verbs, versions


class Command(VerbCommand):
    help = "Trains a reward model on a version, evaluates it on the version's test split and registers it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("version", help="NAME@NUMBER or NAME@TAG")
        parser.add_argument("--name", help="the model's name; none: made from the version")
        parser.add_argument("--config", type=Path, help="TOML")
        parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="settings_", nargs="+")
        parser.add_argument("--seed", type=int, default=0)

    def perform(
        self, *, version: str, name: str | None, config: Path | None, seed: int, **options: Any
    ) -> Mapping[str, Any]:
        found = versions.named(version)
        settings = _read(config) | _pairs(options["settings_"])
        given = {"version": version, "name": name, "config": settings, "seed": seed}
        return finished(verbs.run_here("train", found.dataset.project, given, say=self.say))


def _read(path: Path | None) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8")) if path else {}
    except (OSError, ValueError) as error:
        raise CommandError(f"--config {path}: {error}", returncode=1) from None


def _pairs(groups: list[list[str]]) -> dict[str, Any]:
    """`KEY=VALUE` with TOML values; a value that is no TOML is a string."""
    found: dict[str, Any] = {}
    for text in (text for group in groups for text in group):
        key, equals, value = text.partition("=")
        if not equals:
            raise CommandError(f"--set: expected KEY=VALUE, got {text!r}", returncode=2)
        try:
            found[key] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            found[key] = value
    return found

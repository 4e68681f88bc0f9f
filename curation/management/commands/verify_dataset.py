from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from annotate.management.base import VerbCommand
from curation.services import verbs, verifying, versions
from curation.services.verifying import Check


class Command(VerbCommand):
    help = "Works out every hash of a version anew, and says what holds; a folder alone is held to its manifest."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("version", nargs="?", help="NAME@VERSION; without one only --folder is looked at")
        parser.add_argument("--folder", type=Path, help="an exported folder with its manifest.json")

    def perform(self, *, version: str | None, folder: Path | None, **options: Any) -> Mapping[str, Any]:
        if version is None and folder is None:
            raise CommandError("Name a version, a --folder, or both.", returncode=2)
        found = verbs.ready(versions.named(version)) if version else None
        checks = verifying.verify_folder(folder, found) if folder else []
        checks += verifying.verify(found) if found else []
        if not all(check.holds for check in checks):
            raise CommandError("\n".join(["Not everything holds.", *map(_line, checks)]), returncode=1)
        return {"version": version, "holds": True, "checks": [check._asdict() for check in checks]}

    def tell(self, result: Mapping[str, Any]) -> str:
        return "\n".join(_line(Check(**check)) for check in result["checks"])


def _line(check: Check) -> str:
    return f"{'holds' if check.holds else 'BROKEN':<7} {check.what}: {check.told}"

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from annotate.management.base import VerbCommand, project_named
from curation.services import comparisons
from tiebreak.core.models import record


class Command(VerbCommand):
    help = "Writes a project's comparisons and judgements as import rows: import_comparisons takes them in again."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("project", metavar="PROJECT")
        parser.add_argument("--to", type=Path, required=True, metavar="FILE", help="JSON Lines")

    def perform(self, *, project: str, to: Path, **options: Any) -> Mapping[str, Any]:
        found = project_named(project)
        written = comparisons.write(found, to)
        record("project.exported", found, by=None, project=found, rows=written["rows"])
        return written

"""`manage.py import_evaluation_set PROJECT NAME FILE [--field F]`."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from annotate.management.base import VerbCommand, project_named
from curation.services import evaluation_sets
from tiebreak.core.errors import Invalid


class Command(VerbCommand):
    help = "Import the texts of a benchmark that recipes are decontaminated against: JSON Lines, CSV, Parquet or text."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("project", metavar="PROJECT")
        parser.add_argument("name", metavar="NAME", help="as recipes call it, such as gsm8k-test")
        parser.add_argument("file", metavar="FILE", type=Path)
        parser.add_argument("--field", default="", help="where a record's texts are, several with commas between")

    def perform(self, *, project: str, name: str, file: Path, field: str, **options: Any) -> Mapping[str, Any]:
        try:
            opened = file.open("rb")
        except OSError as error:
            raise Invalid(f"{file}: {error.strerror}.", code="no_file", field="file") from None
        with opened:
            row = evaluation_sets.add(project_named(project), name, opened, field=field, filename=file.name)
        return {"evaluation_set": row.name, "texts": row.texts, "sha256": row.sha256}

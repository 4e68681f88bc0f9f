from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from annotate.management.base import VerbCommand
from curation.services import vectors, verbs, versions
from tiebreak.core.models import record


class Command(VerbCommand):
    help = "Writes the vectors of a version's rows to Parquet: python -m curation.scale near --by embedding reads them."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("version", help="NAME@NUMBER or NAME@TAG; NAME alone: its latest")
        parser.add_argument(
            "--to", type=Path, required=True, metavar="FILE", help="Parquet, with the columns id, vector"
        )
        parser.add_argument("--of", choices=vectors.OF, default="row", help="what is compared: row (default) or prompt")

    def perform(self, *, version: str, to: Path, of: str, **options: Any) -> Mapping[str, Any]:
        found = verbs.ready(versions.named(version))
        written = vectors.write(found, to, of=of)
        record(
            "dataset.vectors_exported", found, by=None, project=found.dataset.project_id, rows=written["rows"], of=of
        )
        return written

    def tell(self, result: Mapping[str, Any]) -> str:
        """And what to do about rows that nothing is compared with."""
        told, missing = super().tell(result), result["without_vector"]
        return f"{told}\n{missing} rows have no vector and will repeat nothing: embed makes them" if missing else told

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from annotate.management.base import VerbCommand
from curation.services import exporting, verbs, versions
from tiebreak.core.errors import Invalid


class Command(VerbCommand):
    help = "Writes a version's files, card and manifest with hashes into a folder."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("version", help="NAME@NUMBER or NAME@TAG; NAME alone: its latest")
        parser.add_argument(
            "--format", default="trl", help=f"parquet, csv for a spreadsheet, or lines as {', '.join(exporting.NAMES)}"
        )
        parser.add_argument("--to", type=Path, required=True, help="a folder; made where it is missing")
        parser.add_argument("--gzip", action="store_true", help="pack the lines")
        parser.add_argument("--parquet", action="store_true", help="the format's records as tables, not as lines")
        parser.add_argument(
            "--shard-mb", type=int, default=exporting.SHARD_BYTES >> 20, help="begin another file after so many MiB"
        )
        parser.add_argument(
            "--undecided", action="store_true", help="ties and both-bad too, as the format can tell them"
        )

    def perform(self, *, version: str, format: str, to: Path, **options: Any) -> Mapping[str, Any]:
        undecided, tables, shard_mb = options["undecided"], options["parquet"], options["shard_mb"]
        if shard_mb < 1:
            raise Invalid(f"--shard-mb: expected 1 or more, got {shard_mb}.", field="shard_mb")
        told = exporting.export_to(
            verbs.ready(versions.named(version)),
            format=format,
            folder=to,
            undecided=undecided,
            layout=exporting.Layout(options["gzip"], tables, shard_mb << 20),
        )
        self.may_ask = not undecided and exporting.takes_undecided(format, parquet=tables)
        return told

    def tell(self, result: Mapping[str, Any]) -> str:
        """A line a file; and what is in none of them."""
        beside = ("README.md", "manifest.json")  # they hold no rows
        counts = [" " * 13 if Path(f["path"]).name in beside else f"{f['rows']:>8} rows" for f in result["files"]]
        told = zip(counts, result["files"], strict=True)
        lines = [f"{count}  {f['sha256'][:16]}…  {f['path']}" for count, f in told]
        left = result["left_out"]
        why = "--undecided" if self.may_ask else "these files cannot tell them"
        return "\n".join([*lines, f"{left:>8} rows without a chosen side are left out: {why}"] if left else lines)

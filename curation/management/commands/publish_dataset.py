from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Mapping
from typing import Any

from annotate.management.base import VerbCommand
from curation.services import publishing, verbs, versions


class Command(VerbCommand):
    help = "Pushes a version's card and Parquet files to the Hugging Face hub; TIEBREAK_HUB_PUSH=1 allows it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("version", help="NAME@VERSION")
        parser.add_argument("--to", required=True, metavar="ORGANISATION/NAME", help="made where it is missing")
        parser.add_argument("--private", action="store_true", help="where it is made: for its members alone")
        parser.add_argument("--include-test", action="store_true", help="the protected test split too")
        parser.add_argument("--force", action="store_true", help="though judgements are simulated")

    def perform(self, *, version: str, to: str, **options: Any) -> Mapping[str, Any]:
        given = {name: options[name] for name in ("private", "include_test", "force")}
        return publishing.publish(verbs.ready(versions.named(version)), to=to, **given)

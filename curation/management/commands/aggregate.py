from __future__ import annotations

from argparse import ArgumentParser

from curation.management.base import RunCommand
from curation.stats import METHODS


class Command(RunCommand):
    help = "Aggregates judgements into consensus and rater skill."
    verb = "aggregate"

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--method", help=f"auto (default), or one of {', '.join(METHODS)}")

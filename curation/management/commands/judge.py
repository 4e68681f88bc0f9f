from __future__ import annotations

from argparse import ArgumentParser

from curation.management.base import RunCommand


class Command(RunCommand):
    help = "Runs a judge over the comparisons that it has not judged, in both orders."
    verb = "judge"

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--judge", required=True, help="the judge's name")
        parser.add_argument("--limit", type=int, help="at most so many comparisons")
        parser.add_argument("--budget", help="stop when so much money is spent")
        parser.add_argument("--routed", action="store_true", help="only what the router buys of this judge")

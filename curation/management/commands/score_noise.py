from __future__ import annotations

from argparse import ArgumentParser

from curation.management.base import RunCommand
from curation.services.noise import HERE


class Command(RunCommand):
    help = "Scores how probable it is that each label is wrong, with the cause."
    verb = "noise"

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--method", help=f"{', '.join(HERE)}, or all (default)")

from __future__ import annotations

from argparse import ArgumentParser

from curation.management.base import RunCommand


class Command(RunCommand):
    help = "Generates rubrics by contrasting preferred and rejected completions, with their evidence."
    verb = "rubrics"

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--judge", required=True, help="the judge whose backend writes and tries them")
        parser.add_argument("--name", help="of the rubric; a name that is taken gets a new version")
        parser.add_argument("--examples", type=int, help="comparisons to contrast")
        parser.add_argument("--threshold", type=float, help="keep criteria that are right at least this often")

from __future__ import annotations

from argparse import ArgumentParser

from curation.management.base import RunCommand


class Command(RunCommand):
    help = "Embeds the prompts and completions that have no vector yet, so that similar comparisons can be found."
    verb = "embed"

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--encoder", help="minilm (default), or hf:FOLDER_OR_HUB_ID")

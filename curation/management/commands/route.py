from __future__ import annotations

from argparse import ArgumentParser

from curation.management.base import RunCommand


class Command(RunCommand):
    help = "Decides for each open comparison whether people or a judge answer it."
    verb = "route"

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--policy",
            help="a kind (uncertainty, expected-gain, adaptive-overlap, random), NAME or NAME@VERSION of the project's "
            "own, or active (default): those that are switched on, and uncertainty for the rest",
        )
        parser.add_argument(
            "--budget", type=int, help="people's judgements that may be asked for; default: what the ledger has left"
        )
        parser.add_argument("--exploration", type=float, help="share of the budget drawn at random; default 0.05")
        parser.add_argument("--audit", type=float, help="share of the budget that checks the judges; default 0.05")
        parser.add_argument("--seed", type=int, help="of what is drawn; the same one draws the same")
        parser.add_argument("--simulate", action="store_true", help="show what it would do on what is collected")

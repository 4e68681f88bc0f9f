from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Mapping
from typing import Any

from django.core.management.base import CommandParser

from annotate.management.base import VerbCommand
from curation.management.base import finished
from curation.services import verbs


class Command(VerbCommand):
    help = "Measures a reward model on a benchmark: accuracy with interval, calibration, and the length baseline."

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """`MODEL --benchmark B PATH`: argparse gives an optional positional away before it has seen what follows."""
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        parser.parse_args = parser.parse_intermixed_args  # type: ignore[method-assign]
        return parser

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("model")
        parser.add_argument("--benchmark", default="pairs", help="pairs: JSON Lines of prompt, chosen, rejected")
        parser.add_argument("path", nargs="?", help="the benchmark's file; none: the test split of the model's version")

    def perform(self, *, model: str, benchmark: str, path: str | None, **options: Any) -> Mapping[str, Any]:
        found = verbs.model_named(model)
        given = {"model": model, "benchmark": benchmark, "path": path}
        return finished(verbs.run_here("evaluate", found.project, given, say=self.say))

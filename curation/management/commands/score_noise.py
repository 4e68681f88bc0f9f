from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Mapping
from typing import Any

from annotate.management.base import project_named
from curation.management.base import RunCommand, finished
from curation.noise import METHODS
from curation.services import verbs
from curation.services.noise import HERE

TRAINED = tuple(name for name in METHODS if name not in HERE)


class Command(RunCommand):
    help = "Scores how probable it is that each label is wrong, with the cause."
    verb = "noise"

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--method",
            default="all",
            help=f"{', '.join(HERE)}, or all of these (default); {', '.join(TRAINED)}, or trained: all of these",
        )
        parser.add_argument("--seed", type=int, default=0, help="of the methods that train")

    def perform(self, *, project: str, method: str = "all", seed: int = 0, **options: Any) -> Mapping[str, Any]:
        if method != "trained" and method not in TRAINED:
            return super().perform(project=project, method=method, **options)
        given = {"method": "all" if method == "trained" else method, "seed": seed}
        return finished(verbs.run_here("noise-training", project_named(project), given, say=self.say))

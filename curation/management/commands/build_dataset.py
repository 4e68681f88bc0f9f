from __future__ import annotations

import json
import tomllib
from argparse import ArgumentParser
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from annotate.management.base import VerbCommand, project_named
from curation.management.base import finished
from curation.services import building
from tiebreak.runs import ledger


class Command(VerbCommand):
    help = "Builds a new immutable version of a dataset; says what each rule dropped and why."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("name", help="the dataset's name; made where it is new")
        parser.add_argument("--project", required=True)
        parser.add_argument("--recipe", type=Path, help="TOML or JSON file; none: the default recipe")

    def perform(self, *, name: str, project: str, recipe: Path | None, **options: Any) -> Mapping[str, Any]:
        version = building.start(name, project_named(project), _read(recipe), by=None, wake=False)
        run = ledger.execute(version.run_id or 0, say=self.say)
        if run is None:
            raise CommandError(f"Run {version.run_id} was taken by another worker.", returncode=1)
        return finished(run)

    def tell(self, result: Mapping[str, Any]) -> str:
        dropped = ", ".join(f"{rule} {n}" for rule, n in result["dropped"].items()) or "nothing"
        rows = ", ".join(f"{split} {n}" for split, n in result["counts"].items())
        return f"{result['version']}  {result['rows_sha256'][:16]}…  rows: {rows}; dropped: {dropped}"


def _read(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        text = path.read_text("utf-8")
        recipe = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise CommandError(f"--recipe {path}: {error}", returncode=1) from None
    if not isinstance(recipe, dict):
        raise CommandError(f"--recipe {path}: expected an object with the recipe's fields", returncode=1)
    return recipe

"""Commands of the curation verbs: each runs its verb here and tells its result."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Mapping
from typing import Any, ClassVar

from django.core.management.base import CommandError

from annotate.management.base import VerbCommand, project_named
from curation.services import verbs
from tiebreak.runs.models import Run


class RunCommand(VerbCommand):
    """A verb on one project. `verb` names it; options whose names are the verb's parameters are passed on."""

    verb: ClassVar[str]

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("project", help="slug")

    def perform(self, *, project: str, **options: Any) -> Mapping[str, Any]:
        fields = verbs.VERBS[self.verb][0].model_fields
        given = {name: options[name] for name in fields if name in options}
        return finished(verbs.run_here(self.verb, project_named(project), given, say=self.say))


def finished(run: Run) -> dict[str, Any]:
    """A run's result for the terminal; a run that failed is the command's failure, with its reason."""
    if run.status != Run.Status.SUCCEEDED:
        raise CommandError(
            f"{run} is {run.status}: {(run.error or {}).get('message', 'no reason given')}", returncode=1
        )
    seconds = (run.finished_at - run.started_at).total_seconds() if run.finished_at and run.started_at else None
    return {"run": run.pk, **run.result, "run_seconds": round(seconds, 2) if seconds is not None else None}

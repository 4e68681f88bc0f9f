"""`manage.py import_comparisons PROJECT FILE [--format F] [--create]`."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from annotate import formats
from annotate.management.base import VerbCommand, project_named
from annotate.services import importing
from annotate.services.projects import create_project
from tiebreak.accounts.models import Membership, Project
from tiebreak.core.errors import Conflict, Invalid
from tiebreak.runs import ledger, store
from tiebreak.runs.models import Run


class Command(VerbCommand):
    help = "Import comparisons and their judgements from a file: JSON Lines, CSV or Parquet, gzipped or not."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("project", metavar="PROJECT")
        parser.add_argument("file", metavar="FILE", type=Path)
        parser.add_argument("--format", default=formats.DEFAULT, help=f"one of {', '.join(formats.FORMATS)}")
        parser.add_argument("--create", action="store_true", help="make the project where there is none")

    def perform(self, *, project: str, file: Path, format: str, create: bool, **options: Any) -> Mapping[str, Any]:
        try:
            opened = file.open("rb")
        except OSError as error:
            raise Invalid(f"{file}: {error.strerror}.", code="no_file", field="file") from None
        with opened:
            importing.parser_of(format)
            if create and not Project.objects.filter(slug=project).exists():
                create_project(project, by=None)
            run = importing.start_import(
                project_named(project), opened, format=format, by=None, filename=file.name, wake=False
            )
        done = ledger.execute(run.pk, say=self.say) or run
        if done.status != Run.Status.SUCCEEDED:
            raise Conflict(f"The import is {done.status}, as run {done.pk}; start it again to go on.", code="not_done")
        rejects = done.artifacts.filter(name=importing.REJECTS).select_related("artifact").first()
        kept = str(store.path_of(rejects.artifact.sha256)) if rejects else None
        members = Membership.objects.filter(project__slug=project).count()
        return {"project": project, "run": done.pk, **done.result, "rejects": kept, "members": members}

    def tell(self, result: Mapping[str, Any]) -> str:
        line = super().tell({key: result[key] for key in ("created", "updated", "unchanged", "rejected")})
        line += f"; judgements created {result['judgements_created']}, revised {result['judgements_revised']}"
        for reject in result["first_rejects"][:5]:
            line += f"\n  line {reject['line']}, {reject['field']}: {reject['message']}"
        if result["rejects"]:
            left_out = result["rejects_left_out"]
            line += f"\n  rejected rows: {result['rejects']}" + (f", but for the last {left_out:,}" if left_out else "")
        if not result["members"]:
            name = result["project"]
            line += f"\n  nobody is a member of {name} yet: manage.py create_user NAME --project {name} --role owner"
        return line

    def failure(self, result: Mapping[str, Any]) -> str | None:
        went_in = result["created"] + result["updated"] + result["unchanged"]
        return "Every row was refused." if result["rejected"] and not went_in else None

"""`manage.py create_judge PROJECT NAME --kind K --model M …`."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Mapping
from typing import Any

from annotate.management.base import VerbCommand, project_named
from annotate.models import Rubric
from annotate.services import raters
from tiebreak.accounts.models import Project
from tiebreak.core.errors import NotFound


class Command(VerbCommand):
    help = "Sets up a judge; a name that is taken gets a new version."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("project", help="slug")
        parser.add_argument("name")
        parser.add_argument("--kind", default="pairwise", help=f"one of {', '.join(raters.KINDS)}")
        parser.add_argument("--model", default="", help="what the server calls it, or the name of a reward model")
        parser.add_argument("--backend", default="openai", help=f"one of {', '.join(raters.BACKENDS)}")
        parser.add_argument("--base-url", default="", help="of an OpenAI-compatible server: https://…/v1")
        parser.add_argument(
            "--api-key-env", default="", help="name of the worker's variable with the key, never the key"
        )
        parser.add_argument("--rubric", help="NAME of an approved rubric, for --kind rubric")
        parser.add_argument("--price-prompt", default="0", help="per million tokens")
        parser.add_argument("--price-completion", default="0", help="per million tokens")

    def perform(self, *, project: str, name: str, rubric: str | None, **options: Any) -> Mapping[str, Any]:
        found = project_named(project)
        given = ("kind", "model", "backend", "base_url", "api_key_env", "price_prompt", "price_completion")
        judge = raters.create_judge(
            found,
            by=None,
            name=name,
            rubric=_rubric(found, rubric) if rubric else None,
            **{field: options[field] for field in given},
        )
        return {"project": project, "judge": judge.name, "version": judge.version, "rater": str(judge)}


def _rubric(project: Project, name: str) -> Rubric:
    rubrics = Rubric.objects.filter(project=project).order_by("-version")
    rubric = rubrics.filter(name=name, status=Rubric.Status.APPROVED).first()
    if rubric is None:
        known = ", ".join(sorted(set(rubrics.values_list("name", flat=True)))) or "none yet"
        raise NotFound(f"There is no approved rubric {name!r} in {project.slug} (rubrics: {known}).", code="no_rubric")
    return rubric

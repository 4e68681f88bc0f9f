from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Mapping
from typing import Any

from django.core.management.base import CommandError

from annotate.management.base import VerbCommand, project_named
from annotate.models import Comparison, Rater
from curation.management.base import finished
from curation.services import withdrawing
from tiebreak.accounts.models import Project
from tiebreak.runs import ledger


class Command(VerbCommand):
    help = "Takes back all that a person said, or a comparison with its texts: says what would go; --apply does it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("project", help="slug")
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument("--rater", help="the name of the person")
        what.add_argument("--comparison", help="your own id of it")
        parser.add_argument("--reason", default="", help="why; it is kept, so it names nobody")
        parser.add_argument("--apply", action="store_true", help="do it: what is erased does not come back")

    def perform(
        self, *, project: str, rater: str | None, comparison: str | None, reason: str, apply: bool, **options: Any
    ) -> Mapping[str, Any]:
        subject = _subject(project_named(project), rater, comparison)
        if not apply:
            return {"applied": False, **withdrawing.preview(subject).told()}
        withdrawal = withdrawing.start(subject, reason, by=None, wake=False)
        run = ledger.execute(withdrawal.run_id or 0, say=self.say)
        if run is None:
            raise CommandError(f"Run {withdrawal.run_id} was taken by another worker.", returncode=1)
        return {"applied": True, **finished(run)}

    def tell(self, result: Mapping[str, Any]) -> str:
        lines = [f"{version}: {_counts(told)}" for version, told in result["versions"].items()]
        models = ", ".join(result["models_that_saw_it"])
        if not result["applied"]:
            head = f"Would take back {result['judgements']} judgements of {result['comparisons']} comparisons."
            lines = [head, *lines, "Nothing was done: --apply does it."]
        else:
            lines = ["Done.", *lines]
        if models:
            lines.append(f"Models that saw it, and cannot forget it: {models}")
        if learning := ", ".join(result.get("trainings_under_way", ())):
            lines.append(f"Being trained on what was read before: {learning}")
        return "\n".join(lines)


def _subject(project: Project, rater: str | None, comparison: str | None) -> withdrawing.Subject:
    found: withdrawing.Subject | None
    if rater is not None:
        found = (
            Rater.objects.select_related("project", "user")
            .filter(project=project, name=rater, kind="annotator")
            .first()
        )
    else:
        found = Comparison.objects.select_related("project").filter(project=project, external_id=comparison).first()
    if found is None:
        raise CommandError(
            f"There is no {'person' if rater else 'comparison'} {rater or comparison!r} in {project}.", returncode=1
        )
    return found


def _counts(told: Mapping[str, int]) -> str:
    return ", ".join(f"{key.replace('_', ' ')} {told[key]}" for key in sorted(told))

"""Withdrawals: a person takes back all that they said, or a text's author their text; out of the project, and out of
every version that holds it.

A withdrawal is a run that can be killed and started again at any point: first nothing of it counts any more, then the
versions are rewritten one by one, each in one transaction, and last the name or the texts are erased. What models have
learned cannot be taken out of them: the report names the models.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from django.db import transaction
from django.db.models import Count, Max, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext

from annotate.models import Adjudication, Comparison, Judgement, Rater
from curation.models import DatasetVersion, RewardModel, Withdrawal
from tiebreak.accounts.models import Project
from tiebreak.accounts.roles import Can
from tiebreak.core.errors import Conflict, Invalid, NotAllowed
from tiebreak.core.models import record
from tiebreak.core.text import TextError, clean_text
from tiebreak.runs import ledger
from tiebreak.runs.ledger import Execution
from tiebreak.runs.models import Run

from . import consensus, erasing, live, rewriting

AT_ONCE: Final = 5_000
POLL_SECONDS: Final = 1.0
READERS: Final = (
    "aggregate", "build", "duplicate", "embed", "import", "judge", "noise", "noise-training", "outline", "rubrics",
    "score",
)  # fmt: skip
"""Runs that may still hold, and write, what was read before the withdrawal. Training reads ready versions alone."""
Subject = Rater | Comparison


class Touched(NamedTuple):
    version: DatasetVersion
    changed: int
    """Rows that lose votes, and stay."""
    gone: int
    """Rows that go."""


class Plan(NamedTuple):
    """What a withdrawal does."""

    judgements: int
    """That count no more."""
    decisions: int
    """Of an adjudicator, that stand no more."""
    comparisons: int
    """That lose them; or one, that goes."""
    sharing: int
    """Other comparisons with the same prompt: it stays theirs."""
    versions: Sequence[Touched]
    models: Sequence[RewardModel]
    """Trained on these versions: they have seen it, and cannot forget it."""

    def told(self) -> dict[str, Any]:
        return {
            "judgements": self.judgements,
            "decisions": self.decisions,
            "comparisons": self.comparisons,
            "sharing_the_prompt": self.sharing,
            "versions": {
                str(t.version): {"rows_that_lose_votes": t.changed, "rows_that_go": t.gone} for t in self.versions
            },
            "models_that_saw_it": [model.name for model in self.models],
        }


def preview(subject: Subject) -> Plan:
    """What withdrawing it would do now; nothing is altered. Raises Conflict where it was withdrawn already."""
    told = _of(subject)
    _refuse_again(told)
    versions = []
    for version in rewriting.touched(told):
        gone = changed = 0
        for some in rewriting.edits(version, told):
            lost = sum(edit.line is None for edit in some)
            gone, changed = gone + lost, changed + len(some) - lost
        if gone or changed:
            versions.append(Touched(version, changed, gone))
    said, decided = _said(subject), _decided(subject)
    sharing = 0
    if isinstance(subject, Comparison):
        sharing = Comparison.objects.filter(prompt=subject.prompt_id).exclude(pk=subject.pk).count()
    return Plan(
        judgements=said.count(),
        decisions=decided.count(),
        comparisons=_comparisons(said, decided) if isinstance(subject, Rater) else 1,
        sharing=sharing,
        versions=versions,
        models=_models([t.version.pk for t in versions]),
    )


def _of(subject: Subject) -> Withdrawal:
    """The withdrawal of a subject, stored or not."""
    one = {"rater": subject} if isinstance(subject, Rater) else {"comparison": subject}
    kind = Withdrawal.Kind.RATER if isinstance(subject, Rater) else Withdrawal.Kind.COMPARISON
    stored = Withdrawal.objects.filter(**one).first()
    return stored or Withdrawal(project=subject.project, kind=kind, **one)


def _said(subject: Subject) -> Any:
    if isinstance(subject, Rater):
        return Judgement.objects.current().filter(rater=subject)
    return Judgement.objects.current().filter(comparison=subject)


def _decided(subject: Subject) -> QuerySet[Adjudication]:
    """Decisions that stand."""
    theirs = Adjudication.objects.of(subject) if isinstance(subject, Rater) else subject.adjudications.all()
    return theirs.filter(current=True)


def _comparisons(*said: QuerySet[Any]) -> int:
    return len(set().union(*(each.order_by().values_list("comparison", flat=True) for each in said)))


def _models(versions: Iterable[int]) -> list[RewardModel]:
    return list(RewardModel.objects.filter(version__in=list(versions)).order_by("name"))


def may(project: Project, by: Any) -> bool:
    """Whether somebody may withdraw data: managers of the project, and the machine's operator (None)."""
    return by is None or project.allows(by, Can.MANAGE)


def start(subject: Subject, reason: str, *, by: Any, wake: bool = True) -> Withdrawal:
    """Queue the withdrawal of a rater's judgements or of a comparison. Asked again it is a conflict, unless it failed.

    Raises NotAllowed, Invalid where there is no reason or the rater is a judge, Conflict. Locks the project.
    """
    project = subject.project
    if not may(project, by):
        raise NotAllowed(gettext("Only who manages the project may withdraw data."), code="role_too_small")
    if isinstance(subject, Rater) and subject.kind != Rater.Kind.ANNOTATOR:
        raise Invalid(gettext("A judge is a model: it has nothing to take back. Retire it instead."), field="rater")
    because = _reason(reason)
    with transaction.atomic():
        Project.objects.select_for_update(no_key=True).get(pk=project.pk)
        withdrawal = _of(subject)
        _refuse_again(withdrawal)
        withdrawal.reason, withdrawal.by = because, by if getattr(by, "pk", None) else None
        withdrawal.save()
        withdrawal.run = ledger.start(
            "withdraw", project=project, params={"withdrawal": withdrawal.pk}, by=by, wake=wake
        )
        withdrawal.save(update_fields=["run"])
        record("withdrawal.started", withdrawal, by=by, project=project, kind=withdrawal.kind)
    withdrawal.refresh_from_db()
    return withdrawal


def _refuse_again(withdrawal: Withdrawal) -> None:
    if withdrawal.run is not None and withdrawal.run.status not in (Run.Status.FAILED, Run.Status.CANCELLED):
        raise Conflict(gettext("This was withdrawn already."), code="withdrawn", run=withdrawal.run_id)


def _reason(given: str) -> str:
    try:
        reason = clean_text(given, field="reason").strip()
    except TextError as error:
        raise Invalid(str(error), field="reason") from error
    if not 1 <= len(reason) <= 1_000:
        raise Invalid(f"reason: expected 1 to 1000 characters, got {len(reason)}.", field="reason")
    return reason


# --- the run ----------------------------------------------------------------------------------------------------------


def run(execution: Execution) -> Mapping[str, Any]:
    """Params: withdrawal (id)."""
    withdrawal = Withdrawal.objects.select_related("project", "rater__user", "comparison", "by").get(
        pk=execution.params["withdrawal"]
    )
    affected = _silence(execution, withdrawal)
    _refresh(withdrawal.project, affected)
    _wait(execution, withdrawal.project, timezone.now())
    affected = _silence(execution, withdrawal)  # what came in between, from a submit that was under way
    _refresh(withdrawal.project, affected)
    _rewrite(execution, withdrawal)
    told = _erase(execution, withdrawal)
    rewriting.sweep(withdrawal)
    live.start_fit(withdrawal.project_id, timezone.now())
    return _report(withdrawal) | told


def _silence(execution: Execution, withdrawal: Withdrawal) -> list[int]:
    """Comparisons whose consensus is another now."""
    with transaction.atomic():
        execution.fence()
        if withdrawal.rater is None:
            erasing.silence_comparison(withdrawal.comparison, by=withdrawal.by)  # type: ignore[arg-type]
            return []
        decided = erasing.silence_rater(withdrawal.rater)
        judged = Judgement.objects.filter(rater=withdrawal.rater).values_list("comparison_id", flat=True)
        affected = sorted({*judged, *decided})
        erasing.reopen_unsaid(Comparison.objects.filter(pk__in=affected), by=withdrawal.by)
        return affected


def _refresh(project: Project, comparisons: Sequence[int]) -> None:
    """Consensus by the votes that are left. One writer at a time: this waits for its turn."""
    for start_ in range(0, len(comparisons), AT_ONCE):
        with transaction.atomic():
            consensus.locked(project.pk)
            live.refresh(project, comparisons[start_ : start_ + AT_ONCE])


def _wait(execution: Execution, project: Project, silenced: datetime) -> None:
    """Until no run is under way that began before, and may write what it had read: a build, a fit, an import.

    One whose worker died is not waited for: it begins anew, and reads anew.
    """
    while (
        busy := Run.objects.filter(
            project=project,
            kind__in=READERS,
            status=Run.Status.RUNNING,
            started_at__lt=silenced,
            lease_expires_at__gt=timezone.now(),
        )
        .exclude(pk=execution.run.pk)
        .first()
    ):
        execution.progress(0, note=f"waiting for {busy}")
        time.sleep(POLL_SECONDS)


def _rewrite(execution: Execution, withdrawal: Withdrawal) -> None:
    if unfinished := list(rewriting.unfinished(withdrawal)):
        ledger.reap()  # what a dead worker held is nobody's, or begins anew
        for version in unfinished:
            rewriting.discard(version)
    versions = list(rewriting.touched(withdrawal))
    for number, version in enumerate(versions):
        execution.progress(number, len(versions), note=str(version))
        rewriting.rewrite(execution, version, withdrawal)
    execution.progress(len(versions), len(versions))


def _erase(execution: Execution, withdrawal: Withdrawal) -> dict[str, int]:
    with rewriting.door():
        execution.fence()
        told = {"uploads": erasing.forget_uploads(withdrawal.project)}
        erasing.forget_examples(withdrawal.project)
        if withdrawal.rater is not None:
            erasing.erase_rater(withdrawal.rater)
        elif withdrawal.comparison is not None:
            told["sharing_the_prompt"] = erasing.erase_comparison(withdrawal.comparison)
        record("withdrawal.done", withdrawal, by=withdrawal.by, project=withdrawal.project_id, kind=withdrawal.kind)
    if withdrawal.comparison is not None:
        erasing.forget_features()
    return told


def _report(withdrawal: Withdrawal) -> dict[str, Any]:
    """What was done, from what it left behind: the same however often the run was killed."""
    counts = (
        withdrawal.tombstones.order_by()
        .values("version")
        .annotate(n=Count("pk"), gone=Count("pk", filter=Q(became="")), at=Max("at"))
    )
    found = {told["version"]: told for told in counts}
    versions = DatasetVersion.objects.filter(pk__in=found).select_related("dataset").defer("card", "statistics")
    learning = Run.objects.filter(kind="train", status=Run.Status.RUNNING, params__version__in=sorted(found))
    return {
        "withdrawal": withdrawal.pk,
        "kind": withdrawal.kind,
        "versions": {
            str(version): {
                "rows_that_lost_votes": found[version.pk]["n"] - found[version.pk]["gone"],
                "rows_that_went": found[version.pk]["gone"],
            }
            for version in versions.order_by("pk")
        },
        "models_that_saw_it": [model.name for model in _models(found)],
        "trainings_under_way": [
            str(run_)
            for run_ in learning.order_by("pk")
            if run_.started_at is None or run_.started_at <= found[run_.params["version"]]["at"]
        ],
    }

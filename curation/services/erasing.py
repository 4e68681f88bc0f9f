"""What leaves the project's tables in a withdrawal: what one person said, or the texts of one comparison.

`silence` comes first: from its commit on nothing counts any more. `erase` comes last, once no version needs to know the
name or the texts to find what it must take out. Both can be done again, and find nothing to do.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any, Final

from django.conf import settings
from django.db import connection
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from annotate.models import (
    Adjudication,
    Assignment,
    Comment,
    Comparison,
    Completion,
    Criterion,
    Flag,
    Image,
    JudgeCall,
    Judgement,
    Prompt,
    Rater,
    Review,
    Session,
    Trial,
)
from annotate.models.raters import withdrawn_name
from annotate.rendering import image_sources
from annotate.services import images
from annotate.services.pseudonyms import pseudonyms_of
from curation.models import ComparisonVector, Consensus, DroppedRow, NoiseDecision, NoiseScore, RaterSkill
from tiebreak.accounts.models import Membership, Project
from tiebreak.accounts.roles import Role
from tiebreak.api.models import IdempotentResponse
from tiebreak.core.transitions import move
from tiebreak.runs.models import Run, RunArtifact

from .rewriting import forget

GONE: Final = "withdrawn"
"""In the place of every text that was erased."""
BY_VOTES: Final = ("consensus-entropy", "rater-quality")
WORDS: Final = [
    "because",
    "both_bad",
    "cause",
    "justification",
    "name",
    "note",
    "preference",
    "reason",
    "resolution",
    "text",
]
"""Keys of audit events under which stands what somebody said."""
THEIRS: Final = [f"annotate.{name}" for name in (
    "adjudication", "assignment", "comment", "flag", "judgement", "review", "session", "trial",
)]  # fmt: skip


# --- all that one rater said ------------------------------------------------------------------------------------------


def silence_rater(rater: Rater) -> list[int]:
    """Nothing that the rater said counts or can be read from here on; their name stands until `erase_rater`.

    Locks the rater and what they hold. Call within a transaction. Returns the comparisons that they had decided as an
    adjudicator.
    """
    now = timezone.now()
    Project.objects.select_for_update(no_key=True).get(pk=rater.project_id)  # as imports do: they take turns
    Rater.objects.select_for_update().get(pk=rater.pk)
    Rater.objects.filter(pk=rater.pk, paused_at=None).update(paused_at=now)
    Rater.objects.filter(pk=rater.pk).update(paused_because=GONE)
    list(Assignment.objects.filter(rater=rater).order_by("comparison_id").select_for_update().values_list("pk"))
    decided = _silence_decisions(rater)
    if rater.user_id:
        _silence_member(rater.project, rater.user)
    Judgement.objects.filter(rater=rater).update(
        current=False, preference=None, both_bad=False, unparsed_because=GONE, probability_b=None, aspects={},
        ratings={}, confidence={}, checks={}, evidence=[], reasons=[], justification="", assignment=None, key=None,
    )  # fmt: skip
    Assignment.objects.filter(rater=rater).delete()
    Comment.objects.filter(Q(judgement__rater=rater) | Q(rater=rater)).delete()
    Review.objects.filter(judgement__rater=rater).delete()
    Flag.objects.filter(rater=rater).update(note="")
    for kept in (Trial, Session, RaterSkill):
        kept._default_manager.filter(rater=rater).delete()
    judged = Judgement.objects.filter(rater=rater).values("comparison")
    scores = NoiseScore.objects.filter(comparison__in=judged)
    scores.filter(method__in=BY_VOTES).delete()
    scores.filter(details__hits__contains=[{"place": "justification"}]).delete()  # quotes what was said
    return decided


def _silence_decisions(rater: Rater) -> list[int]:
    """Returns the comparisons whose decision stood."""
    theirs = Adjudication.objects.of(rater)
    of_theirs = Comparison.objects.filter(pk__in=theirs.values("comparison")).order_by("id")
    list(of_theirs.select_for_update(no_key=True).values_list("pk"))  # before the decisions, as whoever decides does
    decided = list(theirs.filter(current=True).values_list("comparison_id", flat=True))
    theirs.update(current=False, reason=GONE)
    return decided


def _silence_member(project: Project, user: Any) -> None:
    """What a member said beside judging and deciding, and their place as an annotator."""
    Comment.objects.filter(project=project, author=user).delete()
    Membership.objects.filter(project=project, user=user, role__in=[Role.ANNOTATOR, Role.ADJUDICATOR]).delete()
    IdempotentResponse.objects.filter(user=user).delete()


def reopen_unsaid(comparisons: QuerySet[Comparison], *, by: Any) -> int:
    """Comparisons that were concluded, and of which nobody says anything now, are open again. Returns how many."""
    said = Judgement.objects.current().filter(comparison=OuterRef("pk"))
    decided = Adjudication.objects.filter(comparison=OuterRef("pk"), current=True)
    bare = comparisons.filter(~Exists(said), ~Exists(decided))
    bare = bare.filter(status__in=[Comparison.Status.SETTLED, Comparison.Status.DISPUTED])
    opened = list(bare.order_by("id").select_for_update(of=("self",)))
    for comparison in opened:
        move(comparison, Comparison.Status.OPEN, by=by, project=comparison.project_id, event="comparison.reopened")
    return len(opened)


def erase_rater(rater: Rater) -> None:
    """Their name, wherever it stands. Alters the audit log: call within `rewriting.door`."""
    alias = withdrawn_name(rater.project_id, rater.name)
    name = rf"(^|: |, ){re.escape(rater.name)}(?= \()"
    where: dict[str, Any] = {
        "name": name,
        "alias": rf"\1{alias}",
        "quoted": QUOTED,
        "rater": rater.pk,
        "project": rater.project_id,
    }
    with connection.cursor() as cursor:
        for table, column, most, of in CAUSES:
            cursor.execute(_RENAME.format(table=table, column=column, of=of), where | {"most": most})
        cursor.execute(_RETURNED, where | {"words": WORDS})
        cursor.execute(
            _EVENTS + "target_type = 'annotate.rater' AND target_id = %s", [WORDS, rater.project_id, str(rater.pk)]
        )
        if rater.user_id:
            theirs = "actor_id = %s AND (target_type = ANY (%s) OR verb = 'comparison.adjudicated')"
            cursor.execute(_EVENTS + theirs, [WORDS, rater.project_id, rater.user_id, THEIRS])
            cursor.execute(_UNNAMED, [rater.project_id, rater.user_id, THEIRS])
    Adjudication.objects.of(rater).delete()
    Rater.objects.filter(pk=rater.pk).update(
        name=alias,
        user=None,
        former=_former(rater),
        skills=[],
        languages=[],
        daily_quota=None,
        practised_at=None,
        qualified_at=None,
    )


def _former(rater: Rater) -> list[str]:
    """What keeps an import from bringing them back under the names that they have in versions and exports."""
    if rater.user is None:
        return rater.former
    return [withdrawn_name(rater.project_id, name) for name in pseudonyms_of(rater.user.username, rater.project)]


CAUSES: Final = (
    ("curation_noisescore", "cause", 500, "comparison_id"),
    ("curation_noisedecision", "cause", 500, "comparison_id"),
    ("curation_droppedrow", "cause", 300, "comparison_id"),
    ("curation_routingdecision", "reason", 500, "comparison_id"),
    ("annotate_comparison", "returned_because", 300, "id"),
)
"""(table, column, its length, where the comparison is): why a label was doubted, and what came of the doubt."""
QUOTED: Final = "(in a justification): “.*"
# The causes of the rater-quality score call people "NAME (80%)", and a rule's end with what it quotes.
_JUDGED: Final = "SELECT comparison_id FROM annotate_judgement WHERE rater_id = %(rater)s"
_RENAME: Final = f"""
UPDATE {{table}} SET {{column}} = left(
    regexp_replace(regexp_replace({{column}}, %(name)s, %(alias)s, 'g'), %(quoted)s, '\\1'), %(most)s)
WHERE ({{column}} ~ %(name)s OR {{column}} ~ %(quoted)s) AND {{of}} IN ({_JUDGED})
"""  # noqa: S608 - our own words alone
_RETURNED: Final = f"""
UPDATE core_event SET data = data - %(words)s::text[]
WHERE project_id = %(project)s AND verb = 'comparison.returned' AND target_type = 'annotate.comparison'
    AND (data->>'reason' ~ %(name)s OR data->>'reason' ~ %(quoted)s)
    AND target_id IN (SELECT comparison_id::text FROM ({_JUDGED}) AS judged)
"""  # noqa: S608
_UNNAMED: Final = """
UPDATE core_event SET actor_id = NULL WHERE project_id = %s AND actor_id = %s AND target_type = ANY (%s)
"""
_EVENTS: Final = "UPDATE core_event SET data = data - %s::text[] WHERE project_id = %s AND "


# --- one comparison with its texts ------------------------------------------------------------------------------------


def silence_comparison(comparison: Comparison, *, by: Any) -> None:
    """Nobody is given it any more, and it counts no more; its texts stand until `erase_comparison`."""
    locked = Comparison.objects.select_for_update().get(pk=comparison.pk)
    if locked.status != Comparison.Status.WITHDRAWN:
        move(locked, Comparison.Status.WITHDRAWN, by=by, project=locked.project_id, event="comparison.withdrawn")
    held = Assignment.objects.filter(comparison=comparison, status__in=Assignment.HELD)
    held.update(status=Assignment.Status.RELEASED, expires_at=None, closed_at=timezone.now())
    Assignment.objects.filter(comparison=comparison).update(draft={}, skip_reason="")
    Consensus.objects.filter(comparison=comparison).delete()


def erase_comparison(comparison: Comparison) -> int:
    """Its texts, and whatever quotes them. Alters the audit log: call within `rewriting.door`.

    A prompt or completion that other comparisons share stays theirs. Returns how many of them share one.
    """
    said = Judgement.objects.filter(comparison=comparison)
    said.update(evidence=[], justification="", reasons=[])
    JudgeCall.objects.filter(comparison=comparison).update(raw="", reason="")
    Comment.objects.filter(comparison=comparison).delete()
    Flag.objects.filter(comparison=comparison).update(note="", resolution=GONE)
    Review.objects.filter(judgement__comparison=comparison).update(reason=GONE)
    Adjudication.objects.filter(comparison=comparison).update(reason=GONE)
    NoiseScore.objects.filter(comparison=comparison).delete()
    NoiseDecision.objects.filter(comparison=comparison).update(cause=GONE, details={})
    DroppedRow.objects.filter(comparison=comparison).update(cause=GONE)
    ComparisonVector.objects.filter(comparison=comparison).delete()
    _forget_evidence(comparison)
    with connection.cursor() as cursor:
        about = "target_type = 'annotate.comparison' AND target_id = %s"
        cursor.execute(_EVENTS + about, [WORDS, comparison.project_id, str(comparison.pk)])
    return _erase_texts(
        Comparison.objects.select_related("prompt", "completion_a", "completion_b").get(pk=comparison.pk)
    )


def _forget_evidence(comparison: Comparison) -> None:
    """Generated criteria name the comparisons that they were drawn from."""
    drawn = Criterion.objects.filter(rubric__project=comparison.project_id)
    for criterion in drawn.filter(evidence__contains=[{"comparison": comparison.external_id}]):
        criterion.evidence = [e for e in criterion.evidence if e.get("comparison") != comparison.external_id]
        criterion.save(update_fields=["evidence"])


def _erase_texts(comparison: Comparison) -> int:
    """Empty texts of its own in the place of the prompt and both completions, which go where nobody shares them."""
    old = (comparison.prompt, comparison.completion_a, comparison.completion_b)
    if comparison.content_sha256 == "":
        return 0
    texts = [*_contents(*old), comparison.context or "", comparison.reference or ""]
    prompt = Prompt.objects.create(
        project_id=comparison.project_id,
        messages=[{"role": "user", "content": GONE}],
        sha256=_own(comparison, "prompt"),
    )
    a, b = (
        Completion.objects.create(
            prompt=prompt, messages=[{"role": "assistant", "content": GONE}], text=GONE, sha256=_own(comparison, side)
        )
        for side in ("a", "b")
    )
    Comparison.objects.filter(pk=comparison.pk).update(
        prompt=prompt, completion_a=a, completion_b=b, reference=None, context=None, metadata={}, gold=None,
        gold_because="", returned_because="", content_sha256="", updated_at=timezone.now(),
    )  # fmt: skip
    shared = _delete_unshared(*old)
    _forget_images(comparison.project, texts)
    return shared


def _delete_unshared(prompt: Prompt, a: Completion, b: Completion) -> int:
    """Vectors go with them. Returns how many comparisons share the prompt."""
    for completion in (a, b):
        uses = Q(completion_a=completion) | Q(completion_b=completion)
        if not Comparison.objects.filter(uses).exists():
            completion.delete()
    shared = Comparison.objects.filter(prompt=prompt).count()
    if not shared:
        prompt.delete()
    return shared


def _contents(prompt: Prompt, a: Completion, b: Completion) -> list[str]:
    return [message["content"] for row in (prompt, a, b) for message in row.messages]


def _own(comparison: Comparison, part: str) -> str:
    """A hash that no text has, and no other comparison."""
    return hashlib.sha256(f"withdrawn/{comparison.pk}/{part}".encode()).hexdigest()


def _forget_images(project: Project, texts: list[str]) -> None:
    """Images that these texts name, and no other text of the project."""
    named = {source for text in texts for source in image_sources(text)}
    for image in Image.objects.filter(project=project, source__in=named):
        if not images.named_anywhere(project, image.source):
            sha256 = image.artifact_id
            image.delete()
            if sha256:
                forget(sha256)


# --- files ------------------------------------------------------------------------------------------------------------


def forget_uploads(project: Project) -> int:
    """What was imported, as it was uploaded, and the rows that were refused: they may hold what was withdrawn.

    Imports that have not succeeded keep theirs, to be tried again. Returns how many files went.
    """
    done = Run.objects.filter(project=project, kind="import", status=Run.Status.SUCCEEDED)
    refused = RunArtifact.objects.filter(run__in=done)
    named = {params.get("artifact") for params in done.values_list("params", flat=True)} - {None}
    waiting = Run.objects.filter(project=project, kind="import").exclude(status=Run.Status.SUCCEEDED)
    named -= {params.get("artifact") for params in waiting.values_list("params", flat=True)}
    named |= set(refused.values_list("artifact_id", flat=True))
    refused.delete()
    return sum(forget(sha256) for sha256 in sorted(named))


def forget_examples(project: Project) -> None:
    """What counts of recipes show of what they drop: causes name people and quote texts. The counts stay."""
    for run in Run.objects.filter(project=project, kind="outline").exclude(result=None):
        if run.result.get("examples"):
            Run.objects.filter(pk=run.pk).update(result=run.result | {"examples": {}})


def forget_features() -> None:
    """The cache of features on disk, which knows texts by their hash alone. It fills again as it is needed."""
    folder = settings.ENV.data_dir / "features"
    for path in folder.glob("*/*.f32"):
        path.unlink(missing_ok=True)

"""A project's comparisons as import rows: what goes out comes in again, into an empty project, without loss.

Texts, generators, gold, metadata, needs, what each rater says and said before, with order, time, aspects, marks and
checks, and what adjudicators decided. How the work is set up (form, guidelines, rubrics) and what is under way (seats,
drafts, reviews, flags) is not of a row. People who sign in appear under the pseudonym that they have in versions;
withdrawn comparisons stay behind.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from django.db.models import Prefetch, QuerySet

from annotate.models import Adjudication, Comparison, Completion, Judgement, Lane, Prompt, Rater
from annotate.models.assignments import Order
from annotate.services.pseudonyms import adjudicator_name, public_name
from annotate.services.rubrics import criteria_of, in_words
from curation.exports.files import ndjson_line
from tiebreak.accounts.models import Project
from tiebreak.runs.store import whole_file

CHUNK = 500


def found(project: Project) -> QuerySet[Comparison]:
    """The comparisons that are carried, in the order in which they came."""
    return Comparison.objects.filter(project=project).exclude(status=Comparison.Status.WITHDRAWN).order_by("id")


def left_behind(project: Project) -> int:
    """Comparisons that are not carried. While there are as many, a line that was told stays where it was."""
    return Comparison.objects.filter(project=project, status=Comparison.Status.WITHDRAWN).count()


def lines(project: Project, *, skip: int = 0) -> Iterator[bytes]:
    """Rows as NDJSON lines, streamed in flat memory, after `skip` lines. A row tells only what there is."""
    lanes = {lane.number: lane for lane in Lane.objects.filter(project=project)}
    criteria = criteria_of(project)
    said = Judgement.objects.select_related("rater__user").order_by("revision")
    decided = Adjudication.objects.select_related("by", "rater__user").order_by("id")
    comparisons = (
        found(project)
        .select_related("prompt", "completion_a", "completion_b")
        .prefetch_related(
            Prefetch("judgements", said, to_attr="said"), Prefetch("adjudications", decided, to_attr="decided")
        )
    )
    for comparison in comparisons[skip:].iterator(chunk_size=CHUNK):
        yield ndjson_line(_row(comparison, lanes.get(comparison.lane), project, criteria))


def write(project: Project, path: Path) -> dict[str, Any]:
    """All lines into a file, which appears under its name only when complete. Raises Unavailable where it cannot."""
    rows = 0
    with whole_file(path) as file:
        for line in lines(project):
            file.write(line)
            rows += 1
    return {"project": project.slug, "rows": rows, "sha256": file.digest.hexdigest(), "file": str(path)}


def _row(comparison: Comparison, lane: Lane | None, project: Project, criteria: Mapping[str, str]) -> dict[str, Any]:
    texts: dict[str, Any] = {"id": comparison.external_id, "prompt": _turns(comparison.prompt)}
    for side, completion in (("a", comparison.completion_a), ("b", comparison.completion_b)):
        texts[f"completion_{side}"] = _turns(completion)
        texts |= _there({f"generator_{side}": completion.generator, f"id_{side}": completion.external_id})
        texts |= _known({f"rank_{side}": completion.rank, f"score_{side}": completion.score})
    known = {"reference": comparison.reference, "context": comparison.context, "gold": comparison.gold}
    more = {
        "gold_because": comparison.gold_because,
        "metadata": comparison.metadata,
        "skills": lane.skills if lane else [],
        "language": lane.language if lane else "",
        "priority": comparison.priority or None,
        "judgements": _said(comparison, project, criteria),
        "adjudications": _decided(comparison, project),
    }
    return {**texts, "group": comparison.group, **_known(known), **_there(more)}


def _known(values: Mapping[str, Any]) -> dict[str, Any]:
    """Without those that are not known; nought and an empty text are."""
    return {key: value for key, value in values.items() if value is not None}


def _there(values: Mapping[str, Any]) -> dict[str, Any]:
    """Those that say something: what is left out is read as empty."""
    return {key: value for key, value in values.items() if value}


def _turns(text: Prompt | Completion) -> str | list[dict[str, str]]:
    """As it came: a text, or messages."""
    messages = [{"role": str(m["role"]), "content": str(m["content"])} for m in text.messages]
    return messages[0]["content"] if text.is_text else messages


def _said(comparison: Comparison, project: Project, criteria: Mapping[str, str]) -> list[dict[str, Any]]:
    """By rater and reading: the order does not depend on who answered first, nor on a database's collation."""
    said: list[Judgement] = comparison.said  # type: ignore[attr-defined]  # prefetched by `lines`
    before: dict[tuple[int, int], list[dict[str, Any]]] = {}
    for judgement in said:
        if not judgement.current:
            before.setdefault((judgement.rater_id, judgement.repeat), []).append(_judgement(judgement, criteria))
    named = [(public_name(judgement.rater, project), judgement) for judgement in said if judgement.current]
    told = []
    for name, judgement in sorted(named, key=_place):
        whose = {"rater": name, "kind": judgement.rater.kind}
        more = {
            "simulated": judgement.rater.simulated,
            "revised": before.get((judgement.rater_id, judgement.repeat)),
        }
        told.append(whose | _judgement(judgement, criteria) | _there(more))
    return told


def _decided(comparison: Comparison, project: Project) -> list[dict[str, Any]]:
    """In their order: the last one stands, where it was not undone."""
    decisions: list[Adjudication] = comparison.decided  # type: ignore[attr-defined]  # prefetched by `lines`
    return [
        {"adjudicator": adjudicator_name(each, project), "preference": each.preference, "reason": each.reason}
        | {"decided_at": _moment(each.created_at)}
        | _there({"both_bad": each.both_bad, "undone": each is decisions[-1] and not each.current})
        | _there({"simulated": each.rater is not None and each.rater.simulated})
        for each in decisions
    ]


def _place(named: tuple[str, Judgement]) -> tuple[str, str, bool, int]:
    """A judge's readings with b first come after its others: an import numbers them so."""
    name, judgement = named
    b_first = judgement.rater.kind == Rater.Kind.JUDGE and judgement.order == Order.BA
    return judgement.rater.kind, name, b_first, judgement.repeat


def _judgement(judgement: Judgement, criteria: Mapping[str, str]) -> dict[str, Any]:
    """What was said, without whose it is."""
    times = {"seconds": judgement.seconds, "probability_b": judgement.probability_b}
    more = {
        "both_bad": judgement.both_bad,
        "unparsed_because": judgement.unparsed_because,
        "aspects": judgement.aspects,
        "ratings": judgement.ratings,
        "confidence": judgement.confidence,
        "checks": dict(sorted(in_words(judgement, criteria).items())),
        "evidence": judgement.evidence,
        "reasons": judgement.reasons,
        "justification": judgement.justification,
        "order": judgement.order,
        "submitted_at": _moment(judgement.submitted_at),
    }
    return {"preference": judgement.preference} | _known(times) | _there(more)


def _moment(when: datetime) -> str:
    return when.isoformat().replace("+00:00", "Z")

"""Copying a project: what it asks at once, its comparisons in a run; nothing of what was said about them.

The run copies in the order of the source's ids, a batch a transaction, and what is there is skipped by its natural
key (the text's hash, the user's own id): a run that was killed goes on, and one that is repeated changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from django.db import connection, transaction
from django.db.models import Model

from annotate.models import Comparison, Completion, Criterion, Form, Image, Lane, Prompt, Rater, Rubric
from tiebreak.accounts.models import Membership, Project
from tiebreak.accounts.roles import Can
from tiebreak.core.errors import Invalid, NotAllowed
from tiebreak.core.models import record
from tiebreak.runs import ledger
from tiebreak.runs.models import Run

from . import asked, lanes
from .projects import create_project, current_form

BATCH: Final = 2000
MAX_SLUG: Final = 64


def duplicate(
    source: Project,
    *,
    by: Any,
    slug: str,
    name: str = "",
    comparisons: bool = False,
    members: bool = False,
    wake: bool = True,
) -> tuple[Project, Run | None]:
    """A new project that asks what `source` asks now, owned by `by`; and the run that copies its comparisons, if any.

    Raises NotAllowed for who may not curate the source, or not manage it where its members are to come along.
    """
    if not source.allows(by, Can.MANAGE if members else Can.CURATE):
        raise NotAllowed("Your role in this project does not allow this copy.", code="role_too_small")
    old = current_form(source)
    with transaction.atomic():
        given = asked.values(old) | {"rubric": None, "checklist": False}
        copy = create_project(slug, name or source.name, by=by, description=source.description, **given)
        Project.objects.filter(pk=copy.pk).update(budget=source.budget)
        if old.rubric is not None:
            rubric = _copy_rubric(old.rubric, copy)
            Form.objects.filter(project=copy).update(rubric=rubric, checklist=old.checklist)
        if members:
            _copy_members(source, copy, by)
        run = None
        if comparisons:
            run = ledger.start("duplicate", project=copy, params={"source": source.pk}, by=by, wake=wake)
        record("project.duplicated", copy, by=by, project=copy, source=source.pk, form=old.number, members=members)
    return copy, run


def free_slug(slug: str) -> str:
    """A short name like `slug` that no project has yet, as a suggestion."""
    stem = re.sub(r"-copy(-\d+)?\Z", "", slug)[: MAX_SLUG - 10]
    taken = set(Project.objects.filter(slug__startswith=f"{stem}-copy").values_list("slug", flat=True))
    names = (f"{stem}-copy" if n == 1 else f"{stem}-copy-{n}" for n in range(1, len(taken) + 2))
    return next(name for name in names if name not in taken)


def run(execution: ledger.Execution) -> Mapping[str, Any]:
    """The handler of kind "duplicate": copies the comparisons of params["source"] into the run's project."""
    copy, source = execution.run.project, Project.objects.filter(pk=execution.params["source"]).first()
    if copy is None or source is None:
        raise Invalid("The project that is to be copied is gone.", code="source_gone")
    by = execution.run.created_by
    if by is not None and not source.allows(by, Can.CURATE):  # their role went while the run waited
        raise NotAllowed("Your role in the copied project does not allow this any more.", code="role_too_small")
    whole = Comparison.objects.filter(project=source).order_by("id").values_list("id", flat=True)
    total, done, created, last = whole.count(), 0, 0, 0
    while ids := list(whole.filter(id__gt=last)[:BATCH]):
        created += _copy_batch(execution, source, copy, ids)
        last, done = ids[-1], done + len(ids)
        execution.progress(done, total, note=f"{created:,} comparisons copied")
    if current_form(copy).number > 1:  # the copy was changed meanwhile: its queue follows its own form
        lanes.rearrange(copy, by=by)
    record("comparisons.duplicated", execution.run, by=by, project=copy, source=source.pk, created=created)
    return {"created": created, "unchanged": done - created}


def _copy_batch(execution: ledger.Execution, source: Project, copy: Project, ids: list[int]) -> int:
    """Copy comparisons by id, with all that they stand on. Holds the copy's row: imports into it wait their turn."""
    given: dict[str, Any] = {"source": source.pk, "copy": copy.pk, "ids": ids, "run": execution.run.pk}
    with transaction.atomic(), connection.cursor() as cursor:
        execution.fence()
        Project.objects.select_for_update(no_key=True).get(pk=copy.pk)
        given["overlap"] = current_form(copy).overlap
        for statement in (_lanes(), _images(), _prompts(), _completions(), _comparisons()):
            cursor.execute(statement, given)
        return int(cursor.rowcount)


def _insert(model: type[Model], origin: str, **instead: str) -> str:
    """INSERT … SELECT of a model's rows `o`, with expressions instead of some columns; rows that are there stay."""
    fields = [f for f in model._meta.concrete_fields if not (f.primary_key or f.generated)]
    names = ", ".join(f'"{f.column}"' for f in fields)
    taken = ", ".join(instead.get(f.attname, f'o."{f.column}"') for f in fields)
    into = f"INSERT INTO {model._meta.db_table} ({names})"
    return f"{into} SELECT {taken} FROM {origin} ON CONFLICT DO NOTHING"  # noqa: S608 - columns and our own words


_NEW_PROMPT: Final = """
JOIN annotate_prompt op ON op.id = o.prompt_id
JOIN annotate_prompt np ON np.project_id = %(copy)s AND np.sha256 = op.sha256"""
_SAME_LANE: Final = "n.project_id = %(copy)s AND (n.skills, n.language, n.stratum) = (o.skills, o.language, o.stratum)"


def _lanes() -> str:
    """Lanes that the copy lacks, numbered on from its own."""
    same = f"SELECT FROM annotate_lane n WHERE {_SAME_LANE}"
    origin = f"annotate_lane o WHERE o.project_id = %(source)s AND NOT EXISTS ({same})"
    most = "(SELECT coalesce(max(number), 0) FROM annotate_lane WHERE project_id = %(copy)s)"
    return _insert(Lane, origin, project_id="%(copy)s", number=f"{most} + row_number() OVER (ORDER BY o.number)")


def _images() -> str:
    return _insert(Image, "annotate_image o WHERE o.project_id = %(source)s", project_id="%(copy)s")


def _prompts() -> str:
    mine = "SELECT prompt_id FROM annotate_comparison WHERE id = ANY(%(ids)s)"
    return _insert(Prompt, f"annotate_prompt o WHERE o.id IN ({mine})", project_id="%(copy)s")


def _completions() -> str:
    mine = "SELECT unnest(ARRAY[completion_a_id, completion_b_id]) FROM annotate_comparison WHERE id = ANY(%(ids)s)"
    return _insert(Completion, f"annotate_completion o {_NEW_PROMPT} WHERE o.id IN ({mine})", prompt_id="np.id")


def _comparisons() -> str:
    """Open and unjudged, on the copy's own rows; what was withdrawn stays withdrawn."""
    sides = "".join(
        f"""
JOIN annotate_completion o{side} ON o{side}.id = o.completion_{side}_id
JOIN annotate_completion n{side} ON n{side}.prompt_id = np.id AND n{side}.sha256 = o{side}.sha256
    AND n{side}.generator = o{side}.generator"""
        for side in "ab"
    )
    lane = """
LEFT JOIN annotate_lane ol ON ol.project_id = o.project_id AND ol.number = o.lane
LEFT JOIN annotate_lane nl ON nl.project_id = %(copy)s
    AND (nl.skills, nl.language, nl.stratum) = (ol.skills, ol.language, ol.stratum)"""
    return _insert(
        Comparison,
        f"annotate_comparison o {_NEW_PROMPT}{sides}{lane} WHERE o.id = ANY(%(ids)s)",
        project_id="%(copy)s",
        prompt_id="np.id",
        completion_a_id="na.id",
        completion_b_id="nb.id",
        status="CASE o.status WHEN 'withdrawn' THEN 'withdrawn' ELSE 'open' END",
        route="'human'",
        priority="CASE WHEN o.returned_because = '' THEN o.priority ELSE 0 END",
        overlap="%(overlap)s",
        seats_taken="0",
        lane="coalesce(nl.number, 0)",
        returned_because="''",
        import_run_id="%(run)s",
        created_at="now()",
        updated_at="now()",
    )


def _copy_rubric(rubric: Rubric, copy: Project) -> Rubric:
    """The rubric as version 1 in the copy, approved as it was, its evidence left behind with the comparisons."""
    criteria = list(rubric.criteria.all())
    made = Rubric.objects.create(
        project=copy,
        name=rubric.name,
        version=1,
        status=rubric.status,
        evidence=rubric.evidence,
        approved_by=rubric.approved_by,
        approved_at=rubric.approved_at,
    )
    Criterion.objects.bulk_create(
        Criterion(rubric=made, position=c.position, kind=c.kind, text=c.text, weight=c.weight) for c in criteria
    )
    return made


def _copy_members(source: Project, copy: Project, by: Any) -> None:
    """Members with their roles (whoever copies is an owner), annotators with their skills, languages and quota."""
    others = source.members.exclude(user_id=by.pk)
    Membership.objects.bulk_create(Membership(project=copy, user_id=m.user_id, role=m.role) for m in others)
    people = Rater.objects.filter(project=source, user__memberships__project=source)
    Rater.objects.bulk_create(
        Rater(
            project=copy,
            kind=rater.kind,
            name=rater.name,
            user_id=rater.user_id,
            skills=rater.skills,
            languages=rater.languages,
            daily_quota=rater.daily_quota,
        )
        for rater in people
    )

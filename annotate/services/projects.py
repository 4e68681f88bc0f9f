"""Projects as annotators meet them: making one with its first form, and changing what is asked.

What a change does to work that has begun is told in docs/forms.md; `effects` counts it before anybody saves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.db import transaction
from django.db.models import Case, F, Max, QuerySet, SmallIntegerField, Value, When
from django.db.models.functions import Abs, Greatest, Least

from annotate.models import Assignment, Comparison, Form, Judgement
from annotate.models.forms import MAX_LEVELS
from tiebreak.accounts.models import Membership, Project
from tiebreak.accounts.roles import Can, Role, roles_that
from tiebreak.core.errors import Conflict, Invalid, NotAllowed
from tiebreak.core.models import record
from tiebreak.core.text import TextError, clean_text
from tiebreak.runs import ledger

from . import asked

BATCH: Final = 5000
MANY: Final = 100_000
COUNTED: Final = 10_000  # people are told "more than" beyond it, so that a page never counts for long


@dataclass(frozen=True)
class Effects:
    """What saving a form would do to work that has begun. Counts stop at COUNTED + 1."""

    changes: Sequence[asked.Change]
    held: int
    """Comparisons that annotators have before them or fetched ahead: answered under the form they were leased with."""
    reseated: int
    """Comparisons that get another number of seats."""
    kept: int
    """Judgements made under the form of now, which keep it."""
    stronger: int
    """Judgements whose strength the new form does not offer: kept as they are."""
    golds: int
    """Comparisons whose answer is known."""
    sorted_anew: bool
    """The queue gets another order, or other parts."""

    @property
    def changed(self) -> frozenset[str]:
        return frozenset(change.field for change in self.changes)


def create_project(slug: str, name: str = "", *, by: Any, description: str = "", **form: Any) -> Project:
    """A new project with form 1, owned by `by` (None: the machine's operator, nobody is a member yet).

    `form` overrides what the form asks (see asked.FIELDS). Raises Invalid naming the field, Conflict where the slug
    is taken.
    """
    project = Project(slug=slug, name=_text(name or slug, "name", 200), description=_text(description, "description"))
    asked.checked(project, exclude=[])
    first = asked.filled(Form(project=project, number=1, created_by=by), form)
    with transaction.atomic():
        if Project.objects.filter(slug=slug).exists():
            raise Conflict(f"There is a project {slug!r} already.", code="project_exists", field="slug")
        project.save()
        first.save()
        if by is not None:
            Membership.objects.create(project=project, user=by, role=Role.OWNER)
        record("project.created", project, by=by, project=project)
    return project


def may_create(user: Any) -> bool:
    """Staff, and whoever curates a project already: an annotator's account makes none (one query)."""
    if not user.is_authenticated:
        return False
    curates = user.memberships.filter(role__in=roles_that(Can.CURATE), project__archived_at=None)
    return bool(user.is_staff or curates.exists())


def change_form(project: Project, *, by: Any, began_from: int | None = None, **changes: Any) -> Form:
    """A new numbered form that differs by `changes`; the old one stays with the judgements that were made under it.

    Where nothing differs, the form of now is returned. `began_from` is the number of the form that the change was
    thought out on: raises Conflict (form_moved_on) where there is a newer one. Open comparisons take the new overlap
    (see `_reseat`). Locks the project's row.
    """
    _may_curate(project, by)
    with transaction.atomic():
        Project.objects.select_for_update(no_key=True).get(pk=project.pk)
        old = current_form(project)
        if began_from is not None and began_from != old.number:
            told = f"Form {old.number} was saved while you worked on form {began_from}. Nothing of yours is lost."
            raise Conflict(told, code="form_moved_on", number=old.number)
        new = changed(old, changes, by=by)
        differing = asked.differences(old, new)
        if not differing:
            return old
        Form.objects.filter(pk=old.pk).update(current=False)
        new.save()
        _follow(project, old, new, by=by)
        fields = sorted(change.field for change in differing)
        record("form.changed", new, by=by, project=project, number=new.number, changed=fields)
    return new


def changed(old: Form, changes: Mapping[str, Any], *, by: Any = None) -> Form:
    """The form that would follow `old`, checked and unsaved. A rubric that goes takes its checklist along."""
    given = asked.values(old) | dict(changes)
    if given["rubric"] is None and "checklist" not in changes:
        given["checklist"] = False
    new = Form(project=old.project, number=old.number + 1, created_by=by)
    new = asked.filled(new, given)
    new.guidelines_version = old.guidelines_version + (new.guidelines != old.guidelines)
    return new


def effects(old: Form, new: Form) -> Effects:
    """What saving `new` would do to work that has begun (five short queries)."""
    held = Assignment.objects.filter(form=old, status__in=Assignment.HELD)
    made = Judgement.objects.current().filter(form=old)
    none = Judgement.objects.none()
    return Effects(
        changes=asked.differences(old, new),
        held=counted(held),
        reseated=counted(_to_reseat(old, new)),
        kept=counted(made),
        stronger=counted(_stronger(old, new.levels) if new.levels < old.levels else none),
        golds=counted(Comparison.objects.filter(project=old.project_id, gold__isnull=False)),
        sorted_anew=_parts(old) != _parts(new),
    )


def counted(rows: QuerySet[Any], most: int | None = None) -> int:
    """How many, up to `most` (COUNTED) + 1."""
    return rows.order_by()[: (COUNTED if most is None else most) + 1].count()


def current_form(project: Project) -> Form:
    """What is asked now. Every project has one."""
    return Form.objects.select_related("rubric", "project").get(project=project, current=True)


def most_levels(project: Project) -> int:
    """The most strengths that any form of the project offered: what was said under an older one is still believed."""
    return int(project.forms.aggregate(most=Max("levels"))["most"] or MAX_LEVELS)


def versions(project: Project) -> list[tuple[Form, Sequence[asked.Change], int]]:
    """Every form, the newest first: what it changed, and how many judgements of now were made under it, up to MANY."""
    forms = list(project.forms.select_related("rubric", "created_by", "project").order_by("number"))
    made = Judgement.objects.current()
    counts = {form.pk: counted(made.filter(form=form), MANY) for form in forms}
    before: list[Form | None] = [None, *forms]
    told: list[tuple[Form, Sequence[asked.Change], int]] = [
        (form, asked.differences(old, form) if old else [], counts[form.pk])
        for old, form in zip(before, forms, strict=False)
    ]
    return told[::-1]


def _stronger(old: Form, levels: int) -> QuerySet[Judgement]:
    """Judgements of the project that are stronger than `levels`."""
    beyond = Judgement.objects.current().filter(comparison__project=old.project_id)
    return beyond.annotate(strength=Abs("preference")).filter(strength__gt=levels)


def _follow(project: Project, old: Form, new: Form, *, by: Any) -> None:
    """What the queue holds follows its new rules: at once where it is short, in a run where that would take long."""
    reseat, sort = counted(_to_reseat(old, new)), _parts(old) != _parts(new)
    if reseat > COUNTED or (sort and counted(Comparison.objects.filter(project=project)) > COUNTED):
        ledger.start("follow-form", project=project, params={"before": old.number, "after": new.number}, by=by)
        return
    if reseat:
        _to_reseat(old, new).update(overlap=_seats(old, new))
    if sort:
        _sort(project, by)


def follow(execution: ledger.Execution) -> Mapping[str, Any]:
    """The handler of kind "follow-form": a long queue follows the form of now by batches, as often as it is run."""
    project, params = execution.run.project, execution.params
    if project is None:
        raise Invalid("A form belongs to a project.", field="project")
    old, last, done = Form.objects.get(project=project, number=params["before"]), 0, 0
    while True:
        with transaction.atomic():
            execution.fence()
            Project.objects.select_for_update(no_key=True).get(pk=project.pk)
            new = current_form(project)
            ids = list(_to_reseat(old, new).filter(id__gt=last).order_by("id").values_list("id", flat=True)[:BATCH])
            Comparison.objects.filter(id__in=ids).update(overlap=_seats(old, new))
        if not ids:
            break
        last, done = ids[-1], done + len(ids)
        execution.progress(done, note="seats of open comparisons")
    moved = _sort(project, execution.run.created_by) if _parts(old) != _parts(new) else 0
    return {"reseated": done, "moved": moved}


def _sort(project: Project, by: Any) -> int:
    from . import lanes  # which reads the current form from here

    return lanes.rearrange(project, by=by)


def _parts(form: Form) -> tuple[str, list[str]]:
    """The order of the queue, and the metadata that it goes by."""
    return form.ordering, form.mix_by if form.ordering == Form.Ordering.MIXED else []


def _to_reseat(old: Form, new: Form) -> QuerySet[Comparison]:
    """Open comparisons that get another number of seats; those sent back to people keep the seat made for them."""
    if (old.overlap, old.max_overlap) == (new.overlap, new.max_overlap):
        return Comparison.objects.none()
    waiting = Comparison.objects.filter(project=old.project_id, status=Comparison.Status.OPEN, returned_because="")
    return waiting.exclude(overlap=_seats(old, new))


def _seats(old: Form, new: Form) -> Greatest:
    """The new overlap, and never fewer than are taken; where people disagreed, the seats added, up to the new most."""
    grown = When(overlap__gt=old.overlap, then=Least(F("overlap"), Value(new.max_overlap or new.overlap)))
    added = Case(grown, default=Value(new.overlap), output_field=SmallIntegerField())
    return Greatest(Value(new.overlap), F("seats_taken"), added)


def _may_curate(project: Project, by: Any) -> None:
    if by is not None and not project.allows(by, Can.CURATE):
        raise NotAllowed("Your role does not allow you to change what is asked.", code="role_too_small")


def _text(value: str, field: str, most: int = 10_000) -> str:
    try:
        return clean_text(value, field=field, max_chars=most)
    except TextError as error:
        raise Invalid(str(error), field=field) from None

"""Storing one batch of imported rows: what is new is created, what changed is updated, what is known is left alone.

`write` runs inside its caller's transaction and holds the project's row, so that two imports into one project
take turns; then the rows of comparisons that change, so that nobody answers a text that is being replaced.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, Final, NamedTuple

from django.contrib.postgres.fields import ArrayField
from django.db.models import BooleanField, F, Func, TextField, Value
from django.utils import timezone

from annotate import formats
from annotate.formats import Row, RowError
from annotate.models import Assignment, Comparison, Completion, Form, Judgement, Prompt, Rater
from annotate.models.assignments import Order
from annotate.models.raters import WITHDRAWN_NAME, withdrawn_name
from tiebreak.accounts.models import Project
from tiebreak.runs.models import Run

from . import lanes
from .copying import Encoded, insert
from .deciding import Decisions, RaterKey
from .lanes import Asks
from .projects import current_form
from .pseudonyms import PSEUDONYM, names_of
from .rubrics import criteria_of, in_words

UPDATED: Final = (
    "prompt", "completion_a", "completion_b", "group", "reference", "context", "metadata", "gold", "gold_because",
    "content_sha256", "lane", "priority", "overlap", "import_run", "updated_at",
)  # fmt: skip


@dataclass
class Written:
    """What a batch did; `rejected` has positions in the batch with their reasons."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    judgements_created: int = 0
    judgements_revised: int = 0
    rejected: list[tuple[int, RowError]] = field(default_factory=list)


class AnyOf(Func):
    """The field is one of these texts, sent as one array: as a list, each of a thousand is a parameter to be parsed."""

    template = "(%(expressions)s))"
    arg_joiner = " = ANY ("
    output_field = BooleanField()

    def __init__(self, field: str, texts: Iterable[str]) -> None:
        super().__init__(F(field), Value(list(texts), output_field=ArrayField(TextField())))


class Said(NamedTuple):
    """One judgement of a row in its place: whose, which reading, and what that rater said there before."""

    judgement: formats.Judgement
    rater_id: int
    repeat: int
    before: Judgement | None
    revised: tuple[formats.Judgement, ...]
    """What they said between the two, the first word first."""

    @property
    def takes_seat(self) -> bool:
        return self.before is None and self.judgement.kind == Rater.Kind.ANNOTATOR


def write(project: Project, rows: Sequence[Row], *, run: Run | None = None) -> Written:
    """Store a batch; ids are unique in it. Rows that cannot be taken are reported, the others are stored."""
    written, now = Written(), timezone.now()
    Project.objects.select_for_update(no_key=True).get(pk=project.pk)
    known = dict(_named(project, rows).values_list("external_id", "content_sha256"))
    changed = [(n, row) for n, row in enumerate(rows) if known.get(row.id) != row.content_sha256]
    written.unchanged = len(rows) - len(changed)
    old = _lock(project, [row for _, row in changed if row.id in known])
    judged = set(Judgement.objects.filter(comparison__in=old.values()).values_list("comparison_id", flat=True))
    stored = _Stored(project, [comparison.pk for comparison in old.values()])
    raters = _raters_in(project, [row for _, row in changed])
    numbers = lanes.numbers_of(project, (_asks(row) for _, row in changed))
    taken: list[Row] = []
    for position, row in changed:
        error = _refusal(row, old.get(row.id), judged, raters, stored) or _no_lane(row, numbers)
        if error is None:
            taken.append(row)
        else:
            written.rejected.append((position, error))
    if taken:
        _store(project, taken, old, _create_raters(project, taken, raters), numbers, run, now, written, stored)
    return written


def _store(
    project: Project,
    rows: Sequence[Row],
    old: Mapping[str, Comparison],
    raters: Mapping[RaterKey, int],
    numbers: Mapping[Asks, int],
    run: Run | None,
    now: datetime,
    written: Written,
    stored: _Stored,
) -> None:
    said = _placed(rows, old, raters, stored)
    prompts, fresh = _prompts(project, rows, now)
    completions = _completions(rows, prompts, fresh, now)
    form = current_form(project)
    places = _places(rows, form)
    values = {
        row.id: {
            "project_id": project.pk,
            "external_id": row.id,
            "prompt_id": prompts[row.prompt.sha256],
            "completion_a_id": completions[prompts[row.prompt.sha256], row.sha256_a, row.a.generator],
            "completion_b_id": completions[prompts[row.prompt.sha256], row.sha256_b, row.b.generator],
            "group": row.group,
            "reference": row.reference,
            "context": row.context,
            "metadata": row.metadata or {},
            "gold": row.gold,
            "gold_because": row.gold_because,
            "content_sha256": row.content_sha256,
            "lane": numbers[_asks(row)],
            "priority": _priority(row, old.get(row.id)),
            "overlap": _seats(row, old.get(row.id), said, form.overlap),
            "shuffle": places[row.id],
            "import_run_id": run.pk if run else None,
            "created_at": now,
            "updated_at": now,
        }
        for row in rows
    }
    new = [row.id for row in rows if row.id not in old]
    ids = dict(zip(new, insert(Comparison, [values[key] for key in new]), strict=True))
    changed = [Comparison(**values[key]) for key in values if key in old]
    Comparison.objects.bulk_create(
        changed, update_conflicts=True, unique_fields=["project", "external_id"], update_fields=UPDATED
    )
    written.created += len(new)
    written.updated += len(changed)
    ids |= {key: comparison.pk for key, comparison in old.items()}
    _judge([(ids[row.id], s) for row in rows for s in said[row.id]], now, written)
    decided = [(ids[row.id], row) for row in rows if row.adjudications]
    stored.decided.store(decided, raters, now, run.pk if run else None)


# Looking


def _named(project: Project, rows: Iterable[Row]) -> Any:
    return Comparison.objects.filter(AnyOf("external_id", (row.id for row in rows)), project=project)


def _lock(project: Project, rows: Sequence[Row]) -> dict[str, Comparison]:
    """The comparisons of rows that differ from what is stored, locked in the order of their ids."""
    if not rows:
        return {}
    found = _named(project, rows).select_related("prompt", "completion_a", "completion_b")
    return {c.external_id: c for c in found.select_for_update(of=("self",)).order_by("id")}


class _Stored:
    """What raters and adjudicators have said of comparisons that a batch may change."""

    def __init__(self, project: Project, comparisons: Sequence[int]) -> None:
        said = Judgement.objects.current().filter(comparison__in=comparisons) if comparisons else []
        self.said = {(j.comparison_id, j.rater_id, j.repeat): j for j in said}
        self.decided = Decisions(project, comparisons)
        self.project = project

    @cached_property
    def criteria(self) -> dict[str, str]:
        return criteria_of(self.project)

    def same(self, place: tuple[int, int, int], said: formats.Judgement) -> bool:
        """Whether the rater says there what the file says. A time that the file does not tell is no difference."""
        old = self.said.get(place)
        if old is None:
            return False
        kept = (old.preference, old.both_bad, old.unparsed_because, old.probability_b, old.aspects, tuple(old.reasons))
        told = (said.preference, said.both_bad, said.unparsed_because, said.probability_b, said.aspects or {},
                said.reasons)  # fmt: skip
        timed = said.submitted_at is None or said.submitted_at == old.submitted_at
        return (
            kept == told
            and timed
            and (old.justification, old.order, old.seconds) == (said.justification, said.order, said.seconds)
            and {name: getattr(old, name) for name in MARKS} | {"checks": self.in_words(old)} == _marks(said)
        )

    def in_words(self, judgement: Judgement) -> dict[str, str]:
        return in_words(judgement, self.criteria) if judgement.checks else {}


def _raters_in(project: Project, rows: Sequence[Row]) -> dict[RaterKey, Rater]:
    """By kind and name; whoever took back what they said, by the name that they had; members by their pseudonym too."""
    names = {judgement.rater for row in rows for judgement in row.judgements}
    names |= {decision.adjudicator for row in rows for decision in row.adjudications}
    if not names:
        return {}
    former = {withdrawn_name(project.pk, name): name for name in names}
    found = Rater.objects.filter(project=project, name__in=[*names, *former])
    raters = {(rater.kind, former.get(rater.name, rater.name)): rater for rater in found}
    pseudonyms = {withdrawn_name(project.pk, name): name for name in names if PSEUDONYM.fullmatch(name)}
    if pseudonyms:
        here = Rater.objects.filter(project=project)
        for rater in here.filter(user__isnull=False).select_related("user"):
            for name in names.intersection(names_of(rater, project)):
                raters.setdefault((rater.kind, name), rater)
        for rater in here.filter(former__overlap=list(pseudonyms)):
            for alias in pseudonyms.keys() & {*rater.former}:
                raters.setdefault((rater.kind, pseudonyms[alias]), rater)
    return raters


def _refusal(
    row: Row, old: Comparison | None, judged: set[int], raters: Mapping[RaterKey, Rater], stored: _Stored
) -> RowError | None:
    """Why a row cannot be stored beside what is there; None where it can."""
    for n, judgement in enumerate(row.judgements):
        rater = raters.get((judgement.kind, judgement.rater))
        if rater and WITHDRAWN_NAME.fullmatch(rater.name):
            return RowError(f"judgements[{n}].rater", f"{judgement.rater!r} took back what they said: leave it out")
        if rater and (rater.user_id or rater.judge_id):
            if old and stored.same((old.pk, rater.pk, repeats(row.judgements)[n]), judgement):
                continue
            who = "a member who answers here" if rater.user_id else "a judge that runs here"
            return RowError(f"judgements[{n}].rater", f"expected another name: {judgement.rater!r} is {who}")
    if row.adjudications and (error := stored.decided.refusal(row, old, raters)):
        return error
    if old is not None and not old.content_sha256:
        return RowError("id", f"{row.id!r} was withdrawn, and its texts were erased: leave it out")
    decided = old is not None and old.pk in stored.decided.stored
    if old is None or not (old.pk in judged or old.seats_taken or decided):
        return None
    texts = (
        ("prompt", old.prompt.sha256, row.prompt.sha256),
        ("completion_a", old.completion_a.sha256, row.sha256_a),
        ("completion_b", old.completion_b.sha256, row.sha256_b),
    )
    for name, before, after in texts:
        if before != after:
            held = "it is decided already" if decided else "an annotator has it before them"
            why = "it is judged already" if old.pk in judged else held
            return RowError(name, f"expected the text that is stored, since {why}; give the new text a new id")
    return None


def _no_lane(row: Row, numbers: Mapping[Asks, int]) -> RowError | None:
    if _asks(row) in numbers:
        return None
    field = "skills" if row.skills else "language"
    return RowError(field, f"expected at most {lanes.MAX_LANES} different needs in a project, got one more")


def _asks(row: Row) -> Asks:
    """What a row asks of a rater. Its stratum comes when the import is done: it is of the project as a whole."""
    return Asks(row.skills, row.language)


# Making


def _places(rows: Sequence[Row], form: Form) -> dict[str, float]:
    """Each row's place in its lane: by chance, or in the order of import."""
    if form.ordering == Form.Ordering.SEQUENCE:
        return dict(zip((row.id for row in rows), lanes.positions(len(rows)), strict=True))
    return {row.id: formats.bits(row.id) / 2**64 % 1.0 for row in rows}


def _priority(row: Row, old: Comparison | None) -> int:
    """What the row says; else what stands, which a router may have set."""
    if row.priority is not None:
        return row.priority
    return old.priority if old else Comparison.Priority.NORMAL


def _create_raters(project: Project, rows: Iterable[Row], known: Mapping[RaterKey, Rater]) -> dict[RaterKey, int]:
    """Ids of every rater that the rows name; the new ones are made."""
    wanted = {(judgement.kind, judgement.rater) for row in rows for judgement in row.judgements}
    wanted |= {("annotator", decision.adjudicator) for row in rows for decision in row.adjudications}
    simulated = {(said.kind, said.rater) for row in rows for said in row.judgements if said.simulated}
    simulated |= {("annotator", told.adjudicator) for row in rows for told in row.adjudications if told.simulated}
    new = [
        Rater(project=project, kind=kind, name=name, simulated=(kind, name) in simulated)
        for kind, name in sorted(wanted - set(known))
    ]
    Rater.objects.bulk_create(new)
    return {key: rater.pk for key, rater in known.items()} | {(rater.kind, rater.name): rater.pk for rater in new}


def _prompts(project: Project, rows: Iterable[Row], now: datetime) -> tuple[dict[str, int], set[int]]:
    """Ids of the rows' prompts by hash, and which of them are new; the same messages in a project are one prompt."""
    wanted = {row.prompt.sha256: row.prompt for row in rows}
    ids = dict(Prompt.objects.filter(AnyOf("sha256", wanted), project=project).values_list("sha256", "id"))
    new = [
        {
            "project_id": project.pk,
            "messages": Encoded(turns.json),
            "is_text": turns.is_text,
            "sha256": sha256,
            "created_at": now,
        }
        for sha256, turns in wanted.items()
        if sha256 not in ids
    ]
    made = {str(prompt["sha256"]): pk for prompt, pk in zip(new, insert(Prompt, new), strict=True)}
    return ids | made, set(made.values())


CompletionKey = tuple[int, str, str]  # prompt's id, hash, generator


def _completions(
    rows: Iterable[Row], prompts: Mapping[str, int], fresh: set[int], now: datetime
) -> dict[CompletionKey, int]:
    """Ids of the rows' completions; `fresh` prompts have none yet. A rank, score or id given anew is written over."""
    wanted: dict[CompletionKey, formats.Completion] = {}
    for row in rows:
        prompt = prompts[row.prompt.sha256]
        wanted[prompt, row.sha256_a, row.a.generator] = row.a
        wanted[prompt, row.sha256_b, row.b.generator] = row.b
    asked = {key[0] for key in wanted} - fresh
    stored = Completion.objects.filter(prompt__in=asked, sha256__in={key[1] for key in wanted if key[0] in asked})
    ids: dict[CompletionKey, int] = {}
    stale: list[Completion] = []
    for old in stored.defer("messages", "text") if asked else ():
        key = (old.prompt_id, old.sha256, old.generator)
        ids[key] = old.pk
        told = wanted.get(key)
        if told and told.id and (told.id, told.rank, told.score) != (old.external_id, old.rank, old.score):
            old.external_id, old.rank, old.score = told.id, told.rank, told.score
            stale.append(old)
    if stale:
        Completion.objects.bulk_update(stale, ["external_id", "rank", "score"])
    new = {key: told for key, told in wanted.items() if key not in ids}
    values = [
        {
            "prompt_id": key[0],
            "sha256": key[1],
            "generator": key[2],
            "messages": Encoded(told.turns.json),
            "is_text": told.turns.is_text,
            "text": told.turns.text,
            "external_id": told.id,
            "rank": told.rank,
            "score": told.score,
            "created_at": now,
        }
        for key, told in new.items()
    ]
    return ids | dict(zip(new, insert(Completion, values), strict=True))


# Judgements


def _placed(
    rows: Iterable[Row], old: Mapping[str, Comparison], raters: Mapping[RaterKey, int], stored: _Stored
) -> dict[str, list[Said]]:
    """Every judgement that is new or differs from what its rater said before, by the row's id."""
    placed: dict[str, list[Said]] = {}
    for row in rows:
        at = old[row.id].pk if row.id in old else 0
        said = []
        for judgement, repeat in zip(row.judgements, repeats(row.judgements), strict=True):
            place = (at, raters[judgement.kind, judgement.rater], repeat)
            if not stored.same(place, judgement):
                known = [n for n, told in enumerate(judgement.revised, 1) if stored.same(place, told)]
                between = judgement.revised[max(known, default=0) :]
                said.append(Said(judgement, place[1], repeat, stored.said.get(place), between))
        placed[row.id] = said
    return placed


def repeats(judgements: Iterable[formats.Judgement]) -> list[int]:
    """Which reading each judgement is: an annotator's 0, 1, 2, …; a judge's even with a first, odd with b first."""
    seen: Counter[tuple[str, str, bool]] = Counter()
    numbers = []
    for judgement in judgements:
        is_judge = judgement.kind == Rater.Kind.JUDGE
        b_first = is_judge and judgement.order == Order.BA
        key = (judgement.kind, judgement.rater, b_first)
        numbers.append(2 * seen[key] + b_first if is_judge else seen[key])
        seen[key] += 1
    return numbers


def _seats(row: Row, old: Comparison | None, said: Mapping[str, list[Said]], overlap: int) -> int:
    """Seats of the comparison: as many as the form wants, and one for everyone who has answered."""
    new = sum(s.takes_seat for s in said[row.id])
    return max(old.overlap, old.seats_taken + new) if old else max(overlap, new)


def _judge(said: Sequence[tuple[int, Said]], now: datetime, written: Written) -> None:
    """Store judgements beside the ids of their comparisons, an annotator's with the seat that it takes."""
    seated = [(comparison, s) for comparison, s in said if s.takes_seat]
    assignments = [
        {
            "comparison_id": comparison,
            "rater_id": s.rater_id,
            "repeat": s.repeat,
            "status": Assignment.Status.SUBMITTED,
            "order": s.judgement.order or Order.AB,  # the judgement says null where the file does not tell
            "created_at": s.judgement.submitted_at or now,
            "closed_at": s.judgement.submitted_at or now,
        }
        for comparison, s in seated
    ]
    places = [(comparison, s.rater_id, s.repeat) for comparison, s in seated]
    seats = dict(zip(places, insert(Assignment, assignments), strict=True))
    Judgement.objects.filter(pk__in=[s.before.pk for _, s in said if s.before]).update(current=False)
    spoken = [
        (told, made)
        for place, s in said
        for told, made in _judgements(place, s, seats.get((place, s.rater_id, s.repeat)), now)
    ]
    marked = any(any(_marks(told).values()) for told, _ in spoken)  # few files are: the others need not write the marks
    insert(Judgement, [made | _marks(told) if marked else made for told, made in spoken])
    written.judgements_created += sum(s.before is None for _, s in said)
    written.judgements_revised += sum(s.before is not None for _, s in said)


MARKS: Final = ("ratings", "confidence", "evidence")


def _marks(told: formats.Judgement) -> dict[str, Any]:
    """What a form may ask beside the preference."""
    return {
        "ratings": told.ratings or {},
        "confidence": told.confidence or {},
        "evidence": list(told.evidence),
        "checks": told.checks or {},
    }


def _judgements(
    comparison: int, said: Said, seat: int | None, now: datetime
) -> Iterator[tuple[formats.Judgement, dict[str, Any]]]:
    """What the rater says, after what they said before it."""
    before = said.before
    for n, told in enumerate((*said.revised, said.judgement), before.revision + 1 if before else 1):
        made = {
            "comparison_id": comparison,
            "rater_id": said.rater_id,
            "assignment_id": before.assignment_id if before else seat,
            "repeat": said.repeat,
            "revision": n,
            "current": told is said.judgement,
            "preference": told.preference,
            "both_bad": told.both_bad,
            "unparsed_because": told.unparsed_because,
            "probability_b": told.probability_b,
            "aspects": told.aspects or {},
            "reasons": list(told.reasons),
            "justification": told.justification,
            "order": told.order,
            "seconds": told.seconds,
            "submitted_at": told.submitted_at or now,
        }
        yield told, made

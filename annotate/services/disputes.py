"""What waits for an adjudicator, which of it next, and all that was said of one comparison."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, NamedTuple

from django.db.models import Exists, OuterRef, QuerySet

from annotate.models import Adjudication, Assignment, Comment, Comparison, Flag, Form, Judgement, Rater, Review
from tiebreak.accounts.models import Project, User
from tiebreak.accounts.roles import Can, roles_that

WINDOW: Final = 10  # the most urgent, among which adjudicators are led apart
CAP: Final = 1_000  # counts are hints: a long queue is not counted to its end
Status = Comparison.Status


class Waiting(NamedTuple):
    """How many comparisons wait, and for what; each counted up to CAP."""

    disputed: int
    flagged: int
    answered: int

    @property
    def any(self) -> bool:
        return any(self)


@dataclass(frozen=True, slots=True)
class Said:
    """One judgement as an adjudicator sees it."""

    judgement: Judgement
    name: str
    """The rater's name; empty where the form hides it, then `number` stands for it."""
    number: int
    own: bool
    """It is the reader's."""
    review: Review | None
    before: Sequence[Judgement]
    """Earlier revisions, the last first."""
    returnable: bool


@dataclass(frozen=True, slots=True)
class Remark:
    """A comment or a flag with whoever wrote it: a name, or the number of a rater whose name is hidden."""

    row: Comment | Flag
    name: str
    number: int


@dataclass(frozen=True, slots=True)
class Case:
    """A comparison before an adjudicator."""

    comparison: Comparison
    form: Form | None
    blind: bool
    people: Sequence[Said]
    judges: Sequence[Said]
    comments: Sequence[Remark]
    flags: Sequence[Remark]
    decision: Adjudication | None
    earlier: Sequence[Adjudication]
    own: bool
    """The reader judged it."""
    before_me: bool
    """The reader has it to judge."""


def waiting(project: Project, user: User) -> Waiting:
    """Four queries, each along an index of what is open."""
    return Waiting(*(_count(kind) for kind in _kinds(project, user).values()))


def pick(project: Project, user: User, *, passed: Collection[int] = ()) -> Comparison | None:
    """The next comparison for this adjudicator: disputed ones first, then flagged ones, then answered returns.

    The most urgent come first; among those that are equally urgent each person has an order of their own, so that two
    at work at once are rarely shown the same one.
    """
    for kind in _kinds(project, user).values():
        rows = kind.exclude(pk__in=list(passed)).order_by("-priority", "id").values_list("pk", "priority")[:WINDOW]
        if found := list(rows):
            urgent = [pk for pk, priority in found if priority == found[0][1]]
            return one(project, mine_first(urgent, user.pk)[0])
    return None


def disputed(project: Project, user: User) -> QuerySet[Comparison]:
    """Disputed comparisons that this person may decide, for a list of them."""
    return _kinds(project, user)["disputed"]


def numbers(rows: Sequence[Judgement]) -> dict[int, int]:
    """A number for each person among a comparison's judgements, revised ones too, in the order in which they spoke."""
    people = dict.fromkeys(row.rater_id for row in rows if row.rater.kind == Rater.Kind.ANNOTATOR)
    return {rater: number for number, rater in enumerate(people, 1)}


def one(project: Project, pk: int) -> Comparison | None:
    """A comparison of the project with its texts (one query)."""
    related = ("project", "prompt", "completion_a", "completion_b")
    return Comparison.objects.select_related(*related).filter(project=project, pk=pk).first()


def mine_first(ids: Sequence[int], user: int) -> list[int]:
    """Ids in an order that is this person's own, and the same whenever it is asked for."""
    return sorted(ids, key=lambda pk: sha256(f"{user}/{pk}".encode()).digest())


def case(comparison: Comparison, user: User) -> Case:
    """Everything that was said of a comparison that `one` found (eight queries)."""
    form = Form.objects.filter(project=comparison.project_id, current=True).select_related("rubric").first()
    blind = form is None or form.blind_adjudication
    rows = list(_judgements(comparison))
    said = list(_said(comparison, rows, user, blind))
    of_user = {each.judgement.rater.user_id: each.number for each in said}
    decisions = list(comparison.adjudications.select_related("by", "rater"))
    return Case(
        comparison=comparison,
        form=form,
        blind=blind,
        people=[each for each in said if each.judgement.rater.kind == Rater.Kind.ANNOTATOR],
        judges=[each for each in said if each.judgement.rater.kind == Rater.Kind.JUDGE],
        comments=[_remark(row, row.author, of_user, user, blind) for row in _comments(comparison)],
        flags=[_remark(row, row.rater.user, of_user, user, blind) for row in _flags(comparison)],
        decision=next((decision for decision in decisions if decision.current), None),
        earlier=[decision for decision in decisions if not decision.current],
        own=any(row.rater.user_id == user.pk for row in rows),
        before_me=comparison.assignments.filter(rater__user=user, status__in=Assignment.HELD).exists(),
    )


def open_flags(project: Project) -> QuerySet[Flag]:
    """Flags that nobody has resolved, the oldest first, of comparisons that are not withdrawn."""
    rows = Flag.objects.filter(comparison__project=project, resolved_at=None)
    return rows.exclude(comparison__status=Status.WITHDRAWN).order_by("id")


def returned_to(user: User) -> QuerySet[Review]:
    """Judgements that went back to this person and wait for an answer, in projects that they are still in."""
    rows = Review.objects.filter(
        verdict=Review.Verdict.RETURNED,
        answered_at=None,
        judgement__current=True,
        judgement__rater__user=user,
        judgement__comparison__project__members__user=user,
    )
    return rows.select_related("by", "judgement__comparison__project", "judgement__comparison__prompt").order_by("id")


def hidden_authors(user: User, comments: Sequence[Comment]) -> set[int]:
    """Ids of the comments whose author's name an adjudicator must not learn: a rater of a blind project wrote them."""
    blind = Form.objects.filter(current=True, blind_adjudication=True).values("project")
    narrow = user.memberships.exclude(role__in=roles_that(Can.READ)).filter(project__in=blind)
    projects = set(narrow.values_list("project_id", flat=True))
    those = [each for each in comments if each.project_id in projects and each.comparison_id is not None]
    said = Judgement.objects.filter(comparison__in=[each.comparison_id for each in those])
    judged = set(said.values_list("comparison_id", "rater__user_id"))
    return {each.pk for each in those if (each.comparison_id, each.author_id) in judged and each.author_id != user.pk}


def _kinds(project: Project, user: User) -> Mapping[str, QuerySet[Comparison]]:
    me = Rater.objects.filter(project=project, user=user).values_list("pk", flat=True).first()
    mine = Judgement.objects.filter(comparison=OuterRef("pk"), rater=me)
    # Who has it to judge must not see what others said.
    before_me = Assignment.objects.filter(comparison=OuterRef("pk"), rater=me, status__in=Assignment.HELD)
    asked = Judgement.objects.current().filter(
        comparison=OuterRef("pk"), review__verdict=Review.Verdict.RETURNED, review__answered_at=None
    )
    all_ = Comparison.objects.filter(project=project)
    if me is not None:
        all_ = all_.filter(~Exists(mine), ~Exists(before_me))
    there = all_.exclude(status=Status.WITHDRAWN)
    return {
        "disputed": all_.filter(~Exists(asked), status=Status.DISPUTED),
        "flagged": there.filter(pk__in=open_flags(project).order_by().values("comparison")),
        "answered": there.filter(pk__in=_answered(project).values("judgement__comparison")),
    }


def _answered(project: Project) -> QuerySet[Review]:
    """Returned judgements that came back, and that nobody has looked at since."""
    back = Review.objects.filter(
        verdict=Review.Verdict.RETURNED, answered_at__isnull=False, judgement__comparison__project=project
    )
    revised = Judgement.objects.current().filter(
        comparison=OuterRef("judgement__comparison"),
        rater=OuterRef("judgement__rater"),
        repeat=OuterRef("judgement__repeat"),
        review=None,
    )
    explained = back.filter(judgement__current=True)
    return explained | back.filter(Exists(revised), judgement__current=False)


def _count(rows: QuerySet[Comparison]) -> int:
    return rows[:CAP].count()


def _judgements(comparison: Comparison) -> QuerySet[Judgement]:
    related = ("rater__user", "form", "rubric", "review__by")
    return comparison.judgements.select_related(*related).prefetch_related("rubric__criteria").order_by("id")


def _comments(comparison: Comparison) -> QuerySet[Comment]:
    return comparison.comments.select_related("author", "judgement")


def _flags(comparison: Comparison) -> QuerySet[Flag]:
    return comparison.flags.select_related("rater__user", "resolved_by").order_by("id")


def _said(comparison: Comparison, rows: Sequence[Judgement], user: User, blind: bool) -> Iterator[Said]:
    """Current judgements. Raters are numbered as they first spoke, so that a number stays whoever comes after."""
    numbered = numbers(rows)
    reachable = set(comparison.project.members.values_list("user_id", flat=True))
    for row in rows:
        if not row.current:
            continue
        before = [r for r in rows if (r.rater_id, r.repeat) == (row.rater_id, row.repeat) and not r.current]
        named = row.rater.kind == Rater.Kind.JUDGE or not blind
        own = row.rater.user_id == user.pk
        yield Said(
            judgement=row,
            name=row.rater.name if named else "",
            number=numbered.get(row.rater_id, 0),
            own=own,
            review=getattr(row, "review", None),
            before=sorted(before, key=lambda r: -r.revision),
            returnable=row.rater.user_id in reachable and not own,
        )


def _remark(
    row: Comment | Flag, author: User | None, of_user: Mapping[int | None, int], user: User, blind: bool
) -> Remark:
    """Where names are hidden, so is that of whoever judged it, beside their comments too, and of whoever flagged it."""
    number = of_user.get(author.pk, 0) if author else 0
    hidden = blind and author != user and (number > 0 or isinstance(row, Flag))
    return Remark(row, "" if hidden or author is None else author.get_username(), number if hidden else 0)

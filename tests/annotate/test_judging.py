"""Submitting, losing a lease, revising: what is stored, and what is refused by which field."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from annotate import policies
from annotate.models import Assignment, Comparison, Form, Judgement, Rater, Review
from annotate.services import assigning, judging
from annotate.services.answers import Answer
from tests.build import make_comparison, make_member, make_project
from tiebreak.accounts.models import Membership, Project, User
from tiebreak.accounts.roles import Role
from tiebreak.core.errors import Conflict, Invalid, NotAllowed, NotFound
from tiebreak.core.models import Event

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
KEY = UUID("6f1c5a3e-0000-4000-8000-000000000001")


class World:
    """One annotator before one comparison."""

    def __init__(self, *, order: str = "ab", overlap: int = 1, **form: Any) -> None:
        self.project: Project = make_project(overlap=overlap, lease_seconds=600, **form)
        self.comparison: Comparison = make_comparison(self.project)
        self.user: User = make_member(self.project, Role.ANNOTATOR)
        self.rater: Rater = assigning.rater_for(self.project, self.user)
        self.assignment = self.lease(order)

    def lease(self, order: str) -> Assignment:
        assignment = assigning.next_assignment(self.rater, now=NOW)
        assert assignment is not None
        Assignment.objects.filter(pk=assignment.pk).update(order=order)
        assignment.order = order
        return assignment

    def submit(self, answer: Answer, *, key: UUID = KEY, now: datetime = NOW) -> Judgement:
        return judging.submit(self.assignment, answer, by=self.user, key=key, now=now)

    def status(self) -> str:
        self.assignment.refresh_from_db()
        return self.assignment.status

    def somebody_else_takes_the_seat(self) -> None:
        other = make_member(self.project, Role.ANNOTATOR)
        rater = assigning.rater_for(self.project, other)
        assert assigning.next_assignment(rater, now=LATER)


# Storing


@pytest.mark.parametrize(
    ("order", "choice", "preference"),
    [
        ("ab", -2, -2),  # a left, left better: a
        ("ba", -2, 2),  # b left, left better: b
        ("ba", 1, -1),  # b left, right better: a
        ("ba", 0, 0),
    ],
)
def test_the_preference_is_stored_in_terms_of_a_and_b(order: str, choice: int, preference: int) -> None:
    judgement = World(order=order).submit(Answer(choice=choice))
    judgement.refresh_from_db()
    assert (judgement.preference, judgement.order) == (preference, order)


def test_a_judgement_keeps_what_was_asked_and_what_was_said() -> None:
    world = World(order="ba", aspects=[{"key": "helpful", "label": "Helpful"}], reasons=["wrong fact"])
    answer = Answer(
        choice=-1, both_bad=True, aspects={"helpful": 2}, justification=" It errs. ", reasons=("wrong fact",) * 2,
        seconds=12.5,
    )  # fmt: skip
    judgement = world.submit(answer)
    judgement.refresh_from_db()
    assert judgement.comparison == world.comparison
    assert (judgement.rater, judgement.assignment) == (world.rater, world.assignment)
    assert (judgement.both_bad, judgement.aspects) == (True, {"helpful": -2})  # right was better, and a stood right
    assert judgement.justification == " It errs. "  # stored as it was written
    assert judgement.reasons == ["wrong fact"]
    assert (judgement.seconds, judgement.submitted_at) == (12.5, NOW)
    assert judgement.form == world.project.forms.get()
    assert (judgement.key, judgement.revision, judgement.current) == (KEY, 1, True)


def test_submitting_moves_the_assignment_and_writes_an_event() -> None:
    world = World()
    judgement = world.submit(Answer(choice=1))
    assert world.status() == "submitted"
    assert (world.assignment.expires_at, world.assignment.closed_at) == (None, NOW)
    event = Event.objects.get(target_type="annotate.judgement")
    assert (event.verb, event.actor, event.target_id) == ("judgement.submitted", world.user, str(judgement.pk))
    assert event.project == world.project
    world.comparison.refresh_from_db()
    assert world.comparison.seats_taken == 1


def test_both_bad_alone_is_no_tie() -> None:
    judgement = World().submit(Answer(choice=None, both_bad=True))
    assert (judgement.preference, judgement.both_bad) == (None, True)


# Once


def test_the_same_key_again_returns_the_same_judgement() -> None:
    world = World()
    first = world.submit(Answer(choice=1))
    assert world.submit(Answer(choice=1)) == first
    assert Judgement.objects.count() == 1
    assert Event.objects.filter(verb="judgement.submitted").count() == 1


def test_another_key_on_an_answered_assignment_is_a_conflict() -> None:
    world = World()
    world.submit(Answer(choice=1))
    with pytest.raises(Conflict) as caught:
        world.submit(Answer(choice=-1), key=uuid4())
    assert caught.value.code == "already_submitted"
    assert Judgement.objects.get().preference == 1


def test_a_key_of_another_comparison_is_a_conflict() -> None:
    World().submit(Answer(choice=1))
    world = World()
    with pytest.raises(Conflict) as caught:
        world.submit(Answer(choice=1))
    assert caught.value.code == "key_used"
    assert world.status() == "leased"


# Who


def test_nobody_answers_what_another_holds() -> None:
    world = World()
    other = make_member(world.project, Role.OWNER)
    with pytest.raises(NotFound):
        judging.submit(world.assignment, Answer(choice=1), by=other, key=KEY, now=NOW)
    assert world.status() == "leased"


def test_a_removed_member_answers_no_more() -> None:
    world = World()
    Membership.objects.filter(user=world.user).delete()
    with pytest.raises(NotAllowed):
        world.submit(Answer(choice=1))
    assert not Judgement.objects.exists()


# Lost leases


def test_a_lapsed_lease_that_nobody_reaped_is_still_answered() -> None:
    world = World()
    assert world.submit(Answer(choice=1), now=LATER).assignment == world.assignment


def test_an_expired_lease_is_taken_up_again_while_a_seat_is_free() -> None:
    world = World(order="ba")
    assigning.reap(LATER)
    judgement = world.submit(Answer(choice=-1), now=LATER)
    assert world.status() == "expired"
    again = judgement.assignment
    assert again is not None
    assert again != world.assignment
    assert (again.status, again.order, judgement.preference) == ("submitted", "ba", 1)
    world.comparison.refresh_from_db()
    assert world.comparison.seats_taken == 1
    assert world.submit(Answer(choice=-1), now=LATER) == judgement  # and the double submit is still one


def test_an_expired_lease_whose_seat_is_taken_keeps_the_answer_and_tells() -> None:
    world = World()
    assigning.reap(LATER)
    world.somebody_else_takes_the_seat()
    with pytest.raises(Conflict) as caught:
        world.submit(Answer(choice=-1, justification="clearer", seconds=4.0), now=LATER)
    assert caught.value.code == "lease_lost"
    assert world.status() == "expired"
    assert world.assignment.draft == {
        "choice": -1,
        "both_bad": False,
        "aspects": {},
        "justification": "clearer",
        "reasons": [],
        "active_ms": 4000,
    }
    assert not Judgement.objects.exists()
    assert not Event.objects.filter(verb="judgement.submitted").exists()


def test_an_expired_lease_of_a_withdrawn_comparison_is_lost() -> None:
    world = World(overlap=3)
    assigning.reap(LATER)
    Comparison.objects.update(status=Comparison.Status.WITHDRAWN)
    with pytest.raises(Conflict):
        world.submit(Answer(choice=-1), now=LATER)


def test_a_skipped_assignment_takes_no_answer() -> None:
    world = World()
    assigning.skip(world.assignment, "no", by=world.user, now=NOW)
    with pytest.raises(Conflict):
        world.submit(Answer(choice=1))
    assert not Judgement.objects.exists()


# The form's rules


@pytest.mark.parametrize(
    ("form", "answer", "field", "words"),
    [
        ({}, Answer(choice=None), "choice", "Choose"),
        ({"levels": 1}, Answer(choice=2), "choice", "-1, 0, 1, got 2"),
        ({"levels": 2}, Answer(choice=-3), "choice", "got -3"),
        ({"allow_tie": False}, Answer(choice=0), "choice", "tie"),
        ({"allow_both_bad": False}, Answer(choice=None, both_bad=True), "both_bad", "both bad"),
        ({}, Answer(choice=1, aspects={"tone": 1}), "aspects", "'tone'"),
        (
            {"levels": 1, "aspects": [{"key": "tone", "label": "Tone"}]},
            Answer(choice=1, aspects={"tone": 2}),
            "aspects.tone",
            "got 2",
        ),
        ({"justification": "required"}, Answer(choice=1), "justification", "asks for"),
        ({"justification": "required"}, Answer(choice=1, justification=" \n"), "justification", "asks for"),
        (
            {"justification": "required", "min_justification": 10},
            Answer(choice=1, justification="too short "),  # 9 characters without the space around
            "justification",
            "At least 10 characters are wanted; there are 9",
        ),
        ({"min_justification": 5}, Answer(choice=1, justification="no"), "justification", "At least 5"),
        ({"justification": "off"}, Answer(choice=1, justification="because"), "justification", "no justification"),
        ({}, Answer(choice=1, justification="a\x00b"), "justification", "NUL"),
        ({}, Answer(choice=1, justification="x" * 20_001), "justification", "20,000"),
        ({"reasons": ["style"]}, Answer(choice=1, reasons=("facts",)), "reasons", "'facts'"),
        ({}, Answer(choice=1, seconds=-1.0), "seconds", "got -1"),
        ({}, Answer(choice=1, seconds=float("nan")), "seconds", "got nan"),
    ],
)
def test_what_the_form_does_not_allow_is_refused_by_field(
    form: dict[str, Any], answer: Answer, field: str, words: str
) -> None:
    world = World(**form)
    with pytest.raises(Invalid, match=words) as caught:
        world.submit(answer)
    assert caught.value.params["field"] == field
    assert world.status() == "leased"
    assert not Judgement.objects.exists()


def test_an_optional_justification_may_stay_empty_whatever_its_least_length() -> None:
    assert World(min_justification=50).submit(Answer(choice=1)).justification == ""


def test_an_answer_is_checked_against_the_form_that_was_shown() -> None:
    world = World(levels=3)
    Form.objects.update(current=False)
    Form.objects.create(project=world.project, number=2, levels=1)
    assert world.submit(Answer(choice=3)).form == world.assignment.form


# Revising


def test_a_changed_mind_is_a_new_revision_in_the_order_shown() -> None:
    world = World(order="ba")
    first = world.submit(Answer(choice=-1))
    second = judging.revise(first, Answer(choice=2, justification="on reflection"), by=world.user, now=LATER)
    first.refresh_from_db()
    assert (first.current, first.preference) == (False, 1)
    assert (second.current, second.preference, second.revision) == (True, -2, 2)
    assert (second.order, second.assignment, second.submitted_at) == ("ba", world.assignment, LATER)
    event = Event.objects.get(verb="judgement.revised")
    assert event.data == {"revision": 2, "before": 1, "after": -2}


def test_only_the_current_judgement_is_revised() -> None:
    world = World()
    first = world.submit(Answer(choice=1))
    judging.revise(first, Answer(choice=2), by=world.user, now=LATER)
    with pytest.raises(Conflict):
        judging.revise(first, Answer(choice=3), by=world.user, now=LATER)
    assert list(Judgement.objects.current().values_list("preference", flat=True)) == [2]


def test_a_revision_obeys_the_form_and_its_author() -> None:
    world = World(levels=1)
    first = world.submit(Answer(choice=1))
    with pytest.raises(Invalid):
        judging.revise(first, Answer(choice=2), by=world.user, now=LATER)
    with pytest.raises(NotFound):
        judging.revise(first, Answer(choice=-1), by=make_member(world.project, Role.CURATOR), now=LATER)
    first.refresh_from_db()
    assert first.current


def test_an_answer_may_be_changed_for_the_forms_time_only() -> None:
    world = World(revise_minutes=10)
    first = world.submit(Answer(choice=1))
    assert judging.may_revise(first, now=NOW + timedelta(minutes=10))
    second = judging.revise(first, Answer(choice=2), by=world.user, now=NOW + timedelta(minutes=9))
    first.refresh_from_db()
    assert not judging.may_revise(first, now=NOW)  # no longer what they say
    late = NOW + timedelta(minutes=11)
    assert not judging.may_revise(second, now=late)  # counted from the first answer: changing it wins no time
    with pytest.raises(Conflict) as caught:
        judging.revise(second, Answer(choice=3), by=world.user, now=late)
    assert caught.value.code == "too_late"
    assert Judgement.objects.current().get().preference in (2, -2)


def test_an_answer_that_was_sent_back_may_be_changed_whenever_and_is_answered_so() -> None:
    world = World(revise_minutes=0)
    first = world.submit(Answer(choice=1))
    adjudicator = make_member(world.project, Role.ADJUDICATOR)
    returned = Review.objects.create(judgement=first, verdict="returned", reason="Read it again.", by=adjudicator)
    judging.revise(first, Answer(choice=-1), by=world.user, now=LATER)
    returned.refresh_from_db()
    assert returned.answered_at == LATER
    assert not judging.may_revise(Judgement.objects.current().get(), now=LATER)


# Asking more people where they disagree


def answered(project: Project, comparison: Comparison, *choices: int | None) -> Comparison:
    """One more annotator a choice (None: both bad), who takes the comparison and says so of the side that a is on."""
    for choice in choices:
        user = make_member(project, Role.ANNOTATOR)
        assignment = assigning.next_assignment(assigning.rater_for(project, user), now=NOW)
        assert assignment is not None
        screen = None if choice is None else policies.to_screen(choice, assignment.order)
        answer = Answer(choice=screen, both_bad=choice is None)
        judging.submit(assignment, answer, by=user, key=uuid4(), now=NOW)
    comparison.refresh_from_db()
    return comparison


def test_one_more_is_asked_where_people_disagree_up_to_the_most_and_then_an_adjudicator() -> None:
    project = make_project(overlap=2, max_overlap=4)
    comparison = answered(project, make_comparison(project), 1, -1)
    assert (comparison.overlap, comparison.full, comparison.status) == (3, False, "open")
    comparison = answered(project, comparison, 0)
    assert (comparison.overlap, comparison.status) == (4, "open")
    comparison = answered(project, comparison, None)
    assert (comparison.overlap, comparison.seats_taken, comparison.status) == (4, 4, "disputed")
    assert Event.objects.filter(verb="comparison.widened").count() == 2
    assert Event.objects.get(verb="comparison.disputed").data == {"before": "open", "after": "disputed"}


def test_nobody_more_is_asked_where_two_thirds_agree() -> None:
    project = make_project(overlap=2, max_overlap=4)
    comparison = answered(project, make_comparison(project), 1, -1, 2)
    assert (comparison.overlap, comparison.full, comparison.status) == (3, True, "open")


def test_without_a_most_people_may_disagree() -> None:
    project = make_project(overlap=2)
    comparison = answered(project, make_comparison(project), 1, -1)
    assert (comparison.overlap, comparison.status) == (2, "open")


def test_the_last_answer_is_waited_for_before_more_are_asked() -> None:
    project = make_project(overlap=3, max_overlap=5)
    comparison = make_comparison(project)
    slow = make_member(project, Role.ANNOTATOR)
    held = assigning.next_assignment(assigning.rater_for(project, slow), now=NOW)
    assert held is not None
    assert answered(project, comparison, 1, -1).overlap == 3
    judging.submit(held, Answer(choice=0), by=slow, key=uuid4(), now=NOW)
    comparison.refresh_from_db()
    assert comparison.overlap == 4


# Progress


def test_progress_counts_today_all_and_what_is_left() -> None:
    world = World(overlap=2)
    make_comparison(world.project)
    make_comparison(world.project, status="settled")
    world.submit(Answer(choice=1), now=NOW - timedelta(days=1))
    world.assignment = world.lease("ab")
    world.submit(Answer(choice=1), key=uuid4())
    make_comparison(world.project)
    assert judging.progress(world.rater, now=NOW) == (1, 2, 1, False)
    world.lease("ab")  # what is before them is left as well
    assert judging.progress(world.rater, now=NOW) == (1, 2, 1, False)


def test_progress_of_a_project_that_was_not_begun_makes_no_rater() -> None:
    project = make_project()
    make_comparison(project)
    user = make_member(project, Role.ANNOTATOR)
    assert judging.progress_in(project, user, now=NOW) == (0, 0, 1, False)
    assert not Rater.objects.exists()


def test_a_long_queue_is_counted_up_to_a_cap(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    for _ in range(3):
        make_comparison(world.project)
    monkeypatch.setattr(judging, "LEFT_CAP", 2)
    assert judging.progress(world.rater, now=NOW)[2:] == (2 + 1, True)  # the one before them, and two of the others

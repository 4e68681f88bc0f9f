"""What annotating must never store is refused by the database itself, whoever writes it."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any, Final
from uuid import uuid4

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from annotate.models import (
    Adjudication,
    Assignment,
    Comment,
    Comparison,
    Flag,
    Form,
    Image,
    Judgement,
    Lane,
    Mention,
    Rater,
    Review,
    Session,
    Trial,
)
from tests import build
from tests.refusals import RESTRICT, Violation, again, change, constraints_of, refused, triggers_of, untested

pytestmark = pytest.mark.django_db


class World:
    """One row of everything."""

    def __init__(self) -> None:
        self.project = build.make_project(overlap=2)
        self.form = Form.objects.get(project=self.project)
        self.user = build.make_member(self.project)
        self.comparison = build.make_comparison(self.project)
        self.other = build.make_comparison(self.project)
        self.third = build.make_comparison(self.project)
        self.rater = build.make_rater(self.project, user=self.user)
        self.second = build.make_rater(self.project)
        self.assignment = lease(self.comparison, self.rater)
        self.judge = build.make_judge(self.project)
        self.call = build.make_call(self.judge, self.comparison, 1)
        self.judgement: Judgement = build.make_judgement(self.other, self.second, -1, key=uuid4())
        self.rubric = build.make_rubric(self.project)
        self.criterion = self.rubric.criteria.first()
        self.prompt = self.comparison.prompt
        self.completion = self.comparison.completion_a
        self.lane = Lane.objects.create(project=self.project, number=1, skills=["python"])
        self.session = Session.objects.create(rater=self.rater)
        self.trial = Trial.objects.create(
            rater=self.rater, kind="practice", position=0, comparison=self.other, form=self.form, order="ab"
        )
        self.flag = Flag.objects.create(comparison=self.comparison, rater=self.rater, kind="broken")
        self.comment = Comment.objects.create(
            project=self.project, comparison=self.comparison, author=self.user, text="see here"
        )
        self.mention = Mention.objects.create(comment=self.comment, user=self.user)
        self.review = Review.objects.create(judgement=self.judgement, verdict="accepted", by=self.user)
        self.decision = Adjudication.objects.create(
            comparison=self.other, preference=1, reason="the proof holds", by=self.user
        )
        self.image = Image.objects.create(project=self.project, source="https://example.org/a.png")


def lease(comparison: Comparison, rater: Rater, **fields: Any) -> Assignment:
    values = {"order": "ab", "expires_at": timezone.now() + timedelta(minutes=5)}
    return Assignment.objects.create(comparison=comparison, rater=rater, **(values | fields))


REFUSED: Final[dict[str, Violation]] = {
    # Assignments
    "assignment_once": lambda w: again(w.judgement.assignment, status="submitted"),
    "assignment_one_live": lambda w: lease(w.other, w.rater),
    "assignment_one_ahead": lambda w: [lease(c, w.rater, status="ahead") for c in (w.other, w.third)],
    "assignment_purpose_known": lambda w: lease(w.other, w.second, purpose="play", repeat=1),
    "assignment_repeat_is_one": lambda w: lease(w.third, w.second, purpose="repeat"),
    "assignment_lease_has_end": lambda w: change(w.assignment, expires_at=None),
    "assignment_order_known": lambda w: change(w.assignment, order="lr"),
    "assignment_status_known": lambda w: change(w.assignment, status="lost", expires_at=None),
    # Comparisons
    "comparison_external_id": lambda w: again(w.comparison),
    "comparison_overlap": lambda w: change(w.comparison, overlap=0),
    "comparison_of_two": lambda w: change(w.comparison, completion_b=w.comparison.completion_a),
    "comparison_gold": lambda w: change(w.comparison, gold=4),
    "comparison_status_known": lambda w: change(w.comparison, status="closed"),
    "comparison_route_known": lambda w: change(w.comparison, route="both"),
    # Forms
    "form_number": lambda w: again(w.form, current=False),
    "form_one_current": lambda w: again(w.form, number=2),
    "form_levels": lambda w: change(w.form, levels=4),
    "form_overlap": lambda w: change(w.form, overlap=0),
    "form_lease": lambda w: change(w.form, lease_seconds=29),
    "form_most": lambda w: change(w.form, max_overlap=1),
    "form_rating": lambda w: change(w.form, rating_max=11),
    "form_ordering_known": lambda w: change(w.form, ordering="alphabet"),
    "form_rates": lambda w: change(w.form, gold_rate=0.51),
    "form_pass_mark": lambda w: change(w.form, pass_mark=1.1),
    "form_pause_below": lambda w: change(w.form, pause_below=-0.1),
    # Judgements and calls
    "judgement_one_current": lambda w: again(w.judgement, revision=2),
    "judgement_revision_once": lambda w: again(w.judgement, current=False),
    "judgement_preference": lambda w: change(w.judgement, preference=-4),
    "judgement_says_something": lambda w: change(w.judgement, preference=None),
    "judgement_unparsed_is_null": lambda w: change(w.judgement, unparsed_because="prose"),
    "judgement_probability": lambda w: change(w.judgement, probability_b=1.01),
    "annotate.Judgement.key": lambda w: again(w.judgement, key=w.judgement.key, repeat=7),
    "judge_call_once": lambda w: again(w.call, status="failed", judgement=None),
    "judge_call_has_judgement": lambda w: change(w.call, judgement=None),
    "annotate.JudgeCall.judgement": lambda w: again(w.call, repeat=1, judgement=w.call.judgement),
    # Texts
    "prompt_once": lambda w: again(w.prompt),
    "completion_once": lambda w: again(w.completion),
    # Raters and judges
    "judge_version": lambda w: again(w.judge),
    "rater_name": lambda w: again(w.rater, user=None),
    "rater_user": lambda w: again(w.rater, name="another"),
    "rater_kind_known": lambda w: change(w.second, kind="crowd"),
    "rater_user_is_annotator": lambda w: change(w.rater, kind="judge"),
    "rater_judge_is_judge": lambda w: change(w.judge.rater, kind="annotator"),
    "annotate.Rater.judge": lambda w: again(w.judge.rater, name="another", judge=w.judge),
    "rater_shown_of_served": lambda w: change(w.rater, served=1, shown_ab=2),
    # Lanes, sessions, trials
    "lane_number": lambda w: again(w.lane, skills=["sql"]),
    "lane_once": lambda w: again(w.lane, number=2),
    "lane_number_positive": lambda w: change(w.lane, number=0),
    "session_one_open": lambda w: again(w.session),
    "session_seconds": lambda w: change(w.session, seconds=-1.0),
    "trial_place": lambda w: again(w.trial, comparison=w.comparison),
    "trial_once": lambda w: again(w.trial, position=1),
    "trial_kind_known": lambda w: change(w.trial, kind="exam"),
    "trial_order_known": lambda w: change(w.trial, order="lr"),
    "trial_answered_is_marked": lambda w: change(w.trial, right=True),
    # Flags, comments, reviews, decisions
    "flag_open_once": lambda w: again(w.flag),
    "flag_kind_known": lambda w: change(w.flag, kind="dull"),
    "flag_resolved_by_someone": lambda w: change(w.flag, resolved_at=timezone.now()),
    "comment_is_about_something": lambda w: change(w.comment, comparison=None),
    "comment_judgement_has_comparison": lambda w: change(
        w.comment, judgement=w.judgement, comparison=None, rater=w.rater
    ),
    "comment_says_something": lambda w: change(w.comment, text=""),
    "mention_once": lambda w: again(w.mention),
    "review_verdict_known": lambda w: change(w.review, verdict="praised", reason="well done"),
    "review_has_reason": lambda w: change(w.review, verdict="returned"),
    "review_answered_was_returned": lambda w: change(w.review, answered_at=timezone.now()),
    "annotate.Review.judgement": lambda w: again(w.review, judgement=w.judgement),
    "adjudication_one_current": lambda w: again(w.decision),
    "adjudication_by_one": lambda w: change(w.decision, by=None),
    "adjudication_preference": lambda w: change(w.decision, preference=4),
    "adjudication_decides": lambda w: change(w.decision, preference=None),
    "adjudication_has_reason": lambda w: change(w.decision, reason=""),
    # Images
    "image_source": lambda w: again(w.image),
    "image_status_known": lambda w: change(w.image, status="lost"),
    "image_ready_is_kept": lambda w: change(w.image, status="ready"),
    # Rubrics
    "rubric_version": lambda w: again(w.rubric),
    "rubric_status_known": lambda w: change(w.rubric, status="proposed"),
    "rubric_approved_by_someone": lambda w: change(w.rubric, status="approved", approved_at=timezone.now()),
    "criterion_position": lambda w: again(w.criterion),
    "criterion_kind_known": lambda w: change(w.criterion, kind="wish"),
}
TRIGGERS: Final[dict[str, Violation]] = {
    "assignment_seats": lambda w: change(w.assignment, comparison=w.other),
}
COUNTS: Final = {"assignment_new_seats"}  # refuses nothing itself: it counts, and `comparison_overlap` refuses


@pytest.mark.parametrize("name", REFUSED)
def test_the_database_refuses(name: str) -> None:
    world = World()
    with refused(name):
        REFUSED[name](world)


@pytest.mark.parametrize("name", TRIGGERS)
def test_the_trigger_refuses(name: str) -> None:
    world = World()
    with refused(state=RESTRICT):
        TRIGGERS[name](world)


def test_every_constraint_has_its_violation() -> None:
    message = untested(REFUSED, constraints_of("annotate"))
    assert not message, message
    message = untested(TRIGGERS, triggers_of("annotate") - COUNTS)
    assert not message, message


# Seats


def test_no_insert_exceeds_the_overlap() -> None:
    project = build.make_project(overlap=2)
    comparison = build.make_comparison(project)
    for status in ("leased", "submitted"):
        expires = {} if status == "leased" else {"expires_at": None}
        lease(comparison, build.make_rater(project), status=status, **expires)
    with refused("comparison_overlap"):
        lease(comparison, build.make_rater(project))
    with refused("comparison_overlap"):
        lease(comparison, build.make_rater(project), status="submitted", expires_at=None)
    with refused("comparison_overlap"):
        Assignment.objects.bulk_create(
            Assignment(comparison=comparison, rater=build.make_rater(project), order="ba", status="submitted")
            for _ in range(2)
        )
    closed = lease(comparison, build.make_rater(project), status="skipped", expires_at=None)
    with refused("comparison_overlap"):
        change(closed, status="submitted")
    comparison.refresh_from_db()
    assert (comparison.seats_taken, comparison.assignments.count()) == (2, 3)


def test_no_insert_of_many_rows_in_one_statement_exceeds_the_overlap() -> None:
    project = build.make_project(overlap=2)
    comparison = build.make_comparison(project)
    raters = [build.make_rater(project).pk for _ in range(3)]
    rows = ", ".join(f"({comparison.pk}, {rater}, 'submitted', 0, 'ab', '{{}}', '')" for rater in raters)
    columns = 'comparison_id, rater_id, status, repeat, "order", draft, skip_reason'
    with refused("comparison_overlap"), connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO annotate_assignment ({columns}) VALUES {rows}")
    assert not comparison.assignments.exists()


def test_the_overlap_is_never_lowered_under_the_seats_that_are_taken() -> None:
    project = build.make_project(overlap=3)
    comparison = build.make_comparison(project)
    for _ in range(2):
        lease(comparison, build.make_rater(project))
    change(comparison, overlap=2)
    with refused("comparison_overlap"):
        change(comparison, overlap=1)


def test_the_counter_of_seats_cannot_fall_below_none() -> None:
    world = World()
    with pytest.raises(IntegrityError), transaction.atomic():
        change(world.comparison, seats_taken=-1)


@pytest.mark.parametrize("seed", range(3))
def test_the_counter_is_the_number_of_seats_after_any_sequence_of_writes(seed: int) -> None:
    """200 random inserts, updates and deletes, by the ORM; those that the database refuses change nothing."""
    rng = random.Random(seed)
    project = build.make_project(overlap=3)
    comparisons = [build.make_comparison(project) for _ in range(3)]
    raters = [build.make_rater(project) for _ in range(6)]
    refusals = 0
    for _ in range(200):
        action = rng.choice(("insert", "insert", "update", "update", "delete", "overlap"))
        held = list(Assignment.objects.filter(comparison__in=comparisons).order_by("id"))
        some = rng.choice(held) if held else None
        status = rng.choice(Assignment.Status.values)
        expires = timezone.now() if status == "leased" else None
        try:
            with transaction.atomic():
                if action == "insert":
                    lease(rng.choice(comparisons), rng.choice(raters), status=status, expires_at=expires)
                elif action == "overlap":
                    change(rng.choice(comparisons), overlap=rng.randint(1, 4))
                elif some is not None and action == "update":
                    change(some, status=status, expires_at=expires)
                elif some is not None:
                    some.delete()
        except IntegrityError:
            refusals += 1
        for comparison in Comparison.objects.filter(project=project):
            seated = comparison.assignments.filter(status__in=Assignment.SEATED).count()
            assert comparison.seats_taken == seated <= comparison.overlap
    assert refusals > 10  # or the sequence tried nothing


def test_deleting_a_comparison_takes_its_seats_along() -> None:
    project = build.make_project(overlap=2)
    comparison = build.make_comparison(project)
    lease(comparison, build.make_rater(project))
    Comparison.objects.filter(pk=comparison.pk).delete()
    assert not Assignment.objects.filter(comparison=comparison.pk).exists()


def test_no_foreign_key_of_a_busy_table_has_an_index_that_another_begins_with() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT indexname FROM pg_indexes WHERE tablename = ANY(%s)",
            [["annotate_assignment", "annotate_comparison", "annotate_completion", "annotate_judgement"]],
        )
        there = {name.rsplit("_", 1)[0] for (name,) in cursor.fetchall()}
    dropped = {"annotate_assignment_rater_id", "annotate_comparison_project_id", "annotate_completion_prompt_id"}
    assert not there & (dropped | {"annotate_judgement_comparison_id", "annotate_judgement_rater_id"})
    assert "annotate_assignment_comparison_id" in there  # no other index serves every assignment of a comparison

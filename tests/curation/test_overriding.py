"""A person's word against the router's: what it takes to give it, to take it back, and what neither may break."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from annotate.models import Adjudication
from curation.services import overriding
from tests.build import make_aggregation, make_comparison, make_consensus, make_judgements, make_project, make_user
from tiebreak.accounts.models import Project, User
from tiebreak.core.errors import Conflict

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("storage")]


@pytest.fixture
def by() -> User:
    return make_user()


@pytest.fixture
def project() -> Project:
    return make_project(overlap=2)


@pytest.mark.parametrize(
    ("letters", "sure", "then"), [("A", 0.9, "open"), ("AA", 0.9, "settled"), ("AB", 0.6, "disputed")]
)
def test_what_was_settled_by_hand_stands_where_its_answers_leave_it_once_lifted(
    project: Project, by: User, letters: str, sure: float, then: str
) -> None:
    comparison = make_comparison(project)
    make_judgements(comparison, letters)
    make_consensus(make_aggregation(project), comparison, (sure, 0.0, 1 - sure))
    decision = overriding.override(project, comparison.pk, "settled", "clear", by=by)
    overriding.lift(decision, by=by)
    comparison.refresh_from_db()
    assert comparison.status == then


def test_lifting_what_was_settled_leaves_an_adjudicators_decision(project: Project, by: User) -> None:
    comparison = make_comparison(project)
    make_consensus(make_aggregation(project), comparison, (0.1, 0.0, 0.9))
    decision = overriding.override(project, comparison.pk, "settled", "clear", by=by)
    Adjudication.objects.create(comparison=comparison, preference=-1, reason="It is right.", by=by)
    overriding.lift(decision, by=by)
    comparison.refresh_from_db()
    assert comparison.status == "settled"


def test_lifting_locks_the_comparison_before_the_decision_as_all_do(project: Project, by: User) -> None:
    comparison = make_comparison(project)
    decision = overriding.override(project, comparison.pk, "people", "look", by=by)
    with CaptureQueriesContext(connection) as asked:
        overriding.lift(decision, by=by)
    told = [query["sql"] for query in asked]
    locks = next(i for i, sql in enumerate(told) if sql.endswith("FOR NO KEY UPDATE"))
    assert locks < next(i for i, sql in enumerate(told) if sql.startswith('UPDATE "curation_routingdecision"'))


def test_where_no_seat_is_left_to_count_nobody_else_is_asked(project: Project, by: User) -> None:
    comparison = make_comparison(project, overlap=32767, seats_taken=32767)
    with pytest.raises(Conflict, match="As many people"):
        overriding.override(project, comparison.pk, "people", "look again", by=by)

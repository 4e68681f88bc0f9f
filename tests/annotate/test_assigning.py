"""Leases: who is given what, and every arrow of an assignment."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from annotate import policies
from annotate.models import Assignment, Comparison, Rater
from annotate.services import assigning
from tests.build import make_comparison, make_member, make_project, make_rater, make_user
from tiebreak.accounts.models import Membership, Project, User
from tiebreak.accounts.roles import Role
from tiebreak.core.errors import Conflict, Invalid, NotAllowed, NotFound
from tiebreak.core.models import Event

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
Status = Assignment.Status


@pytest.fixture
def project() -> Project:
    return make_project(overlap=2, lease_seconds=600)


def annotator(project: Project, name: str = "") -> tuple[Rater, User]:
    user = make_member(project, Role.ANNOTATOR, name=name)
    return assigning.rater_for(project, user), user


def lease(rater: Rater, now: datetime = NOW) -> Assignment:
    assignment = assigning.next_assignment(rater, now=now)
    assert assignment is not None
    return assignment


def verbs(assignment: Assignment) -> list[str]:
    events = Event.objects.filter(target_type="annotate.assignment", target_id=str(assignment.pk))
    return list(events.order_by("id").values_list("verb", flat=True))


# Raters


def test_the_first_visit_makes_a_rater_and_the_second_finds_it(project: Project) -> None:
    rater, user = annotator(project, "ada")
    assert (rater.name, rater.kind, rater.user) == ("ada", "annotator", user)
    assert assigning.rater_for(project, user) == rater


def test_an_imported_annotator_of_the_same_name_stays_somebody_else(project: Project) -> None:
    imported = make_rater(project, "ada")
    rater, user = annotator(project, "ada")
    assert rater != imported
    assert rater.name == f"ada#{user.pk}"


def test_a_viewer_and_a_stranger_get_no_rater(project: Project) -> None:
    for user in (make_member(project, Role.VIEWER), make_user()):
        with pytest.raises(NotAllowed):
            assigning.rater_for(project, user)
    assert not Rater.objects.exists()


# Claiming


def test_a_claim_leases_an_open_comparison_for_the_time_of_the_form(project: Project) -> None:
    comparison = make_comparison(project)
    rater, _ = annotator(project)
    assignment = lease(rater)
    assert assignment.comparison == comparison
    assert (assignment.status, assignment.order in ("ab", "ba")) == ("leased", True)
    assert assignment.expires_at == NOW + timedelta(seconds=600)
    assert assignment.form == project.forms.get()
    comparison.refresh_from_db()
    assert comparison.seats_taken == 1


def test_a_second_tab_gets_the_same_lease(project: Project) -> None:
    make_comparison(project)
    make_comparison(project)
    rater, _ = annotator(project)
    assert lease(rater) == lease(rater)
    assert Assignment.objects.count() == 1


def test_a_lapsed_lease_that_nobody_reaped_is_renewed(project: Project) -> None:
    make_comparison(project)
    rater, _ = annotator(project)
    first = lease(rater)
    again = lease(rater, LATER)
    assert again == first
    again.refresh_from_db()
    assert again.expires_at == LATER + timedelta(seconds=600)


def test_a_lease_of_a_withdrawn_comparison_is_given_back(project: Project) -> None:
    comparison = make_comparison(project)
    rater, _ = annotator(project)
    first = lease(rater)
    Comparison.objects.filter(pk=comparison.pk).update(status=Comparison.Status.WITHDRAWN)
    assert assigning.next_assignment(rater, now=NOW) is None
    first.refresh_from_db()
    assert first.status == Status.RELEASED


def test_the_most_urgent_comparisons_go_first(project: Project) -> None:
    for name, priority in (("normal", 0), ("first", 2), ("soon", 1), ("normal2", 0), ("first2", 2)):
        make_comparison(project, name, priority=priority)
    rater, user = annotator(project)
    seen = []
    for _ in range(5):
        assignment = lease(rater)
        seen.append(assignment.comparison.priority)
        assigning.skip(assignment, "not mine", by=user, now=NOW)
    assert seen == [2, 2, 1, 0, 0]


def test_a_claim_starts_at_a_random_point_and_goes_round(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    for shuffle in (0.1, 0.3, 0.7):
        make_comparison(project, str(shuffle), shuffle=shuffle)
    got = []
    for point in (0.0, 0.2, 0.5, 0.9):  # the next above each; above all, round to the least
        monkeypatch.setattr(policies, "start_point", lambda rng, point=point: point)
        rater, user = annotator(project)
        assignment = lease(rater)
        got.append(assignment.comparison.external_id)
        assigning.release(assignment, by=user, now=NOW)
    assert got == ["0.1", "0.3", "0.7", "0.1"]


@pytest.mark.parametrize("answered", [Status.SUBMITTED, Status.SKIPPED])
def test_nothing_answered_or_skipped_is_offered_again(project: Project, answered: Assignment.Status) -> None:
    comparison = make_comparison(project)
    rater, _ = annotator(project)
    Assignment.objects.create(comparison=comparison, rater=rater, status=answered, order="ab")
    assert assigning.next_assignment(rater, now=NOW) is None


@pytest.mark.parametrize(
    "closed",
    [{"status": "settled"}, {"status": "disputed"}, {"status": "withdrawn"}, {"route": "judge"}],
)
def test_only_open_comparisons_routed_to_people_are_offered(project: Project, closed: dict[str, str]) -> None:
    make_comparison(project, **closed)
    rater, _ = annotator(project)
    assert assigning.next_assignment(rater, now=NOW) is None


def test_no_more_annotators_than_the_overlap_get_a_comparison(project: Project) -> None:
    comparison = make_comparison(project)
    raters = [annotator(project)[0] for _ in range(3)]
    got = [assigning.next_assignment(rater, now=NOW) for rater in raters]
    assert [bool(assignment) for assignment in got] == [True, True, False]
    comparison.refresh_from_db()
    assert comparison.seats_taken == comparison.overlap == 2


def test_comparisons_of_another_project_are_never_offered(project: Project) -> None:
    make_comparison(make_project())
    rater, _ = annotator(project)
    assert assigning.next_assignment(rater, now=NOW) is None


def test_a_paused_rater_is_told_why(project: Project) -> None:
    make_comparison(project)
    rater, _ = annotator(project)
    Rater.objects.update(paused_at=NOW, paused_because="please read the guidelines again")
    with pytest.raises(NotAllowed, match="guidelines again") as caught:
        assigning.next_assignment(rater, now=NOW)
    assert caught.value.code == "paused"
    assert not Assignment.objects.exists()


def test_every_comparison_is_shown_equally_in_both_orders(project: Project) -> None:
    comparisons = [make_comparison(project) for _ in range(6)]
    users = [annotator(project) for _ in range(2)]
    for rater, _user in users:
        for _ in comparisons:
            assignment = lease(rater)
            Assignment.objects.filter(pk=assignment.pk).update(status=Status.SUBMITTED, expires_at=None)
    for comparison in comparisons:
        assert sorted(comparison.assignments.values_list("order", flat=True)) == ["ab", "ba"]
    for rater, _ in users:  # six comparisons each, alternating where the comparison itself was even
        assert sorted(rater.assignments.values_list("order", flat=True)) == ["ab"] * 3 + ["ba"] * 3


# Renewing, drafts


def test_renewing_pushes_the_end_away(project: Project) -> None:
    make_comparison(project)
    rater, user = annotator(project)
    assignment = lease(rater)
    assigning.renew(assignment, by=user, now=LATER)
    assignment.refresh_from_db()
    assert assignment.expires_at == LATER + timedelta(seconds=600)


def test_an_expired_lease_is_not_renewed(project: Project) -> None:
    make_comparison(project)
    rater, user = annotator(project)
    assignment = lease(rater)
    assigning.reap(LATER)
    with pytest.raises(Conflict) as caught:
        assigning.renew(assignment, by=user, now=LATER)
    assert caught.value.code == "lease_lost"


def test_a_draft_is_kept_and_renews_the_lease(project: Project) -> None:
    make_comparison(project)
    rater, user = annotator(project)
    assignment = lease(rater)
    assigning.save_draft(assignment, {"justification": "so far"}, by=user, now=LATER)
    assignment.refresh_from_db()
    assert assignment.draft == {"justification": "so far"}
    assert assignment.expires_at == LATER + timedelta(seconds=600)


def test_a_draft_of_a_lost_lease_is_kept_and_the_loss_told(project: Project) -> None:
    make_comparison(project)
    rater, user = annotator(project)
    assignment = lease(rater)
    assigning.reap(LATER)
    with pytest.raises(Conflict, match="What you wrote is kept"):
        assigning.save_draft(assignment, {"justification": "late"}, by=user, now=LATER)
    assignment.refresh_from_db()
    assert (assignment.status, assignment.draft) == ("expired", {"justification": "late"})


def test_a_draft_that_comes_after_the_answer_is_refused(project: Project) -> None:
    make_comparison(project)
    rater, user = annotator(project)
    assignment = lease(rater)
    Assignment.objects.update(status=Status.SUBMITTED, expires_at=None)
    with pytest.raises(Conflict) as caught:
        assigning.save_draft(assignment, {"choice": 1}, by=user, now=NOW)
    assert caught.value.code == "already_submitted"
    assignment.refresh_from_db()
    assert assignment.draft == {}


def test_a_draft_that_cannot_be_stored_is_refused(project: Project) -> None:
    make_comparison(project)
    rater, user = annotator(project)
    assignment = lease(rater)
    with pytest.raises(Invalid, match="NUL"):
        assigning.save_draft(assignment, {"justification": "a\x00b"}, by=user, now=NOW)


def test_a_draft_comes_back_on_the_same_screen(project: Project) -> None:
    make_comparison(project, overlap=9)
    rater, user = annotator(project)
    first = lease(rater)
    assigning.save_draft(first, {"choice": -1}, by=user, now=NOW)
    assigning.reap(LATER)
    lease(annotator(project)[0])  # somebody sees the order that is lacking meanwhile
    again = lease(rater, LATER)
    assert again.pk != first.pk
    assert (again.draft, again.order) == ({"choice": -1}, first.order)


# Giving back


def test_skipping_keeps_the_reason_and_frees_the_seat(project: Project) -> None:
    comparison = make_comparison(project)
    rater, user = annotator(project)
    assignment = assigning.skip(lease(rater), "  cannot read Dutch ", by=user, now=NOW)
    assignment.refresh_from_db()
    assert (assignment.status, assignment.skip_reason) == ("skipped", "cannot read Dutch")
    assert (assignment.expires_at, assignment.closed_at) == (None, NOW)
    assert verbs(assignment) == ["assignment.skipped"]
    comparison.refresh_from_db()
    assert comparison.seats_taken == 0


@pytest.mark.parametrize("reason", ["", "   ", "x" * 301, "a\x00b"])
def test_skipping_needs_a_reason_that_can_be_stored(project: Project, reason: str) -> None:
    make_comparison(project)
    rater, user = annotator(project)
    assignment = lease(rater)
    with pytest.raises(Invalid) as caught:
        assigning.skip(assignment, reason, by=user, now=NOW)
    assert caught.value.params["field"] == "reason"
    assignment.refresh_from_db()
    assert assignment.status == Status.LEASED


def test_a_curator_may_release_what_an_annotator_holds(project: Project) -> None:
    make_comparison(project)
    rater, _ = annotator(project)
    assignment = lease(rater)
    assigning.release(assignment, by=make_member(project, Role.CURATOR), now=NOW)
    assignment.refresh_from_db()
    assert assignment.status == Status.RELEASED
    assert verbs(assignment) == ["assignment.released"]
    assert lease(rater).pk != assignment.pk  # what was released may come again


def test_nobody_else_can_touch_an_assignment(project: Project) -> None:
    make_comparison(project)
    rater, _user = annotator(project)
    assignment = lease(rater)
    other = make_member(project, Role.ANNOTATOR)
    for act in (
        lambda: assigning.renew(assignment, by=other, now=NOW),
        lambda: assigning.save_draft(assignment, {}, by=other, now=NOW),
        lambda: assigning.skip(assignment, "why", by=other, now=NOW),
        lambda: assigning.release(assignment, by=other, now=NOW),
    ):
        with pytest.raises(NotFound):
            act()
    assignment.refresh_from_db()
    assert assignment.status == Status.LEASED
    assert verbs(assignment) == []


@pytest.mark.parametrize("closed", [Status.SUBMITTED, Status.SKIPPED, Status.EXPIRED, Status.RELEASED])
def test_a_closed_assignment_moves_no_more(project: Project, closed: Assignment.Status) -> None:
    rater, user = annotator(project)
    assignment = Assignment.objects.create(comparison=make_comparison(project), rater=rater, status=closed, order="ab")
    for act in (
        lambda: assigning.skip(assignment, "why", by=user, now=NOW),
        lambda: assigning.release(assignment, by=user, now=NOW),
    ):
        with pytest.raises(Conflict):
            act()
    assignment.refresh_from_db()
    assert assignment.status == closed


# Reaping


def test_reaping_expires_lapsed_leases_only_and_gives_their_seats_back(project: Project) -> None:
    comparison = make_comparison(project)
    early, late = (annotator(project)[0] for _ in range(2))
    lapsed, live = lease(early), lease(late, LATER)
    assert assigning.reap(LATER) == 1
    lapsed.refresh_from_db()
    live.refresh_from_db()
    assert (lapsed.status, lapsed.expires_at, lapsed.closed_at) == ("expired", None, LATER)
    assert live.status == Status.LEASED
    assert verbs(lapsed) == ["assignment.expired"]
    assert Event.objects.get(verb="assignment.expired").project_id == project.pk
    comparison.refresh_from_db()
    assert comparison.seats_taken == 1
    assert assigning.reap(LATER) == 0


def test_reaping_goes_on_past_one_batch(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assigning, "REAP_BATCH", 2)
    for _ in range(5):
        make_comparison(project)
        lease(annotator(project)[0])
    assert assigning.reap(LATER) == 5
    assert Event.objects.filter(verb="assignment.expired").count() == 5


def test_the_task_reaps(project: Project) -> None:
    from annotate.tasks import reap_assignments

    make_comparison(project)
    lease(annotator(project)[0])  # leased in 2026-05; long lapsed by the clock, or not at all
    Assignment.objects.update(expires_at=datetime(2000, 1, 1, tzinfo=UTC))
    assert reap_assignments.name == "annotate.reap"
    assert reap_assignments() == {"expired": 1}


def test_a_removed_member_gets_no_rater(project: Project) -> None:
    _, user = annotator(project)
    Membership.objects.filter(user=user).delete()
    with pytest.raises(NotAllowed):
        assigning.rater_for(project, user)

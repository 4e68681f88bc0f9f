"""What the queue gives to whom: lanes, orderings, hidden gold and repeats, what is ahead, quotas, people who leave."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import numpy as np
import pytest

from annotate import policies
from annotate.models import Assignment, Comparison, Form, Judgement, Lane, Rater, Trial
from annotate.services import assigning, judging, sessions
from annotate.services.answers import Answer
from tests.build import make_comparison, make_member, make_project
from tiebreak.accounts.models import Membership, Project, User
from tiebreak.accounts.roles import Role
from tiebreak.core.errors import Conflict, NotAllowed
from tiebreak.core.models import Event

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
Status, Purpose = Assignment.Status, Assignment.Purpose


@pytest.fixture(autouse=True)
def _lots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lots by the order in which raters come up, so that the outcome does not depend on the ids of a test's rows."""
    real, raters = policies.lots, list[int]()

    def lots(project: int, rater: int, number: int) -> np.random.Generator:
        if rater not in raters:
            raters.append(rater)
        return real(1, raters.index(rater), number)

    monkeypatch.setattr(policies, "lots", lots)


class Annotator:
    """Somebody who takes work and answers it; each answer takes a minute."""

    def __init__(self, project: Project, name: str = "", **fields: Any) -> None:
        self.user: User = make_member(project, Role.ANNOTATOR, name=name)
        self.rater: Rater = assigning.rater_for(project, self.user)
        Rater.objects.filter(pk=self.rater.pk).update(**fields)
        self.rater.refresh_from_db()
        self.now = NOW

    def next(self) -> Assignment | None:
        return assigning.next_assignment(self.rater, now=self.now)

    def lease(self) -> Assignment:
        assignment = self.next()
        assert assignment is not None
        return assignment

    def answer(self, assignment: Assignment, choice: int = 1) -> Judgement:
        self.now += MINUTE
        return judging.submit(assignment, Answer(choice, seconds=30.0), by=self.user, key=uuid4(), now=self.now)

    def work(self, n: int) -> list[Assignment]:
        """Take and answer up to `n`."""
        done: list[Assignment] = []
        while len(done) < n and (assignment := self.next()):
            self.answer(assignment)
            done.append(assignment)
        return done

    def ahead(self) -> Assignment | None:
        return assigning.fetch_ahead(self.rater, now=self.now)


def names(assignments: list[Assignment]) -> list[str]:
    return [assignment.comparison.external_id for assignment in assignments]


def lane(project: Project, number: int, **asks: Any) -> int:
    Lane.objects.create(project=project, number=number, **asks)
    return number


def code_of(refused: pytest.ExceptionInfo[Conflict]) -> str:
    return refused.value.code


# Lanes


def test_a_comparison_goes_to_those_who_have_its_skills_and_language() -> None:
    project = make_project()
    law = lane(project, 1, skills=["law"], language="de")
    make_comparison(project, "any")
    make_comparison(project, "law", lane=law)
    plain, lawyer = Annotator(project), Annotator(project, skills=["Law"], languages=["de-AT"])
    french = Annotator(project, skills=["law"], languages=["fr"])
    assert names(plain.work(9)) == ["any"]
    assert names(french.work(9)) == ["any"]
    assert sorted(names(lawyer.work(9))) == ["any", "law"]


def test_an_urgent_comparison_comes_first_in_whatever_lane() -> None:
    project = make_project(ordering="mixed")
    first, second = lane(project, 1, stratum="a"), lane(project, 2, stratum="b")
    for number in range(6):
        make_comparison(project, f"plain{number}", lane=first)
    make_comparison(project, "urgent", lane=second, priority=2)
    make_comparison(project, "soon", priority=1)
    assert names(Annotator(project).work(2)) == ["urgent", "soon"]


def test_mixed_gives_equal_shares_of_unequal_strata() -> None:
    project = make_project(ordering="mixed")
    few, many = lane(project, 1, stratum="few"), lane(project, 2, stratum="many")
    for number in range(40):
        make_comparison(project, lane=few if number < 12 else many)
    got = Counter(assignment.comparison.lane for assignment in Annotator(project).work(16))
    assert abs(got[few] - 8) <= 4  # of 16 by lot: two standard deviations; the seeds are fixed, and so is the outcome
    assert Annotator(project).work(99)[-1].comparison.lane == many  # and what is left comes when one has run out


def test_by_chance_a_lane_comes_in_proportion_to_what_it_has_left() -> None:
    project = make_project(ordering="random")
    few, many = lane(project, 1, stratum="few"), lane(project, 2, stratum="many")
    for number in range(60):
        make_comparison(project, lane=few if number % 6 == 0 else many)
    got = Counter(assignment.comparison.lane for assignment in Annotator(project).work(30))
    assert abs(got[few] - 5) <= 4  # a sixth of 30, and two standard deviations


def test_in_order_comparisons_come_as_they_were_imported() -> None:
    project = make_project(ordering="sequence", overlap=2)
    for number in range(8):
        make_comparison(project, f"n{number}", shuffle=number / 2**20)
    swift, slow = Annotator(project), Annotator(project)
    assert names(swift.work(5)) == [f"n{n}" for n in range(5)]
    assert names(slow.work(2)) == ["n0", "n1"]
    assert names(swift.work(9)) == ["n5", "n6", "n7"]


def test_in_order_what_somebody_skipped_comes_again_at_the_end() -> None:
    project = make_project(ordering="sequence", overlap=1)
    for number in range(4):
        make_comparison(project, f"n{number}", shuffle=number / 2**20)
    first, second = Annotator(project), Annotator(project)
    skipped = first.lease()
    second.answer(second.lease())  # n1
    assigning.skip(skipped, "no", by=first.user, now=NOW)
    assert names(second.work(9)) == ["n2", "n3", "n0"]


def test_what_is_far_from_every_start_is_found_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assigning, "REACH", 1)
    project = make_project(overlap=2)
    comparisons = [make_comparison(project, shuffle=number / 50) for number in range(40)]
    annotator = Annotator(project)
    for comparison in comparisons[:-1]:  # had all but one: no start leads to it within one step
        Assignment.objects.create(comparison=comparison, rater=annotator.rater, status=Status.SUBMITTED, order="ab")
    assert annotator.lease().comparison == comparisons[-1]


# Nobody judges their own text


def test_nobody_judges_a_text_of_their_own() -> None:
    project = make_project()
    make_comparison(project, "theirs", a="by a person", b="by a model")
    Comparison.objects.get().completion_a.__class__.objects.filter(text="by a person").update(generator="Ada")
    make_comparison(project, "other", a="x", b="y")
    assert names(Annotator(project, "ada").work(9)) == ["other"]
    assert sorted(names(Annotator(project, "bob").work(9))) == ["other", "theirs"]


# Hidden gold


def gold_project(**form: Any) -> Project:
    project = make_project(**({"gold_rate": 0.25, "overlap": 2} | form))
    for number in range(40):
        make_comparison(project, f"work{number}")
    for number in range(12):
        make_comparison(project, f"gold{number}", gold=1, shuffle=number / 12)
    return project


def test_hidden_gold_comes_as_often_as_asked_and_takes_no_seat() -> None:
    project = gold_project()
    done = Annotator(project).work(40)
    gold = [a for a in done if a.purpose == Purpose.GOLD]
    # 40 lots at 0.25: 10 and two standard deviations of sqrt(40 * 0.25 * 0.75) = 2.7.
    assert 5 <= len(gold) <= 15
    assert all(name.startswith("gold") for name in names(gold))
    assert len({a.comparison_id for a in gold}) == len(gold)  # never twice
    assert not Comparison.objects.filter(gold__isnull=False, seats_taken__gt=0).exists()
    assert Judgement.objects.filter(comparison__gold__isnull=False, preference=1).exists()


def test_gold_that_is_to_be_hidden_is_never_met_as_work() -> None:
    project = gold_project()
    assert {a.purpose for a in Annotator(project).work(99) if a.comparison.gold is not None} == {Purpose.GOLD}


def test_gold_is_work_like_any_other_where_none_is_hidden() -> None:
    project = gold_project(gold_rate=0)
    assert {a.purpose for a in Annotator(project).work(99)} == {Purpose.WORK}
    assert not Comparison.objects.filter(seats_taken=0).exists()


def test_gold_that_somebody_practised_on_is_never_hidden_gold_for_them() -> None:
    project = gold_project(gold_rate=0.5)
    annotator = Annotator(project)
    for position, comparison in enumerate(Comparison.objects.filter(gold__isnull=False)):
        Trial.objects.create(
            rater=annotator.rater, kind="practice", position=position, comparison=comparison, order="ab",
            form=project.forms.get(),
        )  # fmt: skip
    assert {a.purpose for a in annotator.work(20)} == {Purpose.WORK}


def test_everybody_gets_the_same_gold_whatever_the_overlap() -> None:
    project = make_project(gold_rate=0.5, overlap=1)
    make_comparison(project, "gold", gold=-1)
    for _ in range(40):
        make_comparison(project)
    for _ in range(3):
        assert "gold" in names(Annotator(project).work(8))
    assert Comparison.objects.get(external_id="gold").judgements.count() == 3


# Hidden repeats


def test_a_repeat_is_an_own_judgement_of_ten_or_more_ago_with_the_sides_swapped() -> None:
    project = make_project(repeat_rate=0.5, overlap=1)
    for _ in range(60):
        make_comparison(project)
    annotator = Annotator(project)
    done = annotator.work(40)
    first: dict[int, tuple[int, str]] = {}
    judged = 0
    repeats = 0
    for assignment in done:
        if assignment.purpose == Purpose.REPEAT:
            at, order = first.pop(assignment.comparison_id)  # a KeyError where it is repeated twice
            assert judged - at >= 10
            assert (assignment.repeat, assignment.order != order) == (1, True)
            repeats += 1
        else:
            first[assignment.comparison_id] = (judged, assignment.order)
            judged += 1
    # None of the first ten; then about half by lot, as far as there are judgements old enough.
    assert 6 <= repeats <= 20
    assert Comparison.objects.filter(seats_taken=1).count() == 40 - repeats  # a repeat takes no seat
    assert Judgement.objects.filter(repeat=1).count() == repeats


# Ahead


def test_what_was_fetched_ahead_comes_next_and_keeps_its_seat() -> None:
    project = make_project(overlap=1)
    for _ in range(3):
        make_comparison(project)
    annotator = Annotator(project)
    before = annotator.lease()
    ahead = annotator.ahead()
    assert ahead is not None
    assert (ahead.status, ahead.comparison_id != before.comparison_id) == ("ahead", True)
    assert annotator.ahead() == ahead  # one ahead, however often it is asked for
    assert annotator.lease() == before  # and what is before them stays
    annotator.answer(before)
    ahead.refresh_from_db()
    assert ahead.status == Status.LEASED
    assert ahead.expires_at == annotator.now + timedelta(seconds=900)
    assert annotator.lease() == ahead
    assert Comparison.objects.filter(seats_taken=1).count() == 2


def test_a_skip_puts_what_is_ahead_in_its_place() -> None:
    project = make_project()
    for _ in range(3):
        make_comparison(project)
    annotator = Annotator(project)
    before, ahead = annotator.lease(), annotator.ahead()
    assert ahead is not None
    assigning.skip(before, "unclear", by=annotator.user, now=NOW)
    ahead.refresh_from_db()
    assert ahead.status == Status.LEASED


@pytest.mark.parametrize("closed", ["withdrawn", "settled", "disputed"])
def test_what_is_ahead_and_no_longer_wanted_goes_back(closed: str) -> None:
    project = make_project()
    for _ in range(3):
        make_comparison(project)
    annotator = Annotator(project)
    before, ahead = annotator.lease(), annotator.ahead()
    assert ahead is not None
    Comparison.objects.filter(pk=ahead.comparison_id).update(status=closed)
    annotator.answer(before)
    following = annotator.lease()
    assert following.comparison_id not in (before.comparison_id, ahead.comparison_id)
    ahead.refresh_from_db()
    assert ahead.status == Status.RELEASED


def test_the_last_one_has_nothing_ahead() -> None:
    project = make_project()
    make_comparison(project)
    annotator = Annotator(project)
    annotator.lease()
    assert annotator.ahead() is None


def test_an_answer_to_what_is_ahead_waits_for_the_one_before() -> None:
    project = make_project()
    for _ in range(2):
        make_comparison(project)
    annotator = Annotator(project)
    annotator.lease()
    ahead = annotator.ahead()
    assert ahead is not None
    with pytest.raises(Conflict) as refused:
        annotator.answer(ahead)
    assert code_of(refused) == "out_of_turn"
    assert not Judgement.objects.exists()


def test_drafts_and_signs_of_life_renew_what_is_ahead_too() -> None:
    project = make_project()
    for _ in range(2):
        make_comparison(project)
    annotator = Annotator(project)
    before, ahead = annotator.lease(), annotator.ahead()
    assert ahead is not None
    assigning.renew(before, by=annotator.user, now=NOW + 5 * MINUTE)
    ahead.refresh_from_db()
    assert ahead.expires_at == NOW + 20 * MINUTE
    assigning.save_draft(before, {"choice": 2}, by=annotator.user, now=NOW + 9 * MINUTE)
    ahead.refresh_from_db()
    before.refresh_from_db()
    assert ahead.expires_at == before.expires_at == NOW + 24 * MINUTE
    assert (before.draft, ahead.draft) == ({"choice": 2}, {})


def test_a_draft_may_be_kept_of_what_is_ahead() -> None:
    project = make_project()
    for _ in range(2):
        make_comparison(project)
    annotator = Annotator(project)
    before, ahead = annotator.lease(), annotator.ahead()
    assert ahead is not None
    assigning.save_draft(ahead, {"choice": 1}, by=annotator.user, now=NOW)
    annotator.answer(before)
    assert annotator.lease().draft == {"choice": 1}


def test_reaping_frees_what_is_ahead() -> None:
    project = make_project(overlap=1)
    for _ in range(2):
        make_comparison(project)
    annotator = Annotator(project)
    annotator.lease()
    annotator.ahead()
    assert assigning.reap(NOW + 60 * MINUTE) == 2
    assert not Comparison.objects.filter(seats_taken__gt=0).exists()
    before = Event.objects.filter(verb="assignment.expired").values_list("data__before", flat=True)
    assert sorted(before) == ["ahead", "leased"]


# Leaving


def test_whoever_pauses_gives_back_what_they_hold_and_finds_their_draft_again() -> None:
    project = make_project(overlap=1)
    for _ in range(2):
        make_comparison(project)
    annotator = Annotator(project)
    before = annotator.lease()
    annotator.ahead()
    assigning.save_draft(before, {"choice": 3}, by=annotator.user, now=NOW)
    assert assigning.release_held(annotator.rater, now=NOW) == 2
    assert assigning.release_held(annotator.rater, now=NOW) == 0
    assert not Comparison.objects.filter(seats_taken__gt=0).exists()
    assert Event.objects.filter(verb="assignment.released").count() == 2
    again = {a.comparison_id: a.draft for a in (annotator.lease(), annotator.ahead()) if a}
    assert again[before.comparison_id] == {"choice": 3}


@pytest.mark.parametrize("left", ["removed", "viewer", "inactive"])
def test_work_comes_back_from_those_who_may_annotate_no_more_and_what_they_said_stays(left: str) -> None:
    project = make_project(overlap=1)
    for _ in range(3):
        make_comparison(project)
    leaver, stayer = Annotator(project), Annotator(project)
    leaver.answer(leaver.lease())
    leaver.lease()
    kept = stayer.lease()
    if left == "inactive":
        User.objects.filter(pk=leaver.user.pk).update(is_active=False)
    elif left == "viewer":
        Membership.objects.filter(user=leaver.user).update(role=Role.VIEWER)
    else:
        Membership.objects.filter(user=leaver.user).delete()
    assert assigning.reap(NOW) == 0  # none had lapsed
    assert Counter(leaver.rater.assignments.values_list("status", flat=True)) == {"submitted": 1, "released": 1}
    kept.refresh_from_db()
    assert kept.status == Status.LEASED
    assert Judgement.objects.filter(rater=leaver.rater).count() == 1


# What comes before work


@pytest.mark.parametrize(
    ("form", "code"), [({"practice_size": 2}, "practice_due"), ({"qualification_size": 2}, "qualification_due")]
)
def test_newcomers_practise_and_qualify_first(form: dict[str, Any], code: str) -> None:
    project = make_project(**form)
    make_comparison(project)
    annotator = Annotator(project)
    with pytest.raises(Conflict) as refused:
        annotator.next()
    assert code_of(refused) == code
    assert annotator.ahead() is None
    assert not Assignment.objects.exists()
    Rater.objects.update(practised_at=NOW, qualified_at=NOW)
    assert annotator.next() is not None


def test_a_session_ends_with_its_quota_and_a_new_one_begins_after_a_pause() -> None:
    project = make_project(session_quota=3)
    for _ in range(9):
        make_comparison(project)
    annotator = Annotator(project)
    for number in range(3):
        before = annotator.lease()
        assert (annotator.ahead() is None) == (number == 2)  # what would be one too many is not fetched
        annotator.answer(before)
    with pytest.raises(Conflict) as refused:
        annotator.next()
    assert code_of(refused) == "quota_reached"
    annotator.now += 31 * MINUTE
    assert annotator.next() is not None


def test_ending_a_session_begins_its_quota_anew() -> None:
    project = make_project(session_quota=1)
    for _ in range(3):
        make_comparison(project)
    annotator = Annotator(project)
    annotator.work(1)
    sessions.end(annotator.rater, now=annotator.now)
    assert annotator.next() is not None


def test_the_quota_of_a_day_holds_across_sessions_and_a_rater_may_have_their_own() -> None:
    project = make_project(daily_quota=2)
    for _ in range(9):
        make_comparison(project)
    annotator, eager = Annotator(project), Annotator(project, daily_quota=4)
    for one, quota in ((annotator, 2), (eager, 4)):
        for _ in range(quota):
            one.answer(one.lease())
            sessions.end(one.rater, now=one.now)
        with pytest.raises(Conflict) as refused:
            one.next()
        assert code_of(refused) == "quota_reached"
        one.now += timedelta(days=1)
        assert one.next() is not None


def test_what_is_before_somebody_may_be_finished_whatever_is_due() -> None:
    project = make_project()
    make_comparison(project)
    annotator = Annotator(project)
    held = annotator.lease()
    Form.objects.update(practice_size=3, daily_quota=1)
    assert annotator.lease() == held


def test_a_paused_rater_fetches_nothing_ahead() -> None:
    project = make_project()
    make_comparison(project)
    annotator = Annotator(project, paused_at=NOW)
    with pytest.raises(NotAllowed):
        annotator.ahead()


# Why there is nothing


def test_why_there_is_nothing_is_told() -> None:
    project = make_project(overlap=2)
    annotator = Annotator(project)

    def why() -> str:
        assert annotator.next() is None
        return assigning.why_nothing(annotator.rater, now=NOW)

    assert why() == "nothing_left"
    law = make_comparison(project, lane=lane(project, 1, skills=["law"]))
    assert why() == "no_skill"
    make_comparison(project)
    annotator.work(1)
    assert why() == "waiting_for_others"
    Comparison.objects.exclude(pk=law.pk).update(overlap=1)
    assert why() == "no_skill"


# Lots


def test_the_same_numbers_draw_the_same_comparisons_and_sides(monkeypatch: pytest.MonkeyPatch) -> None:
    def served() -> list[tuple[str, str]]:
        project = make_project()
        for number in range(12):
            make_comparison(project, f"n{number}", shuffle=number / 12)
        return [(a.comparison.external_id, a.order) for a in Annotator(project).work(12)]

    monkeypatch.setattr(policies, "lots", lambda project, rater, number: np.random.default_rng([7, number]))
    assert served() == served()


def test_a_clock_that_goes_back_breaks_nothing() -> None:
    project = make_project()
    for _ in range(4):
        make_comparison(project)
    annotator = Annotator(project)
    annotator.answer(annotator.lease())
    annotator.now = NOW - timedelta(hours=3)
    annotator.answer(annotator.lease())
    annotator.now = NOW + timedelta(hours=1)
    annotator.answer(annotator.lease())
    assert judging.progress(annotator.rater, now=annotator.now).done_total == 3
    assert annotator.rater.sessions.filter(ended_at=None).count() == 1


def test_gold_that_is_hidden_is_not_counted_as_work_that_is_left() -> None:
    project = make_project(gold_rate=0.5)
    make_comparison(project, gold=1)
    annotator = Annotator(project)
    assert judging.progress(annotator.rater, now=NOW).left == 0
    assert judging.progress_in(project, make_member(project, Role.ANNOTATOR), now=NOW).left == 0
    assert assigning.why_nothing(annotator.rater, now=NOW) == "nothing_left"


def test_gold_that_somebody_made_urgent_is_judged_in_the_open() -> None:
    project = make_project(gold_rate=0.01)
    make_comparison(project, "doubted", gold=1, priority=2)
    make_comparison(project)
    urgent = Annotator(project).lease()
    assert (urgent.comparison.external_id, urgent.purpose) == ("doubted", Purpose.WORK)

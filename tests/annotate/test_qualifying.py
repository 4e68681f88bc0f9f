"""Practice, qualification, and what hidden gold may conclude: who comes in, who is stopped, and who never is."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from django.db import connection
from django.utils import timezone

from annotate import policies
from annotate.models import Assignment, Comparison, Judgement, Lane, Rater, Trial
from annotate.services import assigning, judging, qualifying, raters
from annotate.services.answers import Answer
from tests import build
from tiebreak.accounts.models import Project
from tiebreak.core.errors import Conflict, DomainError, Invalid, NotAllowed, NotFound
from tiebreak.core.models import Event

NOW = timezone.now()


def make_newcomer(golds: int = 8, **form: Any) -> Rater:
    """An annotator of a project with so much gold, a favoured in every second one."""
    project = build.make_project(**form)
    for number in range(golds):
        build.make_comparison(project, gold=-1 if number % 2 else 1, gold_because="It is right." if number < 3 else "")
    user = build.make_member(project)
    return assigning.rater_for(project, user)


def say(trial: Trial, *, right: bool = True, now: datetime = NOW) -> Trial:
    """Answer a trial, in terms of the screen that it was shown on."""
    preference = (trial.comparison.gold or 0) * (1 if right else -1)
    answer = Answer(choice=policies.to_screen(preference, trial.order), seconds=4.0)
    assert trial.rater.user is not None
    return qualifying.answer(trial, answer, by=trial.rater.user, now=now)


def go_through(rater: Rater, kind: qualifying.Kind, *, wrong: int = 0, now: datetime = NOW) -> list[Trial]:
    """Answer all trials of an attempt, the first `wrong` of them wrongly."""
    done: list[Trial] = []
    while trial := qualifying.before(rater, kind, now=now):
        done.append(say(trial, right=len(done) >= wrong, now=now))
        if qualifying.attempt(rater, kind).ended_at:  # type: ignore[union-attr]
            break
    rater.refresh_from_db()
    return done


def verbs(rater: Rater) -> list[str]:
    """The newest first."""
    events = Event.objects.filter(target_type="annotate.rater", target_id=str(rater.pk))
    return list(events.values_list("verb", flat=True))


def measured(rater: Rater, right: int, wrong: int) -> None:
    """Answers to hidden gold, the wrong ones last."""
    for number in range(right + wrong):
        comparison = build.make_comparison(rater.project, gold=1)
        given = Assignment.objects.create(
            comparison=comparison, rater=rater, status="submitted", purpose="gold", order="ab", closed_at=timezone.now()
        )
        Judgement.objects.create(
            comparison=comparison, rater=rater, assignment=given, preference=1 if number < right else -1, order="ab"
        )


# The pure part


@pytest.mark.parametrize(
    ("preference", "gold", "expected"),
    [
        (-1, -3, True),  # the same side; how strongly does not count
        (3, 1, True),
        (0, 0, True),  # a tie is an answer
        (0, 1, False),
        (1, 0, False),
        (-1, 1, False),
        (None, 0, False),  # both bad alone names no side, and is no tie
    ],
)
def test_right_is_the_known_side(preference: int | None, gold: int, expected: bool) -> None:
    assert policies.right(preference, gold) is expected


@pytest.mark.parametrize(
    ("right", "size", "mark", "expected"),
    [
        (7, 10, 0.7, True),  # the mark itself is enough, however 0.7 is stored
        (6, 10, 0.7, False),
        (0, 0, 0.0, False),  # nothing was asked: that is a waiver, not a pass
        (0, 5, 0.0, True),
        (2, 3, 2 / 3, True),
    ],
)
def test_who_passes(right: int, size: int, mark: float, expected: bool) -> None:
    assert policies.passes(right, size, mark) is expected


@pytest.mark.parametrize(
    ("right", "n", "line", "expected"),
    [
        (0, 9, 0.7, False),  # nine wrong in a row are thin evidence still
        # z = 2.807, z² = 7.879. 2 of 10: centre (.2 + .394)/1.788 = .332, half = 1.570·√(.016 + .0197) = .297: to .629.
        (2, 10, 0.7, True),
        # 3 of 10: centre (.3 + .394)/1.788 = .388, half = 1.570·√(.021 + .0197) = .317: to .705.
        (3, 10, 0.7, False),
        (3, 10, 0.71, True),
        # 25 of 50: centre .5, half = (2.807/1.1576)·√(.005 + .000788) = .1845: to .6845.
        (25, 50, 0.7, True),
        (26, 50, 0.7, False),  # to .702
        (50, 50, 1.0, False),  # nobody is below a line that they stand on
        (10, 50, 0.0, False),
    ],
)
def test_who_is_surely_below_the_line(right: int, n: int, line: float, expected: bool) -> None:
    assert policies.surely_below(right, n, line) is expected


@pytest.mark.statistical
@pytest.mark.parametrize(
    ("skill", "least", "most"),
    [
        (0.7, 0.0, 0.05),  # exactly at the line, and looked at 91 times each
        (0.8, 0.0, 0.005),  # a little above it
        (0.5, 0.85, 1.0),  # tosses a coin: seen within a hundred
        (0.3, 1.0, 1.0),
    ],
)
def test_looking_after_every_answer_pauses_almost_nobody_who_is_good_enough(
    skill: float, least: float, most: float
) -> None:
    rng = np.random.default_rng(11)
    people, line = 2000, 0.7
    paused = 0
    for answers in rng.random((people, 100)) < skill:
        total = np.concatenate([[0], np.cumsum(answers)])
        looks = ((int(total[n] - total[max(0, n - 50)]), min(n, 50)) for n in range(10, 101))
        paused += any(policies.surely_below(right, n, line) for right, n in looks)

    assert least <= paused / people <= most


def test_trials_show_a_on_either_side_equally_often() -> None:
    for seed in range(20):
        orders = policies.trial_orders(6, np.random.default_rng(seed))
        assert sorted(orders) == ["ab"] * 3 + ["ba"] * 3
    assert len({tuple(policies.trial_orders(6, np.random.default_rng(seed))) for seed in range(20)}) > 3


pytestmark = pytest.mark.django_db


# Practice


def test_practice_asks_what_says_why_first_and_ends_with_the_last_one() -> None:
    rater = make_newcomer(practice_size=4)

    done = go_through(rater, "practice", wrong=2)

    assert [trial.right for trial in done] == [False, False, True, True]
    assert sum(trial.comparison.gold_because != "" for trial in done) == 3
    assert rater.practised_at == NOW
    assert verbs(rater) == ["practice.ended"]
    assert Event.objects.get(verb="practice.ended").data == {"attempt": 1, "right": 2, "of": 4}
    assert not Judgement.objects.exists()


def test_the_same_rater_is_asked_the_same_trials_and_another_gets_lots_of_their_own() -> None:
    rater = make_newcomer(golds=40, practice_size=3)
    Comparison.objects.update(gold_because="")
    first = qualifying.before(rater, "practice", now=NOW)
    drawn = [(t.comparison_id, t.order) for t in Trial.objects.filter(rater=rater)]
    Trial.objects.all().delete()

    again = qualifying.before(rater, "practice", now=NOW)

    assert first is not None
    assert again is not None
    assert [(t.comparison_id, t.order) for t in Trial.objects.filter(rater=rater)] == drawn
    other = assigning.rater_for(rater.project, build.make_member(rater.project))
    qualifying.before(other, "practice", now=NOW)
    assert [(t.comparison_id, t.order) for t in Trial.objects.filter(rater=other)] != drawn


def test_practice_is_taken_up_where_it_was_left() -> None:
    rater = make_newcomer(practice_size=3)
    first = qualifying.before(rater, "practice", now=NOW)
    assert first is not None
    say(first)

    second = qualifying.before(rater, "practice", now=NOW + timedelta(days=9))

    assert second is not None
    assert (second.position, second.attempt) == (2, 1)
    assert qualifying.before(rater, "practice", now=NOW) == second


def test_a_trial_is_answered_once() -> None:
    rater = make_newcomer(practice_size=2)
    trial = qualifying.before(rater, "practice", now=NOW)
    assert trial is not None
    say(trial, right=False)

    with pytest.raises(Conflict) as refused:
        say(trial, right=True)

    assert refused.value.code == "answered"
    assert Trial.objects.get(pk=trial.pk).right is False


def test_a_trial_belongs_to_its_rater() -> None:
    rater = make_newcomer(practice_size=2)
    trial = qualifying.before(rater, "practice", now=NOW)
    assert trial is not None
    with pytest.raises(NotFound):
        qualifying.answer(trial, Answer(choice=1), by=build.make_member(rater.project), now=NOW)


def test_a_trial_takes_only_what_its_form_allows() -> None:
    rater = make_newcomer(practice_size=2, levels=1, allow_tie=False)
    trial = qualifying.before(rater, "practice", now=NOW)
    assert trial is not None
    assert rater.user is not None
    for choice in (0, 3, None):
        with pytest.raises(Invalid):
            qualifying.answer(trial, Answer(choice=choice), by=rater.user, now=NOW)


def test_the_time_of_a_trial_is_never_longer_than_it_stood_open() -> None:
    rater = make_newcomer(practice_size=2)
    trial = qualifying.before(rater, "practice", now=NOW)
    assert trial is not None
    assert rater.user is not None
    choice = policies.to_screen(1, trial.order)

    qualifying.answer(
        trial, Answer(choice=choice, seconds=5000.0), by=rater.user, now=trial.created_at + timedelta(seconds=9)
    )

    assert Trial.objects.get(pk=trial.pk).seconds == pytest.approx(9.0)


def test_practice_with_too_little_gold_takes_what_there_is() -> None:
    rater = make_newcomer(golds=1, practice_size=5)

    assert len(go_through(rater, "practice")) == 1
    assert rater.practised_at is not None


def test_nobody_is_stuck_where_there_is_no_gold_at_all() -> None:
    rater = make_newcomer(golds=0, practice_size=5, qualification_size=5)

    assert qualifying.before(rater, "practice", now=NOW) is None
    rater.refresh_from_db()
    assert qualifying.before(rater, "qualification", now=NOW) is None
    rater.refresh_from_db()

    assert qualifying.due(rater, rater.project.forms.get()) is None
    assert verbs(rater) == ["qualification.waived", "practice.waived"]


def test_a_gold_that_is_taken_back_in_the_middle_is_not_asked() -> None:
    rater = make_newcomer(golds=3, practice_size=3)
    first = qualifying.before(rater, "practice", now=NOW)
    assert first is not None
    say(first)
    Comparison.objects.exclude(pk=first.comparison_id).update(gold=None)

    assert qualifying.before(rater, "practice", now=NOW) is None
    rater.refresh_from_db()
    assert rater.practised_at is not None


def test_nobody_practises_on_what_they_cannot_judge_or_wrote_or_had() -> None:
    rater = make_newcomer(golds=0, practice_size=9)
    project, user = rater.project, rater.user
    assert user is not None
    Lane.objects.create(project=project, number=1, skills=["law"])
    Lane.objects.create(project=project, number=2, language="de")
    Lane.objects.create(project=project, number=3, language="en")
    Rater.objects.filter(pk=rater.pk).update(languages=["en"])
    build.make_comparison(project, "law", gold=1, lane=1)
    build.make_comparison(project, "german", gold=1, lane=2)
    build.make_comparison(project, "english", gold=1, lane=3)
    build.make_comparison(project, "withdrawn", gold=1, status="withdrawn")
    own = build.make_comparison(project, "own", gold=1)
    type(own.completion_a).objects.filter(pk=own.completion_a_id).update(generator=user.username)
    build.make_judgement(build.make_comparison(project, "had", gold=1), rater, 1)
    build.make_comparison(project, "free", gold=1)
    rater.refresh_from_db()

    qualifying.before(rater, "practice", now=NOW)

    asked = set(Trial.objects.values_list("comparison__external_id", flat=True))
    assert asked == {"english", "free"}


# Qualification


def test_who_reaches_the_mark_is_qualified() -> None:
    rater = make_newcomer(qualification_size=5, pass_mark=0.6)

    go_through(rater, "qualification", wrong=2)

    assert rater.qualified_at == NOW
    assert verbs(rater) == ["qualification.passed"]


def test_who_does_not_may_try_again_after_a_day_on_other_gold() -> None:
    rater = make_newcomer(qualification_size=4, pass_mark=0.8)
    first = go_through(rater, "qualification", wrong=1)
    assert rater.qualified_at is None
    assert verbs(rater) == ["qualification.failed"]

    with pytest.raises(Conflict) as refused:
        qualifying.before(rater, "qualification", now=NOW + timedelta(hours=23))
    assert refused.value.code == "retry_later"

    second = go_through(rater, "qualification", now=NOW + timedelta(hours=25))
    assert {t.attempt for t in second} == {2}
    assert not {t.comparison_id for t in first} & {t.comparison_id for t in second}
    assert rater.qualified_at is not None


def test_gold_of_an_earlier_qualification_serves_again_where_there_is_no_other() -> None:
    rater = make_newcomer(golds=4, qualification_size=4)
    go_through(rater, "qualification", wrong=4)

    again = go_through(rater, "qualification", now=NOW + timedelta(days=2))

    assert len(again) == 4
    assert rater.qualified_at is not None


def test_gold_that_was_practised_on_qualifies_nobody() -> None:
    rater = make_newcomer(golds=5, practice_size=3, qualification_size=2)
    practised = go_through(rater, "practice")

    tried = go_through(rater, "qualification")

    assert not {t.comparison_id for t in practised} & {t.comparison_id for t in tried}


def test_a_qualification_that_cannot_be_asked_in_full_is_waived() -> None:
    rater = make_newcomer(golds=3, qualification_size=4)

    assert qualifying.before(rater, "qualification", now=NOW) is None

    rater.refresh_from_db()
    assert rater.qualified_at == NOW
    assert Event.objects.get(verb="qualification.waived").data == {"because": "too little gold"}
    assert not Trial.objects.exists()


def test_an_attempt_is_marked_by_the_form_that_it_began_under() -> None:
    rater = make_newcomer(qualification_size=2, pass_mark=0.5)
    qualifying.before(rater, "qualification", now=NOW)
    rater.project.forms.update(current=False)
    old = rater.project.forms.get()
    old.pk, old.number, old.current, old.pass_mark = None, 2, True, 1.0
    old.save()

    go_through(rater, "qualification", wrong=1)

    assert rater.qualified_at is not None


def test_a_paused_rater_tries_nothing() -> None:
    rater = make_newcomer(practice_size=2)
    raters.pause(rater, by=None, because="ill")
    with pytest.raises(NotAllowed, match="ill"):
        qualifying.before(rater, "practice", now=NOW)


def test_who_may_not_annotate_tries_nothing() -> None:
    rater = make_newcomer(practice_size=2)
    rater.project.members.filter(user=rater.user).update(role="viewer")
    with pytest.raises(NotAllowed):
        qualifying.before(rater, "practice", now=NOW)


def test_a_curator_asks_to_qualify_again_and_can_take_it_back() -> None:
    rater = make_newcomer(qualification_size=2)
    curator = build.make_member(rater.project, "curator")
    go_through(rater, "qualification")
    before = rater.qualified_at

    qualifying.requalify(rater, by=curator)
    assert rater.qualified_at is None
    assert Event.objects.get(verb="rater.asked_to_qualify").data == {"qualified_at": before and before.isoformat()}
    trial = qualifying.before(rater, "qualification", now=NOW)  # within the day of the last attempt
    assert trial is not None
    assert trial.attempt == 2
    with pytest.raises(Conflict):
        qualifying.requalify(rater, by=curator)

    qualifying.excuse(rater, by=curator)
    assert rater.qualified_at is not None
    assert qualifying.before(rater, "qualification", now=NOW) is None
    with pytest.raises(Conflict):
        qualifying.excuse(rater, by=curator)


def test_asking_to_qualify_again_is_refused_without_gold_or_without_a_qualification() -> None:
    with pytest.raises(Invalid):
        qualifying.requalify(make_newcomer(), by=None)
    rater = make_newcomer(golds=1, qualification_size=2)
    Rater.objects.filter(pk=rater.pk).update(qualified_at=NOW)
    with pytest.raises(Conflict) as refused:
        qualifying.requalify(rater, by=None)
    assert refused.value.code == "too_few_gold"
    rater.refresh_from_db()
    assert rater.qualified_at == NOW


@pytest.mark.parametrize("act", [qualifying.requalify, qualifying.excuse])
def test_only_a_curator_says_who_qualifies(act: Any) -> None:
    rater = make_newcomer(qualification_size=2)
    with pytest.raises(NotAllowed):
        act(rater, by=rater.user)


@pytest.mark.parametrize(
    ("golds", "form", "expected"),
    [
        (8, {}, None),
        (8, {"practice_size": 4, "qualification_size": 4}, None),
        (8, {"practice_size": 5, "qualification_size": 5}, (10, 8)),
        (8, {"gold_rate": 0.1}, (10, 8)),  # measuring needs ten
        (0, {"practice_size": 1}, (1, 0)),
    ],
)
def test_a_shortage_of_gold_is_counted(golds: int, form: dict[str, Any], expected: tuple[int, int] | None) -> None:
    project: Project = make_newcomer(golds, **form).project
    assert qualifying.shortage(project, project.forms.get()) == expected


# Measuring


def test_who_is_surely_below_the_line_is_paused_and_told_why() -> None:
    rater = make_newcomer(pause_below=0.7)
    held = Assignment.objects.create(
        comparison=build.make_comparison(rater.project), rater=rater, order="ab", expires_at=NOW + timedelta(hours=1)
    )
    measured(rater, right=2, wrong=8)

    assert qualifying.measure(rater, now=NOW) is True

    rater.refresh_from_db()
    assert rater.paused_at is not None
    assert "2 of your last 10" in rater.paused_because
    event = Event.objects.get(verb="rater.paused")
    assert (event.actor, event.data["because"]) == (None, rater.paused_because)
    held.refresh_from_db()
    assert held.status == "released"
    assert qualifying.measure(rater, now=NOW) is False


def test_the_answer_that_decides_pauses_and_is_stored_all_the_same() -> None:
    rater = make_newcomer(pause_below=0.7)
    measured(rater, right=0, wrong=9)
    assert rater.user is not None
    given = Assignment.objects.create(
        comparison=build.make_comparison(rater.project, gold=1), rater=rater, purpose="gold", order="ab",
        form=rater.project.forms.get(), expires_at=timezone.now() + timedelta(hours=1),
    )  # fmt: skip

    said = judging.submit(given, Answer(choice=-1), by=rater.user, key=uuid4(), now=timezone.now())

    rater.refresh_from_db()
    assert rater.paused_at is not None
    assert Judgement.objects.get(pk=said.pk).preference == -1
    with pytest.raises(NotAllowed, match="0 of your last 10"):
        assigning.next_assignment(rater, now=timezone.now())


@pytest.mark.parametrize(
    ("line", "right", "wrong"),
    [
        (None, 0, 30),  # the form pauses nobody
        (0.7, 0, 9),  # thin evidence
        (0.7, 3, 7),  # not sure
        (0.7, 40, 10),
    ],
)
def test_nobody_is_paused_without_sure_evidence(line: float | None, right: int, wrong: int) -> None:
    rater = make_newcomer(pause_below=line)
    measured(rater, right, wrong)
    assert qualifying.measure(rater, now=NOW) is False
    rater.refresh_from_db()
    assert rater.paused_at is None


def test_only_the_last_fifty_count() -> None:
    rater = make_newcomer(pause_below=0.7)
    measured(rater, right=60, wrong=24)
    assert qualifying.hidden_gold(rater)[::3] == (26 / 50, 50)
    assert qualifying.measure(rater, now=NOW) is False

    measured(rater, right=0, wrong=1)
    assert qualifying.measure(rater, now=NOW) is True


def test_what_was_no_hidden_gold_or_was_revised_does_not_count() -> None:
    rater = make_newcomer(pause_below=0.7)
    for _ in range(10):
        build.make_judgement(build.make_comparison(rater.project, gold=1), rater, -1)  # gold in the open queue
    assert qualifying.hidden_gold(rater).n == 0
    measured(rater, right=0, wrong=10)
    Judgement.objects.filter(assignment__purpose="gold").update(current=False)
    assert qualifying.hidden_gold(rater).n == 0


def test_a_new_start_leaves_what_was_before_behind_and_can_be_taken_back() -> None:
    rater = make_newcomer(pause_below=0.7)
    measured(rater, right=0, wrong=10)
    qualifying.measure(rater, now=NOW)
    rater.refresh_from_db()

    raters.resume(rater, by=None, new_start=True)
    assert rater.paused_at is None
    assert qualifying.measure(rater, now=NOW) is False
    assert "because" in Event.objects.get(verb="rater.resumed").data

    qualifying.measure_from(rater, None, by=None)
    assert Event.objects.get(verb="rater.measured_anew").data["after"] is None
    assert qualifying.measure(rater, now=NOW) is True


def test_what_an_annotator_may_be_asked_is_checked_and_audited() -> None:
    rater = make_newcomer()
    raters.equip(rater, by=None, skills=["law", " law ", "python"], languages=["de", "pt-BR"], daily_quota=50)
    assert (rater.skills, rater.languages, rater.daily_quota) == (["law", "python"], ["de", "pt-BR"], 50)
    event = Event.objects.get(verb="rater.equipped")
    assert event.data["before"] == {"skills": [], "languages": [], "daily_quota": None}
    raters.equip(rater, by=None, skills=["law", "python"], languages=["de", "pt-BR"], daily_quota=50)
    assert Event.objects.filter(verb="rater.equipped").count() == 1  # nothing changed, nothing to tell
    for wrong in ({"skills": ["<b>"]}, {"languages": ["german!"]}, {"daily_quota": 0}):
        given: Any = {"skills": [], "languages": [], "daily_quota": None} | wrong
        with pytest.raises(Invalid):
            raters.equip(rater, by=None, **given)


# Two tabs


@pytest.mark.django_db(transaction=True)
def test_two_tabs_that_begin_at_once_begin_one_attempt() -> None:
    rater = make_newcomer(golds=30, practice_size=5)
    barrier, seen, failed = threading.Barrier(6), [], []

    def tab() -> None:
        try:
            barrier.wait(10)
            trial = qualifying.before(rater, "practice", now=NOW)
            seen.append(trial and trial.pk)
        except Exception as error:
            failed.append(error)
        finally:
            connection.close()

    tabs = [threading.Thread(target=tab) for _ in range(6)]
    for thread in tabs:
        thread.start()
    for thread in tabs:
        thread.join(20)

    assert not failed
    assert len(set(seen)) == 1
    assert Trial.objects.count() == 5


@pytest.mark.django_db(transaction=True)
def test_the_last_two_trials_answered_at_once_end_the_attempt_once() -> None:
    rater = make_newcomer(qualification_size=2)
    qualifying.before(rater, "qualification", now=NOW)
    trials = list(Trial.objects.select_related("form", "comparison", "rater__project", "rater__user"))
    barrier, refused = threading.Barrier(4), []

    def answer(trial: Trial) -> None:
        try:
            barrier.wait(10)
            say(trial)
        except DomainError as error:
            refused.append(error.code)
        finally:
            connection.close()

    threads = [threading.Thread(target=answer, args=(trial,)) for trial in (*trials, *trials)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert refused == ["answered", "answered"]
    assert verbs(rater) == ["qualification.passed"]

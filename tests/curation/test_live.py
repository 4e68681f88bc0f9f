"""Consensus follows what is said and decided after a fit, by itself, and everything is fitted again in time."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from django.db import connection, transaction
from django.utils import timezone

from annotate.models import Adjudication, Comparison, Judgement, Rater
from annotate.services import reviewing
from curation.models import Aggregation, Consensus, Followed, RaterSkill
from curation.services import consensus, live, loading, verbs
from curation.stats import update_one
from tests.build import (
    make_comparison,
    make_judge,
    make_judgement,
    make_judgements,
    make_member,
    make_project,
    make_rater,
)
from tiebreak.accounts.models import Project
from tiebreak.accounts.roles import Role
from tiebreak.runs import ledger
from tiebreak.runs.models import Run


@pytest.fixture
def project(request: pytest.FixtureRequest) -> Project:
    """Twelve comparisons of which three people said the same, one ("split") on which they differ; fitted once."""
    transactional = request.node.get_closest_marker("django_db").kwargs.get("transaction")
    request.getfixturevalue("transactional_db" if transactional else "db")
    project = make_project("court", overlap=3)
    for number in range(12):
        make_judgements(make_comparison(project, f"c{number:02d}", prompt=f"q{number}"), "AAA" if number % 2 else "BBB")
    make_judgements(make_comparison(project, "split", prompt="which?"), "AAB")
    make_member(project, Role.ADJUDICATOR, name="expert")
    follow()  # from here on
    verbs.run_here("aggregate", project, {"method": "dawid-skene"})
    return project


def follow(**later: int) -> dict[str, int]:
    return live.follow(timezone.now() + timedelta(**later))


def row(name: str) -> Consensus:
    return Consensus.objects.get(comparison__external_id=name)


def say(name: str, preference: int | None, *, rater: str = "r4", **fields: Any) -> Judgement:
    comparison = Comparison.objects.get(external_id=name)
    Comparison.objects.filter(pk=comparison.pk).update(overlap=9)
    person, _ = Rater.objects.get_or_create(project=comparison.project, kind="annotator", name=rater)
    return make_judgement(comparison, person, preference, **fields)


def settled_figures(name: str) -> tuple[Any, ...]:
    r = row(name)
    return (r.p_a, r.p_tie, r.p_b, r.n_annotators, r.provisional, r.updated_at)


@pytest.mark.django_db
class TestAJudgement:
    def test_changes_its_comparison_as_the_fits_own_raters_would_have_it(self, project: Project) -> None:
        before = row("split")
        assert not before.provisional
        fit = Aggregation.objects.get(current=True)
        skills = {s.rater.name: np.array(s.confusion) for s in RaterSkill.objects.select_related("rater")}
        say("split", 1, rater="r4")
        assert follow()["updated"] == 1
        after = row("split")
        # r4 is new: the mean of the people that the fit knows, who said equally much.
        mean = np.mean([skills[f"r{n}"] for n in (1, 2, 3)], axis=0)
        mean /= mean.sum(axis=1, keepdims=True)
        values = np.array([0, 0, 2, 2])
        known = np.array([skills["r1"], skills["r2"], skills["r3"], mean])
        expected, _ = update_one(values, np.array([-1.0, -1, 1, 1]), np.ones(4), known, np.array(fit.prior))
        assert [after.p_a, after.p_tie, after.p_b] == pytest.approx(expected.tolist(), abs=1e-9)
        assert (after.provisional, after.n_annotators, after.n_readings) == (True, 4, 4)
        assert after.p_b > before.p_b

    def test_is_taken_in_once_however_often_we_look(self, project: Project) -> None:
        say("split", 1)
        follow()
        once = settled_figures("split")
        assert follow()["updated"] == follow()["updated"] == 0
        assert settled_figures("split") == once

    def test_leaves_all_other_comparisons_alone(self, project: Project) -> None:
        others = [settled_figures(f"c{n:02d}") for n in range(12)]
        say("split", 1)
        follow()
        assert others == [settled_figures(f"c{n:02d}") for n in range(12)]

    def test_that_is_revised_counts_as_it_stands_now(self, project: Project) -> None:
        said = say("split", 1)
        follow()
        towards_b = row("split").p_b
        Judgement.objects.filter(pk=said.pk).update(current=False)
        Judgement.objects.create(comparison=said.comparison, rater=said.rater, preference=-1, revision=2, order="ab")
        follow()
        assert (row("split").p_b < towards_b, row("split").n_annotators) == (True, 4)

    def test_on_a_comparison_that_nobody_had_judged_makes_its_consensus(self, project: Project) -> None:
        make_judgement(make_comparison(project, "new"), Rater.objects.get(name="r1"), 2)
        follow()
        assert (row("new").side, row("new").n_annotators, row("new").provisional) == ("b", 1, True)

    def test_by_a_judge_in_both_orders_is_one_vote(self, project: Project) -> None:
        judge, comparison = make_judge(project).rater, make_comparison(project, "new")
        make_judgement(comparison, judge, -2, repeat=0, order="ab")
        make_judgement(comparison, judge, 2, repeat=1, order="ba")
        follow()
        assert (row("new").n_judges, row("new").n_readings) == (1, 2)

    def test_that_says_only_both_bad_leaves_no_side(self, project: Project) -> None:
        make_judgement(make_comparison(project, "new"), make_rater(project), None, both_bad=True)
        assert follow()["updated"] == 0
        assert not Consensus.objects.filter(comparison__external_id="new").exists()

    def test_on_a_withdrawn_comparison_changes_nothing(self, project: Project) -> None:
        before = settled_figures("c00")
        say("c00", -1)
        Comparison.objects.filter(external_id="c00").update(status="withdrawn")
        follow()
        assert settled_figures("c00") == before

    def test_before_any_fit_waits_for_one(self, db: None) -> None:
        follow()
        other = make_project()
        make_judgements(make_comparison(other, "alone"), "AB")
        assert follow() == {"updated": 0, "fits": 0}
        assert not Consensus.objects.exists()

    def test_that_fills_the_last_seat_settles_or_disputes_the_comparison(self, project: Project) -> None:
        for name, letters in (("agreed", "AAA"), ("differ", "ATB")):
            make_judgements(make_comparison(project, name), letters)
        make_judgements(make_comparison(project, "waits"), "AA")
        follow()
        states = dict(Comparison.objects.values_list("external_id", "status"))
        assert (states["agreed"], states["differ"], states["waits"]) == ("settled", "disputed", "open")

    def test_under_majority_is_counted(self, project: Project) -> None:
        verbs.run_here("aggregate", project, {"method": "majority"})
        say("split", 1)
        follow()
        assert (row("split").p_a, row("split").p_b) == (0.5, 0.5)

    @pytest.mark.parametrize("method", ["glad", "joint", "crowd-bt"])
    def test_adds_to_what_a_richer_model_made_of_the_earlier_ones(self, project: Project, method: str) -> None:
        """Two more comparisons of one prompt, so that a completion recurs."""
        for a, b in (("x", "y"), ("x", "z")):
            make_judgements(make_comparison(project, a + b, prompt="again", a=a, b=b), "AAA")
        verbs.run_here("aggregate", project, {"method": method})
        before = row("split")
        say("split", 1, rater="r5")
        assert follow()["updated"] == 1
        once = row("split")
        assert once.p_b > before.p_b
        assert follow()["updated"] == 0
        say("split", 1, rater="r6")
        follow()
        assert row("split").p_b > once.p_b


@pytest.mark.django_db
class TestADecision:
    def decide(self, preference: int | None, *, both_bad: bool = False) -> Adjudication:
        return reviewing.adjudicate(
            Comparison.objects.get(external_id="split"),
            preference,
            both_bad,
            "Checked the source.",
            by=Project.objects.get().members.get(user__username="expert").user,
        )

    def test_is_the_stored_consensus_at_once(self, project: Project, django_capture_on_commit_callbacks: Any) -> None:
        with django_capture_on_commit_callbacks(execute=True):
            self.decide(2)
        r = row("split")
        assert (r.side, r.p_b, r.preference, r.entropy, r.n_annotators) == ("b", 1.0, 2.0, 0.0, 3)

    def test_that_is_taken_back_lets_the_votes_speak_at_once(
        self, project: Project, django_capture_on_commit_callbacks: Any
    ) -> None:
        before = row("split")
        with django_capture_on_commit_callbacks(execute=True):
            self.decide(2)
            reviewing.reopen(
                Comparison.objects.get(external_id="split"),
                by=Project.objects.get().members.get(user__username="expert").user,
            )
        after = row("split")
        assert [after.p_a, after.p_tie, after.p_b] == pytest.approx([before.p_a, before.p_tie, before.p_b], abs=1e-4)

    def test_whose_moment_was_missed_is_found_in_the_log(self, project: Project) -> None:
        self.decide(2)  # its callback never runs here
        assert row("split").p_b < 1
        assert follow()["updated"] == 1
        assert row("split").p_b == 1
        assert follow()["updated"] == 0

    def test_outlasts_judgements_that_come_after_it(self, project: Project) -> None:
        self.decide(2)
        say("split", -1)
        follow()
        assert (row("split").p_b, row("split").n_annotators) == (1.0, 4)


@pytest.mark.django_db
class TestNothingIsLost:
    def test_when_a_round_saw_nothing(self, project: Project) -> None:
        """The mark is far past the judgement: only comparing all with all can find it."""
        say("split", 1)
        Followed.objects.update(judgement=live.LAST // 2, reconciled_at=timezone.now())
        assert follow()["updated"] == 0
        assert follow(hours=2)["updated"] == 1
        assert row("split").n_annotators == 4

    def test_when_a_judgement_comes_while_everything_is_fitted(
        self, project: Project, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        loaded = loading.judgements_of

        def and_then(*args: Any) -> loading.Judgements:
            found = loaded(*args)
            if len(args) == 1 and not Judgement.objects.filter(rater__name="r4").exists():
                say("split", 1)
            return found

        monkeypatch.setattr(loading, "judgements_of", and_then)
        result = verbs.run_here("aggregate", project, {"method": "dawid-skene"}).result
        assert (result["came_meanwhile"], row("split").n_annotators, row("split").provisional) == (1, 4, True)

    def test_when_more_comes_than_one_round_takes(self, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(live, "AT_ONCE", 2)
        monkeypatch.setattr(live, "SLACK", 0)
        for n in range(5):
            say(f"c{n:02d}", 1)
        assert [follow()["updated"] for _ in range(4)] == [2, 2, 1, 0]


@pytest.mark.django_db
class TestEverythingIsFittedAgain:
    def runs(self) -> list[Run]:
        return list(Run.objects.filter(kind="aggregate", status="queued"))

    def test_once_enough_is_new_and_only_once(self, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(live, "REFIT_COUNT", 3)
        for n in range(3):
            assert follow(minutes=2)["fits"] == 0
            say(f"c{n:02d}", 1)
        assert follow(minutes=2)["fits"] == 1
        assert follow(minutes=2)["fits"] == 0
        (run,) = self.runs()
        assert run.params == {"method": "dawid-skene"}
        ledger.execute(run.pk)
        assert not Consensus.objects.filter(provisional=True).exists()
        assert follow(minutes=2)["fits"] == 0

    def test_not_right_after_the_last_fit(self, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(live, "REFIT_COUNT", 1)
        say("split", 1)
        assert follow()["fits"] == 0

    def test_within_the_hour_where_anything_is_new(self, project: Project) -> None:
        say("split", 1)
        assert follow(minutes=50)["fits"] == 0
        assert follow(minutes=70)["fits"] == 1

    def test_not_where_nothing_is_new(self, project: Project) -> None:
        assert follow(hours=30)["fits"] == 0

    def test_for_the_first_time_once_there_is_enough(self, db: None) -> None:
        other, rater = make_project(), None
        for n in range(live.REFIT_COUNT):
            rater = rater or make_rater(other)
            assert follow()["fits"] == 0
            make_judgement(make_comparison(other, f"n{n}"), rater, 1)
        assert follow()["fits"] == 1
        assert self.runs()[0].params == {"method": "auto"}

    def test_not_at_once_where_the_last_try_failed(self, project: Project) -> None:
        say("split", 1)
        assert follow(hours=2)["fits"] == 1
        Run.objects.filter(kind="aggregate", status="queued").update(status="failed", finished_at=timezone.now())
        assert follow(minutes=30)["fits"] == 0
        assert follow(hours=2)["fits"] == 1


@pytest.mark.django_db
def test_a_project_whose_update_fails_stops_no_other_and_is_not_forgotten(
    project: Project, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broken = make_project("broken", overlap=3)
    make_judgements(make_comparison(broken, "hers"), "AB")
    say("split", 1)
    real = live.refresh

    def refresh(of: Project, ids: list[int]) -> int:
        if of == broken:
            raise ValueError("votes", "numbers", "letters")
        return real(of, ids)

    monkeypatch.setattr(live, "refresh", refresh)
    assert follow()["updated"] == 1
    assert "following broken" in caplog.text
    assert set(Followed.objects.get().owed) == {str(broken.pk)}


@pytest.mark.django_db(transaction=True)
def test_a_project_in_other_hands_is_neither_waited_for_nor_forgotten(project: Project) -> None:
    """Somebody else, such as an import, holds the project while a round goes by."""
    say("split", 1)
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        try:
            with transaction.atomic():
                consensus.locked(project.pk)
                held.set()
                done.wait(20)
        finally:
            connection.close()

    other = threading.Thread(target=hold)
    other.start()
    assert held.wait(20)
    try:
        assert follow()["updated"] == 0
        assert set(Followed.objects.get().owed) == {str(project.pk)}
    finally:
        done.set()
        other.join()
    Followed.objects.update(judgement=live.LAST // 2)  # what is owed is looked at from where it began
    assert follow()["updated"] == 1
    assert Followed.objects.get().owed == {}


@pytest.mark.django_db(transaction=True)
def test_two_rounds_at_once_make_one_consensus(project: Project) -> None:
    say("split", 1)
    barrier, errors = threading.Barrier(4), list[BaseException]()

    def one() -> None:
        try:
            barrier.wait(20)
            follow()
        except BaseException as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    follow()
    assert not errors
    assert (row("split").n_annotators, Consensus.objects.count()) == (4, 13)


@pytest.mark.django_db(transaction=True)
def test_without_redis_a_decision_and_a_judgement_still_arrive(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing here needs a broker: the decision follows after its commit, a fit's run waits in the database."""
    from redis.exceptions import ConnectionError as Refused

    from tiebreak.runs import tasks

    def away(*args: Any, **kwargs: Any) -> None:
        raise Refused("no Redis")

    monkeypatch.setattr(tasks.execute_run, "apply_async", away)
    expert = project.members.get(user__username="expert").user
    reviewing.adjudicate(Comparison.objects.get(external_id="split"), 2, False, "Checked.", by=expert)
    assert row("split").p_b == 1
    say("c00", -1)
    assert follow(hours=2) == {"updated": 1, "fits": 1}
    assert Run.objects.filter(kind="aggregate", status="queued").count() == 1


@pytest.mark.django_db
def test_beat_has_a_worker_call_a_round(monkeypatch: pytest.MonkeyPatch) -> None:
    from django.conf import settings

    from curation.tasks import follow as task
    from tiebreak.celery import app

    app.loader.import_default_modules()
    assert {entry["task"] for entry in settings.CELERY_BEAT_SCHEDULE.values()} <= set(app.tasks)
    assert task() == {"updated": 0, "fits": 0}
    assert Followed.objects.count() == 1


@pytest.mark.django_db
def test_a_round_without_news_asks_the_database_little(project: Project, django_assert_max_num_queries: Any) -> None:
    follow()
    with django_assert_max_num_queries(12):
        follow()

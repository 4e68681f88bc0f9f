"""Forms: what may be asked, how one follows another, and what happens to work that has begun."""

from __future__ import annotations

import io
import json
from datetime import timedelta
from threading import Barrier, Thread
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from annotate.models import Assignment, Comparison, Form, Judgement, Lane
from annotate.services import asked, importing, projects
from annotate.services.answers import Answer
from tests.build import (
    make_comparison,
    make_judgement,
    make_judgements,
    make_member,
    make_project,
    make_rater,
    make_rubric,
    make_user,
)
from tiebreak.accounts.models import Membership, Project
from tiebreak.accounts.roles import Role
from tiebreak.core.errors import Conflict, Invalid, NotAllowed
from tiebreak.core.models import Event
from tiebreak.runs import ledger
from tiebreak.runs.models import Run

pytestmark = pytest.mark.django_db


@pytest.fixture
def project() -> Project:
    return make_project("chat", overlap=2)


def refused(project: Project, **changes: Any) -> Invalid:
    with pytest.raises(Invalid) as caught:
        projects.change_form(project, by=None, **changes)
    assert project.forms.get().number == 1
    return caught.value


EVERYTHING: dict[str, Any] = {
    "levels": 2, "allow_tie": False, "allow_both_bad": False, "rating_max": 7, "confidence": True,
    "aspects": [{"key": "help", "label": "Helpful", "kind": "rating"}], "reasons": ["facts"],
    "justification": "required", "min_justification": 20, "evidence": False, "checklist": True,
    "guidelines": "Be kind.", "overlap": 3, "max_overlap": 5, "lease_seconds": 60, "session_quota": 10,
    "daily_quota": 50, "revise_minutes": 5, "gold_rate": 0.1, "repeat_rate": 0.05, "practice_size": 3,
    "qualification_size": 6, "pass_mark": 0.8, "pause_below": 0.6, "show_reference": True, "show_quality": False,
    "blind_adjudication": False,
}  # fmt: skip


def test_a_form_takes_every_field_and_keeps_what_it_was_not_told(project: Project) -> None:
    owner = make_member(project, Role.OWNER)
    rubric = make_rubric(project, status="approved", approved_by=owner, approved_at=timezone.now())
    form = projects.change_form(project, by=owner, rubric=rubric, **EVERYTHING)
    assert {field: getattr(form, field) for field in EVERYTHING} == EVERYTHING
    later = projects.change_form(project, by=owner, levels=3)
    assert asked.values(later) == asked.values(form) | {"levels": 3}
    told = Event.objects.filter(verb="form.changed").order_by("id").last()
    assert told is not None
    assert told.data == {"number": 3, "changed": ["levels"]}


def test_no_field_of_the_model_is_forgotten() -> None:
    kept = {"id", "project", "number", "current", "guidelines_version", "created_by", "created_at"}
    assert {field.name for field in Form._meta.concrete_fields} == kept | set(asked.FIELDS)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("levels", 4),
        ("levels", True),
        ("levels", "2"),
        ("rating_max", 11),
        ("overlap", 0),
        ("max_overlap", 1),  # below the overlap of 2
        ("max_overlap", 2.5),
        ("lease_seconds", 5),
        ("session_quota", -1),
        ("gold_rate", 0.6),
        ("gold_rate", float("nan")),
        ("pass_mark", 1.01),
        ("pause_below", "half"),
        ("allow_tie", "yes"),
        ("ordering", "alphabet"),
        ("ordering", "mixed"),
        ("mix_by", ["a", "b", "c", "d"]),
        ("reasons", [f"tag {n}" for n in range(31)]),
        ("reasons", ["twice", "twice"]),
        ("reasons", [" "]),
        ("reasons", "facts"),
        ("guidelines", "a\x00b"),
        ("checklist", True),
        ("colour", "red"),
    ],
)
def test_what_makes_no_sense_is_refused_by_its_field(project: Project, field: str, value: Any) -> None:
    told = refused(project, **{field: value})
    assert told.params["field"] == ("mix_by" if value == "mixed" else field)


@pytest.mark.parametrize(
    ("aspects", "told"),
    [
        ([{"key": "a", "label": "A", "kind": "stars"}], "preference or rating"),
        ([{"key": "a"}], "key, label"),
        ([{"key": "a b", "label": "A"}], "may hold letters"),
        ([{"key": "overall", "label": "Overall"}], "as a whole"),
        ([{"key": "a", "label": "A"}, {"key": "a", "label": "B"}], "twice"),
        ([{"key": f"a{n}", "label": "A"} for n in range(13)], "at most 12"),
    ],
)
def test_aspects_are_told_apart_by_their_keys(project: Project, aspects: list[Any], told: str) -> None:
    error = refused(project, aspects=aspects)
    assert error.params["field"] == "aspects"
    assert told in error.message


def test_half_of_what_is_asked_is_always_new(project: Project) -> None:
    assert refused(project, gold_rate=0.3, repeat_rate=0.3).params["field"] == "repeat_rate"
    assert projects.change_form(project, by=None, gold_rate=0.3, repeat_rate=0.2).number == 2


def test_an_unapproved_rubric_or_one_of_another_project_is_refused(project: Project) -> None:
    assert refused(project, rubric=make_rubric(project)).params["field"] == "rubric"
    assert refused(project, rubric=make_rubric(make_project())).params["field"] == "rubric"


def test_a_rubric_that_goes_takes_its_checklist_along(project: Project) -> None:
    owner = make_member(project, Role.OWNER)
    rubric = make_rubric(project, status="approved", approved_by=owner, approved_at=timezone.now())
    projects.change_form(project, by=owner, rubric=rubric, checklist=True)
    assert projects.change_form(project, by=owner, rubric=None).checklist is False


def test_the_guidelines_version_rises_only_with_their_text(project: Project) -> None:
    numbers = [
        projects.change_form(project, by=None, **changes).guidelines_version
        for changes in ({"guidelines": "One."}, {"levels": 1}, {"guidelines": "Two."}, {"guidelines": "Two."})
    ]
    assert numbers == [2, 2, 3, 3]


def test_nothing_changed_makes_no_form(project: Project) -> None:
    form = projects.change_form(project, by=None, levels=3, overlap=2)
    assert form.number == 1
    assert not Event.objects.filter(verb="form.changed").exists()


def test_a_change_thought_out_on_an_older_form_is_refused(project: Project) -> None:
    projects.change_form(project, by=None, began_from=1, levels=2)
    with pytest.raises(Conflict) as caught:
        projects.change_form(project, by=None, began_from=1, allow_tie=False)
    assert caught.value.code == "form_moved_on"
    assert projects.current_form(project).allow_tie is True


def test_who_may_not_curate_changes_no_form(project: Project) -> None:
    with pytest.raises(NotAllowed):
        projects.change_form(project, by=make_member(project, Role.ADJUDICATOR), levels=1)


# What happens to work that has begun


def overlaps(project: Project) -> dict[str, int]:
    return dict(project.comparisons.values_list("external_id", "overlap"))


def test_open_comparisons_take_the_new_overlap_but_give_up_no_taken_seat(project: Project) -> None:
    make_judgements(make_comparison(project, "two judged"), "AB")
    make_comparison(project, "fresh")
    make_comparison(project, "sent back", returned_because="the model disagrees")
    make_comparison(project, "settled", status=Comparison.Status.SETTLED)
    projects.change_form(project, by=None, overlap=1)
    assert overlaps(project) == {"two judged": 2, "fresh": 1, "sent back": 2, "settled": 2}
    projects.change_form(project, by=None, overlap=4)
    assert overlaps(project) == {"two judged": 4, "fresh": 4, "sent back": 2, "settled": 2}


def test_seats_added_where_people_disagreed_stay_up_to_the_new_most(project: Project) -> None:
    projects.change_form(project, by=None, max_overlap=6)
    make_comparison(project, "grown", overlap=5)
    make_comparison(project, "plain")
    projects.change_form(project, by=None, overlap=3, max_overlap=4)
    assert overlaps(project) == {"grown": 4, "plain": 3}
    projects.change_form(project, by=None, max_overlap=None)
    assert overlaps(project) == {"grown": 3, "plain": 3}


def test_what_saving_would_do_is_counted_before_and_comes_true(project: Project) -> None:
    comparison = make_comparison(project, "c1", gold=1)
    make_comparison(project, "c2")
    old = projects.current_form(project)
    make_judgement(comparison, make_rater(project), -3, form=old)
    make_judgement(comparison, make_rater(project), 1, form=old)
    held = Assignment.objects.create(
        comparison=project.comparisons.get(external_id="c2"), rater=make_rater(project), order="ab", form=old,
        expires_at=timezone.now() + timedelta(hours=1),
    )  # fmt: skip
    changes = {"levels": 2, "overlap": 3}
    told = projects.effects(old, projects.changed(old, changes))
    assert (told.held, told.reseated, told.kept, told.stronger, told.golds) == (1, 2, 2, 1, 1)
    assert told.changed == {"levels", "overlap"}
    assert project.forms.count() == 1
    projects.change_form(project, by=None, **changes)
    held.refresh_from_db()
    assert held.form == old
    assert set(Judgement.objects.values_list("form__number", "preference")) == {(1, -3), (1, 1)}
    assert set(overlaps(project).values()) == {3}


def test_held_work_is_answered_under_the_form_it_was_leased_with(project: Project) -> None:
    from annotate.services.answers import check

    old = projects.current_form(project)
    new = projects.change_form(project, by=None, levels=1)
    strong = Answer(choice=3)
    check(strong, old)
    with pytest.raises(Invalid):
        check(strong, new)


def test_a_long_queue_follows_in_a_run_that_may_be_killed(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projects, "COUNTED", 3)
    monkeypatch.setattr(projects, "BATCH", 2)
    for n, source in enumerate("xxyyz"):
        make_comparison(project, f"c{n}", metadata={"source": source})
    make_judgements(project.comparisons.get(external_id="c0"), "AB")
    projects.change_form(project, by=None, overlap=1, ordering="mixed", mix_by=["source"])
    assert set(overlaps(project).values()) == {2}
    assert not Lane.objects.exists()
    run = Run.objects.get(kind="follow-form")
    execution = ledger.claim(run.pk)
    assert execution is not None
    steps: list[str] = []

    def die(text: str) -> None:
        steps.append(text)
        raise KeyboardInterrupt

    execution.say = die
    with pytest.raises(KeyboardInterrupt):
        projects.follow(execution)
    assert sorted(overlaps(project).values()) == [1, 1, 2, 2, 2]
    execution.say = steps.append
    assert projects.follow(execution) == {"reseated": 2, "moved": 5}
    assert overlaps(project) == {"c0": 2, "c1": 1, "c2": 1, "c3": 1, "c4": 1}
    assert Lane.objects.count() == 3
    assert projects.follow(execution) == {"reseated": 0, "moved": 0}


def test_a_run_that_comes_late_follows_the_form_of_now(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projects, "COUNTED", 1)
    for n in range(4):
        make_comparison(project, f"c{n}")
    projects.change_form(project, by=None, overlap=5)
    projects.change_form(project, by=None, overlap=3)
    for run in Run.objects.filter(kind="follow-form").order_by("-id"):  # the later one first
        ledger.execute(run.pk)
    assert set(overlaps(project).values()) == {3}


def test_a_file_with_strengths_of_an_older_form_still_goes_in(project: Project) -> None:
    projects.change_form(project, by=None, levels=1)
    told = {"rater": "ann", "kind": "annotator", "preference": -3}
    line = json.dumps({"id": "r", "prompt": "?", "completion_a": "x", "completion_b": "y", "judgements": [told]})
    report = importing.import_stream(project, io.BytesIO(line.encode()))
    assert (report.created, report.rejected) == (1, 0)
    assert Judgement.objects.get().preference == -3


def test_a_changed_order_sorts_the_queue_anew(project: Project) -> None:
    for n, source in enumerate("xxyy"):
        make_comparison(project, f"c{n}", metadata={"source": source})
    projects.change_form(project, by=None, ordering="mixed", mix_by=["source"])
    lanes = dict(Lane.objects.values_list("number", "stratum"))
    assert sorted(lanes.values()) == ["x", "y"]
    placed = {row.external_id: lanes[row.lane] for row in project.comparisons.all()}
    assert placed == {"c0": "x", "c1": "x", "c2": "y", "c3": "y"}
    projects.change_form(project, by=None, ordering="sequence")
    assert not Lane.objects.exists()
    assert list(project.comparisons.order_by("shuffle").values_list("external_id", flat=True)) == [
        "c0",
        "c1",
        "c2",
        "c3",
    ]


def test_a_mix_of_too_many_parts_is_refused_and_saves_nothing(project: Project) -> None:
    for n in range(201):
        make_comparison(project, f"c{n}", metadata={"source": f"s{n}"})
    assert refused(project, ordering="mixed", mix_by=["source"]).params["field"] == "mix_by"


def test_versions_tell_who_changed_what_and_what_was_judged_under_each(project: Project) -> None:
    owner = make_member(project, Role.OWNER, name="ada")
    make_judgement(make_comparison(project), make_rater(project), 1, form=projects.current_form(project))
    projects.change_form(project, by=owner, levels=2, reasons=["facts"])
    (second, changes, n), (first, none, m) = projects.versions(project)
    assert (second.number, second.created_by, n) == (2, owner, 0)
    assert [change.field for change in changes] == ["levels", "reasons"]
    assert (first.number, none, m) == (1, [], 1)


# Who may make one


def test_staff_and_curators_may_make_a_project_and_annotators_may_not(project: Project) -> None:
    assert projects.may_create(make_member(project, Role.OWNER))
    assert projects.may_create(make_member(project, Role.CURATOR))
    assert not any(projects.may_create(make_member(project, role)) for role in ("annotator", "adjudicator", "viewer"))
    staff = make_user()
    assert not projects.may_create(staff)
    staff.is_staff = True
    assert projects.may_create(staff)


def test_a_curator_of_nothing_but_an_archived_project_makes_none(project: Project) -> None:
    Project.objects.update(archived_at=timezone.now())
    assert not projects.may_create(make_member(project, Role.CURATOR))
    assert Membership.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_of_two_curators_who_save_at_once_one_wins_and_the_other_is_told() -> None:
    project = make_project("chat")
    barrier, told = Barrier(2), list[str]()

    def save(levels: int) -> None:
        barrier.wait()
        try:
            told.append(f"form {projects.change_form(project, by=None, began_from=1, levels=levels).number}")
        except Conflict as error:
            told.append(error.code)
        finally:
            connection.close()

    threads = [Thread(target=save, args=[levels]) for levels in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(told) == ["form 2", "form_moved_on"]
    assert list(project.forms.order_by("number").values_list("number", "current")) == [(1, False), (2, True)]

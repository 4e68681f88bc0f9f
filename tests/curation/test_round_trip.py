"""What a project gives as rows, an empty project takes in without loss: its own export is the same bytes."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from annotate.models import Adjudication, Comparison, Form, Judgement, Rater
from annotate.services import assigning, importing, reviewing
from annotate.services.projects import create_project
from annotate.services.pseudonyms import pseudonym
from curation.models import Consensus, DatasetRow
from curation.services import building, comparisons, live, verbs, withdrawing
from tests.build import (
    make_comparison,
    make_judge,
    make_judgement,
    make_judgements,
    make_member,
    make_project,
    make_rubric,
    make_token,
)
from tiebreak.accounts.models import Project
from tiebreak.accounts.roles import Role
from tiebreak.api.throttles import STREAMS
from tiebreak.core.models import Event
from tiebreak.runs import ledger

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("storage")]

RICH: dict[str, Any] = {
    "id": "rich/1",
    "prompt": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "=1+1\u2028\ttab"}],
    "completion_a": "",
    "completion_b": [{"role": "assistant", "content": "<b>日本</b> \U0001f642\r\n"}],
    "generator_a": "heron",
    "id_a": "one",
    "id_b": "two",
    "rank_a": 0,
    "score_b": -0.25,
    "group": "g",
    "reference": "",
    "context": "ctx",
    "gold": 0,
    "gold_because": "both say two",
    "metadata": {"z": 1, "a": {"b": [None, True, 1.5, 12345678901234567890]}, "": "empty key"},
    "skills": ["law", "latin"],
    "language": "pt-br",
    "priority": 2,
    "judgements": [
        {
            "rater": "Ann", "kind": "annotator", "preference": -2, "order": "ba", "seconds": 0,
            "submitted_at": "2026-03-01T12:00:00.000123+02:00", "aspects": {"tone": 0, "truth": 2},
            "reasons": ["wrong", "rude"], "justification": " kept as it is \n",
            "ratings": {"tone": {"a": 1, "b": 5}}, "confidence": {"overall": 3},
            "evidence": [{"side": "b", "exact": "日本", "start": 0, "end": 2}],
            "checks": {"Says two, and says it in words.": "both", "Is polite.": "b", "Is it?": "a"},
            "revised": [
                {"preference": 3, "order": "ba", "submitted_at": "2026-03-01T11:58:00+02:00", "justification": "first"},
                {"preference": None, "both_bad": True, "submitted_at": "2026-03-01T11:59:00+02:00"},
            ],
        },
        {"rater": "Ann", "kind": "annotator", "preference": 1, "order": "ab", "simulated": True},
        {"rater": "bob", "kind": "annotator", "preference": None, "both_bad": True},
        {"rater": "gpt", "kind": "judge", "preference": 1, "order": "ba", "probability_b": 0.0},
        {"rater": "gpt", "kind": "judge", "preference": None, "order": "ab", "unparsed_because": "no verdict"},
    ],
    "adjudications": [
        {"adjudicator": "Eve", "preference": 1, "reason": "b is right", "decided_at": "2026-03-02T10:00:00Z"},
        {"adjudicator": "Max", "preference": None, "both_bad": True, "reason": "neither", "undone": True},
    ],
}  # fmt: skip
MANY = {
    "id": "many",
    "prompt": "which?",
    "completions": [{"id": i, "text": i, "rank": n, "score": n / 3} for n, i in enumerate("xyz")],
    "pairs": "rank",
}


def imported(slug: str, content: bytes) -> Project:
    project = create_project(slug, by=None)
    Form.objects.filter(project=project).update(levels=3)
    report = importing.import_stream(project, io.BytesIO(content), filename="mine.jsonl")
    assert report.rejected == 0, report.first_rejects
    return project


def exported(project: Project) -> bytes:
    return b"".join(comparisons.lines(project))


def test_an_export_imported_into_an_empty_project_exports_the_same_bytes() -> None:
    first = imported("first", b"".join(json.dumps(row).encode() + b"\n" for row in (RICH, MANY)))
    once = exported(first)
    assert exported(imported("second", once)) == once
    rich, *others = map(json.loads, once.splitlines())
    assert len(others) == 3
    for key, value in RICH.items():
        if key not in ("judgements", "adjudications", "skills", "language"):
            assert rich[key] == value, key
    assert (rich["skills"], rich["language"]) == (["latin", "law"], "pt-BR")
    said = {(j["rater"], j.get("order")): j for j in rich["judgements"]}
    ann = said["Ann", "ba"]
    for key, value in RICH["judgements"][0].items():
        if key not in ("submitted_at", "revised"):
            assert ann[key] == value, key
    assert ann["submitted_at"] == "2026-03-01T10:00:00.000123Z"
    assert said["gpt", "ba"]["probability_b"] == 0.0
    assert said["gpt", "ab"]["unparsed_because"] == "no verdict"
    assert said["bob", None]["both_bad"] is True
    assert [(r["preference"], r.get("justification")) for r in ann["revised"]] == [(3, "first"), (None, None)]
    assert ann["revised"][1]["submitted_at"] == "2026-03-01T09:59:00Z"
    decided = [{k: v for k, v in each.items() if k != "decided_at"} for each in rich["adjudications"]]
    assert decided == [{k: v for k, v in each.items() if k != "decided_at"} for each in RICH["adjudications"]]
    assert rich["adjudications"][0]["decided_at"] == "2026-03-02T10:00:00Z"


def test_what_is_stored_of_a_second_import_is_what_is_stored_of_the_first() -> None:
    first = imported("first", json.dumps(RICH).encode())
    second = imported("second", exported(first))
    for model, ignored in (
        (Comparison, {"id", "project_id", "prompt_id", "completion_a_id", "completion_b_id", "lane",
                      "content_sha256", "created_at", "updated_at"}),
        (Rater, {"id", "project_id", "created_at"}),
    ):  # fmt: skip
        before, after = ([vars_of(row, ignored) for row in model.objects.filter(project=p).order_by("id")]
                         for p in (first, second))  # fmt: skip
        assert before == after
    ignored = {"id", "comparison_id", "rater_id", "assignment_id", "submitted_at"}
    kept = [
        sorted((vars_of(j, ignored) for j in Judgement.objects.filter(comparison__project=p)), key=repr)
        for p in (first, second)
    ]
    assert kept[0] == kept[1]
    ann = [j for j in kept[0] if j["order"] == "ba" and j["justification"]]
    assert [(j["revision"], j["current"], j["preference"]) for j in ann] == [(1, False, 3), (3, True, -2)]
    decided = [
        [vars_of(a, {"id", "comparison_id", "rater_id"}) for a in Adjudication.objects.filter(comparison__project=p)]
        for p in (first, second)
    ]
    assert decided[0] == decided[1]


def vars_of(row: Any, ignored: set[str]) -> dict[str, Any]:
    return {key: value for key, value in vars(row).items() if not key.startswith("_") and key not in ignored}


def test_an_export_imported_where_it_came_from_changes_nothing() -> None:
    project = imported("first", json.dumps(RICH).encode())
    once = exported(project)
    report = importing.import_stream(project, io.BytesIO(once), filename="again.jsonl")
    assert (report.created, report.rejected, report.judgements_created, report.judgements_revised) == (0, 0, 0, 0)
    assert importing.import_stream(project, io.BytesIO(once), filename="again.jsonl").unchanged == 1
    assert exported(project) == once


def test_people_and_judges_of_this_site_go_out_under_names_that_come_in_again() -> None:
    project = make_project("here", overlap=3)
    comparison = make_comparison(project, "c1")
    member = make_member(project, Role.ANNOTATOR, name="ada.lovelace")
    person = Rater.objects.create(project=project, kind="annotator", name=member.username, user=member)
    judge = make_judge(project, "critic").rater
    make_judgement(comparison, person, -1)
    make_judgement(comparison, judge, 1, repeat=1, order="ba")
    make_judgement(comparison, judge, 1, repeat=2, order="ab")
    once = exported(project)
    assert b"ada" not in once
    assert exported(imported("there", once)) == once


@pytest.mark.parametrize("method", ["majority", "dawid-skene"])
def test_a_version_of_what_came_in_again_is_the_version_of_what_went_out(method: str) -> None:
    """The same recipe over the same judgements gives the same bytes, in a project that only has the export too."""
    project = make_project("here", overlap=4)
    member = make_member(project, Role.ANNOTATOR, name="zoe")
    person = Rater.objects.create(project=project, kind="annotator", name="zoe", user=member)
    judge = make_judge(project, "critic").rater
    for i in range(20):
        comparison = make_comparison(project, f"c{i:02d}", prompt=f"frage {i} 日本", a=f"ja {i} ✓", b=f"no\u2028{i}")
        make_judgement(comparison, judge, -1 if i % 5 else 1, repeat=i % 2, order="ba" if i % 2 else "ab")
        make_judgement(comparison, person, (-1, 1, 0)[i % 3])
        make_judgements(comparison, "AAB" if i % 4 else "BBT")
    there = imported("there", exported(project))
    hashes = []
    for slug in ("here", "there"):
        started = building.start(f"set-{slug}", Project.objects.get(slug=slug), {"method": method}, by=None, wake=False)
        ledger.execute(started.run_id or 0)
        started.refresh_from_db()
        assert sum(started.counts.values()) >= 10
        hashes.append((started.rows_sha256, started.counts))
    assert hashes[0] == hashes[1]
    assert there.slug == "there"


def test_what_was_said_before_goes_along_and_withdrawn_comparisons_stay_behind() -> None:
    project = imported("first", json.dumps(RICH).encode())
    make_comparison(project, "gone", status="withdrawn")
    changed = {**RICH, "judgements": [{"rater": "bob", "kind": "annotator", "preference": 1}]}
    importing.import_stream(project, io.BytesIO(json.dumps(changed).encode()))
    once = exported(project)
    (row,) = map(json.loads, once.splitlines())
    (bob,) = (j for j in row["judgements"] if j["rater"] == "bob")
    assert (bob["preference"], [(r["preference"], r["both_bad"]) for r in bob["revised"]]) == (1, [(None, True)])
    assert exported(imported("second", once)) == once


def one_row(**fields: Any) -> bytes:
    return json.dumps({"id": "1", "prompt": "p", "completion_a": "a", "completion_b": "b", **fields}).encode()


def said(preference: int, *before: int) -> dict[str, Any]:
    revised = [{"preference": each} for each in before]
    return {"rater": "r", "kind": "annotator", "preference": preference, "revised": revised}


@pytest.mark.parametrize(
    ("stored", "told", "revisions"),
    [
        (said(1), said(-1, 1), [1, -1]),
        (said(1), said(-1, 2, 1, 3), [1, 3, -1]),  # what came before what is stored is not asked for again
        (said(1), said(-1, 2), [1, 2, -1]),
        (said(1, 2), said(1, 3), [2, 1]),  # says the same now
    ],
)
def test_a_row_that_comes_again_brings_what_was_said_since(
    stored: dict[str, Any], told: dict[str, Any], revisions: list[int]
) -> None:
    project = imported("first", one_row(judgements=[stored]))
    importing.import_stream(project, io.BytesIO(one_row(judgements=[told])))
    found = Judgement.objects.filter(comparison__project=project).order_by("revision")
    assert [j.preference for j in found] == revisions
    assert [j.current for j in found] == [False] * (len(revisions) - 1) + [True]
    assert len({j.assignment_id for j in found}) == 1  # one seat, however often they change their mind


def test_what_people_did_here_goes_elsewhere_and_comes_again_without_a_change() -> None:
    """A revised judgement, checks by a rubric of this project, decisions by members: all by the names of versions."""
    project = imported("here", one_row() + b"\n" + one_row(id="2"))
    decided, undone = project.comparisons.order_by("external_id")
    member, eve = make_member(project, Role.ANNOTATOR, name="ada"), make_member(project, Role.CURATOR, name="eve")
    rubric = make_rubric(project, criteria=2)
    first, second = rubric.criteria.all()
    person = Rater.objects.create(project=project, kind="annotator", name="ada", user=member)
    first_word = make_judgement(decided, person, -1, current=False)
    Judgement.objects.create(
        comparison=decided,
        rater=person,
        assignment=first_word.assignment,
        revision=2,
        preference=2,
        rubric=rubric,
        checks={str(first.pk): "a", str(second.pk): "neither"},
    )
    reviewing.adjudicate(decided, -1, False, "checked it", by=eve)
    reviewing.reopen(reviewing.adjudicate(undone, 0, True, "for now", by=eve).comparison, by=eve)
    once = exported(project)
    assert not any(name in once for name in (b"ada", b"eve"))
    (judgement,) = json.loads(once.splitlines()[0])["judgements"]
    assert judgement["checks"] == {first.text: "a", second.text: "neither"}

    there = imported("there", once)
    assert exported(there) == once
    assert dict(there.comparisons.values_list("external_id", "status")) == {"1": "settled", "2": "open"}
    stored = [list(model.objects.order_by("id").values()) for model in (Judgement, Adjudication)]
    for project_again in (project, there):
        report = importing.import_stream(project_again, io.BytesIO(once), filename="again.jsonl")
        assert (report.rejected, report.judgements_created, report.judgements_revised) == (0, 0, 0)
        assert exported(project_again) == once
    assert stored == [list(model.objects.order_by("id").values()) for model in (Judgement, Adjudication)]


def test_a_version_of_decisions_that_came_in_again_is_the_version_of_what_went_out() -> None:
    project = make_project("here", overlap=3)
    eve = make_member(project, Role.CURATOR, name="eve")
    for i in range(12):
        comparison = make_comparison(project, f"c{i:02d}", prompt=f"which {i}?", a=f"yes {i}", b=f"no {i}")
        make_judgements(comparison, "AAB")
        if i % 3 == 0:
            reviewing.adjudicate(comparison, 2, False, f"because {i}", by=eve)
    imported("there", exported(project))
    versions = []
    for slug in ("here", "there"):
        started = building.start(f"set-{slug}", Project.objects.get(slug=slug), {}, by=None, wake=False)
        ledger.execute(started.run_id or 0)
        started.refresh_from_db()
        versions.append((started.rows_sha256, started.counts))
    assert versions[0] == versions[1]
    row = DatasetRow.objects.filter(version__dataset__name="set-there").order_by("position").first()
    assert row is not None
    assert row.row["adjudicated_by"].startswith("adjudicator-")


def decision(preference: int, **fields: Any) -> dict[str, Any]:
    return {"adjudicator": "Eve", "preference": preference, "reason": "seen", **fields}


def test_an_imported_decision_settles_and_what_undoes_it_opens_again() -> None:
    project = imported("first", one_row(adjudications=[decision(1)]))
    comparison = Comparison.objects.get(project=project)
    assert (comparison.status, comparison.adjudications.get().adjudicator) == ("settled", "Eve")
    importing.import_stream(project, io.BytesIO(one_row(adjudications=[decision(1), decision(-1)])))
    assert [(a.preference, a.current) for a in comparison.adjudications.order_by("id")] == [(1, False), (-1, True)]
    undone = [decision(1), decision(-1, undone=True)]
    importing.import_stream(project, io.BytesIO(one_row(adjudications=undone)))
    comparison.refresh_from_db()
    assert (comparison.status, comparison.adjudications.filter(current=True).count()) == ("open", 0)
    assert comparison.adjudications.count() == 2
    importing.import_stream(project, io.BytesIO(one_row(gold=1)))  # says nothing of decisions: none goes
    assert comparison.adjudications.count() == 2


@pytest.mark.parametrize(
    ("stored", "told", "expected", "stands"),
    [
        ("a", "ab", "ab", True),
        ("b", "ab", "b", True),  # what came before what is stored is not asked for again
        ("ab", "aba", "aba", True),
        ("ab", "a", "ab", True),  # a file from before
        ("ab", "ba", "aba", True),
        ("ab", "c", "abc", True),
        ("ab-", "a", "ab", False),  # undone, and not of this file
        ("ab-", "ab", "ab", False),
        ("ab-", "abc", "abc", True),
        ("ab", "ab-", "ab", False),
        ("ab", "abc-", "abc", False),
    ],
)
def test_decisions_that_follow_on_the_stored_ones_are_added(
    stored: str, told: str, expected: str, stands: bool
) -> None:
    def row(letters: str) -> bytes:
        made = [decision(1, reason=letter) for letter in letters.rstrip("-")]
        if letters.endswith("-"):
            made[-1]["undone"] = True
        return one_row(adjudications=made, metadata={"told": letters})

    project = imported("first", row(stored))
    assert importing.import_stream(project, io.BytesIO(row(told))).rejected == 0
    comparison = project.comparisons.get()
    found = list(comparison.adjudications.order_by("id"))
    assert "".join(each.reason for each in found) == expected
    assert [each.current for each in found] == [False] * (len(found) - 1) + [stands]
    assert comparison.status == ("settled" if stands else "open")


def test_a_feed_does_not_undo_a_reopening_and_follows_on_what_was_decided_here() -> None:
    """A decision made or reopened here stays; what the file tells beside it goes in."""
    eve = [decision(1)]
    project = imported("first", one_row(adjudications=eve))
    curator = make_member(project, Role.CURATOR, name="cur")
    comparison = project.comparisons.get()
    reviewing.reopen(comparison, by=curator)
    importing.import_stream(project, io.BytesIO(one_row(adjudications=eve, judgements=[said(1)])))
    comparison.refresh_from_db()
    assert (comparison.status, comparison.judgements.count()) == ("open", 1)
    reviewing.adjudicate(comparison, -1, False, "mine", by=curator)
    report = importing.import_stream(project, io.BytesIO(one_row(adjudications=eve, metadata={"n": 2})))
    comparison.refresh_from_db()
    assert (report.rejected, comparison.metadata) == (0, {"n": 2})
    assert comparison.adjudications.get(current=True).by == curator


def test_the_consensus_follows_an_imported_decision() -> None:
    project = imported("first", b"".join(one_row(id=str(n), judgements=[said(-1)]) + b"\n" for n in range(6)))
    live.follow(timezone.now())  # from here on
    verbs.run_here("aggregate", project, {"method": "majority"})
    row = one_row(id="0", judgements=[said(-1)], adjudications=[decision(1)])
    importing.import_stream(project, io.BytesIO(row))
    live.follow(timezone.now())
    assert Consensus.objects.get(comparison__external_id="0").p_b == 1
    row = one_row(id="0", judgements=[said(-1)], adjudications=[decision(1, undone=True)])
    importing.import_stream(project, io.BytesIO(row))
    live.follow(timezone.now())
    assert Consensus.objects.get(comparison__external_id="0").p_b < 0.5


def test_the_text_of_a_decided_comparison_stays() -> None:
    project = imported("first", one_row(adjudications=[decision(1)]))
    report = importing.import_stream(project, io.BytesIO(one_row(prompt="other", adjudications=[decision(1)])))
    assert [reject["field"] for reject in report.first_rejects] == ["prompt"]


@pytest.mark.parametrize("name", ["cur", "pseudonym"])
def test_a_file_does_not_speak_for_an_adjudicator_of_the_project(name: str) -> None:
    project = imported("first", one_row())
    make_member(project, Role.CURATOR, name="cur")
    called = pseudonym("adjudicator", "cur", project) if name == "pseudonym" else name
    row = one_row(id="new", adjudications=[decision(1, adjudicator=called)])
    (reject,) = importing.import_stream(project, io.BytesIO(row)).first_rejects
    assert reject["field"] == "adjudications[0].adjudicator"


def test_an_imported_rater_stays_apart_from_the_member_of_that_name_who_comes_later() -> None:
    """A project that moved to another server under its name: there its raters are imported ones."""
    name = pseudonym("annotator", "ada", Project(slug="first"))
    row = {"rater": name, "kind": "annotator", "preference": 1}
    project = imported("first", one_row(judgements=[row]))
    assigning.rater_for(project, make_member(project, Role.ANNOTATOR, name="ada"))
    assert not importing.import_stream(project, io.BytesIO(one_row(judgements=[row], metadata={"n": 2}))).rejected


def test_a_file_does_not_undo_what_was_decided_here() -> None:
    project = imported("first", one_row())
    comparison = Comparison.objects.get(project=project)
    reviewing.adjudicate(comparison, 1, False, "mine", by=make_member(project, Role.CURATOR, name="eve"))
    report = importing.import_stream(project, io.BytesIO(one_row(adjudications=[decision(-1)])))
    assert report.first_rejects[0]["field"] == "adjudications"
    assert comparison.adjudications.get().preference == 1


def test_whoever_took_back_what_they_decided_elsewhere_is_not_brought_back() -> None:
    project = imported("first", one_row(adjudications=[decision(1)]))
    eve = Rater.objects.get(project=project, name="Eve")
    plan = withdrawing.preview(eve)
    assert (plan.judgements, plan.decisions, plan.comparisons) == (0, 1, 1)
    started = withdrawing.start(eve, "asked", by=make_member(project, Role.OWNER), wake=False)
    ledger.execute(started.run_id or 0)
    comparison = Comparison.objects.get(project=project)
    assert (comparison.status, comparison.adjudications.count()) == ("open", 0)
    report = importing.import_stream(project, io.BytesIO(one_row(adjudications=[decision(-1)])))
    assert report.first_rejects[0]["field"] == "adjudications[0].adjudicator"
    assert "took back" in report.first_rejects[0]["message"]


def test_an_old_export_does_not_bring_back_a_member_who_took_back_what_they_said() -> None:
    project = imported("here", one_row() + b"\n" + one_row(id="2"))
    eve = make_member(project, Role.CURATOR, name="eve")
    judged, decided = project.comparisons.order_by("external_id")
    person = Rater.objects.create(project=project, kind="annotator", name="eve", user=eve)
    make_judgement(judged, person, -1)
    reviewing.adjudicate(decided, 1, False, "seen", by=eve)
    old = exported(project)
    started = withdrawing.start(person, "asked", by=make_member(project, Role.OWNER), wake=False)
    ledger.execute(started.run_id or 0)
    gone = exported(project)
    assert (b"judgements" in old, b"adjudications" in old) == (True, True)
    assert (b"judgements" in gone, b"adjudications" in gone) == (False, False)
    report = importing.import_stream(project, io.BytesIO(old))
    fields = [reject["field"] for reject in report.first_rejects]
    assert fields == ["judgements[0].rater", "adjudications[0].adjudicator"]
    assert exported(project) == gone


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("adjudications", {"adjudications": "Eve"}),
        ("adjudications[0].adjudicator", {"adjudications": [{"preference": 1, "reason": "x"}]}),
        ("adjudications[0].reason", {"adjudications": [{"adjudicator": "Eve", "preference": 1}]}),
        ("adjudications[0].preference", {"adjudications": [{"adjudicator": "Eve", "reason": "x"}]}),
        ("adjudications[0].preference", {"adjudications": [decision(9)]}),
        ("adjudications[0].preference", {"adjudications": [decision(3)]}),  # the project has one level
        ("judgements[0].revised[0].preference", {"judgements": [said(1, 3)]}),
        ("adjudications[0].decided_at", {"adjudications": [decision(1, decided_at="soon")]}),
        ("adjudications[0].undone", {"adjudications": [decision(1, undone=True), decision(1)]}),
        ("by", {"adjudications": [decision(1, by="Eve")]}),
        ("judgements[0].revised", {"judgements": [said(1) | {"revised": "x"}]}),
        ("rater", {"judgements": [said(1) | {"revised": [{"rater": "r", "preference": 1}]}]}),
        ("judgements[0].revised[0].preference", {"judgements": [said(1, 9)]}),
        ("judgements[0].revised[0].preference", {"judgements": [said(1) | {"revised": [{"seconds": 1}]}]}),
        ("judgements[0].checks", {"judgements": [said(1) | {"checks": ["x"]}]}),
        ("judgements[0].checks.Is polite.", {"judgements": [said(1) | {"checks": {"Is polite.": "c"}}]}),
        ("adjudications", {"completion_a": None, "completion_b": None, "adjudications": [decision(1)],
                           "completions": [{"id": i, "text": i} for i in "xy"]}),
    ],
)  # fmt: skip
def test_what_no_adjudicator_and_no_rater_could_have_said_is_refused_by_its_field(
    field: str, fields: dict[str, Any]
) -> None:
    project = create_project("first", by=None)
    Form.objects.filter(project=project).update(levels=1)
    report = importing.import_stream(project, io.BytesIO(one_row(**fields)))
    assert (report.rejected, Comparison.objects.count()) == (1, 0)
    assert report.first_rejects[0]["field"] == field


def test_rows_from_before_the_new_fields_keep_the_hash_by_which_an_import_knows_them() -> None:
    project = imported("first", b'{"id":"1","prompt":"p","completion_a":"a","completion_b":"b","judgements":'
                                b'[{"rater":"r","kind":"annotator","preference":1,"seconds":2}]}')  # fmt: skip
    as_the_release_before_wrote_it = "99f2e1b6dbfed2e3fdeb033ea79f81ca8f6f66a29d7064423a557e3bbb3aaa82"
    assert Comparison.objects.get(project=project).content_sha256 == as_the_release_before_wrote_it


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("ratings", {"tone": {"a": 1}}),
        ("ratings", {"tone": {"a": 1, "b": True}}),
        ("confidence", {"overall": 4}),
        ("evidence", [{"side": "c", "exact": "x", "start": 0, "end": 1}]),
        ("evidence", [{"side": "a", "exact": "x", "start": 2, "end": 1}]),
        ("evidence", [{"side": "a", "exact": "\x00", "start": 0, "end": 1}]),
        ("simulated", "yes"),
    ],
)
def test_a_mark_that_no_form_could_have_made_is_refused_by_its_field(field: str, value: object) -> None:
    project = create_project("first", by=None)
    row = {**RICH, "judgements": [{"rater": "r", "kind": "annotator", "preference": 0, field: value}]}
    report = importing.import_stream(project, io.BytesIO(json.dumps(row).encode()))
    assert report.rejected == 1
    assert report.first_rejects[0]["field"].startswith(f"judgements[0].{field}")


def test_the_command_writes_a_file_that_import_takes_and_an_event(tmp_path: Path) -> None:
    project = imported("first", json.dumps(RICH).encode())
    out = io.StringIO()
    call_command("export_comparisons", "first", "--to", str(tmp_path / "x/rows.jsonl"), "--json", stdout=out)
    told = json.loads(out.getvalue())
    assert (told["rows"], (tmp_path / "x/rows.jsonl").read_bytes()) == (1, exported(project))
    assert Event.objects.filter(verb="project.exported").count() == 1


def test_rest_streams_the_same_rows_and_goes_on_after_those_that_came() -> None:
    project = imported("first", b"".join(json.dumps(row).encode() + b"\n" for row in (RICH, MANY)))
    token = make_token(make_member(project, Role.CURATOR), "export")
    client = Client(headers={"Authorization": f"Bearer {token}"})
    response = client.get("/api/v1/projects/first/rows/")
    assert (response.headers["X-Tiebreak-Rows"], b"".join(response.streaming_content)) == ("4", exported(project))
    rest = client.get("/api/v1/projects/first/rows/", {"cursor": 3})
    assert b"".join(rest.streaming_content) == exported(project).splitlines(keepends=True)[3]
    assert client.get("/api/v1/projects/first/rows/", {"cursor": "x"}).status_code == 422


def test_no_line_is_lost_where_a_comparison_is_withdrawn_between_a_break_and_what_follows_it() -> None:
    project = imported("first", b"".join(json.dumps(row).encode() + b"\n" for row in (RICH, MANY)))
    token = make_token(make_member(project, Role.CURATOR), "export")
    client = Client(headers={"Authorization": f"Bearer {token}"})
    first = client.get("/api/v1/projects/first/rows/")
    known = {"If-Match": first.headers["ETag"]}
    rest = client.get("/api/v1/projects/first/rows/", {"cursor": 2}, headers=known)
    assert b"".join(rest.streaming_content) == b"".join(exported(project).splitlines(keepends=True)[2:])
    Comparison.objects.filter(external_id="rich/1").update(status="withdrawn")
    told = client.get("/api/v1/projects/first/rows/", {"cursor": 2}, headers=known)
    assert (told.status_code, told.json()["type"]) == (412, "urn:tiebreak:rows_changed")


def test_a_token_has_no_more_streams_of_a_project_at_once_than_of_versions() -> None:
    project = imported("first", json.dumps(RICH).encode())
    client = Client(headers={"Authorization": f"Bearer {make_token(make_member(project, Role.CURATOR), 'export')}"})
    opened = [client.get("/api/v1/projects/first/rows/") for _ in range(STREAMS)]
    assert client.get("/api/v1/projects/first/rows/").status_code == 429
    for answer in opened:
        for close in answer._resource_closers:  # what a server calls when the client has gone
            close()
    assert client.get("/api/v1/projects/first/rows/").status_code == 200


@pytest.mark.parametrize("zipped", [False, True])
def test_rest_takes_csv_and_says_who_a_token_is(zipped: bool) -> None:
    project = create_project("first", by=None)
    token = make_token(make_member(project, Role.CURATOR, name="cur"), "import", project=project)
    client = Client(headers={"Authorization": f"Bearer {token}"})
    body = b'id,prompt,completion_a,completion_b,gold\n1,p,a,"b\nb",\n'
    response = client.post(
        "/api/v1/projects/first/imports/?source=mine",
        gzip.compress(body) if zipped else body,
        content_type="text/csv",
    )
    assert response.status_code == 202, response.content
    done = ledger.execute(response.json()["id"])
    assert done is not None
    assert done.result["created"] == 1
    told = client.get("/api/v1/token/").json()
    assert (told["user"], told["scopes"], told["project"]) == ("cur", ["import"], "first")

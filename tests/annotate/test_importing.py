"""Importing: in bulk, never twice, and what cannot be taken is named while the others go in."""

from __future__ import annotations

import gzip
import io
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from annotate.formats.rows import judgements
from annotate.models import Assignment, Comparison, Completion, Judgement, Prompt, Rater
from annotate.services import importing, storing
from annotate.services.importing import Reject, Report
from annotate.services.projects import change_form, create_project
from tests.build import make_judge, make_judgements, make_member, make_project, make_rater, make_user
from tiebreak.accounts.models import Project
from tiebreak.core.errors import Conflict, Invalid, NotAllowed, Unavailable
from tiebreak.core.models import Event
from tiebreak.runs import ledger, store
from tiebreak.runs.models import Run

pytestmark = pytest.mark.django_db


def row(id: str = "r1", **changes: Any) -> dict[str, Any]:
    return {"id": id, "prompt": "Why?", "completion_a": f"Because {id}.", "completion_b": "No reason.", **changes}


def said(rater: str = "ann", preference: int | None = 1, kind: str = "annotator", **more: Any) -> dict[str, Any]:
    return {"rater": rater, "kind": kind, "preference": preference, **more}


def lines(*rows: Any) -> io.BytesIO:
    return io.BytesIO(b"".join(r if isinstance(r, bytes) else json.dumps(r).encode() + b"\n" for r in rows))


def send(project: Project, *rows: Any, rejects: list[Reject] | None = None, **options: Any) -> Report:
    take = rejects.append if rejects is not None else None
    return importing.import_stream(project, lines(*rows), by=None, rejects=take, **options)


def counts(report: Report) -> tuple[int, int, int, int]:
    return report.created, report.updated, report.unchanged, report.rejected


@pytest.fixture
def project() -> Project:
    return make_project("chat", overlap=2)


def test_a_row_becomes_a_prompt_two_completions_and_an_open_comparison(project: Project) -> None:
    report = send(project, row(generator_a="m1", metadata={"topic": "x"}, gold=-1, reference="R", context="C"))
    assert counts(report) == (1, 0, 0, 0)
    made = Comparison.objects.select_related("prompt", "completion_a", "completion_b").get()
    assert made.prompt.messages == [{"role": "user", "content": "Why?"}]
    assert (made.completion_a.text, made.completion_a.generator) == ("Because r1.", "m1")
    assert (made.gold, made.reference, made.context, made.metadata) == (-1, "R", "C", {"topic": "x"})
    assert (made.status, made.route, made.overlap, made.seats_taken) == ("open", "human", 2, 0)
    assert made.group == made.prompt.sha256
    assert 0 <= made.shuffle < 1


def test_the_same_texts_are_stored_once(project: Project) -> None:
    send(project, row("r1"), row("r2"), row("r3", prompt="Other?"))
    assert Prompt.objects.count() == 2
    assert Completion.objects.count() == 5  # r1's a, r2's a, their shared b, and two of the other prompt


def test_a_file_that_is_sent_again_changes_nothing(project: Project) -> None:
    rows = [row("r1", judgements=[said(), said("gpt", kind="judge", order="ba")]), row("r2")]
    send(project, *rows)
    before = list(Comparison.objects.order_by("id").values_list("id", "updated_at"))
    again = send(project, *rows)
    assert counts(again) == (0, 0, 2, 0)
    assert (again.judgements_created, again.judgements_revised) == (0, 0)
    assert list(Comparison.objects.order_by("id").values_list("id", "updated_at")) == before
    assert Judgement.objects.count() == 2


def test_changed_metadata_gold_and_reference_update_the_row(project: Project) -> None:
    send(project, row("r1", judgements=[said()]), row("r2"))
    report = send(project, row("r1", metadata={"k": 1}, gold=2, reference="R", judgements=[said()]), row("r2"))
    assert counts(report) == (0, 1, 1, 0)
    changed = Comparison.objects.get(external_id="r1")
    assert (changed.metadata, changed.gold, changed.reference, changed.seats_taken) == ({"k": 1}, 2, "R", 1)
    assert report.judgements_created == 0


def test_a_changed_text_of_a_judged_comparison_is_refused_and_of_an_open_one_taken(project: Project) -> None:
    send(project, row("judged", judgements=[said()]), row("open"))
    rejects: list[Reject] = []
    report = send(project, row("judged", completion_a="New."), row("open", prompt="New?"), rejects=rejects)
    assert counts(report) == (0, 1, 0, 1)
    assert [(r.line, r.field) for r in rejects] == [(1, "completion_a")]
    assert "judged already" in rejects[0].message
    assert Comparison.objects.get(external_id="judged").completion_a.text == "Because judged."
    assert str(Comparison.objects.get(external_id="open").prompt) == "New?"


def test_a_text_is_not_changed_under_the_eyes_of_an_annotator(project: Project) -> None:
    send(project, row())
    Assignment.objects.create(
        comparison=Comparison.objects.get(), rater=make_rater(project), order="ab", expires_at=timezone.now()
    )
    rejects: list[Reject] = []
    send(project, row(completion_b="New."), rejects=rejects)
    assert "an annotator has it before them" in rejects[0].message


def test_annotators_judgements_take_seats_and_widen_the_overlap(project: Project) -> None:
    send(project, row(judgements=[said("a"), said("b", 0), said("c", -1), said("gpt", kind="judge")]))
    made = Comparison.objects.get()
    assert (made.overlap, made.seats_taken) == (3, 3)  # the form wants 2; a judge takes no seat
    assert set(Assignment.objects.values_list("status", flat=True)) == {"submitted"}
    assert Judgement.objects.filter(assignment=None).get().rater.kind == "judge"
    send(project, row(judgements=[said("d")]))
    made.refresh_from_db()
    assert (made.overlap, made.seats_taken) == (4, 4)


def test_a_changed_mind_is_a_new_revision_in_the_same_seat(project: Project) -> None:
    send(project, row(judgements=[said(preference=1), said("bob", 0)]))
    report = send(project, row(judgements=[said(preference=-2), said("bob", 0)]))
    assert (report.judgements_created, report.judgements_revised) == (0, 1)
    old, new = Judgement.objects.filter(rater__name="ann").order_by("revision")
    assert (old.preference, old.current, old.revision) == (1, False, 1)
    assert (new.preference, new.current, new.revision) == (-2, True, 2)
    assert new.assignment_id == old.assignment_id
    assert Comparison.objects.get().seats_taken == 2


def test_a_judges_orders_are_readings_zero_and_one_and_more_follow_evenly(project: Project) -> None:
    orders = ["ba", "ab", None, "ba"]
    send(project, row(judgements=[said("gpt", kind="judge", order=o) for o in orders]))
    stored = Judgement.objects.order_by("repeat").values_list("repeat", "order")
    assert list(stored) == [(0, "ab"), (1, "ba"), (2, None), (3, "ba")]


def test_an_annotators_second_reading_is_a_repeat(project: Project) -> None:
    send(project, row(judgements=[said(preference=1), said(preference=0)]))
    assert list(Judgement.objects.order_by("repeat").values_list("repeat", "preference")) == [(0, 1), (1, 0)]


def test_every_detail_of_a_judgement_is_kept_and_the_unsaid_stays_unknown(project: Project) -> None:
    send(
        project,
        row(
            judgements=[
                said(
                    aspects={"depth": 2}, reasons=["longer"], justification="so", seconds=3.5, order="ba",
                    submitted_at="2026-01-31T16:59:52Z", probability_b=0.8,
                ),
                said("gpt", None, "judge"),
            ]
        ),
    )  # fmt: skip
    kept = Judgement.objects.get(rater__name="ann")
    assert (kept.aspects, kept.reasons, kept.justification, kept.seconds) == ({"depth": 2}, ["longer"], "so", 3.5)
    assert (kept.order, kept.submitted_at.isoformat(), kept.probability_b) == ("ba", "2026-01-31T16:59:52+00:00", 0.8)
    unread = Judgement.objects.get(rater__name="gpt")
    assert (unread.preference, unread.order) == (None, None)
    assert unread.unparsed_because


def test_nobody_speaks_for_a_member_or_for_a_judge_that_runs_here(project: Project) -> None:
    make_rater(project, "ada", user=make_user("ada"))
    judge = make_judge(project)
    rejects: list[Reject] = []
    rows = [row("r1", judgements=[said("ada")]), row("r2", judgements=[said(str(judge), kind="judge")]), row("r3")]
    assert counts(send(project, *rows, rejects=rejects)) == (1, 0, 0, 2)
    assert [r.field for r in rejects] == ["judgements[0].rater"] * 2
    assert Judgement.objects.count() == 0


def test_a_strength_beyond_the_projects_levels_is_refused() -> None:
    project = make_project(levels=1)
    rejects: list[Reject] = []
    send(project, row("r1", judgements=[said(preference=2)]), row("r2", gold=-3), row("r3", gold=1), rejects=rejects)
    assert [(r.line, r.field) for r in rejects] == [(1, "judgements[0].preference"), (2, "gold")]
    assert "-1 to 1" in rejects[0].message


def test_bad_rows_are_named_by_line_and_field_and_the_others_go_in(project: Project) -> None:
    rejects: list[Reject] = []
    report = send(
        project,
        row("good"),
        b'{"id": "broken\n',
        row("nul", prompt="a\x00b"),
        row("huge", prompt="x" * 5_000_000),
        b'{"id": "latin", "prompt": "caf\xe9"}\n',
        row("good", completion_a="again"),
        row("last"),
        rejects=rejects,
    )
    assert counts(report) == (2, 0, 0, 5)
    assert [(r.line, r.field) for r in rejects] == [(2, "row"), (3, "prompt"), (4, "prompt"), (5, "row"), (6, "id")]
    told = [r.message for r in rejects]
    assert "valid JSON" in told[0]
    assert "at line 1," in told[0]  # of the row, which is one line of the file
    assert "NUL" in told[1]
    assert "at most 1,000,000 characters, got 5,000,000" in told[2]
    assert "0xe9" in told[3]
    assert "stands on line 1 already; line 6" in told[4]
    assert rejects[2].row.endswith("x… (cut)")
    assert all(len(r.row) <= 4010 for r in rejects)
    assert set(Comparison.objects.values_list("external_id", flat=True)) == {"good", "last"}
    assert Comparison.objects.get(external_id="good").completion_a.text == "Because good."


def test_an_unknown_format_is_refused_with_the_known_ones_before_anything_is_stored(project: Project) -> None:
    with pytest.raises(Invalid, match=r"rows, trl, hh-rlhf, .*, got 'xml'"):
        importing.start_import(project, lines(row()), format="xml", by=None)
    assert not Run.objects.exists()


def test_trl_and_hh_rlhf_files_bring_their_preference_as_one_judgement(project: Project) -> None:
    send(project, {"prompt": "?", "chosen": "good", "rejected": "bad"}, format="trl", filename="pairs.jsonl")
    start = "\n\nHuman: hi\n\nAssistant:"
    send(project, {"chosen": start + " good", "rejected": start + " bad"}, format="hh-rlhf", filename="hh.jsonl")
    for judgement in Judgement.objects.select_related("comparison__completion_a", "comparison__completion_b"):
        pair = judgement.comparison
        preferred = pair.completion_b if (judgement.preference or 0) > 0 else pair.completion_a
        assert preferred.text == "good"
    assert set(Rater.objects.values_list("name", "kind")) == {("pairs", "annotator"), ("hh", "annotator")}


def test_completions_of_one_prompt_become_comparisons_that_share_them(project: Project) -> None:
    many = {"id": "p", "prompt": "?", "completions": [{"id": i, "text": i, "rank": n} for n, i in enumerate("xyz")]}
    assert counts(send(project, many)) == (3, 0, 0, 0)
    assert Completion.objects.count() == 3
    many["completions"][0]["rank"] = 9  # type: ignore[index]
    assert counts(send(project, many)) == (0, 2, 1, 0)
    assert Completion.objects.get(external_id="x").rank == 9


def test_two_alike_outputs_of_one_generator_are_still_compared(project: Project) -> None:
    alike = row(completion_a="Same.", completion_b="Same.", judgements=[said(preference=0)])
    assert counts(send(project, alike)) == (1, 0, 0, 0)
    assert counts(send(project, alike)) == (0, 0, 1, 0)


def test_projects_share_nothing(project: Project) -> None:
    other = make_project()
    for each in (project, other):
        assert counts(send(each, row(judgements=[said()]))) == (1, 0, 0, 0)
    assert Prompt.objects.count() == Rater.objects.count() == 2


# Runs


def run_import(project: Project, file: io.BytesIO, **options: Any) -> Run:
    run = importing.start_import(project, file, by=None, wake=False, **options)
    done = ledger.execute(run.pk)
    assert done is not None
    return done


def test_a_run_keeps_the_rejects_file_and_tells_what_it_did(project: Project) -> None:
    run = run_import(project, lines(row("r1"), {"id": "r2"}, row("r3")), filename="x.jsonl")
    assert (run.status, run.done, run.total) == ("succeeded", 3, 3)
    assert {k: run.result[k] for k in ("created", "rejected")} == {"created": 2, "rejected": 1}
    assert run.result["first_rejects"][0]["line"] == 2
    kept = run.artifacts.get(name=importing.REJECTS).artifact
    with store.open_artifact(kept) as file:
        (told,) = [json.loads(line) for line in file]
    assert (told["line"], told["field"]) == (2, "prompt")
    assert json.loads(told["row"]) == {"id": "r2"}
    assert set(Comparison.objects.values_list("import_run", flat=True)) == {run.pk}
    assert Event.objects.filter(verb="import.finished", project=project).get().data["created"] == 2


def test_a_rejects_file_stops_growing_and_what_it_lacks_is_counted(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "MOST_REJECTS", 10_000)
    run = run_import(project, lines(*({"id": f"r{n}", "prompt": 1, "y" * 1_000_000: "x"} for n in range(4))))
    assert (run.result["rejected"], run.result["rejects_left_out"]) == (4, 2)
    kept = run.artifacts.get(name=importing.REJECTS).artifact
    with store.open_artifact(kept) as file:
        assert [json.loads(line)["line"] for line in file] == [1, 2]
    assert kept.size < 10_000, "of each row only its beginning"


def test_a_reject_names_a_field_of_a_million_characters_by_its_beginning(project: Project) -> None:
    rejects: list[Reject] = []
    send(project, row(metadata={"y" * 900_000: "\x00"}), rejects=rejects)
    assert rejects[0].field.startswith("metadata.yyy")
    assert len(json.dumps(rejects[0].__dict__)) < 10_000


def test_a_clean_import_leaves_no_rejects_file(project: Project) -> None:
    assert not run_import(project, lines(row())).artifacts.exists()


def test_an_import_that_was_killed_goes_on_where_it_stopped(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "BATCH", 2)
    rows = [row(f"r{n}", judgements=[said()]) for n in range(5)]
    run = importing.start_import(project, lines(*rows), by=None, wake=False)
    execution = ledger.claim(run.pk)
    assert execution is not None
    steps: list[int] = []

    def die_in_the_second_batch(text: str) -> None:
        steps.append(1)
        if len(steps) == 2:
            raise KeyboardInterrupt

    execution.say = die_in_the_second_batch
    with pytest.raises(KeyboardInterrupt):
        importing.run(execution)
    assert Comparison.objects.count() == 4
    result = importing.run(execution)
    assert (result["created"], result["unchanged"]) == (1, 4)
    assert Judgement.objects.count() == 5


def test_long_rows_make_small_batches(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    # 40 rows of 500 KB are 20 MB: more than one batch's 16 MB, so the run tells of its progress in between.
    run = importing.start_import(
        project, lines(*[row(f"r{n}", reference="x" * 500_000) for n in range(40)]), by=None, wake=False
    )
    told: list[str] = []
    ledger.execute(run.pk, say=told.append)
    assert "34 rows written: 34 of 40" in told
    assert Comparison.objects.count() == 40


def test_a_cancelled_import_of_nothing_but_bad_rows_stops(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "BATCH", 3)
    run = importing.start_import(project, lines(*[{"id": "x"}] * 10), by=None, wake=False)
    ledger.execute(run.pk, say=lambda text: Run.objects.update(cancel_requested_at=timezone.now()) and None)
    run.refresh_from_db()
    assert (run.status, run.done) == ("cancelled", 3)


def test_an_archived_project_takes_nothing(project: Project) -> None:
    project.archived_at = timezone.now()
    with pytest.raises(Conflict, match="archived"):
        importing.start_import(project, lines(row()), by=None)


def test_a_worker_that_lost_its_lease_writes_nothing(project: Project) -> None:
    run = importing.start_import(project, lines(row()), by=None, wake=False)
    execution = ledger.claim(run.pk)
    assert execution is not None
    Run.objects.filter(pk=run.pk).update(attempt=7)
    with pytest.raises(ledger.LeaseLost):
        importing.run(execution)
    assert not Comparison.objects.exists()


def test_a_file_that_breaks_off_fails_with_its_rows_in(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "BATCH", 500)
    data = b"".join(json.dumps(row(f"r{n}", reference=str(n**50))).encode() + b"\n" for n in range(5000))
    with pytest.raises(Invalid, match=r"x\.gz: the gzip stream breaks off"):
        run_import(project, io.BytesIO(gzip.compress(data)[:-2000]), filename="x.gz")
    run = Run.objects.get()
    assert run.status == "failed"
    assert run.error is not None
    assert run.error["code"] == "file_broken"
    assert Comparison.objects.exists()


def test_a_file_that_breaks_off_keeps_what_it_rejected_before(project: Project, storage: Path) -> None:
    lines = b"no JSON\n" + b"".join(json.dumps({"id": f"r{n}"}).encode() + b"\n" for n in range(50))
    packed = gzip.compress(lines)[:-8]
    run = importing.start_import(project, io.BytesIO(packed), filename="cut.jsonl.gz", by=None, wake=False)
    with pytest.raises(Invalid, match="breaks off"):
        ledger.execute(run.pk)
    with store.open_artifact(run.artifacts.get(name=importing.REJECTS).artifact) as file:
        assert json.loads(file.readline())["line"] == 1


def test_a_file_name_that_is_no_text_is_no_reason_to_fail(project: Project, storage: Path) -> None:
    run = importing.start_import(project, io.BytesIO(b""), filename="umlaut-\udcfc\x00.jsonl", by=None, wake=False)
    assert run.params["filename"] == "umlaut-??.jsonl"


def test_a_full_disk_under_the_rejects_file_fails_the_run_and_loses_no_row(
    project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(importing, "BATCH", 2)
    bad = [{"id": f"bad{n}", "prompt": "x" * 4000} for n in range(50)]
    run = importing.start_import(project, lines(row("r1"), row("r2"), *bad), by=None, wake=False)
    full = lambda **where: (os.open("/dev/full", os.O_WRONLY), str(tmp_path / "gone"))  # noqa: E731
    monkeypatch.setattr(tempfile, "mkstemp", full)
    with pytest.raises(Unavailable, match="is full"):
        ledger.execute(run.pk)
    run.refresh_from_db()
    assert run.status == "failed"
    assert run.error is not None
    assert run.error["code"] == "disk_full"
    assert Comparison.objects.count() == 2
    monkeypatch.undo()
    ledger.retry(run, by=None)
    done = ledger.execute(run.pk)
    assert done is not None
    assert (done.result["unchanged"], done.result["rejected"]) == (2, 50)


def test_a_full_disk_under_the_upload_starts_nothing(
    project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    full = lambda **where: (os.open("/dev/full", os.O_WRONLY), str(tmp_path / "gone"))  # noqa: E731
    monkeypatch.setattr(tempfile, "mkstemp", full)
    with pytest.raises(Unavailable):
        importing.start_import(project, lines(*[row(reference="x" * 100_000)] * 10), by=None)
    assert not Run.objects.exists()


def test_only_who_may_curate_imports(project: Project) -> None:
    with pytest.raises(NotAllowed):
        importing.start_import(project, lines(row()), by=make_member(project, "annotator"))
    importing.start_import(project, lines(row()), by=make_member(project, "curator"), wake=False)


def test_a_write_locks_out_a_second_import_of_the_project_but_not_its_readers(project: Project) -> None:
    with CaptureQueriesContext(connection) as queries:
        send(project, row())
    assert any("FOR NO KEY UPDATE" in q["sql"] and "accounts_project" in q["sql"] for q in queries)


def test_readings_are_numbered_by_rater_and_order() -> None:
    told = [said("x", kind="judge", order="ba"), said("x", kind="judge"), said("y", kind="judge"), said(), said()]
    assert storing.repeats(judgements(told)) == [1, 0, 0, 0, 1]


# Projects and forms


def test_a_new_project_has_form_one_and_its_maker_as_owner() -> None:
    user = make_user()
    project = create_project("chat-2026", "Chat", by=user, overlap=5)
    assert project.role_of(user) == "owner"
    assert project.forms.get().overlap == 5
    assert Event.objects.filter(verb="project.created", actor=user).exists()
    with pytest.raises(Conflict):
        create_project("chat-2026", "Again", by=user)


@pytest.mark.parametrize(
    ("slug", "form", "field"),
    [
        ("No Spaces", {}, "slug"),
        ("x", {"overlap": 0}, "overlap"),
        ("x", {"levels": 4}, "levels"),
        ("x", {"justification": "maybe"}, "justification"),
        ("x", {"aspects": [{"key": "a"}]}, "aspects"),
        ("x", {"colour": "red"}, "colour"),
    ],
)
def test_a_project_that_makes_no_sense_is_refused_by_field(slug: str, form: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as caught:
        create_project(slug, "X", by=None, **form)
    assert caught.value.params["field"] == field
    assert not Project.objects.exists()


def test_a_changed_form_is_a_new_one_and_open_comparisons_follow_its_overlap(project: Project) -> None:
    send(project, row("r1", judgements=[said("a"), said("b")]), row("r2"))
    make_judgements(Comparison.objects.get(external_id="r2"), "A")
    form = change_form(project, by=None, overlap=1, levels=2)
    assert (form.number, form.overlap, form.levels) == (2, 1, 2)
    assert project.forms.get(number=1).current is False
    assert dict(Comparison.objects.values_list("external_id", "overlap")) == {"r1": 2, "r2": 1}


# The command


def command(*args: str) -> dict[str, Any]:
    out = io.StringIO()
    call_command("import_comparisons", *args, "--json", stdout=out)
    told: dict[str, Any] = json.loads(out.getvalue().splitlines()[-1])
    return told


def test_the_command_makes_the_project_imports_and_tells(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_bytes(lines(row("r1"), {"id": "r2"}).getvalue())
    told = command("new", str(file), "--create")
    assert {k: told[k] for k in ("created", "updated", "unchanged", "rejected")} == {
        "created": 1, "updated": 0, "unchanged": 0, "rejected": 1,
    }  # fmt: skip
    assert Path(told["rejects"]).exists()
    assert command("new", str(file), "--create")["unchanged"] == 1


def test_the_command_fails_where_every_row_was_refused_once_it_has_told_which(tmp_path: Path) -> None:
    file, out = tmp_path / "rows.jsonl", io.StringIO()
    file.write_bytes(lines({"id": "r1"}).getvalue())
    with pytest.raises(CommandError, match=r"Every row was refused\.") as caught:
        call_command("import_comparisons", "new", str(file), "--create", stdout=out)
    assert caught.value.returncode == 1
    assert "rejected 1" in out.getvalue()
    assert "rejected rows: /" in out.getvalue()
    file.write_bytes(b"")
    call_command("import_comparisons", "new", str(file), stdout=out)  # where none was read, none was refused


def test_the_command_says_how_a_project_without_members_gets_one(tmp_path: Path) -> None:
    file, out, after = tmp_path / "rows.jsonl", io.StringIO(), io.StringIO()
    file.write_bytes(lines(row()).getvalue())
    call_command("import_comparisons", "new", str(file), "--create", stdout=out)
    assert "manage.py create_user NAME --project new --role owner" in out.getvalue()
    call_command("create_user", "ada", "--project", "new", "--role", "owner", stdout=after)
    call_command("import_comparisons", "new", str(file), stdout=after)
    assert "create_user" not in after.getvalue()


def test_the_command_says_what_is_missing_and_makes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_bytes(lines(row()).getvalue())
    for args in (
        ["new", str(file)],
        ["new", str(tmp_path / "none"), "--create"],
        ["new", str(file), "--create", "--format", "xml"],
    ):
        with pytest.raises(CommandError) as caught:
            call_command("import_comparisons", *args, stdout=io.StringIO())
        assert caught.value.returncode == 1
    assert not Project.objects.exists()


SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "llmfao.jsonl.gz"


@pytest.mark.skipif(not SHARED.exists(), reason="real data lies beside the repository only on its makers' machines")
def test_a_real_set_goes_in_whole() -> None:
    # The set's own description: 1,468 comparisons, 9,062 judgements, two judges.
    project = make_project()
    with SHARED.open("rb") as file:
        report = importing.import_stream(project, file, by=None, filename=SHARED.name)
    assert counts(report) == (1468, 0, 0, 0)
    assert report.judgements_created == 9062
    assert Rater.objects.filter(kind="judge").count() == 2

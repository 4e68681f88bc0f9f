"""What somebody said, or wrote, is taken back: it counts and stands nowhere, and versions are still provable."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pyarrow.parquet as pq
import pytest
from django.test import TestCase
from django.utils import timezone

from annotate.models import Assignment, Comment, Comparison, Completion, Flag, Image, Judgement, Prompt, Rater
from annotate.services import importing, reviewing
from curation.exports.files import chain
from curation.models import (
    ComparisonVector,
    CompletionVector,
    Consensus,
    DatasetVersion,
    Encoder,
    NoiseDecision,
    NoiseScore,
    NoiseTreatment,
    RaterSkill,
    Tombstone,
    VersionFile,
    Withdrawal,
)
from curation.services import building, erasing, rewriting, verbs, verifying, withdrawing
from tests.build import (
    make_call,
    make_comparison,
    make_image,
    make_judge,
    make_judgement,
    make_judgements,
    make_member,
    make_model,
    make_noise,
    make_project,
    make_rater,
    make_routing,
    make_run,
)
from tiebreak.accounts.models import Membership, Project, User
from tiebreak.accounts.roles import Role
from tiebreak.core.errors import BackendError, Conflict, Invalid, NotAllowed
from tiebreak.core.models import Event, record
from tiebreak.runs import ledger, store
from tiebreak.runs.models import Artifact, Run

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("storage")]

ALL_TRAIN = {"method": "majority", "split": {"train": 1.0, "validation": 0.0, "test": 0.0}}


@pytest.fixture
def project() -> Project:
    """Six comparisons by r1, r2 and r3, who agree; "alone" by r1 only."""
    project = make_project("court", overlap=3)
    for number in range(6):
        make_judgements(
            make_comparison(project, f"c{number}", prompt=f"question {number}"), "AAA" if number % 2 else "BBB"
        )
    make_judgements(make_comparison(project, "alone", prompt="who?", a="Anna Berg", b="Ben Cole"), "A")
    Judgement.objects.filter(rater__name="r1").update(justification="I said so", evidence=[{"side": "a", "exact": "x"}])
    return project


@pytest.fixture
def owner(project: Project) -> User:
    return make_member(project, Role.OWNER, name="owner")


def build(project: Project, **recipe: Any) -> DatasetVersion:
    version = building.start("prefs", project, ALL_TRAIN | recipe, by=None, wake=False)
    ledger.execute(version.run_id or 0)
    version.refresh_from_db()
    return version


def rater(name: str) -> Rater:
    return Rater.objects.get(name=name)


def withdraw(subject: Rater | Comparison, *, by: User | None = None, reason: str = "asked for it") -> Run:
    """To the end, with what happens after the commits."""
    with TestCase.captureOnCommitCallbacks(execute=True):
        withdrawal = withdrawing.start(subject, reason, by=by, wake=False)
        run = ledger.execute(withdrawal.run_id or 0)
    assert run is not None
    assert run.status == "succeeded", run.error
    return run


def rows(version: DatasetVersion) -> dict[str, dict[str, Any]]:
    return {row.row["id"]: row.row for row in version.rows.order_by("position")}


def read(file: VersionFile) -> list[dict[str, Any]]:
    with store.open_artifact(file.artifact) as source:
        found: list[dict[str, Any]] = pq.read_table(source).to_pylist()
    return found


def in_file(version: DatasetVersion) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in read(version.files.get(name="train.parquet"))}


def test_a_persons_votes_leave_ready_versions_and_rows_of_theirs_alone_go(project: Project) -> None:
    version = build(project)
    before = {row.row["id"]: row for row in version.rows.all()}
    old_file = version.files.get(name="train.parquet").artifact_id
    run = withdraw(rater("r1"))
    after = rows(version)
    assert set(before) - set(after) == {"alone"}
    for row in after.values():
        assert [vote["rater"] for vote in row["votes"]] == ["r2", "r3"]
        assert (row["n_annotators"], row["withdrawn_votes"]) == (2, 1)
    # The label and its figures stand as they were published.
    label = ("chosen", "rejected", "chosen_side", "preference", "probability", "margin", "source")
    assert all(row[key] == before[pk].row[key] for pk, row in after.items() for key in label)
    version.refresh_from_db()
    assert version.counts == {"train": 6, "validation": 0, "test": 0}
    assert run.result["versions"] == {"prefs@1": {"rows_that_lost_votes": 6, "rows_that_went": 1}}
    # The file holds the rows as they are, and its old bytes are nowhere.
    assert {pk: [v["rater"] for v in row["votes"]] for pk, row in in_file(version).items()} == {
        pk: ["r2", "r3"] for pk in after
    }
    file = version.files.get(name="train.parquet")
    assert (file.rows, file.former[0]["sha256"], file.former[0]["rows"]) == (6, old_file, 7)
    assert not store.path_of(old_file).exists()
    assert not Artifact.objects.filter(pk=old_file).exists()


def test_the_chain_over_the_rows_hashes_is_still_provable(project: Project) -> None:
    version = build(project)
    withdraw(rater("r1"))
    withdraw(Comparison.objects.get(external_id="c2"))
    stones = Tombstone.objects.filter(version=version).order_by("position", "pk")
    first: dict[int, str] = {}
    for stone in stones:
        first.setdefault(stone.position, stone.sha256)
    hashes = dict(version.rows.values_list("position", "sha256")) | first
    version.refresh_from_db()
    assert chain(hashes[position] for position in sorted(hashes)) == version.chain_sha256
    assert len(hashes) == 7


def test_nothing_that_they_said_counts_or_can_be_read_any_more(project: Project) -> None:
    verbs.run_here("aggregate", project, {"method": "dawid-skene"})
    one, comparison = rater("r1"), Comparison.objects.get(external_id="c0")
    alone = Comparison.objects.get(external_id="alone")
    make_noise(comparison, method="rater-quality", cause="r1 (40%) against r2 (90%)")
    Flag.objects.create(comparison=comparison, rater=one, kind="unsafe", note="I know her")
    Comparison.objects.filter(pk=alone.pk).update(status="settled")
    withdraw(one)
    one.refresh_from_db()
    assert one.name.startswith("withdrawn-")
    assert not Judgement.objects.current().filter(rater=one).exists()
    said = Judgement.objects.filter(rater=one)
    assert set(said.values_list("preference", "justification", "unparsed_because")) == {(None, "", "withdrawn")}
    assert not Assignment.objects.filter(rater=one).exists()
    assert not RaterSkill.objects.filter(rater=one).exists()
    assert not NoiseScore.objects.filter(comparison=comparison).exists()
    assert Flag.objects.get().note == ""
    # The consensus follows at once: two voices are left of three, and none of one.
    assert Consensus.objects.get(comparison=comparison).n_annotators == 2
    assert not Consensus.objects.filter(comparison=alone).exists()
    alone.refresh_from_db()
    assert (alone.status, alone.seats_taken) == ("open", 0)
    # What is built from now on knows nothing of them.
    later = build(project)
    assert "alone" not in rows(later)
    assert all(row["n_annotators"] == 2 and "withdrawn_votes" not in row for row in rows(later).values())


def test_no_doubt_about_a_label_calls_them_by_their_name_or_quotes_them_any_more(project: Project) -> None:
    comparison = Comparison.objects.get(external_id="c0")
    named, quoted = "for a: r1 (40%), xr1 (70%); against: x r1 (90%)", "x in a justification: “I said so” (on 7 …)"
    treatment = NoiseTreatment.objects.create(project=project, policy={})
    NoiseDecision.objects.create(
        treatment=treatment, comparison=comparison, action="ask_people", method="rules", score=0.9, cause=quoted
    )
    make_noise(comparison, method="rules", details={"hits": [{"rule": "pasted", "place": "justification"}]})
    make_noise(comparison, method="conflicts", cause="c1 says the opposite", details={"hits": [{"place": "a"}]})
    make_routing(comparison, reason=named)
    Comparison.objects.filter(pk=comparison.pk).update(returned_because=named)
    record("comparison.returned", comparison, by=None, project=project, reason=named)
    record("comparison.returned", comparison, by=None, project=project, reason="split")
    one = rater("r1")
    withdraw(one)
    one.refresh_from_db()
    comparison.refresh_from_db()
    renamed = f"for a: {one.name} (40%), xr1 (70%); against: x r1 (90%)"
    assert comparison.returned_because == renamed
    assert comparison.routing_decisions.get(reason__startswith="for a").reason == renamed
    assert comparison.noise_decisions.get().cause == "x in a justification"
    assert list(comparison.noise_scores.values_list("method", flat=True)) == ["conflicts"]
    told = Event.objects.filter(verb="comparison.returned", target_id=str(comparison.pk)).order_by("pk")
    assert [event.data.get("reason") for event in told] == [None, "split"]


def test_a_member_leaves_with_their_words_and_under_a_name_that_nobody_can_guess(project: Project, owner: User) -> None:
    user = make_member(project, Role.ANNOTATOR, name="anna")
    one = Rater.objects.create(project=project, kind="annotator", name="anna", user=user, skills=["law"])
    comparison = make_comparison(project, "hers", prompt="q")
    judgement = make_judgement(comparison, one, -1, justification="because")
    make_judgement(comparison, rater("r2"), -1)
    Comment.objects.create(project=project, comparison=comparison, author=user, text="hm")
    Event.objects.create(
        verb="judgement.submitted", project=project, actor=user, target_type="annotate.judgement",
        target_id=str(judgement.pk), data={"preference": -1, "assignment": 3},
    )  # fmt: skip
    version = build(project)
    called = next(v["rater"] for v in rows(version)["hers"]["votes"] if v["rater"].startswith("annotator-"))
    withdraw(one, by=owner)
    one.refresh_from_db()
    assert (one.user, one.skills, one.paused_at is None) == (None, [], False)
    assert not Membership.objects.filter(project=project, user=user).exists()
    assert not Comment.objects.exists()
    event = Event.objects.get(verb="judgement.submitted", target_id=str(judgement.pk))
    assert (event.actor, event.data) == (None, {"assignment": 3})
    version.refresh_from_db()
    assert called not in json.dumps(rows(version)) + version.card
    assert "Taken back" in version.card
    assert Event.objects.filter(verb="withdrawal.done", actor=owner).count() == 1


def test_a_decision_of_a_withdrawn_adjudicator_no_longer_stands(project: Project) -> None:
    user = make_member(project, Role.ADJUDICATOR, name="expert")
    expert = Rater.objects.create(project=project, kind="annotator", name="expert", user=user)
    for name in ("c0", "alone"):
        comparison = Comparison.objects.get(external_id=name)
        reviewing.adjudicate(comparison, 1, False, "The source says so.", by=user)
    Judgement.objects.filter(comparison__external_id="alone").update(unparsed_because="no", preference=None)
    version = build(project)
    assert rows(version)["alone"]["adjudicated_by"]
    withdraw(expert)
    left = rows(version)
    assert "alone" not in left  # nobody else said anything readable
    assert "adjudicated_by" not in left["c0"]
    assert (left["c0"]["withdrawn_votes"], left["c0"]["n_annotators"]) == (1, 3)
    assert left["c0"]["preference"] == 1  # as published


@pytest.mark.parametrize("how", ["pseudonyms", "none"])
def test_a_person_is_found_in_versions_that_name_nobody(project: Project, how: str) -> None:
    """Votes stand in the order of kind and name, so r1's is the first, and r2's is the first of those left."""
    disputed = make_comparison(project, "disputed", prompt="which?")
    make_judgements(disputed, "BAA")
    version = build(project, deidentify={"raters": how})
    withdraw(rater("r1"))
    row = rows(version)["disputed"]
    assert [vote["preference"] for vote in row["votes"]] == [-1.0, -1.0]
    make_judgement(disputed, make_rater(project, "aaa"), 1)  # what came after the build is none of the row's
    withdraw(rater("r2"))
    row = rows(version)["disputed"]
    assert [vote["preference"] for vote in row["votes"]] == [-1.0]
    assert (row["n_annotators"], row["withdrawn_votes"]) == (1, 2)
    assert [row["votes"][0]["rater"]] == (["annotator-3"] if how == "pseudonyms" else ["annotator"])
    assert "alone" not in rows(version)
    version.refresh_from_db()
    assert not [check for check in verifying.verify(version) if not check.holds]


def test_where_nobody_can_say_whose_vote_it_is_the_row_goes(project: Project) -> None:
    """Not all of its judgements are known: rather too little is published than what was taken back."""
    version = build(project, deidentify={"raters": "none"})
    with rewriting.door():
        row = version.rows.get(comparison__external_id="c0")
        row.lineage = {"judgements": row.lineage["judgements"][:2]}
        row.save(update_fields=["lineage"])
    withdraw(rater("r1"))
    assert set(rows(version)) == {"c1", "c2", "c3", "c4", "c5"}
    version.refresh_from_db()
    assert not [check for check in verifying.verify(version) if not check.holds]


def test_rows_without_a_chosen_side_lose_votes_and_go_like_the_others(project: Project) -> None:
    make_judgements(make_comparison(project, "tied", prompt="even?"), "TTT")
    make_judgements(make_comparison(project, "bad", prompt="awful?"), "X")
    version = build(project, ties="keep", both_bad="keep")
    assert {rows(version)[name]["undecided"] for name in ("tied", "bad")} == {"tie", "both_bad"}
    withdraw(rater("r1"))
    left = rows(version)
    assert (left["tied"]["n_annotators"], left["tied"]["withdrawn_votes"]) == (2, 1)
    assert "bad" not in left
    version.refresh_from_db()
    assert not [check for check in verifying.verify(version) if not check.holds]


def test_of_a_version_in_several_files_those_that_hold_it_are_made_anew(project: Project, settings: Any) -> None:
    settings.ROWS_PER_FILE = 3
    version = build(project)
    before = dict(version.files.filter(split="train").values_list("name", "artifact"))
    assert len(before) == 3
    withdraw(Comparison.objects.get(external_id="alone"))  # the first row, by its id
    after = dict(version.files.filter(split="train").values_list("name", "artifact"))
    assert [before[name] == after[name] for name in sorted(before)] == [False, True, True]
    assert list(version.files.filter(split="train").values_list("rows", flat=True)) == [2, 3, 1]
    version.refresh_from_db()
    assert not [check for check in verifying.verify(version) if not check.holds]


@pytest.mark.parametrize("at_once", [1, 2, 1_000])
def test_however_many_rows_are_looked_at_at_once_rows_and_files_come_out_alike(
    project: Project, settings: Any, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    settings.ROWS_PER_FILE = 3
    monkeypatch.setattr(rewriting, "BATCH", at_once)
    version = build(project)
    told = withdraw(rater("r1")).result["versions"]
    assert told == {"prefs@1": {"rows_that_lost_votes": 6, "rows_that_went": 1}}
    version.refresh_from_db()
    assert not [check for check in verifying.verify(version) if not check.holds]
    filed = [row["id"] for file in version.files.order_by("name") for row in read(file)]
    assert filed == list(rows(version))


def test_what_was_altered_while_its_files_were_written_is_left_as_it_is_and_taken_up_again(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = build(project)
    remade = rewriting._remade

    def altered(*given: Any) -> Iterator[rewriting.Remade]:
        yield from remade(*given)
        monkeypatch.setattr(rewriting, "_remade", remade)
        withdraw(Comparison.objects.get(external_id="alone"))

    monkeypatch.setattr(rewriting, "_remade", altered)
    withdrawal = withdrawing.start(rater("r1"), "asked for it", by=None, wake=False)
    with pytest.raises(BackendError, match="altered by another withdrawal"):
        ledger.execute(withdrawal.run_id or 0)
    assert {stone.withdrawal.kind for stone in Tombstone.objects.all()} == {"comparison"}
    Run.objects.filter(pk=withdrawal.run_id).update(not_before=timezone.now())
    again = ledger.execute(withdrawal.run_id or 0)
    assert again is not None
    assert again.status == "succeeded"
    version.refresh_from_db()
    assert not [check for check in verifying.verify(version) if not check.holds]
    assert "r1" not in {vote["rater"] for row in rows(version).values() for vote in row["votes"]}


def test_rows_without_a_file_lose_their_votes_too(project: Project) -> None:
    version = build(project)
    with rewriting.door():
        version.files.filter(split="train").delete()
    assert withdraw(rater("r1")).result["versions"] == {"prefs@1": {"rows_that_lost_votes": 6, "rows_that_went": 1}}
    assert "r1" not in {vote["rater"] for row in rows(version).values() for vote in row["votes"]}


def test_long_rows_are_not_read_together(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    version = build(project)
    withdrawal = withdrawing.start(rater("r1"), "asked for it", by=None, wake=False)
    (together,) = rewriting.edits(version, withdrawal)
    monkeypatch.setattr(rewriting, "BATCH_BYTES", 1)
    alone = list(rewriting.edits(version, withdrawal))
    assert [len(some) for some in alone if some] == [1] * len(together)
    assert [edit.line for some in alone for edit in some] == [edit.line for edit in together]


def test_a_file_that_lacks_a_row_of_its_version_is_named_and_nothing_is_altered(project: Project) -> None:
    version = build(project)
    file = version.files.get(name="train.parquet")
    empty = version.files.get(name="test.parquet").artifact
    with rewriting.door():
        version.files.filter(pk=file.pk).update(artifact=empty)
    before = rows(version)
    withdrawal = withdrawing.start(rater("r1"), "asked for it", by=None, wake=False)
    with pytest.raises(BackendError, match="no file of train holds row alone"):
        ledger.execute(withdrawal.run_id or 0)
    assert Run.objects.get(pk=withdrawal.run_id).status == "failed"
    assert rows(version) == before
    assert not Tombstone.objects.exists()


def test_a_withdrawn_comparison_goes_with_its_texts_and_what_quotes_them(project: Project) -> None:
    comparison = Comparison.objects.get(external_id="alone")
    version = build(project)
    run = withdraw(comparison)
    comparison.refresh_from_db()
    assert comparison.status == "withdrawn"
    assert comparison.prompt.messages == [{"role": "user", "content": "withdrawn"}]
    assert not Completion.objects.filter(text__in=["Anna Berg", "Ben Cole"]).exists()
    assert not Prompt.objects.filter(messages=[{"role": "user", "content": "who?"}]).exists()
    assert "alone" not in rows(version)
    assert "alone" not in in_file(version)
    stone = Tombstone.objects.get()
    assert (stone.external_id, stone.split, stone.became) == ("alone", "train", "")
    assert run.result["sharing_the_prompt"] == 0
    assert not Judgement.objects.exclude(justification="").filter(comparison=comparison).exists()
    with pytest.raises(Conflict):
        reviewing.restore(comparison, by=make_member(project, Role.CURATOR))


def test_a_prompt_that_others_share_stays_theirs(project: Project) -> None:
    first = make_comparison(project, "s1", prompt="shared", a="one", b="two")
    other = make_comparison(project, "s2", prompt="shared", a="one", b="three")
    make_judgements(first, "A")
    assert withdrawing.preview(first).sharing == 1
    run = withdraw(first)
    other.refresh_from_db()
    assert other.completion_a.text == "one"
    assert not Completion.objects.filter(text="two").exists()
    assert run.result["sharing_the_prompt"] == 1


def test_files_that_may_hold_it_go_too(project: Project) -> None:
    """Uploads, images that no other text names, vectors of the texts, and what was quoted from them."""
    told = {"id": "pic", "prompt": "See ![x](https://a.example/x.png)", "completion_a": "![y](https://a.example/y.png)",
            "completion_b": "no", "metadata": {"author": "Anna"}}  # fmt: skip
    upload = importing.start_import(project, io.BytesIO(json.dumps(told).encode()), by=None, wake=False)
    ledger.execute(upload.pk)
    other = make_comparison(project, prompt="Also ![x](https://a.example/x.png)")
    Image.objects.filter(project=project).delete()  # the import noted them as waiting
    make_image(project, "https://a.example/x.png")
    gone = make_image(project, "https://a.example/y.png", artifact=store.put(b"another picture", "image/png"))
    comparison = Comparison.objects.get(external_id="pic")
    judge = make_judge(project)
    call = make_call(judge, comparison, -1, raw="See x: no is better")
    encoder = Encoder.objects.create(spec="tiny", fingerprint="tiny", dimension=2)
    CompletionVector.objects.create(completion=comparison.completion_a, encoder=encoder, vector=[1, 0])
    ComparisonVector.objects.create(
        comparison=comparison, encoder=encoder, prompt=1, completion_a=1, completion_b=2, vector=[1, 0]
    )
    withdraw(comparison)
    comparison.refresh_from_db()
    call.refresh_from_db()
    assert (comparison.metadata, call.raw) == ({}, "")
    assert not Artifact.objects.filter(pk=upload.params["artifact"]).exists()
    assert not store.path_of(upload.params["artifact"]).exists()
    assert set(Image.objects.values_list("source", flat=True)) == {"https://a.example/x.png"}
    assert not store.path_of(gone.artifact_id or "").exists()
    assert not CompletionVector.objects.exists()
    assert not ComparisonVector.objects.exists()
    assert other.prompt.messages[0]["content"].startswith("Also")


def test_a_preview_says_what_would_go_and_alters_nothing(project: Project) -> None:
    version = build(project)
    model = make_model(version)
    hashes = list(version.rows.values_list("sha256", flat=True))
    plan = withdrawing.preview(rater("r1"))
    assert plan.told() == {
        "judgements": 7,
        "decisions": 0,
        "comparisons": 7,
        "sharing_the_prompt": 0,
        "versions": {"prefs@1": {"rows_that_lose_votes": 6, "rows_that_go": 1}},
        "models_that_saw_it": [model.name],
    }
    assert list(version.rows.values_list("sha256", flat=True)) == hashes
    assert not Withdrawal.objects.exists()
    assert withdraw(rater("r1")).result["models_that_saw_it"] == [model.name]


def test_what_was_withdrawn_already_has_no_plan(project: Project) -> None:
    build(project)
    alone = Comparison.objects.get(external_id="alone")
    withdrawal = withdrawing.start(alone, "asked", by=None, wake=False)
    with pytest.raises(Conflict, match="withdrawn already"):
        withdrawing.preview(alone)
    Run.objects.filter(pk=withdrawal.run_id).update(status=Run.Status.FAILED, finished_at=timezone.now())
    assert withdrawing.preview(alone).comparisons == 1, "one that failed may begin again"


def test_what_is_being_trained_on_a_version_meanwhile_is_named(project: Project) -> None:
    version = build(project)
    learning = make_run(project, kind="train", status="running", params={"version": version.pk})
    make_run(project, kind="train", params={"version": version.pk})  # waits: it will read what is left
    make_run(project, kind="train", status="running", params={"version": version.pk + 1})
    tomorrow = timezone.now() + timedelta(days=1)  # it reads what is left, too
    make_run(project, kind="train", status="running", params={"version": version.pk}, started_at=tomorrow)
    told = withdraw(rater("r1")).result
    assert told["trainings_under_way"] == [str(learning)]
    assert told["models_that_saw_it"] == []


@pytest.mark.parametrize("at", ["rewrite", "sweep", "erase_rater"])
def test_a_run_that_is_killed_anywhere_goes_on_and_ends_the_same(
    project: Project, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    first, second = build(project), build(project)
    killed = {"yet": False}
    module = erasing if at == "erase_rater" else rewriting
    real = getattr(module, at)

    def kill(*args: Any) -> Any:
        made = real(*args) if at != "erase_rater" else None
        if not killed["yet"]:
            killed["yet"] = True
            raise ledger.LeaseLost("killed")
        return real(*args) if at == "erase_rater" else made

    monkeypatch.setattr(module, at, kill)
    withdrawal = withdrawing.start(rater("r1"), "asked", by=None, wake=False)
    with TestCase.captureOnCommitCallbacks(execute=True):
        ledger.execute(withdrawal.run_id or 0)
        Run.objects.filter(pk=withdrawal.run_id).update(status="queued", lease_expires_at=None)
        run = ledger.execute(withdrawal.run_id or 0)
    assert killed["yet"]
    assert run is not None
    assert run.status == "succeeded"
    assert set(run.result["versions"]) == {str(first), str(second)}
    assert Tombstone.objects.count() == 14
    assert Rater.objects.filter(name="r1").count() == 0
    for version in (first, second):
        assert all(row["withdrawn_votes"] == 1 for row in rows(version).values())


def test_asked_twice_it_is_a_conflict_and_after_a_failure_it_goes_on(project: Project) -> None:
    one = rater("r1")
    withdrawal = withdrawing.start(one, "asked", by=None, wake=False)
    with pytest.raises(Conflict):
        withdrawing.start(one, "asked", by=None, wake=False)
    Run.objects.filter(pk=withdrawal.run_id).update(status="cancelled", finished_at="2026-01-01T00:00Z")
    again = withdrawing.start(one, "asked again", by=None, wake=False)
    assert (again.pk, again.run_id == withdrawal.run_id, again.reason) == (withdrawal.pk, False, "asked again")


@pytest.mark.parametrize("role", [Role.CURATOR, Role.VIEWER, Role.ANNOTATOR, Role.ADJUDICATOR])
def test_only_managers_withdraw(project: Project, role: str) -> None:
    with pytest.raises(NotAllowed):
        withdrawing.start(rater("r1"), "asked", by=make_member(project, role))
    assert not Withdrawal.objects.exists()


@pytest.mark.parametrize("reason", ["", "  ", "x" * 1001, "\x00"])
def test_a_reason_is_required(project: Project, owner: User, reason: str) -> None:
    with pytest.raises(Invalid) as refused:
        withdrawing.start(rater("r1"), reason, by=owner)
    assert refused.value.params["field"] == "reason"


def test_a_judge_has_nothing_to_take_back(project: Project, owner: User) -> None:
    judge = Rater.objects.create(project=project, kind="judge", name="gpt")
    with pytest.raises(Invalid):
        withdrawing.start(judge, "asked", by=owner)


def test_what_was_withdrawn_cannot_be_imported_again(project: Project) -> None:
    withdraw(rater("r1"))
    withdraw(Comparison.objects.get(external_id="c0"))
    said = {"rater": "r1", "kind": "annotator", "preference": -1, "order": "ab"}
    told = [
        {"id": "new", "prompt": "q", "completion_a": "x", "completion_b": "y", "judgements": [said]},
        {"id": "c0", "prompt": "question 0", "completion_a": "first answer", "completion_b": "second answer"},
        {"id": "fine", "prompt": "q", "completion_a": "x", "completion_b": "z", "judgements": [said | {"rater": "r4"}]},
    ]
    report = importing.import_stream(project, io.BytesIO("\n".join(map(json.dumps, told)).encode()))
    assert (report.created, report.rejected) == (1, 2)
    assert [r["field"] for r in report.first_rejects] == ["judgements[0].rater", "id"]


def test_a_build_that_had_read_the_votes_is_waited_for(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """It becomes ready with them, and is rewritten like the others."""
    version = building.start("prefs", project, ALL_TRAIN, by=None, wake=False)
    waited: list[int] = []
    real = erasing.silence_rater

    def read_before(one: Rater) -> list[int]:
        if not waited and not Run.objects.filter(pk=version.run_id).exclude(status="queued").exists():
            waited.append(0)
            ledger.execute(version.run_id or 0)  # all of it, before the silence
            Run.objects.filter(pk=version.run_id).update(
                status="running", finished_at=None, started_at="2020-01-01T00:00Z", lease_expires_at="2100-01-01T00:00Z"
            )
        return real(one)

    def tick(seconds: float) -> None:
        waited.append(1)
        Run.objects.filter(pk=version.run_id).update(
            status="succeeded", finished_at="2026-01-01T00:00Z", lease_expires_at=None
        )

    monkeypatch.setattr(erasing, "silence_rater", read_before)
    monkeypatch.setattr(withdrawing.time, "sleep", tick)
    withdraw(rater("r1"))
    assert waited == [0, 1]
    assert all(row["withdrawn_votes"] == 1 for row in rows(version).values())

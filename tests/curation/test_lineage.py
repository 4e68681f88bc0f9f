"""From a row to all that it was made of, and from a rater, a form or a rubric to all that was made of it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from annotate.models import Adjudication, Comparison, Form, Judgement, Rater
from annotate.services import reviewing
from curation.models import (
    DatasetRow,
    DatasetVersion,
    NoiseDecision,
    NoiseTreatment,
    RoutingSettings,
    VersionContribution,
    VersionWork,
)
from curation.services import building, tracing
from curation.services.reading import lineage, reach
from curation.services.reading.datasets import version_page
from curation.services.reading.paging import Cursor
from curation.services.reading.rows import Filters, rows
from tests import build
from tests.curation.test_withdrawing import withdraw
from tiebreak.accounts.models import Project, User
from tiebreak.accounts.roles import Role
from tiebreak.runs import ledger

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("storage")]

ALL_TRAIN = {"method": "majority", "split": {"train": 1.0, "validation": 0.0, "test": 0.0}}


def make(project: Project, recipe: dict[str, Any] | None = None) -> DatasetVersion:
    started = building.start("prefs", project, ALL_TRAIN | (recipe or {}), by=None, wake=False)
    ledger.execute(started.run_id or 0)
    started.refresh_from_db()
    assert started.status == "ready"
    return started


def page(version: DatasetVersion, external_id: str) -> lineage.RowPage:
    found = lineage.find(version, external_id)
    assert found is not None
    return found


@pytest.fixture
def project() -> Project:
    return build.make_project("chat", overlap=5)


@pytest.fixture
def form(project: Project) -> Form:
    return Form.objects.get(project=project)


@pytest.fixture
def curator(project: Project) -> User:
    return build.make_member(project, Role.CURATOR, name="cleo")


def says(comparison: Comparison, name: str, preference: int, **fields: Any) -> Judgement:
    rater, _ = Rater.objects.get_or_create(project=comparison.project, kind="annotator", name=name)
    return build.make_judgement(comparison, rater, preference, submitted_at=timezone.now(), **fields)


# A row


def test_a_row_tells_who_said_so_under_which_form_and_what_it_cost(project: Project, form: Form) -> None:
    # Two people at 60 and 30 s, 90 s in all; at 40 an hour that is 1. The judge's two calls are 0.0012 each.
    RoutingSettings.objects.create(project=project, hourly_rate=40, currency="EUR")
    judge = build.make_judge(project)
    comparison = build.make_comparison(project, "c/1")
    first = says(comparison, "ann", -1, form=form, seconds=60)
    second = says(comparison, "bob", -1, form=form, seconds=30)
    calls = [build.make_call(judge, comparison, -1, repeat=n) for n in (0, 1)]
    told = page(make(project), "c/1")
    assert told.state == "row"
    assert told.recorded
    assert {s.judgement.pk for s in told.said} == {first.pk, second.pk, *(c.judgement_id for c in calls)}
    assert {s.judgement.form for s in told.said if s.judgement.rater.kind == "annotator"} == {form}
    assert {s.call.prompt_sha256 for s in told.said if s.call} == {c.prompt_sha256 for c in calls}
    assert (told.cost.price, told.cost.seconds, told.cost.people) == (Decimal("0.0024"), 90, 1)
    assert told.cost.total == Decimal("1.0024")
    assert told.cost.whole
    assert told.since == []


def test_what_is_not_known_of_a_cost_is_counted_and_not_taken_for_nothing(project: Project, form: Form) -> None:
    comparison = build.make_comparison(project, "c1")
    says(comparison, "ann", -1, form=form, seconds=60)
    says(comparison, "imported", -1, seconds=9)  # its time was spent elsewhere
    foreign = build.make_rater(project, "their-judge", kind=Rater.Kind.JUDGE)
    build.make_judgement(comparison, foreign, -1)
    cost = page(make(project), "c1").cost
    assert (cost.price, cost.unpriced, cost.seconds, cost.untimed) == (0, 1, 60, 1)
    assert cost.people is None  # nobody said what an hour is worth
    assert cost.total is None
    assert not cost.whole


def test_a_revision_later_does_not_rewrite_what_the_row_rests_on(project: Project) -> None:
    comparison = build.make_comparison(project, "c1")
    old = says(comparison, "ann", -1)
    version = make(project)
    Judgement.objects.filter(pk=old.pk).update(current=False)
    Judgement.objects.create(
        comparison=comparison, rater=old.rater, preference=1, revision=2, order="ab", submitted_at=timezone.now()
    )
    says(comparison, "bob", 1)
    told = page(version, "c1")
    assert [s.judgement for s in told.said] == [old]
    assert told.said[0].revised is not None
    assert [event.what for event in told.since] == ["ann revised what they had said", "bob judged it"]


def test_decisions_are_those_that_the_row_was_made_with(project: Project, curator: User) -> None:
    comparison = build.make_comparison(project, "c1")
    says(comparison, "ann", -1)
    routed = build.make_routing(comparison, reason="the judge is unsure")
    decided = Adjudication.objects.create(comparison=comparison, preference=1, reason="it is right", by=curator)
    version = make(project)
    Adjudication.objects.filter(pk=decided.pk).update(current=False)
    Adjudication.objects.create(comparison=comparison, preference=-1, reason="after all", by=curator)
    told = page(version, "c1")
    assert told.adjudication == decided
    assert told.routing == routed
    assert told.native["chosen_side"] == "b"
    assert [event.what for event in told.since] == ["cleo decided it: after all"]


def test_a_flipped_label_tells_by_what_it_was_altered_and_that_it_was_undone_since(project: Project) -> None:
    comparison = build.make_comparison(project, "c1")
    says(comparison, "ann", -1)
    treatment = NoiseTreatment.objects.create(project=project, policy={"rules": []})
    decision = NoiseDecision.objects.create(
        treatment=treatment, comparison=comparison, action="flip", method="rules", score=0.9, cause="it is empty"
    )
    version = make(project)
    NoiseTreatment.objects.filter(pk=treatment.pk).update(undone_at=timezone.now())
    told = page(version, "c1")
    assert told.noise == decision
    assert told.changes == [("noise", "flip")]
    assert [event.what for event in told.since] == ["a treatment of its label was undone"]


def test_a_comparison_left_out_tells_the_rule_and_what_had_been_said(project: Project) -> None:
    for name in ("kept", "tied"):
        says(build.make_comparison(project, name), "ann", -1 if name == "kept" else 0)
    told = page(make(project), "tied")
    assert told.state == "dropped"
    assert told.dropped is not None
    assert told.dropped.rule == "ties"
    assert not told.recorded  # nothing is written down with what is left out: its dates tell
    assert [s.judgement.preference for s in told.said] == [0]


def test_a_comparison_imported_later_is_known_not_to_be_in(project: Project) -> None:
    says(build.make_comparison(project, "c1"), "ann", -1)
    version = make(project)
    build.make_comparison(project, "later")
    assert page(version, "later").state == "unknown"
    assert lineage.find(version, "never") is None


def test_a_version_built_before_ids_were_kept_is_told_by_dates(project: Project) -> None:
    comparison = build.make_comparison(project, "c1")
    old = says(comparison, "ann", -1)
    version = build.make_version(project, [comparison])
    says(comparison, "bob", 1)
    told = page(version, "c1")
    assert not told.recorded
    assert [s.judgement for s in told.said] == [old]
    assert [event.what for event in told.since] == ["bob judged it"]


def test_what_was_taken_back_says_so_and_names_nobody(project: Project, curator: User) -> None:
    mine, theirs = (build.make_comparison(project, name) for name in ("mine", "theirs"))
    for comparison in (mine, theirs):
        says(comparison, "ann", -1)
        says(comparison, "bob", -1, justification="Bob says so.")
    version = make(project)
    withdraw(Rater.objects.get(name="bob"))
    withdraw(theirs)
    kept, gone = page(version, "mine"), page(version, "theirs")
    assert (kept.state, gone.state) == ("row", "withdrawn")
    assert [bool(stone.became) for stone in kept.tombstones] == [True]
    assert not gone.tombstones[0].became
    assert {said.judgement.unparsed_because for said in kept.said} == {"", "withdrawn"}
    browser = Client()
    browser.force_login(curator)
    for name in ("mine", "theirs"):
        told = browser.get(f"/p/chat/datasets/prefs/1/rows/{name}/").content.decode()
        assert "withdrawn" in told
        assert "bob" not in told.lower()


# Rows


def test_rows_are_read_page_by_page_in_both_directions(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curation.services.reading.rows.SIZE", 2)
    version = build.make_version(project, [build.make_comparison(project, f"c{n}") for n in range(5)])
    first = rows(version, Filters(), Cursor())
    second = rows(version, Filters(), Cursor(after=first.next))
    last = rows(version, Filters(), Cursor(after=second.next))
    assert [[line.position for line in each.rows] for each in (first, second, last)] == [[0, 1], [2, 3], [4]]
    assert (first.previous, last.next, first.count) == (None, None, 5)
    back = rows(version, Filters(), Cursor(before=last.previous))
    assert [line.position for line in back.rows] == [2, 3]
    assert rows(version, Filters(), Cursor(before=back.previous)).previous is None


def test_rows_that_stand_out_are_found(project: Project) -> None:
    version = build.make_version(project, [])
    version = DatasetVersion.objects.create(dataset=version.dataset, number=2, recipe={}, recipe_sha256="1" * 64)
    kinds = [
        ("chosen", "a", {}),
        ("tie", "", {}),
        ("chosen", "b", {"changes": {"noise": "flip"}}),
        ("both_bad", "", {}),
    ]
    for position, (verdict, side, lineage_) in enumerate(kinds):
        DatasetRow.objects.create(
            version=version, position=position, comparison=build.make_comparison(project), verdict=verdict, side=side,
            split="test" if position == 2 else "train", line="{}", sha256="2" * 64, lineage=lineage_,
        )  # fmt: skip

    def places(**filters: Any) -> list[int]:
        return [line.position for line in rows(version, Filters(**filters), Cursor()).rows]

    assert places(verdict="tie") == [1]
    assert places(verdict="both_bad") == [3]
    assert places(changed=True) == [2]
    assert places(split="test") == [2]
    assert places(split="train", changed=True) == []
    assert list(rows(version, Filters(changed=True), Cursor()).rows[0].changes) == ["noise"]


@pytest.mark.parametrize("external_id", ["a/b", "c?d#e", "ü \n x", "..x", "100%", "a&b=c", "rows/"])
def test_a_row_is_found_by_whatever_id_its_user_gave_it(project: Project, curator: User, external_id: str) -> None:
    comparison = build.make_comparison(project, external_id)
    version = build.make_version(project, [comparison], name="prefs")
    browser = Client()
    browser.force_login(curator)
    address = reverse("version-row", args=["chat", "prefs", version.number, external_id])
    assert browser.get(address).status_code == 200
    sought = browser.get(reverse("version-rows", args=["chat", "prefs", version.number]), {"id": external_id})
    assert sought["Location"] == address


# From the other end


def test_a_rater_is_followed_into_every_version_and_model(project: Project, form: Form) -> None:
    judge = build.make_judge(project)
    for n in range(4):
        comparison = build.make_comparison(project, f"c{n}")
        says(comparison, "ann", -1, form=form)
        if n == 0:
            build.make_call(judge, comparison, -1)
    version = make(project)
    model = build.make_model(version)
    (reached,) = reach.of_rater(judge.rater)
    assert (reached.version, reached.rows, reached.of, reached.share) == (version, 1, 4, 0.25)
    assert (reached.judgements, reached.counted, list(reached.models)) == (1, True, [model])
    assert reach.of_rater(build.make_rater(project)) == []


def test_an_adjudicator_is_followed_into_every_version_of_what_they_decided(project: Project, form: Form) -> None:
    eve = build.make_member(project, Role.CURATOR, name="eve")
    for n in range(4):
        comparison = build.make_comparison(project, f"c{n}")
        says(comparison, "ann", -1, form=form)
        if n < 2:
            reviewing.adjudicate(comparison, 1, False, "seen", by=eve)
    version = make(project)
    (reached,) = reach.of_rater(Rater.objects.get(user=eve))
    assert (reached.version, reached.rows, reached.judgements, reached.decisions) == (version, 2, 0, 2)
    assert (reached.counted, reach.of_rater(Rater.objects.get(name="ann"))[0].decisions) == (True, 0)


def test_a_version_that_counted_nobody_is_followed_by_dates(project: Project) -> None:
    comparison = build.make_comparison(project)
    before = says(comparison, "ann", -1)
    version = build.make_version(project, [comparison])
    after = says(comparison, "bob", -1)
    (reached,) = reach.of_rater(before.rater)
    assert (reached.version, reached.rows, reached.counted) == (version, 1, False)
    assert reach.of_rater(after.rater) == []


def test_forms_and_rubrics_are_followed_into_every_version(project: Project, form: Form) -> None:
    rubric = build.make_rubric(project)
    says(build.make_comparison(project), "ann", -1, form=form, rubric=rubric)
    first = make(project)
    Form.objects.filter(pk=form.pk).update(current=False)
    newer = Form.objects.create(project=project, number=2, guidelines_version=2)
    says(build.make_comparison(project), "ann", -1, form=newer)
    second = make(project)
    assert [r.version for r in reach.under(project, form=newer)] == [second]
    assert [r.version for r in reach.under(project, form__guidelines_version=1)] == [second, first]
    assert [(r.version, r.rows) for r in reach.under(project, rubric=rubric)] == [(second, 1), (first, 1)]
    told = reach.page(project)
    assert [(u.title, len(u.reached)) for u in told.forms] == [("form 2", 1), ("form 1", 2)]
    assert [(line.rater.name, line.versions, line.rows) for line in told.raters] == [("ann", 2, 3)]


def test_the_work_of_a_version_is_counted_while_it_is_built_and_adds_up(project: Project, form: Form) -> None:
    RoutingSettings.objects.create(project=project, hourly_rate=36)
    judge = build.make_judge(project)
    for n in range(3):
        comparison = build.make_comparison(project, f"c{n}")
        says(comparison, "ann", -1, form=form, seconds=100)
        build.make_call(judge, comparison, -1)
    version = make(project)
    cost = version_page(version).cost
    assert cost is not None
    # Three calls of 0.0012; 300 s at 36 an hour are 3.
    assert (cost.price, cost.people, cost.whole) == (Decimal("0.0036"), 3, True)
    assert VersionContribution.objects.filter(version=version).count() == 2
    assert version_page(build.make_version(project, [])).cost is None


def test_counting_again_counts_anew(project: Project, form: Form) -> None:
    said = says(build.make_comparison(project), "ann", -1, form=form)
    version = DatasetVersion.objects.create(
        dataset=build.make_version(project, []).dataset, number=2, recipe={}, recipe_sha256="1" * 64
    )
    DatasetRow.objects.create(
        version=version, position=0, comparison=said.comparison, side="a", line="{}", sha256="2" * 64,
        split="train", lineage={"judgements": [said.pk]},
    )  # fmt: skip
    for _ in range(2):
        tracing.keep(version)
    (work,) = VersionWork.objects.all()
    assert (work.form, work.rows, work.judgements, work.timed) == (form, 1, 1, 0)


# Pages


def test_the_page_of_a_row_says_why_it_is_in(project: Project, form: Form, curator: User) -> None:
    comparison = build.make_comparison(project, "c1")
    says(comparison, "ann", -1, form=form, justification="<script>alert(1)</script>")
    make(project)
    browser = Client()
    browser.force_login(curator)
    told = browser.get("/p/chat/datasets/prefs/1/rows/c1/").content.decode()
    assert "Why it is in" in told
    assert "form 1, guidelines 1" in told
    assert "&lt;script&gt;alert" in told
    assert "Where judgements went" in browser.get("/p/chat/datasets/origins/").content.decode()
    reached = browser.get(reverse("rater", args=["chat", Rater.objects.get(name="ann").pk])).content.decode()
    assert "/p/chat/datasets/prefs/1/" in reached


# REST


def test_rest_tells_the_lineage_of_a_row(project: Project, form: Form, curator: User) -> None:
    judge = build.make_judge(project, rubric=build.make_rubric(project, name="tone"))
    comparison = build.make_comparison(project, "c/1")
    says(comparison, "ann", -1, form=form, seconds=60)
    call = build.make_call(judge, comparison, -1, prompt_version="pairwise@1")
    version = make(project)
    client = Client(headers={"Authorization": f"Bearer {build.make_token(curator, 'export')}"})
    told = client.get(f"/api/v1/datasets/prefs/versions/{version.number}/lineage/?id=c/1").json()
    assert (told["state"], told["recorded"], told["position"]) == ("row", True, 0)
    person, machine = sorted(told["said"], key=lambda said: said["kind"])
    assert (person["rater"], person["form"], person["guidelines"], person["judge"]) == ("ann", 1, 1, None)
    assert (machine["judge"], machine["rubric"], machine["price"]) == ("judge v1", "tone v1", "0.00120000")
    assert (machine["prompt_sha256"], machine["prompt_version"]) == (call.prompt_sha256, "pairwise@1")
    assert person["prompt_version"] is None
    assert (told["cost"]["seconds"], told["cost"]["people"]) == (60, None)
    assert client.get("/api/v1/datasets/prefs/versions/1/lineage/?id=nothing").status_code == 404


def test_rest_calls_members_as_versions_do_and_never_by_their_names(project: Project, curator: User) -> None:
    user = build.make_member(project, Role.ANNOTATOR, name="anna.berg")
    anna = Rater.objects.create(project=project, kind="annotator", name="anna.berg", user=user)
    comparison = build.make_comparison(project, "c1")
    build.make_judgement(comparison, anna, -1)
    version = make(project)
    other = Rater.objects.create(
        project=project,
        kind="annotator",
        name="ben.cole",
        user=build.make_member(project, Role.ANNOTATOR, name="ben.cole"),
    )
    build.make_judgement(comparison, other, 1, submitted_at=timezone.now())
    Adjudication.objects.create(comparison=comparison, preference=1, reason="so", by=curator)
    (called,) = (vote["rater"] for vote in version.rows.get().row["votes"])
    client = Client(headers={"Authorization": f"Bearer {build.make_token(curator, 'export')}"})
    answer = client.get("/api/v1/datasets/prefs/versions/1/lineage/?id=c1")
    assert [said["rater"] for said in answer.json()["said"]] == [called]
    judged, decided = (event["what"] for event in answer.json()["since"])
    assert (judged.startswith("annotator-"), decided.startswith("adjudicator-")) == (True, True)
    assert not any(name in answer.content.decode() for name in ("anna.berg", "ben.cole", curator.username))
    (reached,) = client.get("/api/v1/projects/chat/origins/", {"rater": called}).json()
    assert (reached["version"], reached["rows"]) == ("prefs@1", 1)


def test_a_token_that_trains_learns_nothing_of_the_test_split_by_lineage(project: Project, curator: User) -> None:
    says(build.make_comparison(project, "c1"), "ann", -1)
    make(project)
    client = Client(headers={"Authorization": f"Bearer {build.make_token(curator, 'train')}"})
    assert client.get("/api/v1/datasets/prefs/versions/1/lineage/?id=c1").status_code == 403
    assert client.get("/api/v1/projects/chat/origins/?form=1").status_code == 403


def test_rest_follows_a_rater_and_guidelines_into_versions(project: Project, form: Form, curator: User) -> None:
    says(build.make_comparison(project, "c1"), "ann", -1, form=form)
    model = build.make_model(make(project))
    client = Client(headers={"Authorization": f"Bearer {build.make_token(curator, 'curate')}"})
    for asked in ("rater=ann", "form=1", "guidelines=1"):
        (told,) = client.get(f"/api/v1/projects/chat/origins/?{asked}").json()
        assert (told["version"], told["rows"], told["share"], told["models"]) == ("prefs@1", 1, 1.0, [model.name])
    assert client.get("/api/v1/projects/chat/origins/?rater=nobody").json() == []
    for wrong in ("", "form=x", "rater=ann&form=1"):
        assert client.get(f"/api/v1/projects/chat/origins/?{wrong}").status_code == 422

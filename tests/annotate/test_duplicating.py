"""Copying a project: what it asks, its comparisons in a run that may be killed, its members; never what was said."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from annotate.models import Assignment, Comparison, Completion, Image, Judgement, Lane, Prompt, Rater
from annotate.services import asked, duplicating, projects
from tests.build import make_comparison, make_judgements, make_member, make_project, make_rater, make_rubric, make_user
from tiebreak.accounts.models import Membership, Project, User
from tiebreak.accounts.roles import Role
from tiebreak.core.errors import Conflict, NotAllowed
from tiebreak.core.models import Event
from tiebreak.runs import ledger
from tiebreak.runs.models import Run

pytestmark = pytest.mark.django_db


@pytest.fixture
def project() -> Project:
    return make_project("chat", overlap=2, levels=2, guidelines="Be kind.", aspects=[{"key": "tone", "label": "Tone"}])


@pytest.fixture
def owner(project: Project) -> User:
    return make_member(project, Role.OWNER, name="ada")


def copied(project: Project, owner: User, **options: Any) -> Project:
    """A copy with its comparisons in it."""
    copy, run = duplicating.duplicate(project, by=owner, slug="copy", comparisons=True, wake=False, **options)
    assert run is not None
    done = ledger.execute(run.pk)
    assert done is not None
    assert done.status == Run.Status.SUCCEEDED
    return copy


def test_a_copy_asks_what_its_source_asks_now(project: Project, owner: User) -> None:
    rubric = make_rubric(project, status="approved", approved_by=owner, approved_at=timezone.now())
    form = projects.change_form(project, by=owner, rubric=rubric, checklist=True, practice_size=3)
    copy, run = duplicating.duplicate(project, by=owner, slug="copy", name="Again")
    made = projects.current_form(copy)
    assert run is None
    assert (copy.name, made.number, copy.role_of(owner)) == ("Again", 1, "owner")
    assert asked.values(made) | {"rubric": None} == asked.values(form) | {"rubric": None}
    assert made.rubric is not None
    assert (made.rubric.project, made.rubric.name, made.rubric.status) == (copy, rubric.name, "approved")
    told = [list(of.criteria.values_list("text", "kind", "weight")) for of in (made.rubric, rubric)]
    assert told[0] == told[1]
    event = Event.objects.get(verb="project.duplicated", project=copy)
    assert event.data["source"] == project.pk


def test_comparisons_come_along_open_and_unjudged_with_their_texts(project: Project, owner: User) -> None:
    judged = make_comparison(
        project, "c1", a="One.", b="Two.", gold=-1, metadata={"topic": "x"}, status="settled", priority=1, context="C"
    )
    make_judgements(judged, "AB")
    make_comparison(project, "c2", status="withdrawn")
    make_comparison(project, "c3", returned_because="the model disagrees", priority=2, overlap=5)
    copy = copied(project, owner)
    rows = {row.external_id: row for row in copy.comparisons.select_related("prompt", "completion_a", "completion_b")}
    one = rows["c1"]
    assert (one.completion_a.text, one.completion_b.text, one.gold, one.metadata, one.context) == (
        "One.", "Two.", -1, {"topic": "x"}, "C",
    )  # fmt: skip
    assert (one.status, one.seats_taken, one.overlap, one.priority, one.full) == ("open", 0, 2, 1, False)
    assert one.content_sha256 == judged.content_sha256
    assert (one.prompt.project, one.prompt.sha256) == (copy, judged.prompt.sha256)
    assert one.completion_a.pk != judged.completion_a.pk
    assert one.completion_a.generator == judged.completion_a.generator
    assert rows["c2"].status == "withdrawn"
    assert (rows["c3"].returned_because, rows["c3"].priority, rows["c3"].overlap) == ("", 0, 2)
    assert not Judgement.objects.filter(comparison__project=copy).exists()
    assert not Assignment.objects.filter(comparison__project=copy).exists()
    assert Judgement.objects.filter(comparison__project=project).count() == 2


def test_the_copy_of_a_rows_file_is_known_to_an_import(project: Project, owner: User) -> None:
    import io
    import json

    from annotate.services import importing

    row = {"id": "r1", "prompt": "?", "completion_a": "x", "completion_b": "y", "metadata": {"n": 1}}
    line = json.dumps(row).encode() + b"\n"
    importing.import_stream(project, io.BytesIO(line))
    report = importing.import_stream(copied(project, owner), io.BytesIO(line))
    assert (report.created, report.updated, report.unchanged) == (0, 0, 1)


def test_every_column_of_a_comparison_is_copied_or_begins_anew_on_purpose() -> None:
    copied = {
        *("external_id", "group", "reference", "context", "metadata", "gold", "gold_because", "content_sha256"),
        *("shuffle", "project", "prompt", "completion_a", "completion_b", "lane"),
    }
    anew = {
        *("id", "status", "route", "priority", "overlap", "seats_taken", "full", "returned_because", "import_run"),
        *("created_at", "updated_at"),
    }
    assert {field.name for field in Comparison._meta.concrete_fields} == copied | anew


def test_a_copy_that_was_killed_goes_on_and_doubles_nothing(
    project: Project, owner: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duplicating, "BATCH", 2)
    for n in range(5):
        make_comparison(project, f"c{n}", prompt="the same prompt")
    copy, run = duplicating.duplicate(project, by=owner, slug="copy", comparisons=True, wake=False)
    assert run is not None
    execution = ledger.claim(run.pk)
    assert execution is not None
    steps: list[str] = []

    def die(text: str) -> None:
        steps.append(text)
        if len(steps) == 2:
            raise KeyboardInterrupt

    execution.say = die
    with pytest.raises(KeyboardInterrupt):
        duplicating.run(execution)
    assert copy.comparisons.count() == 4
    assert duplicating.run(execution) == {"created": 1, "unchanged": 4}
    assert duplicating.run(execution) == {"created": 0, "unchanged": 5}
    assert Prompt.objects.filter(project=copy).count() == 1
    assert Completion.objects.filter(prompt__project=copy).count() == 2


def test_lanes_and_images_come_along_under_the_copys_own_numbers(project: Project, owner: User) -> None:
    Lane.objects.create(project=project, number=1, skills=["law"])
    Lane.objects.create(project=project, number=2, language="de")
    make_comparison(project, "c1", lane=2)
    make_comparison(project, "c2")
    Image.objects.create(project=project, source="https://x.example/a.png")
    copy, run = duplicating.duplicate(project, by=owner, slug="copy", comparisons=True, wake=False)
    assert run is not None
    Lane.objects.create(project=copy, number=1, language="fr")  # an import into the copy was quicker
    ledger.execute(run.pk)
    lane = copy.comparisons.get(external_id="c1").lane
    assert Lane.objects.get(project=copy, number=lane).language == "de"
    assert lane > 1
    assert copy.comparisons.get(external_id="c2").lane == 0
    assert Image.objects.get(project=copy).source == "https://x.example/a.png"


def test_members_come_along_with_roles_skills_and_languages_if_asked(project: Project, owner: User) -> None:
    ann, gone = make_member(project, Role.ANNOTATOR, name="ann"), make_user("gone")
    make_rater(project, "ann", user=ann, skills=["law"], languages=["de"], daily_quota=7, qualified_at=timezone.now())
    make_rater(project, "gone", user=gone)
    make_rater(project, "imported")
    plain, _ = duplicating.duplicate(project, by=owner, slug="plain")
    assert list(plain.members.values_list("user__username", "role")) == [("ada", "owner")]
    copy, _ = duplicating.duplicate(project, by=owner, slug="copy", members=True)
    assert set(copy.members.values_list("user__username", "role")) == {("ada", "owner"), ("ann", "annotator")}
    rater = Rater.objects.get(project=copy)
    assert (rater.user, rater.skills, rater.languages, rater.daily_quota) == (ann, ["law"], ["de"], 7)
    assert rater.qualified_at is None


def test_a_curator_may_copy_but_not_take_the_members_along(project: Project, owner: User) -> None:
    curator = make_member(project, Role.CURATOR)
    copy, _ = duplicating.duplicate(project, by=curator, slug="one")
    assert copy.role_of(curator) == "owner"
    with pytest.raises(NotAllowed):
        duplicating.duplicate(project, by=curator, slug="two", members=True)
    with pytest.raises(NotAllowed):
        duplicating.duplicate(project, by=make_member(project, Role.VIEWER), slug="three")
    assert Project.objects.filter(slug__in=["two", "three"]).count() == 0


def test_whoever_left_the_source_copies_nothing_more_of_it(project: Project) -> None:
    curator = make_member(project, Role.CURATOR)
    make_comparison(project)
    copy, run = duplicating.duplicate(project, by=curator, slug="copy", comparisons=True, wake=False)
    assert run is not None
    Membership.objects.filter(project=project, user=curator).delete()
    with pytest.raises(NotAllowed):
        ledger.execute(run.pk)
    assert not Comparison.objects.filter(project=copy).exists()


def test_a_taken_name_makes_nothing(project: Project, owner: User) -> None:
    with pytest.raises(Conflict):
        duplicating.duplicate(project, by=owner, slug="chat", comparisons=True, wake=False)
    assert (Project.objects.count(), Run.objects.count()) == (1, 0)


@pytest.mark.parametrize(
    ("slug", "taken", "free"),
    [
        ("chat", [], "chat-copy"),
        ("chat", ["chat-copy"], "chat-copy-2"),
        ("chat-copy", ["chat-copy", "chat-copy-2"], "chat-copy-3"),
        ("x" * 64, [], "x" * 54 + "-copy"),
    ],
)
def test_a_free_short_name_is_suggested(slug: str, taken: list[str], free: str) -> None:
    for name in taken:
        make_project(name)
    assert duplicating.free_slug(slug) == free


def test_the_page_makes_a_copy_and_leads_to_its_run(
    project: Project, owner: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "send", lambda run: True)
    client = Client()
    client.force_login(owner)
    page = client.get(reverse("duplicate", args=["chat"]))
    assert 'value="chat-copy"' in page.text
    assert 'name="members"' in page.text
    sent = {"name": "Copy", "slug": "chat-copy", "comparisons": "on", "members": "on"}
    response = client.post(reverse("duplicate", args=["chat"]), sent)
    assert response.url == reverse("run", args=["chat-copy", Run.objects.get().pk])
    assert client.post(reverse("duplicate", args=["chat"]), sent).status_code == 422


def test_the_page_offers_a_curator_no_members(project: Project) -> None:
    client = Client()
    client.force_login(make_member(project, Role.CURATOR))
    assert 'name="members"' not in client.get(reverse("duplicate", args=["chat"])).text
    response = client.post(reverse("duplicate", args=["chat"]), {"name": "Copy", "slug": "copy", "members": "on"})
    assert response.status_code == 302
    assert Project.objects.get(slug="copy").members.count() == 1

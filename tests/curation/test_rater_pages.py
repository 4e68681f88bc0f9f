"""The curator's table of raters and the page of one: what stands out, what is behind it, and what may be done."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from annotate.models import Comment, Rater
from annotate.services import qualifying
from tests import build
from tiebreak.accounts.models import Project
from tiebreak.core.models import Event

pytestmark = pytest.mark.django_db
NOW = timezone.now()


@pytest.fixture
def project() -> Project:
    return build.make_project("p", overlap=9, qualification_size=2)


@pytest.fixture
def desk(project: Project) -> Client:
    client = Client()
    client.force_login(build.make_member(project, "curator", name="cara"))
    return client


def person(project: Project, name: str = "ann") -> Rater:
    return build.make_rater(project, name, user=build.make_member(project, name=name))


def work(rater: Rater, n: int, *, side: int = 0, seconds: float = 30.0, why: str = "", **fields: Any) -> None:
    """Judgements of comparisons with long texts: always the left (side -1), or the sides in turn."""
    for number in range(n):
        left = side == -1 or number % 2 == 0
        build.make_judgement(
            build.make_comparison(rater.project, a="a" * 2000, b="b" * 2100, **fields), rater, -1 if left else 1,
            seconds=seconds, justification=why, submitted_at=NOW + timedelta(minutes=number),
        )  # fmt: skip


def table(desk: Client, **query: str) -> str:
    return desk.get(reverse("raters", args=["p"]), query).content.decode()


def one(desk: Client, rater: Rater) -> str:
    response = desk.get(reverse("rater", args=["p", rater.pk]))
    assert response.status_code == 200
    return response.content.decode()


def act(desk: Client, name: str, rater: Rater, **sent: Any) -> Any:
    response = desk.post(reverse(f"rater-{name}", args=["p", rater.pk]), sent)
    rater.refresh_from_db()
    return response


def test_the_table_says_what_stands_out_and_leads_to_the_page(desk: Client, project: Project) -> None:
    lefty, fine = person(project, "lefty"), person(project, "fine")
    work(lefty, 30, side=-1)
    work(fine, 30)
    rows = {line.rater.name: line for line in desk.get(reverse("raters", args=["p"])).context["raters"]}
    assert {sign.code for sign in rows["lefty"].figures.signs} == {"left", "run"}
    assert rows["fine"].figures.signs == ()
    told = table(desk)
    assert "favours the left" in told
    assert reverse("rater", args=["p", lefty.pk]) in told


def test_the_table_sorts_both_ways_and_ignores_what_it_does_not_know(desk: Client, project: Project) -> None:
    few, many = person(project, "few"), person(project, "many")
    work(few, 1)
    work(many, 2)

    def names(**query: str) -> list[str]:
        return [line.rater.name for line in desk.get(reverse("raters", args=["p"]), query).context["raters"]]

    assert names() == names(sort="nonsense") == names(sort="judgements") == ["many", "few"]
    assert names(sort="-judgements") == names(sort="name") == ["few", "many"]
    assert 'aria-sort="descending"' in table(desk, sort="judgements")
    for key in ("seconds", "gold", "others", "skill", "same", "left", "longer", "drift", "signs"):
        assert sorted(names(sort=key)) == sorted(names(sort=f"-{key}")) == ["few", "many"]


def test_too_little_gold_is_told_to_curators(desk: Client, project: Project) -> None:
    person(project)
    assert "asks for 2 comparisons" in table(desk)
    for _ in range(2):
        build.make_comparison(project, gold=1)
    assert "asks for 2 comparisons" not in table(desk)


def test_a_page_shows_the_judgements_behind_what_stands_out(desk: Client, project: Project) -> None:
    hasty = person(project, "hasty")
    work(hasty, 30, seconds=1.0, why="A follows the instruction, and B does not.", gold=1)
    told = one(desk, hasty)
    assert told.count("Behind it:") == 3
    page = desk.get(reverse("rater", args=["p", hasty.pk])).context["page"]
    assert {behind.title for behind in page.behind} == {
        "gold surely below 70%", "too fast to read", "pasted justifications",
    }  # fmt: skip
    assert all(len(behind.rows) == 10 for behind in page.behind)
    assert "A follows the instruction" in told


def test_thin_evidence_is_called_so(desk: Client, project: Project) -> None:
    rater = person(project)
    work(rater, 4)
    told = one(desk, rater)
    assert "not enough evidence yet (n = 4)" in told
    assert "Nothing. Something is said here only" in told


def test_a_page_of_nobody_with_work_and_of_a_judge_is_there(desk: Client, project: Project) -> None:
    assert "None yet." in one(desk, person(project))
    judge = build.make_judge(project)
    build.make_call(judge, build.make_comparison(project), -1)
    told = one(desk, judge.rater)
    assert "What you can do" not in told
    assert "Too fast" not in told


def test_agreement_over_time_is_a_picture_with_a_table_behind_it(desk: Client, project: Project) -> None:
    rater = person(project)
    work(rater, 30, gold=-1)
    told = one(desk, rater)
    assert "over time" in told
    assert told.count("As a table") == 2


def test_a_curator_pauses_and_lets_go_on_with_a_new_start(desk: Client, project: Project) -> None:
    rater = person(project)
    here = reverse("rater", args=["p", rater.pk])
    assert act(desk, "pause", rater, because="We should talk.", back=here)["Location"] == here
    assert "We should talk." in one(desk, rater)
    assert act(desk, "resume", rater, new_start="1", back=here)["Location"] == here
    assert rater.paused_at is None
    assert rater.measured_since is not None
    act(desk, "measure", rater, since="ever")
    assert rater.measured_since is None
    act(desk, "measure", rater, since="now")
    assert rater.measured_since is not None


def test_a_curator_writes_to_a_rater(desk: Client, project: Project) -> None:
    rater = person(project)
    act(desk, "message", rater, text="Thank you for the long ones.")
    comment = Comment.objects.get(rater=rater)
    assert comment.mentions.get().user == rater.user
    assert "Thank you for the long ones." in one(desk, rater)


def test_a_curator_asks_to_qualify_again_and_takes_it_back(desk: Client, project: Project) -> None:
    rater = person(project)
    for _ in range(4):
        build.make_comparison(project, gold=1)
    Rater.objects.filter(pk=rater.pk).update(qualified_at=NOW)
    act(desk, "requalify", rater)
    assert rater.qualified_at is None
    assert qualifying.before(rater, "qualification", now=NOW) is not None
    act(desk, "excuse", rater)
    assert rater.qualified_at is not None
    told = one(desk, rater)
    assert "rater.asked_to_qualify" in told
    assert "rater.excused" in told


def test_a_refusal_is_told_and_changes_nothing(desk: Client, project: Project) -> None:
    rater = person(project)
    response = desk.post(reverse("rater-requalify", args=["p", rater.pk]), follow=True)
    assert "too little gold" in response.content.decode()
    assert not Event.objects.filter(verb="rater.asked_to_qualify").exists()


def test_what_a_rater_is_asked_is_stored_or_refused_beside_its_field(desk: Client, project: Project) -> None:
    rater = person(project)
    act(desk, "equip", rater, skills="law, python", languages="de", daily_quota="20")
    assert (rater.skills, rater.languages, rater.daily_quota) == (["law", "python"], ["de"], 20)
    response = act(desk, "equip", rater, skills="law", languages="german!", daily_quota="")
    assert response.status_code == 422
    assert "german!" in response.content.decode()
    assert rater.languages == ["de"]


def test_a_viewer_reads_and_is_offered_nothing(project: Project) -> None:
    rater = person(project)
    client = Client()
    client.force_login(build.make_member(project, "viewer"))
    assert "What you can do" not in one(client, rater)


def test_the_projects_home_tells_who_is_paused_and_that_gold_is_short(desk: Client, project: Project) -> None:
    rater = person(project)
    work(rater, 1)
    act(desk, "pause", rater, because="We should talk.")
    told = desk.get(reverse("project", args=["p"])).content.decode()
    assert "We should talk." in told
    assert "2 comparisons with a known answer are needed, 0 are there" in told

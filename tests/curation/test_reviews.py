"""Sampling what people said, and what they flagged: the curators' pages."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from annotate.models import Flag, Judgement, Rater, Review
from annotate.services import commenting, flagging, reviewing
from curation.services.reading import reviews as reading
from curation.services.reading.paging import Cursor
from tests import build
from tiebreak.accounts.models import Project, User
from tiebreak.accounts.roles import Role

pytestmark = pytest.mark.django_db


@pytest.fixture
def project() -> Project:
    """Three comparisons judged by two imported people and one with an account; the consensus of each is a."""
    project = build.make_project("court", overlap=3)
    for role in Role.values:
        build.make_member(project, role, name=f"the-{role}")
    mine = build.make_rater(project, "the-annotator", user=one("annotator"))
    aggregation = build.make_aggregation(project)
    for number in range(3):
        comparison = build.make_comparison(project, f"c{number}", prompt=f"which, of {number}?")
        build.make_judgements(comparison, "AB")
        build.make_judgement(comparison, mine, -2, justification=f"because of {number}")
        build.make_consensus(aggregation, comparison, (0.7, 0.1, 0.2))
    return project


def one(role: str) -> User:
    return User.objects.get(username=f"the-{role}")


def as_(role: str) -> Client:
    client = Client()
    client.force_login(one(role))
    return client


def url(name: str, *args: Any) -> str:
    return reverse(name, args=["court", *args])


def listed(project: Project, **filters: Any) -> list[Judgement]:
    rows = reading.judgements(project, reading.ReviewFilters(**filters), Cursor()).rows
    return [row.judgement for row in rows]


def test_what_people_said_lately_comes_first(project: Project) -> None:
    build.make_call(build.make_judge(project), project.comparisons.earliest("pk"), 1)
    rows = listed(project)
    assert len(rows) == 9  # a judge is no person
    assert [row.pk for row in rows] == sorted((row.pk for row in rows), reverse=True)


def test_each_filter_narrows_the_list(project: Project) -> None:
    comparison = project.comparisons.get(external_id="c1")
    mine = Rater.objects.get(name="the-annotator")
    assert {row.rater for row in listed(project, rater=mine.pk)} == {mine}
    assert {row.preference for row in listed(project, disagrees=True)} == {1}
    flagging.flag(comparison, mine, "broken", "", by=one("annotator"))
    assert {row.comparison_id for row in listed(project, flagged=True)} == {comparison.pk}
    review = reviewing.accept(comparison.judgements.get(rater=mine), by=one("curator"))
    assert listed(project, state="accepted") == [review.judgement]
    assert review.judgement not in listed(project)
    assert len(listed(project, state="all")) == 9


@pytest.mark.parametrize(
    ("preference", "p", "differs"),
    [
        (-1, (0.7, 0.1, 0.2), False),
        (-1, (0.2, 0.1, 0.7), True),
        (-1, (0.2, 0.7, 0.1), True),
        (0, (0.2, 0.7, 0.1), False),
        (0, (0.7, 0.2, 0.1), True),
        (2, (0.5, 0.0, 0.5), False),  # as likely as the other: nothing differs
        (None, (0.7, 0.1, 0.2), False),  # both bad names no side
    ],
)
def test_what_differs_from_the_consensus(preference: int | None, p: tuple[float, float, float], differs: bool) -> None:
    project = build.make_project()
    comparison = build.make_comparison(project)
    build.make_judgement(comparison, build.make_rater(project), preference, both_bad=preference is None)
    build.make_consensus(build.make_aggregation(project), comparison, p)
    assert bool(listed(project, disagrees=True)) is differs


def test_a_sample_is_about_a_tenth_and_the_same_whenever_it_is_asked_for() -> None:
    drawn = [number for number in range(1, 10_001) if number * reading.KNUTH % reading.WHOLE < reading.WHOLE // 10]
    # 10,000 draws: the standard error of a tenth is 30.
    assert 900 < len(drawn) < 1_100
    assert drawn[:3] != [1, 2, 3]


def test_the_sample_of_the_page_is_the_one_of_the_arithmetic(project: Project) -> None:
    wanted = {row.pk for row in listed(project) if row.pk * reading.KNUTH % reading.WHOLE < reading.WHOLE // 10}
    assert {row.pk for row in listed(project, sample=True)} == wanted


def test_a_page_of_reviews_takes_the_same_queries_however_long_it_is(project: Project) -> None:
    client = as_("curator")
    client.get(url("reviews"))
    with CaptureQueriesContext(
        connection,
    ) as few:
        client.get(url("reviews") + f"?rater={Rater.objects.get(name='the-annotator').pk}")
    with CaptureQueriesContext(connection) as many:
        client.get(url("reviews"))
    assert len(many) <= len(few)


def test_a_judgement_is_accepted_in_place_by_htmx(project: Project) -> None:
    judgement = Judgement.objects.filter(rater__name="the-annotator").latest("pk")
    client = as_("curator")
    response = client.post(url("review", judgement.pk), {"verdict": "accepted"}, headers={"HX-Request": "true"})
    page = response.content.decode()
    assert f'id="review-{judgement.pk}"' in page
    assert "accepted" in page
    assert "<html" not in page
    response = client.post(url("review", judgement.pk), {"verdict": "returned"}, headers={"HX-Request": "true"})
    assert response.status_code == 422
    assert "Say why" in response.content.decode()


def test_the_texts_come_where_they_are_asked_for(project: Project) -> None:
    judgement = Judgement.objects.filter(rater__name="the-annotator").latest("pk")
    page = as_("viewer").get(url("review", judgement.pk)).content.decode()
    for words in ("which, of 2?", "first answer", "second answer"):
        assert words in page
    assert "heron-1" not in page


def test_without_scripts_one_comes_back_to_the_same_list(project: Project) -> None:
    judgement = Judgement.objects.filter(rater__name="the-annotator").latest("pk")
    back = url("reviews") + "?disagrees=on"
    said = {"verdict": "returned", "reason": "Why?", "back": back}
    response = as_("curator").post(url("review", judgement.pk), said)
    assert (response.status_code, response["Location"]) == (302, back)
    assert Review.objects.get().verdict == "returned"
    assert commenting.unseen(one("annotator")) == 1


def test_a_judges_verdict_is_not_reviewed_as_a_persons(project: Project) -> None:
    call = build.make_call(build.make_judge(project), project.comparisons.earliest("pk"), 1)
    response = as_("curator").post(url("review", call.judgement_id), {"verdict": "accepted"})
    assert response.status_code == 404


def test_a_viewer_reads_and_is_offered_nothing(project: Project) -> None:
    page = as_("viewer").get(url("reviews")).content.decode()
    assert "because of 2" in page
    assert "Accept" not in page
    flagging.flag(
        project.comparisons.earliest("pk"), Rater.objects.get(name="the-annotator"), "broken", "", by=one("annotator")
    )
    page = as_("viewer").get(url("flags")).content.decode()
    assert "broken or cut off" in page
    assert "<form method" not in page.split("<main")[1].split("</main>")[0]


def test_a_filter_that_cannot_be_read_is_none(project: Project) -> None:
    for query in ("rater=x", "state=x", "rater=99999999", "after=x"):
        assert as_("viewer").get(url("reviews") + f"?{query}").status_code == 200


def test_open_flags_wait_on_the_project_page_and_are_resolved_from_their_list(project: Project) -> None:
    comparison = project.comparisons.get(external_id="c0")
    rater = Rater.objects.get(name="the-annotator")
    flag = flagging.flag(comparison, rater, "unsafe", "look", by=one("annotator"))
    client = as_("curator")
    assert "1 open flag" in client.get(url("project")).content.decode()
    assert "look" in client.get(url("flags")).content.decode()
    said = {"resolution": "It is fine.", "back": url("flags")}
    assert client.post(url("flag-resolve", flag.pk), said)["Location"] == url("flags")
    assert "look" not in client.get(url("flags")).content.decode()
    assert "It is fine." in client.get(url("flags") + "?state=resolved").content.decode()
    assert "open flag" not in client.get(url("project")).content.decode()


def test_a_comparisons_page_tells_who_decided_it_and_what_was_said_of_it(project: Project) -> None:
    comparison = project.comparisons.get(external_id="c0")
    mine = comparison.judgements.get(rater__name="the-annotator")
    flagging.flag(comparison, mine.rater, "unsafe", "rude", by=one("annotator"))
    commenting.comment(comparison, "I have seen this before.", by=one("owner"))
    first = reviewing.adjudicate(comparison, 1, False, "At first sight.", by=one("adjudicator"))
    reviewing.correct(mine, 2, False, "B is true.", by=one("curator"), replacing=first.pk)
    page = as_("viewer").get(url("comparison", comparison.pk)).content.decode()
    for words in (
        "decided by the-curator", "B is true.", "At first sight.", "replaced or undone since", "corrected", "rude",
        "I have seen this before.", "comparison.adjudicated", "judgement.reviewed",
    ):  # fmt: skip
        assert words in page, words
    assert url("adjudicate-one", comparison.pk) not in page
    assert url("adjudicate-one", comparison.pk) in as_("curator").get(url("comparison", comparison.pk)).content.decode()


def test_disputed_ones_lead_to_where_they_are_decided(project: Project) -> None:
    project.comparisons.update(status="disputed")
    assert f'href="{url("adjudicate")}">3 disputed' in as_("curator").get(url("project")).content.decode()
    assert "?status=disputed" in as_("viewer").get(url("project")).content.decode()


def test_comparisons_are_found_by_their_flags_and_decisions(project: Project) -> None:
    comparison = project.comparisons.get(external_id="c1")
    Flag.objects.create(comparison=comparison, rater=Rater.objects.get(name="the-annotator"), kind="broken")
    client = as_("viewer")
    assert "which, of 0?" not in client.get(url("comparisons") + "?flagged=on").content.decode()
    reviewing.adjudicate(comparison, 1, False, "B.", by=one("owner"))
    page = client.get(url("comparisons") + "?decided=on").content.decode()
    assert "which, of 1?" in page
    assert "which, of 2?" not in page

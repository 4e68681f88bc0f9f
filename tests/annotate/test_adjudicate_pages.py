"""The adjudicator's page and the inbox: what is shown, what is hidden, and what each control does."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from annotate.models import Adjudication, Assignment, Comment, Comparison, Flag, Judgement, Rater, Review
from annotate.services import disputes, reviewing
from tests import build
from tiebreak.accounts.models import Membership, Project, User
from tiebreak.accounts.roles import Role

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}


@pytest.fixture
def project() -> Project:
    project = build.make_project("court", overlap=2, aspects=[{"key": "help", "label": "Helpfulness"}])
    for role in Role.values:
        build.make_member(project, role, name=f"the-{role}")
    return project


def make_disputed(project: Project, name: str = "", **fields: Any) -> Comparison:
    comparison = build.make_comparison(project, name, **fields)
    build.make_judgements(comparison, "AB")
    Comparison.objects.filter(pk=comparison.pk).update(status="disputed")
    return Comparison.objects.get(pk=comparison.pk)


def one(role: str) -> User:
    return User.objects.get(username=f"the-{role}")


def as_(role: str) -> Client:
    client = Client()
    client.force_login(one(role))
    return client


def own(comparison: Comparison, user: User, preference: int = 1, **fields: Any) -> Judgement:
    comparison.overlap += 1
    comparison.save(update_fields=["overlap"])
    rater, _ = Rater.objects.get_or_create(
        project=comparison.project, user=user, defaults={"kind": "annotator", "name": user.username}
    )
    return build.make_judgement(comparison, rater, preference, **fields)


def url(name: str, *args: Any) -> str:
    return reverse(name, args=["court", *args])


# What is next


def test_disputed_come_before_flagged_and_these_before_answered_returns(project: Project) -> None:
    expert = one("adjudicator")
    answered, flagged = (build.make_comparison(project, name) for name in ("answered", "flagged"))
    review = reviewing.return_judgement(own(answered, one("annotator")), "Why?", by=expert)
    reviewing.explain(review, "Because.", by=one("annotator"))
    Flag.objects.create(comparison=flagged, rater=build.make_rater(project), kind="broken")
    disputed = make_disputed(project)
    assert disputes.waiting(project, expert) == (1, 1, 1)
    passed: list[int] = []
    for expected in (disputed, flagged, answered, None):
        assert disputes.pick(project, expert, passed=passed) == expected
        passed.append(expected.pk if expected else 0)


def test_the_urgent_comes_first_and_two_adjudicators_are_led_apart(project: Project) -> None:
    rows = [make_disputed(project) for _ in range(8)]
    firsts = {disputes.pick(project, build.make_member(project, Role.ADJUDICATOR)) for _ in range(12)}
    assert len(firsts) > 2
    urgent = rows[-1]
    Comparison.objects.filter(pk=urgent.pk).update(priority=2)
    assert {disputes.pick(project, one(role)) for role in ("adjudicator", "curator", "owner")} == {urgent}


def test_what_waits_for_its_annotator_is_not_offered_until_it_is_answered(project: Project) -> None:
    comparison = make_disputed(project)
    review = reviewing.return_judgement(own(comparison, one("annotator")), "Why?", by=one("curator"))
    assert disputes.pick(project, one("adjudicator")) is None
    reviewing.explain(review, "Because.", by=one("annotator"))
    assert disputes.pick(project, one("adjudicator")) == comparison


def test_a_revised_answer_to_a_return_waits_until_somebody_looks_at_it(project: Project) -> None:
    comparison = build.make_comparison(project)
    judgement = own(comparison, one("annotator"))
    review = reviewing.return_judgement(judgement, "Why?", by=one("curator"))
    Judgement.objects.filter(pk=judgement.pk).update(current=False)
    revised = Judgement.objects.create(
        comparison=comparison, rater=judgement.rater, preference=-1, revision=2, order="ab"
    )
    Review.objects.filter(pk=review.pk).update(answered_at=revised.submitted_at)
    assert disputes.waiting(project, one("curator")).answered == 1
    reviewing.accept(revised, by=one("curator"))
    assert disputes.waiting(project, one("curator")).answered == 0


def test_nobody_is_offered_what_they_judged_or_have_before_them(project: Project) -> None:
    judged, held = make_disputed(project), make_disputed(project)
    mine = own(judged, one("adjudicator"))
    Comparison.objects.filter(pk=held.pk).update(overlap=9)
    Assignment.objects.create(comparison=held, rater=mine.rater, order="ab", expires_at="2099-01-01T00:00Z")
    assert disputes.pick(project, one("adjudicator")) is None
    assert disputes.waiting(project, one("adjudicator")).disputed == 0
    assert disputes.waiting(project, one("curator")).disputed == 2


def test_a_withdrawn_comparison_waits_for_nobody(project: Project) -> None:
    comparison = make_disputed(project)
    Flag.objects.create(comparison=comparison, rater=build.make_rater(project), kind="broken")
    reviewing.withdraw(comparison, "spam", by=one("curator"))
    assert not disputes.waiting(project, one("owner")).any


# What is shown and hidden


def test_all_judgements_stand_side_by_side_with_all_that_was_said(project: Project) -> None:
    comparison = make_disputed(project)
    own(
        comparison, one("annotator"), 2, aspects={"help": -1}, reasons=["clearer"], justification="B says why.",
        seconds=41.2, order="ba", evidence=[{"side": "b", "exact": "second answer", "start": 0, "end": 13}],
        form=project.forms.get(), ratings={"help": {"a": 2, "b": 5}}, confidence={"overall": 3},
    )  # fmt: skip
    page = as_("adjudicator").get(url("adjudicate-one", comparison.pk)).content.decode()
    for words in (
        "B is better", "Helpfulness", "A is slightly better", "clearer", "B says why.", "41 s", "B stood first",
        "<q dir=\"auto\">second answer</q>", "A 2, B 5", "very sure", "first answer",
    ):  # fmt: skip
        assert words in page, words


def test_no_name_and_no_generator_is_in_the_page_where_the_form_hides_them(project: Project) -> None:
    comparison = make_disputed(project, "their-own-id")
    own(comparison, one("annotator"))
    Flag.objects.create(comparison=comparison, rater=Rater.objects.get(user=one("annotator")), kind="broken")
    Comment.objects.create(project=project, comparison=comparison, author=one("annotator"), text="cut off?")
    client = as_("adjudicator")
    for response in (
        client.get(url("adjudicate")),
        client.get(url("adjudicate-one", comparison.pk)),
        client.get(url("adjudicate"), headers=HTMX),
    ):
        page = response.content.decode()
        for hidden in ("the-annotator", "r1", "r2", "heron-1", "quill-l", "their-own-id"):
            assert not re.search(rf"\b{hidden}\b", page), hidden
        for shown in ("Rater 1", "Rater 2", "Rater 3", "cut off?"):
            assert shown in page


def test_names_are_shown_where_the_form_says_so(project: Project) -> None:
    project.forms.update(blind_adjudication=False)
    comparison = make_disputed(project)
    own(comparison, one("annotator"))
    page = as_("adjudicator").get(url("adjudicate-one", comparison.pk)).content.decode()
    assert "the-annotator" in page
    assert "Rater 1" not in page


def test_a_raters_number_stays_when_others_come_after(project: Project) -> None:
    comparison = make_disputed(project)
    before = [(said.judgement.pk, said.number) for said in disputes.case(comparison, one("curator")).people]
    judge = build.make_judge(project)
    build.make_call(judge, comparison, 1)
    own(comparison, one("annotator"))
    after = [(said.judgement.pk, said.number) for said in disputes.case(comparison, one("curator")).people]
    assert after[:2] == before == [(before[0][0], 1), (before[1][0], 2)]
    assert after[2][1] == 3


def test_judges_are_named_behind_a_disclosure_below_the_people(project: Project) -> None:
    comparison = make_disputed(project)
    build.make_call(build.make_judge(project, "critic"), comparison, 1)
    page = as_("adjudicator").get(url("adjudicate-one", comparison.pk)).content.decode()
    assert page.index('<details class="judges">') < page.index("critic v1")
    assert page.index("Rater 2") < page.index('<details class="judges">')


def test_who_judged_it_does_not_see_what_others_said_unless_they_curate(project: Project) -> None:
    comparison = make_disputed(project)
    own(comparison, one("adjudicator"))
    own(comparison, one("curator"))
    assert as_("adjudicator").get(url("adjudicate-one", comparison.pk)).status_code == 403
    page = as_("curator").get(url("adjudicate-one", comparison.pk)).content.decode()
    assert "You judged this comparison yourself" in page


def test_hostile_text_in_what_was_said_is_text(project: Project) -> None:
    comparison = make_disputed(project)
    bad = "<img src=x onerror=alert(1)>"
    said = own(comparison, one("annotator"), justification=bad, reasons=[bad], evidence=[{"side": "a", "exact": bad}])
    Flag.objects.create(comparison=comparison, rater=said.rater, kind="other", note=bad)
    Comment.objects.create(project=project, comparison=comparison, author=one("owner"), text=bad)
    page = as_("curator").get(url("adjudicate-one", comparison.pk)).content.decode()
    assert bad not in page
    assert page.count("&lt;img src=x") == 5


# What the controls do


def decide(client: Client, comparison: Comparison, headers: Any = None, **given: Any) -> Any:
    said = {"choice": "-1", "reason": "A is right.", "replacing": ""} | given
    return client.post(url("adjudicate-one", comparison.pk), said, headers=headers)


def test_deciding_shows_the_next_one_at_once_with_a_way_back(project: Project) -> None:
    first, second = make_disputed(project, prompt="the first?"), make_disputed(project, prompt="the second?")
    client = as_("adjudicator")
    response = decide(client, first, headers=HTMX)
    page = response.content.decode()
    assert response.status_code == 200
    assert "the second?" in page
    assert "<html" not in page
    assert f'action="{url("adjudicate-reopen", first.pk)}"' in page
    assert Adjudication.objects.get().reason == "A is right."
    assert "Nothing to decide" in decide(client, second, headers=HTMX).content.decode()


def test_without_scripts_the_same_by_way_of_a_redirect(project: Project) -> None:
    comparison = make_disputed(project)
    client = as_("adjudicator")
    response = decide(client, comparison)
    assert response.status_code == 302
    page = client.get(response.url).content.decode()
    assert "Decided: A is slightly better." in page
    response = client.post(url("adjudicate-reopen", comparison.pk))
    assert (response.status_code, response["Location"]) == (302, url("adjudicate-one", comparison.pk))
    assert Comparison.objects.get().status == "disputed"


def test_only_the_one_who_decided_is_offered_to_undo_it_in_passing(project: Project) -> None:
    comparison = make_disputed(project)
    decide(as_("adjudicator"), comparison)
    page = as_("curator").get(url("adjudicate") + f"?decided={comparison.pk}").content.decode()
    assert "Decided:" not in page


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"choice": ""}, "Choose which response is better"),
        ({"choice": "one"}, "Choose which response is better"),
        ({"choice": "9" * 30}, "Choose which response is better"),
        ({"choice": "9"}, "Expected one of"),
        ({"reason": ""}, "Say why"),
    ],
)
def test_a_refused_decision_comes_back_with_what_was_typed(project: Project, given: dict[str, str], told: str) -> None:
    comparison = make_disputed(project)
    said = {"reason": "typed for long", "both_bad": ""} | given
    response = decide(as_("adjudicator"), comparison, headers=HTMX, **said)
    page = response.content.decode()
    assert response.status_code == 422
    assert told in page
    assert said["reason"] in page
    assert not Adjudication.objects.exists()


def test_who_comes_too_late_is_told_and_sees_what_was_decided(project: Project) -> None:
    comparison = make_disputed(project)
    decide(as_("adjudicator"), comparison)
    response = decide(as_("curator"), comparison, headers=HTMX, choice="2", reason="B knows it.")
    page = response.content.decode()
    assert response.status_code == 409
    for words in ("Somebody else has decided", "the-adjudicator decided: A is slightly better", "B knows it."):
        assert words in page
    current = Adjudication.objects.get()
    decide(as_("curator"), comparison, headers=HTMX, choice="2", reason="B knows it.", replacing=current.pk)
    assert Adjudication.objects.get(current=True).preference == 2


def test_a_decision_corrects_the_judgements_that_were_marked(project: Project) -> None:
    comparison = make_disputed(project)
    wrong = comparison.judgements.get(preference=1)
    decide(as_("adjudicator"), comparison, correct=[wrong.pk, "x"])
    assert [(review.judgement, review.verdict) for review in Review.objects.all()] == [(wrong, "corrected")]


def test_what_is_left_for_later_comes_again_when_nothing_else_is_left(project: Project) -> None:
    first, second = make_disputed(project, prompt="number one?"), make_disputed(project, prompt="number two?")
    client = as_("adjudicator")
    shown = disputes.pick(project, one("adjudicator"))
    assert shown is not None
    other = second if shown == first else first
    said = {row.pk: row.prompt.messages[0]["content"] for row in (first, second)}
    assert said[other.pk] in client.post(url("adjudicate-pass", shown.pk), headers=HTMX).content.decode()
    assert said[shown.pk] in client.post(url("adjudicate-pass", other.pk), headers=HTMX).content.decode()


def test_a_judgement_is_accepted_or_returned_from_its_card(project: Project) -> None:
    comparison = make_disputed(project)
    said = own(comparison, one("annotator"))
    client = as_("adjudicator")
    client.post(url("review-judgement", said.pk), {"verdict": "returned", "reason": "Which date?"}, headers=HTMX)
    assert Review.objects.get().verdict == "returned"
    page = client.post(url("review-judgement", said.pk), {"verdict": "accepted"}, headers=HTMX).content.decode()
    assert Review.objects.get().verdict == "accepted"
    assert "accepted" in page
    assert client.post(url("review-judgement", said.pk), {"verdict": "corrected"}).status_code == 404
    refused = client.post(url("review-judgement", said.pk), {"verdict": "returned", "reason": ""}, headers=HTMX)
    assert refused.status_code == 422


def test_a_flag_is_resolved_and_a_comment_made_where_they_stand(project: Project) -> None:
    comparison = make_disputed(project)
    flag = Flag.objects.create(comparison=comparison, rater=build.make_rater(project), kind="broken")
    client = as_("adjudicator")
    page = client.post(url("flag-resolve", flag.pk), {"resolution": "It is whole."}, headers=HTMX).content.decode()
    assert "Resolved by the-adjudicator" in page
    response = client.post(url("adjudicate-comment", comparison.pk), {"text": "@the-curator look"}, headers=HTMX)
    assert "@the-curator look" in response.content.decode()
    assert "Inbox, 1 unread" in as_("curator").get("/").content.decode()


def test_a_page_to_come_back_to_is_one_of_ours(project: Project) -> None:
    comparison = make_disputed(project)
    flag = Flag.objects.create(comparison=comparison, rater=build.make_rater(project), kind="broken")
    for back, expected in (
        ("/p/court/comparisons/", "/p/court/comparisons/"),
        ("https://evil.example/", url("adjudicate-one", comparison.pk)),
        ("//evil.example/", url("adjudicate-one", comparison.pk)),
    ):
        response = as_("curator").post(url("flag-resolve", flag.pk), {"resolution": "ok", "back": back})
        assert response["Location"] == expected


# The inbox


def test_the_inbox_holds_mentions_messages_and_returned_judgements(project: Project) -> None:
    said = own(make_disputed(project), one("annotator"))
    review = reviewing.return_judgement(said, "Which date?", by=one("adjudicator"))
    client = as_("annotator")
    page = client.get("/inbox/").content.decode()
    assert page.count("Which date?") == 1
    assert "Inbox, 1 unread" in page
    assert reverse("revise", args=["court", said.pk]) in page
    client.post(reverse("explain", args=[review.pk]), {"text": "The first."})
    assert not disputes.returned_to(one("annotator")).exists()
    assert "Inbox, 1 unread" not in client.get("/inbox/").content.decode()
    assert "The first." in as_("adjudicator").get("/inbox/").content.decode()


def test_the_inbox_of_an_adjudicator_is_as_blind_as_their_page(project: Project) -> None:
    said = own(make_disputed(project), one("annotator"))
    for role in ("adjudicator", "curator"):
        review = reviewing.return_judgement(said, f"Which date, asks {role}?", by=one(role))
        reviewing.explain(review, f"The first, {role}.", by=one("annotator"))
    page = as_("adjudicator").get("/inbox/").content.decode()
    assert "The first, adjudicator." in page
    assert "the-annotator" not in page
    assert "A rater" in page
    assert "the-annotator" in as_("curator").get("/inbox/").content.decode()


def test_an_annotator_is_led_to_nothing_that_they_may_not_see(project: Project) -> None:
    comparison = make_disputed(project)
    as_("curator").post(url("adjudicate-comment", comparison.pk), {"text": "@the-annotator @the-viewer"})
    assert f"/{comparison.pk}/" not in as_("annotator").get("/inbox/").content.decode()
    assert url("comparison", comparison.pk) in as_("viewer").get("/inbox/").content.decode()


def test_what_was_read_is_not_counted_any_more(project: Project) -> None:
    comparison = make_disputed(project)
    for text in ("@the-owner one", "@the-owner two"):
        as_("curator").post(url("adjudicate-comment", comparison.pk), {"text": text})
    client = as_("owner")
    client.post("/inbox/", {"comment": [str(Comment.objects.latest("pk").pk), "x"]})
    assert "Inbox, 1 unread" in client.get("/").content.decode()
    client.post("/inbox/", {"all": "1"})
    page = client.get("/inbox/").content.decode()
    assert "unread" not in page.lower()
    assert "@the-owner two" in page


def test_an_empty_inbox_says_what_comes_there(project: Project) -> None:
    assert "Nothing for you yet" in as_("viewer").get("/inbox/").content.decode()


def test_who_has_left_a_project_reads_no_more_of_it(project: Project) -> None:
    said = own(make_disputed(project), one("annotator"))
    review = reviewing.return_judgement(said, "Which date?", by=one("adjudicator"))
    Membership.objects.filter(user=one("annotator")).delete()
    client = as_("annotator")
    assert "Which date?" not in client.get("/inbox/").content.decode()
    assert client.post(reverse("explain", args=[review.pk]), {"text": "x"}).status_code == 403

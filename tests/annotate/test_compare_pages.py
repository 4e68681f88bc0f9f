"""The annotator's pages, without a browser: what is shown, what a post does, with htmx and without."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any
from uuid import uuid4

import pytest
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone

from annotate.models import (
    Assignment,
    Comment,
    Comparison,
    Criterion,
    Flag,
    Form,
    Judgement,
    Rater,
    Rubric,
    Session,
)  # fmt: skip
from annotate.services import assigning
from annotate.views import screen
from tests.build import make_comparison, make_judgement, make_member, make_project, make_rater, make_user
from tiebreak.accounts.models import Project, User
from tiebreak.accounts.roles import Role
from tiebreak.core.models import Event

pytestmark = pytest.mark.django_db

HTMX = {"HX-Request": "true"}
JSON = {"Accept": "application/json"}
URL = "/p/chat/compare/"


@pytest.fixture
def project() -> Project:
    return make_project("chat", overlap=1, reasons=["facts", "style"], aspects=[{"key": "tone", "label": "Tone"}])


@pytest.fixture
def ada(project: Project) -> User:
    return make_member(project, Role.ANNOTATOR, name="ada")


@pytest.fixture
def client(ada: User) -> Client:
    client = Client()
    client.force_login(ada)
    return client


def text(response: HttpResponse) -> str:
    return unescape(response.content.decode())


def post(client: Client, pk: int, act: str = "", *, htmx: bool = True, **fields: Any) -> Any:
    data = {"key": str(uuid4())} | fields
    return client.post(f"{URL}{pk}/{act}", data, headers=HTMX if htmx else {})


def take(client: Client) -> Assignment:
    """Open the screen and return what was leased."""
    assert client.get(URL).status_code == 200
    return Assignment.objects.select_related("comparison").get(status="leased")


# Home


def test_home_lists_my_projects_only_with_what_is_left(project: Project, client: Client) -> None:
    make_comparison(project)
    make_project("secret")
    shown = text(client.get("/"))
    assert "Chat" in shown
    assert "1 to compare" in shown
    assert URL in shown
    assert "Secret" not in shown
    assert not Rater.objects.exists()  # looking at the list begins nothing


def test_pages_ask_who_you_are(project: Project) -> None:
    for url in ("/", URL):
        response = Client().get(url)
        assert (response.status_code, response["Location"]) == (302, f"/sign-in/?next={url}")


def test_a_stranger_does_not_learn_that_a_project_exists(project: Project) -> None:
    client = Client()
    client.force_login(make_user())
    assert client.get(URL).status_code == 404
    assert client.get("/p/none/compare/").status_code == 404


def test_a_viewer_may_not_compare(project: Project) -> None:
    client = Client()
    client.force_login(make_member(project, Role.VIEWER))
    assert client.get(URL).status_code == 403


# The screen


def test_the_screen_shows_both_sides_in_the_order_of_the_assignment(project: Project, client: Client) -> None:
    make_comparison(project, prompt="Why is the sky blue?", a="Rayleigh scattering.", b="It mirrors the sea.")
    shown = text(client.get(URL))
    order = Assignment.objects.get().order
    first, second = shown.index("Rayleigh"), shown.index("It mirrors")
    assert (first < second) == (order == "ab")
    assert "Why is the sky blue?" in shown
    assert "A is much better" in shown
    assert "Tone" in shown


def test_the_screen_never_names_a_generator(project: Project, client: Client) -> None:
    comparison = make_comparison(project, metadata={"note": "hidden-metadata"}, returned_because="hidden-reason")
    shown = text(client.get(URL))
    for hidden in (comparison.completion_a.generator, comparison.completion_b.generator, "hidden-"):
        assert hidden not in shown


def test_markup_in_a_response_is_shown_and_never_run(project: Project, client: Client) -> None:
    make_comparison(project, a="<script>alert(1)</script> done")
    body = client.get(URL).content.decode()
    assert "<script>alert(1)" not in body
    assert "&lt;script&gt;alert(1)" in body


def test_an_approved_rubric_and_the_context_are_shown(project: Project, client: Client, ada: User) -> None:
    rubric = Rubric.objects.create(
        project=project, name="facts", version=1, status="approved", approved_by=ada, approved_at=timezone.now()
    )
    Criterion.objects.create(rubric=rubric, position=1, kind="hard_rule", text="Names its sources")
    Form.objects.update(rubric=rubric)
    make_comparison(project, context="Judge for a child of ten.")
    shown = text(client.get(URL))
    assert "Names its sources" in shown
    assert "Judge for a child of ten." in shown


def test_a_rubric_that_nobody_approved_is_not_shown(project: Project, client: Client) -> None:
    rubric = Rubric.objects.create(project=project, name="facts", version=1)
    Criterion.objects.create(rubric=rubric, position=1, kind="principle", text="Names its sources")
    Form.objects.update(rubric=rubric)
    make_comparison(project)
    assert "Names its sources" not in text(client.get(URL))


def test_reloading_shows_the_same_comparison(project: Project, client: Client) -> None:
    for _ in range(5):
        make_comparison(project)
    assert take(client) == take(client)


def test_nothing_left_says_so(project: Project, client: Client) -> None:
    response = client.get(URL)
    assert response.status_code == 200
    assert "Nothing left to compare" in text(response)


def test_a_paused_annotator_is_told_why(project: Project, client: Client, ada: User) -> None:
    make_comparison(project)
    assigning.rater_for(project, ada)
    Rater.objects.update(paused_at=timezone.now(), paused_because="Please read the guidelines again.")
    response = client.get(URL)
    assert response.status_code == 403
    assert "Please read the guidelines again." in text(response)


@pytest.mark.parametrize(
    ("levels", "tie", "expected"),
    [
        (1, True, [(-1, "A is better"), (0, "Tie"), (1, "B is better")]),
        (
            2,
            False,
            [
                (-2, "A is much better"),
                (-1, "A is slightly better"),
                (1, "B is slightly better"),
                (2, "B is much better"),
            ],
        ),
    ],
)
def test_the_choices_have_words_and_digits(levels: int, tie: bool, expected: list[tuple[int, str]]) -> None:
    choices = screen.choices(Form(levels=levels, allow_tie=tie))
    assert [(choice["value"], choice["label"]) for choice in choices] == expected
    assert [choice["key"] for choice in choices] == [str(n) for n in range(1, len(expected) + 1)]


# Answering


def test_an_answer_is_stored_and_the_next_is_shown_at_once(project: Project, client: Client) -> None:
    make_comparison(project)
    make_comparison(project)
    first = take(client)
    Assignment.objects.update(created_at=timezone.now() - timedelta(minutes=1))
    response = post(
        client, first.pk, choice="-3", aspect_tone="1", reasons=["style"], justification="a\r\nb", active_ms=900
    )
    assert response.status_code == 200
    body = text(response)
    assert 'id="comparison"' in body
    assert "<html" not in body
    judgement = Judgement.objects.get()
    sign = 1 if first.order == "ab" else -1
    assert (judgement.preference, judgement.aspects) == (-3 * sign, {"tone": sign})
    assert (judgement.reasons, judgement.justification, judgement.seconds) == (["style"], "a\nb", 0.9)
    assert judgement.order == first.order
    second = Assignment.objects.get(status="leased")
    assert second.comparison != first.comparison
    assert f"{URL}{second.pk}/" in body


def test_without_htmx_an_answer_redirects_to_the_next(project: Project, client: Client) -> None:
    make_comparison(project)
    assignment = take(client)
    response = post(client, assignment.pk, htmx=False, choice="0")
    assert (response.status_code, response["Location"]) == (302, URL)
    assert Judgement.objects.get().preference == 0


def test_the_last_answer_shows_that_nothing_is_left(project: Project, client: Client) -> None:
    make_comparison(project)
    body = text(post(client, take(client).pk, both_bad="1"))
    assert "Nothing left to compare" in body
    assert "<html" not in body
    assert Judgement.objects.get().both_bad


def test_a_double_click_is_one_judgement(project: Project, client: Client) -> None:
    make_comparison(project)
    pk, key = take(client).pk, str(uuid4())
    for _ in range(2):
        assert post(client, pk, key=key, choice="1").status_code == 200
    assert Judgement.objects.count() == 1


@pytest.mark.parametrize("htmx", [True, False])
def test_a_refused_answer_comes_back_as_it_was_typed(project: Project, client: Client, htmx: bool) -> None:
    Form.objects.update(justification="required", min_justification=40)
    make_comparison(project)
    assignment, key = take(client), str(uuid4())
    response = post(
        client,
        assignment.pk,
        htmx=htmx,
        key=key,
        choice="2",
        aspect_tone="-1",
        reasons=["facts"],
        justification="short",
    )
    assert response.status_code == 422
    body = text(response)
    assert ("<html" in body) is not htmx
    assert "At least 40 characters are wanted; there are 5." in body
    assert re.search(r'name="choice" value="2"[^>]* checked', body)
    assert re.search(r'name="aspect_tone" value="-1"[^>]* checked', body)
    assert re.search(r'value="facts"[^>]* checked', body)
    assert ">short</textarea>" in body
    assert key in body  # the key stays, so that a repeat is still one judgement
    assert not Judgement.objects.exists()
    assignment.refresh_from_db()
    assert assignment.status == "leased"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "Choose which response is better"),
        ({"choice": "7"}, "got 7"),
        ({"choice": "left"}, "whole number"),
        ({"choice": "1", "aspect_tone": "9"}, "Tone: Expected"),
        ({"choice": "1", "aspect_wit": "1"}, "no aspect 'wit'"),
        ({"choice": "1", "reasons": ["none"]}, "no reason 'none'"),
        ({"choice": "1", "key": ""}, "no key"),
        ({"choice": "1", "justification": "a\x00b"}, "Null characters"),
    ],
)
def test_each_bad_field_is_named(project: Project, client: Client, fields: dict[str, Any], words: str) -> None:
    make_comparison(project)
    response = post(client, take(client).pk, **fields)
    assert response.status_code == 422
    assert words in text(response)
    assert not Judgement.objects.exists()


def test_a_lost_lease_keeps_the_work_and_offers_the_next(project: Project, client: Client) -> None:
    make_comparison(project)
    assignment = take(client)
    Assignment.objects.update(expires_at=datetime(2000, 1, 1, tzinfo=UTC))
    assigning.reap(timezone.now())
    other = Client()
    other.force_login(make_member(project, Role.ANNOTATOR))
    take(other)
    response = post(client, assignment.pk, choice="1", justification="my long work")
    assert response.status_code == 409
    body = text(response)
    assert "What you wrote is kept" in body
    assert ">my long work</textarea>" in body
    assert f'href="{URL}"' in body
    assignment.refresh_from_db()
    assert assignment.draft["justification"] == "my long work"
    assert not Judgement.objects.exists()


def test_what_another_holds_cannot_be_found(project: Project, client: Client) -> None:
    make_comparison(project)
    assignment = take(client)
    other = Client()
    other.force_login(make_member(project, Role.OWNER))
    for act in ("", "skip/", "draft/"):
        assert post(other, assignment.pk, act, choice="1", skip_reason="why").status_code == 404
    assert not Judgement.objects.exists()


def test_a_post_without_a_csrf_token_is_refused(project: Project, ada: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(ada)
    make_comparison(project)
    assert post(client, take(client).pk, choice="1").status_code == 403


def test_reloading_a_refused_answer_goes_to_the_screen(project: Project, client: Client) -> None:
    make_comparison(project)
    response = client.get(f"{URL}{take(client).pk}/")
    assert (response.status_code, response["Location"]) == (302, URL)


# Skipping and drafts


def test_skipping_shows_the_next(project: Project, client: Client) -> None:
    make_comparison(project)
    make_comparison(project)
    first = take(client)
    response = post(client, first.pk, "skip/", skip_reason="language")
    assert response.status_code == 200
    first.refresh_from_db()
    assert (first.status, first.skip_reason) == ("skipped", "language")
    assert f"{URL}{Assignment.objects.get(status='leased').pk}/" in text(response)


def test_skipping_without_a_reason_is_refused(project: Project, client: Client) -> None:
    make_comparison(project)
    response = post(client, take(client).pk, "skip/")
    assert response.status_code == 422
    assert "Say why" in text(response)


def test_skipping_what_was_lost_goes_on(project: Project, client: Client) -> None:
    make_comparison(project)
    make_comparison(project)
    assignment = take(client)
    Assignment.objects.update(expires_at=datetime(2000, 1, 1, tzinfo=UTC))
    assigning.reap(timezone.now())
    assert post(client, assignment.pk, "skip/", skip_reason="language").status_code == 200
    assert Assignment.objects.get(pk=assignment.pk).status == "expired"


def test_a_draft_is_kept_and_shown_again(project: Project, client: Client) -> None:
    make_comparison(project)
    assignment = take(client)
    typed = {"choice": "-1", "justification": "half a thou", "aspect_tone": "1", "reasons": ["facts"]}
    assert post(client, assignment.pk, "draft/", **typed).status_code == 204
    shown = text(client.get(URL))
    assert ">half a thou</textarea>" in shown
    assert re.search(r'name="choice" value="-1"[^>]* checked', shown)
    assert re.search(r'name="aspect_tone" value="1"[^>]* checked', shown)


def test_a_draft_may_be_json(project: Project, client: Client) -> None:
    make_comparison(project)
    assignment = take(client)
    body = {"choice": 2, "justification": "so far", "reasons": ["facts"], "aspect_tone": None}
    response = client.post(f"{URL}{assignment.pk}/draft/", body, content_type="application/json")
    assert response.status_code == 204
    assignment.refresh_from_db()
    assert (assignment.draft["choice"], assignment.draft["reasons"]) == (2, ["facts"])


@pytest.mark.parametrize("body", ["[]", "{", '{"a": NaN}'])
def test_a_draft_that_is_no_object_is_refused(project: Project, client: Client, body: str) -> None:
    make_comparison(project)
    url = f"{URL}{take(client).pk}/draft/"
    assert client.post(url, body, content_type="application/json").status_code == 422


def test_a_draft_that_is_far_too_large_is_refused(project: Project, client: Client) -> None:
    make_comparison(project)
    url = f"{URL}{take(client).pk}/draft/"
    many = {f"aspect_{number}": 1 for number in range(1001)}
    assert client.post(url, many, content_type="application/json").status_code == 422
    assert client.post(url, {"justification": "x" * 1_000_001}, content_type="application/json").status_code == 413
    assert client.post(url, {"evidence": "[" * 500_001, "choice": 2}).status_code == 204  # what can be read is kept
    assert Assignment.objects.get().draft["choice"] == 2


def test_a_comparison_withdrawn_meanwhile_is_replaced(project: Project, client: Client) -> None:
    make_comparison(project)
    first = take(client)
    Comparison.objects.update(status="withdrawn")
    make_comparison(project)
    assert take(client).comparison != first.comparison


def test_the_screen_costs_a_bounded_number_of_queries(
    project: Project, client: Client, django_assert_max_num_queries: Any
) -> None:
    for _ in range(3):
        make_comparison(project)
    pk = take(client).pk
    with django_assert_max_num_queries(40):
        assert post(client, pk, choice="1").status_code == 200


# Everything that may be asked


def ask_everything(project: Project, ada: User) -> Criterion:
    """A form with ratings, confidence, a checklist and highlights; returns the rubric's criterion."""
    rubric = Rubric.objects.create(
        project=project, name="facts", version=1, status="approved", approved_by=ada, approved_at=timezone.now()
    )
    aspects = [{"key": "tone", "label": "Tone"}, {"key": "depth", "label": "Depth", "kind": "rating"}]
    Form.objects.update(rubric=rubric, checklist=True, confidence=True, aspects=aspects, rating_max=5)
    return Criterion.objects.create(rubric=rubric, position=1, kind="principle", text="Names its sources")


def everything(criterion: Criterion) -> dict[str, Any]:
    evidence = [{"side": "left", "exact": "first", "start": 0, "end": 5}]
    return {
        "choice": "1", "aspect_tone": "2", "rating_depth_left": "4", "rating_depth_right": "2", "confidence_tone": "3",
        "confidence_overall": "1", f"check_{criterion.pk}": "left", "evidence": json.dumps(evidence),
    }  # fmt: skip


def test_every_part_of_an_answer_is_stored_in_terms_of_a_and_b(project: Project, client: Client, ada: User) -> None:
    criterion = ask_everything(project, ada)
    make_comparison(project)
    assignment = take(client)
    assert post(client, assignment.pk, **everything(criterion)).status_code == 200
    stored = Judgement.objects.get()
    left, right = ("a", "b") if assignment.order == "ab" else ("b", "a")
    assert stored.ratings == {"depth": {left: 4, right: 2}}
    assert stored.confidence == {"tone": 3, "overall": 1}
    assert stored.checks == {str(criterion.pk): left}
    assert stored.evidence == [{"side": left, "exact": "first", "start": 0, "end": 5}]
    assert stored.rubric_id == criterion.rubric_id


def test_every_part_of_a_draft_stands_on_the_screen_again(project: Project, client: Client, ada: User) -> None:
    criterion = ask_everything(project, ada)
    make_comparison(project)
    typed = everything(criterion)
    post(client, take(client).pk, "draft/", **typed)
    shown = text(client.get(URL))
    for name, value in typed.items():
        if name != "evidence":
            assert re.search(rf'name="{name}" value="{value}"[^>]* checked', shown), name
    assert '"exact": "first"' in shown


def test_an_error_stands_beside_its_field_and_in_the_summary(project: Project, client: Client, ada: User) -> None:
    ask_everything(project, ada)
    make_comparison(project)
    response = post(client, take(client).pk, choice="1", rating_depth_left="9", justification="a\x00")
    told = response.context
    assert response.status_code == 422
    assert set(told["errors_by_field"]) == {"justification"}  # what cannot be read comes first
    response = post(client, Assignment.objects.get().pk, choice="9", rating_depth_left="9")
    told = response.context
    assert set(told["errors_by_field"]) == {"choice", "rating_depth_left", "rating_depth_right"}
    assert {"field": "rating_depth_left", "text": "Depth: Expected 1 to 5, got 9."} in told["errors_linked"]
    depth = next(aspect for aspect in told["aspects"] if aspect["key"] == "depth")
    assert depth["errors"] == ["Rate both responses, or neither.", "Expected 1 to 5, got 9."]


def test_the_reference_is_shown_only_where_the_form_says_so(project: Project, client: Client) -> None:
    make_comparison(project, reference="the-reference-answer")
    assert "the-reference-answer" not in text(client.get(URL))
    Form.objects.update(show_reference=True)
    assert "the-reference-answer" in text(client.get(URL))


def test_a_justification_pasted_again_is_asked_about_once(project: Project, client: Client) -> None:
    pasted = "The left one names its sources."
    for _ in range(3):
        make_comparison(project)
    for _ in range(2):
        assert post(client, take(client).pk, choice="1", justification=pasted).status_code == 200
    pk, key = take(client).pk, str(uuid4())
    response = post(client, pk, key=key, choice="1", justification=pasted)
    assert response.status_code == 422
    body = text(response)
    assert "is the same as in 2 of your last 5 answers" in body
    assert 'name="confirm_repeat"' in body
    assert post(client, pk, key=key, choice="1", justification=pasted, confirm_repeat="1").status_code == 200
    assert Judgement.objects.count() == 3
    assert Event.objects.filter(verb="judgement.submitted", data__confirmed_repeat=True).count() == 1


def test_a_screen_of_a_form_and_texts_alone_reads_no_database() -> None:
    aspects = [{"key": "depth", "label": "Depth", "kind": "rating"}]
    told = screen.screen_of(Form(levels=2, aspects=aspects), prompt="Why?", left="one", right="two")
    assert [choice["value"] for choice in told["choices"]] == [-2, -1, 0, 1, 2]
    assert [rated["name"] for rated in told["aspects"][0]["rated"]] == ["rating_depth_left", "rating_depth_right"]
    assert not any(told[name] for name in screen.URLS)


# For the page's outbox


def test_a_script_is_told_what_was_stored_and_what_comes_next(project: Project, client: Client) -> None:
    for _ in range(2):
        make_comparison(project)
    pk = take(client).pk
    assert client.post(f"{URL}ahead/").status_code == 200
    ahead = Assignment.objects.get(status="ahead")
    response = client.post(f"{URL}{pk}/", {"key": str(uuid4()), "choice": "1"}, headers=JSON)
    judgement = Judgement.objects.get()
    assert response.status_code == 200
    assert response.json() == {
        "judgement": judgement.pk,
        "revise_url": f"/p/chat/previous/{judgement.pk}/",
        "undo_seconds": 10,
        "next": ahead.pk,
    }
    ahead.refresh_from_db()
    assert ahead.status == "leased"


def test_the_last_answer_has_no_next(project: Project, client: Client) -> None:
    make_comparison(project)
    response = client.post(f"{URL}{take(client).pk}/", {"key": str(uuid4()), "choice": "1"}, headers=JSON)
    assert response.json()["next"] is None


def test_the_same_key_again_is_told_the_same(project: Project, client: Client) -> None:
    make_comparison(project)
    pk, sent = take(client).pk, {"key": str(uuid4()), "choice": "1"}
    first, second = (client.post(f"{URL}{pk}/", sent, headers=JSON) for _ in range(2))
    assert first.json() == second.json()
    assert Judgement.objects.count() == 1


@pytest.mark.parametrize(
    ("sent", "status", "code", "fields"),
    [
        ({}, 422, "invalid", {"choice"}),
        ({"choice": "9", "aspect_tone": "9"}, 422, "invalid", {"choice", "aspect_tone"}),
        ({"choice": "left"}, 422, "invalid", {"choice"}),
        ({"choice": "1", "key": ""}, 422, "invalid", {"key"}),
    ],
)
def test_a_script_is_refused_by_field(
    project: Project, client: Client, sent: dict[str, str], status: int, code: str, fields: set[str]
) -> None:
    make_comparison(project)
    response = client.post(f"{URL}{take(client).pk}/", {"key": str(uuid4())} | sent, headers=JSON)
    told = response.json()
    assert (response.status_code, told["code"], set(told["errors"])) == (status, code, fields)
    assert told["message"]


def test_a_script_is_told_that_it_was_answered_in_another_tab(project: Project, client: Client) -> None:
    make_comparison(project)
    pk = take(client).pk
    post(client, pk, choice="1")
    response = client.post(f"{URL}{pk}/", {"key": str(uuid4()), "choice": "2"}, headers=JSON)
    assert (response.status_code, response.json()["code"]) == (409, "already_submitted")
    drafted = client.post(f"{URL}{pk}/draft/", {"choice": "2"}, headers=JSON)
    assert (drafted.status_code, drafted.json()["code"]) == (409, "already_submitted")


def test_a_lost_lease_told_to_a_script_keeps_the_answer(project: Project, client: Client) -> None:
    make_comparison(project)
    pk = take(client).pk
    Assignment.objects.update(expires_at=datetime(2000, 1, 1, tzinfo=UTC))
    assigning.reap(timezone.now())
    other = Client()
    other.force_login(make_member(project, Role.ANNOTATOR))
    take(other)
    sent = {"key": str(uuid4()), "choice": "1", "justification": "my long work"}
    response = client.post(f"{URL}{pk}/", sent, headers=JSON)
    assert (response.status_code, response.json()["code"]) == (409, "lease_lost")
    assert Assignment.objects.get(pk=pk).draft["justification"] == "my long work"


def test_who_was_signed_out_is_told_so_and_not_led_away(project: Project, client: Client) -> None:
    make_comparison(project)
    pk = take(client).pk
    response = Client().post(f"{URL}{pk}/", {"choice": "1"}, headers=JSON)
    assert (response.status_code, response.json()["code"]) == (401, "signed_out")


def test_a_skip_tells_a_script_what_comes_next(project: Project, client: Client) -> None:
    make_comparison(project)
    pk = take(client).pk
    refused = client.post(f"{URL}{pk}/skip/", headers=JSON)
    assert (refused.status_code, set(refused.json()["errors"])) == (422, {"skip_reason"})
    skipped = client.post(f"{URL}{pk}/skip/", {"skip_reason": "language"}, headers=JSON)
    assert skipped.json() == {"skipped": pk, "next": None}


# Fetching ahead and pausing


def test_what_comes_after_is_fetched_ahead_as_a_fragment(project: Project, client: Client) -> None:
    for _ in range(2):
        make_comparison(project)
    first = take(client)
    response = client.post(f"{URL}ahead/")
    ahead = Assignment.objects.get(status="ahead")
    assert ahead.comparison_id != first.comparison_id
    body = text(response)
    assert f"{URL}{ahead.pk}/" in body
    assert "<html" not in body
    assert response.context["position"]["judged"] == 1  # as it will be then
    assert text(client.post(f"{URL}ahead/")).count(f"{URL}{ahead.pk}/draft/") == 1  # again: the same one


def test_nothing_to_fetch_ahead_is_204(project: Project, client: Client) -> None:
    make_comparison(project)
    take(client)
    assert client.post(f"{URL}ahead/").status_code == 204
    Rater.objects.update(paused_at=timezone.now(), paused_because="ill")
    assert client.post(f"{URL}ahead/").status_code == 204


def test_pausing_gives_back_what_is_held_and_shows_the_session(project: Project, client: Client) -> None:
    for _ in range(3):
        make_comparison(project)
    post(client, take(client).pk, choice="1")
    held = take(client)
    post(client, held.pk, "draft/", justification="so far")
    client.post(f"{URL}ahead/")
    response = client.post(f"{URL}pause/")
    session = Session.objects.get()
    assert response["Location"] == f"/p/chat/sessions/{session.pk}/"
    assert session.ended_at is not None
    assert not Assignment.objects.filter(status__in=["leased", "ahead"]).exists()
    held.refresh_from_db()
    assert (held.status, held.draft["justification"]) == ("released", "so far")


def test_pausing_before_any_answer_leads_home(project: Project, client: Client) -> None:
    make_comparison(project)
    take(client)
    response = client.post(f"{URL}pause/", headers=HTMX)
    assert (response.status_code, response["HX-Redirect"]) == (200, "/")


# What comes before the next comparison


@pytest.mark.parametrize("gate", ["practice", "qualification"])
def test_what_is_due_first_is_where_one_is_led(project: Project, client: Client, gate: str) -> None:
    Form.objects.update(**{f"{gate}_size": 1})
    for _ in range(3):
        make_comparison(project, gold=1)
    make_comparison(project)
    assert client.get(URL)["Location"] == f"/p/chat/{gate}/"
    assert client.get(URL, headers=HTMX)["HX-Redirect"] == f"/p/chat/{gate}/"


def test_a_quota_that_is_reached_leads_to_the_session(project: Project, client: Client) -> None:
    Form.objects.update(session_quota=1)
    for _ in range(2):
        make_comparison(project)
    response = post(client, take(client).pk, choice="1")
    assert response["HX-Redirect"] == f"/p/chat/sessions/{Session.objects.get().pk}/"
    assert Judgement.objects.count() == 1


def test_a_paused_annotator_is_told_whom_to_ask(project: Project, client: Client, ada: User) -> None:
    make_member(project, Role.CURATOR, name="carol")
    make_member(project, Role.ANNOTATOR, name="bob")
    make_comparison(project)
    assigning.rater_for(project, ada)
    Rater.objects.update(paused_at=timezone.now(), paused_because="Please read the guidelines again.")
    for headers in ({}, HTMX):
        response = client.get(URL, headers=headers)
        assert response.status_code == 403
        assert "carol" in text(response)
        assert "bob" not in text(response)


def test_undo_is_offered_for_ten_seconds(project: Project, client: Client) -> None:
    for _ in range(2):
        make_comparison(project)
    told = post(client, take(client).pk, choice="1").context
    judgement = Judgement.objects.get()
    url = f"/p/chat/previous/{judgement.pk}/"
    assert (told["undo"]["url"], told["undo"]["judgement"], told["revise_url"]) == (url, judgement.pk, url)
    assert 0 < told["undo"]["seconds"] <= 10
    Judgement.objects.update(submitted_at=timezone.now() - timedelta(seconds=11))
    told = client.get(URL).context
    assert (told["undo"], told["revise_url"]) == (None, url)
    Form.objects.update(revise_minutes=0)
    Assignment.objects.filter(status="submitted").update(closed_at=timezone.now() - timedelta(seconds=11))
    assert client.get(URL).context["revise_url"] == ""


# Flags and comments


def test_a_flag_is_raised_and_the_comparison_stays(project: Project, client: Client) -> None:
    make_comparison(project)
    pk = take(client).pk
    response = post(client, pk, "flag/", kind="broken", note="cut off")
    assert response.status_code == 200
    assert "a curator will look at it" in text(response)
    flag = Flag.objects.get()
    assert (flag.kind, flag.note) == ("broken", "cut off")
    assert Assignment.objects.get(pk=pk).status == "leased"


def test_a_flag_or_comment_without_scripts_keeps_what_was_typed(project: Project, client: Client) -> None:
    make_comparison(project)
    assignment = take(client)
    response = post(client, assignment.pk, "flag/", htmx=False, kind="broken", choice="2", justification="so far")
    assert (response.status_code, response["Location"]) == (302, URL)
    response = post(client, assignment.pk, "comment/", htmx=False, text="Odd.", choice="2", justification="so far")
    assert response["Location"] == URL
    assignment.refresh_from_db()
    assert (assignment.draft["choice"], assignment.draft["justification"]) == (2, "so far")
    assert "Your comment is with the curators." in text(client.get(URL))


def test_a_comment_is_with_the_curators(project: Project, client: Client, ada: User) -> None:
    make_comparison(project)
    response = client.post(f"{URL}{take(client).pk}/comment/", {"text": "Both cite the same."}, headers=JSON)
    comment = Comment.objects.get()
    assert response.json() == {"comment": comment.pk}
    assert (comment.text, comment.author) == ("Both cite the same.", ada)


@pytest.mark.parametrize(("act", "sent"), [("flag", {"kind": "boring"}), ("comment", {"text": " "})])
def test_a_flag_or_comment_that_says_nothing_is_refused(
    project: Project, client: Client, act: str, sent: dict[str, str]
) -> None:
    make_comparison(project)
    url = f"{URL}{take(client).pk}/{act}/"
    assert client.post(url, sent, headers=HTMX).status_code == 422
    told = client.post(url, sent, headers=JSON)
    assert (told.status_code, set(told.json()["errors"])) == (422, set(sent))
    assert client.post(url, sent, follow=True).redirect_chain == [(URL, 302)]
    assert not Flag.objects.exists()
    assert not Comment.objects.exists()


def test_what_another_holds_can_be_neither_flagged_nor_commented(project: Project, client: Client) -> None:
    make_comparison(project)
    pk = take(client).pk
    other = Client()
    other.force_login(make_member(project, Role.OWNER))
    assert post(other, pk, "flag/", kind="broken").status_code == 404
    assert post(other, pk, "comment/", text="mine").status_code == 404


def test_no_page_of_the_screen_shows_what_others_said(project: Project, client: Client) -> None:
    Form.objects.update(overlap=3)
    comparison = make_comparison(project, overlap=3)
    other = make_rater(project, "other-annotator")
    make_judgement(comparison, other, 1, justification="others-justification", reasons=["facts"])
    Comment.objects.create(project=project, comparison=comparison, author=make_user("other-author"), text="others-say")
    make_comparison(project)
    pk = take(client).pk
    pages = [
        client.get(URL),
        client.post(f"{URL}ahead/"),
        client.get("/p/chat/previous/"),
        post(client, pk, choice="9"),
    ]
    for response in pages:
        for hidden in ("others-", "other-annotator", "other-author"):
            assert hidden not in text(response)

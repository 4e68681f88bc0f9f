"""The annotator's pages, without a browser: what is shown, what a post does, with htmx and without."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from html import unescape
from typing import Any
from uuid import uuid4

import pytest
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone

from annotate import views
from annotate.models import Assignment, Comparison, Criterion, Form, Judgement, Rater, Rubric
from annotate.services import assigning
from tests.build import make_comparison, make_member, make_project, make_user
from tiebreak.accounts.models import Project, User
from tiebreak.accounts.roles import Role

pytestmark = pytest.mark.django_db

HTMX = {"HX-Request": "true"}
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
    choices = views.choices(Form(levels=levels, allow_tie=tie))
    assert [(choice["value"], choice["label"]) for choice in choices] == expected
    assert [choice["key"] for choice in choices] == [str(n) for n in range(1, len(expected) + 1)]


# Answering


def test_an_answer_is_stored_and_the_next_is_shown_at_once(project: Project, client: Client) -> None:
    make_comparison(project)
    make_comparison(project)
    first = take(client)
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

"""The pages around the comparing screen: previous answers and changing them, the guidelines, one's own keys."""

from __future__ import annotations

import re
from datetime import timedelta
from html import unescape
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone

from annotate import keys
from annotate.models import Assignment, Form, Judgement, Rater, Review
from annotate.services import assigning, projects
from tests.build import make_comparison, make_judgement, make_member, make_project, make_rater
from tiebreak.accounts.models import Project, User
from tiebreak.accounts.roles import Role
from tiebreak.core.models import Event

pytestmark = pytest.mark.django_db

HTMX = {"HX-Request": "true"}
JSON = {"Accept": "application/json"}
URL = "/p/chat/previous/"


@pytest.fixture
def project() -> Project:
    return make_project("chat", overlap=2, reasons=["facts"], aspects=[{"key": "tone", "label": "Tone"}])


@pytest.fixture
def ada(project: Project) -> User:
    return make_member(project, Role.ANNOTATOR, name="ada")


@pytest.fixture
def client(ada: User) -> Client:
    client = Client()
    client.force_login(ada)
    return client


@pytest.fixture
def rater(project: Project, ada: User) -> Rater:
    return assigning.rater_for(project, ada)


def text(response: HttpResponse) -> str:
    return unescape(response.content.decode())


def said(rater: Rater, preference: int | None = 2, *, prompt: str = "", **fields: Any) -> Judgement:
    """An answer of the rater, given with b on the left."""
    comparison = make_comparison(rater.project, prompt=prompt, a="Rayleigh scattering.", b="It mirrors the sea.")
    fields = {"order": "ba", "form": Form.objects.get(project=rater.project), "submitted_at": timezone.now()} | fields
    return make_judgement(comparison, rater, preference, **fields)


def change(client: Client, pk: int, *, headers: dict[str, str] | None = None, **fields: Any) -> Any:
    return client.post(f"{URL}{pk}/", {"key": str(uuid4())} | fields, headers=headers or HTMX)


# The list


def test_my_last_answers_are_listed_in_the_words_that_i_used(client: Client, rater: Rater) -> None:
    # b stood left and 2 favours b: I said that A, the left one, is better by two of three levels.
    judgement = said(rater, 2, prompt="Why is the sky blue?", justification="It knows.")
    shown = text(client.get(URL))
    assert "Why is the sky blue?" in shown
    assert "A is better" in shown
    assert "It knows." in shown
    assert f"{URL}{judgement.pk}/" in shown


def test_both_bad_and_a_tie_are_told_as_such(client: Client, rater: Rater) -> None:
    said(rater, None, both_bad=True)
    said(rater, 0)
    shown = text(client.get(URL))
    assert "Both bad" in shown
    assert "Tie" in shown


def test_the_list_holds_twenty_and_nobody_elses(client: Client, rater: Rater, project: Project) -> None:
    for number in range(21):
        said(rater, prompt=f"prompt {number:02}", submitted_at=timezone.now() - timedelta(minutes=number))
    said(make_rater(project), prompt="another's prompt")
    shown = text(client.get(URL))
    assert "prompt 00" in shown
    assert "prompt 19" in shown
    assert "prompt 20" not in shown
    assert "another's" not in shown


def test_the_list_does_not_tell_what_measured_me(client: Client, rater: Rater) -> None:
    comparison = make_comparison(rater.project, prompt="a hidden one", gold=1, gold_because="known-because")
    gold = Assignment.objects.create(
        comparison=comparison, rater=rater, order="ab", status="submitted", purpose="gold"
    )  # fmt: skip
    Judgement.objects.create(comparison=comparison, rater=rater, assignment=gold, preference=1, order="ab")
    shown = text(client.get(URL))
    assert "a hidden one" in shown
    for hidden in ("gold", "known-because"):
        assert hidden not in shown


def test_an_answer_whose_time_is_over_is_listed_as_closed(client: Client, rater: Rater) -> None:
    judgement = said(rater, submitted_at=timezone.now() - timedelta(minutes=61))
    shown = text(client.get(URL))
    assert "closed" in shown
    assert f"{URL}{judgement.pk}/" not in shown
    response = client.get(f"{URL}{judgement.pk}/", follow=True)
    assert "can no longer be changed" in text(response)


def test_what_was_returned_stands_first_with_who_and_why_and_stays_open(client: Client, rater: Rater) -> None:
    old = said(rater, prompt="old one", submitted_at=timezone.now() - timedelta(days=3))
    said(rater, prompt="new one")
    carol = make_member(rater.project, Role.ADJUDICATOR, name="carol")
    Review.objects.create(judgement=old, verdict="returned", reason="Read the context again.", by=carol)
    shown = text(client.get(URL))
    assert shown.index("Returned by carol") < shown.index("new one")
    assert shown.count("old one") <= shown.count("new one") + 1  # it is not listed a second time below
    assert "Read the context again." in shown
    assert f"{URL}{old.pk}/" in shown
    assert "Read the context again." in text(client.get(f"{URL}{old.pk}/"))


def test_no_answers_yet_says_what_to_do(client: Client, rater: Rater) -> None:
    shown = text(client.get(URL))
    assert "No answers yet" in shown
    assert "/p/chat/compare/" in shown


# Changing one


def test_an_answer_opens_again_as_it_was_said_in_the_order_that_was_seen(client: Client, rater: Rater) -> None:
    judgement = said(rater, 2, aspects={"tone": -1}, reasons=["facts"], justification="It knows.")
    shown = text(client.get(f"{URL}{judgement.pk}/"))
    assert shown.index("It mirrors") < shown.index("Rayleigh")
    assert re.search(r'name="choice" value="-2"[^>]* checked', shown)
    assert re.search(r'name="aspect_tone" value="1"[^>]* checked', shown)
    assert re.search(r'value="facts"[^>]* checked', shown)
    assert ">It knows.</textarea>" in shown
    assert "/skip/" not in shown
    assert "/draft/" not in shown


def test_a_changed_answer_is_a_new_revision_and_the_old_one_stays(client: Client, rater: Rater) -> None:
    judgement = said(rater, 2)
    response = change(client, judgement.pk, choice="1", justification="On second thought.")
    assert response.status_code == 200
    assert response["HX-Push-Url"] == "/p/chat/compare/"
    new = Judgement.objects.get(current=True)
    assert (new.revision, new.preference, new.order) == (2, -1, "ba")
    judgement.refresh_from_db()
    assert (judgement.current, judgement.preference) == (False, 2)
    assert Event.objects.filter(verb="judgement.revised", target_id=str(new.pk)).exists()


def test_without_scripts_a_changed_answer_leads_back_to_comparing(client: Client, rater: Rater) -> None:
    response = client.post(f"{URL}{said(rater).pk}/", {"key": str(uuid4()), "choice": "1"})
    assert (response.status_code, response["Location"]) == (302, "/p/chat/compare/")


def test_a_script_is_told_the_new_revision(client: Client, rater: Rater) -> None:
    response = change(client, said(rater).pk, headers=JSON, choice="1")
    new = Judgement.objects.get(current=True)
    assert response.json()["judgement"] == new.pk
    assert response.json()["revise_url"] == f"{URL}{new.pk}/"


def test_a_second_click_is_one_revision(client: Client, rater: Rater) -> None:
    judgement = said(rater, 2)
    for _ in range(2):
        assert change(client, judgement.pk, choice="1").status_code == 200
    assert Judgement.objects.count() == 2


def test_saying_the_same_again_makes_no_revision(client: Client, rater: Rater) -> None:
    assert change(client, said(rater, 2).pk, choice="-2").status_code == 200
    assert Judgement.objects.count() == 1


def test_saying_the_same_answers_what_was_returned(client: Client, rater: Rater) -> None:
    judgement = said(rater, 2)
    carol = make_member(rater.project, Role.ADJUDICATOR)
    review = Review.objects.create(judgement=judgement, verdict="returned", reason="Sure?", by=carol)
    assert change(client, judgement.pk, choice="-2", justification="Sure.").status_code == 200
    review.refresh_from_db()
    assert review.answered_at is not None
    assert "Sure?" not in text(client.get(URL))


def test_another_change_of_an_older_revision_is_a_conflict_that_keeps_what_was_typed(
    client: Client, rater: Rater
) -> None:
    judgement = said(rater, 2)
    change(client, judgement.pk, choice="1")
    response = change(client, judgement.pk, choice="3", justification="my long work")
    assert response.status_code == 409
    assert ">my long work</textarea>" in text(response)
    assert Judgement.objects.get(current=True).preference == -1


def test_an_older_revision_leads_to_the_current_one(client: Client, rater: Rater) -> None:
    judgement = said(rater, 2)
    change(client, judgement.pk, choice="1")
    response = client.get(f"{URL}{judgement.pk}/")
    assert response["Location"] == f"{URL}{Judgement.objects.get(current=True).pk}/"


def test_a_refused_change_comes_back_as_it_was_typed(client: Client, rater: Rater) -> None:
    judgement = said(rater, 2)
    response = change(client, judgement.pk, choice="9", aspect_tone="1", justification="still here")
    assert response.status_code == 422
    body = text(response)
    assert "got 9" in body
    assert ">still here</textarea>" in body
    assert f'action="{URL}{judgement.pk}/"' in body
    assert Judgement.objects.count() == 1


def test_a_change_after_its_time_is_refused(client: Client, rater: Rater) -> None:
    judgement = said(rater, 2, submitted_at=timezone.now() - timedelta(minutes=61))
    response = change(client, judgement.pk, headers=JSON, choice="1")
    assert (response.status_code, response.json()["code"]) == (409, "too_late")
    assert Judgement.objects.count() == 1


def test_what_another_said_cannot_be_opened_or_changed(client: Client, rater: Rater, project: Project) -> None:
    bob = assigning.rater_for(project, make_member(project))
    for judgement in (said(bob), said(make_rater(project))):
        assert client.get(f"{URL}{judgement.pk}/").status_code == 404
        assert change(client, judgement.pk, choice="1").status_code == 404
    elsewhere = make_project("elsewhere")
    assert client.get(f"/p/elsewhere/previous/{said(make_rater(elsewhere)).pk}/").status_code == 404
    assert Judgement.objects.filter(current=False).count() == 0


def test_the_list_costs_a_bounded_number_of_queries(
    client: Client, rater: Rater, django_assert_max_num_queries: Any
) -> None:
    for _ in range(20):
        said(rater)
    with django_assert_max_num_queries(20):
        client.get(URL)


# Guidelines

GUIDELINES = "/p/chat/guidelines/"


def write(project: Project, words: str) -> None:
    owner = project.members.filter(role=Role.OWNER).first()
    by = owner.user if owner else make_member(project, Role.OWNER, name="olga")
    projects.change_form(project, by=by, guidelines=words)


def test_the_guidelines_are_read_and_marked_as_read(client: Client, rater: Rater, project: Project) -> None:
    write(project, "Prefer **facts**.")
    shown = text(client.get(GUIDELINES))
    assert "<strong>facts</strong>" in shown
    assert "I have read them" in shown
    version = Form.objects.get(current=True).guidelines_version
    assert client.post(GUIDELINES, {"version": version})["Location"] == "/p/chat/compare/"
    rater.refresh_from_db()
    assert rater.read_guidelines == version
    assert Event.objects.filter(verb="guidelines.read", target_id=str(rater.pk)).exists()
    assert "I have read them" not in text(client.get(GUIDELINES))


def test_what_changed_since_i_read_them_is_shown_word_by_word(client: Client, rater: Rater, project: Project) -> None:
    write(project, "Be kind to all.")
    Rater.objects.update(read_guidelines=Form.objects.get(current=True).guidelines_version)
    write(project, "Be strict to all.")
    shown = text(client.get(GUIDELINES))
    assert "<del>kind</del><ins>strict</ins>" in shown
    assert "Earlier versions" in shown
    assert "olga" in shown


def test_the_screen_tells_that_the_guidelines_changed_until_they_are_read(
    client: Client, rater: Rater, project: Project
) -> None:
    Rater.objects.update(read_guidelines=Form.objects.get().guidelines_version)
    write(project, "Be kind.")
    make_comparison(project)
    assert "olga" in text(client.get("/p/chat/compare/"))
    version = Form.objects.get(current=True).guidelines_version
    assert client.post(GUIDELINES, {"version": version}, headers=HTMX).status_code == 204
    assert "olga" not in text(client.get("/p/chat/compare/"))


def test_marking_an_older_version_changes_nothing(client: Client, rater: Rater, project: Project) -> None:
    write(project, "one")
    old = Form.objects.get(current=True).guidelines_version
    write(project, "two")
    Rater.objects.update(read_guidelines=old + 1)
    client.post(GUIDELINES, {"version": old})
    assert Rater.objects.get().read_guidelines == old + 1
    assert not Event.objects.filter(verb="guidelines.read").exists()


@pytest.mark.parametrize("version", ["", "99", "two", "-1", "9" * 30])
def test_a_version_that_is_none_is_refused(client: Client, rater: Rater, version: str) -> None:
    assert client.post(GUIDELINES, {"version": version}).status_code == 422


def test_a_viewer_reads_the_guidelines_and_has_nothing_to_mark(project: Project) -> None:
    write(project, "Be kind.")
    client = Client()
    client.force_login(make_member(project, Role.VIEWER))
    assert "I have read them" not in text(client.get(GUIDELINES))
    assert client.post(GUIDELINES, {"version": 1}).status_code == 403
    assert not Rater.objects.exists()


def test_no_guidelines_yet_says_who_writes_them(client: Client, project: Project) -> None:
    assert "no guidelines yet" in text(client.get(GUIDELINES))


def test_markup_in_guidelines_and_their_changes_is_not_run(client: Client, rater: Rater, project: Project) -> None:
    write(project, "one")
    Rater.objects.update(read_guidelines=Form.objects.get(current=True).guidelines_version)
    write(project, "one <script>alert(1)</script>")
    assert "<script>alert" not in client.get(GUIDELINES).content.decode()


# Keys


def typed(**chosen: str) -> dict[str, str]:
    return keys.DEFAULTS | chosen


def test_every_default_is_a_key_that_may_be_chosen_and_none_clashes() -> None:
    assert keys.read(keys.DEFAULTS) == (dict(keys.DEFAULTS), {})


def test_my_keys_are_kept_and_used_on_the_screen(client: Client, ada: User, project: Project) -> None:
    assert client.post("/keys/", typed(diff="W", flag="F2"))["Location"] == "/keys/"
    ada.refresh_from_db()
    assert ada.keys == {"diff": "w", "flag": "F2"}  # only what differs from the defaults
    make_comparison(project)
    assert '"diff": "w"' in text(client.get("/p/chat/compare/"))


def test_a_clash_is_refused_and_names_both(client: Client, ada: User) -> None:
    response = client.post("/keys/", typed(diff="f"))
    assert response.status_code == 422
    shown = text(response)
    assert "“f” is also the key of: Flag a problem." in shown
    assert "“f” is also the key of: Show the differences word by word." in shown
    assert re.search(r'name="diff" value="f"', shown)  # as it was typed
    ada.refresh_from_db()
    assert ada.keys == {}


@pytest.mark.parametrize("key", ["", " ", "ab", "Tab", "Escape", "Enter", "\t", "Ctrl+w", "F5", "\u200b" * 2, "\ud800"])
def test_what_is_no_key_is_refused(key: str) -> None:
    assert "diff" in keys.read(typed(diff=key))[1]


@pytest.mark.parametrize(
    ("key", "kept"), [("W", "w"), ("ctrl+ENTER", "Ctrl+Enter"), (" ü ", "ü"), ("я", "я"), ("F2", "F2")]
)
def test_a_key_is_kept_as_the_browser_names_it(key: str, kept: str) -> None:
    chosen, errors = keys.read(typed(diff=key, submit="Alt+Enter"))
    assert (chosen["diff"], errors) == (kept, {})


def test_two_keys_may_change_places() -> None:
    assert keys.read(typed(diff="s", scroll="d"))[1] == {}


def test_the_defaults_come_back_at_once(client: Client, ada: User) -> None:
    User.objects.update(keys={"diff": "w"})
    client.post("/keys/", typed(diff="f", reset="1"))
    ada.refresh_from_db()
    assert ada.keys == {}


def test_an_action_that_is_no_more_is_left_out_of_the_keymap() -> None:
    assert "gone" not in keys.keymap({"gone": "x", "diff": "w"})
    assert keys.keymap({"diff": "w"})["diff"] == "w"


def test_the_documentation_tells_every_default() -> None:
    told = (settings.BASE_DIR / "docs" / "annotating.md").read_text()
    table = told.split("### Keys")[1].split("## Programs")[0]
    named = set(re.findall(r"`([^`]+)`", table))
    assert named | {str(number) for number in range(2, 7)} == set(keys.DEFAULTS.values())

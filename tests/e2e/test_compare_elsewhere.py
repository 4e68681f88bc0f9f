"""The same person elsewhere: in a second tab, on another device, after the lease was lost, and without scripts."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from playwright.sync_api import Browser, expect

from annotate.models import Assignment, Comparison, Judgement
from annotate.services import assigning
from tests.build import make_member
from tiebreak.accounts.roles import Role

from .stage import enter, eventually, small_project

pytestmark = [pytest.mark.e2e, pytest.mark.django_db(transaction=True)]


def test_a_second_tab_goes_on_when_the_first_has_answered(browser: Browser, live_server: Any) -> None:
    _, ada = small_project(3)
    first = enter(browser, live_server, ada).open().fetched_ahead()
    second = first.another_tab().open().fetched_ahead()
    shown = first.assignment
    assert second.assignment == shown
    second.press("6")
    first.press("2", "Control+Enter")
    expect(second.page.locator("#said")).to_contain_text("You answered this comparison in another tab.")
    expect(second.page.locator(f'#comparison[data-assignment="{shown}"]')).to_have_count(0)
    second.ready()
    assert second.assignment == first.assignment
    assert Judgement.objects.count() == 1
    second.leave()


def test_two_tabs_that_submit_at_once_make_one_judgement(browser: Browser, live_server: Any) -> None:
    _, ada = small_project(4)
    first = enter(browser, live_server, ada).open().fetched_ahead()
    second = first.another_tab().open().fetched_ahead()
    # The tabs cannot hear each other: what holds then is the server's own refusal.
    second.page.evaluate("BroadcastChannel.prototype.postMessage = () => {}")
    first.page.evaluate("BroadcastChannel.prototype.postMessage = () => {}")
    shown = first.assignment
    first.press("2", "Control+Enter")
    second.press("6", "Control+Enter")
    eventually(first.page, lambda: Judgement.objects.count() == 1, "one arrives")
    eventually(second.page, lambda: not second.page.evaluate("localStorage.length"), "the outbox is empty")
    assert Judgement.objects.get().assignment_id == shown
    second.ready()
    assert second.assignment != shown
    second.leave()


def test_a_draft_is_there_on_another_device(browser: Browser, live_server: Any) -> None:
    _, ada = small_project(2, reasons=["facts", "style"])
    here = enter(browser, live_server, ada).open()
    here.press("3", "j")
    here.page.keyboard.type("Half a thought")
    here.page.locator('input[name=reasons][value="style"]').check(force=True)
    held = Assignment.objects.filter(pk=here.assignment)
    eventually(here.page, lambda: held.get().draft.get("justification") == "Half a thought", "the draft is kept")
    there = enter(browser, live_server, ada).open()
    assert there.assignment == here.assignment
    expect(there.page.locator('input[name=choice][value="-1"]')).to_be_checked()
    expect(there.page.locator("#justification")).to_have_value("Half a thought")
    expect(there.page.locator('input[name=reasons][value="style"]')).to_be_checked()
    here.leave()
    there.leave()


def test_work_whose_lease_was_lost_is_kept_and_its_author_told(browser: Browser, live_server: Any) -> None:
    project, ada = small_project(1)
    visitor = enter(browser, live_server, ada)
    with visitor.page.expect_response("**/ahead/"):
        visitor.open()
    # The lease lapsed and was reaped; somebody else has answered in the only seat.
    lost = Assignment.objects.get(pk=visitor.assignment)
    assert assigning.reap(timezone.now() + timedelta(hours=2)) == 1
    bob = make_member(project, Role.ANNOTATOR, name="bob")
    other = enter(browser, live_server, bob).open()
    other.press("4", "Control+Enter")
    eventually(other.page, lambda: Judgement.objects.count() == 1, "bob answers")
    visitor.press("2", "j")
    visitor.page.keyboard.type("What I thought of it.")
    visitor.press("Control+Enter")
    expect(visitor.page.get_by_role("alert").filter(has_text="What you wrote is kept.")).to_be_visible()
    expect(visitor.page.locator("#justification")).to_have_value("What I thought of it.")
    expect(visitor.page.get_by_role("link", name="Go on to the next comparison")).to_be_visible()
    lost.refresh_from_db()
    assert lost.draft["justification"] == "What I thought of it."
    assert Judgement.objects.get().rater.user == bob
    assert Comparison.objects.get().seats_taken == 1
    other.leave()
    visitor.leave()


def test_an_answer_in_mid_outbox_whose_lease_was_lost_comes_back(browser: Browser, live_server: Any) -> None:
    _, ada = small_project(2)
    visitor = enter(browser, live_server, ada).open().fetched_ahead()
    first = visitor.assignment
    visitor.context.set_offline(True)
    visitor.press("2", "j")
    visitor.page.keyboard.type("Said off line.")
    visitor.press("Escape", "Control+Enter").ready()
    visitor.press("5")
    lost = Assignment.objects.get(pk=first)
    Assignment.objects.filter(pk=first).update(status="expired", expires_at=None, closed_at=timezone.now())
    Comparison.objects.filter(pk=lost.comparison_id).update(status="withdrawn")
    visitor.context.set_offline(False)
    expect(visitor.page.locator(f'#comparison[data-assignment="{first}"]')).to_be_visible()
    expect(visitor.page.locator("#justification")).to_have_value("Said off line.")
    expect(visitor.page.get_by_role("alert").filter(has_text="What you wrote is kept.")).to_be_visible()
    assert Judgement.objects.count() == 0
    visitor.leave()


def test_the_line_breaks_in_mid_submit_without_a_comparison_ahead(browser: Browser, live_server: Any) -> None:
    _, ada = small_project(1)
    visitor = enter(browser, live_server, ada).open()
    # The server has the answer, but the reply is lost: the same key again is the same judgement.
    lost_replies = iter([True])

    def lose(route: Any) -> None:
        if next(lost_replies, False):
            route.fetch()
            route.abort()
        else:
            route.continue_()

    visitor.page.route("**/compare/*/", lose)
    visitor.press("2", "Control+Enter")
    expect(visitor.page.get_by_role("heading", name="Nothing left to compare")).to_be_visible()
    assert Judgement.objects.count() == 1
    visitor.leave()


def test_previous_answers_are_reopened_and_changed(browser: Browser, live_server: Any) -> None:
    _, ada = small_project(3)
    visitor = enter(browser, live_server, ada).open().fetched_ahead()
    visitor.press("2", "Control+Enter")
    eventually(visitor.page, lambda: Judgement.objects.count() == 1, "the answer arrives")
    visitor.ready().press("p")
    expect(visitor.page).to_have_url(f"{live_server.url}/p/chat/previous/")
    visitor.page.locator("main a[href*='/previous/']").first.click()
    expect(visitor.page.locator('input[name=choice][value="-2"]')).to_be_checked()
    visitor.ready().press("7", "Control+Enter")
    eventually(visitor.page, lambda: Judgement.objects.filter(revision=2).count() == 1, "the revision is stored")
    visitor.leave()


def test_the_screen_works_without_scripts(browser: Browser, live_server: Any) -> None:
    _, ada = small_project(2, reasons=["facts"], guidelines="Be *fair*.")
    visitor = enter(browser, live_server, ada, java_script_enabled=False)
    page = visitor.page
    page.goto("/p/chat/compare/")
    action = visitor.action
    page.get_by_role("button", name="Guidelines").click()  # a popover needs no script
    expect(page.locator("#guidelines")).to_be_visible()
    page.locator("#guidelines").get_by_role("button", name="Close").click()
    page.get_by_role("button", name="Flag").click()
    page.get_by_role("button", name="Send the flag").click()
    expect(page.get_by_text("Flagged")).to_be_visible()
    assert visitor.action == action
    page.locator('input[name=choice][value="0"]').check(force=True)
    page.get_by_role("button", name="Submit").click()
    expect(page.locator("#answer")).not_to_have_attribute("action", action)
    assert Judgement.objects.get().preference == 0
    page.locator(".skip-menu summary").click()
    page.get_by_role("button", name="Skip it").click()
    expect(page.get_by_role("heading", name="Nothing left to compare")).to_be_visible()
    page.context.close()


def test_an_answer_taken_back_after_it_had_arrived_is_not_lost_in_silence(browser: Browser, live_server: Any) -> None:
    _, ada = small_project(3)
    visitor = enter(browser, live_server, ada).open().fetched_ahead()

    def lose(route: Any) -> None:
        route.fetch()  # the server takes the answer, and its reply never comes
        route.abort()

    visitor.page.route("**/compare/*/", lose)
    visitor.press("2", "Control+Enter")
    eventually(visitor.page, lambda: Judgement.objects.count() == 1, "the server has it")
    expect(visitor.page.locator("#unsent")).to_contain_text("Waiting to be sent")
    visitor.press("z")
    expect(visitor.page.locator('input[name=choice][value="-2"]')).to_be_checked()
    visitor.page.unroute("**/compare/*/")
    visitor.press("6", "Control+Enter")
    expect(visitor.page.locator("#said")).to_contain_text("Your first answer to it had arrived")
    expect(visitor.page.locator("#said").get_by_role("link", name="Previous answers")).to_be_visible()
    assert Judgement.objects.count() == 1
    visitor.leave()


def test_what_another_tab_sends_for_this_one_is_heard_here(browser: Browser, live_server: Any) -> None:
    _, ada = small_project(4)
    first = enter(browser, live_server, ada).open().fetched_ahead()
    shown = first.assignment
    answers = re.compile(r"/compare/\d+/$")
    first.page.route(answers, lambda route: route.abort())  # this tab's line is down, the other one's is not
    first.press("2", "Control+Enter")
    expect(first.page.locator("#unsent")).to_contain_text("Waiting to be sent")
    second = first.another_tab().open()
    eventually(second.page, lambda: Judgement.objects.count() == 1, "the other tab sends it")
    expect(first.page.locator("#unsent")).to_be_hidden()
    first.fetched_ahead()
    assert Judgement.objects.get().assignment_id == shown
    second.ready()
    eventually(second.page, lambda: second.assignment == first.assignment, "both stand at the same comparison")
    second.leave()

"""From one comparison to the next: fetched ahead, shown at once, its answer sent by way of the outbox."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from playwright.sync_api import Browser, expect

from annotate.models import Assignment, Comparison, Judgement

from .stage import enter, eventually, sign_in_as, small_project

pytestmark = [pytest.mark.e2e, pytest.mark.django_db(transaction=True)]


def test_the_next_comparison_is_there_at_once(browser: Browser, live_server: Any) -> None:
    _, ada = small_project(4)
    visitor = enter(browser, live_server, ada).open()
    for _ in range(3):
        visitor.fetched_ahead()
        ahead = visitor.page.locator("#comparison").get_attribute("data-ready")
        visitor.press("2", "Control+Enter")
        assert str(visitor.assignment) == ahead  # no wait: it was there before the answer was sent
        visitor.ready()
    eventually(visitor.page, lambda: Judgement.objects.count() == 3, "three answers arrive")
    took = visitor.page.evaluate("performance.getEntriesByType('measure').map((one) => one.duration)")
    print("ms from submit to the next comparison:", [round(ms, 1) for ms in took])
    assert len(took) == 3
    assert set(Judgement.objects.values_list("preference", flat=True)) <= {-2, 2}
    assert visitor.wrong == []
    visitor.leave()


def test_answers_given_off_line_wait_and_are_judged_once_each(browser: Browser, live_server: Any) -> None:
    _, ada = small_project(4)
    visitor = enter(browser, live_server, ada).open().fetched_ahead()
    first = visitor.assignment
    visitor.context.set_offline(True)
    visitor.press("2", "Control+Enter")
    second = visitor.assignment
    assert second != first
    expect(visitor.page.locator("#unsent")).to_contain_text("Waiting to be sent: 1.")
    visitor.ready().press("6", "Control+Enter")  # nothing was fetched ahead of this one: it stays, and waits
    expect(visitor.page.locator("#unsent")).to_contain_text("The next comparison follows then.")
    expect(visitor.page.locator("#comparison[inert]")).to_be_visible()
    assert Judgement.objects.count() == 0
    visitor.context.set_offline(False)
    eventually(visitor.page, lambda: Judgement.objects.count() == 2, "both answers arrive")
    expect(visitor.page.locator(f'#comparison[data-assignment="{second}"]')).to_have_count(0)
    expect(visitor.page.locator("#unsent")).to_be_hidden()
    said = {j.assignment_id: (j.order, j.preference) for j in Judgement.objects.all()}
    assert {pk: p if order == "ab" else -p for pk, (order, p) in said.items()} == {first: -2, second: 2}
    visitor.leave()


def test_a_reload_while_the_line_is_down_loses_nothing(browser: Browser, live_server: Any) -> None:
    _, ada = small_project(3)
    visitor = enter(browser, live_server, ada).open().fetched_ahead()
    first = visitor.assignment
    visitor.page.route("**/compare/*/", lambda route: route.abort())  # answers do not get through, pages do
    visitor.press("2", "Control+Enter").ready()
    visitor.page.reload()
    # The server still holds the first one; its answer lies in the outbox, so it is not asked again.
    expect(visitor.page.locator(f'#comparison[inert][data-assignment="{first}"]')).to_be_visible()
    assert Judgement.objects.count() == 0
    visitor.page.unroute("**/compare/*/")
    visitor.page.evaluate("window.dispatchEvent(new Event('online'))")
    expect(visitor.page.locator(f'#comparison[data-assignment="{first}"]')).to_have_count(0)
    visitor.ready()
    assert Judgement.objects.get().assignment_id == first
    visitor.leave()


def test_an_answer_that_is_submitted_twice_is_judged_once(browser: Browser, live_server: Any) -> None:
    _, ada = small_project(3)
    visitor = enter(browser, live_server, ada).open().fetched_ahead()
    visitor.press("2", "Control+Enter", "Control+Enter", "Control+Enter")
    eventually(visitor.page, lambda: Judgement.objects.count() == 1, "one answer arrives")
    visitor.page.wait_for_timeout(300)
    assert Judgement.objects.count() == 1
    assert Assignment.objects.filter(status=Assignment.Status.LEASED).count() == 1
    visitor.leave()


def test_a_refused_answer_comes_back_with_what_was_typed_and_why(browser: Browser, live_server: Any) -> None:
    _, ada = small_project(3, justification="optional", min_justification=30)
    visitor = enter(browser, live_server, ada).open().fetched_ahead()
    first, page = visitor.assignment, visitor.page
    visitor.press("2", "j")
    page.keyboard.type("too short")
    visitor.press("Control+Enter")
    expect(page.locator(f'#comparison[data-assignment="{first}"]')).to_be_visible()
    problem = page.get_by_role("alert").filter(has_text="At least 30 characters")
    expect(problem).to_be_visible()
    expect(page.locator("#justification")).to_have_value("too short")
    expect(page.locator("#at-justification .wrong")).to_contain_text("At least 30 characters")
    expect(page.locator('input[name=choice][value="-2"]')).to_be_checked()
    assert Judgement.objects.count() == 0
    page.locator("#justification").fill("long enough to be taken by the server this time")
    visitor.press("Control+Enter")
    eventually(page, lambda: Judgement.objects.count() == 1, "the mended answer arrives")
    assert Judgement.objects.get().assignment_id == first
    visitor.leave()


def test_an_answer_of_who_was_signed_out_waits_until_they_sign_in(browser: Browser, live_server: Any) -> None:
    _, ada = small_project(3)
    visitor = enter(browser, live_server, ada).open().fetched_ahead()
    visitor.context.clear_cookies(name="sessionid")
    visitor.press("2", "Control+Enter")
    told = visitor.page.locator("#unsent")
    expect(told).to_contain_text("You are signed out.")
    expect(told.get_by_role("link", name="Sign in")).to_be_visible()
    assert Judgement.objects.count() == 0
    client = Client()
    client.force_login(ada)
    sign_in_as(visitor.context, client, live_server)
    visitor.page.evaluate("window.dispatchEvent(new Event('focus'))")
    eventually(visitor.page, lambda: Judgement.objects.count() == 1, "the answer arrives")
    expect(told).to_be_hidden()
    visitor.leave()


def test_undo_takes_an_answer_back_before_it_was_sent_and_opens_it_after(browser: Browser, live_server: Any) -> None:
    _, ada = small_project(3)
    visitor = enter(browser, live_server, ada).open().fetched_ahead()
    first, page = visitor.assignment, visitor.page
    visitor.context.set_offline(True)
    visitor.press("2", "Control+Enter")
    expect(page.locator("#unsent")).to_be_visible()
    visitor.press("z")
    assert visitor.assignment == first
    expect(page.locator('input[name=choice][value="-2"]')).to_be_checked()
    visitor.context.set_offline(False)
    visitor.press("6", "Control+Enter")
    eventually(page, lambda: Judgement.objects.count() == 1, "the other answer arrives")
    expect(page.locator("#undo")).to_be_visible()
    visitor.press("z")
    expect(page.get_by_text("You are changing an earlier answer.")).to_be_visible()
    expect(page.locator('input[name=choice][value="2"]')).to_be_checked()
    visitor.ready().press("1", "Control+Enter")
    eventually(page, lambda: Judgement.objects.count() == 2, "the revision is stored")
    now = Judgement.objects.get(current=True)
    assert (now.revision, now.preference if now.order == "ab" else -(now.preference or 0)) == (2, -3)
    visitor.leave()


def test_a_comparison_fetched_ahead_that_went_to_others_gives_way_to_another(
    browser: Browser, live_server: Any
) -> None:
    _, ada = small_project(3)
    visitor = enter(browser, live_server, ada).open().fetched_ahead()
    lost = Assignment.objects.get(status=Assignment.Status.AHEAD)
    Assignment.objects.filter(pk=lost.pk).update(status="expired", expires_at=None, closed_at=timezone.now())
    Comparison.objects.filter(pk=lost.comparison_id).update(status="withdrawn")
    visitor.press("2", "Control+Enter")
    held = Assignment.objects.filter(status=Assignment.Status.LEASED)
    expect(visitor.page.locator(f'#comparison[data-assignment="{lost.pk}"]')).to_have_count(0)
    visitor.ready()
    assert visitor.assignment == held.get().pk
    visitor.leave()


def test_an_answer_without_one_ahead_can_be_undone_as_well(browser: Browser, live_server: Any) -> None:
    _, ada = small_project(3)
    visitor = enter(browser, live_server, ada)
    visitor.page.route("**/ahead/", lambda route: route.abort())
    visitor.open()
    action = visitor.action
    visitor.press("2", "Control+Enter").gone_from(action).ready()
    expect(visitor.page.locator("#undo")).to_be_visible()
    visitor.press("z")
    expect(visitor.page.locator('input[name=choice][value="-2"]')).to_be_checked()
    visitor.leave()


def test_a_key_held_down_or_pressed_twice_answers_nothing_unread(browser: Browser, live_server: Any) -> None:
    project, ada = small_project(3)
    visitor = enter(browser, live_server, ada).open().fetched_ahead()
    # The one ahead was begun before: its draft has a choice, so that a second press could send it unread.
    Assignment.objects.filter(status=Assignment.Status.AHEAD).update(draft={"choice": 1})
    visitor.page.reload()
    visitor.ready().fetched_ahead()
    visitor.press("2", "Control+Enter", "Control+Enter")
    expect(visitor.page.locator('input[name=choice][value="1"]')).to_be_checked()
    eventually(visitor.page, lambda: Judgement.objects.filter(comparison__project=project).exists(), "one arrives")
    visitor.page.wait_for_timeout(300)
    assert Judgement.objects.count() == 1
    visitor.leave()

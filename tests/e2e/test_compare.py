"""An annotator's story in a real browser: sign in, compare by keyboard alone, until nothing is left."""

from __future__ import annotations

from typing import Any, Final

import pytest
from playwright.sync_api import Browser, Page, expect

from annotate.models import Assignment, Judgement
from tests.build import make_comparison, make_member, make_project
from tiebreak.accounts.models import Project
from tiebreak.accounts.roles import Role

from .stage import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.django_db(transaction=True)]

PASSWORD: Final = "correct horse battery"
CODE: Final = "```python\nfor number in range(100): print(number)\n```"
LONG: Final = f"| a | b |\n|---|---|\n| 1 | 2 |\n\n{CODE}\n\n$x^2$ {'word ' * 80}"


@pytest.fixture
def project() -> Project:
    tone = {"key": "tone", "label": "Tone"}
    project = make_project("chat", overlap=1, aspects=[tone], reasons=["facts", "style"], guidelines="Be *fair*.")
    for number in range(4):
        texts = {"a": f"First.\n\n{LONG}", "b": f"Second.\n\n{LONG}"}
        make_comparison(project, prompt=f"Question {number}?", context="A school.", **texts)
    make_member(project, Role.ANNOTATOR, name="ada", password=PASSWORD)
    return project


def sign_in(page: Page, live_server: Any) -> None:
    """By keyboard: the page's own form, from the comparing screen's address."""
    page.goto(f"{live_server.url}/p/chat/compare/")
    page.get_by_label("Username").focus()
    page.keyboard.type("ada")
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.locator("#comparison")).to_be_visible()


def ready(page: Page) -> None:
    """The screen listens to keys: its script has met this comparison. No person is as fast as a test."""
    expect(page.locator("#answer[data-favours]")).to_be_visible()


def leave(page: Page) -> None:
    """Close the browser when the server has answered: it would work on while the tables are emptied."""
    page.wait_for_timeout(500)
    page.context.close()


def watch(page: Page) -> list[str]:
    """What goes wrong in the page, as it happens: errors of scripts, and what the policy of content refused."""
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    return wrong


def test_three_comparisons_by_keyboard_alone(browser: Browser, live_server: Any, project: Project) -> None:
    page = browser.new_page()
    wrong = watch(page)
    sign_in(page, live_server)
    shown = []
    # Digits run from left much better (1) to right much better (7); arrows move from the weakest step of a side.
    for keys, screen in ((["1"], -3), (["6"], 2), (["ArrowRight", "ArrowRight"], 2)):
        ready(page)
        action = page.locator("#answer").get_attribute("action")
        assert action is not None
        left_first = page.locator(".response.left").inner_text().find("First.") >= 0
        shown.append((int(action.split("/")[-2]), "ab" if left_first else "ba", screen))
        for key in keys:
            page.keyboard.press(key)
        page.keyboard.press("Control+Enter")
        expect(page.locator("#answer")).not_to_have_attribute("action", action)
    eventually(page, lambda: Judgement.objects.count() == 3, "the answers arrive")
    stored = {
        judgement.assignment_id: (judgement.order, judgement.preference)
        for judgement in Judgement.objects.filter(rater__user__username="ada")
    }
    assert stored == {pk: (order, screen if order == "ab" else -screen) for pk, order, screen in shown}
    assert Assignment.objects.filter(status="leased").count() == 1
    assert Judgement.objects.filter(seconds__isnull=False).count() == 3
    assert wrong == []
    leave(page)


def test_the_last_answer_says_that_nothing_is_left(browser: Browser, live_server: Any, project: Project) -> None:
    page = browser.new_page()
    sign_in(page, live_server)
    for _ in range(4):
        ready(page)
        action = page.locator("#answer").get_attribute("action") or ""
        page.keyboard.press("b")
        page.keyboard.press("Control+Enter")
        expect(page.locator(f'#answer[action="{action}"]')).to_have_count(0)
    expect(page.get_by_role("heading", name="Nothing left to compare")).to_be_visible()
    eventually(page, lambda: Judgement.objects.count() == 4, "the answers arrive")
    assert Judgement.objects.filter(both_bad=True, preference=None).count() == 4
    leave(page)


def test_nothing_chosen_is_not_sent_and_a_refusal_keeps_what_was_typed(
    browser: Browser, live_server: Any, project: Project
) -> None:
    project.forms.update(justification="optional", min_justification=30)
    page = browser.new_page()
    sign_in(page, live_server)
    ready(page)
    page.keyboard.press("Control+Enter")
    assert Judgement.objects.count() == 0
    page.keyboard.press("2")
    page.keyboard.press("j")
    page.keyboard.type("too short")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("alert").filter(has_text="At least 30 characters")).to_be_visible()
    expect(page.locator("#justification")).to_have_value("too short")
    expect(page.locator('input[name=choice][value="-2"]')).to_be_checked()
    assert Judgement.objects.count() == 0
    leave(page)


def test_who_was_signed_out_in_mid_work_signs_in_elsewhere_and_sends_what_stands_here(
    browser: Browser, live_server: Any, project: Project
) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.route("**/ahead/", lambda route: route.abort())  # with one ahead the outbox has the answer: another story
    sign_in(page, live_server)
    ready(page)
    page.keyboard.press("2")
    context.clear_cookies(name="sessionid")
    page.keyboard.press("Control+Enter")
    told = page.locator("#problems")
    expect(told).to_contain_text("You are signed out.")
    expect(told).to_be_in_viewport()
    expect(page.locator("#answer")).to_be_visible()
    with context.expect_page() as opened:
        told.get_by_role("link", name="Sign in").click()
    other = opened.value
    other.get_by_label("Username").fill("ada")
    other.get_by_label("Password").fill(PASSWORD)
    other.get_by_role("button", name="Sign in").click()
    expect(other).to_have_url(f"{live_server.url}/p/chat/compare/")
    action = page.locator("#answer").get_attribute("action") or ""
    page.keyboard.press("Control+Enter")
    expect(page.locator(f'#answer[action="{action}"]')).to_have_count(0)
    expect(told).to_be_empty()
    eventually(page, lambda: Judgement.objects.count() == 1, "the answer arrives")
    assert Judgement.objects.count() == 1
    leave(page)

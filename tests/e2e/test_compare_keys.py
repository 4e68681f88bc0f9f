"""A whole task by keyboard, with every control that a form can ask for; and keys that a person chose for themselves."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from annotate.models import Assignment, Criterion, Judgement
from annotate.services.answers import as_seen

from .stage import enter, eventually, small_project, whole_project

pytestmark = [pytest.mark.e2e, pytest.mark.django_db(transaction=True)]


def test_a_whole_task_by_keyboard(browser: Browser, live_server: Any) -> None:
    _, ada = whole_project()
    visitor = enter(browser, live_server, ada).open()
    page = visitor.page
    # Letters arm what they name: t(one), r(truthfulness: "t" is taken), u (sure: "s" scrolls), i (rubric: b and r, u…).
    letters = {
        box.get_attribute("data-aspect"): box.get_attribute("data-letter") or ""
        for box in page.locator("[data-aspect]").all()
    }
    visitor.press(letters["Tone"], "2", "3")  # A is better; very sure
    visitor.press(letters["Truthfulness"], "4", "2", "1")  # A 4, B 2; unsure
    visitor.press(letters["Sure"], "2")
    visitor.press(letters["Rubric"], "1", "4")  # the first met by A alone, the second by neither
    visitor.press("7")  # nothing is armed any more: this is the scale
    page.locator('input[name=reasons][value="style"]').focus()
    visitor.press("Space", "j")
    page.keyboard.type("B reads better.")
    visitor.press("Escape", "Control+Enter")
    eventually(page, lambda: Judgement.objects.count() == 1, "the answer arrives")
    said = as_seen(Judgement.objects.get())
    first, second = Criterion.objects.order_by("position").values_list("pk", flat=True)
    assert said.choice == 3
    assert said.aspects == {"tone": -2}
    assert said.ratings == {"truth": {"left": 4, "right": 2}}
    assert said.confidence == {"tone": 3, "truth": 1, "overall": 2}
    assert said.checks == {str(first): "left", str(second): "neither"}
    assert (said.reasons, said.justification) == (("style",), "B reads better.")
    assert (said.seconds or 0) > 0
    assert visitor.wrong == []
    visitor.leave()


def test_keys_that_a_person_chose_work_and_are_shown(browser: Browser, live_server: Any) -> None:
    _, ada = small_project(3)
    ada.keys = {"both_bad": "q", "submit": "F2", "choose_1": "a", "help": "/"}
    ada.save()
    visitor = enter(browser, live_server, ada).open()
    action, page = visitor.action, visitor.page
    expect(page.locator(".answer [data-key-of=both_bad]")).to_have_text("q")
    expect(page.locator(".answer [data-key-of=choose_1]")).to_have_text("a")
    visitor.press("/")
    expect(page.locator("#help")).to_contain_text("Both are bad")
    visitor.press("Escape", "b")
    expect(page.locator("input[name=both_bad]")).not_to_be_checked()
    visitor.press("a")
    expect(page.locator('input[name=choice][value="-3"]')).to_be_checked()
    visitor.press("F2").gone_from(action)
    visitor.leave()


def test_arrows_move_the_choice_and_nothing_is_chosen_beforehand(browser: Browser, live_server: Any) -> None:
    _, ada = whole_project()
    visitor = enter(browser, live_server, ada).open()
    page = visitor.page
    expect(page.locator("#answer input:checked")).to_have_count(0)
    for key, value in (("ArrowLeft", -1), ("ArrowLeft", -2), ("ArrowRight", -1), ("ArrowRight", 0), ("ArrowRight", 1)):
        visitor.press(key)
        expect(page.locator(f'input[name=choice][value="{value}"]')).to_be_checked()
    visitor.press("b", "Control+Enter")
    eventually(page, lambda: Judgement.objects.filter(both_bad=True).count() == 1, "the answer arrives")
    visitor.leave()


def test_a_comparison_is_skipped_flagged_and_commented_by_keyboard(browser: Browser, live_server: Any) -> None:
    _, ada = small_project(3)
    visitor = enter(browser, live_server, ada).open()
    page, action = visitor.page, visitor.action
    visitor.press("2", "f")
    page.keyboard.type("Pers")  # the list jumps to “Holds personal data” or stays; either is a kind
    visitor.press("Tab")
    page.keyboard.type("A telephone number.")
    page.get_by_role("button", name="Send the flag").press("Enter")
    expect(page.locator("#said")).to_contain_text("Flagged")
    expect(page.locator("#flag")).to_be_hidden()
    expect(page.locator('input[name=choice][value="-2"]')).to_be_checked()
    visitor.press("c")
    page.keyboard.type("The prompt is odd.")
    page.get_by_role("button", name="Send the comment").press("Enter")
    expect(page.locator("#said")).to_contain_text("Your comment is with the curators")
    expect(page.locator("#said")).to_be_empty(timeout=15_000)  # it goes by itself
    visitor.press("x")
    page.get_by_role("button", name="Skip it").press("Enter")
    visitor.gone_from(action).ready()
    assert Assignment.objects.filter(status=Assignment.Status.SKIPPED).count() == 1
    assert Judgement.objects.count() == 0
    assert visitor.wrong == []
    visitor.leave()

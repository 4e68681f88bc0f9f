"""A newcomer's way in, and what is told of people's work, in a real browser: by keyboard, on a phone, accessible."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import Browser, Page, expect

from annotate import policies
from annotate.models import Rater, Session, Trial
from annotate.services import assigning
from tests import build
from tests.curation.test_people import populate
from tiebreak.accounts.models import User

pytestmark = [pytest.mark.e2e, pytest.mark.django_db(transaction=True)]
SIZES = ((360, 740), (1280, 800), (1920, 1080))


def open_page(browser: Browser, user: User, live_server: Any, **options: Any) -> tuple[Page, list[str]]:
    """A page that is signed in, and the list of what goes wrong in it."""
    client = Client()
    client.force_login(user)
    context = browser.new_context(base_url=live_server.url, reduced_motion="reduce", **options)
    context.add_cookies([{"name": "sessionid", "value": client.cookies["sessionid"].value, "url": live_server.url}])
    page, wrong = context.new_page(), list[str]()
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    return page, wrong


def looks_right(page: Page, name: str, wrong: list[str]) -> None:
    """No sideways scrolling, nothing serious for axe, no error; a picture where SHOTS names a folder for them."""
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        found = [v for v in Axe().run(page).response["violations"] if v["impact"] in ("serious", "critical")]
        assert [(v["id"], v["nodes"][0]["target"]) for v in found] == [], (name, scheme)
    for width, height in SIZES:
        page.set_viewport_size({"width": width, "height": height})
        assert page.evaluate("document.documentElement.scrollWidth") <= width, (name, width)
        if folder := os.environ.get("SHOTS"):
            page.emulate_media(color_scheme="dark" if width == 1920 else "light")
            page.screenshot(path=Path(folder) / f"{name}-{width}.png", full_page=True)
    page.set_viewport_size({"width": 1280, "height": 800})
    assert wrong == [], name


def say(page: Page, key: str) -> None:
    """Choose by a digit and submit, once the screen's scripts are there."""
    expect(page.get_by_role("button", name="Differences")).to_be_visible()
    page.keyboard.press(key)
    expect(page.locator("[name=choice]:checked")).to_have_count(1)
    page.keyboard.press("Control+Enter")


def key_of(trial: Trial, *, right: bool = True) -> str:
    """The digit that says what is known of a trial, or the opposite, on the screen that it is shown on."""
    gold = (trial.comparison.gold or 0) * (1 if right else -1)
    values = policies.screen_values(3, allow_tie=True)
    return str(values.index(policies.to_screen(gold, trial.order)) + 1)


def test_a_newcomer_practises_and_qualifies_by_keyboard(browser: Browser, live_server: Any) -> None:
    project = build.make_project("p", practice_size=2, qualification_size=2, guidelines="Right before pretty.")
    for number in range(4):
        why = "The second one **invents** a source." if number < 2 else ""
        build.make_comparison(project, gold=-2, gold_because=why, prompt=f"Which year was it, {number}?")
    build.make_comparison(project, "work", prompt="The real one")
    user = build.make_member(project, name="newcomer")
    page, wrong = open_page(browser, user, live_server)

    page.goto(reverse("compare", args=["p"]))
    expect(page.get_by_role("heading", level=1)).to_have_text("A short practice first")
    looks_right(page, "practice", wrong)
    page.get_by_role("button", name="Begin the practice").press("Enter")
    for position in (1, 2):
        expect(page.get_by_text(f"Practice: {position} of 2")).to_be_visible()
        trial = Trial.objects.get(kind="practice", position=position)
        say(page, key_of(trial, right=position == 2))
        expect(page.get_by_text("invents")).to_be_visible()
        told = "As expected" if position == 2 else "Something else was expected here"
        expect(page.get_by_role("heading", name=told)).to_be_visible()
        if position == 1:
            looks_right(page, "feedback", wrong)
        page.get_by_role("link", name="Next" if position == 1 else "Done").press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("That was the practice")
    page.get_by_role("link", name="To the qualification").press("Enter")
    looks_right(page, "qualification", wrong)
    page.get_by_role("button", name="Begin").press("Enter")
    for position in (1, 2):
        expect(page.get_by_text(f"Qualification: {position} of 2")).to_be_visible()
        say(page, key_of(Trial.objects.get(kind="qualification", position=position)))
    expect(page.get_by_role("heading", level=1)).to_have_text("You are qualified")
    page.get_by_role("link", name="Begin comparing").press("Enter")
    expect(page.locator("#answer[data-favours]")).to_be_visible()
    page.wait_for_load_state("networkidle")
    page.goto("about:blank")
    page.context.close()
    assert wrong == []


def test_what_is_told_of_peoples_work_fits_and_is_accessible(browser: Browser, live_server: Any) -> None:
    project = build.make_project("p", revise_minutes=0, qualification_size=5)
    user = build.make_member(project, name="ann")
    me = assigning.rater_for(project, user)
    populate(project, raters=3, more=[me])
    now = timezone.now()
    Rater.objects.filter(name="person1").update(paused_at=now, paused_because="We should talk about speed first.")
    for hours in (30, 3):
        begun = now - timedelta(hours=hours)
        row = Session.objects.create(
            rater=me, started_at=begun, last_at=begun + timedelta(minutes=40),
            ended_at=begun + timedelta(minutes=40), judged=31, skipped=2, seconds=1934.0,
        )  # fmt: skip
    page, wrong = open_page(browser, user, live_server)
    for name, args in (("session", [row.pk]), ("mine", [])):
        page.goto(reverse(name, args=["p", *args]))
        looks_right(page, name, wrong)
    curator, wrong = open_page(browser, build.make_member(project, "curator"), live_server)
    for name, args in (("raters", []), ("rater", [me.pk])):
        curator.goto(reverse(name, args=["p", *args]))
        looks_right(curator, name, wrong)

"""A manager takes back what somebody said: the plan, the reason, the run; each page accessible, on a phone too."""

from __future__ import annotations

from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.urls import reverse
from playwright.sync_api import Browser, Page, expect

from annotate.models import Rater
from curation.models import Withdrawal
from tests.curation.test_pages import World
from tests.e2e.test_curate import open_page

pytestmark = [pytest.mark.e2e, pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("storage")]


def fine(page: Page) -> None:
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    found = Axe().run(page).response["violations"]
    assert [(v["id"], v["nodes"][0]["target"]) for v in found] == []


def test_the_plan_stands_before_the_button_and_the_run_behind_it(browser: Browser, live_server: Any) -> None:
    world = World(2)
    page, wrong = open_page(browser, world, live_server, viewport={"width": 360, "height": 740}, color_scheme="dark")
    one = Rater.objects.get(project=world.project, name="r1")
    page.goto(reverse("rater", args=[world.project.slug, one.pk]))
    page.get_by_role("link", name="Withdraw all that they said").click()
    expect(page.get_by_text("2 judgements count no more, of 2 comparisons.")).to_be_visible()
    fine(page)
    page.get_by_role("button", name="Withdraw").click()
    assert not Withdrawal.objects.filter(rater=one).exists()  # the reason is missing: the browser says so
    page.get_by_label("Why").fill("They ask for it.")
    page.get_by_label("I know that what is erased does not come back").check()
    page.get_by_role("button", name="Withdraw").click()
    expect(page.get_by_text("It counts no more in a moment")).to_be_visible()
    page.goto(reverse("withdrawals", args=[world.project.slug]))
    expect(page.get_by_text("They ask for it.")).to_be_visible()
    fine(page)
    assert wrong == []

"""A curator's story in a real browser: every page on a phone in the dark, filters without a reload, a run that ends."""

from __future__ import annotations

from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import Browser, Page, expect

from tests import build
from tests.curation.test_pages import ROUTES, World, url
from tiebreak.runs.models import Run

pytestmark = [pytest.mark.e2e, pytest.mark.django_db(transaction=True)]


def open_page(browser: Browser, world: World, live_server: Any, **options: Any) -> tuple[Page, list[str]]:
    """A page that is signed in as the owner, and the list of what goes wrong in it."""
    client = Client()
    client.force_login(world.owner)
    context = browser.new_context(base_url=live_server.url, reduced_motion="reduce", **options)
    context.add_cookies([{"name": "sessionid", "value": client.cookies["sessionid"].value, "url": live_server.url}])
    page, wrong = context.new_page(), list[str]()
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    return page, wrong


def test_every_page_fits_a_phone_and_is_accessible(browser: Browser, live_server: Any) -> None:
    world = World(2)
    phone = {"width": 360, "height": 740}
    page, wrong = open_page(browser, world, live_server, viewport=phone, color_scheme="dark")
    for address in [*(url(world, route) for route in ROUTES), reverse("tokens")]:
        page.goto(address)
        assert page.evaluate("document.documentElement.scrollWidth") <= phone["width"], address
        assert wrong == [], address
        found = Axe().run(page).response["violations"]
        assert [(v["id"], v["nodes"][0]["target"]) for v in found] == [], address


def test_a_filter_changes_the_rows_and_the_address_without_a_reload(browser: Browser, live_server: Any) -> None:
    world = World(3)
    page, wrong = open_page(browser, world, live_server)
    page.goto(url(world, "comparisons"))
    expect(page.locator("#comparisons tbody tr")).to_have_count(3)
    page.evaluate("window.stayed = true")
    page.get_by_label("Prompt contains").press_sequentially("0 or 1")
    expect(page.locator("#comparisons tbody tr")).to_have_count(1)
    assert "q=0%20or%201" in page.url
    page.get_by_label("State").select_option("withdrawn")
    expect(page.get_by_text("Nothing matches")).to_be_visible()
    assert page.evaluate("window.stayed")
    page.reload()
    expect(page.get_by_label("Prompt contains")).to_have_value("0 or 1")
    assert wrong == []


def test_a_run_is_followed_to_its_end(browser: Browser, live_server: Any) -> None:
    world = World(1)
    run = build.make_run(world.project, status="running", done=1, total=4)
    page, _ = open_page(browser, world, live_server)
    page.goto(reverse("run", args=[world.project.slug, run.pk]))
    expect(page.get_by_text("25%")).to_be_visible()
    ended = {"status": "succeeded", "finished_at": timezone.now(), "lease_expires_at": None, "result": {"rows": 41}}
    Run.objects.filter(pk=run.pk).update(done=4, **ended)
    expect(page.get_by_text("succeeded")).to_be_visible()
    expect(page.locator("#run[hx-trigger]")).to_have_count(0)
    expect(page.get_by_role("definition").filter(has_text="41")).to_be_visible()

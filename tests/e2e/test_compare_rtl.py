"""The comparing screen in a language that is written from the right: A stays left, as the server stored it."""

from __future__ import annotations

from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, expect

from annotate.models import Judgement

from .stage import enter, whole_project

pytestmark = [pytest.mark.e2e, pytest.mark.django_db(transaction=True)]


def left_edge(place: Locator) -> float:
    box = place.bounding_box()
    assert box is not None
    return box["x"]


@pytest.mark.parametrize("width", [360, 1280])
def test_a_stays_left_and_the_screen_fits_in_arabic(browser: Browser, live_server: Any, width: int) -> None:
    _, ada = whole_project()
    visitor = enter(browser, live_server, ada, viewport={"width": width, "height": 900}, locale="ar").open()
    page = visitor.page
    expect(page.locator("html")).to_have_attribute("dir", "rtl")
    scale = page.locator(".scale > label")
    edges = [left_edge(scale.nth(i)) for i in range(scale.count())]
    assert edges == sorted(edges)
    sides = page.locator(".tabs > button" if width == 360 else ".response")
    assert left_edge(sides.first) < left_edge(sides.last)
    rated = page.locator(".rating .part:has(> .letter)")
    first, last = rated.first, rated.nth(1)
    assert left_edge(first) <= left_edge(last)
    assert left_edge(first.locator(".letter")) < left_edge(first.locator(".segments"))
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    found = Axe().run(page).response["violations"]
    assert [f"{v['id']}: {v['nodes'][0]['html']}" for v in found if v["impact"] in ("serious", "critical")] == []
    assert visitor.wrong == []
    visitor.leave()


def test_the_arrow_to_the_left_and_the_first_key_favour_the_left_response(browser: Browser, live_server: Any) -> None:
    project, ada = whole_project()
    visitor = enter(browser, live_server, ada, viewport={"width": 1280, "height": 900}, locale="ar").open()
    page = visitor.page
    visitor.press("4", "ArrowLeft")
    expect(page.locator("#answer")).to_have_attribute("data-favours", "left")
    action = visitor.action
    with page.expect_response(lambda answer: answer.request.method == "POST" and answer.url.endswith(action)):
        page.locator(".send button").click()
    judgement = Judgement.objects.get(comparison__project=project)
    assert (judgement.preference or 0) * (-1 if judgement.order == "ab" else 1) > 0
    visitor.leave()

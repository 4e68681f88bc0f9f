"""The whole screen, with every control that a form can ask for, at each width and in both themes."""

from __future__ import annotations

import os
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from .stage import enter, whole_project

pytestmark = [pytest.mark.e2e, pytest.mark.django_db(transaction=True)]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280, 1920])
def test_the_whole_screen_fits_and_is_accessible(
    browser: Browser, live_server: Any, tmp_path: Any, scheme: Any, width: int
) -> None:
    _, ada = whole_project()
    visitor = enter(browser, live_server, ada, viewport={"width": width, "height": 900}, color_scheme=scheme).open()
    page = visitor.page
    page.screenshot(
        path=os.environ.get("TIEBREAK_SCREENSHOTS", str(tmp_path)) + f"/whole-{scheme}-{width}.png", full_page=True
    )
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    found = Axe().run(page).response["violations"]
    assert [f"{v['id']}: {v['nodes'][0]['html']}" for v in found if v["impact"] in ("serious", "critical")] == []
    assert visitor.wrong == []
    visitor.leave()

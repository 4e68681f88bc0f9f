"""A curator writes a recipe in a real browser: counted as it is edited, built, changed, compared and downloaded."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from curation.models import DatasetVersion
from tests import build
from tests.e2e.stage import Visitor, enter, eventually
from tiebreak.accounts.models import Project
from tiebreak.accounts.roles import Role
from tiebreak.runs import ledger

pytestmark = [pytest.mark.e2e, pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("storage")]


def judged(n: int = 12) -> Project:
    """n comparisons of two topics, which three people judged; of every sixth one of them says the other side."""
    project = build.make_project("chat", overlap=3)
    for i in range(n):
        comparison = build.make_comparison(
            project, f"c{i}", prompt=f"Which of the two, in case {i}?", metadata={"topic": ("law", "code")[i % 2]}
        )
        build.make_judgements(comparison, "BBA" if i % 6 == 0 else "BBB")
    return project


def curator(browser: Browser, live_server: Any, project: Project, role: str = Role.CURATOR, **options: Any) -> Visitor:
    made = build.make_member(project, role, name="curie", password="correct horse battery")
    visitor = enter(browser, live_server, made, **options)
    visitor.page.goto("/p/chat/datasets/new/?name=prefs")
    return visitor


def outline(page: Page) -> Any:
    return page.locator("#recipe-outline")


def build_now(page: Page) -> None:
    """Build by what stands there, and go to the version once the run has ended."""
    outline(page).get_by_role("button", name="Build").click()
    expect(page.get_by_role("heading", name=re.compile("Build a dataset version"))).to_be_visible()
    version = DatasetVersion.objects.latest("pk")
    ledger.execute(version.run_id or 0)
    page.get_by_role("link", name=f"To {version}").click()
    expect(page.get_by_role("heading", name=str(version), exact=True)).to_be_visible()


def test_from_a_recipe_to_its_counts_a_version_a_difference_the_card_and_a_file(
    browser: Browser, live_server: Any, tmp_path: Path
) -> None:
    visitor = curator(browser, live_server, judged())
    page = visitor.page
    expect(outline(page).get_by_role("status")).to_contain_text("12 rows of 12 comparisons")
    page.evaluate("window.stayed = true")
    page.locator("[id='id_min_agreement']").fill("0.9")
    expect(outline(page).get_by_role("status")).to_contain_text("10 rows of 12 comparisons")
    expect(outline(page)).to_contain_text("2 of 3 votes agree, fewer than 0.9")
    page.locator("[id='id_split.train']").fill("0.7")
    field = page.locator(".field", has=page.locator("[id='id_split.train']"))
    expect(field).to_contain_text("sum to 1")
    page.locator("[id='id_split.validation']").fill("0.2")
    expect(outline(page).get_by_role("status")).to_contain_text("10 rows of 12 comparisons")
    expect(field.locator(".errorlist")).to_have_count(0)
    assert page.evaluate("window.stayed")
    build_now(page)
    expect(page.get_by_role("row", name=re.compile("min agreement"))).to_contain_text("2")

    page.get_by_role("link", name="New version from this recipe").click()
    expect(page.locator("[id='id_min_agreement']")).to_have_value("0.9")
    expect(outline(page)).to_contain_text("The recipe is the same.")
    page.locator("[id='id_where']").fill('topic = ["law"]')
    expect(outline(page)).to_contain_text("topic is code")
    expect(outline(page)).to_contain_text("where.topic")
    build_now(page)
    page.get_by_role("link", name="What changed since @1").click()
    expect(page.get_by_role("main")).to_contain_text("removed")
    page.go_back()
    expect(page.get_by_role("heading", name="Card")).to_be_visible()
    with page.expect_download() as downloading:
        page.get_by_role("link", name="train.parquet").first.click()
    downloading.value.save_as(tmp_path / "train.parquet")
    assert (tmp_path / "train.parquet").read_bytes()[:4] == b"PAR1"
    assert visitor.wrong == []


def test_a_recipe_is_written_and_built_by_keyboard_alone(browser: Browser, live_server: Any) -> None:
    visitor = curator(browser, live_server, judged())
    page = visitor.page

    def tab_to(what: str) -> None:
        for _ in range(80):
            page.keyboard.press("Tab")
            if page.evaluate("([document.activeElement.id, document.activeElement.textContent.trim()])").count(what):
                return
        raise AssertionError(f"Tab never reaches {what}")

    tab_to("id_min_agreement")
    page.keyboard.type("0.9")
    expect(outline(page).get_by_role("status")).to_contain_text("10 rows of 12 comparisons")
    assert page.evaluate("document.activeElement.id") == "id_min_agreement"
    page.evaluate("window.stayed = true")
    page.keyboard.press("Enter")  # counts, and never builds
    settled(page)
    assert page.evaluate("window.stayed && document.activeElement.id") == "id_min_agreement"
    expect(outline(page).get_by_role("status")).to_contain_text("10 rows of 12 comparisons")
    assert not DatasetVersion.objects.exists()
    tab_to("Build")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name=re.compile("Build a dataset version"))).to_be_visible()
    assert DatasetVersion.objects.get().recipe["min_agreement"] == 0.9
    visitor.leave()


def test_it_counts_reads_and_builds_without_scripts(browser: Browser, live_server: Any) -> None:
    page = curator(browser, live_server, judged(), java_script_enabled=False).page
    page.locator("[id='id_min_agreement']").fill("0.9")
    outline(page).get_by_role("button", name="Count").click()
    expect(outline(page).get_by_role("status")).to_contain_text("10 rows of 12 comparisons")
    page.get_by_text("Paste a recipe").click()
    page.get_by_label("A recipe as TOML").fill("min_agreement = 2")
    page.get_by_role("button", name="Read it into the fields").click()
    expect(page.locator(".field", has=page.get_by_label("A recipe as TOML"))).to_contain_text("a number from 0 to 1")
    expect(page.locator("[id='id_min_agreement']")).to_have_value("0.9")
    page.get_by_label("A recipe as TOML").fill("min_agreement = 0.5\n[split]\nseed = 4")
    page.get_by_role("button", name="Read it into the fields").click()
    expect(page.locator("[id='id_split.seed']")).to_have_value("4")
    expect(page.locator("[id='id_name']")).to_have_value("prefs")
    outline(page).get_by_role("button", name="Build").click()
    expect(page.get_by_role("heading", name=re.compile("Build a dataset version"))).to_be_visible()


def test_a_viewer_counts_and_is_offered_no_build(browser: Browser, live_server: Any) -> None:
    visitor = curator(browser, live_server, judged(), Role.VIEWER)
    expect(outline(visitor.page).get_by_role("status")).to_contain_text("12 rows")
    expect(visitor.page.get_by_role("button", name="Build")).to_have_count(0)
    assert visitor.wrong == []


@pytest.mark.parametrize(("width", "scheme"), [(360, "dark"), (360, "light"), (1280, "light"), (1280, "dark")])
def test_the_editor_fits_and_is_accessible(browser: Browser, live_server: Any, width: int, scheme: Any) -> None:
    options = {"viewport": {"width": width, "height": 800}, "color_scheme": scheme}
    visitor = curator(browser, live_server, judged(), **options)
    page = visitor.page
    page.locator("[id='id_min_agreement']").fill("0.9")
    expect(outline(page)).to_contain_text("votes agree")
    for summary in page.locator("main summary").all():
        summary.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    settled(page)
    found = Axe().run(page).response["violations"]
    assert [(v["id"], v["nodes"][0]["target"]) for v in found] == []
    page.locator("[id='id_min_agreement']").fill("9")
    expect(outline(page).get_by_role("alert")).to_be_visible()
    settled(page)
    found = Axe().run(page).response["violations"]
    assert [(v["id"], v["nodes"][0]["target"]) for v in found] == []
    assert visitor.wrong == []


def settled(page: Page) -> None:
    """No count is under way, which is shown paler."""
    eventually(page, lambda: page.locator("#recipe-live.htmx-request").count() == 0, "counted")

"""The pages around the screen: changing an answer, reading what changed in the guidelines, choosing keys."""

from __future__ import annotations

import os
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.utils import timezone
from playwright.sync_api import Browser, Page, expect

from annotate.models import Judgement, Rater, Review
from annotate.services import assigning, projects
from tests.build import make_comparison, make_judgement, make_member
from tiebreak.accounts.models import Project, User
from tiebreak.accounts.roles import Role

from .stage import PASSWORD, enter, small_project

pytestmark = [pytest.mark.e2e, pytest.mark.django_db(transaction=True)]
BEFORE = "# What matters\n\nPrefer the response that is **kind**.\n\n- Name your reasons.\n- Take your time.\n"
AFTER = "# What matters\n\nPrefer the response that is **right**.\n\n- Name your reasons.\n- Check each figure.\n"


def answered(project: Project, ada: User) -> Judgement:
    """What ada said of three comparisons; the first came back to her. Returns that one."""
    rater = assigning.rater_for(project, ada)
    form = project.forms.get(current=True)
    made = [
        make_judgement(
            make_comparison(project, prompt=f"Why does it rain {n} days a week in Bergen, and never in Lima?"),
            rater, preference, form=form, submitted_at=timezone.now(), justification="It names the mountains.",
        )
        for n, preference in enumerate((2, -1, 0))
    ]  # fmt: skip
    carol = make_member(project, Role.ADJUDICATOR, name="carol")
    Review.objects.create(judgement=made[0], verdict="returned", reason="Read the context once more.", by=carol)
    return made[0]


def change_guidelines(project: Project) -> None:
    olga = make_member(project, Role.OWNER, name="olga", password=PASSWORD)
    projects.change_form(project, by=olga, guidelines=BEFORE)
    Rater.objects.update(read_guidelines=project.forms.get(current=True).guidelines_version)
    projects.change_form(project, by=olga, guidelines=AFTER)


def looks_well(page: Page, name: str) -> None:
    """No sideways scrolling and nothing serious for axe; a picture where one is asked for."""
    if folder := os.environ.get("TIEBREAK_SCREENSHOTS"):
        page.screenshot(path=f"{folder}/{name}.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"), name
    found = Axe().run(page).response["violations"]
    serious = [v for v in found if v["impact"] in ("serious", "critical")]
    assert [f"{name} {v['id']}: {v['nodes'][0]['html']}" for v in serious] == []


def test_what_came_back_is_answered_again_from_the_list(browser: Browser, live_server: Any) -> None:
    project, ada = small_project(2)
    judgement = answered(project, ada)
    visitor = enter(browser, live_server, ada).open("/p/chat/previous/")
    page = visitor.page
    expect(page.get_by_text("Returned by carol")).to_be_visible()
    page.get_by_role("link", name="Answer again").click()
    expect(page.get_by_text("Read the context once more.")).to_be_visible()
    expect(page.locator('input[name=choice][value="2"]')).to_be_checked()
    visitor.ready().press("2")
    page.locator("#justification").fill("The context asks for the reason, and only the left one gives it.")
    page.get_by_role("button", name="Store the change").click()
    expect(page.locator("#comparison[data-assignment]")).to_be_visible()
    expect(page).to_have_url(f"{live_server.url}/p/chat/compare/")
    now = Judgement.objects.get(comparison=judgement.comparison_id, current=True)
    assert (now.revision, now.preference) == (2, -2)
    visitor.open("/p/chat/previous/")
    expect(page.get_by_text("Returned by carol")).to_have_count(0)
    assert visitor.wrong == []
    visitor.leave()


def test_changed_guidelines_are_told_read_and_told_no_more(browser: Browser, live_server: Any) -> None:
    project, ada = small_project(2)
    assigning.rater_for(project, ada)
    change_guidelines(project)
    visitor = enter(browser, live_server, ada).open()
    page = visitor.page
    page.get_by_role("link", name="See what changed").click()
    expect(page.locator("del", has_text="kind")).to_be_visible()
    expect(page.locator("ins", has_text="right")).to_be_visible()
    page.get_by_role("button", name="I have read them").click()
    visitor.ready()
    expect(page.get_by_role("link", name="See what changed")).to_have_count(0)
    visitor.leave()


def test_keys_are_chosen_without_scripts(browser: Browser, live_server: Any) -> None:
    _, ada = small_project(1)
    visitor = enter(browser, live_server, ada, java_script_enabled=False).open("/keys/")
    page = visitor.page
    page.get_by_label("Flag a problem").fill("d")
    page.get_by_role("button", name="Keep these keys").click()
    expect(page.get_by_text("“d” is also the key of: Flag a problem.").first).to_be_visible()
    page.get_by_label("Show the differences word by word").fill("w")
    page.get_by_role("button", name="Keep these keys").click()
    expect(page.get_by_text("Your keys are kept.")).to_be_visible()
    ada.refresh_from_db()
    assert ada.keys == {"flag": "d", "diff": "w"}
    page.get_by_role("button", name="Back to the first keys").click()
    expect(page.get_by_label("Flag a problem")).to_have_value("f")
    visitor.leave()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280, 1920])
def test_the_pages_fit_and_are_accessible(browser: Browser, live_server: Any, scheme: Any, width: int) -> None:
    project, ada = small_project(1)
    answered(project, ada)
    change_guidelines(project)
    visitor = enter(browser, live_server, ada, viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = visitor.page
    for path in ("previous", "guidelines"):
        visitor.open(f"/p/chat/{path}/")
        looks_well(page, f"{path}-{scheme}-{width}")
    page.goto("/keys/")
    page.get_by_label("Flag a problem").fill("d")
    page.get_by_role("button", name="Keep these keys").click()
    looks_well(page, f"keys-{scheme}-{width}")
    Rater.objects.update(paused_at=timezone.now(), paused_because="Please read the guidelines again.")
    page.goto("/p/chat/compare/")
    looks_well(page, f"paused-{scheme}-{width}")
    visitor.leave()

"""A curator doubts labels in a real browser: a policy counted as it is edited, applied, undone; suspects by key."""

from __future__ import annotations

import re
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, expect

from curation.models import NoiseDecision, NoiseTreatment
from curation.services import treating
from tests import build
from tests.e2e.stage import Visitor, enter
from tiebreak.accounts.models import Project
from tiebreak.accounts.roles import Role
from tiebreak.runs import ledger

pytestmark = [pytest.mark.e2e, pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("storage")]


def doubtful(n: int = 30) -> Project:
    """n comparisons, judged AB; the entropy's score of number i is i / n."""
    project = build.make_project("chat", overlap=2)
    aggregation = build.make_aggregation(project)
    for i in range(n):
        comparison = build.make_comparison(project, f"c{i}", prompt=f"Which of the two, in case {i}?")
        build.make_judgements(comparison, "AB")
        build.make_consensus(aggregation, comparison, (0.7, 0.1, 0.2))
        build.make_noise(comparison, score=i / n, cause=f"split over {i}")
    return project


def curator(browser: Browser, live_server: Any, project: Project, **options: Any) -> Visitor:
    made = build.make_member(project, Role.CURATOR, name="curie", password="correct horse battery")
    visitor = enter(browser, live_server, made, **options)
    visitor.page.goto("/p/chat/noise/")
    return visitor


def test_a_policy_is_counted_as_it_is_edited_applied_and_undone(browser: Browser, live_server: Any) -> None:
    visitor = curator(browser, live_server, doubtful())
    page = visitor.page
    preview = page.locator("#noise-preview")
    # The cautious preset asks about 15 to 29 of 30 and softens 11 (0.367) to 14.
    expect(preview.get_by_role("button", name="Apply to 19 labels")).to_be_visible()
    page.evaluate("window.stayed = true")
    page.locator("#id_r0-value").fill("0.9")
    page.locator("#id_r0-value").press("Tab")
    expect(preview.get_by_role("row", name=re.compile("ask people"))).to_contain_text("3")
    page.get_by_role("checkbox", name="Consensus entropy").first.uncheck()
    expect(preview.get_by_role("alert")).to_contain_text("rules.0.methods")
    page.get_by_role("checkbox", name="Consensus entropy").first.check()
    expect(preview.get_by_role("button", name="Apply to 19 labels")).to_be_visible()
    page.get_by_label("Note (optional)").fill("spring cleaning")
    assert page.evaluate("window.stayed")
    preview.get_by_role("button", name=re.compile("Apply to")).click()
    expect(page.get_by_text("The treatment is at work.")).to_be_visible()
    made = NoiseTreatment.objects.get()
    ledger.execute(made.run_id or 0)
    assert NoiseDecision.objects.filter(current=True, action="ask_people").count() == 3
    page.goto("/p/chat/noise/")
    expect(page.get_by_text("spring cleaning")).to_be_visible()
    page.get_by_role("button", name=re.compile("Undo treatment")).click()
    expect(page.get_by_text("Undone: what it had replaced stands again.")).to_be_visible()
    assert not NoiseDecision.objects.filter(current=True).exists()
    assert visitor.wrong == []


def test_suspects_are_walked_through_by_keyboard(browser: Browser, live_server: Any) -> None:
    visitor = curator(browser, live_server, doubtful())
    page = visitor.page
    suspects = page.locator(".suspect")
    expect(suspects.first).to_contain_text("split over 29")
    page.keyboard.press("j")
    expect(suspects.nth(0)).to_be_focused()
    page.keyboard.press("p")
    expect(suspects.nth(0)).to_contain_text("ask people")
    suspects.nth(1).focus()
    page.keyboard.press("e")
    expect(suspects.nth(1)).to_contain_text("a person looked at it")
    standing = NoiseDecision.objects.filter(current=True).values_list("comparison__external_id", "action")
    assert set(standing) == {("c29", "ask_people"), ("c28", "keep")}
    page.keyboard.press("?")
    expect(page.get_by_text("At a suspect: send it to people")).to_be_visible()
    assert visitor.wrong == []


@pytest.mark.parametrize(("width", "scheme"), [(360, "dark"), (360, "light"), (1280, "light"), (1280, "dark")])
def test_the_page_fits_and_is_accessible(browser: Browser, live_server: Any, width: int, scheme: Any) -> None:
    project = doubtful(6)
    visitor = curator(browser, live_server, project, viewport={"width": width, "height": 800}, color_scheme=scheme)
    page = visitor.page
    treating.decide_one(project.comparisons.earliest("pk"), "drop", by=project.members.get().user)
    page.reload()
    expect(page.locator("#noise-preview").get_by_role("button", name=re.compile("Apply"))).to_be_visible()
    for summary in page.locator("main summary").all():
        summary.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    found = Axe().run(page).response["violations"]
    assert [(v["id"], v["nodes"][0]["target"]) for v in found] == []
    assert visitor.wrong == []


def test_it_works_without_scripts(browser: Browser, live_server: Any) -> None:
    visitor = curator(browser, live_server, doubtful(), java_script_enabled=False)
    page = visitor.page
    page.get_by_role("button", name="Preview").click()
    expect(page.locator("#noise-preview").get_by_role("button", name="Apply to 19 labels")).to_be_visible()
    page.locator(".suspect").first.get_by_role("button", name="Send to people").click()
    expect(page.locator(".suspect").first).to_contain_text("ask people")

"""A year later, in a real browser: which rows there were, why each was in, who said so, and what has changed since."""

from __future__ import annotations

from typing import Any

import pytest
from django.urls import reverse
from playwright.sync_api import Browser, expect

from annotate.models import Adjudication, Form, Rater
from curation.models import RoutingSettings
from tests import build
from tests.curation.test_lineage import make, says
from tests.e2e.test_people import looks_right, open_page
from tiebreak.accounts.roles import Role

pytestmark = [pytest.mark.e2e, pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("storage")]


def test_a_version_is_defended_from_its_rows_to_its_raters(browser: Browser, live_server: Any) -> None:
    project = build.make_project("p", overlap=5)
    curator = build.make_member(project, Role.CURATOR, name="cleo")
    form = Form.objects.get(project=project)
    RoutingSettings.objects.create(project=project, hourly_rate=30, currency="EUR")
    judge = build.make_judge(project, rubric=build.make_rubric(project))
    for n in range(6):
        comparison = build.make_comparison(project, f"chat/{n}", prompt=f"Why is the sky blue, {n}?")
        says(comparison, "ann", -1, form=form, seconds=40, justification="It names the scattering.")
        says(comparison, "bob", 0 if n == 5 else -1, form=form, seconds=20)
        build.make_call(judge, comparison, 0 if n == 5 else -1)
        build.make_routing(comparison)
    first = make(project, {"ties": "keep"})
    build.make_model(first)
    flipped = project.comparisons.get(external_id="chat/2")
    Adjudication.objects.create(comparison=flipped, preference=2, reason="B is right", by=curator)
    says(project.comparisons.get(external_id="chat/3"), "cyd", -2, form=form, seconds=33)
    make(project, {"ties": "drop", "min_probability": 0.6})
    page, wrong = open_page(browser, curator, live_server)

    # A tag is set on the first, and moves to the second.
    for number in (1, 2):
        page.goto(reverse("version", args=["p", "prefs", number]))
        page.get_by_label("Tag", exact=True).fill("prod")
        page.get_by_role("button", name="Tag this version").press("Enter")
        expect(page.get_by_text(f"prefs@prod is prefs@{number} now.")).to_be_visible()
    page.get_by_label("Note", exact=True).fill("The one that the lab was given.")
    page.get_by_role("button", name="Write it down").press("Enter")
    expect(page.get_by_text("The one that the lab was given.")).to_be_visible()
    looks_right(page, "version", wrong)

    # The dataset says what its versions are, and leads to what lies between them.
    page.goto(reverse("dataset", args=["p", "prefs"]))
    expect(page.get_by_role("row", name="prefs@2 prod").get_by_text("min_probability")).to_be_visible()
    looks_right(page, "dataset", wrong)
    page.get_by_role("button", name="Compare").press("Enter")
    expect(page.get_by_role("heading", name="prefs@2 since @1")).to_be_visible()
    page.get_by_role("link", name="flipped").press("Enter")
    expect(page.get_by_role("cell", name="an adjudicator decided it")).to_be_visible()
    looks_right(page, "difference", wrong)
    with page.expect_download() as download:
        page.get_by_role("link", name="All of it as JSON Lines").click()
    assert download.value.suggested_filename == "prefs-2-since-1.jsonl"

    # From the difference to the row, and to what the first version had of it.
    page.get_by_role("link", name="chat/2").press("Enter")
    expect(page.get_by_text("B is preferred with a probability of 100%")).to_be_visible()
    page.get_by_role("link", name="prefs@1", exact=True).press("Enter")
    expect(page.get_by_text("A is preferred with a probability of")).to_be_visible()
    expect(page.get_by_text("cleo decided it: B is right")).to_be_visible()  # since
    expect(page.get_by_text("form 1, guidelines 1").first).to_be_visible()
    looks_right(page, "row", wrong)

    # Rows that stand out, and one by its id that was left out.
    page.goto(reverse("version-rows", args=["p", "prefs", 1]))
    page.get_by_label("Verdict").select_option("tie")
    page.get_by_role("button", name="Show").press("Enter")
    expect(page.locator("tbody tr")).to_have_count(1)
    page.goto(reverse("version-rows", args=["p", "prefs", 2]))
    looks_right(page, "rows", wrong)
    page.get_by_label("The id, exactly").fill("chat/5")
    page.get_by_label("The id, exactly").press("Enter")
    expect(page.get_by_text("The rule “ties” left it out")).to_be_visible()
    looks_right(page, "row-dropped", wrong)

    # From the other end.
    page.goto(reverse("origins", args=["p"]))
    expect(page.get_by_role("heading", name="Forms and guidelines")).to_be_visible()
    looks_right(page, "origins", wrong)
    page.goto(reverse("rater", args=["p", Rater.objects.get(name="cyd").pk]))
    expect(page.get_by_role("row", name="prefs@2")).to_be_visible()
    expect(page.get_by_role("row", name="prefs@1")).to_have_count(0)

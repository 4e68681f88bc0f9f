"""The pages of agreement and of plans in a real browser: they fit, are accessible, and answer to their forms."""

from __future__ import annotations

from typing import Any

import pytest
from django.urls import reverse
from playwright.sync_api import Browser, expect

from annotate.models import Rater
from tests import build
from tests.curation.test_people import populate
from tests.e2e.test_people import looks_right, open_page

pytestmark = [pytest.mark.e2e, pytest.mark.django_db(transaction=True)]


def test_agreement_and_plans_fit_every_screen_and_answer(browser: Browser, live_server: Any) -> None:
    project = build.make_project("p", overlap=4)
    populate(project, raters=4)
    judge = Rater.objects.get(project=project, kind="judge")
    for number, comparison in enumerate(project.comparisons.order_by("id")[:40]):
        build.make_judgement(comparison, judge, -1 if number % 3 else 1, repeat=5)
        build.make_routing(comparison, audit=number % 2 == 0, probability=0.5)
    page, wrong = open_page(browser, build.make_member(project, "viewer"), live_server)

    page.goto(reverse("agreement", args=["p"]))
    expect(page.get_by_text("no reliability shown").first).to_be_visible()  # they answer at random
    page.get_by_label("Coefficient").select_option("ac2")
    page.get_by_label("Slice by").select_option("length")
    page.get_by_role("button", name="Show").press("Enter")
    expect(page.get_by_role("img", name="Agreement by slice")).to_be_visible()
    expect(page.get_by_role("rowheader", name="more than")).to_be_visible()
    looks_right(page, "agreement", wrong)

    page.goto(reverse("planner", args=["p"]))
    page.get_by_label("Difference to see").fill("5")
    page.get_by_role("button", name="Plan").press("Enter")
    expect(page.get_by_text("To see a difference of 5 points")).to_be_visible()
    page.get_by_text("As a table").press("Enter")
    looks_right(page, "planner", wrong)

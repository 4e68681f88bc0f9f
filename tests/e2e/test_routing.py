"""A curator's story of routing in a browser: a policy is written, checked meanwhile, switched on; and overruled."""

from __future__ import annotations

from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, expect

from curation.models import RoutingDecision, RoutingPolicy
from tests import build
from tests.curation.test_pages import World, url
from tests.e2e.test_curate import open_page

pytestmark = [pytest.mark.e2e, pytest.mark.django_db(transaction=True)]


def test_a_policy_is_checked_while_it_is_written_and_then_decides(browser: Browser, live_server: Any) -> None:
    world = World(1)
    page, wrong = open_page(browser, world, live_server)
    page.goto(url(world, "routing"))
    form = page.get_by_role("form", name="A policy, or a new version of one")
    form.get_by_label("Name").fill("mine")
    form.get_by_label("Audit").fill("0.7")
    form.get_by_label("Exploration").fill("0.7")
    expect(form.get_by_role("status")).to_contain_text("more than the whole budget")
    form.get_by_label("Exploration").fill("0.1")
    expect(form.get_by_role("status")).to_contain_text("mine@1")
    form.get_by_role("button", name="Make a draft").click()
    made = page.get_by_role("article", name="mine@1")
    made.get_by_label("Share, %").fill("40")
    made.get_by_role("button", name="Let mine@1 decide").click()  # the browser asks for the tick first
    assert RoutingPolicy.objects.get(name="mine").status == "draft"
    made.get_by_label("though it was never simulated").check()
    made.get_by_role("button", name="Let mine@1 decide").click()
    expect(page.get_by_text("mine@1 decides 40% of the comparisons.")).to_be_visible()
    assert wrong == []


def test_a_comparison_is_taken_from_the_router_by_keyboard(browser: Browser, live_server: Any) -> None:
    world = World(1)
    page, wrong = open_page(browser, world, live_server)
    page.goto(url(world, "routing"))
    name = world.comparisons[0].external_id
    page.get_by_label(f"Decide otherwise about {name}").focus()
    page.keyboard.press("Enter")
    page.get_by_label("Whom").select_option("people")
    page.get_by_label("Because").last.fill("it is about us")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name=f"Give {name} back to the router")).to_be_visible()
    assert RoutingDecision.objects.get(current=True).reason == "it is about us"
    assert wrong == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_full_page_of_routing_is_accessible(browser: Browser, live_server: Any, scheme: Any) -> None:
    world = World(2)
    model = {"reason": "it does not predict", "rho": 0.1, "rmse": 0.02, "n": 60, "n_mixes": 200, "rho_bands": [0.1]}
    build.make_policy(world.project, name="gain", kind="expected-gain", learned={"gain_model": model})
    for i, comparison in enumerate(world.comparisons):
        arm = build.make_policy(world.project, name=f"arm-{i}", status="active", share=0.5)
        comparison.routing_decisions.update(policy=str(arm), policy_version=arm)
    page, wrong = open_page(browser, world, live_server, viewport={"width": 360, "height": 740}, color_scheme=scheme)
    page.goto(url(world, "routing"))
    for summary in page.locator("main summary").all():
        if summary.is_visible():
            summary.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    found = Axe().run(page).response["violations"]
    assert [(v["id"], v["nodes"][0]["target"]) for v in found] == []
    assert wrong == []

"""A curator's story in a real browser: a project from a preset, its form edited beside its preview, and saved."""

from __future__ import annotations

from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.test import Client
from django.urls import reverse
from playwright.sync_api import Browser, Page, expect

from annotate.models import Form, Judgement
from annotate.services import presets, projects
from tests.build import make_comparison, make_member, make_user
from tiebreak.accounts.models import Membership, Project, User
from tiebreak.accounts.roles import Role

pytestmark = [pytest.mark.e2e, pytest.mark.django_db(transaction=True)]


def visit(browser: Browser, live_server: Any, user: User, **options: Any) -> tuple[Page, list[str]]:
    """A page of somebody who is signed in, and the list of what goes wrong in it."""
    client = Client()
    client.force_login(user)
    context = browser.new_context(base_url=live_server.url, reduced_motion="reduce", **options)
    context.add_cookies([{"name": "sessionid", "value": client.cookies["sessionid"].value, "url": live_server.url}])
    page, wrong = context.new_page(), list[str]()
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    return page, wrong


def project_of(owner: User) -> Project:
    return projects.create_project("chat", "Chat", by=owner, **presets.preset_of("multipref").form())


def staff() -> User:
    user = make_user("ada")
    User.objects.filter(pk=user.pk).update(is_staff=True)
    return user


def test_from_a_preset_by_way_of_the_preview_to_what_annotators_see(browser: Browser, live_server: Any) -> None:
    ada = staff()
    page, wrong = visit(browser, live_server, ada, viewport={"width": 1280, "height": 900})
    page.goto(reverse("home"))
    page.get_by_role("link", name="New project").click()
    page.get_by_label("Name", exact=True).fill("Chat")
    page.get_by_label("Code").check()
    page.get_by_role("button", name="Make the project").click()
    expect(page.get_by_role("heading", name="Form 1")).to_be_visible()

    project = Project.objects.get(slug="chat")
    for n in range(3):
        make_comparison(project, f"c{n}", prompt="What is asked?")
    ann = make_member(project, Role.ANNOTATOR, name="ann")
    annotator, _ = visit(browser, live_server, ann)
    annotator.goto(reverse("compare", args=["chat"]))  # she holds one under form 1, and fetches another ahead
    annotator.wait_for_load_state("networkidle")
    expect(annotator.get_by_role("group", name="Works").first).to_be_visible()

    preview = page.locator("#form-preview")
    page.get_by_label("Strengths on each side").select_option("1")
    page.get_by_role("button", name="Add an aspect").click()
    page.get_by_label("Label of aspect 4").fill("Free of surprises")
    page.get_by_role("button", name="Remove aspect 1").click()
    expect(preview.get_by_text("No longer asked: Works")).to_be_visible()
    expect(preview.get_by_text("before annotators now")).to_be_visible()  # hers, and the one fetched ahead
    expect(preview.locator(".miniature")).to_contain_text("Free of surprises")
    expect(preview.locator(".miniature")).not_to_contain_text("A is much better")
    expect(preview.locator(".miniature")).to_contain_text("What is asked?")
    assert Form.objects.count() == 1
    page.get_by_role("button", name="Save as form 2").click()
    expect(page.get_by_text("Form 2 is saved.")).to_be_visible()
    assert wrong == []

    annotator.reload()  # still the old form, for what she holds and for what was fetched ahead of it
    screen = annotator.locator("#comparison")
    for _ in range(2):
        held = screen.get_attribute("data-assignment") or ""
        expect(annotator.locator(".scale").get_by_text("A is much better")).to_be_visible()
        expect(annotator.get_by_role("group", name="Works").first).to_be_visible()
        annotator.keyboard.press("1")
        annotator.keyboard.press("Control+Enter")
        expect(screen).not_to_have_attribute("data-assignment", held)
    expect(annotator.get_by_role("group", name="Free of surprises").first).to_be_visible()
    expect(annotator.locator(".scale").get_by_text("A is much better")).to_have_count(0)
    expect(annotator.get_by_role("group", name="Works")).to_have_count(0)
    said = Judgement.objects.filter(rater__user=ann).values_list("form__number", "preference")
    annotator.wait_for_load_state("networkidle")  # the answers have left the page
    assert {(number, abs(preference or 0)) for number, preference in said} == {(1, 3)}


def test_two_curators_lose_nothing(browser: Browser, live_server: Any) -> None:
    ada, bob = make_user("ada"), make_user("bob")
    project = project_of(ada)
    Membership.objects.create(project=project, user=bob, role=Role.CURATOR)
    page, _ = visit(browser, live_server, ada)
    page.goto(reverse("form", args=["chat"]))
    page.get_by_label("Annotators for each comparison").fill("4")
    projects.change_form(project, by=bob, levels=1)
    page.get_by_role("button", name="Save as form 2").click()
    expect(page.get_by_role("heading", name="Form 2 was saved while you worked on form 1")).to_be_visible()
    expect(page.get_by_label("Annotators for each comparison")).to_have_value("4")
    expect(page.get_by_label("Strengths on each side")).to_have_value("1")
    page.get_by_role("button", name="Save as form 3").click()
    expect(page.get_by_text("Form 3 is saved.")).to_be_visible()
    form = projects.current_form(project)
    assert (form.levels, form.overlap) == (1, 4)


def test_what_is_wrong_stands_beside_its_field_until_it_is_right(browser: Browser, live_server: Any) -> None:
    ada = make_user("ada")
    project_of(ada)
    page, wrong = visit(browser, live_server, ada)
    page.goto(reverse("form", args=["chat"]))
    field = page.locator(".field", has=page.get_by_label("Lease, in seconds"))
    page.get_by_label("Lease, in seconds").fill("3")
    expect(field.locator(".errorlist")).to_have_count(1)
    expect(page.get_by_label("Lease, in seconds")).to_have_attribute("aria-invalid", "true")
    page.get_by_role("link", name="Lease, in seconds").click()
    expect(page.get_by_label("Lease, in seconds")).to_be_focused()
    page.get_by_label("Lease, in seconds").fill("300")
    expect(page.locator(".miniature")).to_be_visible()
    expect(field.locator(".errorlist")).to_have_count(0)
    expect(page.locator("[aria-invalid]")).to_have_count(0)
    assert wrong == []


def test_a_new_preview_stands_as_the_one_before_was_left(browser: Browser, live_server: Any) -> None:
    ada = make_user("ada")
    project = project_of(ada)
    make_comparison(project, a="long " * 1500)
    page, wrong = visit(browser, live_server, ada, viewport={"width": 1280, "height": 800})
    page.goto(reverse("form", args=["chat"]))
    guidelines = page.locator("textarea[name=guidelines]")
    guidelines.fill("Be kind.")
    page.get_by_text("What differs in the guidelines").click()
    page.evaluate("document.querySelector('.miniature').scrollTop = 150")
    guidelines.fill("Be kind, and brief.")
    expect(page.locator("#form-preview ins", has_text="brief")).to_be_visible()
    assert page.evaluate("document.querySelector('.miniature').scrollTop") == 150
    assert wrong == []


def test_the_editor_works_without_javascript(browser: Browser, live_server: Any) -> None:
    ada = make_user("ada")
    project = project_of(ada)
    page, _ = visit(browser, live_server, ada, java_script_enabled=False)
    page.goto(reverse("form", args=["chat"]))
    page.get_by_label("Label of aspect 4").fill("Free of surprises")
    page.get_by_label("Label of aspect 1").fill("")
    page.get_by_label("Key of aspect 1").fill("")
    page.get_by_role("button", name="Show what it does").click()
    expect(page.locator("#form-preview").get_by_text("No longer asked: Helpful")).to_be_visible()
    expect(page.locator(".miniature")).to_contain_text("Free of surprises")
    assert project.forms.count() == 1
    page.get_by_role("button", name="Save as form 2").click()
    expect(page.get_by_text("Form 2 is saved.")).to_be_visible()
    keys = [aspect["key"] for aspect in projects.current_form(project).aspects]
    assert keys == ["truthfulness", "harmlessness", "free-of-surprises"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_of_a_form_fits_and_is_accessible(browser: Browser, live_server: Any, scheme: Any) -> None:
    ada = staff()
    project = project_of(ada)
    make_comparison(project, a="long " * 300)
    projects.change_form(project, by=ada, levels=1)
    for width in (360, 1280, 1920):
        page, wrong = visit(browser, live_server, ada, viewport={"width": width, "height": 800}, color_scheme=scheme)
        for route in ("new-project", "form", "form-versions", "duplicate", "import"):
            page.goto(reverse(route, args=[] if route == "new-project" else ["chat"]))
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (route, width)
            if width < 1920:
                found = Axe().run(page).response["violations"]
                assert [(v["id"], v["nodes"][0]["target"]) for v in found] == [], (route, width)
            assert wrong == [], (route, width)
        page.context.close()

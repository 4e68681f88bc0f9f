"""An adjudicator's story in a real browser: by keys alone, without scripts, on a phone, by light and in the dark."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.test import Client
from django.urls import reverse
from playwright.sync_api import Browser, Page, expect

from annotate.models import Adjudication, Comment, Comparison, Flag, Judgement, Rater, Review
from annotate.services import commenting, reviewing
from tests import build
from tiebreak.accounts.models import Project, User
from tiebreak.accounts.roles import Role

pytestmark = [pytest.mark.e2e, pytest.mark.django_db(transaction=True)]
SIZES: Final = ((360, 740), (1280, 800), (1920, 1080))
CODE: Final = "```python\ndef area(r):\n    return 3.14159 * r ** 2\n```"


def make_case(project: Project, number: int) -> Comparison:
    """A disputed comparison of three people and a judge; the third person has an account."""
    comparison = build.make_comparison(
        project,
        prompt=f"Question {number}: how do I compute the area of a circle in Python?",
        a=f"Multiply the square of the radius by π.\n\n{CODE}\n\nThat is all.",
        b="Use `math.pi`:\n\n```python\nimport math\nprint(math.pi)\n```\n\n| r | area |\n|---|---|\n| 1 | 3.14 |",
        context="The asker is twelve years old.",
    )
    names = ("nora", "tom")
    for name, preference in zip(names, (-2, 1), strict=True):
        rater, _ = Rater.objects.get_or_create(project=project, kind="annotator", name=name)
        build.make_judgement(
            comparison, rater, preference, form=project.forms.get(), seconds=38.0 + preference,
            aspects={"help": preference, "truth": 0}, reasons=["clearer"],
            justification="It explains the step that the other leaves out, and its code can be run as it stands.",
            evidence=[{"side": "a", "exact": "Multiply the square of the radius", "start": 0, "end": 33}],
        )  # fmt: skip
    anna = User.objects.filter(username="anna").first() or build.make_member(project, name="anna")
    rater, _ = Rater.objects.get_or_create(project=project, user=anna, defaults={"kind": "annotator", "name": "anna"})
    build.make_judgement(comparison, rater, 2, form=project.forms.get(), justification="B uses the library.")
    judge = project.judges.first() or build.make_judge(project, "critic")
    build.make_call(judge, comparison, 1)
    Comparison.objects.filter(pk=comparison.pk).update(status="disputed")
    return comparison


@pytest.fixture
def project() -> Project:
    aspects = [{"key": "help", "label": "Helpfulness"}, {"key": "truth", "label": "Truthfulness"}]
    project = build.make_project("court", overlap=3, aspects=aspects, reasons=["clearer", "shorter"])
    build.make_member(project, Role.ADJUDICATOR, name="expert")
    build.make_member(project, Role.CURATOR, name="carla")
    for number in range(3):
        make_case(project, number)
    return project


Open = Callable[..., Page]


@pytest.fixture
def open_as(browser: Browser, live_server: Any) -> Open:
    """A page of somebody who is signed in; errors in it fail the test when it says so."""

    def open_(name: str, address: str, **options: Any) -> Page:
        client = Client()
        client.force_login(User.objects.get(username=name))
        context = browser.new_context(base_url=live_server.url, reduced_motion="reduce", **options)
        context.add_cookies([{"name": "sessionid", "value": client.cookies["sessionid"].value, "url": live_server.url}])
        page = context.new_page()
        page.on("pageerror", lambda error: pytest.fail(str(error)))
        page.goto(address)
        return page

    return open_


def look(page: Page, name: str) -> None:
    """Keep a picture where TIEBREAK_PICTURES names a folder."""
    if folder := os.environ.get("TIEBREAK_PICTURES"):
        page.screenshot(path=str(Path(folder) / f"{name}.png"), full_page=True)


def test_a_dispute_is_decided_by_keys_alone_and_the_next_comes_at_once(project: Project, open_as: Open) -> None:
    page = open_as("expert", reverse("adjudicate", args=["court"]))
    first = page.locator(".prompt .doc").first.inner_text()
    page.keyboard.press("5")
    page.keyboard.press("w")
    page.keyboard.type("B can be run; A rounds π.")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".message.success")).to_contain_text("Decided: B is slightly better")
    assert page.locator(".prompt .doc").first.inner_text() != first
    decision = Adjudication.objects.get()
    assert (decision.preference, decision.reason) == (1, "B can be run; A rounds π.")
    expect(page.locator("#prompt-title")).to_be_focused()  # the next one has arrived
    page.keyboard.press("b")  # both bad
    expect(page.get_by_role("checkbox", name="Both bad")).to_be_checked()
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".prompt .doc").first).to_have_text(first)
    assert set(Comparison.objects.values_list("status", flat=True)) == {"disputed"}


def test_nothing_is_sent_without_a_choice_and_a_reason(project: Project, open_as: Open) -> None:
    page = open_as("expert", reverse("adjudicate", args=["court"]))
    page.keyboard.press("Control+Enter")
    expect(page.get_by_label("Why?")).to_be_focused()  # the browser leads to what is missing
    page.keyboard.type("A is right.")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("radio").first).to_be_focused()
    assert not Adjudication.objects.exists()


def test_judgements_are_walked_accepted_returned_and_corrected_by_keys(project: Project, open_as: Open) -> None:
    page = open_as("expert", reverse("adjudicate", args=["court"]))
    for key in ("j", "a"):
        page.keyboard.press(key)
    expect(page.locator(".vote").nth(0)).to_contain_text("accepted")
    expect(page.locator("#prompt-title")).to_be_focused()
    for key in ("j", "j", "j", "r"):
        page.keyboard.press(key)
    page.keyboard.type("Is it the library?")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".vote").nth(2)).to_contain_text("returned")
    expect(page.locator("#prompt-title")).to_be_focused()
    for key in ("j", "j", "x", "1", "w"):
        page.keyboard.press(key)
    page.keyboard.type("A is right.")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".message.success")).to_be_visible()
    assert sorted(Review.objects.values_list("verdict", flat=True)) == ["accepted", "corrected", "returned"]
    assert Adjudication.objects.get().preference == -3


def test_judges_stay_folded_until_they_are_asked_for(project: Project, open_as: Open) -> None:
    page = open_as("expert", reverse("adjudicate", args=["court"]))
    expect(page.get_by_text("critic v1")).to_be_hidden()
    page.keyboard.press("g")
    expect(page.get_by_text("critic v1")).to_be_visible()


def test_it_works_without_scripts(project: Project, open_as: Open) -> None:
    page = open_as("expert", reverse("adjudicate", args=["court"]), java_script_enabled=False)
    page.get_by_label("Why?").fill("A is right.")
    page.locator("input[name=choice][value='-2']").check(force=True)
    page.get_by_role("button", name="Decide").click()
    expect(page.locator(".message.success")).to_contain_text("Decided: A is better")
    page.get_by_label("Comment", exact=True).fill("@carla look at this one")
    page.get_by_role("button", name="Comment", exact=True).click()
    expect(page.locator(".remarks")).to_contain_text("@carla look at this one")
    assert (Adjudication.objects.count(), Comment.objects.count()) == (1, 1)


def test_a_mention_waits_in_the_inbox_until_it_is_read(project: Project, open_as: Open) -> None:
    comparison = Comparison.objects.earliest("pk")
    commenting.comment(comparison, "@carla is this a duplicate?", by=User.objects.get(username="expert"))
    page = open_as("carla", reverse("inbox"))
    expect(page.get_by_role("link", name="Inbox, 1 unread")).to_be_visible()
    page.get_by_role("button", name="Mark what expert wrote as read").click()
    expect(page.get_by_role("link", name="Inbox", exact=True)).to_be_visible()
    page.get_by_role("link", name="Open what expert wrote about").click()
    expect(page.locator(".remarks")).to_contain_text("is this a duplicate?")


def test_what_was_returned_is_explained_from_the_inbox(project: Project, open_as: Open) -> None:
    judgement = Judgement.objects.filter(rater__user__username="anna").earliest("pk")
    reviewing.return_judgement(judgement, "Which library?", by=User.objects.get(username="expert"))
    page = open_as("anna", reverse("inbox"))
    page.get_by_text("Explain it instead").click()
    page.get_by_label("Why does your answer stand?").fill("The math module.")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_text("Your explanation was sent.")).to_be_visible()
    assert Review.objects.get().answered_at is not None


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_fits_every_screen_and_is_accessible(project: Project, open_as: Open, scheme: str) -> None:
    comparison = Comparison.objects.earliest("pk")
    rater = Rater.objects.get(user__username="anna")
    Flag.objects.create(comparison=comparison, rater=rater, kind="broken", note="The code is cut off.")
    commenting.comment(comparison, "@carla is this a duplicate?", by=User.objects.get(username="expert"))
    judgement = comparison.judgements.get(rater=rater)
    reviewing.return_judgement(judgement, "Which library?", by=User.objects.get(username="expert"))
    addresses = [
        ("expert", reverse("adjudicate-one", args=["court", comparison.pk]), "case"),
        ("carla", reverse("reviews", args=["court"]), "reviews"),
        ("carla", reverse("flags", args=["court"]), "flags"),
        ("carla", reverse("comparison", args=["court", comparison.pk]), "comparison"),
        ("carla", reverse("inbox"), "inbox"),
        ("anna", reverse("inbox"), "inbox-anna"),
    ]
    for width, height in SIZES:
        for name, address, called in addresses:
            page = open_as(name, address, viewport={"width": width, "height": height}, color_scheme=scheme)
            look(page, f"{called}-{width}-{scheme}")
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (address, width)
            found = Axe().run(page).response["violations"]
            assert [(v["id"], v["nodes"][0]["target"]) for v in found] == [], (address, width)
            page.context.close()


def test_a_curator_reviews_by_keys_and_reads_the_responses_in_place(project: Project, open_as: Open) -> None:
    page = open_as("carla", reverse("reviews", args=["court"]))
    for key in ("j", "e"):
        page.keyboard.press(key)
    expect(page.locator(".vote").first).to_contain_text("Multiply the square of the radius")
    page.keyboard.press("a")
    expect(page.locator(".vote").first).to_contain_text("accepted")
    page.keyboard.press("j")
    page.keyboard.press("j")
    assert Review.objects.get().verdict == "accepted"

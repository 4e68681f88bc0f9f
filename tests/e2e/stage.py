"""The stage of the annotators' stories: a project with everything on its screen, and a browser that is signed in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from django.test import Client
from django.utils import timezone
from playwright.sync_api import Browser, BrowserContext, Page, Request, expect

from annotate.models import Criterion, Rubric
from tests.build import make_comparison, make_member, make_project
from tiebreak.accounts.models import Project, User
from tiebreak.accounts.roles import Role

PASSWORD: Final = "correct horse battery"
CODE: Final = "```python\nfor number in range(100):\n    print(number)\n```"
LONG: Final = f"| a | b |\n|---|---|\n| 1 | 2 |\n\n{CODE}\n\n$x^2$ {'word ' * 80}"
ASPECTS: Final = [
    {"key": "tone", "label": "Tone", "kind": "preference"},
    {"key": "truth", "label": "Truthfulness", "kind": "rating"},
]


def small_project(count: int = 4, **form: Any) -> tuple[Project, User]:
    """A chat project of `count` comparisons and its one annotator, ada."""
    project = make_project("chat", **({"overlap": 1, "lease_seconds": 900} | form))
    for number in range(count):
        make_comparison(project, prompt=f"Question {number}?", a=f"First to {number}.", b=f"Second to {number}.")
    return project, make_member(project, Role.ANNOTATOR, name="ada", password=PASSWORD)


def whole_project(count: int = 3, **form: Any) -> tuple[Project, User]:
    """The same with every control that a form can ask for, and long responses."""
    asked: dict[str, Any] = {
        "overlap": 1, "aspects": ASPECTS, "confidence": True, "reasons": ["facts", "style"], "guidelines": "Be *fair*.",
        "checklist": True, "evidence": True, "justification": "optional", "session_quota": 20,
    }  # fmt: skip
    project = make_project("chat", **(asked | form))
    ada = make_member(project, Role.ANNOTATOR, name="ada", password=PASSWORD)
    approved = {"status": Rubric.Status.APPROVED, "approved_by": ada, "approved_at": timezone.now()}
    rubric = Rubric.objects.create(project=project, name="answers", version=1, **approved)
    texts = ["Answers the question that was asked", "Invents no source"]
    for position, text in enumerate(texts):
        Criterion.objects.create(rubric=rubric, position=position, kind=Criterion.Kind.PRINCIPLE, text=text)
    project.forms.update(rubric=rubric)
    for number in range(count):
        left, right = f"Alpha the first of them.\n\n{LONG}", f"Alpha the second of them.\n\n{LONG}"
        make_comparison(project, prompt=f"Question {number}?", context="A school.", a=left, b=right)
    return project, ada


@dataclass
class Visitor:
    """A browser of somebody who is signed in, and what went wrong in its page."""

    page: Page
    wrong: list[str] = field(default_factory=list)
    asking: set[Request] = field(default_factory=set)

    @property
    def context(self) -> BrowserContext:
        return self.page.context

    def another_tab(self) -> Visitor:
        return _watched(self.context.new_page())

    @property
    def action(self) -> str:
        return self.page.locator("#answer").get_attribute("action") or ""

    @property
    def assignment(self) -> int:
        return int(self.page.locator("#comparison").get_attribute("data-assignment") or 0)

    def open(self, path: str = "/p/chat/compare/") -> Visitor:
        self.page.goto(path)
        return self.ready() if path.endswith("/compare/") else self

    def ready(self) -> Visitor:
        """The screen listens to keys: its script has met this comparison. No person is as fast as a test."""
        expect(self.page.locator("#answer[data-favours]")).to_be_visible()
        return self

    def fetched_ahead(self) -> Visitor:
        """The next comparison has come."""
        expect(self.page.locator("#comparison[data-ready]")).to_be_visible()
        return self

    def press(self, *keys: str) -> Visitor:
        for key in keys:
            self.page.keyboard.press(key)
        return self

    def gone_from(self, action: str) -> Visitor:
        """Another comparison stands here than the one with this address."""
        expect(self.page.locator(f'#answer[action="{action}"]')).to_have_count(0)
        return self

    def leave(self) -> None:
        """Close the browser once the server has answered: it would work on while the tables are emptied."""
        self.page.goto("about:blank")
        eventually(self.page, lambda: not self.asking, f"answered: {self.asking}")
        self.page.wait_for_timeout(100)
        self.context.close()


def enter(browser: Browser, live_server: Any, user: User, **options: Any) -> Visitor:
    """A fresh browser in which `user` is signed in."""
    client = Client()
    client.force_login(user)
    context = browser.new_context(**({"base_url": live_server.url, "reduced_motion": "reduce"} | options))
    sign_in_as(context, client, live_server)
    return _watched(context.new_page())


def sign_in_as(context: BrowserContext, client: Client, live_server: Any) -> None:
    cookie = client.cookies["sessionid"].value
    context.add_cookies([{"name": "sessionid", "value": cookie, "url": live_server.url}])


def _watched(page: Page) -> Visitor:
    """Errors of scripts, and what the policy of content refused, as they happen."""
    visitor = Visitor(page)
    page.on("request", lambda request: visitor.asking.add(request))
    page.on("requestfinished", lambda request: visitor.asking.discard(request))
    page.on("requestfailed", lambda request: visitor.asking.discard(request))
    page.on("pageerror", lambda error: visitor.wrong.append(str(error)))
    page.on("console", lambda message: visitor.wrong.append(message.text) if message.type == "error" else None)
    return visitor


def eventually(page: Page, true: Callable[[], bool], what: str, seconds: float = 6.0) -> None:
    """Wait for something that no element tells."""
    for _ in range(int(seconds * 20)):
        if true():
            return
        page.wait_for_timeout(50)
    raise AssertionError(what)

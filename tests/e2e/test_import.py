"""A file goes in by the browser: chosen, sent, followed to its end, with what could not be taken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from playwright.sync_api import Browser, expect

from tests.build import make_member, make_project
from tiebreak.accounts.roles import Role
from tiebreak.runs import ledger
from tiebreak.runs.models import Run

pytestmark = [pytest.mark.e2e, pytest.mark.django_db(transaction=True)]

ROWS = """{"id": "r1", "prompt": "?", "completion_a": "x", "completion_b": "y"}
{"id": "r2", "prompt": "?"}
"""


def test_a_file_is_sent_followed_and_its_rejects_are_named(
    browser: Browser, live_server: Any, tmp_path: Path, storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "send", lambda run: True)  # what a worker would do is done below
    project = make_project("chat")
    client = Client()
    client.force_login(make_member(project, Role.CURATOR))
    context = browser.new_context(base_url=live_server.url, reduced_motion="reduce")
    context.add_cookies([{"name": "sessionid", "value": client.cookies["sessionid"].value, "url": live_server.url}])
    page, wrong = context.new_page(), list[str]()
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    (tmp_path / "rows.jsonl").write_text(ROWS)

    page.goto(reverse("import", args=["chat"]))
    with page.expect_download() as example:
        page.get_by_role("link", name="Download an example").click()
    assert '"id": "example/1"' in Path(example.value.path()).read_text()
    page.get_by_label("File").set_input_files(tmp_path / "rows.jsonl")
    page.get_by_role("button", name="Import", exact=True).click()
    expect(page.get_by_text("waits for a worker")).to_be_visible()
    page.evaluate("window.stayed = true")
    ledger.execute(Run.objects.get().pk)
    expect(page.locator("#imports")).to_contain_text("1 created")
    expect(page.locator("#imports")).to_contain_text("line 2")
    assert page.evaluate("window.stayed")
    with page.expect_download() as rejects:
        page.get_by_role("link", name="Rejected rows, with the reasons").click()
    assert '"line": 2' in Path(rejects.value.path()).read_text()
    assert wrong == []

"""A curator brings a benchmark in: refused where its texts are not found, then listed; accessible, on a phone too."""

from __future__ import annotations

from typing import Any

import pytest
from django.urls import reverse
from playwright.sync_api import Browser, expect

from curation.models import EvaluationSet
from tests.curation.test_pages import World
from tests.e2e.test_curate import open_page
from tests.e2e.test_withdraw import fine

pytestmark = [pytest.mark.e2e, pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("storage")]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_benchmark_is_uploaded_and_removed(browser: Browser, live_server: Any, scheme: Any) -> None:
    world = World(1)
    page, wrong = open_page(browser, world, live_server, viewport={"width": 360, "height": 740}, color_scheme=scheme)
    page.goto(reverse("evaluation-sets", args=[world.project.slug]))
    expect(page.get_by_text("No evaluation set yet")).to_be_visible()
    fine(page)

    page.get_by_label("Name", exact=True).fill("sums")
    file = {"name": "sums.jsonl", "mimeType": "application/x-ndjson", "buffer": b'{"q": "What is 2+2?", "a": "4"}\n'}
    page.get_by_label("File", exact=True).set_input_files([file])  # type: ignore[list-item]
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_text("there are: q, a")).to_be_visible()
    fine(page)

    page.get_by_label("File", exact=True).set_input_files([file])  # type: ignore[list-item]
    page.get_by_label("Field", exact=True).fill("q")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_role("rowheader", name="sums")).to_be_visible()
    fine(page)
    assert EvaluationSet.objects.get().texts == 1

    page.get_by_role("button", name="Remove").click()
    expect(page.get_by_text("sums is gone.")).to_be_visible()
    assert [each for each in wrong if "422" not in each] == []  # the browser notes the refusal

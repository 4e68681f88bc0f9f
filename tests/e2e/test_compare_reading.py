"""Reading aids: folding, differences word by word, scrolling together, evidence, other scripts, a phone."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from annotate.models import Assignment, Judgement
from tests.build import make_comparison, make_member, make_project
from tiebreak.accounts.roles import Role

from .stage import Visitor, enter, eventually

pytestmark = [pytest.mark.e2e, pytest.mark.django_db(transaction=True)]

PARAGRAPHS = [f"Paragraph {number} says something of its own." for number in range(80)]


def _reader(browser: Browser, live_server: Any, a: str, b: str, **options: Any) -> Visitor:
    project = make_project("chat", overlap=1)
    make_comparison(project, prompt="Which?", a=a, b=b)
    ada = make_member(project, Role.ANNOTATOR, name="ada")
    return enter(browser, live_server, ada, **options).open()


def _marked(visitor: Visitor, name: str) -> list[str]:
    words: list[str] = visitor.page.evaluate(
        "name => [...(CSS.highlights.get(name) ?? [])].map((range) => range.toString())", name
    )
    return words


def test_long_responses_fold_at_one_height_and_unfold_by_key(browser: Browser, live_server: Any) -> None:
    visitor = _reader(browser, live_server, "\n\n".join(PARAGRAPHS), "\n\n".join(PARAGRAPHS[:50]))
    page = visitor.page
    heights = "[...document.querySelectorAll('.body')].map((body) => body.clientHeight)"
    left, right = page.evaluate(heights)
    assert left == right
    expect(page.locator(".response .unfold").first).to_contain_text("Show all")
    visitor.press("o")
    left, right = page.evaluate(heights)
    assert left != right
    page.reload()
    visitor.ready()
    assert page.evaluate(heights) == [left, right]  # remembered for this comparison
    page.locator(".response .unfold").first.click()
    assert page.evaluate(heights)[0] < left
    visitor.leave()


def test_the_words_that_only_one_response_has_are_marked(browser: Browser, live_server: Any) -> None:
    visitor = _reader(browser, live_server, "The cat sat on the **red** mat.", "The cat lay on the mat today.")
    page = visitor.page
    visitor.press("d")
    # Common: The cat · on the · mat . — of 8 words and marks each, A has "sat" and "red", B "lay" and "today" alone.
    assert set(_marked(visitor, "only-here")) == {"sat", "red", "lay", "today"}
    expect(page.locator("#difference-legend")).to_contain_text("25 % of A, 25 % of B")
    expect(page.locator("[data-act=diff]")).to_have_attribute("aria-pressed", "true")
    visitor.press("d")
    assert _marked(visitor, "only-here") == []
    expect(page.locator("#difference-legend")).to_be_hidden()
    visitor.leave()


def test_differences_of_long_texts_are_found_and_of_very_long_ones_declined(browser: Browser, live_server: Any) -> None:
    words = [f"w{number * 7919 % 5000}" for number in range(4000)]
    other = [*words[:1000], "changed", *words[1001:3000], "added", *words[3000:]]
    visitor = _reader(browser, live_server, " ".join(words), " ".join(other))
    visitor.press("d")
    assert {"changed", "added", words[1000]} == set(_marked(visitor, "only-here"))
    made = """async () => {
        const { common } = await import("/static/tiebreak/compare/difference.js");
        const began = performance.now();
        const a = Array.from({ length: 9990 }, (_, n) => `a${n % 3}`);
        const same = common(a, [...a].reverse());
        return [performance.now() - began, same.a.reduce((x, y) => x + y), same.b.reduce((x, y) => x + y)];
    }"""
    took, in_a, in_b = visitor.page.evaluate(made)
    assert in_a == in_b
    assert took < 2000
    visitor.leave()


def test_texts_too_long_to_compare_say_so(browser: Browser, live_server: Any) -> None:
    visitor = _reader(browser, live_server, "word " * 10_001, "other " * 10_001)
    visitor.press("d")
    expect(visitor.page.locator("#difference-legend")).to_contain_text("Too long to compare word by word: 20,002 words")
    assert _marked(visitor, "only-here") == []
    visitor.leave()


def test_both_scroll_at_the_same_share_of_their_length(browser: Browser, live_server: Any) -> None:
    visitor = _reader(browser, live_server, "\n\n".join(PARAGRAPHS), "\n\n".join(PARAGRAPHS[:40]))
    page = visitor.page
    visitor.press("s")
    share = """side => { const body = document.querySelector(`.body[data-side=${side}]`);
                         return body.scrollTop / (body.scrollHeight - body.clientHeight); }"""
    move = """([side, share]) => { const body = document.querySelector(`.body[data-side=${side}]`);
                                  body.scrollTop = share * (body.scrollHeight - body.clientHeight); }"""
    for mover, follower, to in (("left", "right", 0.5), ("right", "left", 1.0), ("left", "right", 0.0)):
        page.evaluate(move, [mover, to])
        eventually(page, lambda at=follower, to=to: abs(page.evaluate(share, at) - to) < 0.02, f"{follower} follows")
    visitor.press("s")
    expect(page.locator(".pair.in-step")).to_have_count(0)
    visitor.leave()


SELECT = """([side, words]) => {
    const text = document.querySelector(`.body[data-side=${side}] .doc`);
    const walker = document.createTreeWalker(text, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const at = walker.currentNode.data.indexOf(words);
        if (at < 0) continue;
        getSelection().setBaseAndExtent(walker.currentNode, at, walker.currentNode, at + words.length);
        return;
    }
}"""


def test_evidence_is_highlighted_kept_in_the_draft_and_stored(browser: Browser, live_server: Any) -> None:
    visitor = _reader(
        browser, live_server, "Ein 😀 Satz mit *Betonung* darin.", "Noch ein 😀 Satz mit *Betonung* darin."
    )
    page = visitor.page
    page.evaluate(SELECT, ["left", "Satz mit "])
    visitor.press("h")
    assert _marked(visitor, "evidence") == ["Satz mit"]
    page.evaluate(SELECT, ["right", "Betonung"])
    page.get_by_role("button", name="Highlight as evidence").click()
    expect(page.locator(".evidence li")).to_have_count(2)
    held = Assignment.objects.filter(pk=visitor.assignment)
    eventually(page, lambda: len(held.get().draft.get("evidence", [])) == 2, "both are in the draft")
    page.reload()
    visitor.ready()
    assert _marked(visitor, "evidence") == ["Satz mit", "Betonung"]
    page.get_by_role("button", name="Remove: Betonung").click()
    expect(page.locator(".evidence li")).to_have_count(1)
    order = held.get().order
    visitor.press("2", "Control+Enter")
    eventually(page, lambda: Judgement.objects.count() == 1, "the answer arrives")
    [span] = Judgement.objects.get().evidence
    # "ein 😀 Satz": e-i-n-space-😀-space are six characters, so Satz begins at 6; "Noch ein 😀 " are eleven.
    start = 6 if order == "ab" else 11
    assert span == {"side": order[0], "exact": "Satz mit", "start": start, "end": start + 8}
    assert visitor.wrong == []
    visitor.leave()


def test_a_browser_without_highlights_gets_marks_that_leave_the_text_as_it_was(
    browser: Browser, live_server: Any
) -> None:
    visitor = _reader(browser, live_server, "The cat *sat* on the mat.", "The cat *lay* on the mat.")
    page = visitor.page
    page.add_init_script("delete CSS.highlights")
    page.reload()
    visitor.ready()
    before = page.locator(".body[data-side=left] > .doc").inner_text()
    visitor.press("d")
    expect(page.locator("mark.only-here")).to_have_count(2)
    page.evaluate(SELECT, ["left", "cat"])
    visitor.press("h")
    expect(page.locator(".body[data-side=left] mark.evidence")).to_have_text("cat")
    visitor.press("d")
    expect(page.locator("mark.only-here")).to_have_count(0)
    assert page.locator(".body[data-side=left] > .doc").inner_text() == before
    visitor.leave()


def test_a_conversation_folds_its_earlier_turns_and_marks_the_system_prompt(browser: Browser, live_server: Any) -> None:
    project = make_project("chat", overlap=1)
    comparison = make_comparison(project, prompt="And in winter?")
    turns = [("system", "Be brief."), ("user", "When is it warm?"), ("assistant", "In July.")]
    before = [{"role": role, "content": content} for role, content in turns]
    comparison.prompt.messages = [*before, *comparison.prompt.messages]
    comparison.prompt.save()
    visitor = enter(browser, live_server, make_member(project, Role.ANNOTATOR, name="ada")).open()
    page = visitor.page
    expect(page.locator(".prompt")).to_contain_text("And in winter?")
    system = page.locator("details.turn", has_text="System prompt")
    expect(system.locator(".doc").first).to_be_hidden()
    system.locator("summary").click()
    expect(system.locator(".doc").first).to_have_text("Be brief.")
    expect(page.locator("details.turn")).to_have_count(3)
    visitor.leave()


def test_right_to_left_and_cjk_texts_stand_in_their_own_direction(browser: Browser, live_server: Any) -> None:
    arabic = "القطة جلست على السجادة.\n\n```python\nprint('left')\n```"
    visitor = _reader(browser, live_server, arabic, "猫坐在垫子上。今天天气很好。")
    page = visitor.page
    sides = page.locator(".response .body > .doc p:first-child")
    directions = sides.evaluate_all("all => all.map((one) => getComputedStyle(one.closest('.doc')).direction)")
    assert sorted(directions) == ["ltr", "rtl"]
    assert page.locator("pre.code").evaluate("pre => getComputedStyle(pre).direction") == "ltr"
    visitor.press("d")
    assert _marked(visitor, "only-here")
    expect(page.locator("#difference-legend")).to_contain_text("100 % of B")
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    visitor.leave()


def test_a_phone_shows_one_response_at_a_time_and_keeps_the_answer_in_reach(browser: Browser, live_server: Any) -> None:
    long = "\n\n".join(PARAGRAPHS)
    visitor = _reader(
        browser, live_server, long, long, viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True
    )
    page = visitor.page
    expect(page.locator(".response.left .body")).to_be_visible()
    expect(page.locator(".response.right .body")).to_be_hidden()
    page.get_by_role("button", name="Response B").tap()
    expect(page.locator(".response.right .body")).to_be_visible()
    expect(page.locator(".response.right .unfold")).to_contain_text("Show all")
    expect(page.get_by_role("button", name="Submit")).to_be_in_viewport()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.locator('input[name=choice][value="1"]').tap()
    page.get_by_role("button", name="Submit").tap()
    eventually(page, lambda: Judgement.objects.count() == 1, "the answer arrives")
    visitor.leave()

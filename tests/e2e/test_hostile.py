"""What others wrote, in a real browser: nothing of it runs, calls out, or leaves its box."""

from __future__ import annotations

import io
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pytest
from django.core.cache import cache
from PIL import Image as Pillow
from playwright.sync_api import Browser, ConsoleMessage, Dialog, Page, Response, Route
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from annotate.models import Comparison, Prompt
from annotate.rendering import Picture, render, render_raw
from annotate.services import images
from tests.build import make_comparison, make_image, make_member, make_project
from tests.e2e.stage import Visitor, enter
from tests.xss import FRAMES, IMG, LOUD, framed, payloads
from tiebreak.accounts.models import User
from tiebreak.accounts.roles import Role

pytestmark = [pytest.mark.e2e, pytest.mark.django_db(transaction=True)]

POLICY: Final = "content-security-policy"
CANARY: Final = """
window.__xss = [];
window.xss = function () { window.__xss.push(new Error().stack || 'ran'); };
for (const name of ['alert', 'confirm', 'prompt', 'print']) window[name] = window.xss;
"""
# Everything that stands in a text, as the browser read it: what it may be made of, and no more.
LOOK: Final = """
() => {
  const tags = new Set(`A BDI BLOCKQUOTE BR CODE DEL DIV EM H3 H4 H5 H6 HR IMG LI OL P PRE S SPAN STRONG TABLE TBODY TD
    TH THEAD TR UL`.split(/\\s+/));
  const ours = 'class data-code data-lang dir href rel start tabindex title xmlns src alt width height loading';
  const named = new Set(ours.split(' '));
  const found = {docs: 0, elements: 0, tags: [], attributes: [], links: [], sources: []};
  for (const doc of document.querySelectorAll('.doc')) {
    found.docs += 1;
    for (const element of doc.querySelectorAll('*')) {
      if (element.closest('.code-box > .copy')) continue;  // the page's own button
      if (element.matches('.code-box')) continue;
      found.elements += 1;
      const math = element.namespaceURI.endsWith('MathML');
      if (!math && !tags.has(element.tagName)) found.tags.push(element.outerHTML.slice(0, 200));
      for (const {name, value} of element.attributes) {
        if (/^on|^style$|^id$|^name$|hx-/.test(name) || !(math || named.has(name)))
          found.attributes.push(`${name}=${value}`.slice(0, 200));
      }
      if (element.href !== undefined && !/^(https?|mailto):/.test(element.protocol || element.href))
        found.links.push(element.outerHTML.slice(0, 200));
      if (element.src && new URL(element.src).origin !== location.origin) found.sources.push(element.src);
    }
  }
  return found;
}
"""
# Every event that a text could have been waiting for, at every element of it.
PROVOKE: Final = """
() => {
  addEventListener('click', event => event.preventDefault(), true);
  for (const details of document.querySelectorAll('details')) details.open = true;
  const names = `click dblclick auxclick contextmenu mousedown mouseup mouseover mouseenter mousemove wheel pointerdown
    pointerover pointerenter keydown keyup beforeinput input change copy cut paste dragstart drop focus focusin blur
    scroll toggle animationend transitionend load error begin submit`.split(/\\s+/);
  let sent = 0;
  for (const element of document.querySelectorAll('.doc, .doc *')) {
    for (const name of names) { element.dispatchEvent(new Event(name, {bubbles: false})); sent += 1; }
  }
  scrollTo(0, document.body.scrollHeight);
  return sent;
}
"""
# The page around the texts: what a text that broke out of its place would have changed.
AROUND: Final = """
() => ({
  base: document.baseURI, title: document.title, url: location.href,
  forms: document.forms.length, frames: frames.length, sheets: document.styleSheets.length,
  scripts: [...document.scripts].map(script => script.src),
  head: document.head.children.length, body: document.body.children.length,
  metas: document.querySelectorAll('meta').length, dialogs: document.querySelectorAll('dialog').length,
  answer: document.querySelectorAll('#answer').length, comparison: document.querySelectorAll('#comparison').length,
  outline: [...document.querySelectorAll('h1, h2')].map(heading => heading.textContent),
})
"""


class Watch:
    """Requests to anybody but us, dialogs, and refusals of the policy."""

    def __init__(self, page: Page, live_server: Any) -> None:
        self.foreign: list[str] = []
        self.dialogs: list[str] = []
        self.refused: list[str] = []
        ours = urlsplit(live_server.url).netloc
        page.add_init_script(CANARY)
        page.on("request", lambda request: self._request(request.url, ours))
        page.on("dialog", lambda dialog: (self.dialogs.append(dialog.message), dialog.dismiss()))
        page.on(
            "console", lambda told: self.refused.append(told.text) if "Content Security Policy" in told.text else None
        )

    def _dialog(self, dialog: Dialog) -> None:
        self.dialogs.append(dialog.message)
        dialog.dismiss()

    def _console(self, told: ConsoleMessage) -> None:
        if "Content Security Policy" in told.text:
            self.refused.append(told.text)

    def _request(self, url: str, ours: str) -> None:
        parts = urlsplit(url)
        if parts.netloc != ours and parts.scheme not in ("data", "blob", "about"):
            self.foreign.append(url)


def make_texts(texts: list[str]) -> tuple[User, Comparison]:
    """A comparison whose prompt has each text as a turn of its own, so that none of them can hide another."""
    project = make_project("chat", overlap=1)
    comparison = make_comparison(project, a=IMG, b=f"```html\n{IMG}\n```", context=IMG, reference=IMG)
    turns = [{"role": "user", "content": text} for text in [*texts, "the last turn"]]
    Prompt.objects.filter(pk=comparison.prompt_id).update(messages=turns)
    make_image(project)
    return make_member(project, name="ada"), comparison


def without_policy(route: Route) -> None:
    got = route.fetch()
    headers = {name: value for name, value in got.headers.items() if name.lower() != POLICY}
    route.fulfill(response=got, headers=headers)


def opened(visitor: Visitor) -> Response:
    response = visitor.page.goto("/p/chat/compare/", timeout=60_000)
    assert response is not None
    assert response.status == 200
    return response


def around(browser: Browser, live_server: Any, user: User) -> Any:
    """The page's frame with nothing in it that could harm."""
    Prompt.objects.update(messages=[{"role": "user", "content": "the last turn"}])
    visitor = enter(browser, live_server, user)
    opened(visitor)
    told = visitor.page.evaluate(AROUND)
    visitor.context.close()
    return told


def harmless(page: Page, least: int) -> None:
    """What the browser made of the texts is what texts may be made of, and nothing in it answers to anything."""
    look = page.evaluate(LOOK)
    assert look["docs"] >= least
    assert look["elements"] > 2 * least
    for kind in ("tags", "attributes", "links", "sources"):
        assert look[kind] == [], kind
    assert page.evaluate(PROVOKE) > 50 * least
    page.wait_for_timeout(300)
    assert page.evaluate("window.__xss") == []


@pytest.mark.parametrize("policy", [True, False], ids=["under the policy", "without the policy"])
@pytest.mark.usefixtures("storage")
def test_no_payload_runs_calls_out_or_leaves_its_place(browser: Browser, live_server: Any, policy: bool) -> None:
    texts = list(payloads())
    assert len(texts) > 600
    user, _ = make_texts(texts)
    visitor = enter(browser, live_server, user)
    page = visitor.page
    watch = Watch(page, live_server)
    if not policy:
        page.route("**/p/chat/compare/", without_policy)
    response = opened(visitor)
    assert (POLICY in response.headers) is policy
    visitor.ready()
    harmless(page, len(texts))
    assert (watch.dialogs, watch.foreign, watch.refused) == ([], [], [])
    told = page.evaluate(AROUND)
    visitor.context.close()
    assert told == around(browser, live_server, user)


def test_no_payload_runs_wherever_in_a_text_it_stands(browser: Browser, live_server: Any) -> None:
    """Thousands of texts in a bare page of ours that has no policy to save it."""
    texts = list(framed())
    assert len(texts) > 5_000
    ready = {"https://a.example/b.png": Picture("/p/chat/images/1/", 1, 1)}
    docs = "".join(f'<div class="doc">{html}</div>' for text in texts for html in (render(text, ready).html,))
    raws = "".join(f'<div class="doc">{render_raw(text).html}</div>' for text in texts[:: len(FRAMES)])
    page = browser.new_page(base_url=live_server.url)
    watch = Watch(page, live_server)
    body = f"<!doctype html><title>bare</title><body><main>{docs}{raws}</main>"
    page.route("**/bare/", lambda route: route.fulfill(status=200, content_type="text/html; charset=utf-8", body=body))
    page.goto("/bare/", wait_until="commit")
    page.wait_for_selector("main > .doc:last-child", state="attached")
    harmless(page, len(texts))
    assert (watch.dialogs, watch.foreign) == ([], [])
    assert page.evaluate("[document.body.children.length, document.scripts.length, document.title]") == [1, 0, "bare"]
    page.close()


def ran(visitor: Visitor, payload: str, headers: dict[str, str], seconds: float) -> bool:
    """Whether a payload runs where it stands as markup in a page of ours."""
    body = f"<!doctype html><body><main>{payload}</main>"
    html = {"content-type": "text/html; charset=utf-8"}
    visitor.page.route("**/raw/", lambda route: route.fulfill(status=200, headers=html | headers, body=body), times=1)
    visitor.page.goto("/raw/", wait_until="commit")
    with suppress(PlaywrightTimeout):  # a payload may hold its page up
        visitor.page.wait_for_load_state("load", timeout=2_000)
    for _ in range(int(seconds / 0.05)):
        if visitor.page.evaluate("window.__xss.length"):
            return True
        visitor.page.wait_for_timeout(50)
    return bool(visitor.page.evaluate("window.__xss.length"))


def test_the_same_payloads_run_as_markup_and_the_policy_alone_would_stop_them(
    browser: Browser, live_server: Any
) -> None:
    """The control: a test that could not see an attack would pass every page."""
    user, _ = make_texts(["nothing"])
    visitor = enter(browser, live_server, user)
    watch = Watch(visitor.page, live_server)
    policy = opened(visitor).headers[POLICY]
    silent = [payload for payload in LOUD if not ran(visitor, payload, {}, 0.6)]
    assert len(LOUD) - len(silent) >= 40, silent
    assert watch.refused == []
    assert not [payload for payload in LOUD if ran(visitor, payload, {POLICY: policy}, 0)]
    assert len(watch.refused) > 20
    visitor.context.close()


# Layout and direction


def show(browser: Browser, live_server: Any, *, a: str, b: str = "short", width: int = 1280, **fields: Any) -> Visitor:
    """A comparison of two texts on the annotator's screen; a stands on the left."""
    project = make_project("chat", overlap=1)
    make_comparison(project, prompt="A question?", a=a, b=b, **fields)
    make_image(project)
    visitor = enter(browser, live_server, make_member(project, name="ada"), viewport={"width": width, "height": 800})
    opened(visitor)
    return visitor.ready()


def picture(visitor: Visitor, name: str) -> None:
    folder = os.environ.get("TIEBREAK_SCREENSHOTS")
    if folder:
        visitor.page.screenshot(path=str(Path(folder) / f"{name}.png"))


BREAKING: Final = {
    "a word of 100,000 letters": "x" * 100_000,
    "stacked accents": ("Z" + "\u0335\u0489\u0301\u0300\u0316" * 40) * 40,
    "a table of 300 columns": f"|{'head|' * 300}\n|{'-|' * 300}\n|{'cell|' * 300}",
    "a cell of one long word": f"| a |\n|---|\n| {'w' * 3_000} |",
    "a formula without end": f"so ${'+'.join(['x'] * 300)}$ and $$\\sum {'+'.join(['y'] * 300)}$$",
    "room in a formula": "$" + "\\hspace{90em}" * 40 + "x$",
    "lists within lists": "\n".join("  " * level + f"- level {level}" for level in range(40)),
    "quotes within quotes": "> " * 40 + "deep",
    "headings": "# One\n\n## Two\n\nthree\n===\n",
    "code": f"```python\n{'y' * 5_000}\n```",
    "an address": f"<https://a.example/{'z' * 5_000}>",
    "a source": f"![{'w' * 3_000}](https://a.example/{'z' * 3_000})",
    "terminal colours": "\x1b[31mred\x1b[2J\x1b]0;title\x07" * 50,
    "signs": "\u202e\u2066\u200b\u200f" * 300,
}


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.usefixtures("storage")
def test_no_markup_breaks_the_page(browser: Browser, live_server: Any, width: int) -> None:
    """Each alone in a turn of the prompt, and the worst of them side by side."""
    everything = "\n\n".join(BREAKING.values())
    visitor = show(browser, live_server, a=everything, b=BREAKING["stacked accents"], width=width, context=everything)
    page = visitor.page
    picture(visitor, f"breaking-{width}")
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    outside = page.evaluate(
        """() => [...document.querySelectorAll('.doc')].filter(doc => doc.offsetParent).flatMap(doc => {
          const box = doc.getBoundingClientRect();
          const style = getComputedStyle(doc);
          const spills = style.overflowY === 'visible' || style.overflowX === 'visible';
          if (doc.closest('details:not([open])')) return [];
          const told = [style.overflowX, style.overflowY, box.left, box.right, doc.parentElement.className];
          return spills || box.right > innerWidth + 5 || box.left < -5 ? [told] : [];
        })"""
    )
    assert outside == []
    assert page.locator("h1").count() == 1
    assert page.evaluate("[...document.querySelectorAll('.doc :is(h1, h2)')].length") == 0
    answer = page.locator(".answer .send button[type=submit]")
    answer.scroll_into_view_if_needed()
    assert answer.is_visible()
    visitor.context.close()


CONTROLS: Final = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c"
# Where the letters after a sign stand, and those of the next element: from left to right they must be in order.
PLACES: Final = """
(number) => {
  const p = document.querySelectorAll('.response.left .doc')[0].querySelectorAll('p')[number];
  const walker = document.createTreeWalker(p, NodeFilter.SHOW_TEXT);
  const places = [];
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    if (node.parentElement.closest('.invisible')) continue;
    for (let at = 0; at < node.data.length; at += 1) {
      const range = document.createRange();
      range.setStart(node, at);
      range.setEnd(node, at + 1);
      const box = range.getBoundingClientRect();
      if (box.width) places.push(box.left);
    }
  }
  const selection = getSelection();
  selection.selectAllChildren(p);
  return {places, copied: selection.toString()};
}
"""


@pytest.mark.usefixtures("storage")
def test_signs_of_direction_change_nothing_beside_them_and_are_copied(browser: Browser, live_server: Any) -> None:
    lines = [f"abc{sign}def *ghi* jkl" for sign in CONTROLS] + ["abc\u200bdef\u00adghi\u2060jkl"]
    visitor = show(browser, live_server, a="\n\n".join(lines), b="\n\n".join(lines))
    picture(visitor, "signs")
    for number, line in enumerate(lines):
        told = visitor.page.evaluate(PLACES, number)
        assert told["places"] == sorted(told["places"]), ascii(line)
        assert told["copied"].strip() == line.replace("*", ""), ascii(line)
    marks = visitor.page.locator(".response.left .doc").first.locator("bdi.invisible")
    assert marks.count() == len(CONTROLS) + 3
    assert marks.nth(4).get_attribute("title") == "RIGHT-TO-LEFT OVERRIDE"
    assert marks.nth(4).bounding_box()["width"] > 20  # type: ignore[index]
    visitor.context.close()


MIXED: Final = """مرحبا بالعالم، هذا نص عربي فيه كلمة English وعدد 42.

- العنصر الأول
- العنصر الثاني مع `code`

> اقتباس قصير

English paragraph after it, with שלום inside.

1. אחת
2. שתיים

| الاسم | العدد |
|---|---|
| أحمد | ٣ |

```python
print("مرحبا")
```

$a^2 + b^2 = c^2$
"""
CJK: Final = """# 日本語の見出し

日本語の文章は、単語の間に空白がありません。それでも、行は正しい場所で折り返されるべきです。「括弧」や句読点は行頭に来ません。

- 中文列表：第一項，第二項。
- 한국어 문장도 있습니다. 띄어쓰기가 있습니다.

| 名前 | 値 |
|---|---|
| 東京 | 葛󠄀城 |
"""


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.usefixtures("storage")
def test_every_block_is_set_in_its_own_direction(browser: Browser, live_server: Any, width: int) -> None:
    visitor = show(browser, live_server, a=MIXED, b=CJK, width=width)
    page = visitor.page
    picture(visitor, f"scripts-{width}")
    directions = page.evaluate(
        """() => {
          const doc = [...document.querySelectorAll('.response .doc')].find(doc => doc.querySelector('math'));
          const of = name => [name, getComputedStyle(doc.querySelector(name)).direction];
          return Object.fromEntries(['ul', 'ol', 'blockquote', 'table', 'pre', 'math'].map(of));
        }"""
    )
    assert directions == {"ul": "rtl", "ol": "rtl", "blockquote": "rtl", "table": "rtl", "pre": "ltr", "math": "ltr"}
    page.evaluate("document.documentElement.dir = 'rtl'")
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    visitor.context.close()


# Images


@pytest.mark.usefixtures("storage")
def test_an_image_comes_from_us_alone_and_is_seen(browser: Browser, live_server: Any) -> None:
    out = io.BytesIO()
    Pillow.new("RGB", (3_000, 600), "teal").save(out, "PNG")
    project = make_project("chat", overlap=1)
    image = images.upload(project, out.getvalue(), by=make_member(project, Role.CURATOR))
    text = f"Before ![a teal field]({image.source}) after ![lost](https://foreign.example/x.png)."
    images.find(project, [text])
    make_comparison(project, a=text, b=text, prompt=text)
    for width in (360, 1280):
        ada = User.objects.filter(username="ada").first() or make_member(project, name="ada")
        visitor = enter(browser, live_server, ada, viewport={"width": width, "height": 800})
        watch = Watch(visitor.page, live_server)
        opened(visitor)
        visitor.ready()
        shown = visitor.page.get_by_alt_text("a teal field").first
        shown.scroll_into_view_if_needed()
        visitor.page.wait_for_function("document.querySelector('.doc img').naturalWidth === 2048")
        picture(visitor, f"image-{width}")
        box = shown.bounding_box()
        assert box is not None
        assert 100 < box["width"] <= width
        assert abs(box["width"] / box["height"] - 5) < 0.1
        assert visitor.page.get_by_text("[image: lost] (https://foreign.example/x.png) It is not fetched yet.").count()
        assert (watch.foreign, watch.refused) == ([], [])
        visitor.context.close()


# Length


@pytest.mark.usefixtures("storage")
def test_two_responses_of_200_000_characters_cost_little_and_less_the_second_time(
    browser: Browser, live_server: Any
) -> None:
    """The server is a thread of this process: its time is counted, and not that of the machine's other work."""
    part = "## Head\n\nSome *words* of `code`, a [link](https://a.example/) and so on.\n\n- one\n- two\n\n"
    code = "```python\n" + "def f(x):\n    return [y for y in range(x)]\n" * 60 + "```\n\n"
    mixed, words = (part * 40 + code) * 40, "word " * 40_000
    cache.clear()
    started = time.process_time()
    visitor = show(browser, live_server, a=mixed[:200_000], b=words)
    first = time.process_time() - started
    assert first < 5
    started = time.process_time()
    opened(visitor)
    visitor.ready()
    second = time.process_time() - started
    assert second < 1.5
    assert visitor.page.locator(".response .doc h4").count() > 1_000
    assert visitor.page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    visitor.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.usefixtures("storage")
def test_the_page_of_images_fits_and_is_accessible(
    browser: Browser, live_server: Any, scheme: Any, width: int, tmp_path: Path
) -> None:
    from axe_playwright_python.sync_playwright import Axe

    project = make_project("chat")
    curator = make_member(project, Role.CURATOR, name="cleo")
    make_image(project, f"https://a.example/{'long/' * 30}x.png", status="failed", artifact=None, error="It said 404.")
    make_image(project, "https://a.example/w.png", status="waiting", artifact=None)
    options = {"viewport": {"width": width, "height": 800}, "color_scheme": scheme}
    visitor = enter(browser, live_server, curator, **options)
    page = visitor.page
    page.goto("/p/chat/images/")
    field = tmp_path / "teal.png"
    Pillow.new("RGB", (300, 200), "teal").save(field)
    page.get_by_label("Images", exact=True).last.set_input_files(field)
    page.get_by_role("button", name="Upload").click()
    page.get_by_text("1 image is kept.").wait_for()
    page.get_by_role("img", name="Image").wait_for()
    picture(visitor, f"images-{scheme}-{width}")
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    found = Axe().run(page).response["violations"]
    assert [f"{v['id']}: {v['nodes'][0]['html']}" for v in found if v["impact"] in ("serious", "critical")] == []
    assert visitor.wrong == []
    visitor.context.close()

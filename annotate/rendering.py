"""From stored text to HTML that is safe to show, in one pure function.

The order is the safety: Markdown, then maths, then code colours, then the sanitiser last, because the maths converter
would pass raw HTML through. After it only constant markup is added, for characters that cannot be seen. Nothing a rater
should judge may vanish: what Markdown would hide (images that are not here, refused links, definitions, cells beyond a
table's last column, failed formulas) is shown as its source. An image is shown from our own address or not at all.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any, Final, Literal, NamedTuple

import nh3
from django.utils.safestring import SafeString, mark_safe
from latex2mathml.converter import convert as latex_to_mathml
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_block import StateBlock
from markdown_it.rules_block.reference import reference
from markdown_it.rules_block.table import escapedSplit, getLine, table
from markdown_it.rules_core import StateCore
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from mdit_py_plugins.dollarmath import dollarmath_plugin
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name

RENDERER_VERSION: Final = 3  # part of the cache key: raise it with every change of what is rendered

MAX_MARKDOWN: Final = 250_000  # characters; beyond it, Raw
MAX_FORMULA: Final = 4_000  # characters of one formula
MAX_FORMULAS: Final = 40_000  # characters of all formulas of one text
MAX_WIDE: Final = 60  # characters of a formula in a line; a longer one scrolls on a line of its own
MAX_HIGHLIGHTED: Final = 50_000  # characters of one block of code
MAX_COLOURED: Final = 100_000  # characters of all blocks of code that are coloured
MAX_NESTING: Final = 100
MAX_UNCLOSED: Final = 300  # opening brackets without a closing one in a paragraph: each looks ahead to its end
MAX_ADDRESSES: Final = 500_000  # characters of all link addresses: a long one may be defined once and used often
MAX_STEPS: Final = 60_000  # parser steps; prose takes one for every 20 to 60 characters
MAX_TOKENS: Final = 100_000  # of blocks: a cell of a table takes three and no step
MAX_MARKS: Final = 2_000  # marks of invisible characters that are told by name


def gettext_noop(message: str) -> str:
    """Tells the collector of messages; Django's own would want its settings, and this module needs none."""
    return message


TOO_LONG: Final = gettext_noop("Shown as raw text: longer than 250,000 characters.")
TOO_INTRICATE: Final = gettext_noop("Shown as raw text: its markup is too intricate to render.")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_LANGUAGES: Final = _words(
    "bash c c++ cpp c# csharp css dart diff docker dockerfile elixir erlang go golang haskell html http ini java "
    "javascript js json jsx julia kotlin latex lua make makefile markdown matlab md nginx objective-c ocaml perl php "
    "powershell python python3 py r ruby rb rust rs scala sh shell sql swift tex toml ts tsx typescript xml yaml yml "
    "zsh"
)


class Picture(NamedTuple):
    """How an image stands that a text names: at an address of our own with its size, or not here, and why."""

    url: str = ""
    width: int = 0
    height: int = 0
    why: str = ""


class Rendered(NamedTuple):
    """Safe HTML, how it was made, and, when the text could not be rendered as Markdown, the reason (a message id)."""

    html: SafeString
    mode: Literal["markdown", "raw"]
    note: str = ""


def render(text: str, images: Mapping[str, Picture] | None = None) -> Rendered:
    """Render `text` as Markdown, or as Raw with a note where Markdown would take too long.

    `images` tells of the sources that the text names (see `image_sources`); one that it leaves out is shown as words.
    """
    if len(text) > MAX_MARKDOWN:
        return render_raw(text, note=TOO_LONG)
    try:
        html = _MARKDOWN.render(text, _Env(images))
    except _TooCostlyError:
        return render_raw(text, note=TOO_INTRICATE)
    return Rendered(mark_safe(_reveal(_sanitise(html))), "markdown")  # noqa: S308 - sanitised


def render_raw(text: str, note: str = "") -> Rendered:
    """The text as it is stored, in a `<pre>`, invisible characters marked."""
    return Rendered(mark_safe(f'<pre class="raw">{_reveal(escape(text))}</pre>'), "raw", note)  # noqa: S308 - escaped


def image_sources(text: str) -> list[str]:
    """What the images of a text name, each once, in order: what `render` would look up."""
    if "![" not in text or len(text) > MAX_MARKDOWN:
        return []
    try:
        tokens = _MARKDOWN.parse(text, _Env(None))
    except _TooCostlyError:
        return []
    return list(dict.fromkeys(str(token.attrGet("src")) for token in _inline(tokens) if token.type == "image"))


def _inline(tokens: Sequence[Token]) -> Iterator[Token]:
    for token in tokens:
        yield from token.children or ()


# --- The parser, with a budget of steps so that hostile nesting costs milliseconds, not seconds.


class _TooCostlyError(Exception):
    """The parser's budget of steps is spent."""


class _Env(dict[str, Any]):
    """What one rendering has spent, and the images that it may show."""

    def __init__(self, images: Mapping[str, Picture] | None) -> None:
        super().__init__(steps=0, formulas=0, coloured=0, addresses=0, images=images or {})


def _count_inline(state: StateInline, silent: bool) -> bool:
    _spend(state.env)
    return False


def _count_block(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    _spend(state.env)
    if state.level >= MAX_NESTING - 2:  # a list adds two levels, and below the limit the parser drops what it meets
        raise _TooCostlyError
    return False


def _check_size(state: StateCore) -> None:
    """Core rule between blocks and inlines: refuse what takes quadratic time before it takes any."""
    if len(state.tokens) > MAX_TOKENS:
        raise _TooCostlyError
    for token in state.tokens:
        if token.type == "inline" and token.content.count("[") - token.content.count("]") > MAX_UNCLOSED:
            raise _TooCostlyError


def _spend(env: Any) -> None:
    env["steps"] += 1
    if env["steps"] > MAX_STEPS:
        raise _TooCostlyError


def _absolute_link(url: str) -> bool:
    """Links lead to absolute http(s) and mailto addresses; anything else stays visible as its source."""
    return _LINK.fullmatch(url) is not None


def _link_or_upload(url: str) -> bool:
    return _absolute_link(url) or UPLOAD.fullmatch(url) is not None


_LINK: Final = re.compile(
    r"https?://(?:[\w.~-]+|\[[0-9a-f:.]+\])(?::(?:[0-9]{1,4}|[1-5][0-9]{4}))?(?:[/?#][^\s<>\"'\\]*)?"
    r"|mailto:[^\s<>\"'\\]+@[^\s<>\"'\\]+",
    re.I,
)

UPLOAD: Final = re.compile("upload:[0-9a-f]{64}")  # an image that was sent to us, by the hash of what was sent


def _definition(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """Block rule: a link's definition also stays in sight, or `[x]: # (anything)` would hide from who judges."""
    found = reference(state, start, end, silent)
    if found and not silent:
        token = state.push("definition", "", 0)
        token.content = state.getLines(start, state.line, state.blkIndent, False)
    return found


def _table(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """Block rule: cells beyond the last column, which Markdown drops, stand in the last cell of their row."""
    before = len(state.tokens)
    if not table(state, start, end, silent):
        return False
    columns = sum(1 for token in state.tokens[before:] if token.type == "th_open")
    cells: list[Token] = []
    for token in state.tokens[before:]:
        if token.type == "tr_open":
            cells = []
        elif token.type == "inline":
            cells.append(token)
        elif token.type == "tr_close" and token.map is None and cells[-1].map:
            row = escapedSplit(getLine(state, cells[-1].map[0]).strip())
            row = row[1:] if row and not row[0] else row
            beyond = [cell.strip() for cell in row[columns:] if cell.strip()]
            cells[-1].content = " | ".join([cells[-1].content, *beyond]) if beyond else cells[-1].content
    return True


def _bracket_formula(state: StateInline, silent: bool) -> bool:
    r"""Inline rule: `\(…\)` and `\[…\]`, as many models write their formulas."""
    opening = state.src[state.pos : state.pos + 2]
    if opening not in {r"\(", r"\["}:
        return False
    closing = r"\)" if opening == r"\(" else r"\]"
    end = state.src.find(closing, state.pos + 2, min(state.posMax, state.pos + MAX_FORMULA + 4))
    if end < 0 or not state.src[state.pos + 2 : end].strip():
        return False
    if not silent:
        token = state.push("math_inline" if opening == r"\(" else "math_inline_double", "math", 0)
        token.content = state.src[state.pos + 2 : end]
        token.markup = opening
    state.pos = end + 2
    return True


def _fit_page(state: StateCore) -> None:
    """Core rule: headings stand below the page's own (h1 becomes h3), cells are aligned by class, not by style, and
    what holds blocks has a direction of its own."""
    for token in state.tokens:
        if token.type in {"heading_open", "heading_close"}:
            token.tag = f"h{min(6, int(token.tag[1]) + 2)}"
        elif token.type in {"td_open", "th_open"} and "style" in token.attrs:
            token.attrs = {"class": str(token.attrs["style"]).removeprefix("text-align:")}
        elif token.type in {"bullet_list_open", "ordered_list_open", "blockquote_open"}:
            token.attrSet("dir", "auto")
        elif token.type == "inline" and token.children:
            _only_images_are_uploaded(token.children)


def _only_images_are_uploaded(tokens: list[Token]) -> None:
    """A link to an upload leads nowhere: it is shown as its source."""
    closing = ""
    for token in tokens:
        if token.type == "link_open" and not _absolute_link(str(token.attrGet("href"))):
            closing = f"]({token.attrGet('href')})"
            token.type, token.content = "text", "["
        elif token.type == "link_close" and closing:
            token.type, token.content, closing = "text", closing, ""


# --- What tokens become.


def _formula(self: RendererHTML, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    token = tokens[index]
    block = token.type != "math_inline"
    source = token.content.strip()
    env["formulas"] += len(source)
    if len(source) <= MAX_FORMULA and env["formulas"] <= MAX_FORMULAS and not _INVISIBLE.search(source):
        mathml = _mathml(source, "block" if block else "inline")
        if mathml:
            box = "div" if block else "span"
            wide = block or len(source) > MAX_WIDE
            return f'<{box} class="math" tabindex="0">{mathml}</{box}>' if wide else mathml
    tag = "pre" if block else "code"
    marks = ("$$", "$$") if block else ("$", "$")
    return f'<{tag} class="tex">{escape(marks[0] + token.content + marks[1])}</{tag}>'


# The converter passes what looks like a tag through as one. These stand for `<` and `>` while it works: no text is
# lost, and what a browser might read otherwise than the sanitiser does never comes to either.
_LESS, _MORE = "\ue000", "\ue001"
_STOOD_FOR: Final = {
    f"<mi>{_LESS}</mi>": "<mo>&lt;</mo>", f"<mi>{_MORE}</mi>": "<mo>&gt;</mo>", _LESS: "&lt;", _MORE: "&gt;",
}  # fmt: skip


def _mathml(source: str, display: Literal["block", "inline"]) -> str | None:
    """MathML of a TeX formula, not yet sanitised; None when it cannot be converted."""
    if _LESS in source or _MORE in source:
        return None
    try:
        mathml = str(latex_to_mathml(source.replace("<", _LESS).replace(">", _MORE), display=display))
    except Exception:  # the converter meets hostile input with whatever its internals raise; its source is shown
        return None
    for stood, meant in _STOOD_FOR.items():
        mathml = mathml.replace(stood, meant)
    return mathml


def _code_block(self: RendererHTML, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    token = tokens[index]
    info = token.info.strip()
    words = info.split(maxsplit=1)
    language = words[0].lower() if words else ""
    plain = _ATTRIBUTE_VALUES["data-lang"].fullmatch(info) and not _INVISIBLE.search(info)
    shown = f' data-lang="{escape(info)}"' if plain else ""
    told = "" if shown else escape(f"{info}\n") if info else ""  # what no label can hold is shown above the code
    return (
        f'<pre class="code" tabindex="0"{shown}><code>{told}{_highlighted(token.content, language, env)}</code></pre>\n'
    )


def _highlighted(code: str, language: str, env: Any) -> str:
    if language not in _LANGUAGES or len(code) > MAX_HIGHLIGHTED or env["coloured"] + len(code) > MAX_COLOURED:
        return escape(code)
    env["coloured"] += len(code)
    lexer = get_lexer_by_name(language, stripnl=False, ensurenl=False, tabsize=0)
    return highlight(code, lexer, _FORMATTER)


def _image(self: RendererHTML, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    """The image from our own address, or, where it is not here, what it was meant to be, its source and why."""
    words, source = tokens[index].content, _address(tokens[index], "src", env)
    title = str(tokens[index].attrGet("title") or "")
    picture = env["images"].get(source, Picture())
    if picture.url:
        size = f'width="{picture.width}" height="{picture.height}"'
        named = f'alt="{escape(words)}"' + (f' title="{escape(title)}"' if title else "")
        return f'<img src="{escape(picture.url)}" {named} {size} loading="lazy">'
    told = f"[image: {words}] ({source}{f' {title!r}' if title else ''}){f' {picture.why}' if picture.why else ''}"
    return f'<span class="picture">{escape(told)}</span>'


def _definition_shown(self: RendererHTML, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    return f'<p class="definition">{escape(tokens[index].content.strip())}</p>\n'


def _link_open(self: RendererHTML, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    title = f' title="{escape(str(tokens[index].attrGet("title")))}"' if tokens[index].attrGet("title") else ""
    return f'<a href="{escape(_address(tokens[index], "href", env))}"{title}>'


def _address(token: Token, attribute: str, env: Any) -> str:
    address = str(token.attrGet(attribute) or "")
    env["addresses"] += len(address)
    if env["addresses"] > MAX_ADDRESSES:
        raise _TooCostlyError
    return address


def _table_open(self: RendererHTML, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    return '<div class="table-scroll" tabindex="0"><table dir="auto">\n'


def _table_close(self: RendererHTML, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    return "</table></div>\n"


def _build_parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False, "breaks": True, "maxNesting": MAX_NESTING})
    parser.enable(["table", "strikethrough"]).disable(["html_block", "html_inline"])
    parser.use(dollarmath_plugin, allow_labels=False, allow_space=False, allow_digits=False, double_inline=True)
    parser.inline.ruler.before("escape", "bracket_formula", _bracket_formula)
    parser.inline.ruler.before("text", "count", _count_inline)
    parser.block.ruler.before("table", "count", _count_block)
    parser.block.ruler.at("reference", _definition)
    parser.block.ruler.at("table", _table, {"alt": ["paragraph", "reference"]})
    parser.core.ruler.after("block", "check_size", _check_size)
    parser.core.ruler.push("fit_page", _fit_page)
    parser.validateLink = _link_or_upload  # type: ignore[method-assign]
    for kind, rule in {
        "math_inline": _formula,
        "math_inline_double": _formula,
        "math_block": _formula,
        "fence": _code_block,
        "code_block": _code_block,
        "definition": _definition_shown,
        "image": _image,
        "link_open": _link_open,
        "table_open": _table_open,
        "table_close": _table_close,
    }.items():
        parser.add_render_rule(kind, rule)
    return parser


_FORMATTER: Final = HtmlFormatter(nowrap=True)
_MARKDOWN: Final = _build_parser()


# --- The sanitiser: an allow-list of tags, attributes and values. No attribute value may hold `<` or `>`.

_HTML_TAGS: Final = _words(
    "a blockquote br code del div em h3 h4 h5 h6 hr img li ol p pre s span strong table tbody td th thead tr ul"
)
_MATH_TAGS: Final = _words(
    "math menclose mfenced mfrac mi mmultiscripts mn mo mover mpadded mprescripts mroot mrow ms mspace msqrt mstyle "
    "msub msubsup msup mtable mtd mtext mtr munder munderover none"
)
# Without colour, size and mphantom: a formula must not be able to hide what a rater judges.
_MATH_ATTRIBUTES: Final = _words(
    "accent accentunder columnalign columnlines columnspacing display displaystyle fence form linethickness lspace "
    "mathvariant maxsize minsize movablelimits notation rowlines rowspacing rspace scriptlevel separator stretchy "
    "symmetric width"
)
_ATTRIBUTES: Final[dict[str, set[str]]] = {
    "a": {"href", "title"},
    "blockquote": {"dir"},
    "code": {"class"},
    "div": {"class", "tabindex"},
    "img": {"alt", "height", "loading", "src", "title", "width"},
    "ol": {"dir", "start"},
    "p": {"class"},
    "pre": {"class", "data-lang", "tabindex"},
    "span": {"class", "tabindex"},
    "table": {"dir"},
    "td": {"class"},
    "th": {"class"},
    "ul": {"dir"},
} | {tag: set(_MATH_ATTRIBUTES) for tag in _MATH_TAGS}

_OUR_CLASSES: Final = {
    "code": {"tex"},
    "div": {"math", "table-scroll"},
    "p": {"definition"},
    "pre": {"code", "tex"},
    "span": {"math", "picture"},
    "td": {"left", "center", "right"},
    "th": {"left", "center", "right"},
}
_PYGMENTS_CLASSES: Final = re.compile(r"[a-z][a-z0-9]{0,2}")
_OUR_IMAGE: Final = re.compile(r"(?:/[\w.-]+)*/p/[\w-]+/images/[0-9]+/", re.ASCII)
_WORDS: Final = frozenset({"alt", "title"})
_ATTRIBUTE_VALUES: Final = {
    "data-lang": re.compile(r"[^<>&\"'\x00-\x1f]{1,40}"),
    "dir": re.compile("auto"),
    "height": re.compile(r"[0-9]{1,5}"),
    "loading": re.compile("lazy"),
    "src": _OUR_IMAGE,
    "start": re.compile(r"[0-9]{1,9}"),
    "tabindex": re.compile("0"),
}
# No number is large or negative: a formula must not reach out of its place.
_MATH_VALUE: Final = re.compile(
    r"[A-Za-z][A-Za-z \-]{0,40}|(?:[0-9]{1,2}(?:\.[0-9]{0,4})?|\.[0-9]{1,4})(?:em|ex|px|pt|mu|%)?"
)


def _allowed_value(tag: str, attribute: str, value: str) -> str | None:
    """The value if it may stand, None to drop the attribute."""
    if attribute == "href":
        return value if _absolute_link(value) else None
    if attribute == "class":
        ours = value in _OUR_CLASSES.get(tag, ()) or (tag == "span" and _PYGMENTS_CLASSES.fullmatch(value))
        return value if ours else None
    if attribute in _WORDS:
        return _told(value) or (value if attribute == "alt" else None)
    if attribute == "width" and tag == "img":
        attribute = "height"
    pattern = _ATTRIBUTE_VALUES.get(attribute, _MATH_VALUE)
    return value if pattern.fullmatch(value) else None


def _sanitise(html: str) -> str:
    return nh3.clean(
        html,
        tags=set(_HTML_TAGS | _MATH_TAGS),
        attributes=_ATTRIBUTES,
        attribute_filter=_allowed_value,
        link_rel="noopener nofollow noreferrer",
        url_schemes={"http", "https", "mailto"},
        clean_content_tags=set(),
    )


# --- Characters that cannot be seen but change what is read, or carry what nobody sees.

# Joiners are spelling in these scripts, in emoji too; a second one in a row is not.
_JOINED: Final = (
    "\u0590-\u109f\u1780-\u18af\u1900-\u1cff\ua800-\uabff\ufb1d-\ufdff\ufe70-\ufefc\U00010800-\U00011fff"
    "\U0001e800-\U0001efff"
)
_EMOJI: Final = "\xa9\xae\u203c-\u3299\ufe0f\U0001f000-\U0001faff"
_SELECTED: Final = "#*0-9\u1000-\u109f\u3400-\u9fff\ua840-\ua87f\uaa60-\uaa7f\uf900-\ufaff\U00020000-\U0003ffff"
_INVISIBLE: Final = re.compile(
    "(?P<flag>\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{3,6}\U000e007f)"  # of Wales, say: an emoji
    "|(?P<run>(?P<one>"
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u200b\u200e\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e00ff]"
    f"|(?<![{_JOINED}])\u200c|(?<![{_JOINED}{_EMOJI}])\u200d"
    "|(?<![\u1820-\u18aa])[\u180b-\u180f]"
    f"|(?<![{_SELECTED}{_EMOJI.replace(chr(0xFE0F), '')}])[\ufe00-\ufe0f]"
    "|(?<![\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff])[\U000e0100-\U000e01ef]"
    ")(?P=one)*)"
)
_TAG: Final = re.compile(r"(<[^>]*>)")
_CONTROLS: Final = {0x1B: "ESCAPE", 0x08: "BACKSPACE", 0x7F: "DELETE", 0x00: "NULL"}


def _reveal(html: str) -> str:
    """Mark invisible characters in the text between tags; tags are left as they are.

    The character itself stays within its mark, so that a copy is true to the source. There it has no effect on what
    stands beside it: a `<bdi>` that is a box of its own ends every direction that was begun in it.
    """
    if not _INVISIBLE.search(html):
        return html
    marks = _Marks()
    parts = _TAG.split(html)
    parts[::2] = [_INVISIBLE.sub(marks.mark, part) for part in parts[::2]]
    return "".join(parts)


class _Marks:
    """Names the first characters that it marks; where there are thousands, a dot stands for each later one."""

    def __init__(self) -> None:
        self.count = 0

    def mark(self, found: re.Match[str]) -> str:
        if found["flag"]:
            return found[0]
        self.count += 1
        if self.count > MAX_MARKS:
            return f'<bdi class="invisible" data-code="·">{found[0]}</bdi>'
        code, times = _code(found["one"]), f" ×{len(found[0]):,}" if len(found[0]) > 1 else ""
        return f'<bdi class="invisible" title="{_name(found["one"])}" data-code="{code}{times}">{found[0]}</bdi>'


def _code(character: str) -> str:
    return f"U+{ord(character):04X}"


def _name(character: str) -> str:
    return unicodedata.name(character, _CONTROLS.get(ord(character), "CONTROL"))


def _told(value: str) -> str:
    """An attribute's words: without the marks of a tag, and with names in place of what cannot be seen."""
    words = _INVISIBLE.sub(lambda found: f"[{_code(found[0][0])}]", value)
    return words.translate({ord("<"): "‹", ord(">"): "›"})

"""From stored text to HTML that is safe to show, in one pure function.

The order is the safety: Markdown, then maths, then code colours, then the sanitiser last, because the maths converter
passes raw HTML through. After it only constant markup is added, for characters that cannot be seen. Nothing a rater
should judge may vanish: what Markdown would hide (images, refused links, failed formulas) is shown as its source.
"""

import re
import unicodedata
from collections.abc import Sequence
from html import escape
from typing import Any, Final, Literal, NamedTuple

import nh3
from django.utils.safestring import SafeString, mark_safe
from latex2mathml.converter import convert as latex_to_mathml
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_block import StateBlock
from markdown_it.rules_core import StateCore
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from mdit_py_plugins.dollarmath import dollarmath_plugin
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name

RENDERER_VERSION: Final = 1  # part of the cache key: raise it with every change of what is rendered

MAX_MARKDOWN: Final = 250_000  # characters; beyond it, Raw
MAX_FORMULA: Final = 4_000  # characters of one formula
MAX_FORMULAS: Final = 40_000  # characters of all formulas of one text
MAX_HIGHLIGHTED: Final = 50_000  # characters of one block of code
MAX_NESTING: Final = 100
MAX_UNCLOSED: Final = 300  # opening brackets without a closing one in a paragraph: each looks ahead to its end
MAX_ADDRESSES: Final = 500_000  # characters of all link addresses: a long one may be defined once and used often
MAX_STEPS: Final = 60_000  # parser steps; prose takes one for every 20 to 60 characters


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_LANGUAGES: Final = _words(
    "bash c c++ cpp c# csharp css dart diff docker dockerfile elixir erlang go golang haskell html http ini java "
    "javascript js json jsx julia kotlin latex lua make makefile markdown matlab md nginx objective-c ocaml perl php "
    "powershell python python3 py r ruby rb rust rs scala sh shell sql swift tex toml ts tsx typescript xml yaml yml "
    "zsh"
)


class Rendered(NamedTuple):
    """Safe HTML, how it was made, and, when the text could not be rendered as Markdown, the reason."""

    html: SafeString
    mode: Literal["markdown", "raw"]
    note: str = ""


def render(text: str) -> Rendered:
    """Render `text` as Markdown, or as Raw with a note where Markdown would take too long."""
    if len(text) > MAX_MARKDOWN:
        return render_raw(text, note=f"Shown as raw text: longer than {MAX_MARKDOWN:,} characters.")
    try:
        html = _MARKDOWN.render(text, {"steps": 0, "formulas": 0, "addresses": 0})
    except _TooCostlyError:
        return render_raw(text, note="Shown as raw text: its markup is too intricate to render.")
    return Rendered(mark_safe(_reveal(_sanitise(html))), "markdown")  # noqa: S308 - sanitised


def render_raw(text: str, note: str = "") -> Rendered:
    """The text as it is stored, in a `<pre>`, invisible characters marked."""
    return Rendered(mark_safe(f'<pre class="raw">{_reveal(escape(text))}</pre>'), "raw", note)  # noqa: S308 - escaped


# --- The parser, with a budget of steps so that hostile nesting costs milliseconds, not seconds.


class _TooCostlyError(Exception):
    """The parser's budget of steps is spent."""


def _count_inline(state: StateInline, silent: bool) -> bool:
    _spend(state.env)
    return False


def _count_block(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    _spend(state.env)
    if state.level >= MAX_NESTING - 2:  # a list adds two levels, and below the limit the parser drops what it meets
        raise _TooCostlyError
    return False


def _check_brackets(state: StateCore) -> None:
    """Core rule between blocks and inlines: refuse what takes quadratic time before it takes any."""
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


_LINK: Final = re.compile(
    r"(?:https?://[^\s/<>\"'\\@]+(?:[/?#][^\s<>\"'\\]*)?|mailto:[^\s<>\"'\\]+@[^\s<>\"'\\]+)", re.I
)


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
    """Core rule: headings stand below the page's own (h1 becomes h3), and cells are aligned by class, not by style."""
    for token in state.tokens:
        if token.type in {"heading_open", "heading_close"}:
            token.tag = f"h{min(6, int(token.tag[1]) + 2)}"
        elif token.type in {"td_open", "th_open"} and "style" in token.attrs:
            token.attrs = {"class": str(token.attrs["style"]).removeprefix("text-align:")}


# --- What tokens become.


def _formula(self: RendererHTML, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    token = tokens[index]
    block = token.type != "math_inline"
    source = token.content.strip()
    env["formulas"] += len(source)
    if len(source) <= MAX_FORMULA and env["formulas"] <= MAX_FORMULAS and not _INVISIBLE.search(source):
        mathml = _mathml(source, "block" if block else "inline")
        if mathml:
            return f'<div class="math" tabindex="0">{mathml}</div>' if block else mathml
    tag = "pre" if block else "code"
    marks = ("$$", "$$") if block else ("$", "$")
    return f'<{tag} class="tex">{escape(marks[0] + token.content + marks[1])}</{tag}>'


def _mathml(source: str, display: Literal["block", "inline"]) -> str | None:
    """MathML of a TeX formula, not yet sanitised; None when it cannot be converted."""
    try:
        return str(latex_to_mathml(source, display=display))
    except Exception:  # the converter meets hostile input with whatever its internals raise; its source is shown
        return None


def _code_block(self: RendererHTML, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    token = tokens[index]
    info = token.info.strip()
    words = info.split(maxsplit=1)
    language = words[0].lower() if words else ""
    shown = f' data-lang="{escape(info[:40])}"' if info else ""
    return f'<pre class="code" tabindex="0"{shown}><code>{_highlighted(token.content, language)}</code></pre>\n'


def _highlighted(code: str, language: str) -> str:
    if language not in _LANGUAGES or len(code) > MAX_HIGHLIGHTED:
        return escape(code)
    lexer = get_lexer_by_name(language, stripnl=False, ensurenl=False, tabsize=0)
    return highlight(code, lexer, _FORMATTER)


def _image(self: RendererHTML, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    """Pictures are never fetched; the rater sees that one was meant, and where it was."""
    address = _address(tokens[index], "src", env)
    return f'<span class="picture">{escape(f"[image: {tokens[index].content}] ({address})")}</span>'


def _link_open(self: RendererHTML, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    return f'<a href="{escape(_address(tokens[index], "href", env))}">'


def _address(token: Token, attribute: str, env: Any) -> str:
    address = str(token.attrGet(attribute) or "")
    env["addresses"] += len(address)
    if env["addresses"] > MAX_ADDRESSES:
        raise _TooCostlyError
    return address


def _table_open(self: RendererHTML, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    return '<div class="table-scroll" tabindex="0"><table>\n'


def _table_close(self: RendererHTML, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    return "</table></div>\n"


def _build_parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False, "breaks": True, "maxNesting": MAX_NESTING})
    parser.enable(["table", "strikethrough"]).disable(["html_block", "html_inline"])
    parser.use(dollarmath_plugin, allow_labels=False, allow_space=False, allow_digits=False, double_inline=True)
    parser.inline.ruler.before("escape", "bracket_formula", _bracket_formula)
    parser.inline.ruler.before("text", "count", _count_inline)
    parser.block.ruler.before("table", "count", _count_block)
    parser.core.ruler.after("block", "check_brackets", _check_brackets)
    parser.core.ruler.push("fit_page", _fit_page)
    parser.validateLink = _absolute_link  # type: ignore[method-assign]
    for kind, rule in {
        "math_inline": _formula,
        "math_inline_double": _formula,
        "math_block": _formula,
        "fence": _code_block,
        "code_block": _code_block,
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
    "a blockquote br code del div em h3 h4 h5 h6 hr li ol p pre s span strong table tbody td th thead tr ul"
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
    "a": {"href"},
    "code": {"class"},
    "div": {"class", "tabindex"},
    "ol": {"start"},
    "pre": {"class", "data-lang", "tabindex"},
    "span": {"class"},
    "td": {"class"},
    "th": {"class"},
} | {tag: set(_MATH_ATTRIBUTES) for tag in _MATH_TAGS}

_OUR_CLASSES: Final = {
    "code": {"tex"},
    "div": {"math", "table-scroll"},
    "pre": {"code", "tex"},
    "td": {"left", "center", "right"},
    "th": {"left", "center", "right"},
}
_PYGMENTS_CLASSES: Final = re.compile(r"[a-z][a-z0-9]{0,2}")
_ATTRIBUTE_VALUES: Final = {
    "data-lang": re.compile(r"[^<>&\"'\x00-\x1f]{1,40}"),
    "start": re.compile(r"[0-9]{1,9}"),
    "tabindex": re.compile("0"),
}
_MATH_VALUE: Final = re.compile(r"[A-Za-z][A-Za-z \-]{0,40}|[0-9.]{1,6}(?:em|ex|px|pt|mu|%)?")


def _allowed_value(tag: str, attribute: str, value: str) -> str | None:
    """The value if it may stand, None to drop the attribute."""
    if attribute == "href":
        return value if _absolute_link(value) else None
    if attribute == "class":
        ours = value in _OUR_CLASSES.get(tag, ()) or (
            tag == "span" and (value == "picture" or _PYGMENTS_CLASSES.fullmatch(value))
        )
        return value if ours else None
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


# --- Characters that cannot be seen but change what is read.

_DIRECTION_MARKS: Final = "\u061c\u200e\u200f"  # harmless and needed in mixed text: kept, and marked
_INVISIBLE: Final = re.compile(
    "[\u00ad\u061c\u115f\u1160\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb"
    "\U000e0000-\U000e007f]"
    "|(?<![^\x00-\u02ff])[\u200c\u200d]"  # joiners are spelling after a letter of Persian or Hindi, or an emoji
)
_TAG: Final = re.compile(r"(<[^>]*>)")


def _reveal(html: str) -> str:
    """Replace invisible characters in the text between tags by visible marks; tags are left as they are."""
    if not _INVISIBLE.search(html):
        return html
    parts = _TAG.split(html)
    parts[::2] = [_INVISIBLE.sub(_mark, part) for part in parts[::2]]
    return "".join(parts)


def _mark(found: re.Match[str]) -> str:
    character = found[0]
    name = unicodedata.name(character, "CONTROL")
    kept = character if character in _DIRECTION_MARKS else ""
    return f'<span class="invisible" title="{name}">U+{ord(character):04X}</span>{kept}'

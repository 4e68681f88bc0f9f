"""Shows stored text in pages: rendered once, kept in the cache by what it says and by the renderer's version."""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

from django import template
from django.core.cache import cache

from annotate.rendering import RENDERER_VERSION, Rendered, render, render_raw

register = template.Library()

_SECONDS = 7 * 24 * 3600


def render_cached(text: str) -> Rendered:
    """`render(text)`, kept for a week under its SHA-256."""
    key = f"rendered:{RENDERER_VERSION}:{sha256(text.encode('utf-8')).hexdigest()}"
    kept = cache.get(key)
    if kept is None:
        kept = tuple(render(text))
        cache.set(key, kept, _SECONDS)
    return Rendered(*kept)


@register.inclusion_tag("annotate/_rendered.html")
def rendered(text: str, raw_view: bool = True) -> dict[str, Any]:
    """`{% rendered text %}`: the text, set in its own direction, and its raw source behind a disclosure."""
    return {"rendered": render_cached(text), "raw": render_raw(text) if raw_view else None, "raw_view": raw_view}


@register.filter
def item(values: Mapping[str, Any] | None, key: str) -> str:
    """`{{ draft|item:name }}`: the value under a key that is itself a variable, as text; empty if absent."""
    value = (values or {}).get(key)
    return "" if value is None else str(value)


@register.inclusion_tag("annotate/_conversation.html")
def conversation(messages: str | Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """`{% conversation messages %}`: all turns, the last one open, earlier ones and the system's behind disclosures."""
    turns = [{"role": "user", "content": messages}] if isinstance(messages, str) else [dict(turn) for turn in messages]
    return {"turns": turns, "earlier": turns[:-1], "last": turns[-1] if turns else None}

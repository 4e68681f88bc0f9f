"""Shows stored text in pages: rendered once, kept in the cache by what it says and by the renderer's version."""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, Final

from django import template
from django.core.cache import cache
from django.utils.translation import gettext

from annotate.rendering import RENDERER_VERSION, Picture, Rendered, image_sources, render, render_raw
from annotate.services import images
from tiebreak.accounts.models import Project

register = template.Library()

_SECONDS = 7 * 24 * 3600
NO_IMAGES: Final[Mapping[str, Picture]] = {}


def render_cached(text: str, project: Project | None = None) -> Rendered:
    """`render(text)` with the images that `project` has of it, kept for a week under their SHA-256."""
    shown = pictures_of(text, project)
    told = repr(sorted(shown.items())) if shown else ""
    key = f"rendered:{RENDERER_VERSION}:{_sha256(text)}{_sha256(told) if told else ''}"
    kept = cache.get(key)
    if kept is None:
        kept = tuple(render(text, shown))
        cache.set(key, kept, _SECONDS)
    return Rendered(*kept)


def pictures_of(text: str, project: Project | None) -> Mapping[str, Picture]:
    """How the images of a text stand; none where there is no project yet, as in a preview."""
    if project is None or project.pk is None or "![" not in text:
        return NO_IMAGES
    key = f"images-of:{RENDERER_VERSION}:{_sha256(text)}"
    sources = cache.get(key)
    if sources is None:
        sources = image_sources(text)
        cache.set(key, sources, _SECONDS)
    return images.shown(project, sources)


def _sha256(text: str) -> str:
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


@register.inclusion_tag("annotate/_rendered.html", takes_context=True)
def rendered(context: Mapping[str, Any], text: str, raw_view: bool = True) -> dict[str, Any]:
    """`{% rendered text %}`: the text, set in its own direction, and its raw source behind a disclosure.

    Images are those of the context's `project`.
    """
    found = render_cached(text, context.get("project"))
    told = found._replace(note=gettext(found.note) if found.note else "")
    return {"rendered": told, "raw": render_raw(text) if raw_view else None, "raw_view": raw_view}


@register.filter
def item(values: Mapping[str, Any] | None, key: str) -> str:
    """`{{ draft|item:name }}`: the value under a key that is itself a variable, as text; empty if absent."""
    value = (values or {}).get(key)
    return "" if value is None else str(value)


@register.inclusion_tag("annotate/_conversation.html", takes_context=True)
def conversation(context: Mapping[str, Any], messages: str | Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """`{% conversation messages %}`: all turns, the last one open, earlier ones and the system's behind disclosures."""
    turns = [{"role": "user", "content": messages}] if isinstance(messages, str) else [dict(turn) for turn in messages]
    last = turns[-1] if turns else None
    return {"turns": turns, "earlier": turns[:-1], "last": last, "project": context.get("project")}

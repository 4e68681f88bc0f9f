"""Figures as people read them: with their interval, or with the reason why they do not exist."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any, Final

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop, ngettext

from curation.exports.toml import written
from curation.stats import Estimate
from tiebreak.core.words import in_words

register = template.Library()

NOTHING: Final = "–"
REASONS: Final = (  # those of packages that know no languages
    gettext_noop("no observations"),
    gettext_noop("no gold"),
    gettext_noop("no audit"),
    gettext_noop("not aggregated yet"),
    gettext_noop("not enough evidence yet"),
    gettext_noop("nothing was asked twice"),
    gettext_noop("nothing was read in both orders"),
    gettext_noop("no comparison was judged by it and by people"),
    gettext_noop("no comparison was judged by two raters"),
    gettext_noop("every judgement is the same: chance cannot disagree"),
    gettext_noop("nothing to divide by"),
    gettext_noop("nothing to compare with"),
    gettext_noop("nobody else answered the same comparisons with one mind"),
    gettext_noop("fewer than 30 comparisons to compare on"),
    gettext_noop("fewer than 20 judgements in each half"),
    gettext_noop("no comparison was judged by both groups"),
    gettext_noop("no comparison was drawn at random and answered by people"),
    gettext_noop("fewer than 5 comparisons were drawn at random and answered by people"),
    gettext_noop("no comparison has a judge's label"),
)
TONES: Final = {
    "open": "accent", "disputed": "warn", "settled": "good", "withdrawn": "",
    "queued": "", "running": "accent", "succeeded": "good", "failed": "bad", "cancelled": "warn",
    "draft": "accent", "approved": "good", "retired": "", "active": "good",
    "admitted": "good", "refused": "bad", "too little gold": "warn",
    "building": "accent", "ready": "good",
    "parsed": "good", "unparsed": "warn",
    "keep": "good", "soften": "accent", "flip": "accent", "ask_people": "warn", "drop": "bad",
    "human": "accent", "judge": "",
    "candidate": "accent",
    "accepted": "good", "corrected": "warn", "returned": "accent",
}  # fmt: skip


@register.filter
def tone(word: str) -> str:
    """The colour of a state's badge."""
    return TONES.get(word, "")


@register.filter
def words(name: str) -> str:
    """A code name as words, in the reader's language."""
    return in_words(str(name))


@register.filter
def percent(value: float | Estimate | None) -> str:
    """A share as a whole percentage."""
    share = value.value if isinstance(value, Estimate) else value
    return NOTHING if share is None else f"{share * 100:.0f}%"


@register.filter
def figure(value: float | Estimate | None, digits: int = 2) -> str:
    number = value.value if isinstance(value, Estimate) else value
    return NOTHING if number is None else f"{number:.{digits}f}"


@register.filter
def interval(estimate: Estimate, unit: str = "percent") -> str:
    """The 95 % interval of a share (or of a plain number) with its n, or the reason for its absence."""
    if estimate.value is None:
        return _reason(estimate)
    parts = []
    if estimate.low is not None and estimate.high is not None:
        low, high = (_end(end, unit) for end in (estimate.low, estimate.high))
        parts.append(_("%(low)s to %(high)s") % {"low": low, "high": high} if estimate.low < 0 else f"{low}–{high}")
    if estimate.n:
        parts.append(_("n %(n)s") % {"n": f"{estimate.n:,}"})
    return ", ".join(parts)


def _reason(estimate: Estimate) -> str:
    return _(estimate.reason) if estimate.reason else ""


def _end(end: float, unit: str) -> str:
    """An end of an interval; adding 0 turns a negative zero into the other."""
    return f"{round(end * 100) + 0}" if unit == "percent" else f"{round(end, 2) + 0:.2f}"


@register.filter
def measured(estimate: Estimate) -> SafeString:
    """A share with its interval for a table's cell; a missing one says why on hover and to readers."""
    if estimate.value is None:
        return format_html(
            '<span class="soft" title="{0}">–<span class="visually-hidden"> {0}</span></span>', _reason(estimate)
        )
    return format_html('{} <small class="soft">{}</small>', percent(estimate.value), interval(estimate))


@register.filter
def points(value: float | Estimate | None) -> str:
    """A difference of shares with its sign, in percentage points."""
    apart = value.value if isinstance(value, Estimate) else value
    if apart is None:
        return NOTHING
    whole = round(apart * 100)
    return _("%(n)s pts") % {"n": f"{whole:+d}" if whole else "±0"}


@register.filter
def points_of(difference: float) -> str:
    """A difference without its sign, in percentage points."""
    return ngettext("%(n)s point", "%(n)s points", round(difference * 100)) % {"n": f"{difference * 100:.3g}"}


@register.filter
def hours(value: float | None) -> str:
    """Hours of work; minutes below one."""
    if value is None:
        return NOTHING
    return duration(value * 3600) if value < 1 else _("%(hours)s h") % {"hours": f"{value:,.1f}"}


@register.filter
def apart(estimate: Estimate) -> SafeString:
    """A difference of shares with its interval for a table's cell; a missing one says why."""
    if estimate.value is None:
        return measured(estimate)
    return format_html('{} <small class="soft">{}</small>', points(estimate), interval(estimate))


@register.filter
def coefficient(estimate: Estimate, name: str) -> str:
    """Agreement by a coefficient; the plain share of pairs is a percentage."""
    return percent(estimate) if name == "percent" else figure(estimate)


@register.filter
def interval_of(estimate: Estimate, name: str) -> str:
    return interval(estimate, "percent" if name == "percent" else "number")


@register.filter
def agreed(estimate: Estimate, name: str) -> SafeString:
    """Agreement with its interval for a table's cell; a missing one says why."""
    if estimate.value is None:
        return measured(estimate)
    return format_html('{} <small class="soft">{}</small>', coefficient(estimate, name), interval_of(estimate, name))


@register.filter
def preference(value: float | None) -> str:
    """A preference in words: which side, and by how much."""
    if value is None:
        return NOTHING
    if value == 0:
        return _("tie")
    return f"{'A' if value < 0 else 'B'} +{round(abs(value), 2):g}"


@register.filter
def side(name: str | None) -> str:
    """a, tie or b as the page writes it."""
    return {"a": "A", "b": "B", "tie": _("tie")}.get(name or "", NOTHING)


@register.filter
def body(card: str) -> str:
    """A dataset card without the front matter that machines read."""
    _before, fence, rest = card.removeprefix("---\n").partition("\n---\n")
    return rest.lstrip("\n") if card.startswith("---\n") and fence else card


@register.filter
def duration(seconds: float | None) -> str:
    """Seconds as people say them."""
    if seconds is None:
        return NOTHING
    if seconds < 10:
        return _("%(seconds)s s") % {"seconds": f"{seconds:.1f}"}
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return _("%(hours)s h %(minutes)s min") % {"hours": hours, "minutes": minutes}
    if minutes:
        return _("%(minutes)s min %(seconds)s s") % {"minutes": minutes, "seconds": rest}
    return _("%(seconds)s s") % {"seconds": rest}


@register.filter
def money(value: Decimal | float | None) -> str:
    """An amount, with as many digits as it needs to be more than nothing."""
    if value is None:
        return NOTHING
    return f"{value:,.2f}" if value == 0 or value >= 1 else f"{value:.4g}"


@register.filter
def number(value: int | None) -> str:
    return NOTHING if value is None else f"{value:,}"


@register.filter
def change(value: int | None) -> str:
    """A difference with its sign."""
    if value is None:
        return ""
    return f"{value:+,}" if value else "±0"


@register.filter
def as_json(value: Any) -> str:
    """Indented JSON; a text stays as it is."""
    return (
        value
        if isinstance(value, str)
        else json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True, default=str)
    )


@register.filter
def as_toml(recipe: dict[str, Any]) -> str:
    return written(recipe)


@register.filter
def plain(value: Any) -> str:
    """One figure of a mapping: numbers short, an estimate with its interval, the rest as JSON."""
    if value is None or value == "":
        return NOTHING
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict) and "value" in value and "low" in value:
        return _estimate(value)
    if isinstance(value, dict):
        return ", ".join(f"{words(key)} {plain(item)}" for key, item in value.items()) or NOTHING
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return ngettext("%(count)s row", "%(count)s rows", len(value)) % {"count": len(value)}
    if isinstance(value, list):
        return ", ".join(plain(item) for item in value[:10]) + (" …" if len(value) > 10 else "") or NOTHING
    return str(value)


def _estimate(value: dict[str, Any]) -> str:
    if value["value"] is None:
        return str(value.get("reason") or NOTHING)
    ends = f" ({value['low']:.3f}–{value['high']:.3f})" if value.get("low") is not None else ""
    return f"{value['value']:.3f}{ends}"


@register.simple_tag
def found(page: Any) -> str:
    """How many rows a list has, without counting a long one to its end."""
    if page.more:
        return _("more than %(count)s") % {"count": f"{page.count:,}"}
    return ngettext("%(count)s row", "%(count)s rows", page.count) % {"count": f"{page.count:,}"}

"""What the comparing screen posts, as types. Whether an answer is allowed is the service's question, not the form's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from django import forms
from django.utils.datastructures import MultiValueDict
from django.utils.translation import gettext_lazy as _

from tiebreak.core.text import TextError, clean_text, loads_strict

from .services.answers import Answer, Span

ASPECT: Final = "aspect_"
RATING: Final = "rating_"
CONFIDENCE: Final = "confidence_"
CHECK: Final = "check_"
NUMBERS: Final = (ASPECT, RATING, CONFIDENCE)
MAX_HIGHLIGHTS_CHARS: Final = 500_000
_BY_ANSWER: Final = {"aspects": ASPECT, "ratings": RATING, "confidence": CONFIDENCE, "checks": CHECK}


class Ticked(forms.MultipleChoiceField):
    """Any ticked values; the service knows which exist."""

    def valid_value(self, value: Any) -> bool:
        return True


class Highlights(forms.CharField):
    """Spans as one JSON text: a list of {side, exact, start, end}."""

    def clean(self, value: Any) -> tuple[Span, ...]:
        text = super().clean(value)
        if not text:
            return ()
        if len(text) > MAX_HIGHLIGHTS_CHARS:
            raise forms.ValidationError(_("These are too many highlights: remove some."))
        try:
            listed = loads_strict(text, field="evidence", max_depth=2)
            return tuple(_span(item) for item in listed)
        except (TextError, TypeError, KeyError) as error:
            raise forms.ValidationError(_("The highlights cannot be read: highlight again.")) from error


def _span(item: Mapping[str, Any]) -> Span:
    span = Span(item["side"], item["exact"], item["start"], item["end"])
    if not all(type(value) is wanted for value, wanted in zip(span, (str, str, int, int), strict=True)):
        raise TypeError("a highlight", span)
    for text in (span.side, span.exact):
        clean_text(text, field="evidence")
    return span


class AnswerForm(forms.Form):
    """The fields of the screen, in its own terms: `choice` and `aspect_<key>` below 0 favour the left response."""

    choice = forms.IntegerField(required=False)
    both_bad = forms.BooleanField(required=False)
    evidence = Highlights(required=False)
    justification = forms.CharField(required=False, strip=False)
    reasons = Ticked(required=False)
    active_ms = forms.CharField(required=False)
    confirm_repeat = forms.BooleanField(required=False)
    key = forms.UUIDField(error_messages={"required": _("The page sent no key. Reload it and answer again.")})

    def __init__(self, data: MultiValueDict[str, Any]) -> None:
        super().__init__(data)
        for name in data:
            if name.startswith(NUMBERS):
                self.fields[name] = forms.IntegerField(required=False)
            elif name.startswith(CHECK):
                self.fields[name] = forms.CharField(required=False)

    @classmethod
    def of_json(cls, values: Mapping[str, Any]) -> AnswerForm:
        """The same fields sent as one JSON object."""
        sent = {str(name): value for name, value in values.items() if value is not None}
        if isinstance(sent.get("evidence"), list):
            sent["evidence"] = json.dumps(sent["evidence"])
        listed = {name: value if isinstance(value, list) else [value] for name, value in sent.items()}
        return cls(MultiValueDict(listed))

    def clean_justification(self) -> str:
        text: str = self.cleaned_data["justification"]
        return text.replace("\r\n", "\n")  # a browser's encoding of what was typed as one line end

    def clean_active_ms(self) -> int | None:
        """A clock that ran backwards or off costs nobody their answer: its time is not known then."""
        text = self.cleaned_data["active_ms"]
        return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else None

    def answer(self) -> Answer:
        """What could be read; a field that could not is left out and named in `errors`."""
        got = self.cleaned_data
        active_ms = got.get("active_ms")
        return Answer(
            choice=got.get("choice"),
            both_bad=got.get("both_bad", False),
            aspects=self._under(ASPECT),
            ratings=self._ratings(),
            confidence=self._under(CONFIDENCE),
            checks=self._under(CHECK),
            evidence=got.get("evidence", ()),
            justification=got.get("justification", ""),
            reasons=tuple(got.get("reasons", ())),
            seconds=None if active_ms is None else active_ms / 1000,
            confirm_repeat=got.get("confirm_repeat", False),
        )

    def complaints(self) -> dict[str, str]:
        """The first complaint of each field."""
        return {name: str(messages[0]) for name, messages in self.errors.items()}

    def _under(self, prefix: str) -> dict[str, Any]:
        """{key: value} of the fields `<prefix><key>` that say something."""
        named = {
            name.removeprefix(prefix): value for name, value in self.cleaned_data.items() if name.startswith(prefix)
        }
        return {key: value for key, value in named.items() if value not in (None, "")}

    def _ratings(self) -> dict[str, dict[str, int]]:
        ratings: dict[str, dict[str, int]] = {}
        for name, value in self._under(RATING).items():
            key, _under, side = name.rpartition("_")
            ratings.setdefault(key, {})[side] = value
        return ratings


def posted_as(field: str) -> str:
    """The posted name of a field that the service names: `ratings.tone.left` is `rating_tone_left`."""
    group, _dot, key = field.partition(".")
    if field == "seconds":
        return "active_ms"
    if not key or group not in _BY_ANSWER:
        return field
    if group == "ratings":
        key = "_".join(key.rsplit(".", 1))
    return f"{_BY_ANSWER[group]}{key}"


def as_typed(draft: Mapping[str, Any]) -> dict[str, Any]:
    """A draft by the names of the form's fields."""
    typed = dict(draft)
    for group in ("aspects", "confidence", "checks"):
        typed |= {f"{_BY_ANSWER[group]}{key}": value for key, value in (draft.get(group) or {}).items()}
    for key, rated in (draft.get("ratings") or {}).items():
        typed |= {f"{RATING}{key}_{side}": value for side, value in rated.items()}
    typed["evidence"] = json.dumps(draft.get("evidence") or [], ensure_ascii=False)
    return typed

"""What the comparing screen posts, as types. Whether an answer is allowed is the service's question, not the form's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from django import forms
from django.utils.datastructures import MultiValueDict

from .services.judging import Answer

ASPECT: Final = "aspect_"


class Ticked(forms.MultipleChoiceField):
    """Any ticked values; the service knows which exist."""

    def valid_value(self, value: Any) -> bool:
        return True


class AnswerForm(forms.Form):
    """The fields of the screen, in its own terms: `choice` and `aspect_<key>` below 0 favour the left response."""

    choice = forms.IntegerField(required=False)
    both_bad = forms.BooleanField(required=False)
    justification = forms.CharField(required=False, strip=False)
    reasons = Ticked(required=False)
    active_ms = forms.IntegerField(required=False, min_value=0)
    key = forms.UUIDField(error_messages={"required": "The page sent no key. Reload it and answer again."})

    def __init__(self, data: MultiValueDict[str, Any]) -> None:
        super().__init__(data)
        for name in data:
            if name.startswith(ASPECT):
                self.fields[name] = forms.IntegerField(required=False)

    @classmethod
    def of_json(cls, values: Mapping[str, Any]) -> AnswerForm:
        """The same fields sent as one JSON object."""
        listed = {name: value if isinstance(value, list) else [value] for name, value in values.items()}
        return cls(MultiValueDict({str(name): value for name, value in listed.items() if value != [None]}))

    def clean_justification(self) -> str:
        text: str = self.cleaned_data["justification"]
        return text.replace("\r\n", "\n")  # a browser's encoding of what was typed as one line end

    def answer(self) -> Answer:
        """What could be read; a field that could not is left out and named in `errors`."""
        said = self.cleaned_data
        aspects = {name.removeprefix(ASPECT): said[name] for name in said if name.startswith(ASPECT)}
        active_ms = said.get("active_ms")
        return Answer(
            choice=said.get("choice"),
            both_bad=said.get("both_bad", False),
            aspects={key: value for key, value in aspects.items() if value is not None},
            justification=said.get("justification", ""),
            reasons=tuple(said.get("reasons", ())),
            seconds=None if active_ms is None else active_ms / 1000,
        )

    def complaints(self) -> dict[str, str]:
        """The first complaint of each field."""
        return {name: str(messages[0]) for name, messages in self.errors.items()}

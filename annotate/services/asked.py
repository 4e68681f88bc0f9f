"""What a form may ask, and by which rules it may hand work out: its fields, their limits, and how two forms differ."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from django.core.exceptions import ValidationError
from django.db.models import Model

from annotate.models import Form, Rubric
from annotate.models.forms import MAX_LEVELS, MAX_RATING
from tiebreak.core.errors import Invalid
from tiebreak.core.text import TextError, clean_text

# Every field that may be given, in the order in which people read them.
FIELDS: Final = (
    "levels", "allow_tie", "allow_both_bad", "aspects", "rating_max", "confidence", "reasons", "justification",
    "min_justification", "evidence", "rubric", "checklist", "guidelines",
    "overlap", "max_overlap", "ordering", "mix_by", "lease_seconds", "session_quota", "daily_quota", "revise_minutes",
    "gold_rate", "repeat_rate", "practice_size", "qualification_size", "pass_mark", "pause_below",
    "show_reference", "show_quality", "blind_adjudication",
)  # fmt: skip
BETWEEN: Final = {
    "levels": (1, MAX_LEVELS), "rating_max": (2, MAX_RATING), "min_justification": (0, 10_000),
    "overlap": (1, 1000), "lease_seconds": (30, 86_400), "session_quota": (0, 100_000), "daily_quota": (0, 100_000),
    "revise_minutes": (0, 43_200), "practice_size": (0, 100), "qualification_size": (0, 500),
}  # fmt: skip
SHARES: Final = {"gold_rate": 0.5, "repeat_rate": 0.5, "pass_mark": 1.0, "pause_below": 1.0}
YES_OR_NO: Final = (
    "allow_tie", "allow_both_bad", "confidence", "evidence", "checklist", "show_reference", "show_quality",
    "blind_adjudication",
)  # fmt: skip
KINDS: Final = ("preference", "rating")
MAX_ASPECTS: Final = 12
MAX_REASONS: Final = 30
MAX_WORD: Final = 100
MAX_STRATA_KEYS: Final = 3
MAX_GUIDELINES: Final = 100_000
OVERALL: Final = "overall"  # the key under which the confidence of the whole answer is kept
ASPECT_KEY: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,59}")


class Change(NamedTuple):
    """A field of which two forms say different things."""

    field: str
    before: Any
    after: Any


def values(form: Form) -> dict[str, Any]:
    """What a form says, by field; aspects always with their kind."""
    return {field: getattr(form, field) for field in FIELDS} | {"aspects": aspects(form.aspects)}


def aspects(listed: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    """Aspects with their kind: an old form's have none, and ask for a preference."""
    return [{"kind": "preference", **aspect} for aspect in listed]


def differences(before: Form, after: Form) -> list[Change]:
    """The fields of which two forms say different things, in the order of FIELDS."""
    old, new = values(before), values(after)
    return [Change(field, old[field], new[field]) for field in FIELDS if old[field] != new[field]]


def filled(form: Form, given: Mapping[str, Any]) -> Form:
    """The unsaved form with the given fields, each checked. Raises Invalid that names the field."""
    if unknown := sorted(set(given) - set(FIELDS)):
        raise Invalid(f"{unknown[0]}: not a field of a form (known: {', '.join(FIELDS)}).", field=unknown[0])
    for field, value in given.items():
        setattr(form, field, value)
    for field, (least, most) in BETWEEN.items():
        _check_integer(field, getattr(form, field), least, most)
    for field, ceiling in SHARES.items():
        _check_share(field, getattr(form, field), ceiling, may_be_empty=field == "pause_below")
    for field in YES_OR_NO:
        if not isinstance(getattr(form, field), bool):
            raise Invalid(f"{field}: expected true or false, got {getattr(form, field)!r:.100}.", field=field)
    _check_aspects(form)
    _check_words("reasons", form.reasons, MAX_REASONS)
    _check_words("mix_by", form.mix_by, MAX_STRATA_KEYS)
    _check_guidelines(form)
    _check_work(form)
    _check_rubric(form)
    checked(form, exclude=["project", "created_by", "aspects", "reasons", "mix_by", "rubric"])
    return form


def checked(row: Model, *, exclude: list[str]) -> None:
    """The model's own field checks, as our error with the first field's name."""
    try:
        row.clean_fields(exclude=exclude)
    except ValidationError as error:
        field, messages = next(iter(error.message_dict.items()))
        raise Invalid(f"{field}: {messages[0]}", field=field) from None


def _check_integer(field: str, value: Any, least: int, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise Invalid(f"{field}: expected an integer from {least} to {most}, got {value!r:.100}.", field=field)


def _check_share(field: str, value: Any, most: float, *, may_be_empty: bool) -> None:
    if value is None and may_be_empty:
        return
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        raise Invalid(f"{field}: expected a share from 0 to {most:g}, got {value!r:.100}.", field=field)


def _check_aspects(form: Form) -> None:
    listed = form.aspects
    if not isinstance(listed, list) or not all(_is_aspect(aspect) for aspect in listed):
        shape = "a list of {key, label} with kind preference or rating"
        raise Invalid(f"aspects: expected {shape}, got {listed!r:.100}.", field="aspects")
    if len(listed) > MAX_ASPECTS:
        raise Invalid(f"aspects: at most {MAX_ASPECTS}, got {len(listed)}.", field="aspects")
    seen: set[str] = set()
    for aspect in listed:
        key = aspect["key"]
        if not ASPECT_KEY.fullmatch(key):
            raise Invalid(
                f"aspects: the key {key!r} may hold letters, digits, “-”, “_” and “.”, at most 60.", field="aspects"
            )
        if key == OVERALL:
            raise Invalid(f"aspects: the key {OVERALL!r} is taken by the answer as a whole.", field="aspects")
        if key in seen:
            raise Invalid(f"aspects: the key {key!r} stands there twice.", field="aspects")
        seen.add(key)
    form.aspects = aspects(listed)


def _is_aspect(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and {"key", "label"} <= set(value) <= {"key", "label", "kind"}
        and all(_is_word(word) for word in value.values())
        and value.get("kind", "preference") in KINDS
    )


def _check_words(field: str, listed: Any, most: int) -> None:
    if not isinstance(listed, list) or not all(_is_word(word) for word in listed):
        raise Invalid(
            f"{field}: expected a list of texts of 1 to {MAX_WORD} characters, got {listed!r:.100}.", field=field
        )
    if len(listed) > most:
        raise Invalid(f"{field}: at most {most}, got {len(listed)}.", field=field)
    if twice := next((word for n, word in enumerate(listed) if word in listed[:n]), None):
        raise Invalid(f"{field}: {twice!r} stands there twice.", field=field)


def _is_word(value: Any) -> bool:
    try:
        return len(clean_text(value, field="word", max_chars=MAX_WORD).strip()) > 0
    except TextError:
        return False


def _check_guidelines(form: Form) -> None:
    try:
        clean_text(form.guidelines, field="guidelines", max_chars=MAX_GUIDELINES)
    except TextError as error:
        raise Invalid(str(error), field="guidelines") from None


def _check_work(form: Form) -> None:
    """How work is handed out: what must fit together."""
    if form.max_overlap is not None:
        _check_integer("max_overlap", form.max_overlap, form.overlap, BETWEEN["overlap"][1])
    if form.gold_rate + form.repeat_rate > 0.5:
        left = 0.5 - form.gold_rate
        raise Invalid(
            f"repeat_rate: expected at most {left:.2f} beside a gold rate of {form.gold_rate:.2f}: "
            f"half of what is asked, or more, is to be new. Got {form.repeat_rate:.2f}.",
            field="repeat_rate",
        )
    if form.ordering == Form.Ordering.MIXED and not form.mix_by:
        raise Invalid("mix_by: name the metadata whose values are to be mixed.", field="mix_by")


def _check_rubric(form: Form) -> None:
    rubric = form.rubric
    if rubric is None:
        if form.checklist:
            raise Invalid("checklist: choose the rubric whose criteria are to be ticked.", field="checklist")
    elif rubric.project_id != form.project_id:
        raise Invalid("rubric: expected one of this project.", field="rubric")
    elif rubric.status != Rubric.Status.APPROVED:
        raise Invalid(f"rubric: {rubric} is {rubric.status}; approve it before annotators see it.", field="rubric")

"""What the comparing screen shows: of a lease, of an answer opened again, or of a form alone (a preview, a trial)."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import uuid4

from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from annotate import keys, policies
from annotate.forms import ASPECT, CHECK, CONFIDENCE, RATING, as_typed
from annotate.models import Assignment, Flag, Form, Judgement, Rater
from annotate.services import answering, assigning, guidelines, judging
from annotate.services.answers import MAX_CONFIDENCE, OVERALL, as_seen, criteria_of, kind_of
from tiebreak.accounts.models import User

UNDO_SECONDS: Final = 10

# What a strength is called, by the number of levels of the form; "A" is the response on the left.
STRENGTHS: Final = {
    1: [gettext_lazy("%(side)s is better")],
    2: [gettext_lazy("%(side)s is slightly better"), gettext_lazy("%(side)s is much better")],
    3: [
        gettext_lazy("%(side)s is slightly better"),
        gettext_lazy("%(side)s is better"),
        gettext_lazy("%(side)s is much better"),
    ],
}
SURE: Final = [gettext_lazy("unsure"), gettext_lazy("fairly sure"), gettext_lazy("very sure")]
MET_BY: Final = {
    "left": gettext_lazy("A"),
    "right": gettext_lazy("B"),
    "both": gettext_lazy("Both"),
    "neither": gettext_lazy("Neither"),
}
SKIP_REASONS: Final = [
    ("not_my_field", gettext_lazy("I do not know this subject")),
    ("language", gettext_lazy("I do not read this language well enough")),
    ("same", gettext_lazy("Both responses are the same")),
    ("broken", gettext_lazy("Something is broken or cut off")),
    ("unsafe", gettext_lazy("It is unsafe or disturbing")),
    ("personal_data", gettext_lazy("It holds personal data")),
    ("other", gettext_lazy("Another reason")),
]
FLAG_KINDS: Final = {
    Flag.Kind.UNSAFE: gettext_lazy("Unsafe or disturbing"),
    Flag.Kind.PERSONAL_DATA: gettext_lazy("Holds personal data"),
    Flag.Kind.BROKEN: gettext_lazy("Broken or cut off"),
    Flag.Kind.BOTH_SAME: gettext_lazy("Both responses are the same"),
    Flag.Kind.OTHER: gettext_lazy("Something else"),
}
URLS: Final = (
    *("submit_url", "skip_url", "draft_url", "next_url", "ahead_url", "flag_url", "comment_url"),
    *("pause_url", "previous_url", "revise_url", "keys_url", "guidelines_url"),
)


def screen(
    assignment: Assignment,
    *,
    user: User,
    draft: Mapping[str, Any] | None = None,
    errors: Mapping[str, str] | None = None,
    key: object = None,
    lost: bool = False,
    confirm_repeat: bool = False,
    ahead: bool = False,
) -> dict[str, Any]:
    """Everything that the screen of a lease shows. Never who wrote a response, nor what others said of it.

    `errors` are words by posted field; under "" stands what is about no field. One that is fetched `ahead` is shown
    when the comparison before it is answered: its figures count that one.
    """
    rater, now, slug = assignment.rater, timezone.now(), assignment.rater.project.slug
    typed = assignment.draft if draft is None else draft
    acts = ("submit", "skip", "draft", "flag", "comment")
    names = {"submit": "answer"}
    last = None if ahead else _last(rater, now)
    around = _around(rater, assignment.form, user, now)
    return {
        **_of_comparison(assignment, assignment.form, assignment.order, typed, errors),
        **(_one_further(around) if ahead else around),
        **{f"{act}_url": reverse(names.get(act, act), args=[slug, assignment.pk]) for act in acts},
        "assignment": assignment,
        "ahead_url": reverse("ahead", args=[slug]),
        "revise_url": reverse("revise", args=[slug, last.pk]) if last else "",
        "undo": _undo(last, slug, now),
        "lost": lost,
        "confirm_repeat": confirm_repeat,
        "idempotency_key": key or uuid4(),
    }


def screen_again(
    judgement: Judgement,
    *,
    user: User,
    draft: Mapping[str, Any] | None = None,
    errors: Mapping[str, str] | None = None,
    key: object = None,
    lost: bool = False,
    confirm_repeat: bool = False,
) -> dict[str, Any]:
    """The screen that an answer was given on, filled with that answer, in the order that its rater saw."""
    rater, order = judgement.rater, judgement.order or policies.ORDERS[0]
    typed = as_seen(judgement).as_draft() if draft is None else draft
    return {
        **_of_comparison(judgement, judgement.form, order, typed, errors),
        **_around(rater, judgement.form, user, timezone.now()),
        "submit_url": reverse("revise", args=[rater.project.slug, judgement.pk]),
        "revising": {
            "revision": judgement.revision,
            "submitted_at": judgement.submitted_at,
            "returned": answering.returned(judgement),
        },
        "lost": lost,
        "confirm_repeat": confirm_repeat,
        "idempotency_key": key or uuid4(),
    }


def screen_of(
    form: Form | None,
    *,
    prompt: str | Sequence[Mapping[str, Any]],
    left: str,
    right: str,
    context: str | None = None,
    reference: str | None = None,
    language: str = "",
    draft: Mapping[str, Any] | None = None,
    errors: Mapping[str, str] | None = None,
    chosen_keys: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The screen of a form and of texts alone: no lease and no addresses. Of the database it reads the rubric at most.

    Whoever shows it adds `project` and, where it can be answered, `submit_url`.
    """
    typed, errors = as_typed(draft or {}), dict(errors or {})
    map_of_keys = keys.keymap(chosen_keys)
    rubric = criteria_of(form)
    told = [{"field": name, "text": _headed(name, text, form)} for name, text in errors.items()]
    return {
        **dict.fromkeys(URLS, ""),
        "form": form,
        "assignment": None,
        "prompt": prompt,
        "context": context,
        "reference": reference if form and form.show_reference else None,
        "language": language,
        "left": left,
        "right": right,
        "rubric": rubric or None,
        "choices": choices(form) if form else [],
        "aspects": aspects(form, typed, errors) if form else [],
        "confidence_asked": bool(form and form.confidence),
        "confidence": _confidence(OVERALL, typed) if form and form.confidence else None,
        "criteria": _checklist(rubric, typed) if form and form.checklist else [],
        "draft": typed,
        "errors": [linked["text"] for linked in told],
        "errors_by_field": {name: text for name, text in errors.items() if name},
        "errors_linked": told,
        "confirm_repeat": False,
        "lost": False,
        "undo": None,
        "revising": None,
        "guidelines_changed": None,
        "position": None,
        "progress": None,
        "skip_reasons": SKIP_REASONS,
        "flag_kinds": [(kind.value, label) for kind, label in FLAG_KINDS.items()],
        "keymap": map_of_keys,
        "keymap_json": json.dumps(map_of_keys),
        "key_help": [{"action": a.name, "label": a.label, "key": map_of_keys[a.name]} for a in keys.ACTIONS],
        "idempotency_key": uuid4(),
    }


def choices(form: Form) -> list[dict[str, Any]]:
    """The scale from left to right, each with its words and the digit that chooses it."""
    values = policies.screen_values(form.levels, allow_tie=form.allow_tie)
    return [
        {"value": value, "label": label(value, form.levels), "key": str(number)}
        for number, value in enumerate(values, 1)
    ]


def aspects(form: Form, typed: Mapping[str, Any], errors: Mapping[str, str]) -> list[dict[str, Any]]:
    """The form's aspects with their controls, as drafted."""
    return [_aspect(aspect, form, typed, errors) for aspect in form.aspects]


def label(value: int, levels: int, tie: str = "") -> str:
    """A value of the scale in words."""
    if value == 0:
        return tie or _("Tie")
    strengths = STRENGTHS[levels]
    strength = min(abs(value), len(strengths))  # said under a form with more levels
    return str(strengths[strength - 1]) % {"side": "A" if value < 0 else "B"}


def _of_comparison(
    row: Assignment | Judgement,
    form: Form | None,
    order: str,
    typed: Mapping[str, Any],
    errors: Mapping[str, str] | None,
) -> dict[str, Any]:
    """The comparison of a lease or a judgement, in the order that was chosen for it."""
    comparison = row.comparison
    left, right = policies.sides(comparison.completion_a.text, comparison.completion_b.text, order)
    return screen_of(
        form,
        prompt=comparison.prompt.messages,
        left=left,
        right=right,
        context=comparison.context,
        reference=comparison.reference,
        language=answering.language_of(comparison),
        draft=typed,
        errors=errors,
    )


def _around(rater: Rater, form: Form | None, user: User, now: datetime) -> dict[str, Any]:
    """What stands around a comparison: where the rater is, the guidelines, their keys."""
    project, here, desk = rater.project, [rater.project.slug], assigning.desk_of(rater, now=now)
    map_of_keys = keys.keymap(user.keys)
    return {
        "project": project,
        "progress": judging.progress(rater, now=now, desk=desk)._asdict(),
        "position": {
            "judged": desk.judged,
            "quota": desk.form.session_quota,
            "today": desk.today,
            "daily_quota": desk.daily_quota,
        },
        "guidelines_changed": guidelines.changed(rater, form) if form else None,
        "keymap": map_of_keys,
        "keymap_json": json.dumps(map_of_keys),
        "key_help": [{"action": a.name, "label": a.label, "key": map_of_keys[a.name]} for a in keys.ACTIONS],
        "next_url": reverse("compare", args=here),
        "pause_url": reverse("pause", args=here),
        "previous_url": reverse("previous", args=here),
        "guidelines_url": reverse("guidelines", args=here),
        "keys_url": reverse("keys"),
    }


def _one_further(around: dict[str, Any]) -> dict[str, Any]:
    """The figures as they are once the comparison in hand is answered."""
    done, at = around["progress"], around["position"]
    left = done["left"] if done["more"] else max(done["left"] - 1, 1)
    further = {name: done[name] + 1 for name in ("done_today", "done_total")} | {"left": left}
    at_then = at | {name: at[name] + 1 for name in ("judged", "today")}
    return around | {"progress": done | further, "position": at_then}


def _last(rater: Rater, now: datetime) -> Judgement | None:
    """The rater's last answer, if it may be changed."""
    mine = Judgement.objects.current().filter(rater=rater, assignment__isnull=False)
    last = mine.select_related("form", "assignment").order_by("-submitted_at").first()
    return last if last and judging.may_revise(last, now=now) else None


def _undo(last: Judgement | None, slug: str, now: datetime) -> dict[str, Any] | None:
    if last is None:
        return None
    left = UNDO_SECONDS - (now - last.submitted_at) / timedelta(seconds=1)
    if not 0 < left <= UNDO_SECONDS:
        return None
    url = reverse("revise", args=[slug, last.pk])
    return {"url": url, "seconds": math.ceil(left), "judgement": last.pk}


def _aspect(
    aspect: Mapping[str, Any], form: Form, typed: Mapping[str, Any], errors: Mapping[str, str]
) -> dict[str, Any]:
    key, kind = aspect["key"], kind_of(aspect)
    shown: dict[str, Any] = {"key": key, "label": aspect["label"], "kind": kind}
    shown["confidence"] = _confidence(key, typed) if form.confidence else None
    if kind == "rating":
        shown["rated"] = [_rated(key, side, letter, form, typed) for side, letter in (("left", "A"), ("right", "B"))]
    else:
        shown["name"] = name = f"{ASPECT}{key}"
        values = policies.screen_values(form.levels, allow_tie=True)
        shown["values"] = _values(((v, label(v, form.levels, _("Equal"))) for v in values), typed.get(name))
    shown["errors"] = list(dict.fromkeys(text for name, text in errors.items() if name in _names_of(key)))
    return shown


def _rated(key: str, side: str, letter: str, form: Form, typed: Mapping[str, Any]) -> dict[str, Any]:
    name = f"{RATING}{key}_{side}"
    values = ((value, str(value)) for value in range(1, form.rating_max + 1))
    return {"side": side, "letter": letter, "name": name, "values": _values(values, typed.get(name))}


def _confidence(key: str, typed: Mapping[str, Any]) -> dict[str, Any]:
    name = f"{CONFIDENCE}{key}"
    values = zip(range(1, MAX_CONFIDENCE + 1), SURE, strict=True)
    return {"name": name, "values": _values(values, typed.get(name))}


def _checklist(rubric: Iterable[Any], typed: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "id": criterion.pk,
            "text": criterion.text,
            "kind": criterion.kind,
            "name": f"{CHECK}{criterion.pk}",
            "values": _values(MET_BY.items(), typed.get(f"{CHECK}{criterion.pk}")),
        }
        for criterion in rubric
    ]


def _headed(name: str, text: str, form: Form | None) -> str:
    """A complaint with the label of the aspect that it is about, as it stands in the summary."""
    for aspect in form.aspects if form else []:
        if name in _names_of(aspect["key"]):
            return f"{aspect['label']}: {text}"
    return text


def _names_of(key: str) -> set[str]:
    """The posted names of an aspect's controls."""
    return {f"{ASPECT}{key}", f"{CONFIDENCE}{key}", f"{RATING}{key}_left", f"{RATING}{key}_right"}


def _values(offered: Iterable[tuple[Any, Any]], drafted: object) -> list[dict[str, Any]]:
    return [{"value": value, "label": words, "drafted": str(value) == str(drafted)} for value, words in offered]

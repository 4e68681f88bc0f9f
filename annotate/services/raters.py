"""Raters as curators handle them: pausing a person, saying what they may be asked, and setting up a judge."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Max
from django.utils import timezone
from django.utils.translation import gettext

from annotate.models import Judge, Rater, Rubric
from tiebreak.accounts.models import Project
from tiebreak.accounts.roles import Can
from tiebreak.core.egress import Allowed, check_url
from tiebreak.core.errors import Conflict, Invalid, NotAllowed
from tiebreak.core.models import record
from tiebreak.core.text import TextError, clean_text

from . import assigning

GENERATIVE: Final = ("pairwise", "rubric")
KINDS: Final = (*GENERATIVE, "reward-model")
BACKENDS: Final = ("openai", "scripted")
# The key goes to an address that a curator chose: no other secret of the worker's environment may be named.
KEY_VARIABLE: Final = re.compile(r"[A-Z][A-Z0-9_]*_API_KEY")
SKILL: Final = re.compile(r"[\w][\w -]{0,59}")
LANGUAGE: Final = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,4}")
MAX_WORDS: Final = 50
MAX_QUOTA: Final = 100_000


def pause(rater: Rater, *, by: Any, because: str) -> Rater:
    """Give an annotator no further comparisons until resumed; what they hold goes back. What was said stays."""
    _may(rater.project, by)
    try:
        because = clean_text(because, field="because").strip()
    except TextError as error:
        raise Invalid(str(error), field="because") from error
    if rater.kind != Rater.Kind.ANNOTATOR:
        raise Invalid(gettext("Only a person can be paused: a judge judges when it is run."), field="rater")
    if not 1 <= len(because) <= 300:
        raise Invalid(f"because: expected a reason of 1 to 300 characters, got {len(because)}.", field="because")
    with transaction.atomic():
        now = timezone.now()
        if not Rater.objects.filter(pk=rater.pk, paused_at=None).update(paused_at=now, paused_because=because):
            raise Conflict(gettext("This annotator is paused already."), code="paused")
        assigning.release_held(rater, now=now)
        record("rater.paused", rater, by=by, project=rater.project_id, because=because)
    rater.refresh_from_db()
    return rater


def resume(rater: Rater, *, by: Any, new_start: bool = False) -> Rater:
    """Let a paused annotator go on. With a new start, hidden gold that they answered before counts no more."""
    _may(rater.project, by)
    with transaction.atomic():
        waiting = Rater.objects.filter(pk=rater.pk, paused_at__isnull=False)
        fresh = {"measured_since": timezone.now()} if new_start else {}
        if not waiting.update(paused_at=None, paused_because="", **fresh):
            raise Conflict(gettext("This annotator is not paused."), code="not_paused")
        record("rater.resumed", rater, by=by, project=rater.project_id, because=rater.paused_because, **_told(fresh))
    rater.refresh_from_db()
    return rater


def equip(
    rater: Rater, *, by: Any, skills: Sequence[str], languages: Sequence[str], daily_quota: int | None = None
) -> Rater:
    """What an annotator may be asked, in which languages (none: any), and how much a day (None: as the form says)."""
    _may(rater.project, by)
    if rater.kind != Rater.Kind.ANNOTATOR:
        raise Invalid(gettext("Only a person has skills and languages."), field="rater")
    given = {
        "skills": _words(skills, "skills", SKILL, "words of up to 60 letters, digits, - and _"),
        "languages": _words(languages, "languages", LANGUAGE, "language tags, such as de or pt-BR"),
        "daily_quota": daily_quota,
    }
    if daily_quota is not None and not 1 <= daily_quota <= MAX_QUOTA:
        raise Invalid(f"daily_quota: expected 1 to {MAX_QUOTA:,}, or nothing; got {daily_quota}.", field="daily_quota")
    with transaction.atomic():
        row = Rater.objects.select_for_update(no_key=True).get(pk=rater.pk)
        changed = {field: value for field, value in given.items() if getattr(row, field) != value}
        if changed:
            was = {field: getattr(row, field) for field in changed}
            Rater.objects.filter(pk=row.pk).update(**changed)
            record("rater.equipped", row, by=by, project=row.project_id, before=was, after=changed)
    rater.refresh_from_db()
    return rater


def _words(given: Sequence[str], field: str, shape: re.Pattern[str], wanted: str) -> list[str]:
    """Each once, in their order, at most MAX_WORDS."""
    words = list(dict.fromkeys(word.strip() for word in given if word.strip()))
    if len(words) > MAX_WORDS:
        raise Invalid(f"{field}: expected at most {MAX_WORDS}, got {len(words)}.", field=field)
    for word in words:
        if not shape.fullmatch(word):
            raise Invalid(f"{field}: expected {wanted}, got {word[:60]!r}.", field=field)
    return words


def _told(changes: dict[str, Any]) -> dict[str, str]:
    return {field: value.isoformat() for field, value in changes.items()}


def create_judge(
    project: Project,
    *,
    by: Any,
    name: str,
    kind: str,
    rubric: Rubric | None = None,
    backend: str = "openai",
    model: str = "",
    base_url: str = "",
    api_key_env: str = "",
    price_prompt: Decimal | str = Decimal(0),
    price_completion: Decimal | str = Decimal(0),
    config: dict[str, Any] | None = None,
) -> Judge:
    """A judge with its rater. A name that is taken gets a new version; earlier verdicts keep the old one.

    Raises Invalid naming the field. Locks the project's row.
    """
    _may(project, by)
    if kind not in KINDS:
        raise Invalid(f"kind: expected one of {', '.join(KINDS)}, got {kind!r}.", field="kind")
    if not model.strip():
        raise Invalid("model: expected the name of a model.", field="model")
    if kind in GENERATIVE and backend not in BACKENDS:
        raise Invalid(f"backend: expected one of {', '.join(BACKENDS)}, got {backend!r}.", field="backend")
    if kind in GENERATIVE and backend == "openai":
        check_url(base_url, Allowed(settings.ENV.egress_allow), field="base_url")
    if api_key_env and not KEY_VARIABLE.fullmatch(api_key_env):
        raise Invalid(f"api_key_env: expected a name such as OPENAI_API_KEY, got {api_key_env!r}.", field="api_key_env")
    if kind == "rubric" and (rubric is None or rubric.project_id != project.pk):
        raise Invalid("rubric: a rubric judge needs a rubric of this project.", field="rubric")
    judge = Judge(
        project=project,
        name=name.strip(),
        kind=kind,
        backend=backend if kind in GENERATIVE else "",
        model=model.strip(),
        base_url=base_url if kind in GENERATIVE else "",
        api_key_env=api_key_env if kind in GENERATIVE else "",
        rubric=rubric if kind == "rubric" else None,
        price_prompt=_price(price_prompt, "price_prompt"),
        price_completion=_price(price_completion, "price_completion"),
        config=({"reward_model": model.strip()} if kind == "reward-model" else {}) | (config or {}),
    )
    with transaction.atomic():
        Project.objects.select_for_update(no_key=True).get(pk=project.pk)
        latest = Judge.objects.filter(project=project, name=judge.name).aggregate(latest=Max("version"))["latest"]
        judge.version = (latest or 0) + 1
        _checked(judge)
        judge.save()
        Rater.objects.create(project=project, kind=Rater.Kind.JUDGE, name=str(judge), judge=judge)
        record("judge.created", judge, by=by, project=project, name=judge.name, version=judge.version, kind=kind)
    return judge


def _checked(judge: Judge) -> None:
    try:
        judge.clean_fields(exclude=["project", "config", "rubric"])
    except ValidationError as error:
        field, messages = next(iter(error.message_dict.items()))
        raise Invalid(f"{field}: {messages[0]}", field=field) from None


def _price(value: Decimal | str, field: str) -> Decimal:
    try:
        price = Decimal(value)
    except InvalidOperation:
        price = Decimal("NaN")
    if not price.is_finite() or price < 0:
        raise Invalid(f"{field}: expected a price of 0 or more per million tokens, got {value!r}.", field=field)
    return price


def _may(project: Project, by: Any) -> None:
    """None is the machine's operator, at a command."""
    if by is not None and not project.allows(by, Can.CURATE):
        raise NotAllowed(gettext("Your role does not allow you to change raters."), code="role_too_small")

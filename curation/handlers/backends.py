"""From a judge's row to something that judges: the backend through the egress guard, or a reward model of ours."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from django.conf import settings

from annotate.models import Judge
from annotate.services.raters import KEY_VARIABLE
from curation.services.verbs import model_named
from models_rt import backends as rt_backends
from models_rt import judges as rt_judges
from models_rt.backends.openai import OpenAIBackend, Prices, RetryPolicy
from models_rt.backends.scripted import ScriptedBackend
from tiebreak.core import egress
from tiebreak.core.errors import Invalid


def judge_of(judge: Judge) -> rt_judges.Judge:
    """The runtime's judge for a row. Raises Invalid naming the field that does not fit, NotFound for a reward model
    that its project does not have.
    """
    try:
        kind = rt_judges.get(judge.kind)
        if judge.kind == "reward-model":
            from .rewards import loaded

            # Names are one space for all projects; a judge scores by a model of its own project only.
            model = model_named(str(judge.config.get("reward_model", "")), judge.project)
            made: rt_judges.Judge = kind(loaded(model.name))
        else:
            made = kind(backend_of(judge), **judge.config.get("judge", {}))
    except (TypeError, ValueError) as error:
        raise Invalid(f"The judge {judge} cannot be used: {error}", field="config") from error
    return made


def backend_of(judge: Judge) -> rt_backends.Backend:
    """Where the judge's text comes from; raises Invalid where the row or the environment does not allow it."""
    if judge.backend not in BACKENDS:
        raise Invalid(f"backend: expected one of {', '.join(BACKENDS)}, got {judge.backend!r}.", field="backend")
    return BACKENDS[judge.backend](judge, judge.config.get("backend", {}))


def _openai(judge: Judge, options: Mapping[str, Any]) -> rt_backends.Backend:
    allowed = settings.ENV.egress_allow
    egress.check_url(judge.base_url, egress.Allowed(allowed), field="base_url")
    # Whoever sets up a judge chooses its address: a variable that holds anything but such a key must not go there.
    if judge.api_key_env and not KEY_VARIABLE.fullmatch(judge.api_key_env):
        expected = f"api_key_env: expected a name such as OPENAI_API_KEY, got {judge.api_key_env!r}."
        raise Invalid(expected, field="api_key_env")
    key = os.environ.get(judge.api_key_env, "") if judge.api_key_env else ""
    if judge.api_key_env and not key:
        raise Invalid(
            f"api_key_env: the environment variable {judge.api_key_env} of the worker is empty or not set.",
            field="api_key_env",
        )
    retry = RetryPolicy(**options["retry"]) if "retry" in options else None
    return OpenAIBackend(
        judge.base_url,
        judge.model,
        api_key=key or None,
        prices=Prices(judge.price_prompt, judge.price_completion),
        timeout=float(options.get("timeout", 120.0)),
        structured=bool(options.get("structured", True)),
        retry=retry,
        rng=random.Random(judge.pk),  # noqa: S311 - jitter
        connector=partial(egress.connector, allowed, limit=0),
    )


def _scripted(judge: Judge, options: Mapping[str, Any]) -> rt_backends.Backend:
    return ScriptedBackend(**options)


BACKENDS: Final[Mapping[str, Callable[[Judge, Mapping[str, Any]], rt_backends.Backend]]] = {
    "openai": _openai,
    "scripted": _scripted,
}

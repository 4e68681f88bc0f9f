"""Every model with TRANSITIONS: the table is complete, its targets exist, and every state can be reached."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.apps import apps
from django.db import models

MACHINES = [model for model in apps.get_models() if hasattr(model, "TRANSITIONS")]
by_name = pytest.mark.parametrize("model", MACHINES, ids=lambda model: model.__name__)


def table(model: type[models.Model]) -> dict[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = model.TRANSITIONS  # type: ignore[attr-defined]
    return found


def states(model: type[models.Model]) -> set[str]:
    return {str(value) for value, _ in model._meta.get_field("status").choices or ()}


def test_the_machines_are_found() -> None:
    assert {"Assignment", "Comparison", "Rubric", "Run"} <= {model.__name__ for model in MACHINES}


@by_name
def test_every_state_has_its_row_and_no_row_is_of_an_unknown_state(model: type[models.Model]) -> None:
    assert {str(state) for state in table(model)} == states(model)


@by_name
def test_every_target_is_a_state_and_none_is_its_own(model: type[models.Model]) -> None:
    for state, targets in table(model).items():
        assert targets <= states(model)
        assert state not in targets


@by_name
def test_every_state_is_reachable_from_the_first(model: type[models.Model]) -> None:
    first = {str(state) for state in getattr(model, "INITIAL", [model._meta.get_field("status").default])}
    reached, pending = set(first), list(first)
    while pending:
        new = table(model)[pending.pop()] - reached
        reached |= new
        pending += new
    assert reached == states(model)


@by_name
def test_every_state_says_what_it_means(model: type[models.Model]) -> None:
    for value, label in model._meta.get_field("status").choices or ():
        assert label.strip(), value
        assert label.casefold() != str(value), value


@by_name
def test_the_database_knows_the_same_states(model: type[models.Model]) -> None:
    """A CHECK `…_status_known` lists them all: a typing error in SQL cannot invent a state."""
    known = [c for c in model._meta.constraints if re.search(r"status_known", c.name)]
    assert known, f"{model.__name__} has no CHECK of its states"
    condition: Any = known[0].condition  # type: ignore[attr-defined]
    listed = next(value for name, value in condition.children if name == "status__in")
    assert {str(value) for value in listed} == states(model)

"""What a table names exists: a dotted path that nobody imports until it is chosen would else break on the day."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

import pytest

import models_rt
from curation.exports.formats import FORMATS, converter
from curation.routing import POLICIES, selector
from curation.services import exporting, verbs
from models_rt.registry import Kind, resolve
from tiebreak.runs.kinds import KINDS, handler_of


def registries_of_the_runtime() -> list[tuple[str, str, str]]:
    """(registry, its module, a name in it) of every literal table in models_rt's packages."""
    found = []
    for package in iter_modules(models_rt.__path__, "models_rt."):
        if package.ispkg:
            for name, value in vars(import_module(package.name)).items():
                if name.isupper() and isinstance(value, Mapping) and all(isinstance(k, Kind) for k in value.values()):
                    found += [(name, package.name, entry) for entry in value]
    return found


def test_the_runtimes_tables_are_found() -> None:
    assert {"JUDGES", "BACKENDS"} <= {name for name, _, _ in registries_of_the_runtime()}


@pytest.mark.parametrize(("name", "module", "entry"), registries_of_the_runtime())
def test_every_entry_of_the_runtime_resolves(name: str, module: str, entry: str) -> None:
    table = getattr(import_module(module), name)
    assert callable(resolve(table, entry, name))
    assert table[entry].label


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_of_run_has_a_handler_that_takes_an_execution(kind: str) -> None:
    assert list(inspect.signature(handler_of(kind)).parameters) == ["execution"]


@pytest.mark.parametrize("kind", sorted(kind for kind, told in KINDS.items() if told.stopped))
def test_what_is_told_that_a_run_stopped_is_there_and_takes_a_run(kind: str) -> None:
    module, _, name = KINDS[kind].stopped.rpartition(".")
    assert len(inspect.signature(getattr(import_module(module), name)).parameters) == 1


@pytest.mark.parametrize("policy", sorted(POLICIES))
def test_every_routing_policy_selects(policy: str) -> None:
    wanted = {"features", "budget", "rng", "exploration", "audit_share"}
    assert wanted <= set(inspect.signature(selector(policy)).parameters)


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_every_export_format_converts_and_has_a_schema(name: str) -> None:
    module: Any = converter(name)
    kind = FORMATS[name]
    assert callable(getattr(module, "convert_all" if kind.grouped else "convert_rated" if kind.rated else "convert"))
    assert callable(module.schema)


def test_every_name_that_a_user_types_is_a_format() -> None:
    for name, (module, options) in exporting.NAMES.items():
        assert converter(module).schema(options).names, name


def test_every_verb_is_a_kind_of_run() -> None:
    assert set(verbs.VERBS) <= set(KINDS)

"""What the database itself must refuse: every constraint and trigger by name, and a write that it has to stop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import pytest
from django.apps import apps
from django.db import IntegrityError, connection, transaction
from django.db.models import OneToOneField

Violation = Callable[[Any], object]
UNIQUE, CHECK, RESTRICT = "23505", "23514", "23001"  # SQLSTATE classes of PostgreSQL


def constraints_of(*labels: str) -> set[str]:
    """The names in every Meta.constraints, and app.Model.field for each field that is unique by itself."""
    found: set[str] = set()
    for model in apps.get_models():
        if model._meta.app_label in labels:
            found |= {constraint.name for constraint in model._meta.constraints}
            fields = [f for f in model._meta.local_fields if f.unique and not f.primary_key]
            found |= {f"{model._meta.label}.{field.name}" for field in fields}
    return found


def triggers_of(*labels: str) -> set[str]:
    """The triggers on the tables of these apps, as the database has them."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT tgname FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid "
            "WHERE NOT tgisinternal AND split_part(relname, '_', 1) = ANY(%s)",
            [list(labels)],
        )
        return {name for (name,) in cursor.fetchall()}


@contextmanager
def refused(name: str = "", state: str = "") -> Iterator[None]:
    """The database refuses what is inside, by the named constraint where a name is given."""
    with pytest.raises(IntegrityError) as caught, transaction.atomic():
        yield
    cause = cast(Any, caught.value.__cause__)
    assert cause.sqlstate == state or not state
    if name.count(".") == 2:
        label, field = name.rsplit(".", 1)
        column = apps.get_model(label)._meta.get_field(field).column
        assert cause.sqlstate == UNIQUE
        assert column in cause.diag.constraint_name
    elif name:
        assert cause.diag.constraint_name == name


def untested(table: object, constraints: set[str]) -> str:
    """A message for constraints without a violation and violations without a constraint; empty where they agree."""
    have = set(cast(Any, table))
    lines = [f"{name}: add a write that it refuses to the table" for name in sorted(constraints - have)]
    lines += [f"{name}: is no constraint any more, take it out of the table" for name in sorted(have - constraints)]
    return "\n".join(lines)


def again(row: Any, /, **changes: Any) -> None:
    """Insert a copy of a row, with changes."""
    model = type(row)
    copy = model.objects.get(pk=row.pk)
    copy.pk = None
    copy._state.adding = True
    for field in model._meta.local_fields:  # what is unique by itself must not be what is refused
        if isinstance(field, OneToOneField) and field.null:
            setattr(copy, field.attname, None)
        elif field.unique and not field.primary_key and field.name not in changes:
            setattr(copy, field.attname, None if field.null else f"{getattr(copy, field.attname)}x"[-8:])
    for field_name, value in changes.items():
        setattr(copy, field_name, value)
    copy.save(force_insert=True)


def change(row: Any, /, **values: Any) -> None:
    """A direct UPDATE."""
    type(row)._default_manager.filter(pk=row.pk).update(**values)

"""Rows that PostgreSQL tells as JSON, as the models they are of.

For the few queries that every request makes: the ORM takes longer to build and unpack a join than the database to
answer it. What is told is `to_json` of a table's row, so a new column needs nothing here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import Any, TypeVar

from django.db import connection
from django.db.models import DateTimeField, DecimalField, Field, Model

M = TypeVar("M", bound=Model)


def row(model: type[M], told: Mapping[str, Any]) -> M:
    """A row from its columns; those that are not told are read when they are asked for."""
    names, values = [], []
    for column, name, convert in _columns(model):
        if column in told:
            value = told[column]
            names.append(name)
            values.append(convert(value) if convert and value is not None else value)
    return model.from_db(connection.alias, names, values)


@cache
def _columns(model: type[Model]) -> list[tuple[str, str, Callable[[Any], Any] | None]]:
    return [(str(field.column), field.attname, _converter(field)) for field in model._meta.concrete_fields]


def _converter(field: Field[Any, Any]) -> Callable[[Any], Any] | None:
    """How JSON tells what is not of JSON."""
    if isinstance(field, DateTimeField):
        return datetime.fromisoformat
    return (lambda value: Decimal(str(value))) if isinstance(field, DecimalField) else None

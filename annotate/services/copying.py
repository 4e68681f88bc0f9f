"""Inserting thousands of new rows by COPY: on the tables of judgements some four times as fast as `bulk_create`."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, Final

from django.db import connection
from django.db.models import Field, JSONField, Model
from django.db.models.expressions import DatabaseDefault

_JSON: Final = json.JSONEncoder(ensure_ascii=False)


def insert(rows: Sequence[Model]) -> None:
    """Give every row its id and insert it; inside the caller's transaction. Rows are of one model, with no row twice.

    Columns that the database fills (`db_default`) are left to it where the first row has not set them. Checks, unique
    constraints and triggers hold as always; their errors are psycopg's.
    """
    if not rows:
        return
    meta = type(rows[0])._meta
    fields = [f for f in meta.concrete_fields if not isinstance(getattr(rows[0], f.attname), DatabaseDefault)]
    table, names = connection.ops.quote_name(meta.db_table), [connection.ops.quote_name(str(f.column)) for f in fields]
    values, converters = attrgetter(*(f.attname for f in fields)), [_converter(f) for f in fields]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT nextval(pg_get_serial_sequence(%s, 'id')) FROM generate_series(1, %s)", [meta.db_table, len(rows)]
        )
        for row, (pk,) in zip(rows, cursor.fetchall(), strict=True):
            row.pk = pk
            row._state.adding = False
        with cursor.copy(f"COPY {table} ({', '.join(names)}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row([v if c is None else c(v) for v, c in zip(values(row), converters, strict=True)])


def _converter(field: Field[Any, Any]) -> Callable[[Any], Any] | None:
    """How a value of a field is written; None where psycopg knows."""
    if isinstance(field, JSONField):
        return _json
    return _plain if field.choices else None


def _json(value: Any) -> str | None:
    return None if value is None else _JSON.encode(value)


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, str) else value

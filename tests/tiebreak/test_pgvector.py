"""A PostgreSQL without pgvector stops the migration with what to install."""

from __future__ import annotations

from importlib import import_module

import pytest
from django.core.management.base import CommandError
from django.db import connection

from tiebreak.runs import health

migration = import_module("tiebreak.core.migrations.0003_vector")

pytestmark = pytest.mark.django_db


@pytest.fixture
def without_pgvector() -> None:
    """A server that offers no extension: its catalogue is looked up behind an empty one, until the test rolls back."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE SCHEMA bare")
        cursor.execute("CREATE VIEW bare.pg_available_extensions AS SELECT ''::name AS name WHERE false")
        cursor.execute("CREATE VIEW bare.pg_extension AS SELECT ''::name AS extname, '' AS extversion WHERE false")
        cursor.execute("SET LOCAL search_path = bare, pg_catalog, public")


@pytest.mark.usefixtures("without_pgvector")
def test_the_migration_says_what_to_install() -> None:
    with (
        connection.schema_editor() as editor,
        pytest.raises(CommandError, match=r"postgresql-NN-pgvector.*pgvector/pgvector"),
    ):
        migration.create(None, editor)


@pytest.mark.usefixtures("without_pgvector")
def test_the_doctor_sees_it_too() -> None:
    check = health.database()
    assert not check.ok
    assert "without pgvector" in check.found


def test_the_embedded_server_has_it() -> None:
    assert health.database().ok
